package portmap

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sidekick/config"
	"sidekick/registrar"
)

// engine is a Docker Engine that knows the containers of the fixtures, by id,
// beginning of the id and name, as a real one does.
type engine struct {
	version string // header Api-Version

	mu         sync.Mutex // guards all below
	containers []container
	requests   []string
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests = append(e.requests, r.Method+" "+r.URL.Path)
	if r.URL.Path == "/_ping" {
		w.Header().Set("Api-Version", e.version)
		return
	}
	_, ref, _ := strings.Cut(strings.TrimSuffix(r.URL.Path, "/json"), "/containers/")
	for _, c := range e.containers {
		if strings.HasPrefix(c.ID, ref) || ref == "web-1" {
			_ = json.NewEncoder(w).Encode(c)
			return
		}
	}
	http.Error(w, `{"message":"No such container: `+ref+`"}`, http.StatusNotFound)
}

// serve returns the address of a unix socket at which h answers.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) }) // ends with Close
	t.Cleanup(func() { server.Close(); serving.Wait() })
	return "unix://" + path
}

func newMapper(t *testing.T, host, mountinfo, cgroup, hostname string) *Mapper {
	t.Helper()
	m := New(config.Docker{Host: host}, procWith(t, mountinfo, cgroup))
	m.hostname = func() string { return hostname }
	m.addresses = func() map[string]bool { return map[string]bool{"172.17.0.2": true} }
	return m
}

func TestInspect(t *testing.T) {
	advertise := config.Advertise{IP: netip.MustParseAddr("10.1.0.101")}
	for name, tc := range map[string]struct {
		known                        []string
		mountinfo, cgroup, container string
		hostname                     string
		want                         string // address of port 8000
		err                          string
	}{
		"mountinfo":                  {known: []string{"random"}, mountinfo: "random", want: "10.1.0.101:32768"},
		"cgroup":                     {known: []string{"random"}, cgroup: "random", want: "10.1.0.101:32768"},
		"hostname":                   {known: []string{"random"}, cgroup: "v2-private", hostname: "54fd1288797b", want: "10.1.0.101:32768"},
		"mountinfo is another's":     {known: []string{"random"}, mountinfo: "v2-docker", cgroup: "random", want: "10.1.0.101:32768"},
		"another's network":          {known: []string{"joined", "random"}, mountinfo: "joined", cgroup: "joined", want: "10.1.0.101:32768"},
		"another's network, cgroup":  {known: []string{"joined", "random"}, cgroup: "joined", want: "10.1.0.101:32768"},
		"another's, who is gone":     {known: []string{"joined"}, cgroup: "joined", err: "cannot find container 54fd1288797b, whose network this container uses"},
		"configured":                 {known: []string{"random", "udp"}, mountinfo: "v2-docker", container: "54fd12", want: "10.1.0.101:32768"},
		"configured name":            {known: []string{"random"}, container: "web-1", err: "does not know this container (web-1)"},
		"hostname is another's name": {known: []string{"random"}, hostname: "web-1", err: "cannot find this container's id"},
		"hostname is another's id":   {known: []string{"loopback"}, hostname: "6c7d51a736ac", err: "does not know this container (6c7d51a736ac)"},
		"unknown":                    {known: []string{"random"}, mountinfo: "v2-docker", err: "does not know this container (3f1c9e5b7d2a)"},
	} {
		t.Run(name, func(t *testing.T) {
			e := &engine{version: "1.41"}
			for _, k := range tc.known {
				e.containers = append(e.containers, load(t, k))
			}
			m := newMapper(t, serve(t, e), tc.mountinfo, tc.cgroup, tc.hostname)
			m.container = tc.container
			got, err := m.Inspect(t.Context())
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || errors.Is(err, registrar.ErrNotMapped) {
					t.Errorf("error %v, want one with %q that is not definite", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if a, err := got.Address(tcp8000, advertise); err != nil || a.String() != tc.want {
				t.Errorf("address %v, error %v; want %s", a, err, tc.want)
			}
		})
	}
}

func TestRequests(t *testing.T) {
	for version, want := range map[string]string{"1.41": "v1.41", "1.52": "v1.47", "": "v1.44", "x": "v1.44"} {
		e := &engine{version: version, containers: []container{load(t, "random")}}
		if _, err := newMapper(t, serve(t, e), "random", "", "").Inspect(t.Context()); err != nil {
			t.Error(err)
		}
		e.mu.Lock()
		if got := []string{"GET /_ping", "GET /" + want + "/containers/" + randomID + "/json"}; !slices.Equal(e.requests, got) {
			t.Errorf("Api-Version %q: requests %v, want %v", version, e.requests, got)
		}
		e.mu.Unlock()
	}
}

// Every way in which Docker can fail says what to do, and none is definite.
func TestDockerFails(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "docker.sock")
	dead := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for name, tc := range map[string]struct {
		host string
		want string
	}{
		"not mounted": {"unix://" + missing, "cannot reach Docker at unix://" + missing + ": dial unix " + missing + ": connect: no such file or directory: mount it with -v " + missing + ":" + missing + ", or set advertise.ip and advertise.port"},
		"a folder":    {"unix://" + filepath.Dir(dead), "it is a folder, since the host has no socket at the mounted path"},
		"restarted":   {"unix://" + dead, "was restarted after its socket was mounted"},
		"nobody":      {"tcp://127.0.0.1:1", "connection refused: check registry.docker.host"},
		"bad host":    {"npipe://x", "it must be unix:///PATH or tcp://HOST:PORT"},
		"refused": {serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "Forbidden", http.StatusForbidden)
		})), "refuses GET /_ping: 403 Forbidden Forbidden"},
		"no ping": {serve(t, http.NotFoundHandler()), "refuses GET /_ping: 404"},
		"nonsense": {serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("<html>"))
		})), "cannot understand Docker's answer"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newMapper(t, tc.host, "random", "", "").Inspect(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) || errors.Is(err, registrar.ErrNotMapped) {
				t.Errorf("error %v\nwant one with %q that is not definite", err, tc.want)
			}
		})
	}
}

func TestDockerHangs(t *testing.T) {
	ended := make(chan struct{})
	host := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(ended)
	}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // enough for the request to arrive
	defer cancel()
	_, err := newMapper(t, host, "random", "", "").Inspect(ctx)
	if err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("error %v", err)
	}
	<-ended
}

// The real engine answers as the fixtures do.
func TestRealEngine(t *testing.T) {
	const socket = "/var/run/docker.sock"
	if _, err := os.Stat(socket); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no Docker Engine at %s", socket)
		}
		t.Skipf("no Docker Engine at %s", socket)
	}
	m := New(config.Docker{Host: "unix://" + socket, Container: strings.Repeat("0", 64)}, "/proc")
	_, err := m.Inspect(t.Context())
	if err == nil || !strings.Contains(err.Error(), "does not know this container (000000000000)") {
		t.Errorf("error %v", err)
	}
}
