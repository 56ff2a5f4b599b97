package control

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	diff "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sidekick/config"
	"sidekick/events"
	"sidekick/procstat"
	"sidekick/registrar"
	"sidekick/supervisor"
	"sidekick/supervisor/child"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// call is one request of a peer, and what it shows.
type call struct {
	title        string
	may          access
	method, path string
	body         string
}

// calls are what each route is asked: it succeeds, or the request is wrong in
// one way.
func calls(r route) []call {
	wrong := "DELETE"
	path := example(r)
	all := []call{
		{"success", control, r.method, path, ""},
		{"wrong method", control, wrong, path, ""},
		{"oversize body", control, r.method, path, strings.Repeat("x", maxBody+1)},
		{"body that is no object", control, r.method, path, `{"wait"`},
		{"unknown parameter", control, r.method, withParameter(path, "colour=red"), ""},
		{"peer that may only read", read, r.method, path, ""},
		{"stranger", nothing, r.method, path, ""},
	}
	if strings.Contains(r.pattern, "{name}") {
		all = append(all, call{"unknown name", control, r.method, strings.Replace(path, "/web", "/wbe", 1), ""})
	}
	if r.handle != nil && strings.Contains(r.parameters, "program") {
		all = append(all, call{"unknown name", control, r.method, path + "?program=wbe", ""},
			call{"named in a form", control, r.method, path, "program=web"},
			call{"named in an object", control, r.method, path, `{"program": ["web", "once"], "wait": "1s"}`})
	}
	for name, value := range map[string]string{"wait": "soon", "stats": "perhaps", "follow": "perhaps", "since": "-1", "dry_run": "perhaps", "signal": "SIGNOT", "lines": "-1", "stream": "stdlog"} {
		if slices.Contains(strings.Fields(r.parameters), name) {
			bare, _, _ := strings.Cut(path, "?")
			all = append(all, call{"wrong " + name, control, r.method, bare + "?" + name + "=" + value, ""})
		}
	}
	slices.SortFunc(all[7:], func(a, b call) int { return cmp.Compare(a.title, b.title) })
	return all
}

func withParameter(path, parameter string) string {
	if strings.Contains(path, "?") {
		return path + "&" + parameter
	}
	return path + "?" + parameter
}

// TestAPI compares what every route answers with a golden file, which is also
// what docs/api.md shows. Time stands still in it.
func TestAPI(t *testing.T) {
	var written []string
	nothing := newCollector(t) // out here: its goroutine is none of the bubble's
	for _, r := range routes {
		name := strings.ToLower(r.method) + strings.NewReplacer("/", "_", "{", "", "}", "").Replace(r.pattern) + ".golden"
		written = append(written, name)
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var text strings.Builder
				var success string
				for _, c := range calls(r) {
					server := goldenServer()
					server.logs = nothing
					w := ask(t, server, c.may, c.method, c.path, c.body)
					if w.body.String() == success {
						fmt.Fprintf(&text, "== %s\n\n%d, as above\n\n", c.title, w.status)
						continue
					}
					if c.title == "success" {
						success = w.body.String()
					}
					shown := w.body.String()
					if w.header.Get("Content-Type") == expositionType {
						shown = "# text for Prometheus\n" // testdata/metrics.golden has it
					}
					fmt.Fprintf(&text, "== %s\n%s %s\n", c.title, c.method, c.path)
					if c.body != "" {
						fmt.Fprintf(&text, "%.60s\n", c.body)
					}
					fmt.Fprintf(&text, "\n%d %s\n%s\n", w.status, w.header.Get("Content-Type"), shown)
				}
				golden(t, filepath.Join("testdata/api", name), text.String())
			})
		})
	}
	files, err := fs.Glob(os.DirFS("testdata/api"), "*")
	slices.Sort(written)
	if err != nil || !slices.Equal(files, written) {
		t.Errorf("testdata/api has %v, want %v", files, written)
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if d := diff.Diff(string(want), got); d != "" {
		t.Errorf("%s (-update rewrites it):\n%s", path, d)
	}
}

// goldenServer has one program of each kind.
func goldenServer() *Server {
	now := time.Now()
	web := running("web", 1, supervisor.CheckStatus{Status: supervisor.Unhealthy, Output: "GET /: 503", Since: now.Add(-time.Second)})
	web.Pid, web.Started, web.Restarts = 4711, now.Add(-90*time.Second), 2
	web.Exit, web.Config = &child.Exit{Signal: unix.SIGSEGV}, essential("web-0", "web")
	web.Name = "web"
	once := supervisor.ProgramStatus{Name: "once", State: supervisor.Exited, Want: supervisor.Up, Completed: true,
		Exit: &child.Exit{}, Reason: "exit status 0"}
	f := newFake(web, once)
	f.act = func(action supervisor.Action, name string) (supervisor.Accepted, error) {
		return supervisor.Accepted{Launch: 1}, nil
	}
	r := &fakeRegistrar{}
	r.set(true, registrar.Registration{Program: "web", Port: "8000/tcp", Key: "/service/10.1.0.101:32768",
		Address: "10.1.0.101:32768", Since: now.Add(-time.Minute)})
	journal := events.NewJournal()
	journal.Append(events.Event{Type: events.State, Program: "web", From: "STARTING", To: "RUNNING", Pid: 4711})
	journal.Append(events.Event{Type: events.Registration, Program: "web", From: events.Unregistered, To: events.Registered,
		Key: "/service/10.1.0.101:32768"})
	s := newTestServer(f, r, journal)
	s.trees = func([]int) map[int]procstat.Stat {
		return map[int]procstat.Stat{4711: {CPUPercent: 1.5, CPUSeconds: 1.35, MemoryBytes: 52428800, Threads: 11, FDs: 23, Started: now.Add(-90 * time.Second)}}
	}
	return s
}

func essential(name, group string) *config.Program {
	return &config.Program{Name: name, Group: group, Policy: config.Policy{Essential: true, Autostart: true}}
}
