package main

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"sidekick/control"
	"sidekick/procstat"
)

// shown is one program of each kind.
func shown() []control.Program {
	return []control.Program{
		{Name: "db", Group: "db", State: "RUNNING", Want: "up", Pid: 12, UptimeSeconds: 3723.9, Restarts: 2,
			Health: &control.Health{Status: "healthy", Output: "connected"}, Stats: &procstat.Stat{CPUPercent: 12.34, MemoryBytes: 3 << 19},
			Registrations: []control.Registration{{Address: "10.0.0.1:80"}, {Address: "10.0.0.1:81"}, {Reason: "no etcd answers"}}},
		{Name: "job", Group: "job", State: "EXITED", Want: "up", Completed: true, Reason: "exit code 0"},
		{Name: "web-0", Group: "web", State: "RUNNING", Want: "up", Pid: 13, Health: &control.Health{Status: "unhealthy", Output: "refused"}},
		{Name: "web-1", Group: "web", State: "FATAL", Want: "up", Reason: "exit code 3", Registrations: []control.Registration{{Reason: "the program is FATAL"}}},
	}
}

func TestStatusTable(t *testing.T) {
	var out strings.Builder
	err := printStatus(&out, shown(), "table")
	const want = `NAME   STATE               PID  UPTIME  RESTARTS  HEALTH     CPU    MEMORY  REGISTERED               REASON
db     RUNNING             12   1h2m3s  2         healthy    12.3%  1.5MiB  10.0.0.1:80,10.0.0.1:81  not registered: no etcd answers
job    EXITED (completed)  -    -       0         -          -      -       -                        
web-0  RUNNING             13   0s      0         unhealthy  -      -       -                        refused
web-1  FATAL               -    -       0         -          -      -       -                        exit code 3
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	if e, ok := errors.AsType[*exitError](err); !ok || e.code != exitNotOK || e.err != nil {
		t.Errorf("%v; want exit code %d without a word", err, exitNotOK)
	}
}

func TestStatusExitCode(t *testing.T) {
	for name, c := range map[string]struct {
		program control.Program
		fine    bool
	}{
		"running":       {control.Program{State: "RUNNING"}, true},
		"completed":     {control.Program{State: "EXITED", Completed: true}, true},
		"never started": {control.Program{State: "STOPPED", NeverStarted: true}, true},
		"stopped":       {control.Program{State: "STOPPED"}, false},
		"failed":        {control.Program{State: "EXITED"}, false},
		"backoff":       {control.Program{State: "BACKOFF"}, false},
	} {
		for _, output := range []string{"table", "json"} {
			if err := printStatus(new(strings.Builder), []control.Program{c.program}, output); (err == nil) != c.fine {
				t.Errorf("%s, %s: %v", name, output, err)
			}
		}
	}
}

func TestStatusJSON(t *testing.T) {
	var out strings.Builder
	_ = printStatus(&out, shown(), "json")
	var back []control.Program
	if err := json.Unmarshal([]byte(out.String()), &back); err != nil || len(back) != 4 || back[0].Registrations[1].Address != "10.0.0.1:81" {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func programNames(programs []control.Program) (all []string) {
	for _, p := range programs {
		all = append(all, p.Name)
	}
	return all
}

// A name is a program's, or the group's of its replicas, or all.
func TestNames(t *testing.T) {
	client := serve(t, shown())
	for _, c := range []struct {
		given, want []string
		unknown     bool
	}{
		{nil, []string{"db", "job", "web-0", "web-1"}, false},
		{[]string{"web"}, []string{"web-0", "web-1"}, false},
		{[]string{"web-1"}, []string{"web-1"}, false},
		{[]string{"web-1", "web", "db"}, []string{"db", "web-0", "web-1"}, false},
		{[]string{"all"}, []string{"db", "job", "web-0", "web-1"}, false},
		{[]string{"db", "db"}, []string{"db"}, false},
		{[]string{"db", "we"}, []string{"db", "we"}, true},
	} {
		got, err := selected(shown(), c.given)
		if (err != nil) != c.unknown || err == nil && !slices.Equal(programNames(got), c.want) {
			t.Errorf("status %v shows %v, %v", c.given, programNames(got), err)
		}
		if c.given == nil {
			continue
		}
		if got, err := expand(t.Context(), client, c.given); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("start %v means %v, %v", c.given, got, err)
		}
	}
}

// serve answers a client with these programs.
func serve(t *testing.T, programs []control.Program) *control.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/programs", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(programs) })
	server := &http.Server{Handler: mux}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) }) // ends with Close
	t.Cleanup(func() { server.Close(); serving.Wait() })
	client, err := control.Dial([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestSummary(t *testing.T) {
	for _, c := range []struct {
		program control.Program
		want    string
	}{
		{shown()[0], "RUNNING, pid 12, registered as 10.0.0.1:80, registered as 10.0.0.1:81, not registered: no etcd answers"},
		{shown()[1], "completed"},
		{control.Program{State: "STOPPED", Want: "down", Registrations: []control.Registration{{Reason: "stopped"}}}, "STOPPED"},
	} {
		if got := summary(c.program); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
