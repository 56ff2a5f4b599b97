// Package supervisorctl serves Supervisor's XML-RPC, version 3.0 of its API, so
// that an unmodified supervisorctl controls sidekick. What it says, down to the
// words and their order, is what supervisord 4.2.5 says of the same programs.
//
// A program is a process in a group of its own name; replicas are the processes
// of one group, as with numprocs. docs/supervisorctl.md tells what differs.
package supervisorctl

import (
	"context"
	"log/slog"
	"sync/atomic"
	"syscall"

	"sidekick/config"
	"sidekick/supervisor"
)

// Supervisor is what is needed of the supervisor.
type Supervisor interface {
	Snapshot() (*supervisor.Snapshot, <-chan struct{})
	Do(ctx context.Context, action supervisor.Action, name string) (supervisor.Accepted, error)
	Signal(ctx context.Context, name string, sig syscall.Signal) error
	Shutdown(why string)
	Done() <-chan struct{}
}

// Configuration is the file and what runs of it.
type Configuration interface {
	// Current is what runs.
	Current() *config.Config
	// Read reads and checks the file. The error has all that is wrong with it.
	Read() (*config.Config, error)
	// Swap has next run in place of current. It changes nothing when current does
	// not run any more.
	Swap(ctx context.Context, current, next *config.Config) (config.Plan, error)
}

// Options are what a Server needs, all of it.
type Options struct {
	Supervisor    Supervisor
	Configuration Configuration
	Logs          Logs
	Log           *slog.Logger
	// Environ and Dir are what programs start with, as in supervisor.Options.
	Environ []string
	Dir     string
	// Pid is that of sidekick, as the programs see it.
	Pid int
}

// Server answers the calls.
type Server struct {
	Options
	methods  map[string]method
	groups   groups
	cleared  cleared
	shutdown atomic.Bool // asked for by a call
}

// New makes a server.
func New(o Options) *Server {
	return &Server{Options: o, methods: methods(), groups: groups{source: o.Configuration, supervisor: o.Supervisor}}
}
