package registrar

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"
)

// errSuperseded ends a pass because a key must go at once.
var errSuperseded = errors.New("the facts changed")

// Update tells what is up now; the latest call wins. A service that is missing
// loses its key. It never blocks.
func (r *Registrar) Update(facts []Fact) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := slices.Clone(facts)
	known := make(map[Service]*service, len(next))
	for i, f := range next {
		s := r.services[f.Service]
		if s == nil {
			s = &service{}
		}
		known[f.Service] = s
		next[i].Reason = r.setUp(f.Service, s, f.Up, f.Reason)
	}
	if slices.Equal(next, r.facts) {
		return
	}
	r.facts, r.services = next, known
	r.changed()
}

// setUp carries one fact over and returns its reason. A service that comes up
// has its address looked up anew, and its leftover key no longer matters.
func (r *Registrar) setUp(name Service, s *service, up bool, reason string) string {
	if up && !s.up {
		s.sweepUntil = time.Time{}
		s.need = r.requestLookup(name)
	}
	s.up = up
	switch {
	case up:
		reason = ""
	case reason == "":
		reason = "the program is not running, or its check does not pass"
	}
	return reason
}

// changed wakes the loop, and ends the pass under way if a key must go that
// this pass does not delete. The caller holds mu.
func (r *Registrar) changed() {
	want := r.desired()
	for path, h := range r.keys {
		if _, ok := want[path]; !ok && h.state != absent && !r.dropping[path] && r.cancel != nil {
			r.cancel(errSuperseded)
		}
	}
	r.tellWaiters()
	poke(r.wake)
}

// tellWaiters lets Withdraw and Prepare look again. The caller holds mu.
func (r *Registrar) tellWaiters() {
	close(r.news)
	r.news = make(chan struct{})
}

// poke puts a token into a channel of capacity 1, unless there is one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// wait returns when done says so or ctx ends. done is called with mu held.
func (r *Registrar) wait(ctx context.Context, done func() bool) {
	for {
		ok, news := r.look(done)
		if ok {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			return
		}
	}
}

// look asks done, and returns what is closed when it may answer otherwise.
func (r *Registrar) look(done func() bool) (ok bool, news <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return done(), r.news
}

// Withdraw takes the programs for down until the next Update that says up,
// and waits until etcd confirmed that none of their keys is left, or ctx ends.
// deleted says that clients need time to notice: etcd confirmed the end of a key
// that existed, as far as is known, meanwhile or just before. The second, since
// an Update may tell of the same stop, and be faster; each delete counts once.
func (r *Registrar) Withdraw(ctx context.Context, programs ...string) (deleted bool) {
	begun := time.Now()
	r.withdraw(programs)
	r.wait(ctx, func() bool { return !r.holds(programs) })
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range programs {
		d := r.deleted[p]
		if d.at.After(begun) || !d.told && begun.Sub(d.at) < justNow {
			deleted = true
			r.deleted[p] = deletion{d.at, true}
		}
	}
	return deleted
}

// Gone waits until no key of the programs may be in etcd, or ctx ends. Unlike
// Withdraw it takes no key away.
func (r *Registrar) Gone(ctx context.Context, programs ...string) {
	r.wait(ctx, func() bool { return !r.holds(programs) })
}

// withdraw marks the programs down.
func (r *Registrar) withdraw(programs []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, f := range r.facts {
		if s := r.services[f.Service]; f.Up && slices.Contains(programs, f.Program) {
			s.up = false
			r.facts[i].Up = false
			r.facts[i].Reason = "the program is being stopped or drained"
		}
	}
	r.changed()
}

// holds reports whether a key of the programs may be in etcd. The caller holds mu.
func (r *Registrar) holds(programs []string) bool {
	for _, h := range r.keys {
		if h.state != absent && slices.Contains(programs, h.service.Program) {
			return true
		}
	}
	return false
}

// Settle waits until no key is on its way any more, or ctx ends: each service
// that is up has its keys, or a reason that only somebody else can change.
func (r *Registrar) Settle(ctx context.Context) {
	r.wait(ctx, func() bool {
		for _, f := range r.facts {
			if r.registration(f).Pending {
				return false
			}
		}
		return true
	})
}

// Leave says that a successor, another Registrar, puts the keys from now on and
// tells of them. Until Close this one still renews its lease and deletes what has
// to go, but puts nothing: it must not win a key back that has been taken over.
// It never blocks.
func (r *Registrar) Leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaving = true
	if r.cancel != nil {
		r.cancel(errSuperseded) // the pass may be about to put
	}
	poke(r.wake)
}

// Mapping returns what Docker said last, or nil.
func (r *Registrar) Mapping() Mapping {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lookup.mapping
}

// Prepare gets etcd ready for the first start of a program: it waits for the
// Update that names it, looks the addresses up and has a key deleted that an
// earlier life left at one of them. It returns when that is done or ctx ends; the
// deletion may still happen then, until the program is up or a lease's life is
// over. For a service that has been prepared nothing is done.
func (r *Registrar) Prepare(ctx context.Context, program string) {
	var begun bool
	r.wait(ctx, func() (named bool) {
		named, begun = r.beginSweep(program)
		return named
	})
	if begun {
		r.wait(ctx, func() bool { return !r.sweeps(program) })
	}
}

// beginSweep has the leftovers of a program looked for. named: an Update has
// named the program; begun: something has not been looked for before. The caller
// holds mu.
func (r *Registrar) beginSweep(program string) (named, begun bool) {
	for name, s := range r.services {
		if name.Program != program {
			continue
		}
		named = true
		if !s.up && !s.prepared {
			begun, s.prepared = true, true
			s.sweepUntil = time.Now().Add(r.ttl)
			s.need = r.requestLookup(name)
		}
	}
	if begun {
		r.changed()
	}
	return named, begun
}

// sweeps reports whether it is worth waiting for the search for a leftover key
// of the program. The caller holds mu.
func (r *Registrar) sweeps(program string) bool {
	for name, s := range r.services {
		if name.Program != program || !s.sweeping() {
			continue
		}
		if _, err := r.address(name); err == nil || err == errLooking {
			return true
		}
	}
	return false
}

// sweeping reports whether a leftover key is being looked for. One that could
// not be found within the life of a lease has gone by itself.
func (s *service) sweeping() bool {
	return !s.sweepUntil.IsZero() && time.Now().Before(s.sweepUntil)
}

// Close ends Run, revokes the lease, and with it every key that is left, and
// closes the Store. It returns when that is done or ctx ends.
func (r *Registrar) Close(ctx context.Context) {
	r.shut()
	select {
	case r.running <- struct{}{}:
	case <-ctx.Done():
		return
	}
	// The token is kept: nobody uses the Store from here on.
	if err := r.store.Close(ctx); err != nil {
		r.log.Warn("cannot revoke the lease: keys that are left expire by themselves", "ttl", r.ttl, "error", oneLine(err))
		return
	}
	r.forgetAll()
}

func (r *Registrar) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.isClosed() {
		close(r.closed)
	}
	if r.cancel != nil {
		r.cancel(errSuperseded)
	}
}

// forgetAll is called when the lease was revoked.
func (r *Registrar) forgetAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for path, h := range r.keys {
		if h.state != absent && !r.leaving {
			r.deregistered(slog.LevelInfo, path, h, "sidekick ends")
		}
	}
	clear(r.keys)
	r.tellWaiters()
}
