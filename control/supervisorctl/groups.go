package supervisorctl

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"sync"

	"sidekick/config"
	"sidekick/supervisor"
)

// groups is what Supervisor calls the active process groups, beside the file as
// it was read last: `update` takes the differences over one by one.
//
// What runs must be sound at every moment, and the container must not end because
// nothing is left to run. So a group that was removed stays in the configuration,
// stopped and out of sight, as long as the file has it, another program depends on
// it or nothing else runs; and an added group brings along what it depends on.
type groups struct {
	source     Configuration
	supervisor Supervisor

	mu      sync.Mutex // guards what follows
	current *config.Config
	file    *config.Config  // as reloadConfig read it; current, if that was not called
	active  []string        // in the order in which they became that
	gone    map[string]bool // removed, and still in current
	implied map[string]bool // brought along by another, not yet added itself
	// launches are how often a program had been started when its group was added
	// anew: in Supervisor's eyes it is another one, and never was.
	launches map[string]uint64
}

// sync forgets everything when another configuration runs than we know of: then
// somebody has reloaded it as a whole. Called with mu held.
func (g *groups) sync() {
	if c := g.source.Current(); c != g.current {
		g.current, g.file = c, c
		g.gone, g.implied, g.launches = map[string]bool{}, map[string]bool{}, map[string]uint64{}
		g.active = slices.Sorted(maps.Keys(byGroup(c)))
	}
}

// removed says whether a group is not active, although it is there.
func (g *groups) removed(group string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sync()
	return g.gone[group]
}

// asRead is the file as it was read last.
func (g *groups) asRead() *config.Config {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sync()
	return g.file
}

// difference is between the file and the active groups.
type difference struct{ added, changed, removed []string }

// reread reads the file. What is outside of `programs` takes effect at once.
// Added and changed groups come after what they depend on, removed ones before:
// in this order supervisorctl goes through them.
func (g *groups) reread(ctx context.Context) (difference, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sync()
	file, err := g.source.Read()
	if err != nil {
		return difference{}, faultf(cantReread, "%v", err)
	}
	g.file, g.implied = file, map[string]bool{}
	if _, err := g.swap(ctx); err != nil {
		return difference{}, err
	}
	var d difference
	was, is := byGroup(g.current), byGroup(file)
	needing := needs(file)
	for _, name := range arrange(slices.Sorted(maps.Keys(is)), func(a, b string) bool { return needing[a][b] }) {
		switch {
		case !slices.Contains(g.active, name):
			d.added = append(d.added, name)
		case !reflect.DeepEqual(was[name], is[name]):
			d.changed = append(d.changed, name)
		}
	}
	needed := needs(g.current)
	for _, name := range arrange(g.active, func(a, b string) bool { return needed[b][a] }) {
		if is[name] == nil {
			d.removed = append(d.removed, name)
		}
	}
	return d, nil
}

// byGroup sorts the programs of a configuration.
func byGroup(c *config.Config) map[string][]config.Program {
	all := map[string][]config.Program{}
	for _, p := range c.Programs {
		all[p.Group] = append(all[p.Group], p)
	}
	return all
}

// needs says which groups depend on which others.
func needs(c *config.Config) map[string]map[string]bool {
	group := map[string]string{}
	for _, p := range c.Programs {
		group[p.Name] = p.Group
	}
	all := map[string]map[string]bool{}
	for _, p := range c.Programs {
		for _, d := range p.Policy.DependsOn {
			if all[p.Group] == nil {
				all[p.Group] = map[string]bool{}
			}
			all[p.Group][group[d.Program]] = true
		}
	}
	return all
}

// arrange keeps the order of names, but puts b before a where after(a, b). Where
// that is a circle, which replicas can make of groups, some of it is left undone.
func arrange(names []string, after func(a, b string) bool) []string {
	var arranged []string
	seen := map[string]bool{}
	var place func(name string)
	place = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		for _, other := range names {
			if after(name, other) {
				place(other)
			}
		}
		arranged = append(arranged, name)
	}
	for _, name := range names {
		place(name)
	}
	return arranged
}

// add makes a group of the file active. It returns those of its programs that
// are to be started, since a swap starts only what is new.
func (g *groups) add(ctx context.Context, name string) (start []string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sync()
	programs, was := byGroup(g.file)[name], byGroup(g.current)[name]
	switch {
	case programs == nil:
		return nil, faultf(badName, "%s", name)
	case g.implied[name]:
		g.implied[name] = false
		return nil, nil
	case slices.Contains(g.active, name):
		return nil, faultf(alreadyAdded, "%s", name)
	}
	before := g.launched()
	taken, err := g.swap(ctx, name)
	if err != nil {
		return nil, err
	}
	for _, other := range slices.Sorted(maps.Keys(taken)) {
		if !slices.Contains(g.active, other) {
			g.active = append(g.active, other)
			g.implied[other] = other != name
			for _, p := range byGroup(g.current)[other] {
				g.launches[p.Name] = before[p.Name]
			}
		}
	}
	for _, p := range programs {
		if was != nil && p.Policy.Autostart {
			start = append(start, p.Name)
		}
	}
	return start, nil
}

// launched is how often each program has been started so far.
func (g *groups) launched() map[string]uint64 {
	snapshot, _ := g.supervisor.Snapshot()
	all := map[string]uint64{}
	for _, st := range snapshot.Programs {
		all[st.Name] = st.Launch
	}
	return all
}

// seen is a program as Supervisor would show it: stopped, and not started since
// its group was added, it is as if it had never run.
func (g *groups) seen(st *supervisor.ProgramStatus) *supervisor.ProgramStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	if st.State != supervisor.Stopped || st.Launch > g.launches[st.Name] {
		return st
	}
	fresh := *st
	fresh.Launch, fresh.Exit = 0, nil
	return &fresh
}

// remove takes a group out that is stopped.
func (g *groups) remove(ctx context.Context, name string, stopped bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sync()
	switch {
	case !slices.Contains(g.active, name):
		return faultf(badName, "%s", name)
	case !stopped:
		return faultf(stillRunning, "%s", name)
	}
	g.gone[name] = true
	delete(g.implied, name)
	g.active = slices.DeleteFunc(g.active, func(other string) bool { return other == name })
	_, err := g.swap(ctx)
	return err
}

// somethingRuns: the container would not end if what is gone were not there.
// Called with mu held.
func (g *groups) somethingRuns() bool {
	snapshot, _ := g.supervisor.Snapshot()
	return slices.ContainsFunc(snapshot.Programs, func(st supervisor.ProgramStatus) bool {
		return !g.gone[st.Config.Group] && (process{ProgramStatus: &st}).isRunning()
	})
}

// swap has the present groups run, those in take as the file has them, and what
// is outside of `programs`. It returns all groups that it took from the file.
// Called with mu held.
func (g *groups) swap(ctx context.Context, take ...string) (taken map[string]bool, err error) {
	m := newMixture(g.current, g.file, take)
	if g.somethingRuns() || m.starts() {
		m.drop(g.gone)
	}
	next := m.mix()
	if flaws := next.Flaws(); flaws != nil {
		return nil, faultf(failed, "%s", flaws[0])
	}
	if !reflect.DeepEqual(next, g.current) {
		if _, err := g.source.Swap(ctx, g.current, next); err != nil {
			return nil, swapFault(err)
		}
		g.current = next
	}
	left := byGroup(next)
	maps.DeleteFunc(g.gone, func(name string, _ bool) bool { return m.take[name] || left[name] == nil })
	return m.take, nil
}

// reload has the whole file run.
func (g *groups) reload(ctx context.Context) (config.Plan, *config.Config, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sync()
	file, err := g.source.Read()
	if err != nil {
		return config.Plan{}, nil, faultf(cantReread, "%v", err)
	}
	before := g.launched()
	plan, err := g.source.Swap(ctx, g.current, file)
	if err != nil {
		return config.Plan{}, nil, swapFault(err)
	}
	g.sync()
	g.launches = before
	return plan, file, nil
}

func swapFault(err error) error {
	if errors.Is(err, supervisor.ErrShuttingDown) {
		return faultf(shutdownState, "")
	}
	return faultf(failed, "%v", err)
}
