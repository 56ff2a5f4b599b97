package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseLine(t *testing.T) {
	arrived := time.Date(2031, 1, 1, 0, 0, 1, 0, time.UTC)
	logged := time.Date(2031, 1, 1, 0, 0, 0, 123_456_789, time.UTC)
	const stamp = `{"time":"2031-01-01T00:00:00.123456789Z",`
	tests := []struct {
		line string
		want event
	}{
		{
			stamp + `"level":"INFO","msg":"program state","program":"web","from":"STARTING","to":"RUNNING","pid":123}`,
			event{at: logged, kind: programState, process: "p", level: "INFO", program: "web", from: "STARTING", to: "RUNNING", pid: 123},
		},
		{
			stamp + `"level":"INFO","msg":"program health","program":"web","status":"healthy","output":"200 OK"}`,
			event{at: logged, kind: programHealth, process: "p", level: "INFO", program: "web", to: "healthy", reason: "200 OK"},
		},
		{
			stamp + `"level":"WARN","msg":"not registered","program":"web","reason":"no mapping"}`,
			event{at: logged, kind: logMessage, process: "p", level: "WARN", program: "web", reason: "no mapping", text: "not registered: web: no mapping"},
		},
		{`web | {"not": "ours"}`, event{at: arrived, kind: outputLine, process: "p", text: `web | {"not": "ours"}`}},
		{`{"msg":""}`, event{at: arrived, kind: outputLine, process: "p", text: `{"msg":""}`}},
		{`{broken`, event{at: arrived, kind: outputLine, process: "p", text: `{broken`}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, parseLine("p", tt.line, arrived), cmp.AllowUnexported(event{})); diff != "" {
			t.Errorf("%s: %s", tt.line, diff)
		}
	}
}

func TestDemoSeconds(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "5": 5 * time.Second, "0.5": 500 * time.Millisecond} {
		if got, err := demoSeconds(text); got != want || err != nil {
			t.Errorf("demoSeconds(%q) = %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"0", "-1", "soon", "5s", "NaN", "Inf", "1e9"} {
		if got, err := demoSeconds(text); err == nil {
			t.Errorf("demoSeconds(%q) = %s", text, got)
		}
	}
}

// The events of etcd and of sidekick overtake each other: a step finds its
// event among those that came before it was asked for, and never among those
// of an earlier act.
func TestAwaitLooksBackButNotTooFar(t *testing.T) {
	var out bytes.Buffer
	d := &director{narrator: &narrator{out: &out, began: time.Now()}, events: make(chan event, 2), signals: make(chan os.Signal)}
	d.record(event{kind: keyAppeared, key: "old"})
	from := len(d.history)
	d.record(event{kind: keyVanished, key: "early"})
	d.events <- event{kind: keyAppeared, key: "new"}
	d.events <- event{kind: processEnded, process: sidekickName, text: "exit status 3"}
	for k, want := range map[kind]string{keyAppeared: "new", keyVanished: "early"} {
		if e, err := d.await(from, step{what: "a key", match: is(k)}); err != nil || e.key != want {
			t.Errorf("await found %+v, %v, want %s", e, err, want)
		}
	}
	_, err := d.await(from, step{what: "the impossible", match: is(keysListed)})
	if err == nil || !strings.Contains(err.Error(), `"the impossible" did not happen: sidekick ended (exit status 3)`) {
		t.Errorf("after the end of sidekick: %v", err)
	}
}

func TestKillOrphansSparesTheHub(t *testing.T) {
	spared, doomed := exec.Command("sleep", "1000"), exec.Command("sleep", "1000")
	for _, c := range []*exec.Cmd{spared, doomed} {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if n := killOrphans(&process{cmd: spared}); n != 1 {
		t.Errorf("%d killed, want 1", n)
	}
	if got := children(os.Getpid()); !cmp.Equal(got, []int{spared.Process.Pid}) {
		t.Errorf("children %v, want %d", got, spared.Process.Pid)
	}
	if n := killOrphans(nil); n != 1 {
		t.Errorf("%d killed, want 1", n)
	}
}

func TestSpread(t *testing.T) {
	if got := spread([]time.Duration{1500 * time.Microsecond}); got != "1.5 ms" {
		t.Errorf("one: %s", got)
	}
	all := []time.Duration{70 * time.Millisecond, 2 * time.Millisecond, 11600 * time.Microsecond}
	if got := spread(all); got != "2.0 ms to 70 ms, in the middle 12 ms" {
		t.Errorf("three: %s", got)
	}
}
