package main

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sidekick/config"
	"sidekick/events"
	"sidekick/guard"
	"sidekick/registrar"
	"sidekick/registrar/etcd"
	"sidekick/registrar/portmap"
)

// keys is the registrar of the current configuration, or nothing while no
// program has registrations. A reload that changes the registry replaces it.
type keys struct {
	log     *slog.Logger
	journal *events.Journal // nil: none
	// handover bounds how long an old registrar keeps its keys for the new one to
	// put them under its own lease first.
	handover time.Duration
	// renewals counts for all registrars, the present one and those before it.
	renewals registrar.Renewals

	mu      sync.Mutex        // guards what follows
	current *runningRegistrar // nil: none
	leaving []*runningRegistrar
	facts   []registrar.Fact
}

// runningRegistrar is a registrar with its goroutine.
type runningRegistrar struct {
	*registrar.Registrar
	registry config.Registry
	done     chan struct{} // closed when Run has returned
	closing  sync.Once
}

// close gives up all keys, within ctx. It does not wait longer: a read of a
// password or certificate on a network file system may never return, and the
// container has to end.
func (r *runningRegistrar) close(ctx context.Context) {
	r.closing.Do(func() { r.Close(ctx) })
	select {
	case <-r.done:
	case <-ctx.Done():
	}
}

func newKeys(c *config.Config, log *slog.Logger, journal *events.Journal) *keys {
	k := &keys{log: log, journal: journal, handover: 3 * time.Second}
	if registers(c) {
		k.current = k.start(c.Registry, nil)
	}
	return k
}

// registers: some program has registrations.
func registers(c *config.Config) bool {
	for i := range c.Programs {
		if len(c.Programs[i].Policy.Register) > 0 {
			return true
		}
	}
	return false
}

// start runs a registrar until its Close. known is what Docker said so far, or nil.
func (k *keys) start(registry config.Registry, known registrar.Mapping) *runningRegistrar {
	r := &runningRegistrar{registry: registry, done: make(chan struct{})}
	r.Registrar = registrar.New(registrar.Options{
		Store:    etcd.New(*registry.Etcd, registry.TTL),
		Mapper:   portmap.New(registry.Docker, "/proc"),
		Log:      k.log,
		TTL:      registry.TTL,
		Event:    k.journal.Append,
		Layout:   registrar.Layout{Formats: registry.Format, Domain: registry.Domain},
		Mapping:  known,
		Renewals: &k.renewals,
	})
	go func() {
		defer close(r.done)
		guard.Run(context.Background(), k.log, "registrar", r.Run)
	}()
	return r
}

func (k *keys) now() *runningRegistrar {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

// Prepare implements supervisor.Gate.
func (k *keys) Prepare(ctx context.Context, program string) {
	if r := k.now(); r != nil {
		r.Prepare(ctx, program)
	}
}

// Withdraw implements supervisor.Gate.
func (k *keys) Withdraw(ctx context.Context, programs ...string) bool {
	var deleted atomic.Bool
	var withdrawing sync.WaitGroup
	for _, r := range k.all() {
		withdrawing.Go(func() {
			if r.Withdraw(ctx, programs...) {
				deleted.Store(true)
			}
		})
	}
	withdrawing.Wait()
	return deleted.Load()
}

// Gone implements control.Registrar.
func (k *keys) Gone(ctx context.Context, programs ...string) {
	for _, r := range k.all() {
		r.Gone(ctx, programs...)
	}
}

// all has the current registrar and those that have not handed over yet.
func (k *keys) all() []*runningRegistrar {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.everyone()
}

// everyone is all, with mu held.
func (k *keys) everyone() []*runningRegistrar {
	all := slices.Clone(k.leaving)
	if k.current != nil {
		all = append(all, k.current)
	}
	return all
}

// Registrations implements control.Registrar.
func (k *keys) Registrations(programs ...string) []registrar.Registration {
	if r := k.now(); r != nil {
		return r.Registrations(programs...)
	}
	return nil
}

// Answers implements control.Registrar.
func (k *keys) Answers() bool {
	r := k.now()
	return r != nil && r.Answers()
}

// update hands the facts on. It never blocks for long.
func (k *keys) update(facts []registrar.Fact) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.facts = facts
	for _, r := range k.everyone() { // who leaves still has keys that may have to go
		r.Update(facts)
	}
}

// reload takes a new registry over. A new registrar puts the keys onto its own
// lease before the old one gives up the rest, so no key is absent in between.
func (k *keys) reload(c *config.Config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.current
	if !registers(c) || old != nil && reflect.DeepEqual(withoutDrain(old.registry), withoutDrain(c.Registry)) {
		return // without registrations the old one has nothing to hold
	}
	var known registrar.Mapping
	if old != nil {
		old.Leave()
		k.leaving = append(k.leaving, old)
		if old.registry.Docker == c.Registry.Docker {
			known = old.Mapping() // a Docker that hangs costs no key
		}
	}
	k.current = k.start(c.Registry, known)
	k.current.Update(k.facts)
	if old != nil {
		go k.retire(old, k.current) // ends after handover and closeTimeout, or with close
	}
}

// withoutDrain: a changed drain needs no new registrar.
func withoutDrain(r config.Registry) config.Registry {
	r.Drain = 0
	return r
}

// retire closes a registrar when its successor has every key that can be had.
func (k *keys) retire(old, successor *runningRegistrar) {
	ctx, cancel := context.WithTimeout(context.Background(), k.handover)
	successor.Settle(ctx)
	cancel()
	ctx, cancel = context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	old.close(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.leaving = slices.DeleteFunc(k.leaving, func(r *runningRegistrar) bool { return r == old })
}

// close gives up all keys, within ctx, also those that have not been handed over.
func (k *keys) close(ctx context.Context) {
	var closing sync.WaitGroup
	for _, r := range k.all() {
		closing.Go(func() { r.close(ctx) })
	}
	closing.Wait()
}
