package config

import "strings"

// check finds what is wrong between keys, after each was read by itself.
func (f *file) check() {
	f.checkAny()
	for _, p := range f.programs {
		if p.at.isMapping() && !p.has("command") {
			p.at.keyProblem("needs a command")
		}
		p.checkNotify()
		p.checkProbe()
	}
	f.checkCopyNames()
	f.checkRegistry()
	f.checkPorts()
	f.checkKeys()
	f.checkFormats()
	f.checkLogFiles()
	f.checkDependencies()
	f.checkCycles()
}

// checkAny wants a program, in whatever file.
func (f *file) checkAny() {
	v, there := f.given["programs"]
	switch {
	case len(f.named) > 0 || f.incomplete:
	case !there:
		f.at.problem("needs `programs` with at least one program")
	case v.isMapping() && (len(v.node.Content) == 0 || len(v.d.problems) == 0): // the second: `<<` of nothing
		v.problem(noPrograms)
	}
}

// checkRegistry completes the registrations by what the registry says.
func (f *file) checkRegistry() {
	registrations, asksDocker := 0, false
	for _, p := range f.programs {
		registrations += len(p.Policy.Register)
		if len(p.Policy.Register) > 0 && !f.registry.has("etcd") {
			p.given["register"].keyProblem("needs registry.etcd, which says where the keys go")
		}
		for i := range p.Policy.Register {
			a := &p.Policy.Register[i].Advertise
			a.complete(f.registry.advertise)
			asksDocker = asksDocker || !a.fixed()
		}
		p.Policy.GuardRegistrations()
	}
	if f.registry.advertise.Port != 0 && registrations > 1 {
		f.registry.advertiseAt["port"].problem("%d registrations cannot share one port: set advertise.port at each of them", registrations)
	}
	if asksDocker && f.registry.has("etcd") {
		f.registry.checkHost()
	}
}

// fixed: Docker need not be asked.
func (a *Advertise) fixed() bool { return a.IP.IsValid() && a.Port != 0 }

// complete takes what is not set from b.
func (a *Advertise) complete(b Advertise) {
	if !a.IP.IsValid() {
		a.IP = b.IP
	}
	if a.Port == 0 {
		a.Port = b.Port
	}
}

// registered is a registration and whose it is.
type registered struct {
	Registration
	program *program
	at      value
}

func (f *file) registrations() []registered {
	var all []registered
	for _, p := range f.programs {
		for i, r := range p.Policy.Register {
			all = append(all, registered{r, p, p.register[i]})
		}
	}
	return all
}

// checkKeys finds registrations that would write one key: of one port of the
// container, or of one address that both advertise. The formats differ only in
// what they make of the directory.
func (f *file) checkKeys() {
	type target struct {
		key  string
		port Port
		to   Advertise
	}
	first := map[target]registered{}
	for _, r := range f.registrations() {
		var targets []target
		for _, key := range f.directories(r.Key) {
			targets = append(targets, target{key: key, port: r.Port})
			if r.Advertise.fixed() {
				targets = append(targets, target{key: key, to: r.Advertise})
			}
		}
		for _, t := range targets {
			earlier, taken := first[t]
			if !taken {
				first[t] = r
				continue
			}
			if !r.sharesPort(earlier) { // checkPorts speaks of those
				r.at.problem("gives the same key as %s: change key or port", earlier.at.path)
			}
			break
		}
	}
}

// checkPorts finds copies of one program that register the same port of the
// container, which only one of them can listen on.
func (f *file) checkPorts() {
	type port struct {
		group string
		Port
	}
	first := map[port]registered{}
	for _, r := range f.registrations() {
		key := port{r.program.Group, r.Port}
		if earlier, taken := first[key]; !taken {
			first[key] = r
		} else if r.sharesPort(earlier) {
			r.at.problem("the copies of %s would share port %s: give each its own with ${%s}",
				r.program.Group, r.Port, replicaVariable)
		}
	}
}

// sharesPort says whether two copies of one program register one port.
func (r registered) sharesPort(other registered) bool {
	return r.Port == other.Port && r.program != other.program && r.program.Group == other.program.Group
}

// checkDependencies replaces what programs depend on by programs: the name of
// one with replicas stands for all copies.
func (f *file) checkDependencies() {
	named := map[string][]*program{}
	var names []string
	for _, p := range f.programs {
		if len(named[p.Group]) == 0 {
			names = append(names, p.Group)
		}
		named[p.Group] = append(named[p.Group], p)
		if p.isCopy() {
			named[p.Name] = append(named[p.Name], p)
		}
	}
	for _, p := range f.programs {
		depends, at := p.Policy.DependsOn, p.depends
		p.Policy.DependsOn, p.depends = nil, nil
		already := map[Dependency]bool{}
		for i, d := range depends {
			on := named[d.Program]
			if on == nil && !f.incomplete {
				at[i].problem("there is no program %s%s", quote(d.Program), didYouMean(d.Program, names))
			}
			p.dependOnAll(at[i], on, d.Condition, already)
		}
	}
}

// dependOnAll adds dependencies on all of these programs that are not there
// already. They are paid for: many copies that depend on many are very many.
func (p *program) dependOnAll(at value, all []*program, c Condition, already map[Dependency]bool) {
	for _, on := range all {
		switch {
		case on == p:
			at.problem("a program cannot depend on itself")
			return
		case !at.d.spend(at.node):
			return
		}
		checkCondition(at, on, c)
		if d := (Dependency{on.Name, c}); !already[d] {
			already[d] = true
			p.dependOn(at, on.Name, c)
		}
	}
}

// checkCondition refuses to wait for what cannot happen.
func checkCondition(at value, on *program, c Condition) {
	switch {
	case c == Completed && on.Policy.Restart.Mode == RestartAlways:
		at.problem("%s has restart: always, so it never completes", on.Group)
	case c == Healthy && len(on.Policy.Checks) == 0 && on.Launch.Watchdog == 0 && !on.badRegister:
		at.problem("%s has neither a healthcheck nor a watchdog nor a registered TCP port, so it never becomes healthy", on.Group)
	}
}

func (f *file) checkCycles() {
	programs := make([]Program, len(f.programs))
	for i, p := range f.programs {
		programs[i] = p.Program
	}
	for _, c := range walk(programs).found() {
		first, next := f.programs[c.programs[0]], f.programs[c.programs[1]].Name
		for i, d := range first.Policy.DependsOn {
			if d.Program == next {
				first.depends[i].problem("dependency cycle: %s", strings.Join(c.names, " -> "))
			}
		}
	}
}
