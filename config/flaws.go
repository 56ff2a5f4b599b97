package config

import (
	"fmt"
	"strings"
)

// Flaw is why the programs of a configuration cannot run together. What Load
// returns has none; what is put together of two configurations may have some.
type Flaw struct {
	// Programs are those that have it.
	Programs []string
	// Lacks is the program that they depend on and that is not there; "": the
	// flaw is another.
	Lacks string
	text  string
}

func (f Flaw) String() string { return f.text }

// Flaws finds names that are given twice, dependencies on nothing and dependency
// cycles, and registrations without an etcd.
func (c *Config) Flaws() []Flaw {
	var all []Flaw
	w := walk(c.Programs)
	for i, p := range c.Programs {
		if w.index[p.Name] != i {
			all = append(all, Flaw{Programs: []string{p.Name}, text: fmt.Sprintf("there are two programs %s", p.Name)})
		}
		if len(p.Policy.Register) > 0 && c.Registry.Etcd == nil {
			all = append(all, Flaw{Programs: []string{p.Name}, text: p.Name + " is registered, but there is no registry.etcd"})
		}
		for _, d := range p.Policy.DependsOn {
			if _, known := w.index[d.Program]; !known {
				all = append(all, Flaw{Programs: []string{p.Name}, Lacks: d.Program,
					text: fmt.Sprintf("%s depends on %s, which is not there", p.Name, d.Program)})
			}
		}
	}
	for _, cycle := range w.found() {
		var names []string
		for _, i := range cycle.programs {
			names = append(names, c.Programs[i].Name)
		}
		all = append(all, Flaw{Programs: names, text: "dependency cycle: " + strings.Join(names, " -> ")})
	}
	return all
}
