package e2e

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// full returns the write end of a pipe that takes nothing more, and whose reader
// does not read.
func full(t *testing.T) *os.File {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]) })
	for _, size := range []int{4096, 1} {
		for {
			if _, err := unix.Write(fds[1], make([]byte, size)); err != nil {
				break
			}
		}
	}
	if err := unix.SetNonblock(fds[1], false); err != nil {
		t.Fatal(err)
	}
	write := os.NewFile(uintptr(fds[1]), "full")
	t.Cleanup(func() { write.Close() })
	return write
}

// Somebody who has stopped reading stderr holds neither the key nor the end up.
func TestKeyWhileStderrIsFull(t *testing.T) {
	for name, args := range map[string][]string{
		"run":      {"run", "--drain", "0s"},
		"register": {"register"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.out = full(t)
			args := append(args, s.flags("/udp")...)
			if name == "run" {
				args = append(args, "--", "sleep", "1000")
			}
			i := s.how.sidekick(t, args...)
			put := s.watch.WaitPut(0, patience, s.key)
			i.signal(unix.SIGTERM)
			s.watch.WaitDelete(put.Revision, patience, s.key)
			i.exit()
		})
	}
}
