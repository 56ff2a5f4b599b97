package registrar_test

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"sidekick/config"
	"sidekick/registrar"
	"sidekick/registrar/etcd"
	"sidekick/registrar/etcd/etcdtest"
)

func TestMain(m *testing.M) {
	etcdtest.RunMember()
	os.Exit(m.Run())
}

// web is a service that needs no Docker; its key is webKey.
var web = registrar.Service{
	Program:   "web",
	Port:      config.Port{Number: 8000, Protocol: "tcp"},
	Key:       "service",
	Advertise: config.Advertise{IP: netip.MustParseAddr("10.1.0.101"), Port: 49155},
}

const webKey = "/service/10.1.0.101:49155"

func fact(s registrar.Service, up bool) registrar.Fact { return registrar.Fact{Service: s, Up: up} }

// promptly is how long a busy machine may take for what happens at once: less
// than the 5 s after which a difference is found anyhow.
const promptly = 3 * time.Second

// newRegistrar runs a Registrar until the test ends, without Close.
func newRegistrar(t *testing.T, endpoints []string, mapper registrar.Mapper) *registrar.Registrar {
	t.Helper()
	r := registrar.New(registrar.Options{
		Store:  etcd.New(config.Etcd{Endpoints: endpoints}, 20*time.Second),
		Mapper: mapper,
		Log:    slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { // ends with ctx
		if err := r.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return r
}

// withdraw fails the test if the keys are not gone promptly.
func withdraw(t *testing.T, r *registrar.Registrar, programs ...string) (deleted bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), promptly)
	defer cancel()
	deleted = r.Withdraw(ctx, programs...)
	if ctx.Err() != nil {
		t.Error("etcd did not confirm within a second")
	}
	return deleted
}

// reason waits until the only registration has such a reason.
func waitReason(t *testing.T, r *registrar.Registrar, limit time.Duration, ok func(string) bool) registrar.Registration {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		reg := r.Registrations()[0]
		if ok(reg.Reason) {
			return reg
		}
		if time.Now().After(deadline) {
			t.Fatalf("reason %q after %v", reg.Reason, limit)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func registered(reason string) bool { return reason == "" }

func TestKeyFollowsTheFacts(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	w := c.Watch(t, "/service/")
	r := newRegistrar(t, c.Endpoints, nil)

	r.Update([]registrar.Fact{fact(web, false)})
	if r.Prepare(t.Context(), "web"); len(w.Events()) != 0 {
		t.Fatalf("before the program is up: %v", w.Events())
	}
	r.Update([]registrar.Fact{fact(web, true)})
	put := w.WaitPut(0, 5*time.Second, webKey)
	if put.Value != "running" {
		t.Errorf("value %q", put.Value)
	}
	lease, err := c.Client(t).TimeToLive(t.Context(), clientv3.LeaseID(put.Lease))
	if err != nil || lease.GrantedTTL != 20 {
		t.Errorf("lease %v, error %v; want a TTL of 20 s", lease, err)
	}
	waitReason(t, r, promptly, registered)

	r.Update([]registrar.Fact{fact(web, false)}) // crashed
	gone := w.WaitDelete(put.Revision, promptly, webKey)
	r.Update([]registrar.Fact{fact(web, true)})
	put = w.WaitPut(gone.Revision, 5*time.Second, webKey)

	if !withdraw(t, r, "web") {
		t.Error("Withdraw says that no key was deleted")
	}
	w.WaitDelete(put.Revision, promptly, webKey)
	if withdraw(t, r, "web") {
		t.Error("a second Withdraw says that a key was deleted")
	}
	r.Update([]registrar.Fact{fact(web, true)})
	put = w.WaitPut(put.Revision+1, 5*time.Second, webKey)

	ctx, cancel := context.WithTimeout(t.Context(), promptly)
	defer cancel()
	r.Close(ctx)
	w.WaitDelete(put.Revision, promptly, webKey)
	if n := len(w.Events()); n != 6 {
		t.Errorf("%d events, want 6: %v", n, w.Events())
	}
}

// The key comes back whoever takes it away, and nothing is written as long as
// nothing is wrong.
func TestKeyComesBack(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	client := c.Client(t)
	w := c.Watch(t, "/service/")
	r := newRegistrar(t, c.Endpoints, nil)
	r.Update([]registrar.Fact{fact(web, true)})
	put := w.WaitPut(0, 5*time.Second, webKey)

	if _, err := client.Revoke(t.Context(), clientv3.LeaseID(put.Lease)); err != nil {
		t.Fatal(err)
	}
	gone := w.WaitDelete(put.Revision, promptly, webKey)
	put = w.WaitPut(gone.Revision, 10*time.Second, webKey)

	if _, err := client.Delete(t.Context(), webKey); err != nil {
		t.Fatal(err)
	}
	gone = w.WaitDelete(put.Revision, promptly, webKey)
	put = w.WaitPut(gone.Revision, 10*time.Second, webKey)
	if n := len(w.Events()); n != 5 {
		t.Errorf("%d events, want 5: %v", n, w.Events())
	}
}

func TestEtcdAbsentAtStart(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	c.Kill(0)
	r := newRegistrar(t, c.Endpoints, nil)
	r.Update([]registrar.Fact{fact(web, false)})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	r.Prepare(ctx, "web")
	r.Update([]registrar.Fact{fact(web, true)})
	waitReason(t, r, 5*time.Second, func(reason string) bool { return len(reason) > 20 && reason[:20] == "etcd does not answer" })
	if r.Answers() {
		t.Error("Answers is true")
	}
	c.Restart(0)
	waitReason(t, r, 15*time.Second, registered)
	if !r.Answers() {
		t.Error("Answers is false")
	}
}

func TestLeftoverKey(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	client := c.Client(t)
	if _, err := client.Put(t.Context(), webKey, "running"); err != nil {
		t.Fatal(err)
	}
	r := newRegistrar(t, c.Endpoints, nil)
	r.Update([]registrar.Fact{fact(web, false)})
	ctx, cancel := context.WithTimeout(t.Context(), promptly)
	defer cancel()
	r.Prepare(ctx, "web")
	if ctx.Err() != nil {
		t.Error("Prepare took a second")
	}
	if resp, err := client.Get(t.Context(), webKey); err != nil || resp.Count != 0 {
		t.Errorf("the leftover key is there, error %v", err)
	}
	if _, err := client.Put(t.Context(), webKey, "running"); err != nil {
		t.Fatal(err)
	}
	r.Prepare(ctx, "web")
	if resp, err := client.Get(t.Context(), webKey); err != nil || resp.Count != 1 {
		t.Errorf("a second Prepare of the program deleted a key, error %v", err)
	}
}

// The successor of a container on the same port registers while the
// predecessor still says goodbye.
func TestSuccessorSurvivesLateGoodbye(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	w := c.Watch(t, "/service/")
	old := newRegistrar(t, c.Endpoints, nil)
	old.Update([]registrar.Fact{fact(web, true)})
	first := w.WaitPut(0, 5*time.Second, webKey)
	successor := newRegistrar(t, c.Endpoints, nil)
	successor.Update([]registrar.Fact{fact(web, true)})
	second := w.WaitPut(first.Revision, 5*time.Second, webKey)
	if withdraw(t, old, "web") {
		t.Error("the predecessor says that it deleted a key")
	}
	ctx, cancel := context.WithTimeout(t.Context(), promptly)
	defer cancel()
	old.Close(ctx)
	if resp, err := c.Client(t).Get(t.Context(), webKey); err != nil || resp.Count != 1 || resp.Kvs[0].Lease != second.Lease {
		t.Errorf("the successor's key: %v, error %v", resp, err)
	}
}

func TestSeveralPortsInOneTransaction(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	w := c.Watch(t, "/")
	admin := web
	admin.Port.Number, admin.Key = 8001, "admin"
	admin.Advertise = config.Advertise{IP: netip.MustParseAddr("fd00::5"), Port: 49156}
	r := newRegistrar(t, c.Endpoints, nil)
	r.Update([]registrar.Fact{fact(web, true), fact(admin, true)})
	one := w.WaitPut(0, 5*time.Second, webKey)
	two := w.WaitPut(0, 5*time.Second, "/admin/[fd00::5]:49156")
	if one.Revision != two.Revision || one.Lease != two.Lease {
		t.Errorf("not one transaction on one lease: %v, %v", one, two)
	}
	withdraw(t, r, "web")
	gone := w.WaitDelete(two.Revision, promptly, webKey)
	if other := w.WaitDelete(two.Revision, promptly, "/admin/[fd00::5]:49156"); other.Revision != gone.Revision {
		t.Errorf("not one transaction: %v, %v", gone, other)
	}
}

// frozen is a registrar at a cluster of which one member hangs.
type frozen struct {
	cluster *etcdtest.Cluster
	member  int
	watch   *etcdtest.Watch
	reg     *registrar.Registrar
}

// freeze hangs the leader, or a follower, right after a registration at it.
func freeze(t *testing.T, leader bool) frozen {
	f := frozen{cluster: etcdtest.Start(t, 3)}
	f.member = f.cluster.Leader()
	if !leader {
		f.member = (f.member + 1) % 3
	}
	endpoints := slices.Clone(f.cluster.Endpoints)
	endpoints[0], endpoints[f.member] = endpoints[f.member], endpoints[0] // it is asked first
	f.watch = f.cluster.Watch(t, "/service/", (f.member+2)%3)
	f.reg = newRegistrar(t, endpoints, nil)
	f.reg.Update([]registrar.Fact{fact(web, true)})
	f.watch.WaitPut(0, 10*time.Second, webKey)
	f.cluster.Freeze(f.member)
	return f
}

func (f frozen) wantNoDelete(t *testing.T, after int64) {
	t.Helper()
	for _, e := range f.watch.Events() {
		if e.Revision > after && !e.Put {
			t.Errorf("the key was absent: %v", f.watch.Events())
		}
	}
}

// One member of three hangs for 30 s, which is longer than the lease lives:
// the key is never absent, not even when the member goes on, and a delete
// takes less than a second.
func TestFrozenMember(t *testing.T) {
	t.Parallel()
	both := map[string]frozen{"leader": freeze(t, true), "follower": freeze(t, false)}
	<-time.After(30 * time.Second)
	last := map[string]etcdtest.Event{}
	for name, f := range both {
		f.wantNoDelete(t, 0)
		withdraw(t, f.reg, "web")
		gone := f.watch.WaitDelete(0, promptly, webKey)
		f.reg.Update([]registrar.Fact{fact(web, true)})
		last[name] = f.watch.WaitPut(gone.Revision, 10*time.Second, webKey)
		f.cluster.Thaw(f.member)
	}
	<-time.After(6 * time.Second)
	for name, f := range both {
		f.wantNoDelete(t, last[name].Revision)
	}
}

func TestAllMembersRestarted(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 3)
	r := newRegistrar(t, c.Endpoints, nil)
	r.Update([]registrar.Fact{fact(web, true)})
	waitReason(t, r, 10*time.Second, registered)
	for i := range 3 {
		c.Kill(i)
	}
	c.Restart(0, 1, 2)
	client := c.Client(t)
	resp, err := client.Get(t.Context(), webKey)
	if err != nil || resp.Count != 1 {
		t.Fatalf("after the restart: %v, error %v", resp, err)
	}
	// The lease lives on, or the key is put again.
	w := c.Watch(t, "/service/")
	if _, err := client.Delete(t.Context(), webKey); err != nil {
		t.Fatal(err)
	}
	gone := w.WaitDelete(0, 5*time.Second, webKey)
	w.WaitPut(gone.Revision, 10*time.Second, webKey)
}
