package health

import (
	"maps"
	"sync"
	"time"
)

// LatencyBounds are the upper bounds of the buckets of a Latency. A probe has a
// timeout of seconds, and is local most of the time.
var LatencyBounds = [...]time.Duration{time.Millisecond, 5 * time.Millisecond, 25 * time.Millisecond,
	100 * time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second}

// Latency is the distribution of how long the probes of a program took, those
// that failed among them.
type Latency struct {
	// Buckets counts the probes that took at most the bound of the same index,
	// and longer than the one before it; longer ones are in Count only.
	Buckets [len(LatencyBounds)]uint64
	Count   uint64
	Sum     time.Duration
	Failed  uint64 // of Count
}

// Latencies keeps the Latency of programs, by name, across their lives. It may
// be used from any goroutine.
type Latencies struct {
	mu     sync.Mutex
	byName map[string]Latency
}

// All returns what was counted so far.
func (l *Latencies) All() map[string]Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.byName)
}

// Forget drops the programs that keep does not want.
func (l *Latencies) Forget(keep func(program string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.byName, func(program string, _ Latency) bool { return !keep(program) })
}

// count adds one probe.
func (l *Latencies) count(program string, took time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byName == nil {
		l.byName = map[string]Latency{}
	}
	one := l.byName[program]
	one.Count++
	one.Sum += took
	if !ok {
		one.Failed++
	}
	for i, bound := range LatencyBounds {
		if took <= bound {
			one.Buckets[i]++
			break
		}
	}
	l.byName[program] = one
}
