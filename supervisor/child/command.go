package child

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

var errReaperEnded = errors.New("cannot wait for a process: the reaper has ended")

// RunCommand starts spec, waits for its exit and kills what is left of its
// group. When ctx ends first, the group is killed and the error is that of ctx;
// the exit has been waited for even then. Start itself is not cut short.
func (r *Reaper) RunCommand(ctx context.Context, spec Spec) (Exit, error) {
	p, err := r.Start(spec)
	if err != nil {
		return Exit{}, err
	}
	kill := func() { _ = p.Signal(unix.SIGKILL, true) } // ESRCH: nothing is left
	stop := context.AfterFunc(ctx, kill)
	exit, err := p.wait()
	kill()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	return exit, err
}

// wait returns the end of a process that nobody else listens to.
func (p *Process) wait() (Exit, error) {
	exited := make(chan Exit, 1) // an exit is told once
	p.Notify(func(e Event) {
		if e.Exited != nil {
			exited <- *e.Exited
		}
	})
	select {
	case exit := <-exited:
		return exit, nil
	case <-p.reaper.ended:
		return Exit{}, errReaperEnded
	}
}
