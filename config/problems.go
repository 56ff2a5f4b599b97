package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
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
	// Source is the line as it stands in the file, so without the values of
	// variables. "" where nothing can be shown: nobody knows which line it is,
	// or it is of an env file, which holds secrets.
	Source string
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

// withSources adds the lines of the YAML files, of which texts has the contents.
func (ps Problems) withSources(texts map[string][]byte) Problems {
	lines := map[string][]string{}
	for i := range ps {
		p := &ps[i]
		of, split := lines[p.File]
		if !split {
			of = sourceLines(texts[p.File])
			lines[p.File] = of
		}
		if p.Line <= len(of) {
			p.Source = of[p.Line-1]
		}
	}
	return ps
}

// lineBreak is what the YAML parser counts as one.
var lineBreak = regexp.MustCompile(`\r\n|[\n\r\x{85}\x{2028}\x{2029}]`)

// sourceLines are the lines of a file, none if it is not UTF-8 (YAML may be
// UTF-16).
func sourceLines(text []byte) []string {
	if !utf8.Valid(text) {
		return nil
	}
	return lineBreak.Split(strings.TrimPrefix(string(text), "\uFEFF"), -1)
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
