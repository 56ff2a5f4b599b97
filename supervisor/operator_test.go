package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/config"
	"sidekick/supervisor/child"
)

func (w *world) status(name string) ProgramStatus {
	snapshot, _ := w.s.Snapshot()
	st, ok := snapshot.Program(name)
	if !ok {
		w.t.Fatalf("there is no %s", name)
	}
	return *st
}

// A signal by command reaches the leader alone, and only a living one.
func TestSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, prog("web"), prog("off", policy(func(p *config.Policy) { p.Autostart = false })))
		w.scripts["web"] = []life{{ignores: true}}
		signal := func(name string) error { return w.s.Signal(context.Background(), name, unix.SIGHUP) }
		w.run(0, w.after(time.Second, func() {
			if err := signal("web"); err != nil {
				t.Error(err)
			}
			if err := signal("off"); !errors.Is(err, ErrNotRunning) {
				t.Errorf("off: %v", err)
			}
			if _, ok := errors.AsType[*UnknownProgramError](signal("wbe")); !ok {
				t.Error("an unknown program gets a signal")
			}
			for _, p := range w.all {
				p.unwoken = false // SIGHUP wakes nobody, and need not
			}
			w.terminate()
		}))
		if !slices.Contains(w.timeline, "1s SIGHUP to web") {
			t.Errorf("timeline:\n%s", strings.Join(w.timeline, "\n"))
		}
	})
}

// Drained is what an operator said, whatever the program does.
func TestDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, prog("web"), prog("db"))
		drained := func(want bool) {
			t.Helper()
			time.Sleep(2 * time.Second) // nothing happens by itself any more
			if got := w.status("web").Drained; got != want {
				t.Errorf("drained is %v, want %v", got, want)
			}
		}
		w.run(0, func() {
			drained(false)
			accepted, err := w.s.Drain(context.Background(), true, "web")
			if err != nil {
				t.Fatal(err)
			}
			drained(true)
			if snapshot, _ := w.s.Snapshot(); snapshot.Sequence != accepted.Sequence {
				t.Errorf("it is seen in snapshot %d, and %d was promised", snapshot.Sequence, accepted.Sequence)
			}
			w.do(Restart, "web")()
			drained(true)
			w.reload(prog("web", environment("A=b")), prog("db"))()
			drained(true)
			if w.status("db").Drained {
				t.Error("db is drained as well")
			}
			if _, err := w.s.Drain(context.Background(), false, "web", "wbe"); err == nil {
				t.Error("an unknown program is drained")
			}
			drained(true) // one that is unknown leaves all as they are
			if _, err := w.s.Drain(context.Background(), false, "web"); err != nil {
				t.Error(err)
			}
			drained(false)
			w.terminate()
		})
	})
}

// Every change of a state and of a check's word is an event, in order.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, prog("web", policy(withCheck)))
		w.scripts["web"] = []life{{ends: 3 * time.Second, exit: child.Exit{Code: 3}}, {}}
		w.run(0, w.after(time.Second, w.health("web", Healthy)), w.after(time.Second, w.health("web", Unhealthy)),
			w.after(2*time.Second, w.health("web", Healthy)), w.after(time.Second, w.terminate))
		var got []string
		for _, e := range w.events {
			got = append(got, fmt.Sprintf("%s %s %s>%s %s", e.Type, e.Program, e.From, e.To, e.Reason))
		}
		want := []string{
			"state web STOPPED>STARTING ",
			"health web starting>healthy ",
			"state web STARTING>RUNNING ",
			"health web healthy>unhealthy ",
			"state web RUNNING>BACKOFF exit status 3",
			"state web BACKOFF>STARTING ",
			"health web starting>healthy ",
			"state web STARTING>RUNNING ",
			"state web RUNNING>STOPPING shutdown",
			"state web STOPPING>STOPPED killed by SIGTERM",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s", strings.Join(got, "\n"))
		}
		if w.events[2].Pid == 0 {
			t.Error("RUNNING without its pid")
		}
	})
}

// The time of a check's status is that of the status, not of its last output.
func TestCheckSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, prog("web", policy(withCheck)))
		began := time.Now()
		says := func(status Health, output string) func() {
			return func() {
				w.s.Report(CheckResult{Program: "web", Launch: 1, CheckStatus: CheckStatus{status, output, time.Now()}})
			}
		}
		w.run(0,
			w.after(2*time.Second, says(Unhealthy, "refused")),
			w.after(time.Second, says(Unhealthy, "reset")),
			w.after(time.Second, func() {
				if got := w.status("web").Checks[0]; got.Output != "reset" || got.Since.Sub(began) != 2*time.Second {
					t.Errorf("%s since %v", got.Output, got.Since.Sub(began))
				}
				w.terminate()
			}))
	})
}
