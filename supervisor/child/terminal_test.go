package child

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a new pseudo-terminal (pty(7)).
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("needs a pseudo-terminal: ", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// A process with the terminal is in our session, in a group of its own, and
// that group is in the foreground; without a terminal it is the same but for
// the last.
func TestTerminal(t *testing.T) {
	_, terminal := openTerminal(t)
	for name, c := range map[string]struct {
		stdin *os.File
		setup *Setup
	}{
		"terminal":             {terminal, nil},
		"terminal, shim":       {terminal, &Setup{}},
		"no terminal":          {nil, nil},
		"no terminal, shimmed": {nil, &Setup{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, asking(t, Spec{Terminal: true, Setup: c.setup, Path: "/bin/sh",
				Args: []string{"sh", "-c", `exec cat /proc/$$/stat`}}, nil, c.stdin))
			fields := strings.Fields(s.line()) // proc_pid_stat(5)
			pid, group, session, foreground := fields[0], fields[4], fields[5], fields[7]
			if group != pid || session != strconv.Itoa(s.Pid()) {
				t.Errorf("group %s and session %s of %s, started by %d", group, session, pid, s.Pid())
			}
			if want := map[bool]string{true: pid, false: "-1"}[c.stdin != nil]; foreground != want {
				t.Errorf("%s is in the foreground, want %s", foreground, want)
			}
			s.exit()
		})
	}
}
