// Package events keeps what happened lately: the one journal of state, health
// and registration changes that `sidekick events` reads.
package events

import (
	"slices"
	"sync"
	"time"
)

// Type says what changed.
type Type string

// The types of events, with the words that From and To have.
const (
	State        Type = "state"        // STOPPED STARTING RUNNING BACKOFF STOPPING EXITED FATAL
	Health       Type = "health"       // starting healthy unhealthy
	Registration Type = "registration" // registered unregistered
)

// The words of a registration's From and To. An event with the same word twice
// tells of a new reason.
const (
	Registered   = "registered"
	Unregistered = "unregistered"
)

// Event is one change.
type Event struct {
	// ID grows by one from event to event. It starts anew, at a larger number,
	// when sidekick does.
	ID      uint64    `json:"id"`
	Time    time.Time `json:"time"`
	Type    Type      `json:"type"`
	Program string    `json:"program"`
	From    string    `json:"from"`
	To      string    `json:"to"`
	Reason  string    `json:"reason"`        // "" when it needs no word
	Pid     int       `json:"pid,omitempty"` // of a state, while a process lives
	Key     string    `json:"key,omitempty"` // of a registration, when it is known
}

// Bounds of a journal, in events and bytes.
const (
	capacity  = 1024
	history   = 64
	maxReason = 1024
)

// Journal holds the last events of all programs and, beside them, the last
// changes of state of each. Every goroutine may use it; nothing in it blocks
// for long. Make it with NewJournal.
type Journal struct {
	mu     sync.Mutex
	start  uint64  // the ID before that of the first event
	last   uint64  // ID of the newest event
	ring   []Event // at most capacity, the oldest first
	states map[string][]Event
	newer  chan struct{} // closed, and replaced, with every event
}

// NewJournal makes an empty journal. The time makes IDs of a later life larger
// than those that a client may remember of an earlier one.
func NewJournal() *Journal {
	start := uint64(time.Now().UnixMicro())
	return &Journal{start: start, last: start, states: map[string][]Event{}, newer: make(chan struct{})}
}

// Append adds an event, of which the journal sets ID and, if it is zero, Time.
// A nil journal takes none.
func (j *Journal) Append(e Event) {
	if j == nil {
		return
	}
	e.Reason = bounded(e.Reason)
	j.mu.Lock()
	defer j.mu.Unlock()
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	j.last++
	e.ID = j.last
	j.ring = push(j.ring, e, capacity)
	if e.Type == State {
		j.states[e.Program] = push(j.states[e.Program], e, history)
	}
	close(j.newer)
	j.newer = make(chan struct{})
}

// bounded cuts a reason that came from outside: a probe's output may be long.
func bounded(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	return reason[:maxReason] + "…"
}

// push appends to what is kept of at most limit events. The slice moves on
// through its array, which is copied only when it is at its end.
func push(kept []Event, e Event, limit int) []Event {
	if len(kept) == limit {
		kept = kept[1:]
	}
	return append(kept, e)
}

// Since returns the events after that with the ID, the oldest first, how many
// before them are lost because the journal is bounded, and a channel that is
// closed when there is a newer event. 0, and any ID of another life, stand for
// all that is kept.
func (j *Journal) Since(id uint64) (all []Event, lost uint64, newer <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	oldest := j.last - uint64(len(j.ring)) // the ID before that of the oldest that is kept
	if id < j.start || id > j.last {
		return slices.Clone(j.ring), 0, j.newer
	}
	if id < oldest {
		id, lost = oldest, oldest-id
	}
	return slices.Clone(j.ring[id-oldest:]), lost, j.newer
}

// History returns the last changes of state of a program, the oldest first.
func (j *Journal) History(program string) []Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.states[program])
}

// Retain forgets the history of all programs but these.
func (j *Journal) Retain(programs []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for name := range j.states {
		if !slices.Contains(programs, name) {
			delete(j.states, name)
		}
	}
}
