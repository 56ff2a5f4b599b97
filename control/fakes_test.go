package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"sidekick/config"
	"sidekick/events"
	"sidekick/registrar"
	"sidekick/supervisor"
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
		if programs[i].Config == nil {
			programs[i].Config = &config.Program{Name: programs[i].Name, Group: "group-of-" + programs[i].Name,
				Policy: config.Policy{Register: make([]config.Registration, 1), Essential: true, Autostart: true}}
		}
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
	f.note("%s %s", action, name)
	return f.act(action, name)
}

func (f *fakeSupervisor) Signal(_ context.Context, name string, sig syscall.Signal) error {
	snapshot, _ := f.Snapshot()
	st, ok := snapshot.Program(name)
	switch {
	case !ok:
		return &supervisor.UnknownProgramError{Name: name}
	case !st.Alive:
		return supervisor.ErrNotRunning
	}
	f.note("signal %d %s", sig, name)
	return nil
}

func (f *fakeSupervisor) Drain(_ context.Context, drained bool, names ...string) (supervisor.Accepted, error) {
	snapshot, _ := f.Snapshot()
	programs := slices.Clone(snapshot.Programs)
	for _, name := range names {
		i := slices.IndexFunc(programs, func(st supervisor.ProgramStatus) bool { return st.Name == name })
		if i < 0 {
			return supervisor.Accepted{}, &supervisor.UnknownProgramError{Name: name}
		}
		programs[i].Drained = drained
	}
	f.note("drain %v %s", drained, strings.Join(names, " "))
	f.show(programs...)
	return supervisor.Accepted{Sequence: snapshot.Sequence + 1}, nil
}

func (f *fakeSupervisor) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acted = append(f.acted, fmt.Sprintf(format, args...))
}

func (f *fakeSupervisor) Done() <-chan struct{} { return f.done }

// fakeRegistrar is the registrar that a test sets.
type fakeRegistrar struct {
	mu            sync.Mutex
	registrations []registrar.Registration
	answers       bool
	hangs         bool // Gone does not return before its context ends
}

func (f *fakeRegistrar) Gone(ctx context.Context, _ ...string) {
	f.mu.Lock()
	hangs := f.hangs
	f.mu.Unlock()
	if hangs {
		<-ctx.Done()
	}
}

func (f *fakeRegistrar) set(answers bool, all ...registrar.Registration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers, f.registrations = answers, all
}

func (f *fakeRegistrar) Registrations(programs ...string) []registrar.Registration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(programs) == 0 {
		return f.registrations
	}
	return slices.DeleteFunc(slices.Clone(f.registrations), func(r registrar.Registration) bool {
		return !slices.Contains(programs, r.Program)
	})
}

func (f *fakeRegistrar) Answers() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answers
}

// newTestServer answers from these fakes and, if it is not nil, a journal.
func newTestServer(s Supervisor, r Registrar, journal *events.Journal) *Server {
	if journal == nil {
		journal = events.NewJournal()
	}
	return NewServer(Options{Supervisor: s, Registrar: r, Reloader: fakeReloader{}, Metrics: NewMetrics(s, r, MetricsSources{}), Journal: journal,
		Log: slog.New(slog.DiscardHandler)})
}

func serving(t *testing.T, s Supervisor, r Registrar) *Client {
	t.Helper()
	return connect(t, newTestServer(s, r, nil))
}

// connect serves on a socket and returns a client of it.
func connect(t *testing.T, s *Server) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := Listen([]string{path}, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var ends sync.WaitGroup
	ends.Go(func() {
		if err := s.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); ends.Wait() })
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

// fakeReloader plans what a test can recognise.
type fakeReloader struct{}

func (fakeReloader) Reload(_ context.Context, dryRun bool) (config.Plan, error) {
	if !dryRun {
		return config.Plan{}, errors.New("cannot reload, nothing was changed: x.yaml:1:2: bad")
	}
	return config.Plan{Added: []string{"web"}, Relaunched: []string{"db"}}, nil
}
