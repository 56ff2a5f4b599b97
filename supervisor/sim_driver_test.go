package supervisor

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"sidekick/config"
)

// inLoop runs in the loop's goroutine, between two messages.
type inLoop func(s *Supervisor)

func (f inLoop) handle(s *Supervisor) { f(s) }

// burst puts messages into the queue at one moment: the loop takes them without
// looking at the whole in between.
type burst []message

func (b burst) handle(s *Supervisor) {
	for _, m := range b {
		s.messages <- m
	}
}

// drive acts at random until the loop has ended.
func (w *sim) drive(d dice) {
	longest := 20 * time.Second
	if w.fragile {
		longest = time.Second
	}
	for range 10 + d.IntN(50) {
		if !w.sleep(d.about(time.Microsecond, longest)) {
			return
		}
		w.s.post(w.act(d))
	}
	if d.chance(50) && !w.calmDown() {
		return
	}
	if d.chance(20) {
		w.s.post(w.stall(d))
	}
	w.s.post(inLoop(w.terminate))
	if d.chance(50) {
		if !w.sleep(d.about(time.Millisecond, 10*time.Second)) {
			return
		}
		w.s.post(inLoop(w.terminate))
	}
	if w.sleep(time.Minute) {
		w.violated("the loop has not ended a minute after the shutdown")
		w.s.post(inLoop(func(s *Supervisor) { s.down.over = true }))
	}
}

// sleep reports whether the loop still runs and the run is worth going on.
func (w *sim) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-w.s.done:
		return false
	}
}

// act is one random thing to do.
func (w *sim) act(d dice) message {
	n, own := d.IntN(1000), newDice(d.Uint64(), 0)
	switch r := d.IntN(100); {
	case r < 35:
		action := pick(d, Start, Stop, Restart)
		return inLoop(func(s *Supervisor) { w.command(s, action, target(s, n)) })
	case r < 65:
		return w.healthReport(d, n)
	case r < 72:
		return inLoop(func(s *Supervisor) { w.reload(s, own) })
	case r < 80:
		return w.stall(d)
	case r < 90:
		b := burst{}
		for range 2 + d.IntN(5) {
			b = append(b, w.act(d))
		}
		return b
	case r < 91:
		return inLoop(w.terminate)
	}
	return look{}
}

// target is one of the programs there are, or, seldom, one that may not be.
func target(s *Supervisor, n int) string {
	if n%10 == 0 || len(s.programs) == 0 {
		return simName(n % simNames)
	}
	return s.programs[n%len(s.programs)].name
}

// stall keeps the loop from its queue for a while, so that timers fire, programs
// end and commands come before it looks at any of them.
func (w *sim) stall(d dice) message {
	long := d.about(time.Microsecond, 4*time.Second)
	return inLoop(func(s *Supervisor) {
		if s.down.stage == up {
			w.event("the loop stalls for %v", long)
			time.Sleep(long)
			w.lastStall = time.Now()
		}
	})
}

func (w *sim) terminate(s *Supervisor) {
	w.mu.Lock()
	w.note("TERM")
	w.ended(time.Now())
	w.mu.Unlock()
	again := s.down.stage != up
	if !again {
		w.requested = true
	}
	shutdownRequest{"TERM"}.handle(s)
	if again {
		w.check(0, w.checkKilled)
	}
}

// healthReport is about this life of a program, or about one that is over.
func (w *sim) healthReport(d dice, n int) message {
	status := pick(d, Healthy, Healthy, Unhealthy, HealthStarting)
	age, index := uint64(pick(d, 0, 0, 0, 1, 2)), d.IntN(2)
	return inLoop(func(s *Supervisor) {
		name := target(s, n)
		p := s.byName[name]
		if p == nil || age > p.launch {
			return
		}
		w.mu.Lock()
		w.note("%s %s, check %d, launch %d of %d", name, status, index, p.launch-age, p.launch)
		prog := w.programs[name]
		live := age == 0 && p.leader && index < len(p.config.Policy.Checks)
		if live {
			prog.health = prog.words(p.launch, len(p.config.Policy.Checks))
			prog.health[index], prog.healthOf = status, p.launch
		}
		w.mu.Unlock()
		CheckResult{Program: name, Launch: p.launch - age, Index: index, CheckStatus: CheckStatus{Status: status}}.handle(s)
		if live && status == Healthy && p.leader && p.healthy() && !p.config.Launch.Notify {
			prog.ready = p.launch
		}
	})
}

// wants is what is wanted of each program.
func wants(s *Supervisor) map[string]Want {
	all := map[string]Want{}
	for _, p := range s.programs {
		all[p.name] = p.at.want
	}
	return all
}

// command carries a command out and checks what it changed at once.
func (w *sim) command(s *Supervisor, action Action, name string) {
	before, late := wants(s), s.down.stage != up
	w.event("%s %s", action, name)
	answer := make(chan reply, 1)
	request{[]string{name}, func(s *Supervisor, p *program) error { return s.act(action, p) }, answer}.handle(s)
	r := <-answer
	p := s.byName[name]
	after := wants(s)
	if late || r.err != nil {
		if !maps.Equal(before, after) {
			w.violated("%s %s was refused with %v, and changed what is wanted", action, name, r.err)
		}
		return
	}
	w.mu.Lock()
	prog := w.programs[name]
	prog.commanded, prog.touched = true, true
	if !prog.present {
		w.fail("%s %s is accepted, and the configuration has no such program", action, name)
	}
	w.mu.Unlock()
	allowed := map[string]Want{name: Down}
	if action != Stop {
		allowed = map[string]Want{}
		closure(s, name, allowed)
		w.touch(allowed)
	}
	if p.at.want != allowed[name] && s.down.stage == up {
		w.violated("after %s, %s is wanted %v", action, name, p.at.want)
	}
	w.checkWants(before, after, allowed)
}

// touch: the loop may begin anew with these.
func (w *sim) touch(names map[string]Want) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range names {
		w.programs[name].touched = true
	}
}

// closure has the program and all it depends on, as wanted up.
func closure(s *Supervisor, name string, all map[string]Want) {
	p := s.byName[name]
	if _, seen := all[name]; seen || p == nil {
		return
	}
	all[name] = Up
	for _, d := range p.config.Policy.DependsOn {
		closure(s, d.Program, all)
	}
}

// reload swaps a random configuration in and checks that it touches nothing
// that did not change.
func (w *sim) reload(s *Supervisor, d dice) {
	w.mu.Lock()
	calm := w.calm
	w.mu.Unlock()
	if s.down.stage != up || calm {
		return
	}
	next := changedConfig(d, w.config)
	before, allowed := wants(s), map[string]Want{}
	positions := map[string]position{}
	var starts []string // if autostart says so
	for _, p := range s.programs {
		positions[p.name] = p.at
		if p.untouched() {
			starts = append(starts, p.name)
		}
	}
	plan := s.plan(next)
	starts = append(starts, plan.Added...)
	w.event("reload: %v added, %v removed, %v relaunched, %v retuned", plan.Added, plan.Removed, plan.Relaunched, plan.Retuned)
	w.adopt(next, plan)
	for _, name := range plan.Added {
		if s.byName[name] == nil {
			w.positions[position{stopped, Down}]++
		}
	}
	dry, reply := make(chan reloadReply, 1), make(chan reloadReply, 1)
	reload{next, true, dry}.handle(s)
	reload{next, false, reply}.handle(s)
	if a, b := <-dry, <-reply; !reflect.DeepEqual(a, b) {
		w.violated("the dry run says %+v, the reload %+v", a, b)
	}
	for _, name := range starts {
		if p := s.byName[name]; !p.removed && p.config.Policy.Autostart {
			closure(s, name, allowed)
		}
	}
	w.touch(allowed)
	for _, name := range slices.Concat(plan.Added, plan.Removed) {
		if _, wanted := allowed[name]; !wanted {
			allowed[name] = Down
		}
	}
	w.checkWants(before, wants(s), allowed)
	for _, name := range plan.Relaunched {
		if was := positions[name]; was == s.byName[name].at && was.phase != launching && was.phase != stopping && was.phase != draining {
			w.violated("a reload does not relaunch %s, and says so", name)
		}
	}
	for _, name := range slices.Concat(plan.Same, plan.Retuned, plan.Deferred) {
		if _, wanted := allowed[name]; !wanted && s.byName[name].at != positions[name] {
			w.violated("a reload moved %s, which it does not relaunch, from %v to %v", name, positions[name], s.byName[name].at)
		}
	}
}

// adopt makes a new configuration the model's.
func (w *sim) adopt(next *config.Config, plan config.Plan) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.drain
	if w.config, w.drain = next, next.Registry.Drain; w.drain != old {
		w.drainSet = time.Now()
	}
	for _, prog := range w.programs {
		prog.present = false
	}
	for i := range next.Programs {
		prog := w.programs[next.Programs[i].Name]
		prog.config, prog.present = &next.Programs[i], true
	}
	for _, name := range slices.Concat(plan.Retuned, plan.Relaunched, plan.Deferred, plan.Added, plan.Removed) {
		prog := w.programs[name]
		prog.touched, prog.reloaded, prog.retune = true, true, true
		if slices.Contains(plan.Added, name) {
			prog.commanded = false
		}
		prog.health = prog.health[:min(len(prog.health), len(prog.config.Policy.Checks))]
		for _, p := range prog.lives {
			p.retuned = true
		}
	}
}

// words has what each of n checks has said of a launch.
func (prog *simProgram) words(launch uint64, n int) []Health {
	var words []Health
	if prog.healthOf == launch {
		words = prog.health
	}
	for len(words) < n {
		words = append(words, HealthStarting)
	}
	return words
}

// calmDown lets time pass in which nothing bad happens, and then looks whether
// everything has come to where it belongs.
func (w *sim) calmDown() bool {
	w.mu.Lock()
	w.calm = true
	w.note("calm")
	w.mu.Unlock()
	if !w.sleep(10 * time.Minute) {
		return false
	}
	w.s.post(inLoop(w.checkSettled))
	return w.sleep(time.Millisecond)
}
