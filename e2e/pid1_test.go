package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A burst of orphans that die together leaves no zombie, and the programs
// beside it are untouched.
func TestOrphanBurstLeavesNoZombie(t *testing.T) {
	i := runPID1(t, `
programs:
  steady: {command: sleep 1000, min_uptime: 0s}
  storm:
    restart: no
    command: [sh, -c, 'n=0; while [ $n -lt 1000 ]; do (sleep 1000 & echo $!) ; n=$((n+1)); done > $DIR/pids; echo forked; kill -9 $(cat $DIR/pids); echo killed; sleep 1000']
`)
	i.says("killed")
	eventually(t, "1,000 orphans are reaped", func() bool {
		return len(processes(i.pid)) == 3 // steady, storm and its sleep
	})
	for _, p := range processes(i.pid) {
		if p.state == "Z" {
			t.Errorf("zombie %+v", p)
		}
	}
	if got := i.status("steady"); got.State != "RUNNING" || got.Restarts != 0 {
		t.Errorf("steady is %+v", got)
	}
	i.signal(unix.SIGTERM)
	if code := i.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestExitCodeIsThatOfTheEssentialProgram(t *testing.T) {
	for end, want := range map[string]int{
		"exit 1": 1, "exit 2": 2, "exit 32": 32, "exit 127": 127, "exit 254": 254, "exit 255": 255,
		"kill -TERM $$$$": 143, "kill -HUP $$$$": 129, "kill -QUIT $$$$": 131, "kill -KILL $$$$": 137, "kill -SEGV $$$$": 139,
	} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			i := runPID1(t, fmt.Sprintf(`
programs:
  main: {command: [sh, -c, '%s'], restart: no}
  other: {command: sleep 1000}
`, end))
			if got := i.exit(); got != want {
				t.Errorf("exit code %d, want %d", got, want)
			}
		})
	}
}

func TestExitCodeOfACommandThatCannotBeExecuted(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]int{"/no/such/file": 127, "no-such-command": 127, plain: 126, dir: 126} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			i := runPID1(t, "programs: {main: {command: "+command+", restart: on-failure:1, backoff: {initial: 1ms}}}")
			if got := i.exit(); got != want {
				t.Errorf("exit code %d, want %d", got, want)
			}
			i.logs("cannot execute " + command)
		})
	}
}

// TERM ends everything within shutdown_timeout, whatever the programs do: one
// ignores TERM, one is stopped, and one has left its group and ignores TERM too.
func TestTermEndsEverythingWithinTheDeadline(t *testing.T) {
	i := runPID1(t, `
shutdown_timeout: 3s
programs:
  stubborn: {command: [sh, -c, 'trap "" TERM; echo stubborn; while :; do sleep 1; done'], stop_grace_period: 1h}
  frozen: {command: [sh, -c, 'echo frozen; kill -STOP $$$$; sleep 1000']}
  stray: {command: [sh, -c, 'setsid sh -c "trap \"\" TERM; echo stray; while :; do sleep 1; done" & sleep 1000']}
  polite: {command: [sh, -c, 'trap "echo bye; exit 0" TERM; echo polite; while :; do sleep 0.1; done']}
`)
	for _, name := range []string{"stubborn", "frozen", "stray", "polite"} {
		i.says("| " + name)
	}
	begun := time.Now()
	i.signal(unix.SIGTERM)
	if code := i.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(begun); took > 3*time.Second+slack {
		t.Errorf("shutdown took %v with shutdown_timeout 3s", took)
	}
	i.says("bye")
}

func TestWellBehavedProgramsStopAtOnce(t *testing.T) {
	i := runPID1(t, `
programs:
  a: {command: sleep 1000}
  b: {command: sleep 1000, depends_on: [a], min_uptime: 0s}
`)
	i.reaches("b", "RUNNING")
	begun := time.Now()
	i.signal(unix.SIGTERM)
	if code := i.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(begun); took > slack { // the grace is 5 s
		t.Errorf("took %v", took)
	}
}

func TestSecondTermKills(t *testing.T) {
	i := runPID1(t, `
programs: {stubborn: {command: [sh, -c, 'trap "" TERM; echo ready; while :; do sleep 1; done'], stop_grace_period: 1h}}
`)
	i.says("ready")
	i.signal(unix.SIGTERM)
	i.logs("shutting down")
	begun := time.Now()
	i.signal(unix.SIGTERM)
	if code := i.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(begun); took > slack { // shutdown_timeout is 8 s
		t.Errorf("took %v after the second TERM", took)
	}
}

// A sidekick that is not PID 1 signals its own descendants and nobody else:
// neither its parent's other children nor its own process group.
func TestNotPID1SignalsOnlyItsDescendants(t *testing.T) {
	bystander := exec.Command("sh", "-c", `trap 'echo hit; exit 1' TERM INT HUP; echo ready; while :; do sleep 0.05; done`)
	out, err := bystander.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bystander.Process.Kill(); _ = bystander.Wait() }()
	_, _ = out.Read(make([]byte, 6))

	i := runPlain(t, `
shutdown_timeout: 2s
programs:
  web: {command: [sh, -c, 'setsid sh -c "trap \"\" TERM; echo \$\$ > $DIR/stray; while :; do sleep 1; done" & echo ready; sleep 1000']}
`)
	i.says("ready")
	var stray int
	eventually(t, "the stray has started", func() bool {
		data, _ := os.ReadFile(i.dir + "/stray")
		stray, _ = strconv.Atoi(strings.TrimSpace(string(data)))
		return stray != 0
	})
	i.signal(unix.SIGTERM)
	if code := i.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if err := unix.Kill(stray, 0); err == nil {
		t.Error("the descendant that left its group lives on")
	}
	if err := bystander.Process.Signal(unix.Signal(0)); err != nil || bystander.ProcessState != nil {
		t.Errorf("the bystander was hit: %v", err)
	}
}

// Signals that ask for nothing change nothing.
func TestOtherSignalsAreIgnored(t *testing.T) {
	i := runPID1(t, `
programs: {web: {command: sleep 1000, min_uptime: 0s}}
`)
	i.reaches("web", "RUNNING")
	pid := i.status("web").Pid
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE, unix.SIGALRM, unix.SIGURG,
		unix.SIGWINCH, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGCONT, unix.SIGIO, unix.SIGPWR, unix.SIGSEGV,
		unix.SIGBUS, unix.SIGABRT, unix.SIGCHLD} {
		for range 20 {
			i.signal(sig)
		}
	}
	if got := i.status("web"); got.State != "RUNNING" || got.Pid != pid {
		t.Errorf("web is %+v, was pid %d", got, pid)
	}
	i.signal(unix.SIGTERM)
	if code := i.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Nobody reads sidekick's output any more: it and its programs live on.
func TestOutputReaderGoesAway(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	i := runPlainTo(t, w, `
programs: {web: {command: [sh, -c, 'while :; do echo line; echo line >&2; echo x >> $DIR/lines; sleep 0.001; done'], min_uptime: 0s}}
`)
	w.Close()
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	r.Close()
	size := func() int64 {
		info, err := os.Stat(i.dir + "/lines")
		if err != nil {
			return 0
		}
		return info.Size()
	}
	written := size()
	eventually(t, "the program goes on writing", func() bool { return size() > written+1000 })
	if got := i.status("web"); got.State != "RUNNING" || got.Restarts != 0 {
		t.Errorf("web is %+v", got)
	}
	i.signal(unix.SIGTERM)
	if code := i.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Whatever whoever started sidekick left ignored, blocked or open, a program
// starts clean: default dispositions, an empty mask, descriptors 0, 1 and 2.
func TestProgramsStartClean(t *testing.T) {
	i := how{wrapper: []string{"sh", "-c", `exec 7</dev/null; trap "" USR2 TSTP; exec env --block-signal=USR1 --block-signal=WINCH "$@"`, "sh"}}.launch(t, `
programs: {web: {command: [sh, -c, 'grep Sig /proc/self/status | grep -v SigQ; ls /proc/self/fd; echo done; exec sleep 1000']}}
`)
	i.says("done")
	for _, set := range []string{"SigPnd", "SigBlk", "SigIgn"} {
		if !strings.Contains(i.out(), set+":\t0000000000000000\n") {
			t.Errorf("%s is not empty", set)
		}
	}
	if strings.Contains(i.out(), "| 7\n") {
		t.Error("descriptor 7 is inherited")
	}
	i.signal(unix.SIGTERM)
	if code := i.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
