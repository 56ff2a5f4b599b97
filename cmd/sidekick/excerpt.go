package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"

	"sidekick/config"
)

// printProblems lists problems, each with the line of the file that it is about
// and a caret under the column. The first line of each is FILE:LINE:COLUMN:
// path: message, which editors can jump to.
func printProblems(w io.Writer, problems config.Problems, colour bool) {
	for _, p := range problems {
		fmt.Fprintln(w, paint(colour, bold, p.String()))
		if text, caret, ok := excerpt(p.Source, p.Column); ok {
			number := fmt.Sprintf("%5d | ", p.Line)
			gutter := strings.Repeat(" ", len(number)-2) + "| "
			fmt.Fprintf(w, "%s%s\n%s%s\n", paint(colour, dim, number), text, paint(colour, dim, gutter), caretLine(caret, colour))
		}
	}
}

func caretLine(indent string, colour bool) string { return indent + paint(colour, red, "^") }

// Of a long line an excerpt shows so many characters, of which so many stand
// before the column: with its gutter it fits into 80 columns.
const (
	excerptWidth  = 70
	excerptBefore = 45
)

// cell is one character of an excerpt, and what stands below it in the line of
// the caret, just as wide.
type cell struct{ text, below string }

// excerpt is a line of a file for a terminal, and what to put before a caret
// under the column, which counts characters from 1. ok is false when there is
// nothing to see.
func excerpt(line string, column int) (text, indent string, ok bool) {
	if strings.TrimSpace(line) == "" {
		return "", "", false
	}
	cells := cellsOf(withoutPasswords(line))
	at := min(max(column-1, 0), len(cells)) // one behind the end is a place, too
	first, last := 0, len(cells)
	if len(cells) > excerptWidth {
		first = min(max(at-excerptBefore, 0), len(cells)-excerptWidth)
		last = first + excerptWidth
	}
	var shown, below strings.Builder
	if first > 0 {
		shown.WriteString("…")
		below.WriteString(" ")
	}
	for i, c := range cells[first:last] {
		shown.WriteString(c.text)
		if first+i < at {
			below.WriteString(c.below)
		}
	}
	if last < len(cells) {
		shown.WriteString("…")
	}
	return strings.TrimRight(shown.String(), " "), below.String(), true
}

// cellsOf makes every character visible and harmless: the file may hold what
// would speak to the terminal.
func cellsOf(line string) []cell {
	var cells []cell
	for _, r := range line {
		c := cell{string(r), " "}
		switch {
		case r == '\t':
			c = cell{"    ", "    "}
		case unicode.Is(unicode.Mn, r):
			c.below = "" // it stands on the one before it
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul):
			c.below = "\u3000" // a blank of two columns
		case !unicode.IsPrint(r):
			c.text = "·"
		}
		cells = append(cells, c)
	}
	return cells
}

var urlUser = regexp.MustCompile(`://[^\s/@"']*@`)

// withoutPasswords hides the user and password of URLs, which messages do not
// show either. The length stays.
func withoutPasswords(line string) string {
	return urlUser.ReplaceAllStringFunc(line, func(s string) string {
		return "://" + strings.Repeat("*", len([]rune(s))-len("://@")) + "@"
	})
}
