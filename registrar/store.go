package registrar

import (
	"context"
	"errors"
	"net/netip"

	"sidekick/config"
)

// ErrNoAnswer is what an error of a Store wraps when etcd could not be
// reached or did not answer in time, so that the effect of the call is unknown.
// An error without it is an answer: etcd was there and refused.
var ErrNoAnswer = errors.New("etcd does not answer")

// ErrNotAsked is what an error of a Store wraps when a file of its own, such as
// the password's, cannot be used, so that no etcd was asked.
var ErrNotAsked = errors.New("etcd was not asked")

// ErrNotMapped is what an error of a Mapper wraps when Docker answered and the
// answer is that the port has no address outside. Only this error withdraws a
// key; any other one says nothing about the address known so far.
var ErrNotMapped = errors.New("no address outside")

// MaxPut is how many keys a Put takes; etcd's default limit of a transaction
// (--max-txn-ops) is 128.
const MaxPut = 100

// Store is what the reconcile loop needs of etcd. All keys it puts hang on one
// lease, which the Store owns. It is used by one goroutine at a time.
type Store interface {
	// Renew keeps the lease alive, and takes a new one when there is none or
	// it is gone. It changes no key.
	Renew(ctx context.Context) error
	// Read returns those of the keys that exist, as of one moment.
	Read(ctx context.Context, keys []string) (map[string]Entry, error)
	// Put writes all of values, MaxPut at most, in one transaction onto the
	// lease, which it takes first when there is none.
	Put(ctx context.Context, values map[string]string) error
	// Delete removes those of the keys that hang on our lease. When it
	// returns without an error none of keys is ours any more; gone are those
	// that do not exist, so the others are somebody else's.
	Delete(ctx context.Context, keys []string) (gone []string, err error)
	// DeleteUnchanged removes the key, whosever it is, if it was not written
	// since it was read with this modRevision.
	DeleteUnchanged(ctx context.Context, key string, modRevision int64) (deleted bool, err error)
	// Close revokes the lease, and with it every key on it, and ends the
	// connections. The Store cannot be used afterwards.
	Close(ctx context.Context) error
}

// Entry is one key as etcd has it.
type Entry struct {
	Value       string
	Ours        bool  // hangs on the Store's lease
	Lease       int64 // 0: the key hangs on no lease
	ModRevision int64
}

// Mapper finds out which ports of this container can be reached from outside.
// It may be slow: nothing but lookups waits for it.
type Mapper interface {
	// Inspect asks Docker once. An error that wraps ErrNotMapped means that
	// no port of the container has an address.
	Inspect(ctx context.Context) (Mapping, error)
}

// Mapping is one answer of Docker. It may be used by several goroutines.
type Mapping interface {
	// Address is what a client outside must dial to reach port. The error
	// wraps ErrNotMapped and says what the user can do.
	Address(port config.Port, advertise config.Advertise) (Address, error)
}

// Address is where a port can be reached from outside the host.
type Address struct {
	netip.AddrPort
	// Published says that Docker bound the host port for this container, so
	// nobody else on the host can have it.
	Published bool
}
