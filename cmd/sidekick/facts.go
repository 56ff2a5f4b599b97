package main

import (
	"log/slog"

	"sidekick/config"
	"sidekick/health"
	"sidekick/registrar"
	"sidekick/registrar/etcd"
	"sidekick/registrar/portmap"
	"sidekick/supervisor"
)

// Neither health nor the registrar knows the supervisor: what follows carries
// the few facts across.

// newRegistrar returns nil when no program has registrations.
func newRegistrar(c *config.Config, log *slog.Logger) *registrar.Registrar {
	wanted := false
	for i := range c.Programs {
		wanted = wanted || len(c.Programs[i].Policy.Register) > 0
	}
	if !wanted {
		return nil
	}
	return registrar.New(registrar.Options{
		Store:  etcd.New(*c.Registry.Etcd, c.Registry.TTL),
		Mapper: portmap.New(c.Registry.Docker, "/proc"),
		Log:    log,
		TTL:    c.Registry.TTL,
	})
}

// targets lists the checks of all programs that live and are wanted.
func targets(c *config.Config, s *supervisor.Snapshot) []health.Target {
	var all []health.Target
	for i, st := range s.Programs {
		if !st.Alive {
			continue
		}
		for j, check := range c.Programs[i].Policy.Checks {
			all = append(all, health.Target{Program: st.Name, Launch: st.Launch, Index: j, Check: check})
		}
	}
	return all
}

// facts lists all registrations, each up or with the reason why not.
func facts(c *config.Config, s *supervisor.Snapshot) []registrar.Fact {
	var all []registrar.Fact
	for i, st := range s.Programs {
		for _, r := range c.Programs[i].Policy.Register {
			reason := whyDown(&st, r)
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
	if st.State != supervisor.Running {
		return "the program is " + string(st.State)
	}
	if r.Check >= 0 && r.Check < len(st.Checks) {
		if c := st.Checks[r.Check]; c.Status != supervisor.Healthy {
			return "the check fails: " + c.Output
		}
	}
	return ""
}
