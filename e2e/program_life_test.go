package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// With notify a program is RUNNING at READY=1 and not before, also as another
// user.
func TestNotify(t *testing.T) {
	t.Parallel()
	needRoot(t)
	i := runPlain(t, `
x-app: &app {command: ["${ACTOR}", say, "wait:${DIR}/go", "READY=1", hang], notify: true, min_uptime: 0s}
programs:
  web: {<<: *app}
  user: {<<: *app, user: "54321:54321", working_dir: /}
  after: {command: [sh, -c, 'echo after; sleep 1000'], depends_on: [web]}
  late: {<<: *app, command: ["${ACTOR}", say, hang], start_timeout: 300ms, restart: on-failure:1, essential: false, backoff: {initial: 10ms}}
  leaves: {<<: *app, command: ["${ACTOR}", say, READY=1, STOPPING=1, "wait:${DIR}/go", hang], essential: false}
`, "HOME=/")
	bare(t, i.dir)
	i.reaches("web", "STARTING")
	i.reaches("leaves", "RUNNING")
	i.reaches("late", "FATAL")
	if got := i.status("late"); got.Restarts != 1 || !strings.Contains(got.Reason, "READY=1") {
		t.Errorf("late is %+v", got)
	}
	for name, want := range map[string]string{"web": "STARTING", "user": "STARTING", "after": "STOPPED", "leaves": "RUNNING"} {
		if got := i.status(name); got.State != want {
			t.Errorf("%s is %+v, want %s", name, got, want)
		}
	}
	i.write("go", "")
	i.allAlive("web", "user", "after")
	i.says("| after")
	i.stops()
}

// bare lets other users into a folder of t.TempDir.
func bare(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
}

// A fed watchdog is healthy, a starved one is not, and on_failure: restart acts
// on it every time.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	i := runPlain(t, `
programs:
  fed:
    command: ["${ACTOR}", say, READY=1, "every:20ms:WATCHDOG=1:${DIR}/sidekick.yaml"]
    notify: true
    watchdog: 10s
  hungry:
    command: ["${ACTOR}", say, READY=1, hang]
    notify: true
    watchdog: 200ms
    essential: false
  acted-on:
    command: ["${ACTOR}", say, READY=1, hang]
    notify: true
    watchdog: 100ms
    healthcheck: {on_failure: restart}
    backoff: {initial: 10ms, max: 10ms}
  waits: {command: sleep 1000, min_uptime: 0s, depends_on: {fed: healthy}}
`)
	i.reaches("hungry", "RUNNING")
	health := func(name, want string) {
		t.Helper()
		eventually(t, name+" is "+want, func() bool {
			h := i.status(name).Health
			return h != nil && h.Status == want
		})
	}
	health("fed", "healthy")
	health("hungry", "unhealthy")
	if got := i.status("hungry"); !strings.Contains(got.Health.Output, "no WATCHDOG=1 for 200ms") {
		t.Errorf("hungry: %+v", got.Health)
	}
	pid := i.status("fed").Pid
	env := environ(t, pid)
	if !slices.Contains(env, "WATCHDOG_USEC=10000000") {
		t.Errorf("no WATCHDOG_USEC in %q", env)
	}
	if !slices.ContainsFunc(env, func(s string) bool { return strings.HasPrefix(s, "NOTIFY_SOCKET=@") }) {
		t.Errorf("no NOTIFY_SOCKET in %q", env)
	}
	eventually(t, "acted-on is restarted again and again", func() bool { return i.status("acted-on").Restarts >= 3 })
	i.alive("waits")
	if got := i.status("fed"); got.Health.Status != "healthy" || got.Restarts != 0 {
		t.Errorf("fed is %+v", got)
	}
	i.stops()
}

// Copies have names and ${REPLICA} of their own; the name in the file
// addresses all of them.
func TestReplicas(t *testing.T) {
	t.Parallel()
	i := runPlain(t, `
programs:
  web:
    replicas: 3
    command: [sh, -c, 'echo copy ${REPLICA} of $N; exec sleep 1000']
    environment: {N: "n${REPLICA}"}
    min_uptime: 0s
  one: {command: sleep 1000, min_uptime: 0s}
`)
	for n := range 3 {
		i.says(fmt.Sprintf("web-%d | copy %d of n%d", n, n, n))
	}
	i.allAlive()
	before := i.statuses("web")
	if len(before) != 3 {
		t.Fatalf("web is %+v", before)
	}
	one := i.alive("one")
	if _, errs, code := i.sidekick("restart", "web"); code != 0 {
		t.Fatal(errs)
	}
	for n, p := range i.statuses("web") {
		if p.State != "RUNNING" || p.Pid == before[n].Pid {
			t.Errorf("after restart web: %+v, was %+v", p, before[n])
		}
	}
	if _, errs, code := i.sidekick("stop", "web"); code != 0 {
		t.Fatal(errs)
	}
	for _, p := range i.statuses("web") {
		if p.State != "STOPPED" {
			t.Errorf("after stop web: %+v", p)
		}
	}
	if _, errs, code := i.sidekick("start", "web-1"); code != 0 {
		t.Fatal(errs)
	}
	var states []string
	for _, p := range i.statuses() {
		states = append(states, p.Name+" "+p.State)
	}
	if want := []string{"web-0 STOPPED", "web-1 RUNNING", "web-2 STOPPED", "one RUNNING"}; !slices.Equal(states, want) {
		t.Errorf("%q, want %q", states, want)
	}
	if got := i.status("one").Pid; got != one {
		t.Errorf("one is pid %d, was %d", got, one)
	}
	i.stops()
}

// Programs of other files are programs like any other, with paths of their own.
func TestInclude(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "conf.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "conf.d/a.yaml", "programs: {a: {command: [sh, -c, 'pwd; echo $E; sleep 1000'], working_dir: ., env_file: [a.env], min_uptime: 0s}}")
	write(t, dir, "conf.d/a.env", "E=of-a\n")
	file := "include: [" + dir + "/conf.d/*.yaml]\nprograms: {main: {command: sleep 1000, min_uptime: 0s, depends_on: [a]}}"
	i := runPlain(t, file)
	i.says("a    | " + dir + "/conf.d")
	i.says("a    | of-a")
	pid := i.alive("main")
	write(t, dir, "conf.d/b.yaml", "programs: {b: {command: sleep 1000, min_uptime: 0s}}")
	i.signal(unix.SIGHUP)
	i.reaches("main", "RUNNING")
	eventually(t, "b is there", func() bool { return len(i.statuses()) == 3 })
	i.alive("b")
	write(t, dir, "conf.d/c.yaml", "programs: {b: {command: sleep 1}}")
	_, errs, code := i.sidekick("reload")
	if code != 1 || !strings.Contains(errs, dir+"/conf.d/c.yaml:1:12: ") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if got := i.status("main").Pid; got != pid {
		t.Errorf("main is pid %d, was %d", got, pid)
	}
	i.stops()
}

// A sidekick without privileges supervises as any other.
func TestSidekickWithoutPrivileges(t *testing.T) {
	t.Parallel()
	i := how{uid: 54321, cwd: "/"}.launch(t, `
programs:
  web: {command: [sh, -c, 'echo "I am $(id -u)"; exec sleep 1000'], min_uptime: 0s, healthcheck: {exec: "true", interval: 100ms}}
`)
	i.says("web | I am 54321")
	pid := i.alive("web")
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "web is back", func() bool { s := i.status("web"); return s.State == "RUNNING" && s.Pid != pid })
	var all []map[string]any
	if err := json.Unmarshal([]byte(i.get("/v1/programs")), &all); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	begun := time.Now()
	i.stops()
	if took := time.Since(begun); took > slack { // the grace is 5 s
		t.Errorf("the stop took %v", took)
	}
}
