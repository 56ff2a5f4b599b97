package main

import (
	"testing"

	"sidekick/config"
	"sidekick/supervisor"
)

// status is a program with one check and two registrations: one hangs on the
// check, one on RUNNING alone.
func programStatus(state supervisor.State, checks ...supervisor.CheckStatus) supervisor.ProgramStatus {
	p := config.DefaultProgram("web")
	p.Policy.Checks = []config.Check{config.TCPCheck(80)}
	p.Policy.Register = []config.Registration{
		{Port: config.Port{Number: 80, Protocol: "tcp"}, Key: "a", Check: 0},
		{Port: config.Port{Number: 53, Protocol: "udp"}, Key: "b", Check: -1},
	}
	return supervisor.ProgramStatus{Name: "web", State: state, Launch: 7, Alive: true, Config: &p, Checks: checks}
}

func TestFacts(t *testing.T) {
	check := func(h supervisor.Health, output string) supervisor.CheckStatus {
		return supervisor.CheckStatus{Status: h, Output: output}
	}
	bowsOut := programStatus(supervisor.Running, check(supervisor.Healthy, ""))
	bowsOut.BowsOut = true
	for name, c := range map[string]struct {
		status           supervisor.ProgramStatus
		checked, running string // why each is down; "": up
	}{
		"healthy":     {programStatus(supervisor.Running, check(supervisor.Healthy, "ok")), "", ""},
		"unhealthy":   {programStatus(supervisor.Running, check(supervisor.Unhealthy, "refused")), "the check fails: refused", ""},
		"starting":    {programStatus(supervisor.Starting, check(supervisor.Healthy, "")), "the program is STARTING", "the program is STARTING"},
		"stopping":    {programStatus(supervisor.Stopping, check(supervisor.Healthy, "")), "the program is STOPPING", "the program is STOPPING"},
		"fatal":       {programStatus(supervisor.Fatal), "the program is FATAL", "the program is FATAL"},
		"bows out":    {bowsOut, "the program said STOPPING=1", "the program said STOPPING=1"},
		"watchdog":    {programStatus(supervisor.Running, check(supervisor.Healthy, ""), check(supervisor.Unhealthy, "no WATCHDOG=1")), "the check fails: no WATCHDOG=1", "the check fails: no WATCHDOG=1"},
		"fed":         {programStatus(supervisor.Running, check(supervisor.Healthy, ""), check(supervisor.Healthy, "")), "", ""},
		"no answer":   {programStatus(supervisor.Running, check(supervisor.HealthStarting, "")), "the check has not passed yet", ""},
		"not checked": {programStatus(supervisor.Running), "the check has not passed yet", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := facts(&supervisor.Snapshot{Programs: []supervisor.ProgramStatus{c.status}})
			if len(got) != 2 {
				t.Fatalf("%+v", got)
			}
			for i, want := range []string{c.checked, c.running} {
				f := got[i]
				if f.Up != (want == "") || f.Reason != want {
					t.Errorf("registration %d: up %v, %q; want %q", i, f.Up, f.Reason, want)
				}
				if r := c.status.Config.Policy.Register[i]; f.Program != "web" || f.Port != r.Port || f.Key != r.Key {
					t.Errorf("registration %d: %+v", i, f.Service)
				}
			}
		})
	}
}

// Checks run while the process lives, and know to which life they belong.
func TestTargets(t *testing.T) {
	dead := programStatus(supervisor.Backoff)
	dead.Alive = false
	got := targets(&supervisor.Snapshot{Programs: []supervisor.ProgramStatus{dead, programStatus(supervisor.Starting)}})
	if len(got) != 1 || got[0].Program != "web" || got[0].Launch != 7 || got[0].Index != 0 || got[0].Check.Kind != config.ProbeTCP {
		t.Errorf("%+v", got)
	}
}

// During a shutdown programs run until their keys are gone, and none comes back.
func TestFactsOfAShutdown(t *testing.T) {
	status := programStatus(supervisor.Running, supervisor.CheckStatus{Status: supervisor.Healthy})
	for _, f := range facts(&supervisor.Snapshot{ShuttingDown: true, Programs: []supervisor.ProgramStatus{status}}) {
		if f.Up || f.Reason != "sidekick is shutting down" {
			t.Errorf("%+v", f)
		}
	}
}
