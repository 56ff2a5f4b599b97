package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"sidekick/config"
	"sidekick/events"
	"sidekick/logs"
	"sidekick/procstat"
	"sidekick/registrar"
	"sidekick/supervisor"
)

// Supervisor is what the API needs of the supervisor.
type Supervisor interface {
	Snapshot() (*supervisor.Snapshot, <-chan struct{})
	Do(ctx context.Context, action supervisor.Action, name string) (supervisor.Accepted, error)
	Signal(ctx context.Context, name string, sig syscall.Signal) error
	Drain(ctx context.Context, drained bool, names ...string) (supervisor.Accepted, error)
	Done() <-chan struct{}
}

// Registrar is what the API needs of the registrar.
type Registrar interface {
	// Registrations has those of the programs, of all if none is named.
	Registrations(programs ...string) []registrar.Registration
	// Answers: etcd answered the last call.
	Answers() bool
	// Gone returns when no key of the programs is in etcd, or ctx ends.
	Gone(ctx context.Context, programs ...string)
}

// Reloader reads the configuration again.
type Reloader interface {
	// Reload swaps the file in, or with dryRun only says what that would do. An
	// error means that nothing was changed.
	Reload(ctx context.Context, dryRun bool) (config.Plan, error)
}

// Options are what a Server answers from.
type Options struct {
	Supervisor Supervisor
	Registrar  Registrar
	Reloader   Reloader
	Journal    *events.Journal
	Metrics    *Metrics
	Logs       *logs.Collector
	// Group is the id of control.group, whose members are admitted; nil: none.
	Group *uint32
	Log   *slog.Logger
}

// Server answers the API.
type Server struct {
	supervisor Supervisor
	registrar  Registrar
	reloader   Reloader
	journal    *events.Journal
	metrics    *Metrics
	logs       *logs.Collector
	group      *uint32
	log        *slog.Logger
	// trees is procstat.Trees but in tests.
	trees func(pids []int) map[int]procstat.Stat
}

// NewServer makes a server.
func NewServer(o Options) *Server {
	return &Server{supervisor: o.Supervisor, registrar: o.Registrar, reloader: o.Reloader, journal: o.Journal,
		metrics: o.Metrics, logs: o.Logs, group: o.Group, log: o.Log, trees: procstat.Trees}
}

// route is one entry of the API.
type route struct {
	method, pattern string
	access          access
	// parameters are the names that it takes, separated by spaces; any other is
	// an error.
	parameters string
	// handle answers with what is sent as JSON, or with a writer.
	handle func(*Server, *http.Request) (any, error)
}

// writer is an answer that is no JSON or comes bit by bit. It returns when all
// is written, the request's context ends, or the client does not read.
type writer func(w http.ResponseWriter)

var routes = []route{
	{http.MethodGet, "/v1/programs", read, "stats", (*Server).listPrograms},
	{http.MethodGet, "/v1/programs/{name}", read, "", (*Server).showProgram},
	{http.MethodPost, "/v1/programs/{name}/start", control, "wait", act(supervisor.Start)},
	{http.MethodPost, "/v1/programs/{name}/stop", control, "wait", act(supervisor.Stop)},
	{http.MethodPost, "/v1/programs/{name}/restart", control, "wait", act(supervisor.Restart)},
	{http.MethodPost, "/v1/programs/{name}/signal", control, "signal", (*Server).signal},
	// What programs print is not for whoever comes over TCP.
	{http.MethodGet, "/v1/programs/{name}/logs", control, "follow lines stream", (*Server).showLogs},
	{http.MethodGet, "/v1/logs", control, "program follow lines stream", (*Server).showAllLogs},
	{http.MethodGet, "/v1/events", read, "since follow", (*Server).events},
	{http.MethodPost, "/v1/reload", control, "dry_run", (*Server).reload},
	{http.MethodPost, "/v1/drain", control, "program wait", drain(true)},
	{http.MethodPost, "/v1/undrain", control, "program wait", drain(false)},
	{http.MethodGet, "/v1/health", read, "", (*Server).health},
	{http.MethodGet, "/v1/registrations", read, "", (*Server).listRegistrations},
	{http.MethodGet, "/metrics", read, "", (*Server).showMetrics},
}

// Serve answers on the unix socket until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return Serve(ctx, l, s.handler(), s.group, s.log)
}

// handler routes a request.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	methods := map[string][]route{}
	for _, r := range routes {
		methods[r.pattern] = append(methods[r.pattern], r)
	}
	for pattern, methods := range methods {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, q *http.Request) { s.choose(w, q, methods) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		fail(w, errorf(http.StatusNotFound, "not_found", "there is no %s", q.URL.Path))
	})
	return mux
}

// choose finds the route of a pattern by its method.
func (s *Server) choose(w http.ResponseWriter, q *http.Request, methods []route) {
	var allowed []string
	for _, r := range methods {
		if r.method == q.Method {
			s.answer(w, q, r)
			return
		}
		allowed = append(allowed, r.method)
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	fail(w, errorf(http.StatusMethodNotAllowed, "method_not_allowed", "%s is not allowed here", q.Method))
}

func (s *Server) answer(w http.ResponseWriter, q *http.Request, r route) {
	if may(q) < r.access {
		fail(w, errorf(http.StatusForbidden, "forbidden", "whoever may only read may not %s %s", r.method, r.pattern))
		return
	}
	var result any
	err := parse(w, q, strings.Fields(r.parameters))
	if err == nil {
		result, err = r.handle(s, q)
	}
	if err != nil {
		fail(w, err)
		return
	}
	if write, ok := result.(writer); ok {
		write(w)
		return
	}
	reply(w, http.StatusOK, result)
}

// parse gathers the parameters of the query and of the body, a form or a JSON
// object, in q.Form.
func parse(w http.ResponseWriter, q *http.Request, known []string) error {
	query, err := readQuery(q.URL.RawQuery)
	if err == nil {
		err = readBody(w, q, query)
	}
	if err != nil {
		return err
	}
	for name := range query {
		if !slices.Contains(known, name) {
			return badRequest("there is no parameter %q here, but: %s", name, cmp.Or(strings.Join(known, ", "), "none"))
		}
	}
	q.Form = query
	return nil
}

func reply(w http.ResponseWriter, status int, body any) {
	extend(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body) // the client is gone
}

// extend gives the client its time for the next piece of the answer: one that
// does not read is dropped.
func extend(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)) // a test's writer has none
}

// fail answers with the error; one that is no *Error is our own fault.
func fail(w http.ResponseWriter, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = errorf(http.StatusInternalServerError, "internal", "%v", err)
	}
	reply(w, e.Status, errorBody{e})
}
