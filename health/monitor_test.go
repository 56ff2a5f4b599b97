package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sidekick/config"
)

var standard = config.Check{Interval: 5 * time.Second, Timeout: 3 * time.Second, Retries: 1, StartInterval: 200 * time.Millisecond}

// bench is a monitor in a synctest bubble: its probes answer what the test
// says, and it notes when each began and what was reported.
type bench struct {
	*Monitor
	start time.Time

	mu      sync.Mutex
	answer  func(context.Context, config.Check) (string, error)
	begun   []time.Duration
	reports []string
}

func newBench(t *testing.T) *bench {
	b := &bench{start: time.Now(), answer: refuse}
	b.Monitor = NewMonitor(slog.New(slog.NewTextHandler(io.Discard, nil)), nil, b.note)
	b.probe = func(ctx context.Context, target Target) (string, error) {
		c := target.Check
		b.mu.Lock()
		b.begun = append(b.begun, time.Since(b.start))
		answer := b.answer
		b.mu.Unlock()
		return answer(ctx, c)
	}
	t.Cleanup(b.Close)
	return b
}

func (b *bench) note(r Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reports = append(b.reports, fmt.Sprintf("%v %s/%d/%d %s %s", r.At.Sub(b.start), r.Program, r.Launch, r.Index, r.Status, r.Output))
}

func (b *bench) answers(f func(context.Context, config.Check) (string, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = f
}

// until lets the bubble's clock run to d after the start.
func (b *bench) until(d time.Duration) {
	time.Sleep(d - time.Since(b.start))
	synctest.Wait()
}

func (b *bench) wantReports(t *testing.T, want ...string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.reports, want) {
		t.Errorf("reports:\n%s\nwant:\n%s", strings.Join(b.reports, "\n"), strings.Join(want, "\n"))
	}
}

func (b *bench) wantProbes(t *testing.T, want ...time.Duration) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.begun, want) {
		t.Errorf("probes at %v\nwant      %v", b.begun, want)
	}
}

func refuse(context.Context, config.Check) (string, error) {
	return "refused", errors.New("refused")
}

func pass(context.Context, config.Check) (string, error) { return "200 OK", nil }

// hang answers nothing until its context ends.
func hang(ctx context.Context, c config.Check) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	<-ctx.Done()
	return "no answer", ctx.Err()
}

// deaf is a hang that does not even obey its context.
func deaf(context.Context, config.Check) (string, error) {
	time.Sleep(time.Minute)
	return "refused", errors.New("refused")
}

func web(launch uint64) Target { return Target{Program: "web", Launch: launch, Check: standard} }

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func TestMonitorProbesOftenUntilTheFirstSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.Set([]Target{web(1)})
		b.until(ms(500))
		b.answers(pass)
		b.until(ms(11000))
		b.wantProbes(t, 0, ms(200), ms(400), ms(600), ms(5600), ms(10600))
		b.wantReports(t, "0s web/1/0 starting refused", "600ms web/1/0 healthy 200 OK")
	})
}

func TestMonitorSeesAFallAndARise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.answers(pass)
		b.Set([]Target{web(1)})
		b.until(ms(1000))
		b.answers(hang)
		b.until(ms(10000))
		b.answers(refuse)
		b.until(ms(16000))
		b.answers(pass)
		b.until(ms(19000))
		b.wantProbes(t, 0, ms(5000), ms(13000), ms(18000))
		b.wantReports(t, "0s web/1/0 healthy 200 OK", "8s web/1/0 unhealthy no answer",
			"13s web/1/0 unhealthy refused", "18s web/1/0 healthy 200 OK")
	})
}

func TestMonitorReportsATargetThatNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.Set([]Target{web(1)})
		b.until(ms(4900))
		b.wantReports(t, "0s web/1/0 starting refused")
		b.until(ms(20000))
		b.wantReports(t, "0s web/1/0 starting refused", "5s web/1/0 unhealthy refused")
	})
}

func TestMonitorSetIsLevelTriggered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.answers(pass)
		other := Target{Program: "db", Launch: 7, Index: 1, Check: standard}
		b.Set([]Target{web(1)})
		b.until(ms(1000))
		b.Set([]Target{web(1), other}) // web goes on, db starts
		b.until(ms(2000))
		b.Set([]Target{web(1), other}) // nothing changes
		b.until(ms(6500))
		b.Set([]Target{other}) // web ends
		b.until(ms(12000))
		b.wantProbes(t, 0, ms(1000), ms(5000), ms(6000), ms(11000))
		b.wantReports(t, "0s web/1/0 healthy 200 OK", "1s db/7/1 healthy 200 OK")
	})
}

func TestMonitorANewLaunchBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.answers(pass)
		b.Set([]Target{web(1)})
		b.until(ms(1000))
		b.answers(refuse)
		b.Set([]Target{web(2)})
		b.until(ms(1300))
		b.answers(pass)
		b.until(ms(1500))
		b.wantProbes(t, 0, ms(1000), ms(1200), ms(1400))
		b.wantReports(t, "0s web/1/0 healthy 200 OK", "1s web/2/0 starting refused", "1.4s web/2/0 healthy 200 OK")
	})
}

// The first success of what is asked now is told, though nothing changes by it.
func TestMonitorAChangedCheckKeepsTheVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.answers(pass)
		target := web(1)
		b.Set([]Target{target})
		b.until(ms(1000))
		target.Check.Headers = map[string]string{"X-Probe": "1"}
		b.Set([]Target{target})
		b.until(ms(2000))
		b.answers(refuse)
		b.until(ms(7000))
		b.wantProbes(t, 0, ms(1000), ms(6000))
		b.wantReports(t, "0s web/1/0 healthy 200 OK", "1s web/1/0 healthy 200 OK", "6s web/1/0 unhealthy refused")
	})
}

// A probe that nobody can cancel delays neither Set nor lets its verdict out.
func TestMonitorSetDoesNotWaitForAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.answers(pass)
		b.Set([]Target{web(1)})
		b.until(ms(4000))
		b.answers(deaf) // from 5s to 65s
		b.until(ms(6000))
		b.Set(nil)
		if took := time.Since(b.start) - ms(6000); took != 0 {
			t.Errorf("Set took %v", took)
		}
		b.until(2 * time.Minute)
		b.wantProbes(t, 0, ms(5000))
		b.wantReports(t, "0s web/1/0 healthy 200 OK")
	})
}

func TestMonitorCloseCancelsProbesAndReportsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.answers(pass)
		b.Set([]Target{web(1)})
		b.until(ms(4000))
		b.answers(hang)
		b.until(ms(6000))
		b.Close()
		b.Set([]Target{web(2)})
		if took := time.Since(b.start) - ms(6000); took != 0 {
			t.Errorf("Close took %v", took)
		}
		b.until(time.Minute)
		b.wantProbes(t, 0, ms(5000))
		b.wantReports(t, "0s web/1/0 healthy 200 OK")
	})
}

func TestMonitorCloseWaitsForItsGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.answers(deaf) // until 60s
		b.Set([]Target{web(1)})
		b.until(ms(1000))
		b.Close()
		if at := time.Since(b.start); at != time.Minute {
			t.Errorf("closed at %v, want 1m0s, when the probe ends", at)
		}
		b.wantReports(t)
	})
}

func TestMonitorSurvivesAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.answers(func(context.Context, config.Check) (string, error) { panic("probe") })
		b.Set([]Target{web(1)})
		b.until(ms(50))
		b.answers(pass)
		b.until(ms(150))
		b.wantReports(t, "100ms web/1/0 healthy 200 OK")
	})
}

// Targets come and go while verdicts fall: none may arrive after its Set.
func TestMonitorNeverReportsADroppedLaunch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		current := uint64(0)
		m := NewMonitor(slog.New(slog.NewTextHandler(io.Discard, nil)), nil, func(r Result) {
			mu.Lock()
			defer mu.Unlock()
			if r.Launch < current {
				t.Errorf("launch %d reported during %d", r.Launch, current)
			}
		})
		m.probe = func(ctx context.Context, target Target) (string, error) { return pass(ctx, target.Check) }
		for launch := range uint64(1000) {
			m.Set([]Target{web(launch)})
			mu.Lock()
			current = launch
			mu.Unlock()
		}
		m.Close()
	})
}

// An exec check runs the program's command, within the check's timeout.
func TestMonitorRunsCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reports []string
		command := func(ctx context.Context, target Target) (string, error) {
			if target.Program == "slow" {
				<-ctx.Done()
				return "", fmt.Errorf("no exit in time")
			}
			return "ran " + target.Check.Command[0], nil
		}
		var mu sync.Mutex
		m := NewMonitor(slog.New(slog.NewTextHandler(io.Discard, nil)), command, func(r Result) {
			mu.Lock()
			defer mu.Unlock()
			reports = append(reports, fmt.Sprint(r.Program, " ", r.Status, " ", r.Output))
		})
		check := config.DefaultCheck()
		check.Kind, check.Command = config.ProbeExec, []string{"probe"}
		m.Set([]Target{{Program: "quick", Check: check}})
		time.Sleep(time.Millisecond)
		m.Set([]Target{{Program: "slow", Check: check}})
		time.Sleep(12 * time.Second)
		m.Close()
		if got, want := strings.Join(reports, ", "), "quick healthy ran probe, slow starting no exit in time, slow unhealthy no exit in time"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
