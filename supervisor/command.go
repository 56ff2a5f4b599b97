package supervisor

import (
	"context"
	"errors"
	"fmt"
)

// Action is a command on programs.
type Action string

// The actions.
const (
	Start   Action = "start"
	Stop    Action = "stop"
	Restart Action = "restart"
)

// ErrShuttingDown answers commands that come too late.
var ErrShuttingDown = errors.New("sidekick is shutting down")

// UnknownProgramError names a program that is not in the configuration.
type UnknownProgramError struct{ Name string }

func (e *UnknownProgramError) Error() string { return fmt.Sprintf("no program is named %q", e.Name) }

// Accepted tells where the outcome of a command is seen.
type Accepted struct {
	// Sequence is that of the first Snapshot that shows the command.
	Sequence uint64
	// Launch is the number of the launch that a start or restart of one program
	// leads to.
	Launch uint64
}

// Do carries out an action on one program. It does not wait for the outcome.
func (s *Supervisor) Do(ctx context.Context, action Action, name string) (Accepted, error) {
	return s.ask(ctx, []string{name}, func(s *Supervisor, p *program) error { return s.act(action, p) })
}

func (s *Supervisor) act(action Action, p *program) error {
	if s.down.stage != up {
		return ErrShuttingDown
	}
	p.byOperator = true
	s.dirty = true
	switch action {
	case Start:
		s.start(p)
	case Stop:
		s.apply(p, input{event: evStop}, "stopped by command")
	case Restart:
		s.start(p)
		s.apply(p, input{event: evRestart}, "restarted by command")
	}
	return nil
}

// request is a command on programs that the loop carries out.
type request struct {
	names []string
	do    func(*Supervisor, *program) error
	reply chan<- reply // buffered
}

type reply struct {
	accepted Accepted
	err      error
}

// ask has do called with each of the programs, or with none of them when one is
// unknown, until one fails.
func (s *Supervisor) ask(ctx context.Context, names []string, do func(*Supervisor, *program) error) (Accepted, error) {
	answer := make(chan reply, 1)
	s.post(request{names, do, answer})
	select {
	case r := <-answer:
		return r.accepted, r.err
	case <-s.done:
		return Accepted{}, ErrShuttingDown
	case <-ctx.Done():
		return Accepted{}, ctx.Err()
	}
}

func (m request) handle(s *Supervisor) {
	accepted, err := m.carryOut(s)
	m.reply <- reply{accepted, err}
}

func (m request) carryOut(s *Supervisor) (Accepted, error) {
	var programs []*program
	for _, name := range m.names {
		p := s.byName[name]
		if p == nil || p.removed {
			return Accepted{}, &UnknownProgramError{name}
		}
		programs = append(programs, p)
	}
	accepted := Accepted{Sequence: s.sequence + 1}
	for _, p := range programs {
		if err := m.do(s, p); err != nil {
			return Accepted{}, err
		}
		accepted.Launch = p.nextLaunch()
	}
	return accepted, nil
}

// nextLaunch is the number of the launch that counts from now on.
func (p *program) nextLaunch() uint64 {
	switch p.at.phase {
	case launching, starting, running:
		return p.launch
	}
	return p.launch + 1
}
