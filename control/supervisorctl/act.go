package supervisorctl

import (
	"context"
	"errors"
	"slices"

	"sidekick/config"
	"sidekick/supervisor"
)

// outcome tells whether what a caller waits for has come, and the fault if it
// came out badly. nil: there is nothing to wait for.
type outcome func(*supervisor.Snapshot) (over bool, err error)

// start begins a start. The order of the checks is Supervisor's.
func (s *Server) start(ctx context.Context, p process) (outcome, error) {
	if err := s.executable(p); err != nil {
		return nil, err
	}
	if p.isRunning() {
		return nil, faultf(alreadyStarted, "%s", p.spec())
	}
	accepted, err := s.Supervisor.Do(ctx, supervisor.Start, p.name)
	if err != nil {
		return nil, actionFault(p, err)
	}
	return func(snapshot *supervisor.Snapshot) (bool, error) {
		if snapshot.Sequence < accepted.Sequence {
			return false, nil
		}
		now, ok := snapshot.Program(p.name)
		if !ok {
			return true, faultf(abnormalTermination, "%s", p.spec())
		}
		return hasStarted(process{p.group, p.name, now}, accepted.Launch)
	}, nil
}

// hasStarted: a one-shot that ended well counts as started. A launch that came
// to nothing is a spawn error at once, although it may be tried again.
func hasStarted(p process, launch uint64) (bool, error) {
	switch {
	case p.Launch > launch:
		return true, whyNotUp(p)
	case p.Launch < launch: // it waits for a dependency, which may be hopeless
		if p.State == supervisor.Fatal || p.Want == supervisor.Down {
			return true, faultf(abnormalTermination, "%s", p.spec())
		}
		return false, nil
	case p.State == supervisor.Running, p.Completed:
		return true, nil
	case p.State == supervisor.Backoff, p.State == supervisor.Exited, p.State == supervisor.Fatal:
		return true, whyNotUp(p)
	case p.Want == supervisor.Down:
		return true, faultf(abnormalTermination, "%s", p.spec())
	}
	return false, nil
}

// whyNotUp judges a launch that is over. With min_uptime 0 an executed command
// was RUNNING, if only for a moment.
func whyNotUp(p process) error {
	if p.Config.Policy.MinUptime == 0 && p.Exit != nil {
		return nil
	}
	return faultf(spawnError, "%s", p.spec())
}

// stop begins a stop.
func (s *Server) stop(ctx context.Context, p process) (outcome, error) {
	if !p.isRunning() {
		return nil, faultf(notRunning, "%s", p.spec())
	}
	accepted, err := s.Supervisor.Do(ctx, supervisor.Stop, p.name)
	if err != nil {
		return nil, actionFault(p, err)
	}
	return func(snapshot *supervisor.Snapshot) (bool, error) {
		now, ok := snapshot.Program(p.name)
		// Somebody who started it again did so after it had stopped.
		return snapshot.Sequence >= accepted.Sequence && (!ok || isStopped(now.State) || now.Want == supervisor.Up), nil
	}, nil
}

// signal sends a signal, which is a name or a number: also 0, which only asks
// whether the process is there (kill(2)).
func (s *Server) signal(ctx context.Context, p process, signal string) error {
	sig, err := config.ParseSignal(signal)
	if err != nil && signal != "0" {
		return faultf(badSignal, "%s", signal)
	}
	if !p.isSignallable() {
		return faultf(notRunning, "%s", p.spec())
	}
	if err := s.Supervisor.Signal(ctx, p.name, sig); err != nil {
		return actionFault(p, err)
	}
	return nil
}

func actionFault(p process, err error) error {
	if _, ok := errors.AsType[*supervisor.UnknownProgramError](err); ok {
		return faultf(badName, "%s", p.spec())
	}
	switch {
	case errors.Is(err, supervisor.ErrShuttingDown):
		return faultf(shutdownState, "")
	case errors.Is(err, supervisor.ErrNotRunning):
		return faultf(notRunning, "%s", p.spec())
	}
	return faultf(failed, "%s: %v", p.spec(), err)
}

// begin is start or stop.
type begin func(context.Context, process) (outcome, error)

// one carries an action out on one process, to its end if wait is true.
func (s *Server) one(ctx context.Context, p process, begin begin, wait bool) (any, error) {
	over, err := begin(ctx, p)
	if err != nil || over == nil || !wait {
		return true, err
	}
	var bad error
	if err := s.await(ctx, func(snapshot *supervisor.Snapshot) (done bool) {
		done, bad = over(snapshot)
		return done
	}); err != nil {
		return nil, err
	}
	return true, bad
}

// job is a process that is waited for.
type job struct {
	process
	over outcome
}

// each carries an action out on several processes side by side. The results
// stand in the order in which they came.
func (s *Server) each(ctx context.Context, processes []process, begin begin, wait bool) (any, error) {
	results := []any{}
	var waiting []job
	for _, p := range processes {
		over, err := begin(ctx, p)
		if err == nil && over != nil && wait {
			waiting = append(waiting, job{p, over})
		} else {
			results = append(results, result(p, err))
		}
	}
	err := s.await(ctx, func(snapshot *supervisor.Snapshot) bool {
		waiting = slices.DeleteFunc(waiting, func(j job) bool {
			over, err := j.over(snapshot)
			if over {
				results = append(results, result(j.process, err))
			}
			return over
		})
		return len(waiting) == 0
	})
	return results, err
}

// result is an entry in the answer to a call on several processes.
func result(p process, err error) any {
	code, text := success, "OK"
	if err != nil {
		f := asFault(err)
		code, text = f.code, f.Error()
	}
	return map[string]any{"name": p.name, "group": p.group, "status": int(code), "description": text}
}

// await looks at each new snapshot until done says so.
func (s *Server) await(ctx context.Context, done func(*supervisor.Snapshot) bool) error {
	for {
		snapshot, newer := s.Supervisor.Snapshot()
		if done(snapshot) {
			return nil
		}
		select {
		case <-newer:
		case <-s.Supervisor.Done():
			return faultf(shutdownState, "")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// restart has everything run anew by the file as it is now, as a supervisord that
// was restarted: what has autostart starts, also what was stopped; the rest stops.
func (s *Server) restart(ctx context.Context) error {
	plan, next, err := s.groups.reload(ctx)
	if err != nil {
		return err
	}
	for _, i := range next.Order() {
		p := &next.Programs[i]
		action := supervisor.Restart
		switch {
		case !p.Policy.Autostart:
			action = supervisor.Stop
		case slices.Contains(plan.Added, p.Name), slices.Contains(plan.Relaunched, p.Name):
			action = supervisor.Start
		}
		if _, err := s.Supervisor.Do(ctx, action, p.Name); err != nil {
			return faultf(failed, "%s: %v", p.Name, err)
		}
	}
	return nil
}
