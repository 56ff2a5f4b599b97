package control

import (
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/events"
	"sidekick/procstat"
	"sidekick/registrar"
	"sidekick/supervisor"
)

// listPrograms lists all; ?stats=false spares the walk through /proc.
func (s *Server) listPrograms(q *http.Request) (any, error) {
	stats, err := yesNo(q, "stats", true)
	if err != nil {
		return nil, err
	}
	snapshot, _ := s.supervisor.Snapshot()
	return s.programs(snapshot.Programs, stats), nil
}

// showProgram shows one, with its last changes of state.
func (s *Server) showProgram(q *http.Request) (any, error) {
	name := q.PathValue("name")
	snapshot, _ := s.supervisor.Snapshot()
	p, err := s.program(snapshot, name)
	if err != nil {
		return nil, err
	}
	p.History = append([]events.Event{}, s.journal.History(name)...)
	return p, nil
}

func (s *Server) program(snapshot *supervisor.Snapshot, name string) (*Program, error) {
	status, ok := snapshot.Program(name)
	if !ok {
		return nil, unknown(name)
	}
	return &s.programs([]supervisor.ProgramStatus{*status}, true)[0], nil
}

func unknown(name string) error {
	return errorf(http.StatusNotFound, "not_found", "no program is named %q", name)
}

// programs adds to the supervisor's state what the registrar and, with measure,
// /proc know.
func (s *Server) programs(statuses []supervisor.ProgramStatus, measure bool) []Program {
	var pids []int
	for _, st := range statuses {
		if st.Pid != 0 && measure {
			pids = append(pids, st.Pid)
		}
	}
	stats := map[int]procstat.Stat{}
	if len(pids) > 0 {
		stats = s.trees(pids)
	}
	registrations := s.registrations()
	counts := logCounts(s.logs)
	programs := make([]Program, 0, len(statuses))
	for _, st := range statuses {
		p := program(st)
		p.Registrations = append(p.Registrations, registrations[st.Name]...)
		p.Logs = counts[st.Name]
		if stat, ok := stats[st.Pid]; ok {
			p.Stats = &stat
		}
		programs = append(programs, p)
	}
	return programs
}

func (s *Server) registrations(programs ...string) map[string][]Registration {
	all := map[string][]Registration{}
	for _, r := range s.registrar.Registrations(programs...) {
		all[r.Program] = append(all[r.Program], registration(r))
	}
	return all
}

// listRegistrations lists the keys of all programs.
func (s *Server) listRegistrations(*http.Request) (any, error) {
	all := []ProgramRegistration{}
	for _, r := range s.registrar.Registrations() {
		all = append(all, ProgramRegistration{Program: r.Program, Port: r.Port, Registration: registration(r)})
	}
	return all, nil
}

func registration(r registrar.Registration) Registration {
	shown := Registration{Key: r.Key, Keys: r.Keys, Address: r.Address, Reason: r.Reason, Warning: r.Warning}
	if !r.Since.IsZero() {
		shown.Since = &r.Since
	}
	return shown
}

func program(st supervisor.ProgramStatus) Program {
	p := Program{
		Name: st.Name, Group: st.Config.Group, State: string(st.State), Want: st.Want.String(), Pid: st.Pid, Restarts: st.Restarts,
		Reason: st.Reason, Completed: st.Completed, NeverStarted: st.Untouched, Drained: st.Drained, Registrations: []Registration{},
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
