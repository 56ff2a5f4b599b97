package registrar

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"
)

// Run reconciles until ctx ends or Close is called, and then returns nil; keys
// stay as they are. It returns an error only after a panic, and may then be
// called again. Only one Run owns the Store at a time; a second one waits.
func (r *Registrar) Run(ctx context.Context) error {
	select {
	case r.running <- struct{}{}:
		defer func() { <-r.running }()
	case <-r.closed:
		return nil
	case <-ctx.Done():
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	var lookupErr error
	var lookups sync.WaitGroup
	// The lookups end with ctx; a panic in them ends the loop as well.
	lookups.Go(func() {
		defer cancel()
		lookupErr = protect(func() error { return r.lookups(ctx) })
	})
	err := protect(func() error { return r.loop(ctx) })
	cancel()
	lookups.Wait()
	return errors.Join(err, lookupErr)
}

// protect turns a panic of fn into an error.
func protect(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return fn()
}

// loop makes a pass whenever it is woken, when the keys are to be verified,
// and, after a failure, when it is time to try again.
func (r *Registrar) loop(ctx context.Context) error {
	var failures int
	var verifyAt time.Time
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-r.closed:
			return nil
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-timer.C:
		}
		if r.isClosed() {
			return nil
		}
		began := time.Now()
		verify := !began.Before(verifyAt)
		err := r.pass(ctx, verify)
		switch {
		case err == nil && verify:
			failures, verifyAt = 0, began.Add(r.verifyPeriod())
		case err == nil:
			failures = 0
		case errors.Is(err, errSuperseded): // whoever did that woke us as well
		default:
			failures++
			timer.Reset(retryDelay(failures))
			continue
		}
		timer.Reset(max(0, time.Until(verifyAt)))
	}
}

func (r *Registrar) isClosed() bool {
	select {
	case <-r.closed:
		return true
	default:
		return false
	}
}

func (r *Registrar) verifyPeriod() time.Duration { return min(verifyEvery, r.ttl/4) }

// retryDelay is the delay after so many failures in a row (1 or more): from
// retryFirst, doubled up to retryLast, up to a quarter less.
func retryDelay(failures int) time.Duration {
	d := min(retryLast, retryFirst<<min(failures-1, 8))
	return d - rand.N(d/4)
}

// pass makes etcd equal to what is desired. Deletes come first: nothing may
// delay them. A step is tried even if etcd refused the one before it, so that
// one forbidden key never costs the lease. The error is errSuperseded if a key
// must go that this pass knew nothing of.
func (r *Registrar) pass(ctx context.Context, verify bool) error {
	ctx, done := r.begin(ctx)
	defer done()
	err := r.drop(ctx)
	var verified error
	if verify || len(r.toSweep()) > 0 {
		verified = r.verify(ctx)
	}
	if !errors.Is(verified, ErrNoAnswer) {
		// verify may have found keys that must go as well.
		err = errors.Join(err, verified, r.sweep(ctx), r.drop(ctx), r.put(ctx))
	} else {
		err = errors.Join(err, verified)
	}
	if context.Cause(ctx) == errSuperseded {
		return errSuperseded
	}
	r.ended(err)
	r.report()
	return err
}

// begin makes the pass one that changed can end.
func (r *Registrar) begin(ctx context.Context) (context.Context, func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx, r.cancel = context.WithCancelCause(ctx)
	return ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.cancel(nil)
		r.cancel, r.dropping = nil, nil
	}
}

// ended remembers how a pass ended.
func (r *Registrar) ended(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.etcdErr = err
	r.tellWaiters()
}

// call makes one call to etcd, of callTimeout at most, and remembers whether
// etcd answered.
func (r *Registrar) call(ctx context.Context, fn func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := fn(limited)
	if ctx.Err() != nil && err != nil {
		return err // ended by us: it says nothing about etcd
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = !errors.Is(err, ErrNoAnswer) && !errors.Is(err, ErrNotAsked)
	return err
}
