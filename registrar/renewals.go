package registrar

import "sync/atomic"

// Renewals counts the renewals of leases. Several registrars may count in one,
// from any goroutine.
type Renewals struct{ done, failed atomic.Uint64 }

// Count returns how many renewals etcd confirmed, the grants of new leases
// among them, and how many attempts it refused or left without an answer.
func (r *Renewals) Count() (done, failed uint64) { return r.done.Load(), r.failed.Load() }
