package supervisorctl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"sidekick/config"
	"sidekick/logs"
	"sidekick/supervisor"
)

// world is a supervisor and its configuration, of which a test sets what is seen.
type world struct {
	mu       sync.Mutex
	sequence uint64
	programs []supervisor.ProgramStatus
	down     bool
	newer    chan struct{}
	done     chan struct{}
	calls    []string
	// acts is what an action does to the status of a program.
	acts func(supervisor.Action, *supervisor.ProgramStatus)

	running, file *config.Config
	readErr       error
	streams       map[source][]byte
}

func newWorld(programs ...supervisor.ProgramStatus) *world {
	w := &world{newer: make(chan struct{}), done: make(chan struct{}), running: &config.Config{}, streams: map[source][]byte{}}
	for i := range programs {
		st := &programs[i]
		if st.Config == nil {
			c := config.DefaultProgram(st.Name)
			c.Launch.Command = []string{"/bin/sh"}
			st.Config = &c
		}
		w.running.Programs = append(w.running.Programs, *st.Config)
	}
	w.programs, w.file = programs, w.running
	w.acts = func(action supervisor.Action, st *supervisor.ProgramStatus) {
		if action == supervisor.Stop {
			st.State, st.Want, st.Pid = supervisor.Stopped, supervisor.Down, 0
			return
		}
		st.State, st.Want, st.Pid = supervisor.Running, supervisor.Up, 100
		st.Launch++
	}
	return w
}

func (w *world) server() *Server {
	return New(Options{Supervisor: w, Configuration: w, Logs: w, Log: slog.New(slog.DiscardHandler), Pid: 1})
}

func (w *world) Snapshot() (*supervisor.Snapshot, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	snapshot := supervisor.NewSnapshot(w.sequence, slices.Clone(w.programs))
	snapshot.ShuttingDown = w.down
	return snapshot, w.newer
}

// change changes what is seen of a program.
func (w *world) change(name string, change func(*supervisor.ProgramStatus)) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.programs {
		if w.programs[i].Name == name {
			change(&w.programs[i])
		}
	}
	w.sequence++
	close(w.newer)
	w.newer = make(chan struct{})
	return w.sequence
}

func (w *world) Do(_ context.Context, action supervisor.Action, name string) (supervisor.Accepted, error) {
	w.note("%s %s", action, name)
	if w.down {
		return supervisor.Accepted{}, supervisor.ErrShuttingDown
	}
	var launch uint64
	sequence := w.change(name, func(st *supervisor.ProgramStatus) {
		w.acts(action, st)
		launch = st.Launch
	})
	return supervisor.Accepted{Sequence: sequence, Launch: launch}, nil
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, fmt.Sprintf(format, args...))
}

func (w *world) Signal(_ context.Context, name string, sig syscall.Signal) error {
	w.note("signal %s %d", name, int(sig))
	return nil
}

func (w *world) Shutdown(why string)   { w.note("shutdown") }
func (w *world) Done() <-chan struct{} { return w.done }

func (w *world) Current() *config.Config { return w.running }

func (w *world) Read() (*config.Config, error) { return w.file, w.readErr }

// Swap does what the supervisor does: what is new starts, the rest goes on.
func (w *world) Swap(_ context.Context, current, next *config.Config) (config.Plan, error) {
	if current != w.running {
		return config.Plan{}, errors.New("reloaded in the meantime")
	}
	if flaws := next.Flaws(); flaws != nil {
		return config.Plan{}, fmt.Errorf("swapped in with a flaw: %s", flaws[0])
	}
	if !slices.ContainsFunc(next.Programs, func(p config.Program) bool { return p.Policy.Autostart || w.has(p.Name) }) {
		return config.Plan{}, errors.New("nothing is left to run, the container ends")
	}
	plan := config.Diff(w.running, next)
	w.note("swap +%v -%v ~%v", plan.Added, plan.Removed, append(plan.Relaunched, plan.Retuned...))
	w.running = next
	old := w.programs
	w.programs = nil
	for i := range next.Programs {
		p := &next.Programs[i]
		st := supervisor.ProgramStatus{Name: p.Name, State: supervisor.Stopped, Untouched: !p.Policy.Autostart}
		if at := slices.IndexFunc(old, func(st supervisor.ProgramStatus) bool { return st.Name == p.Name }); at >= 0 {
			st = old[at]
		} else if p.Policy.Autostart {
			st = running(p.Name)
		}
		st.Config = p
		w.programs = append(w.programs, st)
	}
	w.sequence++
	return plan, nil
}

func (w *world) has(name string) bool {
	return slices.ContainsFunc(w.programs, func(st supervisor.ProgramStatus) bool { return st.Name == name })
}

func (w *world) Bytes(program string, stream logs.Stream) ([]byte, uint64) {
	data := w.streams[source{program, stream}]
	return data, uint64(len(data))
}

func (w *world) Clear(program string, stream logs.Stream) { w.note("clear %s %s", program, stream) }

func (w *world) Follow([]string, logs.Stream, int) *logs.Follower { panic("not here") }

// epoch is when everything in these tests happened.
var epoch = time.Date(2026, 1, 2, 15, 4, 5, 0, time.Local)

func running(name string) supervisor.ProgramStatus {
	return supervisor.ProgramStatus{Name: name, State: supervisor.Running, Want: supervisor.Up, Pid: 7, Launch: 1, Started: epoch, Since: epoch}
}

func stopped(name string) supervisor.ProgramStatus {
	return supervisor.ProgramStatus{Name: name, State: supervisor.Stopped}
}

// inGroup makes a program a copy of group.
func inGroup(group string, st supervisor.ProgramStatus) supervisor.ProgramStatus {
	c := config.DefaultProgram(st.Name)
	c.Group, c.Launch.Command = group, []string{"/bin/sh"}
	st.Config = &c
	return st
}

// says makes a call and returns the result, or the text of the fault.
func (s *Server) says(t *testing.T, method string, args ...any) any {
	t.Helper()
	v, err := s.call(t.Context(), call{"supervisor." + method, args})
	if err != nil {
		return asFault(err).Error()
	}
	return v
}
