package registrar

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// The reasons for an address not being known that come from here.
var (
	errLooking  = errors.New("the address is being looked up in Docker")
	errNoMapper = errors.New("no address: set advertise.ip and advertise.port")
	errSlow     = errors.New("no answer from Docker yet")
)

// lookup is what Docker said last. Lookups are numbered: a request is answered
// by a lookup that began after it.
type lookup struct {
	wanted  uint64  // the highest number anybody asked for
	done    uint64  // the highest that ended, or took longer than lookupPatient
	good    uint64  // the highest that Docker answered
	mapping Mapping // of the last good one; nil: none
	denied  error   // the last good one said that no port has an address
	err     error   // of the last one, nil when Docker answered
}

// requestLookup has the address of a service looked up anew and returns the
// number of that lookup, 0 if none is needed. The caller holds mu.
func (r *Registrar) requestLookup(s Service) uint64 {
	if _, ok := s.fixed(); ok || r.mapper == nil {
		return 0
	}
	r.lookup.wanted++
	poke(r.ask)
	return r.lookup.wanted
}

// address is the address of a service as far as it is known. One that was just
// asked for is not known, however good the previous answer was. The caller
// holds mu.
func (r *Registrar) address(name Service) (Address, error) {
	if a, ok := name.fixed(); ok {
		return a, nil
	}
	if r.mapper == nil {
		return Address{}, errNoMapper
	}
	s, l := r.services[name], &r.lookup
	switch {
	case s != nil && s.need > l.done:
		return Address{}, errLooking
	case l.denied != nil:
		return Address{}, l.denied
	case l.mapping != nil:
		return l.mapping.Address(name.Port, name.Advertise)
	case l.err != nil:
		return Address{}, l.err
	default:
		return Address{}, errLooking
	}
}

// confirmed reports whether Docker said, in the lookup need or a later one,
// that the host port of a is this container's. The caller holds mu.
func (r *Registrar) confirmed(a Address, need uint64) bool {
	return a.Published && need != 0 && r.lookup.good >= need
}

// lookups asks Docker every lookupEvery and whenever it is asked to, until ctx
// ends.
func (r *Registrar) lookups(ctx context.Context) error {
	var failures int
	for {
		wait := lookupEvery
		if r.needsDocker() {
			if err := r.lookUp(ctx); err == nil {
				failures = 0
			} else {
				wait = min(lookupEvery, lookupRetry<<min(failures, 8))
				failures++
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-r.ask:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

func (r *Registrar) needsDocker() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.services {
		if _, ok := name.fixed(); !ok && r.mapper != nil {
			return true
		}
	}
	return false
}

// lookUp asks Docker once. Whoever waits for the answer goes on after
// lookupPatient with what was known before.
func (r *Registrar) lookUp(ctx context.Context) error {
	r.mu.Lock()
	number := r.lookup.wanted
	r.mu.Unlock()
	slow := time.AfterFunc(lookupPatient, func() { r.lookedUp(number, nil, errSlow) })
	mapping, err := r.mapper.Inspect(ctx)
	slow.Stop()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.lookedUp(number, mapping, err)
	return err
}

// lookedUp takes the end of a lookup over.
func (r *Registrar) lookedUp(number uint64, mapping Mapping, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &r.lookup
	if err == errSlow {
		if l.done >= number {
			return // nobody waits, or the answer came at the same moment
		}
		err = cmp.Or(l.err, err) // what was wrong before says more
	}
	l.done = max(l.done, number)
	switch {
	case err == nil:
		l.good, l.mapping, l.denied, l.err = number, mapping, nil, nil
	case errors.Is(err, ErrNotMapped):
		l.good, l.mapping, l.denied, l.err = number, nil, err, nil
	default:
		l.err = err
	}
	r.changed()
}
