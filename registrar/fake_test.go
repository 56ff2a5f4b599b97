package registrar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sidekick/config"
	"sidekick/events"
)

// fakeStore is an etcd in memory. The tests change it as somebody else would.
type fakeStore struct {
	mu       sync.Mutex // guards all below
	keys     map[string]Entry
	revision int64
	lease    int64    // ours; 0: none
	log      []string // the writes: "put KEY", "delete KEY"
	reads    int
	puts     int    // transactions
	forbid   string // a put of a key that begins so is refused
	hang     bool   // every call waits until its context ends
	fail     error  // every call fails with it
	closed   bool
}

func newFakeStore() *fakeStore { return &fakeStore{keys: map[string]Entry{}} }

// begin is the common part of all calls; it leaves mu locked if it succeeds.
func (s *fakeStore) begin(ctx context.Context) error {
	s.mu.Lock()
	hang, fail := s.hang, s.fail
	if !hang && fail == nil {
		return nil
	}
	s.mu.Unlock()
	if hang {
		<-ctx.Done()
		return fmt.Errorf("%w: %w", ErrNoAnswer, ctx.Err())
	}
	return fail
}

func (s *fakeStore) Renew(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if s.lease == 0 {
		s.lease = 1000 + s.revision
	}
	return nil
}

func (s *fakeStore) Read(ctx context.Context, keys []string) (map[string]Entry, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	s.reads++
	found := map[string]Entry{}
	for _, k := range keys {
		if e, ok := s.keys[k]; ok {
			e.Ours = e.Lease == s.lease
			found[k] = e
		}
	}
	return found, nil
}

func (s *fakeStore) Put(ctx context.Context, values map[string]string) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	for k := range values {
		if s.forbid != "" && strings.HasPrefix(k, s.forbid) {
			return errors.New("permission denied")
		}
	}
	s.puts++
	if s.lease == 0 {
		s.lease = 1000 + s.revision
	}
	for _, k := range slices.Sorted(maps.Keys(values)) {
		s.write(k, s.lease)
		s.keys[k] = Entry{Value: values[k], Lease: s.lease, ModRevision: s.revision}
		s.log = append(s.log, "put "+k)
	}
	return nil
}

func (s *fakeStore) write(key string, lease int64) {
	s.revision++
	s.keys[key] = Entry{Value: running, Lease: lease, ModRevision: s.revision}
}

func (s *fakeStore) Delete(ctx context.Context, keys []string) (gone []string, err error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	for _, k := range keys {
		e, exists := s.keys[k]
		if exists && e.Lease != s.lease {
			continue
		}
		gone = append(gone, k)
		if exists {
			delete(s.keys, k)
			s.log = append(s.log, "delete "+k)
		}
	}
	return gone, nil
}

func (s *fakeStore) DeleteUnchanged(ctx context.Context, key string, modRevision int64) (bool, error) {
	if err := s.begin(ctx); err != nil {
		return false, err
	}
	defer s.mu.Unlock()
	if s.keys[key].ModRevision != modRevision {
		return false, nil
	}
	delete(s.keys, key)
	s.log = append(s.log, "sweep "+key)
	return true, nil
}

func (s *fakeStore) Close(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	s.closed = true
	maps.DeleteFunc(s.keys, func(_ string, e Entry) bool { return e.Lease == s.lease })
	return nil
}

// do changes the fake as somebody else, or a fault, would.
func (s *fakeStore) do(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// fakeMapper is a Docker whose answer the tests choose.
type fakeMapper struct {
	mu    sync.Mutex // guards all below
	ports map[uint16]string
	err   error
	hang  bool
	asked int
	host  bool // host networking
}

func (m *fakeMapper) Inspect(ctx context.Context) (Mapping, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	if m.hang {
		m.mu.Unlock()
		wait, cancel := context.WithTimeout(ctx, 3*time.Second)
		<-wait.Done()
		cancel()
		m.mu.Lock()
		return nil, errors.New("Docker does not answer")
	}
	if m.err != nil {
		return nil, m.err
	}
	return fakeMapping{maps.Clone(m.ports), !m.host}, nil
}

func (m *fakeMapper) do(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

type fakeMapping struct {
	ports     map[uint16]string
	published bool
}

func (m fakeMapping) Address(port config.Port, _ config.Advertise) (Address, error) {
	a, ok := m.ports[port.Number]
	if !ok {
		return Address{}, fmt.Errorf("%w: no port %v", ErrNotMapped, port)
	}
	return Address{AddrPort: netip.MustParseAddrPort(a), Published: m.published}, nil
}

// world is one Registrar with everything around it, in a synctest bubble.
type world struct {
	t      *testing.T
	store  *fakeStore
	docker *fakeMapper
	reg    *Registrar
	logged *strings.Builder
	stop   func() // ends Run
	events []events.Event
}

// simulate runs body with a running Registrar, in fake time.
func simulate(t *testing.T, body func(t *testing.T, w *world)) {
	simulateLayout(t, Layout{}, body)
}

func simulateLayout(t *testing.T, layout Layout, body func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, store: newFakeStore(), docker: &fakeMapper{ports: map[uint16]string{}}, logged: &strings.Builder{}}
		w.reg = New(Options{Store: w.store, Mapper: w.docker, Layout: layout, Log: slog.New(slog.NewTextHandler(w.logged, nil)),
			Event: func(e events.Event) { w.events = append(w.events, e) }})
		w.run(t)
		body(t, w)
		w.stop()
	})
}

func (w *world) run(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { // ends with ctx
		for {
			if err := w.reg.Run(ctx); err == nil {
				return
			}
		}
	})
	w.stop = func() { cancel(); running.Wait() }
}

// settle lets everything happen that happens without time passing.
func (w *world) settle() {
	time.Sleep(time.Millisecond)
	synctest.Wait()
}

// after lets time pass.
func (w *world) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// update tells the facts: the named services, all up or all down.
func (w *world) update(up bool, services ...Service) {
	var facts []Fact
	for _, s := range services {
		facts = append(facts, Fact{Service: s, Up: up})
	}
	w.reg.Update(facts)
	w.settle()
}

// verifications is how often the keys were read.
func (w *world) verifications() (n int) {
	w.store.do(func() { n = w.store.reads })
	return n
}

// wantLog compares all writes so far.
func (w *world) wantLog(want ...string) {
	w.t.Helper()
	w.store.do(func() {
		if !slices.Equal(w.store.log, want) {
			w.t.Errorf("writes %q, want %q", w.store.log, want)
		}
	})
}

// wantReason compares the reason of the first registration.
func (w *world) wantReason(want string) {
	w.t.Helper()
	if got := w.reg.Registrations()[0].Reason; got != want {
		w.t.Errorf("reason %q, want %q", got, want)
	}
}

// The services of the tests: fixed needs no Docker.
var (
	fixedWeb = Service{
		Program: "web", Port: config.Port{Number: 8000, Protocol: "tcp"}, Key: "service",
		Advertise: config.Advertise{IP: netip.MustParseAddr("10.0.0.1"), Port: 80},
	}
	mappedWeb = Service{Program: "web", Port: config.Port{Number: 8000, Protocol: "tcp"}, Key: "service"}
)

const (
	fixedKey = "/service/10.0.0.1:80"
	firstKey = "/service/10.0.0.1:32768"
	otherKey = "/service/10.0.0.1:32769"
)
