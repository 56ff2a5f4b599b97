package logs

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func forkExec(stdin, stdout, stderr int, command string) (pid int, err error) {
	return syscall.ForkExec("/bin/sh", []string{"sh", "-c", command}, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{uintptr(stdin), uintptr(stdout), uintptr(stderr)}})
}

// flags are the file status flags of a descriptor (fcntl(2), F_GETFL).
func flags(t *testing.T, f *os.File) (flags int) {
	t.Helper()
	var err error
	onFD(f, func(fd int) { flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0) })
	if err != nil {
		t.Fatal(err)
	}
	return flags
}

func TestCollectorLeavesTheContainersFlagsAlone(t *testing.T) {
	for _, nonblock := range []bool{false, true} {
		t.Run(fmt.Sprintf("nonblock %t", nonblock), func(t *testing.T) {
			r, w := rawPipe(t)
			onFD(w, func(fd int) { unix.SetNonblock(fd, nonblock) })
			before := flags(t, w)
			c := NewCollector(w, w)
			stdout, stderr := open(t, c, "web")
			io.WriteString(stdout, "line\n")
			io.WriteString(c.Messages(), "message\n")
			stdout.Close()
			stderr.Close()
			closeIn(t, c, end)
			if after := flags(t, w); after != before {
				t.Errorf("flags %o, %o before", after, before)
			}
			r.Close()
		})
	}
}

// terminal opens a new pseudo-terminal (ptmx(4)).
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI needs pseudo-terminals: %v", err)
		}
		t.Skipf("this machine has no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	var number int
	onFD(master, func(fd int) {
		unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
		number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
	})
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

func TestColourOnATerminal(t *testing.T) {
	for _, tc := range []struct{ noColor, term, want string }{
		{"", "xterm", "\x1b[32mweb | \x1b[0mline\r\n"}, // the terminal adds the CR
		{"", "", "\x1b[32mweb | \x1b[0mline\r\n"},
		{"1", "xterm", "web | line\r\n"},
		{"", "dumb", "web | line\r\n"},
	} {
		t.Run("NO_COLOR="+tc.noColor+" TERM="+tc.term, func(t *testing.T) {
			t.Setenv("NO_COLOR", tc.noColor)
			t.Setenv("TERM", tc.term)
			master, slave := terminal(t)
			c := NewCollector(slave, slave)
			c.Configure(named("web"))
			stdout, stderr := open(t, c, "web")
			io.WriteString(stdout, "line\n")
			stdout.Close()
			stderr.Close()
			closeIn(t, c, end)
			buf := make([]byte, 100)
			n, _ := io.ReadAtLeast(master, buf, len(tc.want))
			if got := string(buf[:n]); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestColourOnlyWhereTheTerminalIs(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	_, slave := terminal(t)
	_, w := rawPipe(t)
	out, err := newSinks(w, slave, true)
	if out.colour || !err.colour {
		t.Errorf("colour on the pipe %t, on the terminal %t", out.colour, err.colour)
	}
	if out.gate == err.gate {
		t.Error("two files share a gate")
	}
}

func TestSinksOnOneFileShareAGate(t *testing.T) {
	_, slave := terminal(t)
	again, err := os.OpenFile(slave.Name(), os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if a, b := newSinks(slave, again, true); a.gate != b.gate {
		t.Error("two descriptors of one terminal have two gates")
	}
}
