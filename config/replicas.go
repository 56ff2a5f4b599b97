package config

import "strconv"

const (
	maxReplicas = 1000
	// replicaVariable is the number of a copy, from 0, in every string of it.
	replicaVariable = "REPLICA"
)

// readCopies reads a program once, or as many times as it has replicas: each
// copy is interpolated with its own number.
func readCopies(e entry) []*program {
	first := readProgram(e.copy(0))
	all := []*program{first}
	for i := 1; i < first.replicas && e.d.exhausted == nil; i++ {
		all = append(all, readProgram(e.copy(i)))
	}
	if first.replicas > 1 {
		for i, p := range all {
			p.Name = e.name + "-" + strconv.Itoa(i)
		}
	}
	return all
}

// copy is the entry with the number of a copy as a variable, which wins over
// one of sidekick's environment.
func (e entry) copy(number int) entry {
	outer := e.d
	inner := *outer
	inner.lookup = func(name string) (string, bool) {
		if name == replicaVariable {
			return strconv.Itoa(number), true
		}
		return outer.variable(name)
	}
	e.d = &inner
	return e
}

// isCopy says whether the program is one of several copies.
func (p *program) isCopy() bool { return p.Name != p.Group }
