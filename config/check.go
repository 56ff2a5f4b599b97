package config

import "strings"

// check finds what is wrong between keys, after each was read by itself.
func (f *file) check() {
	if _, there := f.given["programs"]; !there {
		f.at.problem("needs `programs` with at least one program")
	}
	for _, p := range f.programs {
		if p.at.isMapping() && !p.has("command") {
			p.at.keyProblem("needs a command")
		}
	}
	f.checkRegistry()
	f.checkKeys()
	f.checkDependencies()
	f.checkCycles()
}

// checkRegistry completes the registrations by what the registry says.
func (f *file) checkRegistry() {
	registrations := 0
	for _, p := range f.programs {
		registrations += len(p.Policy.Register)
		if len(p.Policy.Register) > 0 && !f.registry.has("etcd") {
			p.given["register"].keyProblem("needs registry.etcd, which says where the keys go")
		}
		for i := range p.Policy.Register {
			p.Policy.Register[i].Advertise.complete(f.registry.advertise)
		}
		p.Policy.GuardRegistrations()
	}
	if f.registry.advertise.Port != 0 && registrations > 1 {
		f.registry.advertiseAt["port"].problem("%d registrations cannot share one port: set advertise.port at each of them", registrations)
	}
}

// complete takes what is not set from b.
func (a *Advertise) complete(b Advertise) {
	if !a.IP.IsValid() {
		a.IP = b.IP
	}
	if a.Port == 0 {
		a.Port = b.Port
	}
}

// checkKeys finds registrations that would write one key: of one port of the
// container, or of one address that both advertise.
func (f *file) checkKeys() {
	type target struct {
		key  string
		port Port
		to   Advertise
	}
	first := map[target]value{}
	for _, p := range f.programs {
		for i, r := range p.Policy.Register {
			targets := []target{{key: r.Key, port: r.Port}}
			if r.Advertise.IP.IsValid() && r.Advertise.Port != 0 {
				targets = append(targets, target{key: r.Key, to: r.Advertise})
			}
			at := p.register[i]
			for _, t := range targets {
				if earlier, taken := first[t]; taken {
					at.problem("gives the same key as %s: change key or port", earlier.path)
					break
				}
				first[t] = at
			}
		}
	}
}

func (f *file) checkDependencies() {
	byName := map[string]*program{}
	var names []string
	for _, p := range f.programs {
		byName[p.Name] = p
		names = append(names, p.Name)
	}
	for _, p := range f.programs {
		for i, d := range p.Policy.DependsOn {
			at := p.depends[i]
			switch on := byName[d.Program]; {
			case on == nil:
				at.problem("there is no program %s%s", quote(d.Program), didYouMean(d.Program, names))
			case on == p:
				at.problem("a program cannot depend on itself")
			default:
				checkCondition(at, on, d.Condition)
			}
		}
	}
}

// checkCondition refuses to wait for what cannot happen.
func checkCondition(at value, on *program, c Condition) {
	switch {
	case c == Completed && on.Policy.Restart.Mode == RestartAlways:
		at.problem("%s has restart: always, so it never completes", on.Name)
	case c == Healthy && len(on.Policy.Checks) == 0 && !on.badRegister:
		at.problem("%s has neither a healthcheck nor a registered TCP port, so it never becomes healthy", on.Name)
	}
}

func (f *file) checkCycles() {
	programs := make([]Program, len(f.programs))
	for i, p := range f.programs {
		programs[i] = p.Program
	}
	for _, cycle := range walk(programs).cycles {
		first, next := f.programs[cycle[0]], f.programs[cycle[1]].Name
		var names []string
		for _, i := range cycle {
			names = append(names, f.programs[i].Name)
		}
		for i, d := range first.Policy.DependsOn {
			if d.Program == next {
				first.depends[i].problem("dependency cycle: %s", strings.Join(names, " -> "))
			}
		}
	}
}
