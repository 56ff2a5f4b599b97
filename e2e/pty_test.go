package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A shell as the one command is a working job-controlled shell.
func TestShellOnTerminal(t *testing.T) {
	inBothPlaces(t, func(t *testing.T, h how) {
		for _, shell := range [][]string{{"sh"}, {"bash", "--norc", "--noprofile", "--noediting"}} {
			t.Run(shell[0], func(t *testing.T) {
				t.Parallel()
				if _, err := exec.LookPath(shell[0]); err != nil {
					missing(t, shell[0])
				}
				p := onPty(t, h, append([]string{"run", "--"}, shell...)...)
				p.walk()
			})
		}
	})
}

// walk uses an interactive shell.
func (p *pty) walk() {
	p.t.Helper()
	p.enter(`case $- in *m*) echo jobs $((20+22));; esac`, "jobs 42")
	p.enter("sleep 1000 &", "")
	p.enter("sleep 999", "")
	p.jobRuns("sleep\x00999\x00")
	p.types(ctrlC)
	p.enter("echo code $? $((1+1))", "code 130 2")
	p.enter("kill -0 $! && echo lives $((1+2))", "lives 3") // Ctrl-C was not for this job
	p.enter("cat", "")
	p.jobRuns("cat\x00")
	p.types(ctrlZ)
	p.enter("bg", "")
	p.asks("jobs", "topped") // it wants to read, and the shell knows
	p.enter("fg", "cat")
	p.types("hello\n")
	p.sees("hello\r\nhello\r\n")
	p.types(ctrlD)
	p.enter("trap 'echo resized to $(stty size)' WINCH", "")
	p.sees("ready> ")
	p.resize(33, 77)
	p.types("\n\n")
	p.sees("resized to 33 77")
	p.types("echo size $(stty size) $((1+1))\n")
	p.sees("size 33 77 2")
	p.types("kill $!; exit 5\n")
	p.exits(5)
	if text := p.text(); strings.Contains(text, "job control") || strings.Contains(text, "level=") || strings.Contains(text, " INFO ") {
		p.t.Error("the shell or sidekick complains")
	}
}

// jobRuns waits for a process with this argv on the terminal, and until it is
// in the foreground.
func (p *pty) jobRuns(argv string) {
	p.t.Helper()
	var pid int
	eventually(p.t, fmt.Sprintf("%q runs", argv), func() bool {
		for _, process := range processes(p.cmd.Process.Pid) {
			if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", process.pid)); string(line) == argv {
				pid = process.pid
			}
		}
		return pid != 0
	})
	p.foreground(pid)
}

func TestInputFromTerminal(t *testing.T) {
	inBothPlaces(t, func(t *testing.T, h how) {
		p := onPty(t, h, "run", "--", "tac")
		p.jobRuns("tac\x00")
		p.types("one\ntwo\nthree\n" + ctrlD)
		p.sees("three\r\ntwo\r\none\r\n")
		p.exits(0)
	})
}

func TestCtrlCOnCommand(t *testing.T) {
	inBothPlaces(t, func(t *testing.T, h how) {
		p := onPty(t, h, "run", "--", "sleep", "1000")
		p.jobRuns("sleep\x001000\x00")
		p.types(ctrlC)
		p.exits(130)
	})
}

// Where no shell could continue it, Ctrl-Z does not freeze the terminal.
func TestCtrlZWithoutShell(t *testing.T) {
	inBothPlaces(t, func(t *testing.T, h how) {
		p := onPty(t, h, "run", "--", "tac")
		p.jobRuns("tac\x00")
		p.types(ctrlZ)
		p.sees("^Z") // what was typed before it is thrown away
		p.types("one\ntwo\n" + ctrlD)
		p.sees("two\r\none\r\n")
		p.exits(0)
	})
}

// sidekick as a job of an interactive shell.
func TestSidekickIsAJob(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("bash"); err != nil {
		missing(t, "bash")
	}
	bash := func(t *testing.T) *pty {
		t.Parallel()
		p := openPty(t)
		p.start("bash", "--norc", "--noprofile", "--noediting", "-i")
		return p
	}
	t.Run("Ctrl-Z", func(t *testing.T) {
		p := bash(t)
		p.enter("sidekick run -- cat", "")
		p.jobRuns("cat\x00")
		for range 2 {
			p.types(ctrlZ)
			p.sees("Stopped")
			p.enter("fg", "sidekick run -- cat")
			p.jobRuns("cat\x00")
			p.types("hello\n")
			p.sees("hello\r\nhello\r\n")
		}
		p.types(ctrlD)
		p.enter("echo code $? $((1+1))", "code 0 2")
		p.types("exit 0\n")
		p.exits(0)
	})
	t.Run("background", func(t *testing.T) {
		p := bash(t)
		p.enter("sidekick run -- cat &", "")
		eventually(t, "cat wants to read, and sidekick is stopped for it", func() bool {
			return p.has("cat", "T") && p.has("sidekick", "T")
		})
		p.asks("jobs", "Stopped") // the shell knows
		p.enter("fg", "sidekick run -- cat")
		p.jobRuns("cat\x00")
		p.types("hello\n")
		p.sees("hello\r\nhello\r\n")
		p.types(ctrlC)
		p.enter("echo code $? $((1+1))", "code 130 2")
		p.types("exit 0\n")
		p.exits(0)
	})
	// bash gives a job that it believes running the terminal and nothing else.
	t.Run("from background to foreground while it runs", func(t *testing.T) {
		dir := t.TempDir()
		p := bash(t)
		p.enter("sidekick run -- sh -c 'touch "+dir+"/runs; until [ -e "+dir+"/go ]; do sleep 0.01; done; read x; echo got $x' &", "")
		eventually(t, "the command runs in the background", func() bool { _, err := os.Stat(dir + "/runs"); return err == nil })
		p.enter("fg", "sidekick run -- sh")
		eventually(t, "sidekick is in the foreground", func() bool {
			return slices.ContainsFunc(processes(p.cmd.Process.Pid), func(q process) bool { return q.command == "sidekick" && q.pid == p.group() })
		})
		write(t, dir, "go", "")
		p.types("it\n")
		p.sees("got it")
		p.enter("echo code $? $((1+1))", "code 0 2")
		p.types("exit 0\n")
		p.exits(0)
	})
	t.Run("suspended by a signal", func(t *testing.T) {
		p := bash(t)
		p.enter("sidekick run -- sleep 1000", "")
		p.jobRuns("sleep\x001000\x00")
		for _, q := range processes(p.cmd.Process.Pid) {
			if q.command == "sidekick" {
				_ = unix.Kill(q.pid, unix.SIGTSTP)
			}
		}
		p.sees("Stopped")
		p.enter("fg", "sidekick run -- sleep 1000")
		p.jobRuns("sleep\x001000\x00")
		p.types(ctrlC)
		p.enter("echo code $? $((1+1))", "code 130 2")
		p.types("exit 0\n")
		p.exits(0)
	})
	t.Run("script", func(t *testing.T) {
		p := bash(t)
		p.enter("sh -c 'sidekick run -- true; read x; echo got $x'", "")
		p.types("it\n")
		p.sees("got it")
		p.enter("exit 0", "")
		p.exits(0)
	})
}

// Lines of sidekick's own come out while the command has a terminal that
// refuses writes from the background.
func TestLogOnTostopTerminal(t *testing.T) {
	t.Parallel()
	registered := []string{"run", "--port", "9/udp", "--etcd", "http://127.0.0.1:1", "--", "sleep", "1000"}
	check := func(t *testing.T, p *pty) {
		p.sees("not registered")
		pid, state := p.cmd.Process.Pid, ""
		for _, q := range processes(pid) {
			if q.command == "sidekick" {
				pid = q.pid
			}
		}
		p.jobRuns("sleep\x001000\x00")
		if data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); len(data) > 0 {
			state = strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))[0]
		}
		if state == "T" {
			t.Error("sidekick is stopped")
		}
		_ = unix.Kill(pid, unix.SIGTERM)
	}
	t.Run("session leader", func(t *testing.T) {
		t.Parallel()
		p := openPty(t)
		p.tostop()
		p.start(append([]string{filepath.Join(bin, "sidekick")}, registered...)...)
		check(t, p)
		p.exits(143)
	})
	t.Run("job", func(t *testing.T) {
		t.Parallel()
		p := openPty(t)
		p.tostop()
		p.start("bash", "--norc", "--noprofile", "--noediting", "-i")
		p.enter("sidekick "+strings.Join(registered, " "), "")
		check(t, p)
		p.enter("echo code $? $((1+1))", "code 143 2")
	})
}

// Ctrl-C in the terminal of a supervisor stops its programs in order.
func TestCtrlCOnSupervisor(t *testing.T) {
	inBothPlaces(t, func(t *testing.T, h how) {
		file := filepath.Join(t.TempDir(), "sidekick.yaml")
		err := os.WriteFile(file, []byte(`
programs:
  db: {command: [sh, -c, 'trap "echo db bye; exit 0" TERM; trap "echo hit" INT; echo up; while :; do sleep 0.01; done']}
  web: {command: [sh, -c, 'trap "echo web bye; exit 0" TERM; trap "echo hit" INT; echo up; while :; do sleep 0.01; done'], depends_on: [db], min_uptime: 0s}
`), 0o644)
		if err != nil {
			t.Fatal(err)
		}
		p := onPty(t, h, "run", "-c", file)
		for _, text := range []string{"db  | ", "up", "web | ", "up"} { // the names are coloured
			p.sees(text)
		}
		begun := time.Now()
		p.types(ctrlC)
		p.sees("web bye")
		p.sees("db bye")
		p.exits(0)
		if took := time.Since(begun); took > slack { // the grace is 5 s
			t.Errorf("it took %v", took)
		}
		if strings.Contains(p.text(), "hit") {
			t.Error("Ctrl-C reached a program")
		}
	})
}

// A shell under docker run -it. The image has no shell, so it borrows this
// machine's.
func TestDockerShellOnTerminal(t *testing.T) {
	w := newEmptyWorld(t)
	options := []string{"run", "--rm", "-it", "--label", label, "-e", "PS1=ready> ", "--entrypoint", "/sidekick",
		"-v", filepath.Join(bin, "sidekick") + ":/sidekick:ro"}
	for _, dir := range []string{"/bin", "/lib", "/lib64", "/usr"} {
		if _, err := os.Stat(dir); err == nil {
			options = append(options, "-v", dir+":"+dir+":ro")
		}
	}
	c := &container{world: w, name: fmt.Sprintf("sidekick-e2e-%d-pty", os.Getpid())}
	t.Cleanup(c.cleanup)
	p := openPty(w.t)
	p.start(slices.Concat([]string{"docker"}, options, []string{"--name", c.name, image.name, "run", "--", "sh"})...)
	p.enter(`case $- in *m*) echo jobs $((20+22));; esac`, "jobs 42")
	p.enter("sleep 999", "")
	root := c.init()
	eventually(t, "sleep is in the foreground", func() bool {
		return slices.ContainsFunc(processes(root), func(q process) bool {
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", q.pid))
			return string(line) == "sleep\x00999\x00" && statField(t, q.pid, 8) == strconv.Itoa(q.pid) // tpgid
		})
	})
	p.types(ctrlC)
	p.enter("echo code $? $((1+1))", "code 130 2")
	p.sees("ready> ")
	p.resize(33, 77)
	eventually(w.t, "docker has passed the size on", func() bool {
		p.types("stty size\n")
		p.sees("ready> ")
		return strings.Contains(p.text(), "33 77")
	})
	p.types("exit 5\n")
	p.exits(5)
	if strings.Contains(p.text(), "job control") {
		t.Error("the shell complains")
	}
}
