package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inBothPlaces runs a test of single-command mode with sidekick as an ordinary
// process and as PID 1 of a pid namespace.
func inBothPlaces(t *testing.T, test func(t *testing.T, h how)) {
	t.Parallel()
	t.Run("plain", func(t *testing.T) { t.Parallel(); test(t, how{}) })
	t.Run("PID 1", func(t *testing.T) {
		t.Parallel()
		if os.Getuid() != 0 {
			missing(t, "root, to make a pid namespace")
		}
		test(t, pid1(""))
	})
}

// sidekick starts one with these arguments.
func (h how) sidekick(t *testing.T, args ...string) *instance {
	t.Helper()
	i := &instance{t: t, dir: t.TempDir(), ended: make(chan struct{})}
	argv := slices.Concat(h.wrapper, []string{filepath.Join(bin, "sidekick")}, args)
	i.cmd = exec.Command(argv[0], argv[1:]...)
	i.cmd.Env = append(append(os.Environ(), "DIR="+i.dir), h.env...)
	i.cmd.Stdout, i.cmd.Stderr = locked{&i.mu, &i.stdout}, locked{&i.mu, &i.stderr}
	if h.out != nil {
		i.cmd.Stderr = h.out
	}
	i.cmd.ExtraFiles = h.files
	i.cmd.WaitDelay = time.Second // an orphan may hold the pipes
	if err := i.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		_ = i.cmd.Wait()
		close(i.ended)
	}()
	t.Cleanup(i.cleanup)
	t.Cleanup(func() { // runs before, while what sidekick has started can be found
		for _, p := range processes(i.cmd.Process.Pid) {
			_ = unix.Kill(p.pid, unix.SIGKILL)
		}
	})
	i.pid = i.cmd.Process.Pid
	if h.forks {
		eventually(t, "unshare has a child", func() bool {
			if child := onlyChild(i.cmd.Process.Pid); child != 0 {
				i.pid = child
			}
			return i.pid != i.cmd.Process.Pid || i.over()
		})
	}
	return i
}

// over reports that the instance has ended.
func (i *instance) over() bool {
	select {
	case <-i.ended:
		return true
	default:
		return false
	}
}

// command returns the process id of the one command, sidekick's only child, once it is executed: the
// child of a fork is still sidekick.
func (i *instance) command() (pid int) {
	i.t.Helper()
	self := filepath.Join(bin, "sidekick")
	eventually(i.t, "the command runs", func() bool {
		children := processes(i.pid)
		if len(children) == 0 {
			return false
		}
		pid = children[0].pid
		exe, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
		return err == nil && exe != self && children[0].state == "S" // behind its loader, which has files open
	})
	return pid
}

// signals builds the command that prints what signals it gets.
var buildSignals = sync.OnceValues(func() (string, error) {
	build := exec.Command("go", "build", "-trimpath", "-o", bin, "sidekick/e2e/signals")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build: %w\n%s", err, out)
	}
	return filepath.Join(bin, "signals"), nil
})

func signals(t *testing.T) string {
	t.Helper()
	path, err := buildSignals()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommandExitCode(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cases := map[int][][]string{
		127: {{"/no/such/file"}, {"no-such-command"}, {file("script", "#!/no/such/interpreter\n", 0o755)}},
		126: {{file("plain", "x", 0o644)}, {dir}, {file("garbage", "\x00\x01\x02", 0o755)}},
	}
	for _, code := range []int{0, 1, 2, 32, 64, 127, 254, 255} {
		cases[code] = append(cases[code], []string{"sh", "-c", "exit " + strconv.Itoa(code)})
	}
	for _, n := range []int{1, 3, 6, 9, 11, 13, 15, 64} {
		cases[128+n] = append(cases[128+n], []string{"sh", "-c", "kill -" + strconv.Itoa(n) + " $$"})
	}
	inBothPlaces(t, func(t *testing.T, h how) {
		for want, commands := range cases {
			for _, command := range commands {
				t.Run(strings.Join(command, " "), func(t *testing.T) {
					t.Parallel()
					i := h.sidekick(t, append([]string{"run", "--"}, command...)...)
					if got := i.exit(); got != want {
						t.Errorf("exit code %d, want %d", got, want)
					}
				})
			}
		}
	})
}

// The command has our descriptors and no other, our directory and environment,
// and a clean signal state, whatever sidekick has inherited and does itself.
func TestCommandSurroundings(t *testing.T) {
	inBothPlaces(t, func(t *testing.T, h how) {
		leak, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer leak.Close()
		h.files = []*os.File{leak, leak}
		h.env = []string{"MARK=here"}
		i := h.sidekick(t, "run", "--", "sleep", "1000")
		pid := i.command()
		proc := "/proc/" + strconv.Itoa(pid)
		entries, err := os.ReadDir(proc + "/fd")
		if err != nil || len(entries) != 3 {
			t.Errorf("its descriptors are %v, %v", entries, err)
		}
		status, _ := os.ReadFile(proc + "/status")
		for _, name := range []string{"SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"} {
			if !regexp.MustCompile(`(?m)^` + name + `:\s0+$`).Match(status) {
				t.Errorf("%s is not 0:\n%s", name, status)
			}
		}
		if group, _ := unix.Getpgid(pid); group != pid {
			t.Errorf("its group is %d, not its own %d", group, pid)
		}
		own, _ := unix.Getsid(i.pid)
		if session, _ := unix.Getsid(pid); session != own {
			t.Errorf("its session is %d, not ours %d", session, own)
		}
		if environ, _ := os.ReadFile(proc + "/environ"); !strings.Contains(string(environ), "\x00MARK=here\x00") {
			t.Errorf("its environment is %q", environ)
		}
		here, _ := os.Getwd()
		if dir, _ := os.Readlink(proc + "/cwd"); dir != here {
			t.Errorf("its directory is %s, not %s", dir, here)
		}
		ours, _ := os.ReadFile("/proc/self/limits") // the soft limit that this test's runtime has raised shows there
		limit := regexp.MustCompile(`(?m)^Max open files\s+\d+\s+(\d+)`)
		theirs, _ := os.ReadFile(proc + "/limits")
		if a, b := limit.FindSubmatch(ours), limit.FindSubmatch(theirs); a == nil || b == nil || string(a[1]) != string(b[1]) {
			t.Errorf("its limit of open files is %s, not %s", b, a)
		}
	})
}

func TestCommandHasOurStandardStreams(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(filepath.Join(bin, "sidekick"), "run", "--", "sh", "-c", "cat; echo error >&2")
	cmd.Stdin = strings.NewReader("input")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil || out.String() != "input" || errs.String() != "error\n" {
		t.Errorf("%v, stdout %q, stderr %q", err, out.String(), errs.String())
	}
}

// All signals are forwarded but those that are about sidekick itself.
func TestCommandGetsSignals(t *testing.T) {
	path := signals(t)
	kept := []unix.Signal{unix.SIGCHLD, unix.SIGPIPE, unix.SIGURG, unix.SIGTTOU, unix.SIGTTIN,
		unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGSYS, unix.SIGABRT}
	inBothPlaces(t, func(t *testing.T, h how) {
		i := h.sidekick(t, "run", "--", path)
		i.says("ready\n")
		want := "ready\n"
		send := func(sig unix.Signal) {
			i.signal(sig)
			want += strconv.Itoa(int(sig)) + "\n"
			i.says(want)
		}
		for _, sig := range kept {
			i.signal(sig)
			send(unix.SIGHUP) // it is not stopped either, as a default SIGTTIN does
		}
		for n := unix.Signal(1); n <= 64; n++ {
			// Of C libraries, and of the Go runtime, which shows nobody a SIGPROF.
			reserved := n >= 32 && n <= 34 || n == unix.SIGPROF
			if !slices.Contains(kept, n) && n != unix.SIGKILL && n != unix.SIGSTOP && !reserved {
				send(n)
			}
		}
		if got := i.out(); got != want {
			t.Errorf("it got\n%swant\n%s", got, want)
		}
		if err := unix.Kill(i.command(), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if code := i.exit(); code != 137 {
			t.Errorf("exit code %d", code)
		}
	})
}

func TestCommandDiesOfForwardedSignals(t *testing.T) {
	inBothPlaces(t, func(t *testing.T, h how) {
		for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGHUP} {
			t.Run(unix.SignalName(sig), func(t *testing.T) {
				t.Parallel()
				i := h.sidekick(t, "run", "--", "sleep", "1000")
				i.command()
				i.signal(sig)
				if code := i.exit(); code != 128+int(sig) {
					t.Errorf("exit code %d", code)
				}
			})
		}
	})
}

// A stubborn command lives: nothing but what was sent to sidekick reaches it.
func TestCommandIsNotKilled(t *testing.T) {
	inBothPlaces(t, func(t *testing.T, h how) {
		i := h.sidekick(t, "run", "--", "sh", "-c",
			`trap 'echo term' TERM; trap 'exit 9' USR1; echo ready; while :; do sleep 0.01; done`)
		i.says("ready\n")
		for n := range 3 {
			i.signal(unix.SIGTERM)
			i.says("ready\n" + strings.Repeat("term\n", n+1))
		}
		i.signal(unix.SIGUSR1)
		if code := i.exit(); code != 9 || i.out() != "ready\nterm\nterm\nterm\n" {
			t.Errorf("exit code %d, output %q", code, i.out())
		}
	})
}

func TestCommandOrphansAreReaped(t *testing.T) {
	inBothPlaces(t, func(t *testing.T, h how) {
		i := h.sidekick(t, "run", "--", "sh", "-c",
			`until [ -e $DIR/go ]; do sleep 0.01; done; n=0; while [ $n -lt 100 ]; do (sleep 1000 &); n=$((n+1)); done; echo forked; exec sleep 1000`)
		command := i.command() // while it is the only child
		i.write("go", "")
		i.says("forked")
		eventually(t, "all orphans are sidekick's", func() bool {
			return len(processes(i.pid)) == 101 && len(processes(command)) == 0
		})
		for _, p := range processes(i.pid) {
			if p.pid != command {
				_ = unix.Kill(p.pid, unix.SIGKILL)
			}
		}
		eventually(t, "all orphans are reaped", func() bool { return len(processes(i.pid)) == 1 })
		i.signal(unix.SIGTERM)
		if code := i.exit(); code != 143 {
			t.Errorf("exit code %d", code)
		}
	})
}

// The end of the command is ours, whatever it leaves behind, and that is not killed.
func TestCommandEndsBeforeItsOrphans(t *testing.T) {
	t.Parallel()
	i := how{}.sidekick(t, "run", "--", "sh", "-c", `
sh -c 'trap "echo alive > $DIR/said; exit" USR1; echo $$; exec >/dev/null 2>&1; while :; do sleep 0.01; done' &
until [ -s $DIR/pid ]; do sleep 0.01; done; exit 3`)
	i.says("\n")
	i.write("pid", i.out())
	if code := i.exit(); code != 3 {
		t.Errorf("exit code %d", code)
	}
	orphan, err := strconv.Atoi(strings.TrimSpace(i.out()))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(orphan, unix.SIGUSR1); err != nil {
		t.Fatalf("the orphan: %v", err)
	}
	eventually(t, "the orphan answers", func() bool { return i.read("said") == "alive\n" })
}

// Where few processes are allowed sidekick's own threads are not what ends it.
func TestCommandWhereFewProcessesAreAllowed(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		missing(t, "root, to be a user without other processes")
	}
	for _, n := range []string{"16", "20"} {
		cmd := exec.Command("prlimit", "--nproc="+n, filepath.Join(bin, "sidekick"), "run", "--", "/bin/true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 34567, Gid: 34567}}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("with %s: %v\n%.300s", n, err, out)
		}
	}
}
