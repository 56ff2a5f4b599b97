package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"sidekick/registrar/etcd/etcdtest"
)

// What the Docker tests look like: a world is one test's own etcd, on an
// address of this machine that containers reach; containers of the one image
// `FROM scratch` register there; everything they do to keys is seen by a watch.

// dockerfile is the image of all Docker tests: static files and nothing else.
const dockerfile = `FROM scratch
COPY sidekick sidekick-hub /usr/local/bin/
COPY app /app
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=1h CMD ["/usr/local/bin/sidekick", "health"]
ENTRYPOINT ["/usr/local/bin/sidekick", "run"]
`

// socket gives a container the Docker API, as users do.
const socket = "/var/run/docker.sock:/var/run/docker.sock"

// label marks whatever a run of these tests makes in Docker.
var label = fmt.Sprintf("sidekick-e2e=%d", os.Getpid())

// image is built for the first test that needs it and removed after the last.
var image struct {
	sync.Mutex
	name  string
	users int
}

func useImage(t *testing.T) {
	t.Helper()
	image.Lock()
	defer image.Unlock()
	if image.users == 0 {
		image.name = fmt.Sprintf("sidekick-e2e:%d-%x", os.Getpid(), rand.Uint32())
		build := exec.Command("docker", "build", "-q", "-t", image.name, "--label", label, "-f", "-", bin)
		build.Stdin = strings.NewReader(dockerfile)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("docker build: %v\n%s", err, out)
		}
	}
	image.users++
	t.Cleanup(func() {
		image.Lock()
		defer image.Unlock()
		if image.users--; image.users == 0 {
			docker(t, "rmi", "-f", image.name)
		}
	})
}

// docker runs a command that must succeed and returns its output.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, code := dockerCode(t, args...)
	if code != 0 {
		t.Fatalf("docker %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return strings.TrimSpace(stdout)
}

func dockerCode(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command("docker", args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// world is what the containers of one test have around them.
type world struct {
	t      *testing.T
	host   string     // the address of this machine on Docker's default bridge
	bridge *net.IPNet // the network of that bridge
	etcd   string     // URL

	client *clientv3.Client
	watch  *etcdtest.Watch // of everything in etcd
}

// newWorld returns one with an etcd; the test is a parallel one from here on.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := newEmptyWorld(t)
	w.look(startHub(t, "http://"+w.host+":0"))
	return w
}

// newEmptyWorld returns one whose etcd the test has to make. The image is
// taken before the test waits for its turn among the parallel ones, so that
// all of them share one image.
func newEmptyWorld(t *testing.T) *world {
	t.Helper()
	if _, err := exec.LookPath("docker"); err != nil {
		missing(t, "the docker command")
	}
	if _, stderr, code := dockerCode(t, "version", "--format", "{{.Server.Version}}"); code != 0 {
		missing(t, "a Docker Engine: "+strings.TrimSpace(stderr))
	}
	if os.Getuid() != 0 {
		missing(t, "root, to signal processes in containers")
	}
	useImage(t)
	t.Parallel()
	bridge := dockerBridge(t)
	return &world{t: t, host: bridge.IP.String(), bridge: bridge}
}

// dockerBridge returns the address of Docker's default bridge and its network.
// Docker's own answer has no gateway where it chose the network itself.
func dockerBridge(t *testing.T) *net.IPNet {
	t.Helper()
	name := docker(t, "network", "inspect", "bridge", "--format", `{{index .Options "com.docker.network.bridge.name"}}`)
	bridge, err := net.InterfaceByName(name)
	if err != nil {
		missing(t, "Docker's bridge "+name+" on this machine: "+err.Error())
	}
	addresses, err := bridge.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
			return &net.IPNet{IP: n.IP.To4(), Mask: n.Mask}
		}
	}
	missing(t, "an IPv4 address of Docker's bridge "+name)
	return nil
}

// nobody returns an address of the bridge that no container has: the last one,
// as Docker gives them away from the first one on.
func (w *world) nobody() string {
	last := net.IPv4(0, 0, 0, 0).To4()
	for i, b := range w.bridge.IP {
		last[i] = b | ^w.bridge.Mask[i]
	}
	last[3]-- // that was the broadcast address
	return last.String()
}

// look begins to watch the etcd at url, which must answer.
func (w *world) look(url string) {
	w.t.Helper()
	cluster := &etcdtest.Cluster{Endpoints: []string{url}}
	w.etcd, w.client = url, cluster.Client(w.t)
	w.watch = cluster.Watch(w.t, "/")
}

var readyAt = regexp.MustCompile(`etcd is ready at (\S+)`)

// startHub runs `sidekick-hub serve` on this machine and returns its URL.
func startHub(t *testing.T, listen string) string {
	t.Helper()
	hub := exec.Command(filepath.Join(bin, "sidekick-hub"), "serve", "--data", inMemory(t), "--listen-client-urls", listen)
	var mu sync.Mutex
	var stderr bytes.Buffer
	hub.Stderr = locked{&mu, &stderr}
	hub.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := hub.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = hub.Process.Kill()
		_ = hub.Wait()
		if t.Failed() {
			t.Logf("sidekick-hub:\n%s", stderr.String())
		}
	})
	var ready []string
	eventually(t, "sidekick-hub is ready", func() bool {
		mu.Lock()
		defer mu.Unlock()
		ready = readyAt.FindStringSubmatch(stderr.String())
		return ready != nil
	})
	return ready[1]
}

// inMemory returns a folder that no disk slows down, if there is one: etcd syncs
// at each write, and beside image builds that has taken seconds.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "sidekick-e2e-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// keys lists the keys that exist.
func (w *world) keys() (keys []string) {
	w.t.Helper()
	answer, err := w.client.Get(w.t.Context(), "/", clientv3.WithPrefix())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, kv := range answer.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys
}

// only fails the test unless exactly these keys exist.
func (w *world) only(keys ...string) {
	w.t.Helper()
	if got := w.keys(); !slices.Equal(got, keys) {
		w.t.Errorf("the keys are %v, want %v", got, keys)
	}
}

// givenPorts has those that freePort has returned: between its look and the bind
// another test may look.
var givenPorts sync.Map

// freePort returns a port that nobody has. It is outside the range from which the
// kernel and Docker choose.
func (w *world) freePort() string {
	w.t.Helper()
	for range 100 {
		port := strconv.Itoa(20000 + rand.IntN(10000))
		if _, taken := givenPorts.LoadOrStore(port, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", ":"+port); err == nil {
			l.Close()
			return port
		}
	}
	w.t.Fatal("no free port")
	return ""
}

// get asks the address as a client outside does.
func (w *world) get(address string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil || response.StatusCode != http.StatusOK {
		w.t.Fatalf("GET %s: %v, %s", address, err, response.Status)
	}
	return strings.TrimSpace(body.String())
}

// silent listens, accepts and never answers, until the test ends.
func silent(t *testing.T, network, address string) net.Addr {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { // ends when the listener is closed
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr()
}
