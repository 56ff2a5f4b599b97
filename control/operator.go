package control

import (
	"context"
	"errors"
	"net/http"
	"time"

	"sidekick/config"
	"sidekick/supervisor"
)

// signal sends ?signal= to the process of a program.
func (s *Server) signal(q *http.Request) (any, error) {
	name, text := q.PathValue("name"), q.Form.Get("signal")
	if text == "" {
		return nil, badRequest("which signal? add ?signal=HUP")
	}
	sig, err := config.ParseSignal(text)
	if err != nil {
		return nil, badRequest("%v", err)
	}
	switch err := s.supervisor.Signal(q.Context(), name, sig); {
	case errors.Is(err, supervisor.ErrNotRunning):
		return nil, errorf(http.StatusConflict, "not_running", "%s has no process", name)
	case err != nil:
		return nil, actionError(name, err)
	}
	snapshot, _ := s.supervisor.Snapshot()
	return s.program(snapshot, name)
}

// drain makes the handler that takes the keys of programs, of all if none is
// named, out of etcd while they run on, or that puts them back. With ?wait= it
// answers when etcd has confirmed that.
func drain(drained bool) func(*Server, *http.Request) (any, error) {
	return func(s *Server, q *http.Request) (any, error) {
		wait, err := waitParameter(q)
		if err != nil {
			return nil, err
		}
		names := q.Form["program"]
		if len(names) == 0 {
			snapshot, _ := s.supervisor.Snapshot()
			for _, st := range snapshot.Programs {
				names = append(names, st.Name)
			}
		}
		accepted, err := s.supervisor.Drain(q.Context(), drained, names...)
		if err != nil {
			return nil, drainError(err)
		}
		ctx, cancel := context.WithTimeout(q.Context(), max(wait, time.Second))
		defer cancel()
		s.sees(ctx, accepted.Sequence)
		if wait > 0 {
			if err := s.settled(ctx, drained, names); err != nil {
				return nil, err
			}
		}
		return s.named(names), nil
	}
}

func drainError(err error) error {
	if u, ok := errors.AsType[*supervisor.UnknownProgramError](err); ok {
		return unknown(u.Name)
	}
	return actionError("", err)
}

// sees waits for a snapshot, and with it for the registrar to know.
func (s *Server) sees(ctx context.Context, sequence uint64) {
	for {
		snapshot, newer := s.supervisor.Snapshot()
		if snapshot.Sequence >= sequence {
			return
		}
		select {
		case <-newer:
		case <-s.supervisor.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// settled waits until etcd has no key of the programs any more, or every key
// that can be had.
func (s *Server) settled(ctx context.Context, drained bool, names []string) error {
	if drained {
		s.registrar.Gone(ctx, names...)
		if ctx.Err() != nil {
			return errorf(http.StatusGatewayTimeout, "timeout",
				"cannot confirm: etcd does not say that the keys are gone. They go when it answers, or by their TTL; the programs stay drained")
		}
		return nil
	}
	poll := time.NewTicker(keyPoll)
	defer poll.Stop()
	for _, name := range names {
		for !s.registered(name) {
			select {
			case <-poll.C:
			case <-ctx.Done():
				return errorf(http.StatusGatewayTimeout, "timeout", "cannot confirm: the key of %s is not in etcd yet. It comes when it can", name)
			}
		}
	}
	return nil
}

// named are the programs, without statistics.
func (s *Server) named(names []string) []Program {
	snapshot, _ := s.supervisor.Snapshot()
	programs := []Program{}
	for _, name := range names {
		if st, ok := snapshot.Program(name); ok {
			if p, err := s.shown(st, nil); err == nil {
				programs = append(programs, *p)
			}
		}
	}
	return programs
}
