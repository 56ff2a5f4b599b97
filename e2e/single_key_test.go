package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// site is a place where a port of this machine is found to be published: in a
// mount namespace that looks like a container with host networking, beside a
// Docker that says so, and an etcd.
type site struct {
	*world
	how
	docker string // path of the socket
	port   string
	key    string
}

const siteID = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func newSite(t *testing.T) *site {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "root, to make a mount namespace")
	}
	t.Parallel()
	s := &site{world: &world{t: t}, docker: filepath.Join(t.TempDir(), "docker.sock")}
	s.look(startHub(t, "http://127.0.0.1:0"))
	serveDocker(t, s.docker)
	hostname := filepath.Join(t.TempDir(), "containers", siteID, "hostname")
	if err := errors.Join(os.MkdirAll(filepath.Dir(hostname), 0o755), os.WriteFile(hostname, []byte("site\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	s.wrapper = []string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/hostname && exec "$@"`, hostname}
	s.host = "127.0.0.1"
	s.port = s.freePort()
	s.key = "/service/203.0.113.7:" + s.port
	return s
}

// serveDocker answers like a Docker whose container siteID uses host networking.
func serveDocker(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_ping", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Api-Version", "1.41") })
	mux.HandleFunc("GET /v1.41/containers/"+siteID+"/json", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"Id": %q, "HostConfig": {"NetworkMode": "host"}, "NetworkSettings": {}}`, siteID)
	})
	server := &http.Server{Handler: mux}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) }) // ends with Close
	t.Cleanup(func() { server.Close(); serving.Wait() })
}

// flags are those that register the site's port of a protocol.
func (s *site) flags(protocol string, more ...string) []string {
	return append([]string{"--port", s.port + protocol, "--etcd", s.etcd, "--ip", "203.0.113.7", "--docker", s.docker}, more...)
}

// run starts a command, registered by the port and these flags.
func (s *site) run(protocol string, flags []string, command ...string) *instance {
	s.t.Helper()
	return s.how.sidekick(s.t, slices.Concat([]string{"run"}, s.flags(protocol, flags...), []string{"--"}, command)...)
}

func (s *site) app() []string {
	return []string{filepath.Join(bin, "app"), "-listen", "127.0.0.1:" + s.port, "-etcd", s.etcd, "-refuse", "2"}
}

// told is when the app printed the word.
func (i *instance) told(word string) time.Time {
	i.t.Helper()
	var micros int64
	eventually(i.t, "the app prints "+word, func() bool {
		for _, match := range stamps.FindAllStringSubmatch(i.out(), -1) {
			if match[1] == word {
				micros, _ = strconv.ParseInt(match[2], 10, 64)
			}
		}
		return micros != 0
	})
	return time.UnixMicro(micros)
}

// The key is there after the first good answer; TERM reaches the command when
// the key is gone and the drain is over.
func TestCommandRegistered(t *testing.T) {
	s := newSite(t)
	const drain = 300 * time.Millisecond
	i := s.run("", []string{"--check", "http:/", "--drain", drain.String()}, s.app()...)
	put := s.watch.WaitPut(0, patience, s.key)
	if answered := i.told("ANSWERS"); put.At.Before(answered) {
		t.Errorf("the key was put %v before the first good answer", answered.Sub(put.At))
	}
	sent := time.Now()
	i.signal(unix.SIGTERM)
	s.watch.WaitDelete(put.Revision, patience, s.key)
	if told := i.told("TERM"); told.Sub(sent) < drain {
		t.Errorf("TERM reached the command after %v", told.Sub(sent))
	}
	i.says("TERM finds 0 keys")
	if code := i.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.only()
}

// The second signal goes at once, in place of the first, which does not come
// later either.
func TestSecondSignalDoesNotWaitForDrain(t *testing.T) {
	path := signals(t)
	s := newSite(t)
	const drain = 8 * time.Second // longer than what comes next, on any machine
	i := s.run("/udp", []string{"--drain", drain.String()}, path)
	i.says("ready\n")
	put := s.watch.WaitPut(0, patience, s.key)
	sent := time.Now()
	i.signal(unix.SIGTERM)
	s.watch.WaitDelete(put.Revision, patience, s.key)
	i.signal(unix.SIGHUP) // not about the end
	i.says("ready\n1\n")
	i.signal(unix.SIGINT)
	i.says("ready\n1\n2\n")
	i.signal(unix.SIGTERM)
	i.says("ready\n1\n2\n15\n")
	eventually(t, "the drain is over", func() bool { return time.Since(sent) > drain+time.Second })
	i.signal(unix.SIGHUP)
	i.says("ready\n1\n2\n15\n1\n")
	if err := unix.Kill(i.command(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := i.exit(); code != 137 {
		t.Errorf("exit code %d", code)
	}
}

// A command that ends takes its key with it, and drain is not waited for: also
// when a signal was waiting.
func TestCommandEndTakesItsKey(t *testing.T) {
	for name, first := range map[string]unix.Signal{"by itself": 0, "while a signal waits": unix.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			i := s.run("/udp", []string{"--drain", "1h"}, "sh", "-c", "trap 'exit 7' USR1; echo ready; while :; do sleep 0.01; done")
			i.says("ready")
			put := s.watch.WaitPut(0, patience, s.key)
			if first != 0 {
				i.signal(first)
				s.watch.WaitDelete(put.Revision, patience, s.key)
			}
			i.signal(unix.SIGUSR1)
			if code := i.exit(); code != 7 {
				t.Errorf("exit code %d", code)
			}
			s.only()
		})
	}
}

// Without an answer of etcd the command starts and stops within a second each.
func TestCommandWithoutEtcd(t *testing.T) {
	s := newSite(t)
	s.etcd = "http://" + silent(t, "tcp", "127.0.0.1:0").String()
	begun := time.Now()
	i := s.run("/udp", []string{"--drain", "1h"}, "sh", "-c", "trap 'exit 4' TERM; echo ready; while :; do sleep 0.01; done")
	i.says("ready")
	i.signal(unix.SIGTERM)
	if code := i.exit(); code != 4 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(begun); took > 2*time.Second+slack {
		t.Errorf("it all took %v", took)
	}
}

// other is an application that sidekick has not started.
func (s *site) other(t *testing.T) (kill func()) {
	t.Helper()
	argv := s.app()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	return kill
}

// `sidekick register` follows a process of somebody else's, and lives on when
// nobody reads its log.
func TestRegister(t *testing.T) {
	s := newSite(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.out = w
	i := s.how.sidekick(t, slices.Concat([]string{"register"}, s.flags("", "--check", "http"))...)
	w.Close()
	kill := s.other(t)
	put := s.watch.WaitPut(0, patience, s.key)
	r.Close() // nobody reads its log from here on
	kill()
	s.watch.WaitDelete(put.Revision, patience, s.key)
	i.signal(unix.SIGTERM)
	if code := i.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// At its end it takes the key along and leaves the application alone.
func TestRegisterTakesTheKeyAlong(t *testing.T) {
	s := newSite(t)
	s.other(t)
	i := s.how.sidekick(t, slices.Concat([]string{"register"}, s.flags("", "--key", "/teams/a/"))...)
	key := "/teams/a/203.0.113.7:" + s.port
	put := s.watch.WaitPut(0, patience, key)
	i.signal(unix.SIGTERM)
	if code := i.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.watch.WaitDelete(put.Revision, patience, key)
	s.only()
	if response, err := http.Get("http://127.0.0.1:" + s.port); err != nil {
		t.Errorf("the application is gone: %v", err)
	} else {
		response.Body.Close()
	}
}

func TestRegisterEnds(t *testing.T) {
	t.Parallel()
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGHUP} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			t.Parallel()
			i := how{}.sidekick(t, "register", "--port", "9/udp", "--etcd", "http://127.0.0.1:1")
			i.logs("not registered")
			i.signal(sig)
			if code := i.exit(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}
