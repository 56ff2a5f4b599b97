package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sidekick/control"
	"sidekick/events"
	"sidekick/procstat"
)

var startedAt = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// shown is one program of each kind.
func shown() []control.Program {
	return []control.Program{
		{Name: "db", Group: "db", State: "RUNNING", Want: "up", Pid: 12, UptimeSeconds: 3723.9, Restarts: 2,
			Health: &control.Health{Status: "healthy", Output: "connected"}, Stats: &procstat.Stat{CPUPercent: 12.34, CPUSeconds: 50, MemoryBytes: 3 << 19, Threads: 7, FDs: 9, Started: startedAt},
			Registrations: []control.Registration{{Address: "10.0.0.1:80"}, {Address: "10.0.0.1:81"}, {Address: "10.0.0.1:81"}, {Reason: "no etcd answers"}, {Reason: "no etcd answers"}}},
		{Name: "job", Group: "job", State: "EXITED", Want: "up", Completed: true, Reason: "exit code 0"},
		{Name: "web-0", Group: "web", State: "RUNNING", Want: "up", Pid: 13, Health: &control.Health{Status: "unhealthy", Output: "refused\x1b[2J\ntwice"}},
		{Name: "web-1", Group: "web", State: "FATAL", Want: "up", Reason: "exit code 3", Registrations: []control.Registration{{Reason: "the program is FATAL"}}},
	}
}

func TestStatusTable(t *testing.T) {
	var out strings.Builder
	err := printStatus(&out, shown(), "table", false)
	const want = `NAME   STATE               PID  UPTIME  RESTARTS  HEALTH     CPU    MEMORY  REGISTERED               REASON
db     RUNNING             12   1h2m    2         healthy    12.3%  1.5MiB  10.0.0.1:80,10.0.0.1:81  not registered: no etcd answers
job    EXITED (completed)  -    -       0         -          -      -       -
web-0  RUNNING             13   0s      0         unhealthy  -      -       -                        refused [2J twice
web-1  FATAL               -    -       0         -          -      -       -                        exit code 3
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	if e, ok := errors.AsType[*exitError](err); !ok || e.code != exitNotOK || e.err != nil {
		t.Errorf("%v; want exit code %d without a word", err, exitNotOK)
	}
}

func TestStatusWide(t *testing.T) {
	var out strings.Builder
	_ = printStatus(&out, shown()[:1], "wide", false)
	for _, want := range []string{"THREADS  FDS  STARTED", "7        9    " + startedAt.Local().Format(time.DateTime)} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

// Colours change no column.
func TestStatusColours(t *testing.T) {
	var with, without strings.Builder
	_ = printStatus(&with, shown(), "table", true)
	_ = printStatus(&without, shown(), "table", false)
	if !strings.Contains(with.String(), "\x1b["+green+"mRUNNING\x1b[0m") {
		t.Errorf("no colour in\n%q", with.String())
	}
	if got := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(with.String(), ""); got != without.String() {
		t.Errorf("got\n%s\nwant\n%s", got, without.String())
	}
}

func TestStatusDetails(t *testing.T) {
	var out strings.Builder
	p := shown()[0]
	p.Drained, p.Signal = true, "SIGKILL"
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	p.History = []events.Event{{Time: at, From: "STARTING", To: "RUNNING"}, {Time: at, From: "RUNNING", To: "BACKOFF", Reason: "exit status 1"}}
	printDetails(&out, p, false)
	for _, want := range []string{"pid         12, up 1h2m", "last end    SIGKILL", "drained     by command", "health      healthy", "connected",
		"not registered: no etcd answers", "memory 1.5MiB", at.Local().Format(time.DateTime) + "  RUNNING   BACKOFF  exit status 1"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
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
			if err := printStatus(new(strings.Builder), []control.Program{c.program}, output, false); (err == nil) != c.fine {
				t.Errorf("%s, %s: %v", name, output, err)
			}
		}
	}
}

func TestStatusJSON(t *testing.T) {
	var out strings.Builder
	_ = printStatus(&out, shown(), "json", true)
	var back []control.Program
	if err := json.Unmarshal([]byte(out.String()), &back); err != nil || len(back) != 4 || back[0].Registrations[1].Address != "10.0.0.1:81" {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// A name is a program's, or the group's of its replicas, or all, or a pattern;
// one that is nobody's is an error.
func TestChoose(t *testing.T) {
	for _, c := range []struct {
		given, want []string
		code        int
	}{
		{nil, []string{"db", "job", "web-0", "web-1"}, 0},
		{[]string{"web"}, []string{"web-0", "web-1"}, 0},
		{[]string{"web-1"}, []string{"web-1"}, 0},
		{[]string{"web-1", "web", "db"}, []string{"db", "web-0", "web-1"}, 0},
		{[]string{"all"}, []string{"db", "job", "web-0", "web-1"}, 0},
		{[]string{"db", "db"}, []string{"db"}, 0},
		{[]string{"web-*"}, []string{"web-0", "web-1"}, 0},
		{[]string{"w?b"}, []string{"web-0", "web-1"}, 0}, // the group's name
		{[]string{"*"}, []string{"db", "job", "web-0", "web-1"}, 0},
		{[]string{"*[^0-9]"}, []string{"db", "job", "web-0", "web-1"}, 0},
		{[]string{"*-[0-9]"}, []string{"web-0", "web-1"}, 0},
		{[]string{"db", "we"}, nil, exitFailed},
		{[]string{"x*", "db"}, nil, exitFailed},
		{[]string{"[a"}, nil, exitUsage},
	} {
		got, err := choose(shown(), c.given)
		code := 0
		if e, ok := errors.AsType[*exitError](err); ok {
			code = e.code
		}
		if code != c.code || err == nil && !slices.Equal(programNames(got), c.want) {
			t.Errorf("%q means %v, %v", c.given, programNames(got), err)
		}
	}
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

// Who may not ask is told who may.
func TestForbidden(t *testing.T) {
	folder := t.TempDir()
	denied := fmt.Errorf("%w: connect: %w", control.ErrNobodyAnswers, syscall.EACCES)
	if e, ok := errors.AsType[*exitError](clientError(denied)); !ok || e.code != exitNobody || e.hint != asWhom {
		t.Errorf("got %+v", e)
	}
	_, absent := control.Dial([]string{folder + "/a", folder + "/b"})
	if e, ok := errors.AsType[*exitError](clientError(absent)); !ok || !errors.Is(absent, fs.ErrNotExist) || e.code != exitNobody || e.hint == asWhom ||
		strings.Count(absent.Error(), ": no such file or directory") != 2 {
		t.Errorf("got %+v of %v", e, absent)
	}
	e, ok := errors.AsType[*exitError](clientError(&control.Error{Code: "forbidden", Message: "no"}))
	if !ok || e.code != exitFailed || !strings.Contains(e.hint, "docker exec -u USER") {
		t.Errorf("got %+v", e)
	}
}
