package supervisor

import (
	"slices"
	"time"
)

// shutsDown notes the times that a shutdown has to keep.
func (w *sim) shutsDown() {
	w.shutdown = time.Now()
	timeout := w.config.ShutdownTimeout
	kill := timeout - min(500*time.Millisecond, timeout/2)
	order := min(max(timeout-2*time.Second, 0), kill)
	w.orderEnds, w.killing, w.deadline = w.shutdown.Add(order), w.shutdown.Add(kill), w.shutdown.Add(timeout)
	w.note("shutdown, %v", timeout)
	for _, p := range w.last.Programs {
		prog := w.programs[p.Name]
		prog.alreadyDown = prog.touched || p.State != Running && p.State != Starting || w.phases[p.Name] == launching
	}
	w.check(order, w.checkAsked)
	w.check(kill, w.checkKilled)
	w.check(timeout, func() { w.fail("the loop has not ended by shutdown_timeout") })
}

// ended notes when something ended that a shutdown waits for.
func (w *sim) ended(at time.Time) {
	if at.After(w.lastEnd) {
		w.lastEnd = at
	}
}

// checkCause: what begins a shutdown, and which exit code that means.
func (w *sim) checkCause(before, now *Snapshot) {
	if before.ShuttingDown || !now.ShuttingDown {
		return
	}
	if w.requested {
		w.codes = []int{0}
		return
	}
	for i := range now.Programs {
		p := &now.Programs[i]
		at := slices.IndexFunc(before.Programs, func(o ProgramStatus) bool { return o.Name == p.Name })
		fresh := at < 0 || before.Programs[at].State != p.State || before.Programs[at].Launch != p.Launch ||
			w.programs[p.Name].touched
		if p.Config.Policy.Essential && bad(p) && fresh {
			w.codes = append(w.codes, w.failureCode(p))
		}
	}
	if len(w.codes) > 0 {
		return
	}
	w.checkNothingLeft(now)
	w.codes = w.firstFailures(now)
}

// firstFailures are the exit codes of a container that ends by itself: that of
// what failed first and was not started again. Several may have at one moment.
func (w *sim) firstFailures(now *Snapshot) []int {
	codes, at := []int{0}, time.Time{}
	for i := range now.Programs {
		p := &now.Programs[i]
		switch {
		case !bad(p):
		case at.IsZero() || p.Since.Before(at):
			codes, at = []int{w.failureCode(p)}, p.Since
		case p.Since.Equal(at):
			codes = append(codes, w.failureCode(p))
		}
	}
	return codes
}

// checkNothingLeft: a container that ends by itself has nothing to do.
func (w *sim) checkNothingLeft(now *Snapshot) {
	for i := range now.Programs {
		if p := &now.Programs[i]; w.keepsUp(p) {
			w.fail("the container ends, and %s is %s, wanted %v", p.Name, p.State, p.Want)
		}
	}
}

func (w *sim) keepsUp(p *ProgramStatus) bool {
	switch p.State {
	case Exited, Fatal:
		return false
	case Stopped:
		return w.last.Programs != nil && (w.wanted[p.Name] == Up || w.programs[p.Name].commanded)
	}
	return true
}

// checkAsked: no order any more, everybody has the stop signal.
func (w *sim) checkAsked() {
	for _, p := range w.processes {
		if p.alive && p.returned && p.notify != nil && !p.asked && !p.killed {
			w.fail("%s has had no stop signal 2 s before the deadline", p.name)
		}
	}
}

// checkLateStart: what was being started in the meantime is no exception.
func (w *sim) checkLateStart(p *simProcess) {
	if !w.pastOrder() {
		return
	}
	w.check(soon, func() {
		if p.alive && !p.asked && !p.killed {
			w.fail("%s was started late in a shutdown, and has had no stop signal", p.name)
		}
	})
}

// checkKilled: no grace any more.
func (w *sim) checkKilled() {
	for _, p := range w.processes {
		if p.alive && p.returned && p.notify != nil && !p.killed {
			w.fail("%s has had no SIGKILL", p.name)
		}
		for _, m := range p.members {
			if m.alive && !m.killed {
				w.fail("a process of %s (stray: %v) has had no SIGKILL", p.name, m.stray)
			}
		}
	}
}

// checkEnd looks at what the loop leaves.
func (w *sim) checkEnd(code int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over, w.code = true, code
	w.note("exit %d", code)
	now := time.Now()
	early := now.Before(w.deadline)
	for _, p := range w.processes {
		left := p.anythingLives()
		switch {
		case left && (early || !p.blocked):
			w.fail("the container ends, and something of %s lives", p.name)
		case !p.reaped && early:
			w.fail("the container ends, and %s is not reaped", p.name)
		}
	}
	for name, prog := range w.programs {
		if prog.forking && early {
			w.fail("the container ends while %s is being started", name)
		}
	}
	if !slices.Contains(w.codes, code) {
		w.fail("exit code %d, want one of %v", code, w.codes)
	}
	if !early || w.asking > 0 || w.unsure {
		return
	}
	last := w.lastEnd
	if last.Before(w.shutdown) {
		last = w.shutdown
	}
	if late := now.Sub(last); late > strayPoll+soon {
		w.fail("the last thing ended %v ago: why wait?", late)
	}
}

// checkSettled looks, after a long time in which nothing bad happened, whether
// everything has come to where it belongs.
func (w *sim) checkSettled(s *Supervisor) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.down.stage != up {
		return
	}
	busy := false
	for i := range w.last.Programs {
		p := &w.last.Programs[i]
		busy = busy || w.keepsUp(p)
		w.checkAtRest(p)
	}
	if !busy {
		w.fail("nothing is left to do, and the container does not end")
	}
}

func (w *sim) checkAtRest(p *ProgramStatus) {
	life := w.life(p)
	switch p.State {
	case Running, Exited, Fatal:
		if p.State == Running && p.Want == Down {
			w.fail("%s runs and is wanted down", p.Name)
		}
		return
	case Stopping:
		if life != nil && life.blocked {
			return
		}
	case Stopped:
		if p.Want == Down {
			return
		}
		for _, d := range p.Config.Policy.DependsOn {
			if !met(w.last, d) {
				w.checkHope(p.Name, d.Program)
				return
			}
		}
	}
	w.fail("%s is forgotten: %s, wanted %v, %s", p.Name, p.State, p.Want, p.Reason)
}

// checkHope: nobody waits for what has failed.
func (w *sim) checkHope(name, dependency string) {
	for i := range w.last.Programs {
		if p := &w.last.Programs[i]; p.Name == dependency && bad(p) {
			w.fail("%s waits for %s, which is %s", name, dependency, p.State)
		}
	}
}
