package supervisor

import (
	"slices"
	"time"

	"sidekick/supervisor/child"
)

// Snapshot is the state of all programs at one moment. It is never changed.
type Snapshot struct {
	Sequence     uint64
	ShuttingDown bool
	Programs     []ProgramStatus // in the order of the file
}

// ProgramStatus is one program in a Snapshot.
type ProgramStatus struct {
	Name  string
	State State
	Want  Want
	// Reason says why it is in State; "" when that needs no word.
	Reason string
	// Pid is 0 when no process lives.
	Pid int
	// Launch numbers the starts of the program, from 1.
	Launch uint64
	// Alive: the process of this Launch lives and is wanted: checks may run.
	Alive bool
	// Since is when the State began; Started when the process was executed.
	Since, Started time.Time
	Restarts       int         // by the restart policy, since the last start by command
	Exit           *child.Exit // of the last run; nil: none, or it could not be executed
	// Completed: EXITED with success.
	Completed bool
	// Untouched: autostart is false and nobody started it.
	Untouched bool
	Checks    []CheckStatus // one for each of Policy.Checks while Alive
}

// Health is what a check says.
type Health string

// The words of health.
const (
	HealthStarting Health = "starting" // no answer yet
	Healthy        Health = "healthy"
	Unhealthy      Health = "unhealthy"
)

// CheckStatus is the last word of one check.
type CheckStatus struct {
	Status Health
	Output string
	Since  time.Time
}

// Healthy: every check passes; true without checks.
func (p *ProgramStatus) Healthy() bool {
	return !slices.ContainsFunc(p.Checks, func(c CheckStatus) bool { return c.Status != Healthy })
}

// published is a snapshot with the signal that there is a newer one.
type published struct {
	snapshot *Snapshot
	newer    chan struct{}
}

// Snapshot returns the newest state and a channel that is closed when there is
// a newer one. It may be called from any goroutine.
func (s *Supervisor) Snapshot() (*Snapshot, <-chan struct{}) {
	p := s.snapshot.Load()
	return p.snapshot, p.newer
}

// Done is closed when the loop has ended.
func (s *Supervisor) Done() <-chan struct{} { return s.done }

// publish makes the current state visible, if it changed.
func (s *Supervisor) publish() {
	if !s.dirty {
		return
	}
	s.dirty = false
	s.sequence++
	snapshot := &Snapshot{Sequence: s.sequence, ShuttingDown: s.down.stage != up}
	for _, p := range s.programs {
		snapshot.Programs = append(snapshot.Programs, p.status())
	}
	// First the observers: who sees RUNNING here may rely on the registrar knowing.
	s.options.Observe(snapshot)
	old := s.snapshot.Swap(&published{snapshot, make(chan struct{})})
	if old != nil {
		close(old.newer)
	}
}

func (p *program) status() ProgramStatus {
	st := ProgramStatus{
		Name: p.name, State: p.at.phase.state(), Want: p.at.want, Reason: p.reason, Launch: p.launch,
		Since: p.since, Started: p.startedAt, Restarts: p.restarts, Exit: p.exit,
		Completed: p.at.phase == exited && p.verdict == completed,
		Untouched: p.launch == 0 && !p.byOperator && !p.config.Policy.Autostart,
		Alive:     p.at.phase == starting || p.at.phase == running,
		Checks:    slices.Clone(p.checks),
	}
	if p.process != nil && p.at.phase.live() && p.at.phase != launching && p.at.phase != sweeping {
		st.Pid = p.process.Pid()
	}
	return st
}

// CheckResult is the word of a check on one launch of a program.
type CheckResult struct {
	Program string
	Launch  uint64
	Index   int // into Policy.Checks
	CheckStatus
}

// Report hands the result of a check to the loop.
func (s *Supervisor) Report(r CheckResult) { s.post(r) }

func (r CheckResult) handle(s *Supervisor) {
	p := s.byName[r.Program]
	if p == nil || r.Launch != p.launch || r.Index >= len(p.checks) {
		return // of a life that is over
	}
	if p.checks[r.Index].Status != r.Status {
		s.options.Log.Info("program health", "program", p.name, "status", string(r.Status), "output", r.Output)
	}
	p.checks[r.Index] = r.CheckStatus
	s.dirty = true
	if p.healthy() {
		s.apply(p, input{event: evHealthy}, "")
	}
}
