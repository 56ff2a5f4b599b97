package logs

import (
	"bytes"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// sink is one of the container's own streams.
type sink struct {
	*gate
	file      *os.File
	colour    bool
	discarded atomic.Uint64 // lines that could not be written
}

// gate lets one writer at a time into a file. Two sinks on the same file, such
// as a terminal, have the same gate.
type gate struct {
	mu   sync.Mutex
	torn bool // owned by mu: the last write ended within a line
}

func newSinks(stdout, stderr *os.File, colour bool) (out, err *sink) {
	out = &sink{gate: &gate{}, file: stdout, colour: colour && isTerminal(stdout)}
	err = &sink{gate: &gate{}, file: stderr, colour: colour && isTerminal(stderr)}
	if sameFile(stdout, stderr) {
		err.gate = out.gate
	}
	return out, err
}

func sameFile(a, b *os.File) bool {
	infoA, errA := a.Stat()
	infoB, errB := b.Stat()
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// isTerminal asks for the line settings, which only a terminal has (TCGETS).
func isTerminal(f *os.File) bool {
	yes := false
	onFD(f, func(fd int) {
		_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		yes = err == nil
	})
	return yes
}

// onFD calls do with the descriptor. File.Fd is avoided: it may clear
// O_NONBLOCK of a description that others share. Without a descriptor (a
// closed file) do is not called.
func onFD(f *os.File, do func(fd int)) {
	raw, err := f.SyscallConn()
	if err == nil {
		_ = raw.Control(func(fd uintptr) { do(int(fd)) })
	}
}

// write writes whole lines, and blocks as long as nobody reads. Lines that the
// file does not take are discarded and counted: programs are not to notice.
func (s *sink) write(lines []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.torn {
		// The file was full within a line; what follows is a line of its own.
		s.torn = s.push([]byte("\n")) == 0
	}
	n := s.push(lines)
	if n < len(lines) {
		s.discarded.Add(uint64(bytes.Count(lines[n:], []byte("\n"))))
		s.torn = s.torn || n > 0 && lines[n-1] != '\n'
	}
}

// push writes p and returns how much of it was written. It uses write(2)
// rather than File.Write, which raises SIGPIPE in this process when the reader
// of descriptor 1 or 2 is gone (os/signal, "SIGPIPE").
func (s *sink) push(p []byte) (n int) {
	onFD(s.file, func(fd int) {
		for n < len(p) {
			m, err := unix.Write(fd, p[n:])
			if m > 0 {
				n += m
			} else if !again(fd, err) {
				return
			}
		}
	})
	return n
}

// again says whether a write that failed is to be repeated. Somebody else who
// has the container's stdout, such as a program with a terminal, may have made
// it O_NONBLOCK, so a full pipe or terminal is waited for here.
func again(fd int, err error) bool {
	switch err {
	case unix.EINTR:
		return true
	case unix.EAGAIN:
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
		return err == nil || err == unix.EINTR
	default:
		return false
	}
}
