package etcd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"sidekick/config"
	"sidekick/registrar"
	"sidekick/registrar/etcd/etcdtest"
)

func TestMain(m *testing.M) {
	etcdtest.RunMember()
	os.Exit(m.Run())
}

const ttl = 20 * time.Second

func newStore(t *testing.T, c config.Etcd) *Store {
	t.Helper()
	s := New(c, ttl)
	t.Cleanup(func() { s.cluster.close() })
	return s
}

func mustPut(t *testing.T, s *Store, keys ...string) {
	t.Helper()
	values := map[string]string{}
	for _, k := range keys {
		values[k] = "running"
	}
	if err := s.Put(t.Context(), values); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, s *Store, keys ...string) map[string]registrar.Entry {
	t.Helper()
	entries, err := s.Read(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestPutUsesOneLeaseAndOneTransaction(t *testing.T) {
	c := etcdtest.Start(t, 1)
	client := c.Client(t)
	s := newStore(t, config.Etcd{Endpoints: c.Endpoints})
	mustPut(t, s, "/a/1", "/a/2")
	resp, err := client.Get(t.Context(), "/a/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Kvs) != 2 || resp.Kvs[0].ModRevision != resp.Kvs[1].ModRevision || resp.Kvs[0].Lease != resp.Kvs[1].Lease {
		t.Fatalf("not one transaction on one lease: %v", resp.Kvs)
	}
	lease, err := client.TimeToLive(t.Context(), clientv3.LeaseID(resp.Kvs[0].Lease))
	if err != nil || lease.GrantedTTL != 20 {
		t.Errorf("lease: %v, error %v; want a TTL of 20 s", lease, err)
	}
}

func TestManyKeys(t *testing.T) {
	c := etcdtest.Start(t, 1)
	s := newStore(t, config.Etcd{Endpoints: c.Endpoints})
	var keys []string
	for i := range 2*registrar.MaxPut + 1 {
		keys = append(keys, fmt.Sprintf("/many/%03d", i))
	}
	for some := range slices.Chunk(keys, registrar.MaxPut) {
		mustPut(t, s, some...)
	}
	if found := read(t, s, keys...); len(found) != len(keys) {
		t.Errorf("%d keys found, want %d", len(found), len(keys))
	}
	deleted, err := s.Delete(t.Context(), keys)
	if err != nil || !slices.Equal(deleted, keys) {
		t.Errorf("deleted %d of %d keys, error %v", len(deleted), len(keys), err)
	}
}

func TestDeleteTouchesOnlyOurs(t *testing.T) {
	c := etcdtest.Start(t, 1)
	first := newStore(t, config.Etcd{Endpoints: c.Endpoints})
	second := newStore(t, config.Etcd{Endpoints: c.Endpoints})
	mustPut(t, first, "/s/ours", "/s/taken")
	mustPut(t, second, "/s/taken")
	gone, err := first.Delete(t.Context(), []string{"/s/missing", "/s/ours", "/s/taken"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/s/missing", "/s/ours"}, gone); diff != "" {
		t.Errorf("gone (-want +got):\n%s", diff)
	}
	found := read(t, second, "/s/ours", "/s/taken")
	if len(found) != 1 || !found["/s/taken"].Ours {
		t.Errorf("left: %v, want the key of the second store only", found)
	}
}

// A put whose answer was lost leaves a key newer than any answer we know.
func TestDeleteFindsAKeyNewerThanItsLastAnswer(t *testing.T) {
	c := etcdtest.Start(t, 1)
	s := newStore(t, config.Etcd{Endpoints: c.Endpoints})
	mustPut(t, s, "/s/k")
	s.revision = 1
	deleted, err := s.Delete(t.Context(), []string{"/s/k"})
	if err != nil || !slices.Equal(deleted, []string{"/s/k"}) {
		t.Errorf("deleted %v, error %v", deleted, err)
	}
}

// A delete that a hung member carries out late must not hit the key's next life.
func TestLateDeleteSparesANewerKey(t *testing.T) {
	c := etcdtest.Start(t, 1)
	s := newStore(t, config.Etcd{Endpoints: c.Endpoints})
	mustPut(t, s, "/s/k")
	late := s.unchangedOurs("/s/k")
	mustPut(t, s, "/s/k")
	resp, err := c.Client(t).Txn(t.Context()).If(late...).Then(clientv3.OpDelete("/s/k")).Commit()
	if err != nil || resp.Succeeded {
		t.Errorf("the late delete removed the newer key, error %v", err)
	}
}

// After a change of the leader the keys hang on a lease that the old leader
// does not know, and were never absent.
func TestKeysMoveToANewLease(t *testing.T) {
	c := etcdtest.Start(t, 1)
	w := c.Watch(t, "/s/")
	client := c.Client(t)
	s := newStore(t, config.Etcd{Endpoints: c.Endpoints})
	mustPut(t, s, "/s/k", "/s/taken", "/s/late")
	other := newStore(t, config.Etcd{Endpoints: c.Endpoints})
	mustPut(t, other, "/s/taken")
	first := s.lease
	s.term-- // as if it had been taken under an earlier leader
	if err := s.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	found := read(t, s, "/s/k", "/s/taken")
	if s.lease == first || !found["/s/k"].Ours || found["/s/taken"].Ours {
		t.Errorf("lease %x, before %x; keys %v", s.lease, first, found)
	}
	for _, e := range w.Events() {
		if !e.Put {
			t.Errorf("seen in etcd: %v", e)
		}
	}

	// A put on the former lease comes through late.
	if _, err := client.Put(t.Context(), "/s/late", "running", clientv3.WithLease(first)); err != nil {
		t.Fatal(err)
	}
	if found := read(t, s, "/s/late"); len(found) != 0 {
		t.Errorf("a key that will expire counts as there: %v", found)
	}
	deleted, err := s.Delete(t.Context(), []string{"/s/k", "/s/late", "/s/taken"})
	if err != nil || !slices.Equal(deleted, []string{"/s/k", "/s/late"}) {
		t.Errorf("deleted %v, error %v", deleted, err)
	}
}

func TestDeleteUnchanged(t *testing.T) {
	c := etcdtest.Start(t, 1)
	client := c.Client(t)
	s := newStore(t, config.Etcd{Endpoints: c.Endpoints})
	put := func() {
		if _, err := client.Put(t.Context(), "/s/old", "running"); err != nil {
			t.Fatal(err)
		}
	}
	put()
	seen := read(t, s, "/s/old")["/s/old"]
	put()
	if deleted, err := s.DeleteUnchanged(t.Context(), "/s/old", seen.ModRevision); deleted || err != nil {
		t.Errorf("a key written meanwhile: deleted %v, error %v", deleted, err)
	}
	seen = read(t, s, "/s/old")["/s/old"]
	if deleted, err := s.DeleteUnchanged(t.Context(), "/s/old", seen.ModRevision); !deleted || err != nil {
		t.Errorf("an unchanged key: deleted %v, error %v", deleted, err)
	}
}

func TestLostLease(t *testing.T) {
	c := etcdtest.Start(t, 1)
	s := newStore(t, config.Etcd{Endpoints: c.Endpoints})
	mustPut(t, s, "/s/k")
	revoke := func() {
		if _, err := c.Client(t).Revoke(t.Context(), s.lease); err != nil {
			t.Fatal(err)
		}
	}
	revoke()
	mustPut(t, s, "/s/k")
	if !read(t, s, "/s/k")["/s/k"].Ours {
		t.Error("a put after the loss did not take a new lease")
	}
	revoke()
	if err := s.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := read(t, s, "/s/k"); len(found) != 0 {
		t.Errorf("a renewal brought keys: %v", found)
	}
}

func TestRenewWritesNothing(t *testing.T) {
	c := etcdtest.Start(t, 1)
	s := newStore(t, config.Etcd{Endpoints: c.Endpoints})
	mustPut(t, s, "/s/k")
	before := s.revision
	for range 3 {
		if err := s.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	read(t, s, "/s/k")
	if s.revision != before {
		t.Errorf("revision %d became %d", before, s.revision)
	}
}

func TestCloseRevokes(t *testing.T) {
	c := etcdtest.Start(t, 1)
	s := newStore(t, config.Etcd{Endpoints: c.Endpoints})
	mustPut(t, s, "/s/k")
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	resp, err := c.Client(t).Get(t.Context(), "/s/k")
	if err != nil || resp.Count != 0 {
		t.Errorf("left: %v, error %v", resp, err)
	}
	if err := s.Renew(t.Context()); err == nil {
		t.Error("a closed store can be used")
	}
}

func TestNobodyThere(t *testing.T) {
	s := newStore(t, config.Etcd{Endpoints: []string{"http://127.0.0.1:1"}})
	err := s.Renew(t.Context())
	if !errors.Is(err, registrar.ErrNoAnswer) {
		t.Fatalf("error %v, want ErrNoAnswer", err)
	}
	const want = `etcd does not answer: http://127.0.0.1:1: connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`
	if err.Error() != want {
		t.Errorf("error:\n%v\nwant:\n%s", err, want)
	}
}

func TestMissingFilesAreToldAndRetried(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]config.Etcd{
		"password": {Username: "u", PasswordFile: filepath.Join(dir, "none")},
		"ca":       {TLS: &config.TLS{CAFile: filepath.Join(dir, "none")}},
		"cert":     {TLS: &config.TLS{CertFile: filepath.Join(dir, "none")}},
	} {
		t.Run(name, func(t *testing.T) {
			c.Endpoints = []string{"http://127.0.0.1:1"}
			s := newStore(t, c)
			for range 2 {
				if err := s.Renew(t.Context()); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("error %v, want one that says which file is missing", err)
				}
			}
		})
	}
}

// within calls fn with so much time.
func within(t *testing.T, limit time.Duration, what string, fn func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := fn(ctx); err != nil {
		t.Errorf("%s within %v: %v", what, limit, err)
	}
}

// A member that hangs costs one patience, and only the first call.
func TestHungMember(t *testing.T) {
	c := etcdtest.Start(t, 3)
	s := newStore(t, config.Etcd{Endpoints: c.Endpoints})
	s.cluster.first = follower(c)
	mustPut(t, s, "/s/k", "/s/l")
	frozen := s.cluster.first
	c.Freeze(frozen)
	within(t, time.Second, "delete", func(ctx context.Context) error {
		deleted, err := s.Delete(ctx, []string{"/s/k"})
		if err == nil && len(deleted) != 1 {
			return errors.New("nothing deleted")
		}
		return err
	})
	if s.cluster.first == frozen {
		t.Error("the next call begins with the hung member again")
	}
	within(t, 3*time.Second, "renew", s.Renew)
	within(t, 3*time.Second, "put", func(ctx context.Context) error {
		return s.Put(ctx, map[string]string{"/s/m": "running"})
	})
}

func follower(c *etcdtest.Cluster) int { return (c.Leader() + 1) % 3 }
