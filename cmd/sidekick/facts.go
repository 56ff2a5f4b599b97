package main

import (
	"slices"

	"sidekick/config"
	"sidekick/health"
	"sidekick/registrar"
	"sidekick/supervisor"
)

// Neither health nor the registrar knows the supervisor: what follows carries
// the few facts across.

// targets lists the checks of all programs that live and are wanted.
func targets(s *supervisor.Snapshot) []health.Target {
	var all []health.Target
	for _, st := range s.Programs {
		if !st.Alive {
			continue
		}
		for i, check := range st.Config.Policy.Checks {
			all = append(all, health.Target{Program: st.Name, Launch: st.Launch, Index: i, Check: check})
		}
	}
	return all
}

// facts lists all registrations, each up or with the reason why not.
func facts(s *supervisor.Snapshot) []registrar.Fact {
	var all []registrar.Fact
	for _, st := range s.Programs {
		for _, r := range st.Config.Policy.Register {
			reason := whyDown(&st, r)
			if s.ShuttingDown {
				reason = shuttingDown
			}
			all = append(all, registrar.Fact{
				Service: registrar.Service{Program: st.Name, Port: r.Port, Key: r.Key, Advertise: r.Advertise},
				Up:      reason == "",
				Reason:  reason,
			})
		}
	}
	return all
}

func whyDown(st *supervisor.ProgramStatus, r config.Registration) string {
	switch {
	case st.Drained:
		return drainedByCommand
	case st.State != supervisor.Running:
		return "the program is " + string(st.State)
	case st.BowsOut:
		return "the program said STOPPING=1"
	}
	guards := st.Checks[min(len(st.Config.Policy.Checks), len(st.Checks)):] // the watchdog
	if r.Check >= 0 {
		if r.Check >= len(st.Checks) {
			return notYet
		}
		guards = append(slices.Clone(guards), st.Checks[r.Check])
	}
	for _, c := range guards {
		switch c.Status {
		case supervisor.HealthStarting:
			return notYet
		case supervisor.Unhealthy:
			return "the check fails: " + c.Output
		}
	}
	return ""
}

const (
	notYet           = "the check has not passed yet"
	drainedByCommand = "drained by command"
	// shuttingDown: the programs are RUNNING until their keys are gone. To say so
	// here would put back what Withdraw is taking out.
	shuttingDown = "sidekick is shutting down"
)
