package control

import (
	"strings"
	"testing"

	"sidekick/config"
	"sidekick/registrar"
	"sidekick/supervisor"
)

// A command that takes too long says what is missing.
func TestMissing(t *testing.T) {
	unhealthy := supervisor.CheckStatus{Status: supervisor.Unhealthy, Output: "refused"}
	status := func(state supervisor.State, change func(*supervisor.ProgramStatus, *config.Program), checks ...supervisor.CheckStatus) *supervisor.ProgramStatus {
		c := config.DefaultProgram("web")
		st := supervisor.ProgramStatus{Name: "web", State: state, Checks: checks, Config: &c}
		if change != nil {
			change(&st, &c)
		}
		return &st
	}
	pending := &fakeRegistrar{}
	pending.set(true, registrar.Registration{Program: "web", Pending: true, Reason: "being registered"})
	for want, st := range map[string]*supervisor.ProgramStatus{
		"stop_grace_period of 5s": status(supervisor.Stopping, nil, unhealthy),
		"not healthy: refused":    status(supervisor.Running, nil, unhealthy),
		"waiting for db: healthy": status(supervisor.Stopped, func(st *supervisor.ProgramStatus, _ *config.Program) { st.Reason = "waiting for db: healthy" }),
		"READY=1":                 status(supervisor.Starting, func(_ *supervisor.ProgramStatus, c *config.Program) { c.Launch.Notify = true }),
		"min_uptime is 1s":        status(supervisor.Starting, nil),
		"not registered: being r": status(supervisor.Running, nil),
	} {
		if got := (&Server{registrar: pending}).missing(st); !strings.Contains(got, want) {
			t.Errorf("%s: %q, not %q", st.State, got, want)
		}
	}
}

func TestTwoObjects(t *testing.T) {
	if _, err := readObject([]byte(`{"signal": "HUP"} {"signal": "TERM"}`)); err == nil {
		t.Error("what follows the object is passed over")
	}
}
