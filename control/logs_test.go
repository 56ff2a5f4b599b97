package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sidekick/config"
	"sidekick/logs"
	"sidekick/supervisor"
)

// newCollector writes to a file.
func newCollector(t testing.TB) *logs.Collector {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	c := logs.NewCollector(file, file)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		c.Close(ctx)
	})
	return c
}

// logsServer has the programs web, which is two copies, and quiet; say prints
// lines of one of them and waits until they are read.
func logsServer(t *testing.T) (client *Client, f *fakeSupervisor, say func(program, text string)) {
	t.Helper()
	c := newCollector(t)
	var programs []config.Program
	var statuses []supervisor.ProgramStatus
	for _, name := range []string{"web-0", "web-1", "quiet"} {
		p := config.DefaultProgram(name)
		p.Group, _, _ = strings.Cut(name, "-")
		if p.Launch.Inherit = name == "quiet"; p.Launch.Inherit {
			p.Policy.Logging.To = config.LogInherit
		}
		programs = append(programs, p)
		statuses = append(statuses, supervisor.ProgramStatus{Name: name, Config: &p})
	}
	c.Configure(programs)
	f = newFake(statuses...)
	s := newTestServer(f, &fakeRegistrar{}, nil)
	s.logs = c
	return connect(t, s), f, func(program, text string) {
		stdout, stderr, err := c.Open(program)
		if err != nil {
			t.Fatal(err)
		}
		before := c.Stats()[program].Bytes
		io.WriteString(stdout, text)
		stdout.Close()
		stderr.Close()
		for deadline := time.Now().Add(30 * time.Second); c.Stats()[program].Bytes < before+uint64(len(text)); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the lines are not read")
			}
		}
	}
}

func TestLogs(t *testing.T) {
	client, _, say := logsServer(t)
	say("web-0", "one\n")
	say("web-1", "two \xff\x00\n")
	say("web-0", "three\nfour\n")
	for _, tc := range []struct {
		query LogQuery
		want  string
	}{
		{LogQuery{Lines: -1}, "web-0 one, web-1 two \xff\x00, web-0 three, web-0 four, "},
		{LogQuery{Programs: []string{"web"}, Lines: 1}, "web-1 two \xff\x00, web-0 four, "},
		{LogQuery{Programs: []string{"web-1", "web-0"}, Lines: 2}, "web-1 two \xff\x00, web-0 three, web-0 four, "},
		{LogQuery{Programs: []string{"web-1"}, Lines: -1, Stream: logs.Stderr}, ""},
		{LogQuery{Programs: []string{"web"}, Lines: 0}, ""},
	} {
		var got string
		if err := client.Logs(t.Context(), tc.query, func(l LogLine) error {
			got += fmt.Sprintf("%s %s, ", l.Program, l.Text())
			return nil
		}); err != nil || got != tc.want {
			t.Errorf("%+v: %q, %v; want %q", tc.query, got, err, tc.want)
		}
	}
	for name, code := range map[string]string{"quiet": "not_kept", "web-2": "not_found"} {
		err := client.Logs(t.Context(), LogQuery{Programs: []string{name}}, func(LogLine) error { return nil })
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != code {
			t.Errorf("%s: %v, want %s", name, err, code)
		}
	}
}

// A follower has the past and what comes, and ends in peace with sidekick.
func TestLogsFollow(t *testing.T) {
	client, f, say := logsServer(t)
	say("web-0", "past\n")
	var got string
	err := client.Logs(t.Context(), LogQuery{Programs: []string{"web"}, Lines: -1, Follow: true}, func(l LogLine) error {
		got += l.Line + " "
		switch l.Line {
		case "past":
			go say("web-1", "present\n")
		case "present":
			close(f.done)
		}
		return nil
	})
	if err != nil || got != "past present " {
		t.Errorf("%q, %v", got, err)
	}
}

// A client that stops reading holds nobody up, and is sent away.
func TestLogsFollowerThatStopsReading(t *testing.T) {
	client, _, say := logsServer(t)
	first, release := make(chan struct{}), make(chan struct{})
	failure := make(chan error, 1)
	go func() { // ends when the server has sent it away
		failure <- client.Logs(t.Context(), LogQuery{Programs: []string{"web"}, Lines: -1, Follow: true}, func(l LogLine) error {
			if l.Line == "first" {
				close(first)
				<-release
			}
			return nil
		})
	}()
	say("web-0", "first\n")
	<-first
	lines := strings.Repeat(strings.Repeat("x", 100_000)+"\n", 10)
	for range 10 {
		say("web-0", lines)
	}
	close(release)
	err := <-failure
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != "too_slow" {
		t.Errorf("%v, want too_slow", err)
	}
}

// What programs print is not for everybody who may ask for metrics.
func TestLogsNeedControl(t *testing.T) {
	w := ask(t, newTestServer(newFake(), &fakeRegistrar{}, nil), read, http.MethodGet, "/v1/logs", "")
	if w.status != http.StatusForbidden {
		t.Errorf("%d", w.status)
	}
}
