// Package supervisor owns the state of every program: one goroutine receives
// what happened, the pure function step decides, and the loop carries out what
// follows. It knows neither the network nor etcd nor Docker.
package supervisor

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"sidekick/config"
	"sidekick/events"
	"sidekick/supervisor/child"
)

// Kernel is what the loop needs of the operating system.
type Kernel interface {
	// Start executes a command; it may block for as long as the exec does.
	Start(spec child.Spec) (Process, error)
	// Sweep signals every descendant that is left.
	Sweep(sig syscall.Signal)
	// Childless reports that no descendant is left, dead or alive.
	Childless() bool
}

// Process is one started command.
type Process interface {
	Pid() int
	// Notify has fn called with the end of the process and of its group.
	Notify(fn func(child.Event))
	// Signal reaches the leader or the whole group; ESRCH: nothing is left.
	Signal(sig syscall.Signal, group bool) error
	// Forget ends the interest in what is left of the group.
	Forget()
}

// Gate is asked around the life of a program that has registrations.
type Gate interface {
	// Prepare is called before a start; it may delay the start until ctx ends.
	Prepare(ctx context.Context, program string)
	// Withdraw takes the keys of the programs out of the registry and returns
	// when that is confirmed or ctx ends. It reports whether a key was deleted.
	Withdraw(ctx context.Context, programs ...string) bool
}

// gateTimeout bounds what the registry may delay a program, at a start and at
// a stop.
const gateTimeout = time.Second

// Options are the supervisor's surroundings. Kernel, Output and Log are needed.
type Options struct {
	Kernel Kernel
	// Output gives stdout and stderr of one life of a program. The caller
	// closes them.
	Output func(program string) (stdout, stderr *os.File, err error)
	// Gate is nil when no program has registrations.
	Gate Gate
	// Observe is called in the loop with every new snapshot; it must not block.
	Observe func(*Snapshot)
	// Event is called in the loop with every change of a state and of a check's
	// word; it must not block. nil: nobody wants to know.
	Event func(events.Event)
	Log   *slog.Logger
	// Listen opens a socket for sd_notify(3) and has deliver called with each
	// message of these users until it is closed.
	Listen func(users []uint32, deliver func(Message)) (address string, socket io.Closer, err error)
	// Environ is the environment that programs inherit.
	Environ []string
	// Dir is the directory of programs without working_dir; "": the current one.
	Dir string
	// Random is from [0, 1), for jitter; nil: math/rand/v2.
	Random func() float64
}

// Supervisor runs the programs of one configuration.
type Supervisor struct {
	options  Options
	messages chan message
	done     chan struct{} // closed when the loop has ended
	snapshot atomic.Pointer[published]

	// Everything below belongs to the loop.
	config   *config.Config
	programs []*program // in the order of the file
	byName   map[string]*program
	dirty    bool // something changed since the last snapshot
	sequence uint64
	// publishedAt is when the last snapshot was made; publishing: the next one
	// waits for its time.
	publishedAt time.Time
	publishing  bool
	down        shutdown
	failures    uint64 // how often a program failed for good
	// observeStep sees every step of the machine; nil but in tests.
	observeStep func(position, input)
}

// message is something the loop has to deal with, in its own goroutine.
type message interface{ handle(s *Supervisor) }

// New prepares a supervisor; nothing runs before Run.
func New(c *config.Config, options Options) *Supervisor {
	if options.Random == nil {
		options.Random = rand.Float64
	}
	if options.Observe == nil {
		options.Observe = func(*Snapshot) {}
	}
	if options.Event == nil {
		options.Event = func(events.Event) {}
	}
	s := &Supervisor{
		options:  options,
		messages: make(chan message, 256),
		done:     make(chan struct{}),
		config:   c,
		byName:   map[string]*program{},
		dirty:    true,
	}
	for i := range c.Programs {
		s.add(&c.Programs[i])
	}
	s.publish()
	return s
}

// post hands a message to the loop, or drops it when the loop has ended.
func (s *Supervisor) post(m message) {
	select {
	case s.messages <- m:
	case <-s.done:
	}
}

// Run starts the programs and returns the exit code when all is over. It ends
// by itself after Shutdown, after an essential program failed for good, or when
// nothing is left to run.
func (s *Supervisor) Run() int {
	defer close(s.done)
	for _, p := range s.programs {
		if p.config.Policy.Autostart {
			s.start(p)
		}
	}
	for s.settle(); !s.down.over; s.settle() {
		s.publish()
		(<-s.messages).handle(s)
		for range len(s.messages) {
			(<-s.messages).handle(s)
		}
	}
	if s.dirty {
		s.publishNow()
	}
	return s.down.code
}

// settle does what follows from the state as a whole, until nothing does.
func (s *Supervisor) settle() {
	s.dropRemoved()
	for changed := true; changed; {
		changed = false
		for _, p := range s.programs {
			changed = s.settleProgram(p) || changed
		}
	}
	s.settleEnd()
}

func (s *Supervisor) settleProgram(p *program) bool {
	if s.down.stage != up {
		return s.stopInOrder(p)
	}
	if p.at != (position{stopped, Up}) {
		return false
	}
	wait, hopeless := s.waitsFor(p)
	switch {
	case hopeless:
		p.exit, p.launchErr = nil, nil
		return s.apply(p, input{event: evDepsFailed}, wait)
	case wait == "":
		return s.apply(p, input{event: evDepsMet}, "")
	}
	s.setReason(p, wait)
	return false
}

// settleEnd ends the container when there is nothing left to do.
func (s *Supervisor) settleEnd() {
	for _, p := range s.programs {
		if p.at.phase.live() || p.at.phase == backoff || p.at == (position{stopped, Up}) {
			return
		}
		if s.down.stage == up && p.heldByOperator() {
			return
		}
	}
	if s.down.stage == up {
		s.shutdown(s.failureCode(), "nothing is left to run")
	}
	if s.down.stage >= stopOrdered {
		s.endStrays()
	}
}

// failureCode is the exit code of a container that has nothing left to run: that
// of the first program that failed for good and has not been mended since.
func (s *Supervisor) failureCode() int {
	var first *program
	for _, p := range s.programs {
		if p.failedForGood() && (first == nil || p.failure < first.failure) {
			first = p
		}
	}
	if first == nil {
		return 0
	}
	return first.failureCode()
}

// apply feeds one event to a program and carries out what follows. It reports
// whether the program moved.
func (s *Supervisor) apply(p *program, in input, reason string) bool {
	before := p.at
	if s.observeStep != nil {
		s.observeStep(before, in)
	}
	after, effects := step(before, in)
	p.at = after
	if after != before {
		s.dirty = true
	}
	if after.phase != before.phase {
		p.cancelTimer()
		p.reason = reason
		s.moved(p, before.phase)
	}
	for _, e := range effects {
		s.carryOut(p, e)
	}
	return after != before
}

func (s *Supervisor) setReason(p *program, reason string) {
	if p.reason != reason {
		p.reason = reason
		s.dirty = true
	}
}

// moved tells of a new phase and looks whether it is the end of the container.
func (s *Supervisor) moved(p *program, from phase) {
	p.since = time.Now()
	switch p.at.phase {
	case launching:
		p.process = nil
	case running:
		p.ready = true
	}
	if from.state() != p.at.phase.state() {
		s.logState(p, from)
		s.options.Event(events.Event{Type: events.State, Program: p.name, From: string(from.state()),
			To: string(p.at.phase.state()), Reason: p.reason, Pid: p.pid()})
	}
	if !p.failedForGood() {
		return
	}
	s.failures++
	p.failure = s.failures
	if p.config.Policy.Essential {
		s.shutdown(p.failureCode(), "essential program "+p.name+" failed: "+p.reason)
	}
}

func (s *Supervisor) logState(p *program, from phase) {
	level := slog.LevelInfo
	if p.at.phase == backoff || p.failedForGood() {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{
		slog.String("program", p.name),
		slog.String("from", string(from.state())),
		slog.String("to", string(p.at.phase.state())),
	}
	if p.process != nil {
		attrs = append(attrs, slog.Int("pid", p.process.Pid()))
	}
	if p.reason != "" {
		attrs = append(attrs, slog.String("reason", p.reason))
	}
	s.options.Log.LogAttrs(context.Background(), level, "program state", attrs...)
}
