package control

import (
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/procstat"
	"sidekick/supervisor"
)

func (s *Server) listPrograms(*http.Request) (any, error) {
	snapshot, _ := s.supervisor.Snapshot()
	return s.programs(snapshot.Programs), nil
}

func (s *Server) showProgram(q *http.Request) (any, error) {
	snapshot, _ := s.supervisor.Snapshot()
	return s.program(snapshot, q.PathValue("name"))
}

func (s *Server) program(snapshot *supervisor.Snapshot, name string) (*Program, error) {
	status, ok := snapshot.Program(name)
	if !ok {
		return nil, unknown(name)
	}
	return &s.programs([]supervisor.ProgramStatus{*status})[0], nil
}

func unknown(name string) error {
	return errorf(http.StatusNotFound, "not_found", "no program is named %q", name)
}

// programs adds to the supervisor's state what the registrar and /proc know.
func (s *Server) programs(statuses []supervisor.ProgramStatus) []Program {
	var pids []int
	for _, st := range statuses {
		if st.Pid != 0 {
			pids = append(pids, st.Pid)
		}
	}
	stats := procstat.Trees(pids)
	registrations := s.registrations()
	programs := make([]Program, 0, len(statuses))
	for _, st := range statuses {
		p := program(st)
		p.Registrations = append(p.Registrations, registrations[st.Name]...)
		if stat, ok := stats[st.Pid]; ok {
			p.Stats = &stat
		}
		programs = append(programs, p)
	}
	return programs
}

func (s *Server) registrations() map[string][]Registration {
	all := map[string][]Registration{}
	for _, r := range s.registrar.Registrations() {
		all[r.Program] = append(all[r.Program], Registration{Key: r.Key, Address: r.Address, Since: r.Since, Reason: r.Reason, Warning: r.Warning})
	}
	return all
}

func program(st supervisor.ProgramStatus) Program {
	p := Program{
		Name: st.Name, Group: st.Config.Group, State: string(st.State), Want: st.Want.String(), Pid: st.Pid, Restarts: st.Restarts,
		Reason: st.Reason, Completed: st.Completed, NeverStarted: st.Untouched, Registrations: []Registration{},
	}
	if st.Pid != 0 {
		p.UptimeSeconds = time.Since(st.Started).Seconds()
	}
	if st.Exit != nil && st.Exit.Signal != 0 {
		p.Signal = unix.SignalName(st.Exit.Signal)
	} else if st.Exit != nil {
		p.ExitCode = &st.Exit.Code
	}
	for _, c := range st.Checks {
		if p.Health == nil || c.Status != supervisor.Healthy {
			p.Health = &Health{Status: string(c.Status), Since: c.Since, Output: c.Output}
		}
		if c.Status != supervisor.Healthy {
			break
		}
	}
	return p
}
