package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// An application as the README shows it; it answers 503 at first, for longer
// than min_uptime.
const slowStarter = `
programs:
  web:
    command: /app -refuse 8
    healthcheck: {http: 8000}
    register: {port: 8000}
registry:
  etcd: {endpoints: ["${ETCD}"]}
  advertise: {ip: "${IP}"}
`

func TestDockerRandomPort(t *testing.T) {
	w := newWorld(t)
	var keys []string
	for range 2 {
		c := w.run(slowStarter, "-p", "8000", "-v", socket)
		key := c.key()
		put := c.registered(key, 0, 0)
		if put.Value != "running" {
			t.Errorf("%s is %q", key, put.Value)
		}
		lease, err := w.client.TimeToLive(t.Context(), clientv3.LeaseID(put.Lease))
		if err != nil || lease.GrantedTTL != 20 {
			t.Errorf("the lease is %+v, %v; want a TTL of 20 s", lease, err)
		}
		if got, want := w.get(strings.TrimPrefix(key, "/service/")), "hello from "+c.id[:12]; got != want {
			t.Errorf("behind %s is %q, want %q", key, got, want)
		}
		keys = append(keys, key)
	}
	if keys[0] > keys[1] {
		keys[0], keys[1] = keys[1], keys[0]
	}
	w.only(keys...)
}

// leftover is a registration with a long lease: it does not expire while a
// test looks.
const leftover = `
programs:
  web:
    command: [/app, -etcd, "${ETCD}"]
    healthcheck: {http: 8000}
    register: {port: 8000}
registry:
  ttl: 10m
  etcd: {endpoints: ["${ETCD}"]}
`

// An old key of the same address is gone before the application starts, be it
// in the same container or in its successor on the same port.
func TestDockerLeftoverKey(t *testing.T) {
	w := newWorld(t)
	publish := w.host + ":" + w.freePort()
	key := "/service/" + publish // the mapping names an address: no advertise.ip is needed
	c := w.run(leftover, "-p", publish+":8000", "-v", socket)
	c.says("START finds 0 keys")
	put := c.registered(key, 0, 0)

	docker(t, "kill", "-s", "KILL", c.name)
	c.ended(137)
	w.only(key)
	c.again()
	c.says("START finds 0 keys")
	gone := w.watch.WaitDelete(put.Revision, patience, key)
	put = c.registered(key, gone.Revision, 0)

	docker(t, "kill", "-s", "KILL", c.name)
	c.ended(137)
	docker(t, "rm", c.name)
	w.only(key)
	next := w.run(leftover, "-p", publish+":8000", "-v", socket)
	next.says("START finds 0 keys")
	gone = w.watch.WaitDelete(put.Revision, patience, key)
	next.registered(key, gone.Revision, 0)
}

// The predecessor sleeps while its successor takes its address over, and says
// goodbye after that: `docker stop` of a paused container signals it first and
// lets it go on then, so that it hears of its end before anything else.
func TestDockerLateGoodbye(t *testing.T) {
	w := newWorld(t)
	address := w.host + ":" + w.freePort()
	key := "/service/" + address
	file := leftover + fmt.Sprintf("  advertise: {ip: %q, port: %s}\n", w.host, strings.TrimPrefix(address, w.host+":"))

	predecessor := w.run(file)
	put := predecessor.registered(key, 0, 0)
	docker(t, "pause", predecessor.name)

	successor := w.run(file)
	successor.says("START finds 0 keys")
	gone := w.watch.WaitDelete(put.Revision, patience, key)
	taken := successor.registered(key, gone.Revision, 0)
	if taken.Lease == put.Lease {
		t.Errorf("both hang on lease %x", put.Lease)
	}

	predecessor.stop()
	answer, err := w.client.Get(t.Context(), key)
	if err != nil || len(answer.Kvs) != 1 || answer.Kvs[0].Lease != taken.Lease {
		t.Errorf("after the predecessor's goodbye the key is %v, %v; want it on lease %x", answer, err, taken.Lease)
	}
	for _, e := range w.watch.Events() {
		// A slow etcd may be asked twice by the successor for the same put.
		if e.Revision > taken.Revision && !(e.Put && e.Lease == taken.Lease) {
			t.Errorf("the predecessor did %v", e)
		}
	}
}

const followed = `
programs:
  web:
    command: /app
    healthcheck: {http: 8000}
    register: {port: 8000}
registry:
  etcd: {endpoints: ["${ETCD}"]}
  advertise: {ip: "${IP}"}
`

// A key that etcd loses comes back by itself.
func TestDockerLeaseRevokedAndKeyDeleted(t *testing.T) {
	w := newWorld(t)
	c := w.run(followed, "-p", "8000", "-v", socket)
	key := c.key()
	put := c.registered(key, 0, 0)
	lose := map[string]func(context.Context) error{
		"lease revoked": func(ctx context.Context) error {
			_, err := w.client.Revoke(ctx, clientv3.LeaseID(put.Lease))
			return err
		},
		"key deleted": func(ctx context.Context) error {
			_, err := w.client.Delete(ctx, key)
			return err
		},
	}
	for name, do := range lose {
		if err := do(t.Context()); err != nil {
			t.Fatal(err)
		}
		gone := w.watch.WaitDelete(put.Revision, patience, key)
		put = w.watch.WaitPut(gone.Revision, 10*time.Second, key)
		t.Logf("%s: back after %v", name, put.At.Sub(gone.At))
	}
	if got := c.status(); got.State != "RUNNING" || got.Restarts != 0 {
		t.Errorf("web is %+v", got)
	}
}

// The network is another container's, and so are the ports.
func TestDockerNetworkOfAnotherContainer(t *testing.T) {
	w := newWorld(t)
	owner := w.start([]string{"-p", "8000"}, "/app", "-listen", ":9000")
	c := w.run(followed, "--network", "container:"+owner.name, "-v", socket)
	c.registered(owner.key(), 0, 0)
	w.get(owner.published())
	w.only(owner.key())
}

// The network is the host's, and so is the port.
func TestDockerNetworkOfTheHost(t *testing.T) {
	w := newWorld(t)
	address := w.host + ":" + w.freePort()
	c := w.run(fmt.Sprintf(`
programs:
  web:
    command: /app -listen %[1]s
    healthcheck: {http: "http://%[1]s/"}
    register: {port: %[2]s}
registry:
  etcd: {endpoints: ["${ETCD}"]}
  advertise: {ip: "${IP}"}
`, address, strings.TrimPrefix(address, w.host+":")), "--network", "host", "-v", socket)
	c.registered("/service/"+address, 0, 0)
	w.get(address)
	w.only("/service/" + address)
}

// A hostname is not an identity: Docker finds another container by this one's.
func TestDockerHostnameOfAnotherContainer(t *testing.T) {
	w := newWorld(t)
	name := fmt.Sprintf("%012x", rand.Uint64()>>16) // could be an id
	other := w.start([]string{"-p", "8000", "--name", name}, "/app")
	c := w.run(followed, "-p", "8000", "-v", socket, "--hostname", name)
	c.registered(c.key(), 0, 0)
	if got, want := w.get(c.published()), "hello from "+name; got != want {
		t.Errorf("behind the key is %q, want %q", got, want)
	}
	if c.published() == other.published() {
		t.Fatal("two containers have one port")
	}
	w.only(c.key())
}
