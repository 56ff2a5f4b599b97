package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/registrar/etcd/etcdtest"
)

// container is one that runs sidekick.
type container struct {
	*world
	id, name string
	logsOf   *exec.Cmd // docker logs -f

	mu     sync.Mutex
	stdout bytes.Buffer
	stderr bytes.Buffer
}

// run starts `sidekick run` with the file's text, in which ${ETCD} and ${IP}
// are what their names say, in a container with these options of docker run.
func (w *world) run(file string, options ...string) *container {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "sidekick.yaml")
	if err := os.WriteFile(path, []byte(file), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return w.start(append(options, "-v", path+":/etc/sidekick.yaml:ro", "-e", "ETCD="+w.etcd, "-e", "IP="+w.host))
}

// start runs a container of the image; command replaces what the image runs.
func (w *world) start(options []string, command ...string) *container {
	w.t.Helper()
	c := &container{world: w, name: fmt.Sprintf("sidekick-e2e-%d-%x", os.Getpid(), rand.Uint64())}
	args := []string{"run", "-d", "--label", label}
	if !slices.Contains(options, "--name") {
		args = append(args, "--name", c.name)
	}
	args = append(args, options...)
	if len(command) > 0 {
		args = append(args, "--entrypoint", command[0], image.name)
		args = append(args, command[1:]...)
	} else {
		args = append(args, image.name)
	}
	if i := slices.Index(options, "--name"); i >= 0 {
		c.name = options[i+1]
	}
	w.t.Cleanup(c.cleanup) // before it is made: a failed docker run leaves one too
	c.id = docker(w.t, args...)
	c.follow()
	return c
}

// again starts a container that has ended; what it printed before is forgotten.
func (c *container) again() {
	c.t.Helper()
	ended := c.inspect("{{.State.FinishedAt}}")
	docker(c.t, "start", c.name)
	c.mu.Lock()
	c.stdout.Reset()
	c.stderr.Reset()
	c.mu.Unlock()
	c.follow("--since", ended)
}

// follow reads what the container prints.
func (c *container) follow(options ...string) {
	c.t.Helper()
	c.logsOf = exec.Command("docker", append(append([]string{"logs", "-f"}, options...), c.name)...)
	c.logsOf.Stdout, c.logsOf.Stderr = locked{&c.mu, &c.stdout}, locked{&c.mu, &c.stderr}
	if err := c.logsOf.Start(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *container) cleanup() {
	dockerCode(c.t, "rm", "-f", "-v", c.name) // it may not exist
	if c.logsOf != nil {
		_ = c.logsOf.Wait() // ends with the container, if it has not been waited for
	}
	if c.t.Failed() {
		c.t.Logf("container %s\nstdout:\n%s\nstderr:\n%s", c.name, c.out(), c.log())
	}
}

func (c *container) out() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stdout.String()
}

func (c *container) log() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stderr.String()
}

// says waits until the programs have printed the text.
func (c *container) says(text string) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("%s prints %q", c.name, text), func() bool { return strings.Contains(c.out(), text) })
}

// logs waits until sidekick has logged the text.
func (c *container) logs(text string) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("%s logs %q", c.name, text), func() bool { return strings.Contains(c.log(), text) })
}

var stamps = regexp.MustCompile(`(BEGAN|ANSWERS|TERM) (\d+)`)

// stamp waits for the app to print the word for the nth time, from 0, and
// returns when that was.
func (c *container) stamp(word string, n int) time.Time {
	c.t.Helper()
	var times []time.Time
	eventually(c.t, fmt.Sprintf("%s prints %s, %d times before", c.name, word, n), func() bool {
		times = nil
		for _, match := range stamps.FindAllStringSubmatch(c.out(), -1) {
			if micros, err := strconv.ParseInt(match[2], 10, 64); err == nil && match[1] == word {
				times = append(times, time.UnixMicro(micros))
			}
		}
		return len(times) > n
	})
	return times[n]
}

func (c *container) inspect(format string) string {
	c.t.Helper()
	return docker(c.t, "inspect", "--type", "container", "--format", format, c.name)
}

// published is the address under which clients outside reach port 8000, as
// `docker port` tells it.
func (c *container) published() string {
	c.t.Helper()
	for line := range strings.Lines(docker(c.t, "port", c.name, "8000/tcp")) {
		ip, port, err := net.SplitHostPort(strings.TrimSpace(line))
		if err == nil && net.ParseIP(ip).To4() != nil {
			return net.JoinHostPort(c.host, port)
		}
	}
	c.t.Fatalf("%s publishes no port 8000 over IPv4", c.name)
	return ""
}

// key is the key that published must have.
func (c *container) key() string {
	c.t.Helper()
	return "/service/" + c.published()
}

// registered waits for the key and returns its put, and fails if that came
// before the app's first answer of this life of the app, counted from 0.
func (c *container) registered(key string, after int64, life int) etcdtest.Event {
	c.t.Helper()
	put := c.watch.WaitPut(after, patience, key)
	if answered := c.stamp("ANSWERS", life); put.At.Before(answered) {
		c.t.Errorf("%s was put %v before the app answered", key, answered.Sub(put.At))
	}
	return put
}

// goodbye fails the test unless the key was gone when the app was told to
// stop, for the nth time from 0: the app has looked.
func (c *container) goodbye(key string, after int64, n int) etcdtest.Event {
	c.t.Helper()
	gone := c.watch.WaitDelete(after, patience, key)
	eventually(c.t, c.name+" finds no key at its TERM", func() bool { return strings.Count(c.out(), "TERM finds 0 keys") > n })
	return gone
}

// sidekick runs a client command in the container, without any flag of
// sidekick's.
func (c *container) sidekick(args ...string) (stdout, stderr string, code int) {
	c.t.Helper()
	return dockerCode(c.t, append([]string{"exec", c.name, "sidekick"}, args...)...)
}

func (c *container) status() program {
	c.t.Helper()
	out, errs, _ := c.sidekick("status", "web", "-o", "json")
	var all []program
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
		c.t.Fatalf("status: %v\n%s%s", err, out, errs)
	}
	return all[0]
}

// table waits until `sidekick status` ends with this exit code and shows all of
// these words: whatever the test has seen of their cause, sidekick may be about
// to write it down.
func (c *container) table(code int, words ...string) {
	c.t.Helper()
	var stdout, stderr string
	defer func() {
		if c.t.Failed() {
			c.t.Logf("status:\n%s%s", stdout, stderr)
		}
	}()
	eventually(c.t, fmt.Sprintf("status ends with %d and shows %q", code, words), func() bool {
		var got int
		stdout, stderr, got = c.sidekick("status")
		return got == code && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(stdout, word) })
	})
}

// init returns the process id of PID 1, as seen from here.
func (c *container) init() int {
	c.t.Helper()
	pid, err := strconv.Atoi(c.inspect("{{.State.Pid}}"))
	if err != nil || pid == 0 {
		c.t.Fatalf("%s does not run", c.name)
	}
	return pid
}

// app returns the app's process id, as seen from here.
func (c *container) app() int {
	c.t.Helper()
	for _, p := range processes(c.init()) {
		if p.command == "app" {
			return p.pid
		}
	}
	c.t.Fatalf("no app runs in %s", c.name)
	return 0
}

// signal sends sig to the app, not to sidekick.
func (c *container) signal(sig syscall.Signal) time.Time {
	c.t.Helper()
	pid := c.app()
	sent := time.Now()
	if err := unix.Kill(pid, sig); err != nil {
		c.t.Fatal(err)
	}
	return sent
}

// stop is `docker stop`, which must end in time and with exit code 0.
func (c *container) stop() {
	c.t.Helper()
	begun := time.Now()
	docker(c.t, "stop", c.name)
	took := time.Since(begun)
	c.t.Logf("docker stop took %v", took)
	if took > 8*time.Second {
		c.t.Errorf("docker stop took %v, near the 10 s after which Docker kills", took)
	}
	c.ended(0)
}

// ended waits for the end, and until everything that was printed is here.
func (c *container) ended(code int) {
	c.t.Helper()
	if got := docker(c.t, "wait", c.name); got != strconv.Itoa(code) {
		c.t.Errorf("%s: exit code %s, want %d", c.name, got, code)
	}
	_ = c.logsOf.Wait() // ends with the container
}
