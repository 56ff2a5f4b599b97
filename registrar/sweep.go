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
		if h := r.keys[name.path(a)]; h == nil || h.state == absent {
			paths[name.path(a)] = name
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
	for path, name := range paths {
		errs = append(errs, r.sweepOne(ctx, path, name, found))
	}
	return errors.Join(errs...)
}

func (r *Registrar) sweepOne(ctx context.Context, path string, name Service, found map[string]Entry) error {
	e, exists := found[path]
	var deleted bool
	if exists && !e.Ours {
		err := r.call(ctx, func(ctx context.Context) (err error) {
			deleted, err = r.store.DeleteUnchanged(ctx, path, e.ModRevision)
			return err
		})
		if err != nil {
			return err
		}
	}
	r.swept(path, name, deleted)
	return nil
}

func (r *Registrar) swept(path string, name Service, deleted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if deleted {
		r.log.Info("leftover key deleted", "program", name.Program, "key", path)
	}
	if s := r.services[name]; s != nil {
		s.sweepUntil = time.Time{}
	}
	r.tellWaiters()
}
