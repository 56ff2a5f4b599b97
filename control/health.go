package control

import (
	"net/http"

	"sidekick/supervisor"
)

// Verdict is what a container's health check wants to know.
type Verdict struct {
	Healthy bool `json:"healthy"`
	// Problems has a line for each program that is not well.
	Problems []string `json:"problems"`
}

// health answers with status 200 or 503.
func (s *Server) health(*http.Request) (any, error) {
	snapshot, _ := s.supervisor.Snapshot()
	v := verdict(snapshot)
	status := http.StatusOK
	if !v.Healthy {
		status = http.StatusServiceUnavailable
	}
	return writer(func(w http.ResponseWriter) { reply(w, status, v) }), nil
}

// verdict is the rule: every essential program that starts by itself is RUNNING
// or completed and its check passes. A drained one is in maintenance, which is
// no reason to replace the container.
func verdict(snapshot *supervisor.Snapshot) Verdict {
	v := Verdict{Healthy: true, Problems: []string{}}
	if snapshot.ShuttingDown {
		v = Verdict{Problems: []string{"sidekick is shutting down"}}
	}
	for i := range snapshot.Programs {
		st := &snapshot.Programs[i]
		if why := ailment(st); why != "" && !st.Drained && st.Config.Policy.Essential && st.Config.Policy.Autostart {
			v.Healthy = false
			v.Problems = append(v.Problems, st.Name+" "+why)
		}
	}
	return v
}

// ailment says what a program suffers from, "" for nothing.
func ailment(st *supervisor.ProgramStatus) string {
	switch {
	case st.Completed:
		return ""
	case st.State != supervisor.Running:
		why := "is " + string(st.State)
		if st.Reason != "" {
			why += ": " + st.Reason
		}
		return why
	}
	for _, c := range st.Checks {
		if c.Status != supervisor.Healthy {
			why := "is " + string(c.Status)
			if c.Output != "" {
				why += ": " + c.Output
			}
			return why
		}
	}
	return ""
}
