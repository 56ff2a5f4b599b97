package supervisor

import (
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/config"
	"sidekick/supervisor/child"
)

// simProcess is one life with all that came of it. The sim's lock guards it.
type simProcess struct {
	w        *sim
	prog     *simProgram
	name     string
	dice     dice
	life     simLife
	pid      int
	socket   *simSocket
	returned bool // its start has told the loop's side
	failed   error

	alive     bool // the leader
	frozen    bool
	blocked   bool // refuses SIGKILL
	reaped    bool
	emptied   bool // nothing of the group is left, and that is told
	forgotten bool
	execAt    time.Time
	exit      child.Exit
	asked     bool
	askedAt   time.Time
	diedAt    time.Time
	readyAt   time.Time // when it said READY=1
	badCheck  bool      // the loop ends it because it does not work
	pendingTo bool      // it was asked while frozen
	unwoken   bool      // it was asked, and no SIGCONT has followed
	killed    bool
	members   []*simMember

	// What snapshots showed of it.
	seenAlive, seenRunning bool

	retuned bool // a reload came while it lived
	pending []child.Event
	notify  func(child.Event)
}

type simMember struct {
	p      *simProcess
	life   memberLife
	stray  bool
	alive  bool
	killed bool
}

// Start implements Kernel.
func (w *sim) Start(spec child.Spec) (Process, error) {
	p := w.fork(strings.TrimPrefix(spec.Path, "/bin/"), spec.Env)
	time.Sleep(p.life.exec)
	if p.life.fail != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.note("%s exec: %v", p.name, p.life.fail)
		p.failed, p.prog.forking, p.reaped, p.emptied = p.life.fail, false, true, true
		w.ended(time.Now())
		return nil, p.life.fail
	}
	p.exec()
	time.Sleep(p.life.returns)
	w.mu.Lock()
	defer w.mu.Unlock()
	p.returned, p.prog.forking = true, false
	w.ended(time.Now())
	w.checkLateStart(p)
	return p, nil
}

func (w *sim) fork(name string, env []string) *simProcess {
	prog := w.programs[name]
	time.Sleep(prog.forks.between(1, 1000)) // programs that start together do it in a fixed order
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &simProcess{w: w, prog: prog, name: name, dice: newDice(prog.forks.Uint64(), 0),
		retuned: prog.retune}
	switch {
	case w.calm:
		p.life = calmLife(p.dice)
	case w.fragile && p.dice.chance(80):
		p.life = fragileLife(p.dice)
	default:
		p.life = wildLife(p.dice)
	}
	for _, e := range env {
		if address, ok := strings.CutPrefix(e, "NOTIFY_SOCKET="); ok {
			p.socket = w.sockets[address]
		}
	}
	w.checkFork(p)
	prog.forking = true
	prog.lives = append(prog.lives, p)
	return p
}

func (p *simProcess) exec() {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	p.pid = w.takePid(p)
	p.alive, p.execAt = true, time.Now()
	w.processes = append(w.processes, p)
	w.note("%s exec, pid %d", p.name, p.pid)
	p.later(p.life.ends, func() { p.die(p.life.exit) })
	p.later(p.life.freezes, func() { p.frozen = p.alive })
	for _, m := range p.life.members {
		p.later(m.born, func() { p.bear(m, false) })
	}
	for _, m := range p.life.strays {
		p.later(m.born, func() { p.bear(m, true) })
	}
	if p.socket != nil {
		p.later(p.life.ready, func() { p.say(Message{Ready: true}) })
		p.later(p.life.feeds, p.feed)
	}
}

// later calls fn with the lock held, unless d is 0.
func (p *simProcess) later(d time.Duration, fn func()) {
	if d <= 0 {
		return
	}
	time.AfterFunc(d, func() {
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		if !p.w.over {
			fn()
		}
	})
}

func (p *simProcess) feed() {
	if p.alive && !p.frozen {
		p.say(Message{Watchdog: true})
		p.later(p.life.feeds, p.feed)
	}
}

// say sends a message to the launch's socket, soon: the loop may be busy.
func (p *simProcess) say(m Message) {
	if p.alive && !p.frozen && p.socket != nil && !p.socket.closed {
		time.AfterFunc(p.dice.between(1, 1000), func() { p.socket.deliver(m) })
		if m.Ready {
			p.readyAt = time.Now()
		}
	}
}

// bear adds a process to a group of which something lives.
func (p *simProcess) bear(life memberLife, stray bool) {
	if p.killed || p.emptied || !p.alive && !p.groupLives() {
		return
	}
	m := &simMember{p: p, life: life, stray: stray, alive: true}
	p.members = append(p.members, m)
	p.later(life.ends, m.die)
}

// groupLives: a member of the group but the leader lives.
func (p *simProcess) groupLives() bool {
	return slices.ContainsFunc(p.members, func(m *simMember) bool { return m.alive && !m.stray })
}

func (p *simProcess) anythingLives() bool {
	return p.alive || slices.ContainsFunc(p.members, func(m *simMember) bool { return m.alive })
}

func (p *simProcess) die(exit child.Exit) {
	if !p.alive || p.blocked && exit.Signal != unix.SIGKILL {
		return
	}
	p.alive, p.exit, p.diedAt = false, exit, time.Now()
	p.w.note("%s ends: %s", p.name, exit)
	p.later(p.life.reaped, p.reap)
}

func (p *simProcess) reap() {
	p.reaped = true
	p.emptied = !p.groupLives()
	if p.emptied {
		p.w.freePid(p)
	}
	exit := p.exit
	p.pending = append(p.pending, child.Event{Exited: &exit, GroupEmpty: p.emptied})
	p.deliver()
}

func (m *simMember) die() {
	if !m.alive {
		return
	}
	m.alive = false
	m.p.w.ended(time.Now())
	if !m.stray && m.p.reaped && !m.p.emptied && !m.p.groupLives() {
		m.p.later(m.p.dice.about(1, 50*time.Millisecond), m.p.empty)
	}
}

func (p *simProcess) empty() {
	if p.emptied || p.groupLives() {
		return
	}
	p.emptied = true
	if !p.forgotten {
		p.w.note("%s: its group is empty", p.name)
		p.pending = append(p.pending, child.Event{GroupEmpty: true})
		p.later(p.dice.about(1, 50*time.Millisecond), p.deliver) // even if it is forgotten by then
	}
	p.w.freePid(p)
}

// deliver tells of what has ended, when somebody has asked for it.
func (p *simProcess) deliver() {
	p.w.ended(time.Now())
	if p.notify == nil {
		return
	}
	fn, events := p.notify, p.pending
	p.pending = nil
	p.w.mu.Unlock() // the loop may hold them up, and may want the lock
	defer p.w.mu.Lock()
	for _, e := range events {
		fn(e)
	}
}

// Pid implements Process.
func (p *simProcess) Pid() int { return p.pid }

// Notify implements Process. The reaper delivers, a little later.
func (p *simProcess) Notify(fn func(child.Event)) {
	p.w.mu.Lock()
	d := p.dice.between(1, 1000)
	p.w.mu.Unlock()
	time.AfterFunc(d, func() {
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		p.notify = fn
		p.deliver()
	})
}

// Forget implements Process.
func (p *simProcess) Forget() {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.prog.config.Policy.KillMode != config.KillProcess {
		p.w.fail("%s: its group is forgotten in kill_mode %s", p.name, p.prog.config.Policy.KillMode)
	}
	p.forgotten = true
}

// Signal implements Process, with the reaper's guard.
func (p *simProcess) Signal(sig syscall.Signal, group bool) error {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if l := w.s.byName[p.name]; l != nil && l.at.phase == failing && l.leader {
		p.badCheck = true
	}
	switch {
	case !p.reaped, group && !p.emptied && !p.forgotten:
	default:
		return unix.ESRCH
	}
	if w.pids[p.pid] != p {
		w.fail("%s to %s reaches pid %d, which is not its own any more", unix.SignalName(sig), p.name, p.pid)
		return nil
	}
	w.checkSignal(p, sig, group)
	if sig != unix.SIGCONT {
		to := ""
		if group {
			to = "'s group"
		}
		w.note("%s to %s%s", unix.SignalName(sig), p.name, to)
	}
	p.receive(sig)
	if group {
		p.killed = p.killed || sig == unix.SIGKILL
		for _, m := range p.members {
			if !m.stray {
				m.receive(sig)
			}
		}
	}
	return nil
}

func (p *simProcess) receive(sig syscall.Signal) {
	if !p.alive {
		return
	}
	switch {
	case sig == unix.SIGKILL:
		p.kill()
	case sig == unix.SIGCONT:
		p.frozen, p.unwoken = false, false
		if p.pendingTo {
			p.pendingTo = false
			p.stop()
		}
	default:
		if !p.asked {
			p.askedAt = time.Now()
		}
		p.asked, p.unwoken, p.pendingTo = true, true, p.frozen
		if !p.frozen {
			p.stop()
		}
	}
}

func (p *simProcess) stop() {
	if p.life.bowsOut {
		p.say(Message{Stopping: true})
	}
	if !p.life.ignores {
		p.later(p.life.stops, func() { p.die(p.life.stopExit) })
	}
}

func (p *simProcess) kill() {
	p.unwoken = false
	if p.killed {
		return
	}
	p.killed = true
	if p.life.refuses > 0 {
		p.blocked = true
		p.w.note("%s does not die", p.name)
	}
	p.later(max(p.life.refuses, p.life.returns), func() { p.die(child.Exit{Signal: unix.SIGKILL}) })
}

func (m *simMember) receive(sig syscall.Signal) {
	switch {
	case !m.alive || sig == unix.SIGCONT:
	case sig == unix.SIGKILL && !m.killed:
		m.killed = true
		m.p.later(m.life.stops/1000+1, m.die)
	case !m.life.ignores:
		m.p.later(m.life.stops, m.die)
	}
}

// Sweep implements Kernel.
func (w *sim) Sweep(sig syscall.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if sig == unix.SIGTERM {
		w.note("sweep")
	}
	for _, p := range w.processes {
		p.receive(sig)
		p.killed = p.killed || sig == unix.SIGKILL
		p.unwoken = false // nobody's stop signal
		for _, m := range p.members {
			m.receive(sig)
		}
	}
}

// Childless implements Kernel.
func (w *sim) Childless() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.processes = slices.DeleteFunc(w.processes, func(p *simProcess) bool { return p.reaped && !p.anythingLives() })
	return len(w.processes) == 0
}

// takePid reuses what was freed last: the worst choice there is.
func (w *sim) takePid(p *simProcess) int {
	pid := len(w.pids) + 100
	if n := len(w.freePids); n > 0 {
		pid, w.freePids = w.freePids[n-1], w.freePids[:n-1]
	}
	w.pids[pid] = p
	return pid
}

func (w *sim) freePid(p *simProcess) {
	if w.pids[p.pid] == p {
		w.pids[p.pid] = nil
		w.freePids = append(w.freePids, p.pid)
	}
}
