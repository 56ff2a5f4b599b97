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

func newLayout(programs []config.Program) *layout {
	l := &layout{place: make(map[string]int, len(programs))}
	for i, p := range programs {
		l.width = max(l.width, len(p.Name))
		l.place[p.Name] = i
	}
	return l
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
