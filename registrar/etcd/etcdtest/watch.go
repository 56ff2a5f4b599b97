package etcdtest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Event is one change of a key, as etcd ordered it.
type Event struct {
	Revision int64
	Key      string
	Put      bool   // else a delete
	Value    string // of a put
	Lease    int64  // of a put
	At       time.Time
}

// String is the event in one line.
func (e Event) String() string {
	if e.Put {
		return fmt.Sprintf("%d put %s=%s lease %x", e.Revision, e.Key, e.Value, e.Lease)
	}
	return fmt.Sprintf("%d delete %s", e.Revision, e.Key)
}

// Watch is the record of all changes under a prefix since it began.
type Watch struct {
	t testing.TB

	mu     sync.Mutex // guards events and news
	events []Event
	news   chan struct{} // closed, and replaced, with each event
}

// Watch records changes under prefix until the test ends, as the given members
// tell them (all, if none is named).
func (c *Cluster) Watch(t testing.TB, prefix string, members ...int) *Watch {
	t.Helper()
	client := c.Client(t, members...)
	now, err := client.Get(t.Context(), prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	w := &Watch{t: t, news: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	changes := client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(now.Header.Revision+1))
	var reader sync.WaitGroup
	reader.Go(func() { // ends with ctx, which closes changes
		for resp := range changes {
			w.add(resp.Events)
		}
	})
	t.Cleanup(func() { cancel(); reader.Wait() })
	return w
}

func (w *Watch) add(events []*clientv3.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range events {
		w.events = append(w.events, Event{
			Revision: e.Kv.ModRevision, Key: string(e.Kv.Key), Put: e.Type == clientv3.EventTypePut,
			Value: string(e.Kv.Value), Lease: e.Kv.Lease, At: time.Now(),
		})
	}
	close(w.news)
	w.news = make(chan struct{})
}

// Events returns what happened so far, in etcd's order.
func (w *Watch) Events() []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Event(nil), w.events...)
}

// Wait returns the first event after the one with revision after that match
// accepts, and fails the test if there is none within limit.
func (w *Watch) Wait(after int64, limit time.Duration, match func(Event) bool) Event {
	w.t.Helper()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for {
		w.mu.Lock()
		news := w.news
		w.mu.Unlock()
		for _, e := range w.Events() {
			if e.Revision > after && match(e) {
				return e
			}
		}
		select {
		case <-news:
		case <-timeout.C:
			w.t.Fatalf("not seen in etcd within %v; seen: %v", limit, w.Events())
		}
	}
}

// WaitPut waits for a put of key after the event with revision after.
func (w *Watch) WaitPut(after int64, limit time.Duration, key string) Event {
	w.t.Helper()
	return w.Wait(after, limit, func(e Event) bool { return e.Put && e.Key == key })
}

// WaitDelete waits for a delete of key after the event with revision after.
func (w *Watch) WaitDelete(after int64, limit time.Duration, key string) Event {
	w.t.Helper()
	return w.Wait(after, limit, func(e Event) bool { return !e.Put && e.Key == key })
}
