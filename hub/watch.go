package hub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// pulseEvery is the time between two questions whether etcd is there
	// and still the same; pulseTimeout bounds the answer.
	pulseEvery   = 2 * time.Second
	pulseTimeout = 2 * time.Second
	// readTimeout bounds one reading of all services.
	readTimeout = 5 * time.Second
	// backoffFirst and backoffMax bound the pause after a failure.
	backoffFirst = 100 * time.Millisecond
	backoffMax   = 5 * time.Second
)

// Kind says what happened to a service.
type Kind string

// The kinds of a Change.
const (
	Added   Kind = "added"
	Changed Kind = "changed" // the same key got another value
	Removed Kind = "removed" // Service is as it last was
	// Present is for those who treat a first listing as changes.
	Present Kind = "present"
)

// Change is one thing that happened to one service.
type Change struct {
	Kind    Kind
	Service Service // its TTL is not known
	// Time is when the news arrived here.
	Time time.Time
}

// Observer is told what Watch sees, by one goroutine, so nothing runs twice
// at a time. Each field may be nil.
type Observer struct {
	// Listed is called once, with what was there at first.
	Listed func([]Service)
	// Changed is called for every change since, in etcd's order.
	Changed func(Change)
	// Trouble is called when etcd stopped answering, with the reason, and
	// with nil when it answers again.
	Trouble func(error)
}

// Watch follows the services of an etcd until ctx ends, and returns ctx's
// error. No failure ends it: it reads everything again, reports the difference
// and goes on, also when the etcd behind the address lost its data or is
// another one.
func Watch(ctx context.Context, client *clientv3.Client, o Observer) error {
	w := &watcher{client: client, observer: o, pause: backoffFirst}
	for ctx.Err() == nil {
		err := w.round(ctx)
		if ctx.Err() != nil {
			break
		}
		w.trouble(err)
		w.wait(ctx)
	}
	return context.Cause(ctx)
}

// watcher belongs to the goroutine of Watch, but for revision.
type watcher struct {
	client   *clientv3.Client
	observer Observer
	known    map[string]Service // by key; nil before the first listing
	troubled bool               // Trouble was told an error and not yet nil
	pause    time.Duration      // before the next round
	revision atomic.Int64       // the latest seen; the pulse reads it
}

// round reads everything and follows from there until something fails.
func (w *watcher) round(ctx context.Context) error {
	readCtx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	st, err := read(readCtx, w.client)
	if err != nil {
		return fmt.Errorf("cannot read the services from %s: %w", strings.Join(w.client.Endpoints(), ", "), plain(err))
	}
	w.pause = backoffFirst
	w.trouble(nil)
	w.revision.Store(st.revision)
	w.adopt(st, time.Now())
	return w.follow(ctx, st)
}

// adopt takes a whole listing, and reports what is different since the last.
func (w *watcher) adopt(st state, at time.Time) {
	before := w.known
	w.known = st.services
	if before == nil {
		if w.observer.Listed != nil {
			w.observer.Listed(sorted(st.services))
		}
		return
	}
	for _, s := range sorted(before) {
		if _, there := st.services[s.Key]; !there {
			w.tell(Change{Kind: Removed, Service: s, Time: at})
		}
	}
	for _, s := range sorted(st.services) {
		old, there := before[s.Key]
		w.tellWritten(s, old, there, at)
	}
}

// follow applies events from the revision after st until the watch breaks or
// the pulse says that it will bring nothing any more.
func (w *watcher) follow(ctx context.Context, st state) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() { cancel(w.pulse(ctx, st.cluster)) }) // ends with ctx, at the latest
	// Without the leader requirement a member that lost its quorum would
	// keep the watch open and silent.
	events := w.client.Watch(clientv3.WithRequireLeader(ctx), root, clientv3.WithPrefix(), clientv3.WithRev(st.revision+1))
	for resp := range events {
		if err := resp.Err(); err != nil {
			return fmt.Errorf("cannot follow the services of %s: %w", strings.Join(w.client.Endpoints(), ", "), err)
		}
		at := time.Now()
		w.revision.Store(resp.Header.Revision)
		for _, e := range resp.Events {
			w.apply(e, at)
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return errors.New("the watch was closed")
}

// pulse returns when etcd stops answering, or when it is not the one that
// was read: with another cluster, or with one that was set back to an earlier
// revision, clientv3 waits without a word for a revision that never comes.
func (w *watcher) pulse(ctx context.Context, cluster uint64) error {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		callCtx, cancel := context.WithTimeout(ctx, pulseTimeout)
		seen := w.revision.Load()
		resp, err := w.client.Get(callCtx, root, clientv3.WithCountOnly())
		cancel()
		switch {
		case err != nil:
			return fmt.Errorf("cannot ask %s: %w", strings.Join(w.client.Endpoints(), ", "), plain(err))
		case resp.Header.ClusterId != cluster || resp.Header.Revision < seen:
			return fmt.Errorf("cannot go on with %s: it is another etcd than it was", strings.Join(w.client.Endpoints(), ", "))
		}
	}
}

// apply takes one event of the watch.
func (w *watcher) apply(e *clientv3.Event, at time.Time) {
	if e.Type == clientv3.EventTypeDelete {
		key := string(e.Kv.Key)
		if old, there := w.known[key]; there {
			delete(w.known, key)
			w.tell(Change{Kind: Removed, Service: old, Time: at})
		}
		return
	}
	s, ok := fromKV(e.Kv)
	if !ok {
		return
	}
	old, there := w.known[s.Key]
	w.known[s.Key] = s
	w.tellWritten(s, old, there, at)
}

// tellWritten reports a key that was put: as new, or with a new value. A
// writer that repeats itself, as dockreg does every 5 s, is no news.
func (w *watcher) tellWritten(s, old Service, there bool, at time.Time) {
	switch {
	case !there:
		w.tell(Change{Kind: Added, Service: s, Time: at})
	case old.Value != s.Value:
		w.tell(Change{Kind: Changed, Service: s, Time: at})
	}
}

func (w *watcher) tell(c Change) {
	if w.observer.Changed != nil {
		w.observer.Changed(c)
	}
}

// trouble reports the beginning and the end of a failure, not its course.
func (w *watcher) trouble(err error) {
	began, ended := err != nil && !w.troubled, err == nil && w.troubled
	w.troubled = err != nil
	if (began || ended) && w.observer.Trouble != nil {
		w.observer.Trouble(err)
	}
}

// wait pauses with half of the time left to chance, so that many hubs do not
// come back at once, and doubles the next pause.
func (w *watcher) wait(ctx context.Context) {
	t := time.NewTimer(w.pause/2 + rand.N(w.pause/2))
	defer t.Stop()
	w.pause = min(2*w.pause, backoffMax)
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
