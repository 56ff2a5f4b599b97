package logs

import (
	"strconv"
	"strings"

	"sidekick/config"
)

// layout is how the names of programs are shown. It is never changed.
type layout struct {
	width int // of the longest name, in bytes: names are ASCII
	place map[string]int
}

func newLayout(names []string) *layout {
	l := &layout{place: make(map[string]int, len(names))}
	for i, name := range names {
		l.width = max(l.width, len(name))
		l.place[name] = i
	}
	return l
}

func namesOf(programs []config.Program) (names []string) {
	for _, p := range programs {
		names = append(names, p.Name)
	}
	return names
}

// Prefixes are what stands before the lines of programs that are shown together:
// their names, aligned, and on a terminal each in its colour.
func Prefixes(names []string, colour bool) map[string][]byte {
	l := newLayout(names)
	all := make(map[string][]byte, len(names))
	for _, name := range names {
		all[name] = l.prefix(name, colour)
	}
	return all
}

// prefix is what stands before every line of program: "web | ".
func (l *layout) prefix(program string, colour bool) []byte {
	text := program + strings.Repeat(" ", max(0, l.width-len(program))) + " | "
	if !colour {
		return []byte(text)
	}
	// Green to cyan, then their bright versions: neither black nor white,
	// which vanish on some screens, nor red, which reads as an error.
	const first, colours = 32, 5
	place := l.place[program]
	code := first + place%colours + 60*(place/colours%2)
	return []byte("\x1b[" + strconv.Itoa(code) + "m" + text + "\x1b[0m")
}
