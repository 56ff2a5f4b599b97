package supervisor

import (
	"slices"
	"time"

	"sidekick/config"
	"sidekick/supervisor/child"
)

// Snapshot is the state of all programs at one moment. It is never changed.
type Snapshot struct {
	Sequence     uint64
	ShuttingDown bool
	Programs     []ProgramStatus // in the order of the file
	byName       map[string]int  // into Programs
}

// Program finds a program by name.
func (s *Snapshot) Program(name string) (*ProgramStatus, bool) {
	i, ok := s.byName[name]
	if !ok {
		return nil, false
	}
	return &s.Programs[i], true
}

// NewSnapshot makes a snapshot of these programs.
func NewSnapshot(sequence uint64, programs []ProgramStatus) *Snapshot {
	s := &Snapshot{Sequence: sequence, Programs: programs, byName: make(map[string]int, len(programs))}
	for i := range programs {
		s.byName[programs[i].Name] = i
	}
	return s
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
	// Drained: an operator wants its keys out of the registry; a restart changes
	// nothing about that.
	Drained bool
	// BowsOut: the program said STOPPING=1.
	BowsOut bool
	// Config is what it runs by, but for a Launch that a reload changed since.
	Config *config.Program
	// Completed: EXITED with success.
	Completed bool
	// Untouched: autostart is false and nobody started it.
	Untouched bool
	// Checks has one for each of Policy.Checks while a process lives, and after
	// them the watchdog's.
	Checks []CheckStatus
	Tally  Tally
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

// publish makes the current state visible, if it changed. A snapshot costs time
// with the number of programs, and so does everybody who waits for the next one.
// So those of many programs come at most so often, and what a command does to
// all of them costs in proportion to their number.
func (s *Supervisor) publish() {
	if !s.dirty || s.publishing {
		return
	}
	pace := time.Duration(len(s.programs)/50) * time.Millisecond // none for a few
	if wait := pace - time.Since(s.publishedAt); wait > 0 && pace > 0 {
		s.publishing = true
		s.after(wait, publishNow{})
		return
	}
	s.publishNow()
}

// publishNow is the end of a wait of publish.
type publishNow struct{}

func (publishNow) handle(s *Supervisor) { s.publishing = false }

func (s *Supervisor) publishNow() {
	s.dirty, s.publishedAt = false, time.Now()
	s.sequence++
	programs := make([]ProgramStatus, 0, len(s.programs))
	for _, p := range s.programs {
		programs = append(programs, p.status())
	}
	snapshot := NewSnapshot(s.sequence, programs)
	snapshot.ShuttingDown = s.down.stage != up
	// First the observers: who sees RUNNING here may rely on the registrar knowing.
	s.options.Observe(snapshot)
	old := s.snapshot.Swap(&published{snapshot, make(chan struct{})})
	if old != nil {
		close(old.newer)
	}
}

func (p *program) status() ProgramStatus {
	return ProgramStatus{
		Name: p.name, Pid: p.pid(), State: p.at.phase.state(), Want: p.at.want, Reason: p.reason, Launch: p.launch,
		Since: p.since, Started: p.startedAt, Restarts: p.restarts, Exit: p.exit,
		Completed: p.at.phase == exited && p.verdict == completed,
		Untouched: p.untouched(),
		Alive:     p.at.phase == starting || p.at.phase == running,
		Drained:   p.drained,
		BowsOut:   p.bowsOut,
		Config:    p.config,
		Checks:    p.allChecks(),
		Tally:     p.tally,
	}
}

// untouched: autostart is false and nobody started it.
func (p *program) untouched() bool {
	return p.launch == 0 && !p.byOperator && !p.config.Policy.Autostart
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
