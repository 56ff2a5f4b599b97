package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A command that goes missing is a failed run like any other: it is tried again
// and recovers when the file comes back.
func TestCommandGoesMissingAndComesBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	binary := filepath.Join(dir, "app")
	if err := os.Symlink("/bin/sleep", binary); err != nil {
		t.Fatal(err)
	}
	i := runPlain(t, "programs: {web: {command: "+binary+" 1000, min_uptime: 0s, restart: always, backoff: {initial: 20ms, max: 50ms, reset_after: 1h}}}")
	pid := i.alive("web")
	if err := os.Remove(binary); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it was tried several times", func() bool {
		s := i.status("web")
		return s.State == "BACKOFF" && s.Restarts > 3 && strings.Contains(s.Reason, binary+": no such file or directory")
	})
	if err := os.Symlink("/bin/sleep", binary); err != nil {
		t.Fatal(err)
	}
	i.alive("web")
	i.stops()
}

// No restart without a pause, also after success and after failed starts.
func TestBackoffIsAlwaysOn(t *testing.T) {
	t.Parallel()
	i := runPlain(t, `
programs:
  well: {command: [sh, -c, 'echo >> $DIR/well'], restart: always}
  ill: {command: [sh, -c, 'echo >> $DIR/ill; exit 1'], restart: on-failure, essential: false}
  not: {command: /no/such/file, restart: always, essential: false}
`)
	eventually(t, "each was restarted twice", func() bool { return len(i.read("well")) >= 3 && len(i.read("ill")) >= 3 })
	begun := time.Now()
	eventually(t, "two seconds have passed", func() bool { return time.Since(begun) > 2*time.Second })
	for _, name := range []string{"well", "ill"} {
		if lives := len(i.read(name)); lives > 7 { // 0, 0.1, 0.3, 0.7, 1.5, 3.1 s, less jitter
			t.Errorf("%s had %d lives in about 2.5 s", name, lives)
		}
	}
	if got := i.status("not"); got.Restarts > 7 || got.Restarts < 2 {
		t.Errorf("not is %+v", got)
	}
	i.stops()
}

// on_failure: restart acts at each streak of failures, not only at the first.
// Failures count in a row and per life.
func TestUnhealthyIsRestartedAgainAndAgain(t *testing.T) {
	t.Parallel()
	i := runPlain(t, `
programs:
  web:
    command: [sh, -c, 'echo >> $DIR/lives; rm -f $DIR/sick; sleep 1000']
    min_uptime: 0s
    restart: always
    backoff: {initial: 1ms, max: 1ms}
    healthcheck: {exec: [test, "!", -e, "${DIR}/sick"], interval: 20ms, start_interval: 20ms, retries: 2, on_failure: restart}
  flaky:
    command: sleep 1000
    min_uptime: 0s
    healthcheck: {exec: [sh, -c, 'if [ -e $DIR/odd ]; then rm $DIR/odd; else touch $DIR/odd; exit 1; fi'], interval: 20ms, retries: 2, on_failure: restart}
`, "DIR="+t.TempDir())
	i.reaches("web", "RUNNING")
	healthy := func() {
		eventually(t, "web is healthy", func() bool {
			s := i.status("web")
			return s.State == "RUNNING" && s.Health != nil && s.Health.Status == "healthy"
		})
	}
	dir := i.env("DIR")
	lives := func() int { data, _ := os.ReadFile(dir + "/lives"); return len(data) }
	for n := 1; n <= 4; n++ {
		healthy()
		if got := lives(); got != n {
			t.Fatalf("life %d, want %d", got, n)
		}
		write(t, dir, "sick", "")
		eventually(t, "it was restarted", func() bool { return lives() == n+1 })
	}
	healthy()
	if got := i.status("flaky"); got.Restarts != 0 || got.State != "RUNNING" || got.Health == nil || got.Health.Status != "healthy" {
		t.Errorf("flaky is %+v %+v: it never fails twice in a row", got, got.Health)
	}
	i.stops()
}

// env is a variable that the instance was started with.
func (i *instance) env(name string) (value string) {
	for _, s := range i.cmd.Env {
		if v, ok := strings.CutPrefix(s, name+"="); ok {
			value = v
		}
	}
	return value
}

// A probe that hangs fails at its timeout; failures in start_period do not
// count, those after it do.
func TestHealthTimesExpire(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	i := runPlain(t, `
programs:
  hangs:
    command: sleep 1000
    healthcheck: {exec: sleep 1000, timeout: 100ms, interval: 50ms, start_interval: 50ms}
  patient:
    command: sleep 1000
    healthcheck: {exec: "false", interval: 50ms, start_interval: 50ms, start_period: 1500ms}
`)
	i.reaches("hangs", "RUNNING")
	health := func(name string) string {
		if h := i.status(name).Health; h != nil {
			return h.Status
		}
		return ""
	}
	eventually(t, "hangs is unhealthy", func() bool { return health("hangs") == "unhealthy" })
	if got := i.status("hangs").Health.Output; !strings.HasPrefix(got, "no exit in time") {
		t.Errorf("output %q", got)
	}
	eventually(t, "patient is unhealthy", func() bool { return health("patient") == "unhealthy" })
	if took := time.Since(begun); took < 1500*time.Millisecond {
		t.Errorf("patient was unhealthy after %v with start_period 1.5s", took)
	}
	eventually(t, "no probe is left behind", func() bool { return len(processes(i.pid)) <= 3 })
	i.stops()
}

// Three programs in a chain ignore TERM, each with its own grace: one deadline
// holds for all, and little is said.
func TestChainOfStubbornPrograms(t *testing.T) {
	t.Parallel()
	i := runPID1(t, `
shutdown_timeout: 3s
x-stubborn: &stubborn {command: [sh, -c, 'trap "" TERM; echo ready >> $DIR/ready; while :; do sleep 1; done'], stop_grace_period: 1h, min_uptime: 0s}
programs:
  a: {<<: *stubborn}
  b: {<<: *stubborn, depends_on: [a]}
  c: {<<: *stubborn, depends_on: [b]}
`)
	eventually(t, "all are ready", func() bool { return i.read("ready") == "ready\nready\nready\n" })
	before := strings.Count(i.log(), "\n")
	begun := time.Now()
	i.stops()
	if took := time.Since(begun); took > 3*time.Second+slack {
		t.Errorf("the shutdown took %v with shutdown_timeout 3s", took)
	}
	if said := strings.Count(i.log(), "\n") - before; said >= 20 {
		t.Errorf("the shutdown wrote %d lines", said)
	}
}

// A line longer than any buffer neither ends the program nor is cut.
func TestLongLine(t *testing.T) {
	t.Parallel()
	i := runPlain(t, `
programs:
  web: {command: [sh, -c, 'head -c 300000 /dev/zero | tr "\0" x; echo; echo after; sleep 1000'], min_uptime: 0s}
`)
	i.says("web | after")
	if !strings.Contains(i.out(), "web | "+strings.Repeat("x", 300000)+"\n") {
		t.Error("the long line did not arrive whole")
	}
	if got := i.status("web"); got.State != "RUNNING" || got.Restarts != 0 {
		t.Errorf("web is %+v", got)
	}
	i.stops()
}
