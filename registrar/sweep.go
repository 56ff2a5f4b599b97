package registrar

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

// toSweep returns the keys at which a leftover of an earlier life is looked
// for, with their services.
func (r *Registrar) toSweep() map[string]Service {
	r.mu.Lock()
	defer r.mu.Unlock()
	paths := map[string]Service{}
	for name, s := range r.services {
		if !s.sweeping() {
			continue
		}
		a, err := r.address(name)
		if err != nil {
			continue
		}
		for _, e := range r.layout.entries(name, a) {
			if h := r.keys[e.key]; h == nil || h.state == absent {
				paths[e.key] = name
			}
		}
	}
	return paths
}

// sweep deletes keys at our addresses that are not on our lease. The address
// is ours, so whoever put them is gone; a key that is written meanwhile stays.
func (r *Registrar) sweep(ctx context.Context) error {
	paths := r.toSweep()
	if len(paths) == 0 {
		return nil
	}
	var found map[string]Entry
	err := r.call(ctx, func(ctx context.Context) (err error) {
		found, err = r.store.Read(ctx, slices.Sorted(maps.Keys(paths)))
		return err
	})
	if err != nil {
		return err
	}
	var errs []error
	unfinished := map[Service]bool{}
	for path, name := range paths {
		if err := r.sweepOne(ctx, path, name, found); err != nil {
			errs = append(errs, err)
			unfinished[name] = true
		}
	}
	r.swept(paths, unfinished)
	return errors.Join(errs...)
}

func (r *Registrar) sweepOne(ctx context.Context, path string, name Service, found map[string]Entry) error {
	e, exists := found[path]
	if !exists || e.Ours {
		return nil
	}
	var deleted bool
	err := r.call(ctx, func(ctx context.Context) (err error) {
		deleted, err = r.store.DeleteUnchanged(ctx, path, e.ModRevision)
		return err
	})
	if deleted {
		r.log.Info("leftover key deleted", "program", name.Program, "key", path)
	}
	return err
}

// swept ends the search for the leftovers of services none of whose keys failed.
func (r *Registrar) swept(paths map[string]Service, unfinished map[Service]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range paths {
		if s := r.services[name]; s != nil && !unfinished[name] {
			s.sweepUntil = time.Time{}
		}
	}
	r.tellWaiters()
}
