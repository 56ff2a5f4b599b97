package registrar

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"time"

	"sidekick/events"
)

// drop deletes the keys that may be in etcd and are not desired.
func (r *Registrar) drop(ctx context.Context) error {
	paths := r.superfluous()
	if len(paths) == 0 {
		return nil
	}
	var gone []string
	err := r.call(ctx, func(ctx context.Context) (err error) {
		gone, err = r.store.Delete(ctx, paths)
		return err
	})
	r.dropped(paths, gone, err)
	return err
}

// superfluous returns the keys to delete, and from now on a change that only
// concerns them no longer ends the pass.
func (r *Registrar) superfluous() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	want := r.desired()
	r.dropping = map[string]bool{}
	for path, h := range r.keys {
		if _, ok := want[path]; ok {
			continue
		}
		h.claimed, h.rival = false, rival{}
		if h.state != absent {
			r.dropping[path] = true
			h.state = unknown
		}
	}
	return slices.Sorted(maps.Keys(r.dropping))
}

// dropped takes the end of a delete over. A key that was there, as far as we
// know, and is gone counts as deleted, even if the answer to the attempt that
// deleted it was lost.
func (r *Registrar) dropped(paths, gone []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropping = nil
	for _, path := range paths {
		h := r.keys[path]
		if slices.Contains(gone, path) {
			r.deleted[h.service.Program] = deletion{at: time.Now()}
			r.deregistered(slog.LevelInfo, path, h, r.whyGone(h.service))
		} else if err != nil {
			continue
		}
		h.state = absent
	}
	r.tellWaiters()
}

// verify renews the lease and compares the keys we know of with etcd's.
func (r *Registrar) verify(ctx context.Context) error {
	paths := r.toRead()
	if !r.needsLease() {
		return nil
	}
	renew := r.call(ctx, r.store.Renew)
	switch {
	case renew == nil:
		r.leaseRenewed()
	case ctx.Err() == nil: // else we ended it ourselves
		r.renewals.failed.Add(1)
	}
	if len(paths) == 0 || errors.Is(renew, ErrNoAnswer) {
		return renew
	}
	var found map[string]Entry
	read := r.call(ctx, func(ctx context.Context) (err error) {
		found, err = r.store.Read(ctx, paths)
		return err
	})
	if read == nil {
		r.found(found)
	}
	return errors.Join(renew, read)
}

// needsLease: without services there is nothing to keep alive.
func (r *Registrar) needsLease() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.services) > 0 || len(r.keys) > 0
}

func (r *Registrar) leaseRenewed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.renewed = time.Now()
	r.renewals.done.Add(1)
}

// toRead returns every key that we put or are about to put, and forgets those
// that were given up long ago: until then a put that a frozen member of the
// cluster still had in its socket could bring one of them back.
func (r *Registrar) toRead() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	want := r.desired()
	maps.DeleteFunc(r.keys, func(path string, h *holding) bool {
		_, wanted := want[path]
		return !wanted && h.state == absent && time.Since(h.put) > ghostWatch
	})
	return slices.Sorted(maps.Keys(r.keys))
}

// found compares what etcd has with what we hold.
func (r *Registrar) found(entries map[string]Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	want := r.desired()
	for path, h := range r.keys {
		e, exists := entries[path]
		w, isWanted := want[path]
		switch {
		case exists && e.Ours && (!isWanted || e.Value == w.value):
			r.appeared(path, h)
		case exists && !e.Ours && isWanted && h.claimed:
			r.lost(path, h, "another registrar wrote the key")
			r.yield(h, e)
		default:
			r.lost(path, h, "somebody deleted or changed the key, or etcd lost its lease")
		}
	}
}

// appeared: the key is in etcd and ours.
func (r *Registrar) appeared(path string, h *holding) {
	if h.state != present {
		r.log.Info("registered", "program", h.service.Program, "key", path)
		r.tell(events.Unregistered, events.Registered, h.service.Program, path, "")
		h.since, h.told = time.Now(), true
	}
	h.state, h.claimed, h.rival.held = present, true, false
}

// lost: the key is not in etcd, or not ours.
func (r *Registrar) lost(path string, h *holding, why string) {
	if h.state == present && !r.leaving { // else the successor has it
		r.deregistered(slog.LevelWarn, path, h, why)
	}
	h.state, h.rival.held = absent, false
}

// yield leaves the key to the registrar that wrote it after us, which is right
// unless Docker confirms anew that the port is ours.
func (r *Registrar) yield(h *holding, e Entry) {
	if h.rival.lease != e.Lease || h.rival.need == 0 {
		h.rival.lease, h.rival.need = e.Lease, r.requestLookup(h.service)
	}
	h.rival.held = true
}

// put writes the desired keys that are not there: those of a service in one
// transaction, and as many services as it takes. If etcd refuses, for instance
// one key to our user, it is tried with each service by itself.
func (r *Registrar) put(ctx context.Context) error {
	var errs []error
	for some := range batches(r.missing()) {
		err := r.putAtOnce(ctx, some)
		if err != nil && !errors.Is(err, ErrNoAnswer) && len(some) > 1 {
			err = nil
			for i := range some {
				err = errors.Join(err, r.putAtOnce(ctx, some[i:i+1]))
			}
		}
		errs = append(errs, err)
		if errors.Is(err, ErrNoAnswer) {
			break
		}
	}
	return errors.Join(errs...)
}

// putAtOnce writes the keys of some services in one transaction.
func (r *Registrar) putAtOnce(ctx context.Context, services []map[string]string) error {
	values := map[string]string{}
	for _, s := range services {
		maps.Copy(values, s)
	}
	err := r.call(ctx, func(ctx context.Context) error { return r.store.Put(ctx, values) })
	if err == nil {
		r.written(values)
	}
	return err
}

// batches cuts the services so that the keys of each part fit MaxPut.
func batches(services []map[string]string) iter.Seq[[]map[string]string] {
	return func(yield func([]map[string]string) bool) {
		for from := 0; from < len(services); {
			to, keys := from, 0
			for to < len(services) && (to == from || keys+len(services[to]) <= MaxPut) {
				keys += len(services[to])
				to++
			}
			if !yield(services[from:to]) {
				return
			}
			from = to
		}
	}
}

// missing returns the keys to put, by service. They may be in etcd from now on.
func (r *Registrar) missing() []map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leaving {
		return nil
	}
	byService := map[Service]map[string]string{}
	for path, w := range r.desired() {
		h := r.keys[path]
		if h == nil {
			h = &holding{}
			r.keys[path] = h
		}
		h.service = w.service
		if h.state == present || !r.mayPut(h, time.Now()) {
			continue
		}
		h.state, h.put = unknown, time.Now()
		if byService[w.service] == nil {
			byService[w.service] = map[string]string{}
		}
		byService[w.service][path] = w.value
	}
	return slices.Collect(maps.Values(byService))
}

// mayPut is false while another registrar holds the key that we have put
// before, unless Docker says again that the port is ours; and then, lest two
// registrars that are both told so overwrite each other for ever, only every
// contestEvery.
func (r *Registrar) mayPut(h *holding, now time.Time) bool {
	if !h.rival.held {
		return true
	}
	a, err := r.address(h.service)
	if err != nil || !r.confirmed(a, h.rival.need) || now.Sub(h.rival.contested) < contestEvery {
		return false
	}
	h.rival.contested = now
	return true
}

// written takes a successful put over.
func (r *Registrar) written(values map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.renewed.IsZero() {
		r.renewed = time.Now() // the lease was taken for this put
	}
	for path := range values {
		r.appeared(path, r.keys[path])
	}
	r.tellWaiters()
}
