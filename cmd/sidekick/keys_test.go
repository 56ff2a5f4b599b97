package main

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"sidekick/config"
	"sidekick/events"
	"sidekick/registrar"
	"sidekick/registrar/etcd/etcdtest"
)

const patience = 20 * time.Second

// registering is a configuration with one registered program, which needs
// neither Docker nor a check.
func registering(endpoint string, ttl time.Duration) *config.Config {
	p := config.DefaultProgram("web")
	p.Policy.Register = []config.Registration{service().registration()}
	r := config.DefaultRegistry(func(string) (string, bool) { return "", false })
	r.Etcd, r.TTL = &config.Etcd{Endpoints: []string{endpoint}}, ttl
	return &config.Config{Programs: []config.Program{p}, Registry: r}
}

type registered registrar.Service

func service() registered {
	return registered{Program: "web", Port: config.Port{Number: 53, Protocol: "udp"}, Key: "service",
		Advertise: config.Advertise{IP: netip.MustParseAddr("203.0.113.7"), Port: 53}}
}

func (s registered) registration() config.Registration {
	return config.Registration{Port: s.Port, Key: s.Key, Advertise: s.Advertise, Check: -1}
}

const serviceKey = "/service/203.0.113.7:53"

func up() []registrar.Fact {
	return []registrar.Fact{{Service: registrar.Service(service()), Up: true}}
}

func keysFor(t *testing.T, c *config.Config) *keys {
	t.Helper()
	k := newKeys(c, slog.New(slog.NewTextHandler(t.Output(), nil)), events.NewJournal())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		k.close(ctx)
	})
	return k
}

// A new registry takes the keys over: they go onto its lease and are at no
// moment absent.
func TestReloadHandsKeysOver(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, 1)
	watch := cluster.Watch(t, "/")
	k := keysFor(t, registering(cluster.Endpoints[0], 20*time.Second))
	k.update(up())
	first := watch.WaitPut(0, patience, serviceKey)

	same := registering(cluster.Endpoints[0], 20*time.Second)
	same.Registry.Drain = time.Hour
	before := k.now()
	k.reload(same)
	if k.now() != before {
		t.Error("a changed drain has made a new registrar")
	}

	k.reload(registering(cluster.Endpoints[0], 30*time.Second))
	second := watch.WaitPut(first.Revision, patience, serviceKey)
	if second.Lease == first.Lease {
		t.Error("the key hangs on the old lease")
	}
	select {
	case <-before.done:
	case <-time.After(patience):
		t.Fatal("the old registrar does not end")
	}
	client := cluster.Client(t)
	// A grant that was started twice may have left a lease without keys. This one
	// is revoked after the loop has ended; where etcd is slow, it lives for its 20 s.
	deadline := time.Now().Add(40 * time.Second)
	for {
		old, err := client.TimeToLive(t.Context(), clientv3.LeaseID(first.Lease))
		if err == nil && old.TTL == -1 {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the old lease still lives: %+v, %v", old, err)
		}
		time.Sleep(5 * time.Millisecond) // the pace of the poll
	}
	for _, e := range watch.Events() {
		if !e.Put {
			t.Errorf("the key was away: %v", e)
		}
	}
	if !k.Withdraw(t.Context(), "web") {
		t.Error("no key to withdraw")
	}
	watch.WaitDelete(second.Revision, patience, serviceKey)
}

// A reload that changes the formats takes only those keys away that are no
// longer wanted, and gives a key that stays its new value in place.
func TestReloadMovesFormats(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, 1)
	watch := cluster.Watch(t, "")
	with := func(formats ...config.Format) *config.Config {
		c := registering(cluster.Endpoints[0], 20*time.Second)
		c.Registry.Format = formats
		return c
	}
	const (
		dns     = "/skydns/local/cluster/service/203-0-113-7-53"
		traefik = "traefik/udp/services/service/loadBalancer/servers/203.0.113.7:53/address"
		grpc    = "service/203.0.113.7:53"
	)
	k := keysFor(t, with(config.FormatPlain, config.FormatSkyDNS))
	k.update(up())
	first := watch.WaitPut(0, patience, serviceKey)
	if watch.WaitPut(0, patience, dns).Revision != first.Revision {
		t.Error("the formats are not written in one transaction")
	}
	k.reload(with(config.FormatPlain, config.FormatTraefik))
	watch.WaitPut(first.Revision, patience, traefik)
	gone := watch.WaitDelete(first.Revision, patience, dns)

	k.reload(with(config.FormatJSON, config.FormatGRPC))
	rich := watch.WaitPut(gone.Revision, patience, serviceKey)
	if rich.Value[0] != '{' || watch.WaitPut(gone.Revision, patience, grpc).Revision != rich.Revision {
		t.Errorf("%v: want JSON, and gRPC's key with it", rich)
	}
	watch.WaitDelete(rich.Revision, patience, traefik)
	all, _, _ := k.journal.Since(0)
	for _, e := range all {
		if e.Key == serviceKey && e.To == events.Unregistered {
			t.Errorf("told that the key went: %+v", e)
		}
	}
	for _, e := range watch.Events() {
		if e.Key == serviceKey && !e.Put {
			t.Errorf("the key was away: %v", e)
		}
	}
}

// A program that turns unhealthy while the keys are handed over loses its key at
// once, also where the new registrar does not get through to its etcd.
func TestUnhealthyDuringAHandover(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, 1)
	watch := cluster.Watch(t, "/")
	k := keysFor(t, registering(cluster.Endpoints[0], 20*time.Second))
	k.handover = time.Hour
	other := up()[0]
	other.Program, other.Key = "other", "other"
	const otherKey = "/other/203.0.113.7:53"
	k.update(append(up(), other))
	put := watch.WaitPut(0, patience, serviceKey)
	old := k.now()
	k.reload(registering("http://127.0.0.1:1", 20*time.Second)) // nobody is there
	down := up()
	down[0].Up, down[0].Reason = false, "the check fails: refused"
	k.update(append(down, other))
	gone := watch.WaitDelete(put.Revision, patience, serviceKey)
	for _, e := range watch.Events() {
		if e.Key == otherKey && !e.Put {
			t.Errorf("the other key went as well: %v", e)
		}
	}
	// Nothing is on its way any more, so the old one has nothing to wait for.
	other.Up = false
	k.update(append(down, other))
	watch.WaitDelete(gone.Revision-1, patience, otherKey)
	select {
	case <-old.done:
	case <-time.After(patience):
		t.Fatal("the old registrar does not end")
	}
}

// A registry that changes while nothing registers is used by what registers later.
func TestReloadWithoutRegistrations(t *testing.T) {
	t.Parallel()
	first, second := etcdtest.Start(t, 1), etcdtest.Start(t, 1)
	none := registering(second.Endpoints[0], 20*time.Second)
	none.Programs[0].Policy.Register = nil

	t.Run("from none", func(t *testing.T) {
		k := keysFor(t, none)
		if k.now() != nil || k.Answers() || k.Registrations() != nil || k.Withdraw(t.Context(), "web") {
			t.Error("there is a registrar without registrations")
		}
		k.update(up())
		watch := second.Watch(t, "/")
		k.reload(registering(second.Endpoints[0], 20*time.Second))
		watch.WaitPut(0, patience, serviceKey)
	})
	t.Run("in between", func(t *testing.T) {
		k := keysFor(t, registering(first.Endpoints[0], 20*time.Second))
		k.update(nil)
		k.reload(none)
		k.update(nil)
		watch := second.Watch(t, "/")
		k.reload(registering(second.Endpoints[0], 20*time.Second))
		k.update(up())
		watch.WaitPut(0, patience, serviceKey)
	})
}

// The end takes the keys along, also those that a new registrar has not taken
// over yet.
func TestCloseTakesKeysAlong(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, 1)
	for name, reload := range map[string]bool{"at rest": false, "during a handover": true} {
		t.Run(name, func(t *testing.T) {
			k := newKeys(registering(cluster.Endpoints[0], 20*time.Second), slog.New(slog.NewTextHandler(t.Output(), nil)), nil)
			watch := cluster.Watch(t, "/")
			k.update(up())
			watch.WaitPut(0, patience, serviceKey)
			if reload {
				k.reload(registering("http://127.0.0.1:1", 20*time.Second)) // nobody is there
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			k.close(ctx)
			client := cluster.Client(t)
			if left, err := client.Get(t.Context(), "/", clientv3.WithPrefix()); err != nil || left.Count != 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// A certificate on a file system that hangs, which a FIFO stands for here, must
// not keep PID 1 from ending.
func TestCloseWithHangingFile(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	c := registering("https://127.0.0.1:1", 20*time.Second)
	c.Registry.Etcd.TLS = &config.TLS{CertFile: fifo, KeyFile: fifo}
	k := newKeys(c, slog.New(slog.NewTextHandler(t.Output(), nil)), events.NewJournal())
	k.update(up())
	// The writer's end opens when the registrar has opened the other one.
	writer, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	closed := make(chan struct{})
	go func() { k.close(ctx); close(closed) }()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Error("close waits for the file")
	}
	writer.Close() // lets the registrar end
}
