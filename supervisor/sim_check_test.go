package supervisor

import (
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/config"
)

// soon is the time that things may take which take none.
const soon = time.Millisecond

// check calls fn, with the lock held, soon after d from now.
func (w *sim) check(d time.Duration, fn func()) {
	time.AfterFunc(d+soon, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.over {
			fn()
		}
	})
}

// observe looks at every snapshot, in the loop's goroutine.
func (w *sim) observe(now *Snapshot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.last
	w.checkPositions()
	if now.ShuttingDown && w.shutdown.IsZero() {
		w.shutsDown()
	}
	for i := range now.Programs {
		p := &now.Programs[i]
		from := ProgramStatus{State: Stopped}
		if l := w.s.byName[p.Name]; w.incarnate[p.Name] == l {
			if at := slices.IndexFunc(before.Programs, func(o ProgramStatus) bool { return o.Name == p.Name }); at >= 0 {
				from = before.Programs[at]
			}
		} else {
			w.reborn(p.Name, l)
		}
		w.checkProgram(before, now, &from, p)
	}
	w.last = now
	w.checkWanted(now)
	w.checkCause(before, now)
	for _, prog := range w.programs {
		prog.touched, prog.reloaded = false, false
	}
	for _, p := range w.s.programs {
		w.phases[p.name] = p.at.phase
	}
	for _, p := range w.processes {
		if p.unwoken {
			w.fail("%s got a signal and no SIGCONT: a stopped process would sleep on", p.name)
		}
	}
}

// reborn: a program of this name was removed, and there is a new one.
func (w *sim) reborn(name string, l *program) {
	prog := w.programs[name]
	w.incarnate[name] = l
	w.phases[name] = stopped
	prog.earlier, prog.counted, prog.low, prog.high, prog.healthOf, prog.ready = len(prog.lives), 0, 0, 0, 0, 0
}

// checkPositions: programs move by step alone, or leave after their removal.
func (w *sim) checkPositions() {
	actual := map[position]int{}
	for _, p := range w.s.programs {
		actual[p.at]++
	}
	for at, n := range w.positions {
		if n != actual[at] && (n < actual[at] || at.phase.live()) {
			w.fail("%d programs are in %v, and steps have led %d there", actual[at], at, n)
		}
	}
	w.positions = actual
}

// checkWanted: only commands and reloads change what is wanted.
func (w *sim) checkWanted(now *Snapshot) {
	if w.wanted == nil {
		w.wanted = map[string]Want{}
		for _, p := range w.config.Programs {
			if p.Policy.Autostart {
				closure(w.s, p.Name, w.wanted)
			}
		}
	}
	for _, p := range now.Programs {
		if p.Want != w.wanted[p.Name] && !now.ShuttingDown {
			w.fail("%s is wanted %v, and nobody said so", p.Name, p.Want)
		}
	}
}

// checkWants: a command changed nothing but what it may.
func (w *sim) checkWants(before, after, allowed map[string]Want) {
	for name, want := range after {
		if to, named := allowed[name]; want != before[name] && (!named || to != want) && w.s.down.stage == up {
			w.violated("%s became wanted %v", name, want)
		}
	}
	w.wanted = after
}

func bad(p *ProgramStatus) bool { return p.State == Fatal || p.State == Exited && !p.Completed }

// life is what the kernel knows of a launch; nil: nothing yet.
func (w *sim) life(p *ProgramStatus) *simProcess {
	prog := w.programs[p.Name]
	if at := prog.earlier + int(p.Launch) - 1; p.Launch > 0 && at < len(prog.lives) {
		return prog.lives[at]
	}
	return nil
}

func hopeless(p *ProgramStatus) bool { return strings.Contains(p.Reason, "can no longer come true") }

func (w *sim) checkProgram(before, now *Snapshot, from, to *ProgramStatus) {
	prog := w.programs[to.Name]
	if from.State != to.State || from.Reason != to.Reason {
		w.note("%s %s, wanted %v, launch %d, restarts %d: %s", to.Name, to.State, to.Want, to.Launch, to.Restarts, to.Reason)
	}
	if to.Launch != from.Launch {
		w.checkLaunch(before, now, from, to)
		prog.retune = prog.reloaded
	}
	life := w.life(to)
	if from.State != to.State && to.State == Running {
		w.checkRunning(to, life)
	}
	w.checkCount(from, to, life)
	if from.State != to.State && (to.State == Backoff || to.State == Exited || to.State == Fatal) {
		w.checkVerdict(now, to, life)
	}
	if life == nil {
		return
	}
	life.seenAlive = life.seenAlive || to.Alive
	life.seenRunning = life.seenRunning || to.State == Running
	if to.Pid != 0 && (to.Pid != life.pid || !life.returned) {
		w.fail("%s shows pid %d, its process has %d", to.Name, to.Pid, life.pid)
	}
	if to.State == Running && to.Pid == 0 {
		w.fail("%s is RUNNING without a pid", to.Name)
	}
	w.checkHealth(to, prog.words(to.Launch, len(to.Config.Policy.Checks)))
	w.checkExit(to, life)
}

func (w *sim) checkHealth(p *ProgramStatus, want []Health) {
	for i := range min(len(want), len(p.Checks)) {
		if p.Checks[i].Status != want[i] {
			w.fail("%s: check %d is %s, it said %s", p.Name, i, p.Checks[i].Status, want[i])
		}
	}
	if p.Pid == 0 && len(p.Checks) > 0 {
		w.fail("%s has health and no process", p.Name)
	}
}

// checkExit: once a life is over, what is shown is how it ended.
func (w *sim) checkExit(p *ProgramStatus, life *simProcess) {
	prog := w.programs[p.Name]
	prog.blank = prog.blank && life == prog.shown || hopeless(p)
	prog.shown = life
	if p.State == Starting || p.State == Running || p.State == Stopping || hopeless(p) {
		return
	}
	switch {
	case life.failed != nil && p.Exit != nil:
		w.fail("%s could not be executed, and shows %v", p.Name, *p.Exit)
	case life.failed == nil && !life.reaped:
		w.fail("%s is %s, and its process was not reaped", p.Name, p.State)
	case life.failed == nil && !life.emptied && !life.forgotten:
		w.fail("%s is %s, and something of its group lives", p.Name, p.State)
	case p.Exit == nil && prog.blank:
	case life.failed == nil && (p.Exit == nil || *p.Exit != life.exit):
		w.fail("%s shows %v, and ended with %v", p.Name, p.Exit, life.exit)
	}
}

func (w *sim) checkLaunch(before, now *Snapshot, from, to *ProgramStatus) {
	prog := w.programs[to.Name]
	if to.Launch != from.Launch+1 {
		w.fail("%s: launch %d follows %d", to.Name, to.Launch, from.Launch)
	}
	switch {
	case before.ShuttingDown:
		w.fail("%s is started in a shutdown", to.Name)
	case to.Want == Down && !prog.touched && !now.ShuttingDown:
		w.fail("%s is started, and wanted down", to.Name)
	case !prog.present && !prog.reloaded:
		w.fail("%s is started, and no longer in the configuration", to.Name)
	}
	switch w.phases[to.Name] {
	case stopped, draining, stopping, exited, fatal:
		w.checkDependencies(now, to)
	case backoff:
		w.checkDelay(from)
	}
}

func (w *sim) checkDependencies(now *Snapshot, p *ProgramStatus) {
	for _, d := range p.Config.Policy.DependsOn {
		if !met(now, d) && !now.ShuttingDown && !w.programs[p.Name].touched && !w.programs[d.Program].touched {
			w.fail("%s is started, and %s is not %s", p.Name, d.Program, d.Condition)
		}
	}
}

// met reads the contract: a one-shot that ended well counts as started.
func met(now *Snapshot, d config.Dependency) bool {
	for i := range now.Programs {
		if p := &now.Programs[i]; p.Name == d.Program {
			switch d.Condition {
			case config.Completed:
				return p.Completed
			case config.Healthy:
				return p.State == Running && p.Healthy()
			}
			return p.State == Running || p.Completed
		}
	}
	return false
}

func (w *sim) checkRunning(p *ProgramStatus, life *simProcess) {
	prog, policy := w.programs[p.Name], &p.Config.Policy
	switch {
	case prog.ready == p.Launch || life != nil && (!life.readyAt.IsZero() || life.retuned):
	case life == nil || !life.returned:
		w.fail("%s is RUNNING without a process", p.Name)
	case p.Config.Launch.Notify:
		w.fail("%s is RUNNING without READY=1", p.Name)
	case time.Since(p.Started) < policy.MinUptime:
		w.fail("%s is RUNNING after %v, min_uptime is %v", p.Name, time.Since(p.Started), policy.MinUptime)
	}
}

// checkSignal looks at each signal that reaches something of a program. It is
// called in the loop's goroutine.
func (w *sim) checkSignal(p *simProcess, sig syscall.Signal, group bool) {
	if w.s.down.stage != up && w.shutdown.IsZero() {
		w.shutsDown()
	}
	policy := &p.prog.config.Policy
	killing := w.s.down.stage == killAll
	switch {
	case sig == unix.SIGCONT || p.retuned:
		return
	case sig == unix.SIGKILL:
		if p.alive && !killing && (!p.asked || time.Since(p.askedAt) < policy.StopGracePeriod) {
			w.fail("%s is killed before its grace is over", p.name)
		}
		return
	case sig != policy.StopSignal:
		w.fail("%s got %s, its stop_signal is %s", p.name, unix.SignalName(sig), unix.SignalName(policy.StopSignal))
	case policy.KillMode == config.KillProcess && group, policy.KillMode == config.KillGroup && !group,
		policy.KillMode == config.KillMixed && group && !p.reaped:
		w.fail("%s got its stop signal with group %v, against kill_mode %s", p.name, group, policy.KillMode)
	}
	if p.alive && !p.asked && !p.badCheck {
		w.checkWithdrawn(p)
		w.checkOrder(p)
	}
}

// checkWithdrawn: the keys go before the program.
func (w *sim) checkWithdrawn(p *simProcess) {
	if len(p.prog.config.Policy.Register) == 0 || w.s.options.Gate == nil || !p.seenAlive || w.pastOrder() {
		return
	}
	for _, gone := range p.prog.withdrawals {
		if !gone.from.Before(p.execAt) && !gone.until.After(time.Now()) {
			return
		}
	}
	w.fail("%s is stopped before its keys are withdrawn", p.name)
}

func (w *sim) pastOrder() bool {
	return !w.shutdown.IsZero() && !time.Now().Before(w.orderEnds)
}

// checkOrder: in a shutdown dependants stop first.
func (w *sim) checkOrder(p *simProcess) {
	if w.shutdown.IsZero() || w.pastOrder() || p.prog.alreadyDown {
		return
	}
	for _, other := range w.processes {
		if !other.prog.present || other.forgotten || !other.alive && !other.groupLives() || other.prog.alreadyDown {
			continue
		}
		for _, d := range other.prog.config.Policy.DependsOn {
			if d.Program == p.name {
				w.fail("%s is stopped before %s, which depends on it", p.name, other.name)
			}
		}
	}
}

// checkFork: never two lives.
func (w *sim) checkFork(p *simProcess) {
	if p.prog.forking {
		w.fail("%s is started twice at a time", p.name)
	}
	for _, other := range p.prog.lives {
		if !other.reaped || !other.forgotten && other.groupLives() {
			w.fail("%s is started while pid %d, a life of it, is not over", p.name, other.pid)
		}
	}
}
