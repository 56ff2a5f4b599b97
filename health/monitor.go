package health

import (
	"context"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"sidekick/config"
	"sidekick/guard"
)

// Monitor keeps a set of targets under probe. All its methods may be called
// from any goroutine.
type Monitor struct {
	// Latencies, if not nil, gets every probe that was not broken off. It is
	// set before the first Set.
	Latencies *Latencies

	log    *slog.Logger
	report func(Result)
	probe  func(context.Context, Target) (string, error)
	wg     sync.WaitGroup // the watches

	mu      sync.Mutex // owns what follows, and the verdict in every watch
	watches map[key]*watch
	closed  bool
}

// watch is one target under probe. It counts as long as Monitor.watches holds
// it: once it is taken out, what its probe still brings is thrown away.
type watch struct {
	target  Target
	verdict verdict
	cancel  context.CancelFunc
}

// NewMonitor returns a monitor without targets. It logs only its own faults;
// verdicts go to report and nowhere else.
//
// A target begins as Starting. report is called for every change of its status,
// for the first success of a probe that Set changed and, but while it is
// healthy, for every change of its output; never for two verdicts at a time, never for a target that Set
// dropped once Set has returned, and never after Close has returned. Set and
// Close wait for a report that is under way, so report must be quick and must
// wait for nobody who may be calling them: it puts the result into a mailbox
// that never blocks.
func NewMonitor(log *slog.Logger, command Command, report func(Result)) *Monitor {
	probe := func(ctx context.Context, t Target) (string, error) {
		if t.Check.Kind != config.ProbeExec {
			return Probe(ctx, t.Check)
		}
		return probeCommand(ctx, t, command)
	}
	return &Monitor{log: log, report: report, probe: probe, watches: map[key]*watch{}}
}

// Command runs the command of an exec check as its program would run it. The
// output is what it said; err is not nil unless it exited with 0.
type Command func(ctx context.Context, t Target) (output string, err error)

func probeCommand(ctx context.Context, t Target, command Command) (output string, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.Check.Timeout)
	defer cancel()
	output, err = command(ctx, t)
	if err != nil {
		return err.Error(), err
	}
	return output, nil
}

// Set makes targets the set to be probed: what is new is probed at once, what
// is gone is left alone, the rest goes on undisturbed. A target whose check
// changed keeps its verdict and is probed at once by the new one. Set does not
// wait for probes that it ends.
func (m *Monitor) Set(targets []Target) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	wanted := make(map[key]bool, len(targets))
	for _, t := range targets {
		wanted[t.key()] = true
		m.keep(t)
	}
	for k := range m.watches {
		if !wanted[k] {
			m.drop(k)
		}
	}
}

// keep makes sure that t is probed as its check says. Called with mu held.
func (m *Monitor) keep(t Target) {
	old, known := m.watches[t.key()]
	switch {
	case !known:
		m.start(t, newVerdict(t.Check, time.Now()))
	case !reflect.DeepEqual(old.target.Check, t.Check):
		m.drop(t.key())
		m.start(t, old.verdict.retuned(t.Check))
	}
}

// start begins to watch t. The goroutine ends when drop cancels its context.
// Called with mu held.
func (m *Monitor) start(t Target, v verdict) {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{target: t, verdict: v, cancel: cancel}
	m.watches[t.key()] = w
	m.wg.Go(func() {
		guard.Run(ctx, m.log, "health of "+t.Program, func(ctx context.Context) error {
			return m.watch(ctx, w)
		})
	})
}

// drop forgets a target and ends its watch. Called with mu held.
func (m *Monitor) drop(k key) {
	m.watches[k].cancel()
	delete(m.watches, k)
}

// Close ends all probes and waits for them. Nothing is reported after it
// returned, and a later Set does nothing.
func (m *Monitor) Close() {
	m.mu.Lock()
	m.closed = true
	for k := range m.watches {
		m.drop(k)
	}
	m.mu.Unlock()
	m.wg.Wait()
}

// watch probes the target again and again until ctx ends. There is one timer,
// for the next probe, and no ticker: an idle target wakes nobody up.
func (m *Monitor) watch(ctx context.Context, w *watch) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		began := time.Now()
		output, err := m.probe(ctx, w.target)
		if m.Latencies != nil && ctx.Err() == nil {
			m.Latencies.count(w.target.Program, time.Since(began), err == nil)
		}
		timer.Reset(m.observe(w, began, output, err == nil))
	}
}

// observe hands one answer to the verdict, reports it if it is news, and
// returns the time until the next probe. The lock is held across the report:
// that is what lets Set promise that a dropped target is never reported again.
func (m *Monitor) observe(w *watch, began time.Time, output string, ok bool) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.watches[w.target.key()] == w && w.verdict.observe(began, output, ok) {
		t := w.target
		m.report(Result{Program: t.Program, Launch: t.Launch, Index: t.Index,
			Status: w.verdict.status, Output: output, At: time.Now()})
	}
	return w.verdict.wait()
}
