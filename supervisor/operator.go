package supervisor

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNotRunning answers a signal to a program that has no process.
var ErrNotRunning = errors.New("no process of it lives")

// Signal sends sig to the process of a program, as kill(2) would: what follows
// is up to the program. The error is ErrNotRunning when it has none.
func (s *Supervisor) Signal(ctx context.Context, name string, sig syscall.Signal) error {
	_, err := s.ask(ctx, []string{name}, func(s *Supervisor, p *program) error {
		if !p.leader {
			return ErrNotRunning
		}
		s.options.Log.Info("signal by command", "program", p.name, "signal", SignalName(sig))
		err := p.process.Signal(sig, false)
		if errors.Is(err, unix.ESRCH) {
			return ErrNotRunning
		}
		return err
	})
	return err
}

// SignalName is the name of a signal, or "signal N" for one that has none.
func SignalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(sig))
}

// Drain says of programs whether their keys are to stay out of the registry
// while they run on. That holds across restarts and reloads, until it is taken
// back. Of several programs one that is unknown leaves all as they are.
func (s *Supervisor) Drain(ctx context.Context, drained bool, names ...string) (Accepted, error) {
	return s.ask(ctx, names, func(s *Supervisor, p *program) error {
		if p.drained != drained {
			p.drained = drained
			s.options.Log.Info("drain by command", "program", p.name, "drained", drained)
		}
		s.dirty = true // Accepted promises a Snapshot
		return nil
	})
}
