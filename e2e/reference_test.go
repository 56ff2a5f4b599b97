package e2e

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What inits are known to be tested with, and what supervisors are known to get
// wrong. docs/coverage.md says which test stands for what.

// Orphans of a script that does not wait are reaped, as PID 1 and as an
// ordinary process; also one that left its session.
func TestOrphansOfAScript(t *testing.T) {
	t.Parallel()
	const file = `
programs:
  script:
    command: [sh, -c, 'n=0; while [ $n -lt 100 ]; do sleep 0.$((n % 10)) & n=$((n+1)); done; (setsid sleep 0.5 &); echo forked; exit 0']
    restart: no
    kill_mode: process
  steady: {command: sleep 1000, min_uptime: 0s}
`
	for name, run := range map[string]func(*testing.T, string, ...string) *instance{"PID 1": runPID1, "ordinary": runPlain} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := run(t, file)
			i.says("forked")
			i.reaches("script", "EXITED")
			eventually(t, "only steady is left", func() bool { return len(processes(i.pid)) == 1 })
			if got := i.status("script"); got.ExitCode == nil || *got.ExitCode != 0 {
				t.Errorf("script is %+v", got)
			}
			if got := i.status("steady"); got.State != "RUNNING" || got.Restarts != 0 {
				t.Errorf("steady is %+v", got)
			}
			i.stops()
		})
	}
}

// What `docker exec` leaves behind is reaped without a word.
func TestOrphanFromOutside(t *testing.T) {
	t.Parallel()
	i := runPID1(t, `programs: {web: {command: sleep 1000, min_uptime: 0s}}`)
	i.logs("program=web from=STARTING to=RUNNING") // its last line for now
	before := i.log()
	enter := exec.Command("nsenter", "--target", strconv.Itoa(i.pid), "--pid", "--mount", "sh", "-c", "sleep 0.1 & sleep 0.2 & :")
	if out, err := enter.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	eventually(t, "only web is left", func() bool { return len(processes(i.pid)) == 1 })
	if after := i.log(); after != before {
		t.Errorf("it was logged: %s", strings.TrimPrefix(after, before))
	}
	i.stops()
}

// When nothing runs or will run, the container ends: with 0 if all was well,
// also by success_exit_codes, else with the first failure.
func TestEndOfThePrograms(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]int{
		`{a: {command: "true", restart: no}, b: {command: "true", restart: on-failure}}`:                                       0,
		`{a: {command: [sh, -c, 'kill $$$$'], restart: no, success_exit_codes: [0, 143]}}`:                                     0,
		`{a: {command: [sh, -c, 'exit 64'], restart: no, success_exit_codes: [64]}}`:                                           0,
		`{a: {command: "true", restart: no, success_exit_codes: [3]}}`:                                                         1,
		`{a: {command: [sh, -c, 'exit 64'], restart: no, success_exit_codes: [1]}}`:                                            64,
		`{a: {command: [sh, -c, 'exit 5'], restart: no, essential: false}, b: {command: sleep 0.2, restart: no}}`:              5,
		`{a: {command: "true", restart: no}, b: {command: sleep 1000, autostart: false}}`:                                      0,
		`{a: {command: [sh, -c, 'exit 5'], restart: no}, b: {command: sleep 1000}}`:                                            5,
		`{a: {command: [sh, -c, 'exit 3'], restart: on-failure:2, backoff: {initial: 1ms, max: 1ms}}}`:                         3,
		`{a: {command: [sh, -c, 'kill -USR1 $$$$'], restart: no}}`:                                                             138,
		`{a: {command: [sh, -c, 'ulimit -c unlimited; cd /nowhere 2>&-; cd $DIR; kill -SEGV $$$$'], restart: no}}`:             139,
		`{a: {command: [/bin/sh, -c, 'exit 0'], restart: no}, b: {command: "false", restart: no, depends_on: {a: completed}}}`: 1,
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			i := runPID1(t, "programs: "+file)
			if got := i.exit(); got != want {
				t.Errorf("exit code %d, want %d", got, want)
			}
		})
	}
}

// The log names the signal that ended a program.
func TestLogNamesTheSignal(t *testing.T) {
	t.Parallel()
	i := runPlain(t, `
x-end: &end {restart: no, essential: false}
programs:
  TERM: {<<: *end, command: [sh, -c, 'kill -TERM $$$$']}
  HUP: {<<: *end, command: [sh, -c, 'kill -HUP $$$$']}
  QUIT: {<<: *end, command: [sh, -c, 'kill -QUIT $$$$']}
  KILL: {<<: *end, command: [sh, -c, 'kill -KILL $$$$']}
  SEGV: {<<: *end, command: [sh, -c, 'kill -SEGV $$$$']}
`)
	if code := i.exit(); code <= 128 {
		t.Errorf("exit code %d", code)
	}
	for _, name := range []string{"TERM", "HUP", "QUIT", "KILL", "SEGV"} {
		if !strings.Contains(i.log(), "killed by SIG"+name) {
			t.Errorf("no word of SIG%s", name)
		}
	}
}

// Wrong command lines and files: said, with a code, and nothing is started.
func TestWrongUse(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]int{"--help": 0, "help run": 0, "version": 0, "": 0, "run --nonsense": 2, "nonsense": 2,
		"run -c /no/such/file": 78, "run --": 2, "run sleep 1": 2} {
		out, errs, code := client(t, nil, strings.Fields(args)...)
		if code != want || out+errs == "" || want != 0 && !strings.HasPrefix(errs, "error: ") && want != 78 {
			t.Errorf("sidekick %s: exit code %d, want %d; %q, %q", args, code, want, out, errs)
		}
	}
	for _, file := range []string{
		"programs: {a: {command: [sh, -c, 'echo x > $DIR/started'], success_exit_codes: [256]}}",
		"programs: {a: {command: [sh, -c, 'echo x > $DIR/started'], success_exit_codes: [-1]}}",
		"programs: {a: {command: [sh, -c, 'echo x > $DIR/started'], stop_signal: SIGNOPE}}",
		"programs: {a: {command: [sh, -c, 'echo x > $DIR/started'], stop_signal: 65}}",
		"programs: {a: {command: [sh, -c, 'echo x > $DIR/started'], stop_signal: 0}}",
		"programs: {a: {command: [sh, -c, 'echo x > $DIR/started']}, b: {}}",
		"programs: {a: {command: [sh, -c, 'echo x > $DIR/started'], comand: x}}",
	} {
		i := how{}.launch(t, file)
		if code := i.exit(); code != 78 || !strings.Contains(i.log(), i.config()+":1:") {
			t.Errorf("%s: exit code %d, log %s", file, code, i.log())
		}
		if i.read("started") != "" {
			t.Errorf("%s: it was started", file)
		}
	}
}

// A script whose interpreter is missing is a failed start that says so.
func TestScriptWithoutInterpreter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/script", []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/empty", []byte("neither\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	i := runPlain(t, "programs: {script: {command: "+dir+"/script, restart: no, essential: false}, empty: {command: "+dir+
		"/empty, restart: no, essential: false}, dir: {command: "+dir+", restart: no, essential: false}, s: {command: sleep 100}}")
	for name, want := range map[string]string{"script": dir + "/script: its interpreter or loader is missing: no such file",
		"empty": dir + "/empty: exec format error", "dir": dir + ": permission denied"} {
		i.reaches(name, "FATAL")
		if got := i.status(name).Reason; !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", name, got, want)
		}
	}
	i.stops()
}

// stop_signal is a name with or without SIG, or a number.
func TestStopSignal(t *testing.T) {
	t.Parallel()
	i := runPlain(t, `
x-app: &app {command: [sh, -c, 'trap "echo HUP; exit" HUP; trap "echo INT; exit" INT; trap "echo USR1; exit" USR1; echo set; while :; do sleep 0.05; done']}
programs:
  name: {<<: *app, stop_signal: SIGUSR1}
  short: {<<: *app, stop_signal: int}
  number: {<<: *app, stop_signal: 1}
`)
	for _, name := range []string{"name  ", "short ", "number"} {
		i.says(name + " | set")
	}
	i.stops()
	for _, want := range []string{"name   | USR1", "short  | INT", "number | HUP"} {
		i.says(want)
	}
}

// 100 programs get their stop signal once each, and sidekick outlives all.
func TestStopSignalComesOnce(t *testing.T) {
	t.Parallel()
	i := runPID1(t, `
shutdown_timeout: 50s
programs:
  web:
    replicas: 100
    stop_grace_period: 45s
    command: [sh, -c, 'n=0; trap "n=\$((n+1))" TERM; echo >> $DIR/ready; while [ $n = 0 ]; do sleep 0.2; done; sleep 0.3; echo $n >> $DIR/terms']
`)
	eventually(t, "all are ready", func() bool { return len(i.read("ready")) == 100 })
	i.stops()
	if got := i.read("terms"); got != strings.Repeat("1\n", 100) {
		t.Errorf("stop signals received: %q", got)
	}
}

// A program that ignores its stop signal is killed with its whole group when
// its grace ends: the default grace and one that is set, by command.
func TestStubbornGroupIsKilledAfterItsGrace(t *testing.T) {
	t.Parallel()
	for grace, want := range map[string]time.Duration{"": 5 * time.Second, "stop_grace_period: 300ms": 300 * time.Millisecond} {
		t.Run(want.String(), func(t *testing.T) {
			t.Parallel()
			i := runPID1(t, `
programs:
  web:
    command: [sh, -c, 'trap "" TERM; sleep 1000 & sleep 1000 & echo ready; while :; do sleep 1; done']
    `+grace+`
  steady: {command: sleep 1000, min_uptime: 0s}
`)
			i.says("ready")
			begun := time.Now()
			if _, errs, code := i.sidekick("stop", "web"); code != 0 {
				t.Errorf("exit code %d: %s", code, errs)
			}
			if took := time.Since(begun); took < want || took > want+slack {
				t.Errorf("the stop took %v with a grace of %v", took, want)
			}
			if left := processes(i.pid); len(left) != 1 {
				t.Errorf("STOPPED, and below sidekick are %+v", left)
			}
			i.stops()
		})
	}
}

// Whom the stop signal and the end of the program reach, by kill_mode.
func TestKillMode(t *testing.T) {
	t.Parallel()
	for mode, left := range map[string]int{"mixed": 0, "group": 0, "process": 2} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			i := runPID1(t, `
programs:
  web: {command: [sh, -c, 'sleep 1000 & sleep 1000 & echo ready; wait'], kill_mode: `+mode+`}
  steady: {command: sleep 1000, min_uptime: 0s}
`)
			i.says("ready")
			if _, errs, code := i.sidekick("stop", "web"); code != 0 {
				t.Errorf("exit code %d: %s", code, errs)
			}
			if got := processes(i.pid); len(got) != left+1 {
				t.Errorf("beside steady %d processes should live: %+v", left, got)
			}
			i.stops() // survivors last until here, not longer
		})
	}
}

// The leader ends at the stop signal, a member of its group ignores it: the
// program is not STOPPED, and a new life does not begin, while the member lives.
func TestStoppedMeansGroupEmpty(t *testing.T) {
	t.Parallel()
	i := runPID1(t, `
programs:
  web:
    command: [sh, -c, 'sh -c "trap \"\" TERM; echo member >> $DIR/members; while :; do sleep 1; done" & trap "exit 0" TERM; while :; do sleep 0.05; done']
    stop_grace_period: 700ms
  crash:
    command: [sh, -c, 'flock -n $DIR/lock true || echo two lives; flock $DIR/lock sh -c "trap \"\" TERM; echo locked >> $DIR/locked; while :; do sleep 0.1; done" & sleep 0.2; exit 1']
    stop_grace_period: 300ms
    restart: always
    backoff: {initial: 1ms, max: 1ms}
`)
	eventually(t, "the member runs", func() bool { return i.read("members") != "" })
	begun := time.Now()
	if _, errs, code := i.sidekick("stop", "web"); code != 0 {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if took := time.Since(begun); took < 700*time.Millisecond || took > 700*time.Millisecond+slack {
		t.Errorf("the stop took %v", took)
	}
	eventually(t, "crash has had three lives", func() bool { return strings.Count(i.read("locked"), "\n") >= 3 })
	if strings.Contains(i.out(), "two lives") {
		t.Error("a new life ran beside the old group")
	}
	i.stops()
}

// What left its group and session is asked, given a moment, and killed, before
// sidekick ends.
func TestStrayIsAskedFirst(t *testing.T) {
	t.Parallel()
	i := runPID1(t, `
programs:
  web: {command: [sh, -c, 'setsid sh -c "trap \"echo asked >> $DIR/stray; sleep 0.1; echo done >> $DIR/stray; exit\" TERM; echo ready; while :; do sleep 0.05; done" & exec sleep 1000']}
`)
	i.says("ready")
	i.stops()
	if got := i.read("stray"); got != "asked\ndone\n" {
		t.Errorf("the stray wrote %q", got)
	}
}

// Floods of signals that mean nothing cost nothing.
func TestSignalFlood(t *testing.T) {
	t.Parallel()
	i := runPID1(t, `programs: {web: {command: sleep 1000, min_uptime: 0s}}`)
	pid := i.alive("web")
	for _, sig := range []unix.Signal{unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE, unix.SIGURG, unix.SIGWINCH, unix.SIGTSTP,
		unix.SIGTTIN, unix.SIGTTOU, unix.SIGALRM} {
		for range 1000 {
			i.signal(sig)
		}
	}
	eventually(t, "it answers, and then rests", func() bool {
		_ = i.status("web")
		before := cpuTicks(t, i.pid)
		time.Sleep(100 * time.Millisecond) // a sample of its CPU time
		return cpuTicks(t, i.pid)-before <= 1
	})
	if got := i.status("web"); got.State != "RUNNING" || got.Pid != pid {
		t.Errorf("web is %+v, was pid %d", got, pid)
	}
	i.stops()
}

// cpuTicks is the CPU time of a process, in hundredths of a second.
func cpuTicks(t *testing.T, pid int) int {
	t.Helper()
	user, _ := strconv.Atoi(statField(t, pid, 14))
	system, _ := strconv.Atoi(statField(t, pid, 15))
	return user + system
}

// A stopped (SIGSTOP) program gets the stop signal and SIGCONT, and ends well.
func TestFrozenProgramIsContinued(t *testing.T) {
	t.Parallel()
	i := runPlain(t, `
programs:
  web: {command: [sh, -c, 'trap "echo bye; exit 0" TERM; echo ready; kill -STOP $$$$; while :; do sleep 0.05; done'], stop_grace_period: 20s}
`)
	i.says("ready")
	begun := time.Now()
	if _, errs, code := i.sidekick("stop", "web"); code != 0 || time.Since(begun) > 10*time.Second {
		t.Errorf("exit code %d after %v: %s", code, time.Since(begun), errs)
	}
	i.says("bye")
	i.stops()
}

// A grandchild keeps stdout open: the exit is seen at once, the restart is not
// delayed, and what the grandchild says later still arrives.
func TestGrandchildKeepsStdout(t *testing.T) {
	t.Parallel()
	i := runPlain(t, `
programs:
  web:
    command: [sh, -c, 'setsid sh -c "while ! [ -e $DIR/go ]; do sleep 0.02; done; echo later" & echo life; exit 1']
    restart: on-failure:1
    backoff: {initial: 1ms}
    kill_mode: process
    essential: false
  steady: {command: sleep 1000}
`)
	i.reaches("web", "FATAL")
	i.write("go", "")
	eventually(t, "both grandchildren are heard", func() bool { return strings.Count(i.out(), "web    | later") == 2 })
	i.stops()
}

// SIGKILL from outside: the kernel leaves nothing of the namespace.
func TestKilledPID1LeavesNothing(t *testing.T) {
	t.Parallel()
	i := runPID1(t, `programs: {web: {command: [sh, -c, 'setsid sleep 1000 & echo ready; sleep 1000']}}`)
	i.says("ready")
	var before []process
	eventually(t, "all three processes are there", func() bool { before = processes(i.pid); return len(before) == 3 })
	i.signal(unix.SIGKILL)
	i.exit() // what unshare makes of it is its own affair
	for _, p := range before {
		eventually(t, p.command+" is gone", func() bool { return unix.Kill(p.pid, 0) == unix.ESRCH })
	}
}
