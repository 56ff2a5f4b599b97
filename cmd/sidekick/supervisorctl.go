package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"sidekick/config"
	"sidekick/control"
	"sidekick/control/supervisorctl"
)

// Current implements supervisorctl.Configuration.
func (r *reloader) Current() *config.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current
}

// Read implements supervisorctl.Configuration.
func (r *reloader) Read() (*config.Config, error) {
	c, err := config.Load(r.path, os.LookupEnv)
	if err != nil {
		return nil, errors.New(strings.TrimSpace(listed(err)))
	}
	return c, nil
}

// Swap implements supervisorctl.Configuration.
func (r *reloader) Swap(ctx context.Context, current, next *config.Config) (config.Plan, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != current {
		return config.Plan{}, errors.New("the configuration was reloaded in the meantime: try again")
	}
	return r.swap(ctx, next)
}

// startSupervisorctl serves Supervisor's protocol where control.supervisorctl
// says; if it cannot sidekick runs on.
func startSupervisorctl(start func(string, func(context.Context) error), o supervisorctl.Options, group *uint32) {
	c := o.Configuration.Current().Control
	if c.Supervisorctl == "" {
		return
	}
	l, err := control.Listen([]string{c.Supervisorctl}, c.Mode, group)
	if err != nil {
		o.Log.Warn("no supervisorctl socket: supervisorctl cannot be used", "error", err)
		return
	}
	server := supervisorctl.New(o)
	start("supervisorctl", func(ctx context.Context) error {
		return control.Serve(ctx, l, server.Handler(), group, o.Log)
	})
}

var _ supervisorctl.Configuration = (*reloader)(nil)
