package config

import (
	"slices"
	"strings"
)

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
	order    []int // dependencies first
	cycles   []cycle
	tangled  *cycle // the first that goes through two copies of one program
	noted    map[string]bool
	closed   int // how many cycles there were
}

// cycle is a circle of dependencies. It ends with what it begins with.
type cycle struct {
	programs []int
	names    []string
}

// maxCycles bounds the cycles that are looked at: there may be very many, and
// all of them long.
const maxCycles = 1000

type visit int

const (
	unvisited visit = iota
	visiting
	visited
)

func walk(programs []Program) *walker {
	w := &walker{programs: programs, index: map[string]int{}, state: make([]visit, len(programs)), noted: map[string]bool{}}
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
			if w.closed++; w.closed <= maxCycles {
				from := slices.Index(w.stack, on)
				w.note(append(slices.Clone(w.stack[from:]), on))
			}
		case w.state[on] == unvisited:
			w.visit(on)
		}
	}
	w.stack = w.stack[:len(w.stack)-1]
	w.state[i] = visited
	w.order = append(w.order, i)
}

// note keeps a cycle. Copies make many of one: they are called by the name of
// all, and those that differ in nothing else, or go through two copies of one
// program, are not kept.
func (w *walker) note(programs []int) {
	var groups, names []string
	for _, i := range programs {
		groups = append(groups, w.programs[i].Group)
		names = append(names, w.programs[i].Name)
	}
	seen := map[string]bool{}
	for _, group := range groups[1:] {
		if seen[group] {
			if w.tangled == nil {
				w.tangled = &cycle{programs, names}
			}
			return
		}
		seen[group] = true
	}
	first := slices.Index(groups, slices.Min(groups)) // it may have been entered anywhere
	if key := strings.Join(slices.Concat(groups[first:], groups[1:first+1]), " "); !w.noted[key] {
		w.noted[key] = true
		w.cycles = append(w.cycles, cycle{programs, groups})
	}
}

// found returns the cycles to speak of; there is one if there is any.
func (w *walker) found() []cycle {
	if len(w.cycles) == 0 && w.tangled != nil {
		return []cycle{*w.tangled}
	}
	return w.cycles
}
