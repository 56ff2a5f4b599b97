package main

import (
	"context"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"sidekick/hub"
)

// screen is an output that is read while it is written.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await polls until the screen matches, and returns the match.
func (s *screen) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); {
		if m := re.FindStringSubmatch(s.String()); m != nil {
			return m
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%q never appeared in:\n%s", pattern, s)
	return nil
}

// command is one that runs until its test stops it.
type command struct {
	out, err screen
	stop     context.CancelFunc
	code     chan int
}

func run(t *testing.T, args ...string) *command {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	c := &command{stop: stop, code: make(chan int, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.code <- execute(ctx, args, &c.out, &c.err)
	}()
	t.Cleanup(func() { stop(); <-done })
	return c
}

// ends waits for the exit code.
func (c *command) ends(t *testing.T, want int) {
	t.Helper()
	select {
	case got := <-c.code:
		if got != want {
			t.Fatalf("exit code %d, want %d\n%s%s", got, want, &c.out, &c.err)
		}
	case <-time.After(15 * time.Second):
		t.Fatalf("it did not end\n%s%s", &c.out, &c.err)
	}
}

func TestServeShowsServicesUntilItIsStopped(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	server := run(t, "serve", "--listen-client-urls", "http://127.0.0.1:0")
	url := server.err.await(t, `ready at (http://127.0.0.1:\d+)\n`)[1]
	server.err.await(t, "its data is not kept")
	server.out.await(t, "^no services\n")

	table := run(t, "services", "--etcd", url, "--watch")
	table.out.await(t, "no services\n")
	lines := run(t, "services", "--etcd", url, "--watch", "-o", "json")

	client, err := hub.Dial([]string{url})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Put(t.Context(), "/service/10.0.0.1:8000", "running"); err != nil {
		t.Fatal(err)
	}
	const change = `\d\d:\d\d:\d\d\.\d{3} \+ /service/10.0.0.1:8000 running\n`
	server.out.await(t, change)
	table.out.await(t, change)
	lines.out.await(t, `"key":"/service/10.0.0.1:8000"`)

	list := run(t, "services", "--etcd", url)
	list.ends(t, 0)
	list.out.await(t, `(?m)^/service +10.0.0.1:8000 +running +no lease`)
	list = run(t, "services", "--etcd", url, "-o", "json")
	list.ends(t, 0)
	list.out.await(t, `"address": "10.0.0.1:8000"`)

	if _, err := client.Delete(t.Context(), "/service/10.0.0.1:8000"); err != nil {
		t.Fatal(err)
	}
	server.out.await(t, ` - /service/10.0.0.1:8000\n`)
	for _, c := range []*command{table, lines, server} {
		c.stop()
		c.ends(t, 0)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestServeKeepsItsData(t *testing.T) {
	dir := t.TempDir() + "/data"
	server := run(t, "serve", "--data", dir, "--listen-client-urls", "http://127.0.0.1:0")
	server.err.await(t, "its data is kept in "+regexp.QuoteMeta(dir))
	second := run(t, "serve", "--data", dir, "--listen-client-urls", "http://127.0.0.1:0")
	second.ends(t, exitFailed)
	second.err.await(t, "another etcd is using it\ntry: ")
	server.stop()
	server.ends(t, 0)
	if _, err := os.Stat(dir + "/member"); err != nil {
		t.Error(err)
	}
}

func TestErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() }) // after the parallel cases
	tests := []struct {
		name string
		args []string
		code int
		text string
	}{
		{"port taken", []string{"serve", "--listen-client-urls", "http://" + taken.Addr().String()}, exitFailed, "already in use"},
		{"data below a file", []string{"serve", "--data", "main.go/data", "--listen-client-urls", "http://127.0.0.1:0"}, exitFailed, "not a directory"},
		{"a URL to listen on that is none", []string{"serve", "--listen-client-urls", "2379"}, exitUsage, "cannot listen on"},
		{"an etcd URL that is none", []string{"services", "--etcd", "10.1.0.101"}, exitUsage, "has to look like"},
		{"nobody answers", []string{"services", "--etcd", "http://127.0.0.1:1"}, exitFailed, "no answer in time"},
		{"unknown output", []string{"services", "-o", "xml"}, exitUsage, `"xml"`},
		{"unknown flag", []string{"services", "--wach"}, exitUsage, "--wach"},
		{"unknown command", []string{"server"}, exitUsage, `"server"`},
		{"too many arguments", []string{"serve", "now"}, exitUsage, `"now"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := run(t, tt.args...)
			c.ends(t, tt.code)
			c.err.await(t, "^error: .*"+regexp.QuoteMeta(tt.text)+".*\ntry: ")
		})
	}
}

func TestVersionAndHelp(t *testing.T) {
	c := run(t, "version")
	c.ends(t, 0)
	c.out.await(t, "^sidekick-hub "+version+"\n$")
	c = run(t)
	c.ends(t, 0)
	c.out.await(t, `services +List the services`)
}
