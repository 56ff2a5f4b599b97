// Package registrar keeps the keys of each registered port in etcd, exactly
// while its program is up and its address outside the container is known.
//
// One goroutine, Run, compares the keys that must exist with what etcd says
// and drives the second towards the first, for ever; nothing puts or deletes a
// key beside it. It never remembers that something "was registered": a key
// that somebody deleted, or a lease that etcd lost, is just a difference.
// Reconciling unchanged facts writes nothing to etcd.
//
// Docker is asked for addresses by a goroutine of its own, so that a hanging
// Docker never delays a delete. A failing Docker or etcd is never a reason to
// delete a key.
package registrar

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"sidekick/events"
)

// The periods of the loop.
const (
	verifyEvery   = 5 * time.Second // between renewals of the lease, at most a quarter of its TTL
	lookupEvery   = 15 * time.Second
	lookupRetry   = 2 * time.Second // after a failed lookup, doubling up to lookupEvery
	lookupPatient = time.Second     // a registration waits this long for Docker before it takes the address known so far
	callTimeout   = 3 * time.Second // of one call to etcd
	retryFirst    = 500 * time.Millisecond
	retryLast     = 5 * time.Second
	justNow       = time.Second      // a delete this long ago may not have reached every client
	contestEvery  = time.Minute      // between two attempts to win one key back from another registrar
	ghostWatch    = 10 * time.Minute // how long a key that we gave up is still looked at
)

// Options are what a Registrar works with.
type Options struct {
	Store Store // required
	// Mapper may be nil; then only services with an advertised ip and port
	// get a key.
	Mapper Mapper
	// Log gets "registered", "deregistered" and "not registered".
	Log *slog.Logger // required
	// TTL is the TTL of the Store's lease; 0 means 20 s.
	TTL time.Duration
	// Layout says which keys a service has.
	Layout Layout
	// Mapping, if not nil, is what Docker said to a predecessor: it is used
	// while Docker does not answer.
	Mapping Mapping
	// OnChange, if not nil, is called after each change of a registration by
	// the goroutine of Run. It must not block and not call the Registrar.
	OnChange func(Registration)
	// Renewals, if not nil, counts.
	Renewals *Renewals
	// Event, if not nil, is called with every key that comes or goes, and with
	// every new reason why one does not come. It must not block and not call the
	// Registrar.
	Event func(events.Event)
}

// Registrar keeps the keys of a set of services. Make it with New.
type Registrar struct {
	store    Store
	mapper   Mapper
	log      *slog.Logger
	onChange func(Registration)
	renewals *Renewals
	event    func(events.Event)
	ttl      time.Duration
	layout   Layout

	wake    chan struct{} // capacity 1: the loop has something to do
	ask     chan struct{} // capacity 1: a lookup is wanted
	closed  chan struct{} // closed by Close
	running chan struct{} // capacity 1: holds a token while somebody owns store

	mu       sync.Mutex // guards all below
	facts    []Fact     // of the last Update; Withdraw makes some down
	services map[Service]*service
	keys     map[string]*holding
	deleted  map[string]deletion // by program: the last confirmed delete
	lookup   lookup
	cancel   context.CancelCauseFunc // of the pass under way, or nil
	dropping map[string]bool         // the keys that the pass under way is deleting
	leaving  bool                    // a successor puts the keys
	etcdErr  error                   // of the last pass, nil when it succeeded
	answers  bool
	renewed  time.Time     // when etcd last renewed the lease
	news     chan struct{} // closed, and replaced, when a waiter should look again
}

// service is what the Registrar remembers of a Service.
type service struct {
	up       bool
	prepared bool   // its leftover key has been looked for
	need     uint64 // the lookup that the next registration waits for
	// sweepUntil is when the search for a leftover key is given up; zero:
	// there is none under way.
	sweepUntil time.Time
	reported   Registration // what the log said last
}

// state is what the Registrar knows of a key in etcd.
type state int

const (
	absent  state = iota // not there, or not ours
	unknown              // a put or delete was not answered
	present
)

// holding is a key that was put, or must be.
type holding struct {
	service Service
	state   state
	// claimed: it was put since it became wanted. The first put is
	// unconditional, since the last one to bind a port holds it.
	claimed bool
	put     time.Time // last attempt to put it
	since   time.Time // present since
	told    bool      // that it is registered, and not yet that it is gone
	rival   rival
}

// deletion is a confirmed delete of a key.
type deletion struct {
	at   time.Time
	told bool // by Withdraw
}

// rival is another registrar that wrote our key after us.
type rival struct {
	held      bool      // it has the key now
	lease     int64     // on which the key hangs
	need      uint64    // the lookup that may confirm that the port is ours
	contested time.Time // when we last put the key in spite of it
}

// New returns a Registrar; it does nothing before Run.
func New(o Options) *Registrar {
	if o.Event == nil {
		o.Event = func(events.Event) {}
	}
	r := &Registrar{
		store:    o.Store,
		mapper:   o.Mapper,
		log:      o.Log,
		onChange: o.OnChange,
		renewals: cmp.Or(o.Renewals, &Renewals{}),
		event:    o.Event,
		ttl:      cmp.Or(o.TTL, 20*time.Second),
		layout:   o.Layout,
		wake:     make(chan struct{}, 1),
		ask:      make(chan struct{}, 1),
		closed:   make(chan struct{}),
		running:  make(chan struct{}, 1),
		services: map[Service]*service{},
		keys:     map[string]*holding{},
		deleted:  map[string]deletion{},
		news:     make(chan struct{}),
	}
	r.lookup.mapping = o.Mapping
	return r
}
