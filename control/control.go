// Package control is sidekick's HTTP API on a unix socket, both ends of it.
package control

import (
	"fmt"
	"time"

	"sidekick/events"
	"sidekick/procstat"
	"sidekick/supervisor"
)

// Program is one program as the API shows it.
type Program struct {
	Name          string         `json:"name"`
	Group         string         `json:"group"` // the name in the file, of all replicas
	State         string         `json:"state"` // STOPPED STARTING RUNNING BACKOFF STOPPING EXITED FATAL
	Want          string         `json:"want"`  // up or down
	Pid           int            `json:"pid"`   // 0: no process
	UptimeSeconds float64        `json:"uptime_seconds"`
	Restarts      int            `json:"restarts"`
	ExitCode      *int           `json:"exit_code"` // of the last run; null: none yet, or killed by Signal
	Signal        string         `json:"signal"`    // that killed the last run
	Reason        string         `json:"reason"`
	Completed     bool           `json:"completed"`     // EXITED with success
	NeverStarted  bool           `json:"never_started"` // autostart is false and nobody started it
	Drained       bool           `json:"drained"`       // by command: its keys stay out of etcd
	Health        *Health        `json:"health"`        // null: it has no check
	Registrations []Registration `json:"registrations"`
	Stats         *procstat.Stat `json:"stats"` // of its process tree; null: no process
	Logs          LogCounts      `json:"logs"`  // of its output, since sidekick started
	// History is the last changes of state, at most 64, the oldest first. Only
	// GET /v1/programs/{name} has it.
	History []events.Event `json:"history,omitempty"`
}

// Health is the word of a program's checks: the first that does not pass.
type Health struct {
	Status string    `json:"status"` // starting, healthy or unhealthy
	Since  time.Time `json:"since"`
	Output string    `json:"output"`
}

// Registration is a registered port of a program and its key in etcd.
type Registration struct {
	Key     string     `json:"key"`            // "" while the address is unknown
	Keys    []string   `json:"keys,omitempty"` // all, where registry.format gives several
	Address string     `json:"address"`        // host:port, "" while unknown
	Since   *time.Time `json:"since"`          // of the key; null while it does not exist
	Reason  string     `json:"reason"`         // "" while the key exists, else why it does not
	Warning string     `json:"warning"`        // what puts a key that exists in doubt
}

// ProgramRegistration is a Registration with what it is of.
type ProgramRegistration struct {
	Program string `json:"program"`
	Port    string `json:"port"` // of the container, as "8000/tcp"
	Registration
}

// OK is the rule for `status`: what should run runs, what should end ended well.
func (p *Program) OK() bool { return ok(supervisor.State(p.State), p.Completed, p.NeverStarted) }

func ok(state supervisor.State, completed, neverStarted bool) bool {
	return state == supervisor.Running || completed || neverStarted
}

// Error is the API's word for a failure.
type Error struct {
	// Status is the HTTP status.
	Status int `json:"-"`
	// Code is one word for programs: not_found, bad_request,
	// method_not_allowed, too_large, forbidden, failed, not_running, timeout,
	// shutting_down, internal.
	Code string `json:"code"`
	// Message is one line for people.
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

func errorf(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// errorBody is how an Error travels.
type errorBody struct {
	Error *Error `json:"error"`
}
