package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	// File is as it was given to Load or Parse; of an included file or an
	// env file, the path from there.
	File string
	// Line and Column count from 1, columns in characters. Column is 1
	// where only the line is known, both are 1 where nothing is.
	Line, Column int
	Path         string // such as programs.web.command; "" is the whole file
	Message      string // one line of text
}

// String is FILE:LINE:COLUMN: path: message, the form editors can jump to.
func (p Problem) String() string {
	where := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Path != "" {
		where += p.Path + ": "
	}
	return where + p.Message
}

// Problems is everything that is wrong with a configuration, in the order of its
// files and their lines, and without repetitions.
type Problems []Problem

// Error gives one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// sorted returns the problems in the order of the files and of their lines,
// each once: a mapping that is merged into several places is read several
// times. files are in the order in which they were opened.
func (ps Problems) sorted(files []string) Problems {
	rank := map[string]int{}
	for i, name := range files {
		rank[name] = i
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(rank[a.File], rank[b.File]),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Path, b.Path),
			cmp.Compare(a.Message, b.Message),
		)
	})
	return slices.Compact(ps)
}

// oneLine makes text from a file safe to print as part of one line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// quote shows a value of the user in a message, shortened if it is long.
func quote(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return fmt.Sprintf("%q…", string(r[:most]))
	}
	return fmt.Sprintf("%q", s)
}
