package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// unregistered fails the test unless the app runs and answers, log and status
// say these words, and no key appears from the start of the container to its
// end.
func (c *container) unregistered(words ...string) {
	c.t.Helper()
	c.stamp("ANSWERS", 0) // to the check
	for _, word := range words {
		c.logs(word)
	}
	if !strings.Contains(c.log(), `msg="not registered" program=web`) {
		c.t.Errorf("the log does not say that web is not registered:\n%s", c.log())
	}
	c.table(0, append(words, "RUNNING", "healthy", "not registered")...)
	if got := c.status(); got.Restarts != 0 {
		c.t.Errorf("web is %+v, want no restart", got)
	}
	c.stop()
	if events := c.watch.Events(); len(events) > 0 {
		c.t.Errorf("keys were written: %v", events)
	}
}

func TestDockerSocketMissing(t *testing.T) {
	newWorld(t).run(followed, "-p", "8000").unregistered(
		"cannot reach Docker at unix:///var/run/docker.sock", "mount it with -v /var/run/docker.sock:/var/run/docker.sock",
		"or set advertise.ip and advertise.port")
}

func TestDockerNotAnswering(t *testing.T) {
	w := newWorld(t)
	path := silent(t, "unix", filepath.Join(t.TempDir(), "docker.sock")).String()
	w.run(followed, "-p", "8000", "-v", path+":/var/run/docker.sock").unregistered(
		"cannot ask Docker at unix:///var/run/docker.sock: it does not answer", "set advertise.ip and advertise.port")
}

func TestDockerMappingWithoutIP(t *testing.T) {
	w := newWorld(t)
	port := w.freePort()
	w.run(`
programs:
  web:
    command: /app
    healthcheck: {http: 8000}
    register: {port: 8000}
registry:
  etcd: {endpoints: ["${ETCD}"]}
`, "-p", "0.0.0.0:"+port+":8000", "-v", socket).unregistered(
		"mapping 0.0.0.0:"+port+" names no address", "set registry.advertise.ip")
}

func TestDockerPortNotPublished(t *testing.T) {
	newWorld(t).run(followed, "-p", "9000", "-v", socket).unregistered(
		"publishes no port 8000/tcp", "start it with -p 8000", "published: 9000/tcp")
}

// Neither etcd nor Docker lets a packet or a word back: programs start and stop
// as if nothing were there, whichever of the two has to be waited for.
func TestDockerBlackHole(t *testing.T) {
	const file = `
programs:
  web:
    command: /app
    healthcheck: {http: 8000}
    register: {port: 8000}
registry:
  etcd: {endpoints: ["${ETCD}", "${NOBODY}"]}
`
	w := newEmptyWorld(t)
	w.etcd = "http://" + silent(t, "tcp", w.host+":0").String()
	path := silent(t, "unix", filepath.Join(t.TempDir(), "docker.sock")).String()
	options := []string{"-p", "8000", "-v", path + ":/var/run/docker.sock", "-e", "NOBODY=http://" + w.nobody() + ":2379"}
	for _, c := range []*container{
		w.run(file+`  advertise: {ip: "${IP}"}`, options...),
		w.run(file+`  advertise: {ip: "${IP}", port: 8123}`, options...),
	} {
		started, err := time.Parse(time.RFC3339Nano, c.inspect("{{.State.StartedAt}}"))
		if err != nil {
			t.Fatal(err)
		}
		took := c.stamp("BEGAN", 0).Sub(started)
		t.Logf("the program began %v after the container", took)
		if took > time.Second+slack {
			t.Errorf("the program began %v after the container, want about a second", took)
		}
		c.stamp("ANSWERS", 0)
		c.logs(`msg="not registered" program=web`)
		c.table(0, "RUNNING", "healthy", "not registered")
		c.stop()
		c.says("bye")
	}
}

// etcd is not there at first. Then it is, in a container FROM scratch itself.
func TestDockerEtcdLater(t *testing.T) {
	w := newEmptyWorld(t)
	address := w.host + ":" + w.freePort()
	w.etcd = "http://" + address
	c := w.run(followed, "-p", "8000", "-v", socket)
	key := c.key()
	c.stamp("ANSWERS", 0)
	c.logs(`msg="not registered" program=web`)
	c.table(0, "RUNNING", "healthy", "etcd does not answer", "check registry.etcd.endpoints")
	before := c.app()

	w.start([]string{"-p", address + ":2379"},
		"/usr/local/bin/sidekick-hub", "serve", "--data", "/data", "--listen-client-urls", "http://0.0.0.0:2379").logs("etcd is ready")
	ready := time.Now()
	w.look(w.etcd)
	eventually(t, "the key is there", func() bool { return len(w.keys()) == 1 })
	took := time.Since(ready)
	t.Logf("registered %v after etcd was there", took)
	if took > 10*time.Second {
		t.Errorf("registered %v after etcd was there", took)
	}
	w.only(key)
	if got := c.status(); got.Restarts != 0 || c.app() != before {
		t.Errorf("web is %+v, pid %d, was pid %d: want no restart", got, c.app(), before)
	}
}
