package control

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/config"
	"sidekick/registrar"
	"sidekick/supervisor"
	"sidekick/supervisor/child"
)

// fakeSupervisor shows the snapshots that a test sets.
type fakeSupervisor struct {
	mu       sync.Mutex
	snapshot *supervisor.Snapshot
	newer    chan struct{}
	done     chan struct{}
	acted    []string
	act      func(supervisor.Action, string) (supervisor.Accepted, error)
}

func newFake(programs ...supervisor.ProgramStatus) *fakeSupervisor {
	f := &fakeSupervisor{newer: make(chan struct{}), done: make(chan struct{})}
	f.show(programs...)
	f.act = func(supervisor.Action, string) (supervisor.Accepted, error) { return supervisor.Accepted{}, nil }
	return f
}

func (f *fakeSupervisor) show(programs ...supervisor.ProgramStatus) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range programs {
		programs[i].Config = &config.Program{Name: programs[i].Name, Group: "group-of-" + programs[i].Name,
			Policy: config.Policy{Register: make([]config.Registration, 1)}}
	}
	sequence := uint64(1)
	if f.snapshot != nil {
		sequence = f.snapshot.Sequence + 1
		close(f.newer)
	}
	f.snapshot, f.newer = supervisor.NewSnapshot(sequence, programs), make(chan struct{})
}

func (f *fakeSupervisor) Snapshot() (*supervisor.Snapshot, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.snapshot, f.newer
}

func (f *fakeSupervisor) Do(_ context.Context, action supervisor.Action, name string) (supervisor.Accepted, error) {
	f.mu.Lock()
	f.acted = append(f.acted, string(action)+" "+name)
	f.mu.Unlock()
	return f.act(action, name)
}

func (f *fakeSupervisor) Done() <-chan struct{} { return f.done }

// fakeRegistrar is the registrar that a test sets.
type fakeRegistrar struct {
	mu            sync.Mutex
	registrations []registrar.Registration
	answers       bool
}

func (f *fakeRegistrar) set(answers bool, all ...registrar.Registration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers, f.registrations = answers, all
}

func (f *fakeRegistrar) Registrations() []registrar.Registration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.registrations
}

func (f *fakeRegistrar) Answers() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answers
}

func serve(t *testing.T, s Supervisor, r Registrar) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := Listen([]string{path}, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := NewServer(s, r, fakeReloader{}, slog.New(slog.DiscardHandler)).Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); serving.Wait() })
	c, err := Dial([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func running(name string, launch uint64, checks ...supervisor.CheckStatus) supervisor.ProgramStatus {
	return supervisor.ProgramStatus{Name: name, State: supervisor.Running, Want: supervisor.Up, Launch: launch,
		Alive: true, Checks: checks}
}

func TestPrograms(t *testing.T) {
	since := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	web := running("web", 1, supervisor.CheckStatus{Status: supervisor.Healthy, Output: "200 OK", Since: since},
		supervisor.CheckStatus{Status: supervisor.Unhealthy, Output: "refused", Since: since})
	web.Pid, web.Started, web.Restarts = os.Getpid(), time.Now().Add(-time.Minute), 2
	done := supervisor.ProgramStatus{Name: "once", State: supervisor.Exited, Completed: true, Exit: &child.Exit{}, Reason: "exit status 0"}
	dead := supervisor.ProgramStatus{Name: "dead", State: supervisor.Fatal, Exit: &child.Exit{Signal: unix.SIGSEGV}}
	r := &fakeRegistrar{}
	r.set(true, registrar.Registration{Program: "web", Key: "/service/10.0.0.1:80", Address: "10.0.0.1:80", Since: since})
	c := serve(t, newFake(web, done, dead), r)
	programs, err := c.Programs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(programs) != 3 {
		t.Fatalf("%d programs", len(programs))
	}
	p := programs[0]
	if p.Stats == nil || p.Stats.MemoryBytes == 0 || p.UptimeSeconds < 59 || p.Restarts != 2 || p.Want != "up" || !p.OK() {
		t.Errorf("web: %+v, stats %+v", p, p.Stats)
	}
	if p.Health == nil || *p.Health != (Health{Status: "unhealthy", Since: since, Output: "refused"}) {
		t.Errorf("health: %+v, want the check that fails", p.Health)
	}
	if len(p.Registrations) != 1 || p.Registrations[0] != (Registration{Key: "/service/10.0.0.1:80", Address: "10.0.0.1:80", Since: since}) {
		t.Errorf("registrations: %+v", p.Registrations)
	}
	if p := programs[1]; p.ExitCode == nil || *p.ExitCode != 0 || !p.OK() || p.Health != nil || p.Stats != nil {
		t.Errorf("once: %+v", p)
	}
	if p := programs[2]; p.ExitCode != nil || p.Signal != "SIGSEGV" || p.OK() {
		t.Errorf("dead: %+v", p)
	}
}

func TestErrors(t *testing.T) {
	f := newFake(running("web", 1))
	f.act = func(_ supervisor.Action, name string) (supervisor.Accepted, error) {
		return supervisor.Accepted{}, &supervisor.UnknownProgramError{Name: name}
	}
	c := serve(t, f, &fakeRegistrar{})
	for _, q := range []struct {
		method, path, code string
		status             int
	}{
		{"GET", "/v1/programs/wbe", "not_found", 404},
		{"POST", "/v1/programs/wbe/start", "not_found", 404},
		{"POST", "/v1/programs", "method_not_allowed", 405},
		{"GET", "/v1/programs/web/stop", "method_not_allowed", 405},
		{"DELETE", "/v1/programs/web", "method_not_allowed", 405},
		{"POST", "/v1/programs/web/stop?wait=soon", "bad_request", 400},
		{"POST", "/v1/programs/web/stop?wait=-1s", "bad_request", 400},
		{"GET", "/v2", "not_found", 404},
	} {
		t.Run(q.method+" "+q.path, func(t *testing.T) {
			err := c.do(t.Context(), q.method, q.path, nil)
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Code != q.code || e.Status != q.status || e.Message == "" {
				t.Errorf("got %#v, want %s with status %d", err, q.code, q.status)
			}
		})
	}
}

func TestErrorBody(t *testing.T) {
	c := serve(t, newFake(), &fakeRegistrar{})
	response, err := c.http.Get("http://sidekick/v1/programs/no")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body map[string]map[string]string
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	if e := body["error"]; e["code"] != "not_found" || e["message"] != `no program is named "no"` || len(e) != 2 {
		t.Errorf("body %v", body)
	}
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
}

// A restart is done when the new launch is RUNNING, healthy and registered.
func TestActWaits(t *testing.T) {
	healthy := supervisor.CheckStatus{Status: supervisor.Healthy}
	f := newFake(running("web", 1, healthy))
	r := &fakeRegistrar{}
	absent := registrar.Registration{Program: "web", Reason: "the address is being looked up", Pending: true}
	there := registrar.Registration{Program: "web", Address: "10.0.0.1:80"}
	r.set(true, absent)
	f.act = func(supervisor.Action, string) (supervisor.Accepted, error) {
		return supervisor.Accepted{Sequence: 2, Launch: 2}, nil
	}
	c := serve(t, f, r)
	result := make(chan error, 1)
	go func() {
		p, err := c.Act(t.Context(), supervisor.Restart, "web", time.Minute)
		if err == nil && (p.State != "RUNNING" || p.Registrations[0].Reason != "") {
			err = errors.New("answered too early: " + p.State + p.Registrations[0].Reason)
		}
		result <- err
	}()
	stopping := running("web", 1)
	stopping.State = supervisor.Stopping
	starting := running("web", 2, supervisor.CheckStatus{Status: supervisor.HealthStarting})
	for _, step := range []supervisor.ProgramStatus{running("web", 1, healthy), stopping, starting, running("web", 2, healthy)} {
		f.show(step)
		select {
		case err := <-result:
			t.Fatalf("answered while it was %+v: %v", step, err)
		case <-time.After(3 * keyPoll): // long enough for a wrong answer to come
		}
	}
	r.set(true, there)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
}

func TestActOutcomes(t *testing.T) {
	program := func(state supervisor.State, want supervisor.Want, change func(*supervisor.ProgramStatus)) supervisor.ProgramStatus {
		p := supervisor.ProgramStatus{Name: "web", State: state, Want: want, Launch: 2, Reason: "exit status 3"}
		if change != nil {
			change(&p)
		}
		return p
	}
	unregistered := func(pending bool) registrar.Registration {
		return registrar.Registration{Program: "web", Pending: pending, Reason: "no"}
	}
	for name, c := range map[string]struct {
		action  supervisor.Action
		program supervisor.ProgramStatus
		answers bool
		pending bool
		code    string // "" for success
	}{
		"start fails":               {supervisor.Start, program(supervisor.Fatal, supervisor.Up, nil), true, false, "failed"},
		"start exits badly":         {supervisor.Start, program(supervisor.Exited, supervisor.Up, nil), true, false, "failed"},
		"start completes":           {supervisor.Start, program(supervisor.Exited, supervisor.Up, func(p *supervisor.ProgramStatus) { p.Completed = true }), true, false, ""},
		"start is countermanded":    {supervisor.Start, program(supervisor.Stopped, supervisor.Down, nil), true, false, "failed"},
		"start hangs":               {supervisor.Start, program(supervisor.Backoff, supervisor.Up, nil), true, false, "timeout"},
		"etcd is away":              {supervisor.Start, program(supervisor.Running, supervisor.Up, nil), false, true, ""},
		"the address is unknown":    {supervisor.Start, program(supervisor.Running, supervisor.Up, nil), true, false, ""},
		"the key does not come":     {supervisor.Start, program(supervisor.Running, supervisor.Up, nil), true, true, "timeout"},
		"stopped":                   {supervisor.Stop, program(supervisor.Stopped, supervisor.Down, nil), true, false, ""},
		"stop of a completed one":   {supervisor.Stop, program(supervisor.Exited, supervisor.Down, nil), true, false, ""},
		"stop hangs":                {supervisor.Stop, program(supervisor.Stopping, supervisor.Down, nil), true, false, "timeout"},
		"stop is countermanded":     {supervisor.Stop, program(supervisor.Starting, supervisor.Up, nil), true, false, "failed"},
		"restart of the old launch": {supervisor.Restart, program(supervisor.Running, supervisor.Up, func(p *supervisor.ProgramStatus) { p.Launch = 1 }), true, false, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(c.program)
			f.act = func(supervisor.Action, string) (supervisor.Accepted, error) {
				return supervisor.Accepted{Sequence: 1, Launch: 2}, nil
			}
			r := &fakeRegistrar{}
			r.set(c.answers, unregistered(c.pending))
			client := serve(t, f, r)
			_, err := client.Act(t.Context(), c.action, "web", time.Second+time.Millisecond)
			e, _ := errors.AsType[*Error](err)
			if err == nil && c.code != "" || err != nil && (e == nil || e.Code != c.code) {
				t.Errorf("got %v, want %q", err, c.code)
			}
		})
	}
}

func TestActWithoutWaiting(t *testing.T) {
	f := newFake(supervisor.ProgramStatus{Name: "web", State: supervisor.Stopping})
	c := serve(t, f, &fakeRegistrar{})
	if p, err := c.Act(t.Context(), supervisor.Stop, "web", 0); err != nil || p.State != "STOPPING" {
		t.Errorf("got %+v, %v", p, err)
	}
	if len(f.acted) != 1 || f.acted[0] != "stop web" {
		t.Errorf("acted %q", f.acted)
	}
}

func TestShuttingDown(t *testing.T) {
	f := newFake(running("web", 1))
	f.act = func(supervisor.Action, string) (supervisor.Accepted, error) {
		return supervisor.Accepted{}, supervisor.ErrShuttingDown
	}
	c := serve(t, f, &fakeRegistrar{})
	_, err := c.Act(t.Context(), supervisor.Stop, "web", time.Second)
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != "shutting_down" {
		t.Errorf("got %v", err)
	}
}

func TestSocketMode(t *testing.T) {
	old := unix.Umask(0) // the widest: only the mode on the socket itself protects
	defer unix.Umask(old)
	for _, mode := range []fs.FileMode{0o600, 0o660} {
		path := filepath.Join(t.TempDir(), "s.sock")
		config := socketConfig(mode)
		l, err := config.Listen(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("the mode right after bind is %v, %v, want %v", info.Mode(), err, mode)
		}
		l.Close()
	}
}

func TestListen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.sock")
	first, err := Listen([]string{filepath.Join(dir, "no", "s.sock"), path}, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen([]string{path}, 0o600); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("a live socket was taken: %v", err)
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false)
	first.Close()
	second, err := Listen([]string{path}, 0o600)
	if err != nil {
		t.Fatalf("a stale socket is in the way: %v", err)
	}
	defer second.Close()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen([]string{filepath.Join(dir, "file")}, 0o600); err == nil {
		t.Error("a file that is no socket was replaced")
	}
	if _, err := os.Stat(filepath.Join(dir, "file")); err != nil {
		t.Error(err)
	}
}

func TestDialSkipsStaleSockets(t *testing.T) {
	c := serve(t, newFake(running("web", 1)), &fakeRegistrar{})
	stale := filepath.Join(t.TempDir(), "stale.sock")
	l, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	found, err := Dial([]string{stale, "/no/such/socket", c.Socket})
	if err != nil || found.Socket != c.Socket {
		t.Errorf("got %v, %v", found, err)
	}
	if _, err := Dial([]string{stale}); !errors.Is(err, ErrNobodyAnswers) {
		t.Errorf("got %v", err)
	}
}

func TestPeerRules(t *testing.T) {
	me := uint32(os.Geteuid())
	for _, c := range []struct {
		cred   unix.Ucred
		admits bool
	}{
		{unix.Ucred{Uid: 0, Pid: 5}, true},
		{unix.Ucred{Uid: me, Pid: 5}, true},
		{unix.Ucred{Uid: me + 1, Pid: 5}, false},
		{unix.Ucred{Uid: me + 1, Pid: 1}, false},
	} {
		if got := admits(&c.cred, me); got != c.admits {
			t.Errorf("admits(%+v) = %v", c.cred, got)
		}
	}
	const user = 1000
	for _, c := range []struct {
		cred   unix.Ucred
		uid    uint32
		trusts bool
	}{
		{unix.Ucred{Uid: 0, Pid: 5}, user, true},
		{unix.Ucred{Uid: user, Pid: 5}, user, true},
		{unix.Ucred{Uid: 7, Pid: 1}, user, true},
		{unix.Ucred{Uid: 7, Pid: 5}, user, false},
		{unix.Ucred{Uid: 0, Pid: 0}, user, false},
		{unix.Ucred{Uid: user, Pid: 0}, user, false},
		{unix.Ucred{Uid: 7, Pid: 0}, 0, true},
	} {
		if got := trusts(&c.cred, c.uid); got != c.trusts {
			t.Errorf("trusts(%+v) of uid %d = %v", c.cred, c.uid, got)
		}
	}
}

// A peer that is not admitted is told so and reaches no route.
func TestForbidden(t *testing.T) {
	f := newFake(running("web", 1))
	s := NewServer(f, &fakeRegistrar{}, fakeReloader{}, slog.New(slog.DiscardHandler))
	for name, p := range map[string]any{
		"stranger": peerResult{cred: &unix.Ucred{Uid: uint32(os.Geteuid()) + 1, Pid: 9}},
		"unknown":  peerResult{err: errors.New("no credentials")},
		"nobody":   nil,
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range routes {
				q, _ := http.NewRequestWithContext(context.WithValue(t.Context(), peerKey{}, p), r.method,
					strings.ReplaceAll(r.pattern, "{name}", "web"), nil)
				w := &answer{header: http.Header{}}
				admitted(s.handler()).ServeHTTP(w, q)
				if w.status != http.StatusForbidden || !strings.Contains(w.body.String(), "forbidden") {
					t.Errorf("%s %s: %d %s", r.method, r.pattern, w.status, w.body.String())
				}
			}
		})
	}
	if len(f.acted) > 0 {
		t.Errorf("acted: %q", f.acted)
	}
}

// answer is a ResponseWriter that keeps what it gets.
type answer struct {
	header http.Header
	status int
	body   strings.Builder
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

func TestCandidates(t *testing.T) {
	lookup := func(value string, ok bool) func(string) (string, bool) {
		return func(string) (string, bool) { return value, ok }
	}
	for _, c := range []struct {
		configured string
		lookup     func(string) (string, bool)
		want       string
	}{
		{"/a", lookup("/b", true), "/a"},
		{"", lookup("/b", true), "/b"},
		{"", lookup("", true), "/run/sidekick.sock /tmp/sidekick.sock /dev/shm/sidekick.sock"},
		{"", lookup("", false), "/run/sidekick.sock /tmp/sidekick.sock /dev/shm/sidekick.sock"},
	} {
		if got := strings.Join(Candidates(c.configured, c.lookup), " "); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// fakeReloader plans what a test can recognise.
type fakeReloader struct{}

func (fakeReloader) Reload(_ context.Context, dryRun bool) (config.Plan, error) {
	if !dryRun {
		return config.Plan{}, errors.New("cannot reload, nothing was changed: x.yaml:1:2: bad")
	}
	return config.Plan{Added: []string{"web"}, Relaunched: []string{"db"}}, nil
}

func TestReload(t *testing.T) {
	c := serve(t, newFake(), &fakeRegistrar{})
	plan, err := c.Reload(t.Context(), true)
	if err != nil || len(plan.Added) != 1 || plan.Added[0] != "web" || plan.Restarted[0] != "db" || plan.Removed == nil {
		t.Errorf("got %+v, %v", plan, err)
	}
	_, err = c.Reload(t.Context(), false)
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != "failed" || !strings.Contains(e.Message, "x.yaml:1:2") {
		t.Errorf("got %v", err)
	}
	err = c.do(t.Context(), http.MethodPost, "/v1/reload?dry_run=perhaps", nil)
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != "bad_request" {
		t.Errorf("got %v", err)
	}
}
