package main

import (
	"cmp"
	"strings"
	"unicode"
	"unicode/utf8"

	"sidekick/control"
)

// field is one field of a table, in a colour of SGR or in none.
type field struct{ text, colour string }

// table lays rows out in columns as wide as their widest cell.
type table struct {
	rows  [][]field
	right map[int]bool // columns of numbers
}

// lines are the rows as text, with colours or without.
func (t *table) lines(colours bool) []string {
	widths := t.widths()
	lines := make([]string, 0, len(t.rows))
	for _, row := range t.rows {
		var line strings.Builder
		for i, c := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text))
			text := paint(colours, c.colour, c.text)
			if t.right[i] {
				text, gap = gap+text, ""
			}
			line.WriteString(text + gap)
		}
		lines = append(lines, strings.TrimRight(line.String(), " "))
	}
	return lines
}

// widths are those of the columns, without the gaps between them.
func (t *table) widths() map[int]int {
	widths := map[int]int{}
	for _, row := range t.rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	return widths
}

// printable makes one line of a text of unknown origin, such as what a probe was
// answered: nothing in it may move the cursor.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.TrimSpace(text))
}

// stateField is a state in its colour.
func stateField(p control.Program) field {
	switch {
	case p.Completed:
		return field{p.State + " (completed)", dim}
	case p.State == "RUNNING":
		return field{p.State, green}
	case p.State == "FATAL", p.State == "EXITED":
		return field{p.State, red}
	case p.State == "STOPPED":
		return field{p.State, dim}
	}
	return field{p.State, yellow}
}

// healthField is the word of the checks in its colour.
func healthField(p control.Program) field {
	if p.Health == nil {
		return field{"-", ""}
	}
	return field{p.Health.Status, cmp.Or(map[string]string{"healthy": green, "unhealthy": red}[p.Health.Status], yellow)}
}

// plainFields are cells without colour.
func plainFields(texts ...string) []field {
	cells := make([]field, 0, len(texts))
	for _, text := range texts {
		cells = append(cells, field{text, ""})
	}
	return cells
}
