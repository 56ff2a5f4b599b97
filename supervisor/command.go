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

type command struct {
	action Action
	name   string
	reply  chan<- commandReply // buffered
}

type commandReply struct {
	accepted Accepted
	err      error
}

// Accepted tells where the outcome of a command is seen.
type Accepted struct {
	// Sequence is that of the first Snapshot that shows the command.
	Sequence uint64
	// Launch is the number of the launch that a start or restart leads to.
	Launch uint64
}

// Do carries out an action on one program. It does not wait for the outcome.
func (s *Supervisor) Do(ctx context.Context, action Action, name string) (Accepted, error) {
	reply := make(chan commandReply, 1)
	s.post(command{action, name, reply})
	select {
	case r := <-reply:
		return r.accepted, r.err
	case <-s.done:
		return Accepted{}, ErrShuttingDown
	case <-ctx.Done():
		return Accepted{}, ctx.Err()
	}
}

func (m command) handle(s *Supervisor) {
	p := s.byName[m.name]
	switch {
	case p == nil || p.removed:
		m.reply <- commandReply{err: &UnknownProgramError{m.name}}
		return
	case s.down.stage != up:
		m.reply <- commandReply{err: ErrShuttingDown}
		return
	}
	p.byOperator = true
	s.dirty = true
	switch m.action {
	case Start:
		s.start(p)
	case Stop:
		s.apply(p, input{event: evStop}, "stopped by command")
	case Restart:
		s.start(p)
		s.apply(p, input{event: evRestart}, "restarted by command")
	}
	m.reply <- commandReply{accepted: Accepted{Sequence: s.sequence + 1, Launch: p.nextLaunch()}}
}

// nextLaunch is the number of the launch that counts from now on.
func (p *program) nextLaunch() uint64 {
	switch p.at.phase {
	case launching, starting, running:
		return p.launch
	}
	return p.launch + 1
}
