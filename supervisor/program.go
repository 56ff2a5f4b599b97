package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/config"
	"sidekick/supervisor/child"
)

// program is the state of one program. The loop owns every field.
type program struct {
	name   string
	config *config.Program // immutable; replaced as a whole
	at     position
	since  time.Time // of the phase
	reason string    // why it is where it is; "" when that needs no word

	launch    uint64 // number of the current or last launch, from 1
	process   Process
	leader    bool // the process lives
	startedAt time.Time
	exit      *child.Exit // of the last run
	launchErr error       // why the last launch failed

	timer    *time.Timer // of the phase
	timerSeq uint64      // the running timer's number; a message of another is stale

	verdict    verdict // on the last exit
	failure    uint64  // numbers the failures for good of all programs; of its last one
	streak     streak
	restarts   int           // by the restart policy, since the last start by an operator
	byOperator bool          // the last start or stop was a command
	drained    bool          // by command: its keys stay out of the registry
	checks     []CheckStatus // of Policy.Checks, while it lives
	watchdog   *watchdog     // nil: it has none, or nothing lives
	answered   bool          // a check has passed in this launch
	ready      bool          // it was RUNNING in this launch
	early      []Message     // what it said before its launch was known to have succeeded
	bowsOut    bool          // it said STOPPING=1
	notify     io.Closer     // of the launch's notify socket, or nil
	removed    bool          // no longer in the file: goes when nothing of it lives
	tally      Tally
}

// heldByOperator: STOPPED by command, which keeps the container up.
func (p *program) heldByOperator() bool {
	return p.at == (position{stopped, Down}) && p.byOperator
}

func (p *program) failedForGood() bool {
	return p.at.phase == fatal || p.at.phase == exited && p.verdict == failed
}

// failureCode is the exit code that tells the truth about a failure: that of
// the last run, 127 or 126 for a command that could not be executed, 1 for a
// program that never had a run of its own.
func (p *program) failureCode() int {
	switch {
	case errors.Is(p.launchErr, unix.ENOENT):
		return 127
	case p.launchErr != nil:
		return 126
	case p.exit != nil && p.exit.Status() != 0:
		return p.exit.Status()
	}
	return 1
}

func (p *program) cancelTimer() {
	p.timerSeq++
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// ran is the length of the run, for the restart policy. One with `notify` that
// never said READY=1 was no run, however long it took.
func (p *program) ran() time.Duration {
	if p.config.Launch.Notify && !p.ready {
		return 0
	}
	return time.Since(p.startedAt)
}

// ended clears what belongs to a living process.
func (p *program) ended() {
	p.leader, p.checks, p.answered, p.ready, p.bowsOut = false, nil, false, false, false
	if p.watchdog != nil {
		p.watchdog.stop()
		p.watchdog = nil
	}
	if p.notify != nil {
		_ = p.notify.Close()
		p.notify = nil
	}
}

// pid is that of the living process, 0 for none.
func (p *program) pid() int {
	if !p.leader {
		return 0
	}
	return p.process.Pid()
}

// healthy: every check passes.
func (p *program) healthy() bool {
	return !slices.ContainsFunc(p.allChecks(), func(c CheckStatus) bool { return c.Status != Healthy })
}

// allChecks has the checks, and after them the watchdog's.
func (p *program) allChecks() []CheckStatus {
	all := slices.Clone(p.checks)
	if p.watchdog != nil {
		all = append(all, p.watchdog.check)
	}
	return all
}

// resizeChecks makes one status for each of Policy.Checks; those that are there
// keep their word.
func (p *program) resizeChecks() {
	want := len(p.config.Policy.Checks)
	p.checks = p.checks[:min(len(p.checks), want)]
	for len(p.checks) < want {
		p.checks = append(p.checks, CheckStatus{Status: HealthStarting, Since: time.Now()})
	}
}

// elapsed is the end of a program's timer.
type elapsed struct {
	p   *program
	seq uint64
}

func (m elapsed) handle(s *Supervisor) {
	if m.seq != m.p.timerSeq {
		return // of a phase that is over
	}
	switch at := m.p.at.phase; {
	case at == backoff && s.down.stage != up:
		return // settle stops it
	case at == stopping || at == failing:
		s.options.Log.Warn("program does not stop: killing it", "program", m.p.name,
			"stop_grace_period", m.p.config.Policy.StopGracePeriod.String())
	case at == starting && m.p.config.Launch.Notify:
		s.fail(m.p, "no READY=1 within start_timeout "+m.p.config.Policy.StartTimeout.String())
		return
	}
	s.apply(m.p, input{event: evElapsed}, "")
}

// fail ends a program that lives but does not work, as a failed run.
func (s *Supervisor) fail(p *program, why string) {
	s.apply(p, input{event: evFailed}, why)
}

// carryOut does one effect of step.
func (s *Supervisor) carryOut(p *program, e effect) {
	switch e {
	case doLaunch:
		s.launch(p)
	case doDrain:
		s.drain(p)
	case doAsk:
		s.signal(p, p.config.Policy.StopSignal, p.config.Policy.KillMode == config.KillGroup)
	case doSweep:
		s.signal(p, p.config.Policy.StopSignal, true)
	case doKill:
		// Without a leader it is the group that is waited for, whatever a reload
		// made of kill_mode since.
		s.signal(p, unix.SIGKILL, !p.leader || p.config.Policy.KillMode != config.KillProcess)
	case doArm:
		s.arm(p)
	case doForgive:
		p.streak, p.restarts = streak{}, 0
	case doCount:
		p.streak.restarts++
		p.restarts++
		p.tally.Restarts++
	}
}

// signal sends sig, and SIGCONT after it: a stopped process acts on no signal
// but SIGKILL before it is continued.
func (s *Supervisor) signal(p *program, sig syscall.Signal, group bool) {
	if p.process == nil {
		return
	}
	err := p.process.Signal(sig, group)
	if err == nil && sig != unix.SIGKILL {
		err = p.process.Signal(unix.SIGCONT, group)
	}
	if err != nil && !errors.Is(err, unix.ESRCH) {
		s.options.Log.Error("cannot signal program", "program", p.name, "signal", unix.SignalName(sig), "error", err)
	}
}

// arm starts the timer of the phase.
func (s *Supervisor) arm(p *program) {
	p.cancelTimer()
	policy := &p.config.Policy
	var d time.Duration
	switch p.at.phase {
	case starting:
		d = policy.MinUptime
		if p.config.Launch.Notify {
			d = policy.StartTimeout
		}
	case backoff:
		d = p.streak.delay(policy.Backoff, s.options.Random())
	default:
		d = policy.StopGracePeriod
	}
	m := elapsed{p, p.timerSeq}
	p.timer = time.AfterFunc(d, func() { s.post(m) })
}

// drain takes the program's keys out of the registry and gives the consumers
// time to see it. In a shutdown that has been done for all programs at once.
func (s *Supervisor) drain(p *program) {
	if s.down.stage != up || s.options.Gate == nil || len(p.config.Policy.Register) == 0 {
		s.apply(p, input{event: evDrained}, "")
		return
	}
	m, wait := drained{p, p.launch}, s.config.Registry.Drain
	go func() { // ends after at most gateTimeout and wait
		withdraw(s.options.Gate, wait, m.p.name)
		s.post(m)
	}()
}

// withdraw deletes keys and, if there was one, waits.
func withdraw(gate Gate, wait time.Duration, programs ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), gateTimeout)
	defer cancel()
	if gate.Withdraw(ctx, programs...) {
		time.Sleep(wait)
	}
}

// drained is the end of a program's drain.
type drained struct {
	p      *program
	launch uint64
}

func (m drained) handle(s *Supervisor) {
	if m.launch == m.p.launch {
		s.apply(m.p, input{event: evDrained}, m.p.reason)
	}
}

// ExitReason is the end of a process in words.
func ExitReason(e child.Exit) string {
	if e.Signal == 0 {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	return "killed by " + SignalName(e.Signal)
}

// childEvent is what the kernel told of a launch.
type childEvent struct {
	p      *program
	launch uint64
	event  child.Event
}

func (m childEvent) handle(s *Supervisor) {
	p := m.p
	if m.launch != p.launch {
		return
	}
	if m.event.Exited == nil {
		s.apply(p, input{event: evGroupEmpty, verdict: p.verdict}, p.reason)
		return
	}
	p.exit = m.event.Exited
	p.tally.ended(m.event)
	policy := &p.config.Policy
	p.streak.ended(p.ran(), policy.Backoff)
	p.ended()
	if p.at.phase == failing {
		p.verdict = judgeFailure(policy, p.streak.restarts, failed) // however it ended
	} else {
		p.verdict = judge(policy, *p.exit, p.streak.restarts)
		s.setReason(p, endReason(p))
	}
	empty := m.event.GroupEmpty
	if policy.KillMode == config.KillProcess && !empty {
		p.process.Forget()
		empty = true
	}
	s.dirty = true
	s.apply(p, input{event: evExited, groupEmpty: empty, verdict: p.verdict}, p.reason)
}

// endReason explains the end of a run.
func endReason(p *program) string {
	reason := ExitReason(*p.exit)
	if p.verdict == giveUp && (p.at.phase == starting || p.at.phase == running) {
		reason += fmt.Sprintf(", gave up after %d restarts", p.streak.restarts)
	}
	return reason
}
