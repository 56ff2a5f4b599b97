package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const reloadable = `
shutdown_timeout: 8s
programs:
  web: {command: sleep 1000, min_uptime: 0s, environment: {A: 1, B: 2}}
  db: {command: sleep 1000, min_uptime: 0s}
`

// A file that did not change, or only in its words, touches nothing, each time.
func TestReloadWithoutAChangeTouchesNothing(t *testing.T) {
	t.Parallel()
	i := runPlain(t, reloadable)
	before := i.allAlive()
	for n, file := range []string{reloadable, reloadable, `
# the same in other words
programs:
  web: {min_uptime: 0ms, environment: [B=2, A=1], command: [sleep, "1000"], restart: on-failure:10, stop_signal: TERM}
  db: {command: "'sleep' 1000", min_uptime: 0s}
`} {
		i.rewrite(file)
		for _, args := range [][]string{{"reload", "--dry-run"}, {"reload"}, {"reload"}} {
			out, errs, code := i.sidekick(args...)
			if code != 0 || strings.TrimSpace(out) != "nothing differs" {
				t.Errorf("%d: %v: exit code %d, %q, %q", n, args, code, out, errs)
			}
		}
		i.signal(unix.SIGHUP)
	}
	for name, pid := range i.allAlive() {
		if pid != before[name] {
			t.Errorf("%s is pid %d, was %d", name, pid, before[name])
		}
	}
	i.stops()
}

// Every kind of change is seen. The plan says so first and does nothing, the
// reload does it; the pid changes exactly when the process is made anew.
func TestReloadSeesEveryChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "env", "X=1\n")
	base := map[string]string{"command": "sleep 1000", "min_uptime": "0s", "env_file": "[" + dir + "/env]"}
	i := runPlain(t, withKeys(base, "", ""))
	pid := i.alive("web")
	for _, c := range []struct {
		key, value string
		mark       string
	}{
		{"command", "sleep 1001", "~"},
		{"command", `[/bin/sleep, "1000"]`, "~"},
		{"working_dir", "/tmp", "~"},
		{"environment", "{A: 1}", "~"},
		{"env_from_file", "{S: " + dir + "/env}", "~"},
		{"user", "0", "~"},
		{"ulimits", "{core: 0}", "~"},
		{"umask", `"077"`, "~"},
		{"nice", "1", "~"},
		{"oom_score_adj", "7", "~"},
		{"no_new_privileges", "true", "~"},
		{"cap_drop", "[NET_RAW]", "~"},
		{"autostart", "false", "."},
		{"restart", "always", "."},
		{"success_exit_codes", "[0, 3]", "."},
		{"backoff", "{initial: 1s}", "."},
		{"min_uptime", "10ms", "."},
		{"essential", "false", "."},
		{"depends_on", "[db]", "."},
		{"stop_signal", "INT", "."},
		{"stop_grace_period", "1s", "."},
		{"kill_mode", "group", "."},
		{"healthcheck", "{exec: 'true'}", "."},
	} {
		file := withKeys(base, c.key, c.value)
		if c.key == "user" && os.Getuid() != 0 {
			continue
		}
		i.rewrite(file)
		for _, args := range [][]string{{"reload", "--dry-run"}, {"reload"}} {
			out, errs, code := i.sidekick(args...)
			if line := strings.TrimSpace(out); code != 0 || !strings.HasPrefix(line, c.mark+" web ") || !strings.Contains(line, c.key) || strings.Contains(line, "\n") {
				t.Errorf("%s: %s: %v: exit code %d, %q %q", c.key, c.value, args, code, out, errs)
			}
			if args := len(args); args == 2 && i.status("web").Pid != pid {
				t.Errorf("%s: a dry run changed the process", c.key)
			}
		}
		was := pid
		eventually(t, c.key+": the process is as it should be", func() bool {
			s := i.status("web")
			pid = s.Pid
			return s.State == "RUNNING" && (pid != was) == (c.mark == "~")
		})
		i.rewrite(withKeys(base, "", ""))
		if _, errs, code := i.sidekick("reload"); code != 0 {
			t.Fatal(errs)
		}
		was = pid
		eventually(t, c.key+": the process is as it was", func() bool {
			s := i.status("web")
			pid = s.Pid
			return s.State == "RUNNING" && (pid != was) == (c.mark == "~")
		})
	}
	write(t, dir, "env", "X=2\n")
	if out, _, _ := i.sidekick("reload"); !strings.HasPrefix(out, "~ web ") {
		t.Errorf("the contents of env_file changed: %q", out)
	}
	eventually(t, "it was made anew", func() bool { s := i.status("web"); return s.State == "RUNNING" && s.Pid != pid })
	i.stops()
}

// What does not run is not restarted, and the plan says so: what an operator
// stopped, what is completed, what was never started. What failed is.
func TestReloadOfWhatDoesNotRun(t *testing.T) {
	t.Parallel()
	file := func(version string) string {
		return `
programs:
  stopped: {command: sleep 1000` + version + `, min_uptime: 0s}
  completed: {command: [sh, -c, 'exit 0; # ` + version + `'], restart: no}
  never: {command: sleep 1000` + version + `, autostart: false}
  failed: {command: "false` + version + `", restart: no, essential: false}
  steady: {command: sleep 1000, min_uptime: 0s}
`
	}
	i := runPlain(t, file(""))
	i.allAlive("stopped", "steady")
	if _, errs, code := i.sidekick("stop", "stopped"); code != 0 {
		t.Fatal(errs)
	}
	i.reaches("completed", "EXITED")
	i.reaches("failed", "EXITED")
	i.rewrite(file(" 1"))
	const plan = `~ failed (restart: command changed)
. stopped (at its next start: command changed)
. completed (at its next start: command changed)
. never (at its next start: command changed)
`
	for _, args := range [][]string{{"reload", "--dry-run"}, {"reload"}} {
		if out, errs, code := i.sidekick(args...); code != 0 || out != plan {
			t.Errorf("%v: exit code %d, %q %q", args, code, out, errs)
		}
	}
	eventually(t, "failed has failed again", func() bool { return strings.Count(i.log(), "program=failed from=STARTING to=EXITED") == 2 })
	for name, want := range map[string]string{"stopped": "STOPPED", "completed": "EXITED", "never": "STOPPED"} {
		if got := i.status(name).State; got != want {
			t.Errorf("%s is %s", name, got)
		}
	}
	i.stops()
}

// withKeys is a file of web and db, web with one key set otherwise.
func withKeys(base map[string]string, key, value string) string {
	var web strings.Builder
	for _, k := range slices.Sorted(keysOf(base, key)) {
		v := base[k]
		if k == key {
			v = value
		}
		fmt.Fprintf(&web, "    %s: %s\n", k, v)
	}
	return "programs:\n  web:\n" + web.String() + "  db: {command: sleep 1000, min_uptime: 0s}\n"
}

func keysOf(base map[string]string, more string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range base {
			if k != more && !yield(k) {
				return
			}
		}
		if more != "" {
			yield(more)
		}
	}
}

// Added, removed and changed programs in one reload by SIGHUP, with which the
// parts of the file outside the programs go too.
func TestHangupReloads(t *testing.T) {
	t.Parallel()
	i := runPID1(t, reloadable)
	i.allAlive()
	below := processes(i.pid)
	i.rewrite(`
shutdown_timeout: 1s
programs:
  new: {command: [sh, -c, 'trap "" TERM; echo new; while :; do sleep 0.2; done']}
  web: {command: sleep 1000, min_uptime: 0s, environment: {A: 1, B: 2}}
`)
	i.signal(unix.SIGHUP)
	i.says("new | new")
	eventually(t, "db is gone", func() bool { return len(i.statuses()) == 2 })
	if !slices.ContainsFunc(processes(i.pid), func(p process) bool { return slices.Contains(below, p) }) {
		t.Error("web was touched")
	}
	i.logs(`added=[new] removed=[db]`)
	begun := time.Now()
	i.stops()
	if took := time.Since(begun); took > slack { // the grace is 5 s
		t.Errorf("the shutdown took %v with the new shutdown_timeout of 1s", took)
	}
}

// A bad file changes nothing; the client hears each problem with its place.
func TestBadReloadChangesNothing(t *testing.T) {
	t.Parallel()
	i := runPlain(t, reloadable)
	before := i.allAlive()
	for _, file := range []string{
		"programs:\n  web: {command: sleep 1}\n  db: {command: sleep 1, nicee: 3}\n  x: {command: ''}\n",
		"programs:\n  web: [\n  db: {command: sleep 1}\n",
		"",
	} {
		i.rewrite(file)
		for _, args := range [][]string{{"reload"}, {"reload", "--dry-run"}} {
			_, errs, code := i.sidekick(args...)
			if code != 1 || !strings.HasPrefix(errs, "error: cannot reload, nothing was changed:\n"+i.config()+":") {
				t.Errorf("%q: exit code %d: %s", file, code, errs)
			}
		}
		i.signal(unix.SIGHUP)
		i.logs("cannot reload, nothing was changed")
	}
	if err := os.Remove(i.config()); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := i.sidekick("reload"); code != 1 || !strings.Contains(errs, "no such file") {
		t.Errorf("no file: exit code %d: %s", code, errs)
	}
	for name, pid := range i.allAlive() {
		if pid != before[name] {
			t.Errorf("%s is pid %d, was %d", name, pid, before[name])
		}
	}
	i.rewrite(reloadable)
	if _, errs, code := i.sidekick("reload"); code != 0 {
		t.Errorf("a good file again: exit code %d: %s", code, errs)
	}
	i.stops()
}

// A file that cannot be read to its end holds up no signal: here it is a pipe
// that its writer does not write to. A second SIGHUP waits for the first.
func TestTermDuringAReload(t *testing.T) {
	t.Parallel()
	i := runPID1(t, reloadable)
	i.allAlive()
	if err := os.Remove(i.config()); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(i.config(), 0o644); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(i.config(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	i.signal(unix.SIGHUP)
	i.signal(unix.SIGHUP)
	i.logs("program state") // it lives
	i.stops()
	if strings.Contains(i.log(), "cannot reload") {
		t.Error("the end came after the reload")
	}
}
