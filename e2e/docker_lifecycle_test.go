package e2e

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDockerStop(t *testing.T) {
	w := newWorld(t)
	c := w.run(`
programs:
  web:
    command: [/app, -etcd, "${ETCD}"]
    healthcheck: {http: 8000}
    register: {port: 8000}
registry:
  etcd: {endpoints: ["${ETCD}"]}
  advertise: {ip: "${IP}"}
`, "-p", "8000", "-v", socket)
	key := c.key()
	put := c.registered(key, 0, 0)
	c.stop()
	w.only()
	c.goodbye(key, put.Revision, 0)
	c.says("bye")
}

// The check comes once a minute: whoever deletes the key did not learn from it.
func TestDockerAppKilled(t *testing.T) {
	w := newWorld(t)
	c := w.run(`
programs:
  web:
    command: /app -refuse 8
    healthcheck: {http: 8000, interval: 1m}
    register: {port: 8000}
registry:
  etcd: {endpoints: ["${ETCD}"]}
  advertise: {ip: "${IP}"}
`, "-p", "8000", "-v", socket)
	key := c.key()
	put := c.registered(key, 0, 0)
	before := c.app()

	killed := c.signal(unix.SIGKILL)
	gone := w.watch.WaitDelete(put.Revision, patience, key)
	if took := gone.At.Sub(killed); took > 10*time.Second { // the TTL is 20 s
		t.Errorf("the key was there for %v after the kill", took)
	}
	c.registered(key, gone.Revision, 1)
	if got := c.status(); got.Restarts != 1 {
		t.Errorf("web is %+v, want one restart", got)
	}
	if after := c.app(); after == before {
		t.Errorf("the app is pid %d as before", after)
	}
}

func TestDockerAppHangs(t *testing.T) {
	const interval, timeout = time.Second, time.Second
	w := newWorld(t)
	c := w.run(`
programs:
  web:
    command: /app
    healthcheck: {http: 8000, interval: 1s, timeout: 1s}
    register: {port: 8000}
registry:
  etcd: {endpoints: ["${ETCD}"]}
  advertise: {ip: "${IP}"}
`, "-p", "8000", "-v", socket)
	key := c.key()
	put := c.registered(key, 0, 0)

	stopped := c.signal(unix.SIGSTOP)
	gone := w.watch.WaitDelete(put.Revision, patience, key)
	if took := gone.At.Sub(stopped); took > interval+timeout+time.Second {
		t.Errorf("the key was there for %v after the app hung", took)
	}
	if got := c.status(); got.State != "RUNNING" || got.Health == nil || got.Health.Status != "unhealthy" {
		t.Errorf("web is %+v, want it RUNNING and unhealthy", got)
	}
	c.signal(unix.SIGCONT)
	w.watch.WaitPut(gone.Revision, patience, key)
	if got := c.status(); got.Restarts != 0 {
		t.Errorf("web is %+v, want no restart", got)
	}
}

func TestDockerContainerKilled(t *testing.T) {
	const ttl = 5 * time.Second
	w := newWorld(t)
	c := w.run(`
programs:
  web:
    command: /app
    healthcheck: {http: 8000}
    register: {port: 8000}
registry:
  ttl: 5s
  etcd: {endpoints: ["${ETCD}"]}
  advertise: {ip: "${IP}"}
`, "-p", "8000", "-v", socket)
	key := c.key()
	put := c.registered(key, 0, 0)

	docker(t, "kill", "-s", "KILL", c.name)
	killed := time.Now()
	w.only(key)
	gone := w.watch.WaitDelete(put.Revision, patience, key)
	if took := gone.At.Sub(killed); took > ttl+2*time.Second {
		t.Errorf("the key was there for %v after the container's end, with a TTL of %v", took, ttl)
	}
	c.ended(137)
}

func TestDockerExec(t *testing.T) {
	w := newWorld(t)
	c := w.run(`
programs:
  web:
    command: [/app, -etcd, "${ETCD}"]
    healthcheck: {http: 8000}
    register: {port: 8000}
registry:
  etcd: {endpoints: ["${ETCD}"]}
  advertise: {ip: "${IP}"}
`, "-p", "8000", "-v", socket)
	key := c.key()
	put := c.registered(key, 0, 0)
	c.table(0, "RUNNING", "healthy", c.published())
	before := c.app()

	stdout, stderr, code := c.sidekick("restart", "web")
	w.only(key)
	if code != 0 || !strings.Contains(stdout, "registered as "+c.published()) {
		t.Errorf("restart: exit code %d\n%s%s", code, stdout, stderr)
	}
	if after := c.app(); after == before {
		t.Errorf("the app is pid %d as before", after)
	}
	gone := c.goodbye(key, put.Revision, 0)
	put = c.registered(key, gone.Revision, 1)

	if stdout, stderr, code := c.sidekick("stop", "web"); code != 0 {
		t.Errorf("stop: exit code %d\n%s%s", code, stdout, stderr)
	}
	w.only()
	c.goodbye(key, put.Revision, 1)
	c.table(3, "STOPPED")
	if c.inspect("{{.State.Running}}") != "true" {
		t.Error("the container ended")
	}
	c.stop()
}

// No user of its own, nothing that can be written but /dev/shm, no Docker.
func TestDockerReadOnlyNonRoot(t *testing.T) {
	w := newWorld(t)
	c := w.run(`
programs:
  web:
    command: /app
    healthcheck: {http: 8000}
    register: {port: 8000}
registry:
  etcd: {endpoints: ["${ETCD}"]}
  advertise: {ip: "${IP}", port: 8123}
`, "--read-only", "--user", "1000:1000")
	address := w.host + ":8123"
	c.registered("/service/"+address, 0, 0)
	c.table(0, "RUNNING", "healthy", address)
	for _, user := range []string{"0", "1000"} {
		if stdout, stderr, code := dockerCode(t, "exec", "-u", user, c.name, "sidekick", "status"); code != 0 {
			t.Errorf("status as user %s: exit code %d\n%s%s", user, code, stdout, stderr)
		}
	}
	if stdout, stderr, code := dockerCode(t, "exec", "-u", "1001", c.name, "sidekick", "status"); code == 0 {
		t.Errorf("a third user is told the status\n%s%s", stdout, stderr)
	}
	c.stop()
	w.only()
}
