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

	mu      sync.Mutex        // guards what follows
	current *runningRegistrar // nil: none
	leaving []*runningRegistrar
	facts   []registrar.Fact
}

// runningRegistrar is a registrar with its goroutine.
type runningRegistrar struct {
	*registrar.Registrar
	registry config.Registry
	// replaced: its successor tells of the keys, which its own end does not take
	// away.
	replaced atomic.Bool
	done     chan struct{} // closed when Run has returned
	closing  sync.Once
}

// close gives up all keys, within ctx.
func (r *runningRegistrar) close(ctx context.Context) {
	r.closing.Do(func() { r.Close(ctx) })
	<-r.done
}

func newKeys(c *config.Config, log *slog.Logger, journal *events.Journal) *keys {
	k := &keys{log: log, journal: journal}
	if registers(c) {
		k.current = k.start(c.Registry)
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

// start runs a registrar until its Close.
func (k *keys) start(registry config.Registry) *runningRegistrar {
	r := &runningRegistrar{registry: registry, done: make(chan struct{})}
	r.Registrar = registrar.New(registrar.Options{
		Store:  etcd.New(*registry.Etcd, registry.TTL),
		Mapper: portmap.New(registry.Docker, "/proc"),
		Log:    k.log,
		TTL:    registry.TTL,
		Event: func(e events.Event) {
			if !r.replaced.Load() {
				k.journal.Append(e)
			}
		},
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

// all has the current registrar and those that have not handed over yet.
func (k *keys) all() []*runningRegistrar {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := slices.Clone(k.leaving)
	if k.current != nil {
		all = append(all, k.current)
	}
	return all
}

// Registrations implements control.Registrar.
func (k *keys) Registrations() []registrar.Registration {
	if r := k.now(); r != nil {
		return r.Registrations()
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
	if k.current != nil {
		k.current.Update(facts)
	}
}

// handover bounds how long an old registrar keeps its keys for the new one to
// put them under its own lease first.
const handover = 3 * time.Second

// reload takes a new registry over. A new registrar puts the keys onto its own
// lease before the old one gives up the rest, so no key is absent in between.
func (k *keys) reload(c *config.Config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.current
	if !registers(c) || old != nil && reflect.DeepEqual(withoutDrain(old.registry), withoutDrain(c.Registry)) {
		return // without registrations the old one has nothing to hold
	}
	k.current = k.start(c.Registry)
	k.current.Update(k.facts)
	if old != nil {
		old.replaced.Store(true)
		k.leaving = append(k.leaving, old)
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
	deadline := time.Now().Add(handover)
	for time.Now().Before(deadline) && !settled(successor) {
		time.Sleep(20 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	old.close(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.leaving = slices.DeleteFunc(k.leaving, func(r *runningRegistrar) bool { return r == old })
}

func settled(r *runningRegistrar) bool {
	for _, registration := range r.Registrations() {
		if registration.Reason != "" {
			return false
		}
	}
	return true
}

// close gives up all keys, within ctx, also those that have not been handed over.
func (k *keys) close(ctx context.Context) {
	var closing sync.WaitGroup
	for _, r := range k.all() {
		closing.Go(func() { r.close(ctx) })
	}
	closing.Wait()
}
