package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sidekick/supervisor"
)

// goal is what a caller of an action waits for.
type goal struct {
	action   supervisor.Action
	name     string
	accepted supervisor.Accepted
	wait     time.Duration // 0: only that the command is seen
}

// act makes the handler of an action. With ?wait=DURATION it answers when the
// outcome is there.
func act(action supervisor.Action) func(*Server, *http.Request) (any, error) {
	return func(s *Server, q *http.Request) (any, error) {
		wait, err := waitParameter(q)
		if err != nil {
			return nil, err
		}
		name := q.PathValue("name")
		accepted, err := s.supervisor.Do(q.Context(), action, name)
		if err != nil {
			return nil, actionError(name, err)
		}
		return s.reach(q.Context(), goal{action, name, accepted, wait})
	}
}

func actionError(name string, err error) error {
	if _, ok := errors.AsType[*supervisor.UnknownProgramError](err); ok {
		return unknown(name)
	}
	if errors.Is(err, supervisor.ErrShuttingDown) {
		return errorf(http.StatusServiceUnavailable, "shutting_down", "sidekick is shutting down")
	}
	return err
}

// keyPoll is how often the registrar is asked for the key of a program that is
// otherwise up.
const keyPoll = 20 * time.Millisecond

// reach waits until the goal is reached, has failed, or its time is over.
func (s *Server) reach(ctx context.Context, g goal) (*Program, error) {
	late := time.NewTimer(max(g.wait, time.Second))
	defer late.Stop()
	var poll <-chan time.Time // nil: it has no key to wait for
	for {
		snapshot, newer := s.supervisor.Snapshot()
		if snapshot.Sequence >= g.accepted.Sequence {
			st, ok := snapshot.Program(g.name)
			if !ok {
				return nil, unknown(g.name)
			}
			if reached, err := s.reached(g, st); reached || err != nil {
				return s.shown(st, err)
			}
			if len(st.Config.Policy.Register) > 0 && poll == nil {
				ticker := time.NewTicker(keyPoll)
				defer ticker.Stop()
				poll = ticker.C
			}
		}
		select {
		case <-newer:
		case <-poll:
		case <-s.supervisor.Done():
			return nil, actionError(g.name, supervisor.ErrShuttingDown)
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-late.C:
			return nil, s.late(g)
		}
	}
}

// shown is the program without its statistics: to gather them takes a walk
// through all of /proc, too much for each of a thousand programs in a row.
func (s *Server) shown(st *supervisor.ProgramStatus, err error) (*Program, error) {
	if err != nil {
		return nil, err
	}
	p := program(*st)
	p.Registrations = append(p.Registrations, s.registrations(st.Name)[st.Name]...)
	return &p, nil
}

func (s *Server) reached(g goal, st *supervisor.ProgramStatus) (bool, error) {
	switch {
	case g.wait == 0:
		return true, nil
	case g.action == supervisor.Stop:
		return s.hasStopped(st)
	case st.Want == supervisor.Down:
		return false, errorf(http.StatusConflict, "failed", "%s was stopped meanwhile", st.Name)
	case st.State == supervisor.Fatal, st.State == supervisor.Exited && !st.Completed:
		return false, errorf(http.StatusConflict, "failed", "%s is %s: %s", st.Name, st.State, st.Reason)
	case st.Launch < g.accepted.Launch:
		return false, nil
	case st.Completed:
		return true, nil
	}
	return st.State == supervisor.Running && st.Healthy() && s.registered(st.Name), nil
}

func (s *Server) hasStopped(st *supervisor.ProgramStatus) (bool, error) {
	if st.Want == supervisor.Up {
		return false, errorf(http.StatusConflict, "failed", "%s was started meanwhile", st.Name)
	}
	switch st.State {
	case supervisor.Stopped, supervisor.Exited, supervisor.Fatal:
		return true, nil
	}
	return false, nil
}

// registered: no key of the program is on its way any more. One that cannot come,
// since etcd is away or the address is unknown, is not waited for; `status` tells
// why.
func (s *Server) registered(name string) bool {
	return s.pending(name) == ""
}

// pending says why a key of the program is still on its way, "" if none is.
func (s *Server) pending(name string) string {
	if !s.registrar.Answers() {
		return ""
	}
	for _, r := range s.registrar.Registrations(name) {
		if r.Pending {
			return "not registered: " + r.Reason
		}
	}
	return ""
}

func (s *Server) late(g goal) error {
	snapshot, _ := s.supervisor.Snapshot()
	st, ok := snapshot.Program(g.name)
	if !ok {
		return unknown(g.name)
	}
	text := fmt.Sprintf("%s is %s after %s", g.name, st.State, g.wait)
	if why := s.missing(st); why != "" {
		text += ": " + why
	}
	return errorf(http.StatusGatewayTimeout, "timeout", "%s", text)
}

// missing says what a program waits for, "" if that is only a moment.
func (s *Server) missing(st *supervisor.ProgramStatus) string {
	policy := st.Config.Policy
	if st.State == supervisor.Stopping {
		return fmt.Sprintf("it has its stop_grace_period of %s, then SIGKILL", policy.StopGracePeriod)
	}
	for _, c := range st.Checks {
		if c.Status != supervisor.Healthy {
			return strings.TrimSuffix("not healthy: "+c.Output, ": ")
		}
	}
	switch {
	case st.Reason != "":
		return st.Reason
	case st.State == supervisor.Starting && st.Config.Launch.Notify:
		return "it has not sent READY=1 yet"
	case st.State == supervisor.Starting:
		return fmt.Sprintf("min_uptime is %s", policy.MinUptime)
	}
	return s.pending(st.Name)
}
