package config

import "slices"

// Order returns the indices of Programs in the order to start them: each
// after what it depends on, otherwise as in the file. To stop them, go
// backwards.
func (c *Config) Order() []int { return walk(c.Programs).order }

// walker visits programs along depends_on, depth first.
type walker struct {
	programs []Program
	index    map[string]int
	stack    []int // the programs that are being visited
	state    []visit
	order    []int   // dependencies first
	cycles   [][]int // each ends with the program it begins with
}

// maxCycles bounds the cycles that are noted: there may be very many, and all
// of them long.
const maxCycles = 100

type visit int

const (
	unvisited visit = iota
	visiting
	visited
)

func walk(programs []Program) *walker {
	w := &walker{programs: programs, index: map[string]int{}, state: make([]visit, len(programs))}
	for i, p := range programs {
		w.index[p.Name] = i
	}
	for i := range programs {
		if w.state[i] == unvisited {
			w.visit(i)
		}
	}
	return w
}

// visit goes to what program i depends on first. A dependency on a program
// that is being visited closes a cycle, which is noted and not followed; one
// on itself and one on nothing are other problems.
func (w *walker) visit(i int) {
	w.state[i] = visiting
	w.stack = append(w.stack, i)
	for _, d := range w.programs[i].Policy.DependsOn {
		on, known := w.index[d.Program]
		switch {
		case !known || on == i:
		case w.state[on] == visiting:
			if len(w.cycles) < maxCycles {
				from := slices.Index(w.stack, on)
				w.cycles = append(w.cycles, append(slices.Clone(w.stack[from:]), on))
			}
		case w.state[on] == unvisited:
			w.visit(on)
		}
	}
	w.stack = w.stack[:len(w.stack)-1]
	w.state[i] = visited
	w.order = append(w.order, i)
}
