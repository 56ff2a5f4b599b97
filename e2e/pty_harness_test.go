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
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pty is a pseudo-terminal with one process as the leader of its session, and
// somebody at the keyboard (pty(7)).
type pty struct {
	t      *testing.T
	master *os.File
	slave  *os.File
	cmd    *exec.Cmd
	ended  chan struct{}

	mu     sync.Mutex
	screen bytes.Buffer
	seen   int // what of the screen sees has passed
}

// The keys of a terminal in its usual mode.
const (
	ctrlC = "\x03"
	ctrlD = "\x04"
	ctrlZ = "\x1a"
)

func openPty(t *testing.T) *pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		missing(t, "a pseudo-terminal: "+err.Error())
	}
	p := &pty{t: t, master: master, ended: make(chan struct{})}
	var number int
	p.control(func(fd int) (err error) {
		if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		}
		return err
	})
	p.slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.resize(24, 80)
	return p
}

// control does something with the descriptor, which stays in non-blocking mode.
func (p *pty) control(do func(fd int) error) {
	p.t.Helper()
	raw, err := p.master.SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil || failed != nil {
		p.t.Fatal(err, failed)
	}
}

func (p *pty) resize(rows, columns uint16) {
	p.t.Helper()
	p.control(func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	})
}

// tostop has the terminal refuse writes from the background.
func (p *pty) tostop() {
	p.t.Helper()
	p.control(func(fd int) error {
		modes, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil {
			modes.Lflag |= unix.TOSTOP
			err = unix.IoctlSetTermios(fd, unix.TCSETS, modes)
		}
		return err
	})
}

// start runs the leader of the terminal's session.
func (p *pty) start(argv ...string) {
	p.t.Helper()
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = p.slave, p.slave, p.slave
	p.cmd.Env = append(os.Environ(), "PS1=ready> ", "ENV=", "TERM=dumb", "PATH="+bin+":"+os.Getenv("PATH"))
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { // ends with the last process that has the terminal, or with Close
		_, _ = p.master.WriteTo(locked{&p.mu, &p.screen})
	})
	wg.Go(func() { // ends with the process
		_ = p.cmd.Wait()
		close(p.ended)
	})
	p.t.Cleanup(func() {
		for _, left := range processes(p.cmd.Process.Pid) {
			_ = unix.Kill(left.pid, unix.SIGKILL)
		}
		_ = p.cmd.Process.Kill()
		p.slave.Close()
		p.master.Close()
		wg.Wait()
		if p.t.Failed() {
			p.t.Logf("the terminal:\n%s", p.text())
		}
	})
}

// onPty runs sidekick on a terminal, in the surroundings h.
func onPty(t *testing.T, h how, args ...string) *pty {
	t.Helper()
	p := openPty(t)
	p.start(slices.Concat(h.wrapper, []string{filepath.Join(bin, "sidekick")}, args)...)
	return p
}

func (p *pty) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.screen.String()
}

// types presses keys.
func (p *pty) types(keys string) {
	p.t.Helper()
	if _, err := p.master.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// sees waits for the text behind what was seen before.
func (p *pty) sees(text string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("the terminal shows %q", text), func() bool {
		rest := p.text()[p.seen:]
		at := strings.Index(rest, text)
		if at >= 0 {
			p.seen += at + len(text)
		}
		return at >= 0
	})
}

// enter types a line for a shell at its prompt and waits for the answer.
func (p *pty) enter(line, answer string) {
	p.t.Helper()
	p.sees("ready> ")
	p.types(line + "\n")
	p.sees(line + "\r\n") // its echo
	p.sees(answer)
}

// asks enters a line again and again until the answer is among what comes
// before the next prompt.
func (p *pty) asks(line, answer string) {
	p.t.Helper()
	const prompt = "ready> "
	p.sees(prompt)
	eventually(p.t, fmt.Sprintf("the shell answers %q to %s", answer, line), func() bool {
		from := p.seen
		p.types(line + "\n")
		p.sees(prompt)
		return strings.Contains(p.text()[from:p.seen], answer)
	})
	p.seen -= len(prompt)
}

// exits waits for the leader's end.
func (p *pty) exits(code int) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatal("it does not end")
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("exit code %d, want %d", got, code)
	}
}

// foreground waits until the terminal belongs to the group of a process.
func (p *pty) foreground(pid int) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%d is in the foreground", pid), func() bool { return p.group() == pid })
}

// group is the foreground group of the terminal.
func (p *pty) group() (group int) {
	p.t.Helper()
	p.control(func(fd int) (err error) {
		group, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		return err
	})
	return group
}

// has reports a process on the terminal of this name and state.
func (p *pty) has(command, state string) bool {
	return slices.ContainsFunc(processes(p.cmd.Process.Pid), func(q process) bool { return q.command == command && q.state == state })
}
