package control

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"

	"sidekick/config"
	"sidekick/registrar"
	"sidekick/supervisor"
)

// Supervisor is what the API needs of the supervisor.
type Supervisor interface {
	Snapshot() (*supervisor.Snapshot, <-chan struct{})
	Do(ctx context.Context, action supervisor.Action, name string) (supervisor.Accepted, error)
	Done() <-chan struct{}
}

// Registrar is what the API needs of the registrar.
type Registrar interface {
	Registrations() []registrar.Registration
	// Answers: etcd answered the last call.
	Answers() bool
}

// Reloader reads the configuration again.
type Reloader interface {
	// Reload swaps the file in, or with dryRun only says what that would do. An
	// error means that nothing was changed.
	Reload(ctx context.Context, dryRun bool) (config.Plan, error)
}

// Server answers the API.
type Server struct {
	supervisor Supervisor
	registrar  Registrar
	reloader   Reloader
	log        *slog.Logger
}

// NewServer makes a server.
func NewServer(s Supervisor, r Registrar, reloader Reloader, log *slog.Logger) *Server {
	return &Server{supervisor: s, registrar: r, reloader: reloader, log: log}
}

// route is one entry of the API.
type route struct {
	method, pattern string
	handle          func(*Server, *http.Request) (any, error)
}

var routes = []route{
	{http.MethodGet, "/v1/programs", (*Server).listPrograms},
	{http.MethodGet, "/v1/programs/{name}", (*Server).showProgram},
	{http.MethodPost, "/v1/programs/{name}/start", act(supervisor.Start)},
	{http.MethodPost, "/v1/programs/{name}/stop", act(supervisor.Stop)},
	{http.MethodPost, "/v1/programs/{name}/restart", act(supervisor.Restart)},
	{http.MethodPost, "/v1/reload", (*Server).reload},
}

// Serve answers on the listener until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return Serve(ctx, l, s.handler(), s.log)
}

// handler routes a request.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	byPattern := map[string]map[string]route{}
	for _, r := range routes {
		if byPattern[r.pattern] == nil {
			byPattern[r.pattern] = map[string]route{}
		}
		byPattern[r.pattern][r.method] = r
	}
	for pattern, methods := range byPattern {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, q *http.Request) {
			r, ok := methods[q.Method]
			if !ok {
				fail(w, errorf(http.StatusMethodNotAllowed, "method_not_allowed", "%s is not allowed here", q.Method))
				return
			}
			s.answer(w, q, r)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		fail(w, errorf(http.StatusNotFound, "not_found", "there is no %s", q.URL.Path))
	})
	return mux
}

func (s *Server) answer(w http.ResponseWriter, q *http.Request, r route) {
	result, err := r.handle(s, q)
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, result)
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body) // the client is gone
}

// fail answers with the error; one that is no *Error is our own fault.
func fail(w http.ResponseWriter, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = errorf(http.StatusInternalServerError, "internal", "%v", err)
	}
	reply(w, e.Status, errorBody{e})
}
