package logs

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// sink is one of the container's own streams.
type sink struct {
	*gate
	file   *os.File
	colour bool
	// own is a descriptor of the file opened anew, non-blocking, or -1 where that
	// cannot be. O_NONBLOCK of file itself is not ours to set: it belongs to the
	// open file description, which others share. Used by who has the turn.
	own     int
	regular bool // a file on a disk, which has no reader to wait for
}

// gate lets one writer at a time into a file. Two sinks on the same file, such
// as a terminal, have the same gate.
type gate struct {
	turn     chan struct{} // full while somebody writes
	closed   chan struct{} // nobody waits any more
	shut     func()        // closes it
	revivers sync.WaitGroup

	// stuck is owned by whoever has the turn: a channel that is closed when
	// somebody reads again, nil as long as somebody does.
	stuck chan struct{}

	// owed are lines lost while nobody wrote, which the next write of a program
	// counts.
	owed atomic.Int64

	mu sync.Mutex // owns what follows
	// late are lines that were not written in time. They come before all
	// others. Its beginning may be the rest of a half-written line.
	late []byte
}

// maxLate is how much waits for a slow reader beyond what programs are made to
// wait for, in bytes.
const maxLate = 512 << 10

func newGate() *gate {
	g := &gate{turn: make(chan struct{}, 1), closed: make(chan struct{})}
	g.shut = sync.OnceFunc(func() { close(g.closed) })
	return g
}

func newSinks(stdout, stderr *os.File, colour bool) (out, err *sink) {
	out = newSink(stdout, newGate(), colour)
	if sameFile(stdout, stderr) {
		return out, newSink(stderr, out.gate, colour)
	}
	return out, newSink(stderr, newGate(), colour)
}

func newSink(file *os.File, g *gate, colour bool) *sink {
	info, err := file.Stat()
	return &sink{gate: g, file: file, colour: colour && isTerminal(file), own: reopen(file),
		regular: err == nil && info.Mode().IsRegular()}
}

// reopen opens a pipe or terminal anew through /proc, which needs the right to
// its inode: a user who did not make the pipe has none.
func reopen(file *os.File) (fd int) {
	fd = -1
	info, err := file.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeCharDevice) == 0 {
		return fd // a regular file never blocks, a socket cannot be opened
	}
	onFD(file, func(number int) {
		fd, err = unix.Open(fmt.Sprintf("/proc/self/fd/%d", number), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return -1
	}
	return fd
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

// enter waits for the turn until then.
func (g *gate) enter(by time.Time) bool {
	if g.tryEnter() {
		return true
	}
	late := time.NewTimer(time.Until(by))
	defer late.Stop()
	select {
	case g.turn <- struct{}{}:
		return true
	case <-late.C:
		return false
	}
}

func (g *gate) tryEnter() bool {
	select {
	case g.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

func (g *gate) leave() { <-g.turn }

// write writes whole lines, which a slow reader delays until by. What is late
// then is kept, as much as there is room for, and the rest is lost. When nobody
// has read for so long, nobody waits any longer, until somebody reads again.
func (s *sink) write(lines []byte, by time.Time) (lost int) {
	return s.deliver(lines, by) + int(s.owed.Swap(0))
}

// deliver is write without what was lost before.
func (s *sink) deliver(lines []byte, by time.Time) (lost int) {
	if s.enter(by) {
		lost = s.writeNow(lines, by)
		s.leave()
	} else {
		lost = s.keep(lines)
	}
	for s.waiting() && s.tryEnter() { // what others have kept while we wrote
		more, done := 0, false
		if s.stuck == nil { // else the goroutine that waits will write it
			more, done = s.flush(time.Now().Add(patience / 8))
		}
		s.leave()
		if lost += more; !done {
			break
		}
	}
	return lost
}

func (s *sink) writeNow(lines []byte, by time.Time) (lost int) {
	lost, flushed := s.flush(by)
	if !flushed {
		return lost + s.keep(lines)
	}
	n, err := s.push(lines, by)
	if n == len(lines) {
		return lost
	}
	if s.failed(err) {
		return lost + countLines(lines[n:])
	}
	return lost + s.keepFrom(lines, n)
}

// flush writes what is late.
func (s *sink) flush(by time.Time) (lost int, done bool) {
	for {
		s.mu.Lock()
		late := s.late
		s.late = nil
		s.mu.Unlock()
		if len(late) == 0 {
			return 0, true
		}
		n, err := s.push(late, by)
		if n == len(late) {
			continue
		}
		if s.failed(err) {
			return countLines(late[n:]), true
		}
		s.mu.Lock()
		s.late = append(late[n:], s.late...)
		s.mu.Unlock()
		return 0, false
	}
}

// failed is what comes of a write that did not write all; true: the reader is
// gone for good.
func (s *sink) failed(err error) (gone bool) {
	switch err {
	case unix.EAGAIN:
		s.getStuck()
		return false
	case unix.ENOSPC, unix.EDQUOT, unix.EFBIG: // there may be room again
		return false
	}
	return true
}

// keep keeps lines for later, those for which there is room.
func (s *sink) keep(lines []byte) (lost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := max(0, maxLate-len(s.late))
	n := len(lines)
	if n > room {
		n = bytes.LastIndexByte(lines[:room], '\n') + 1
	}
	s.late = append(s.late, lines[:n]...)
	return countLines(lines[n:])
}

// keepFrom keeps what is left of lines, of which n bytes are written: the rest
// of a half-written line in any case, and before what others have kept meanwhile.
func (s *sink) keepFrom(lines []byte, n int) (lost int) {
	end := n
	if n > 0 && lines[n-1] != '\n' {
		end += bytes.IndexByte(lines[n:], '\n') + 1
	}
	s.mu.Lock()
	s.late = slices.Concat(lines[n:end], s.late)
	s.mu.Unlock()
	return s.keep(lines[end:])
}

// waiting says whether something is late.
func (g *gate) waiting() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.late) > 0
}

// push writes p and returns how much of it was written. It uses write(2)
// rather than File.Write, which raises SIGPIPE in this process when the reader
// of descriptor 1 or 2 is gone (os/signal, "SIGPIPE").
func (s *sink) push(p []byte, by time.Time) (n int, err error) {
	blocks, most := s.own < 0 && !s.regular, len(p)
	if blocks {
		most = atOnce
	}
	s.onFD(func(fd int) {
		for n < len(p) {
			if blocks || err == unix.EAGAIN {
				if err = s.wait(fd, by); err != nil {
					return
				}
			}
			var m int
			if m, err = unix.Write(fd, p[n:min(n+most, len(p))]); m > 0 {
				n += m
				s.unstick()
			} else if err != unix.EAGAIN && err != unix.EINTR {
				return
			}
		}
	})
	return n, err
}

func (s *sink) onFD(do func(fd int)) {
	if s.own >= 0 {
		do(s.own)
	} else {
		onFD(s.file, do)
	}
}

const (
	// atOnce is how much a pipe takes without blocking that has room, in bytes:
	// a page (poll(2), PIPE_BUF in pipe(7)).
	atOnce = 4096
	// pollPace is for how long a descriptor is waited for, in ms, before a look
	// at what cannot be waited for together with it.
	pollPace = 50
)

// wait waits for room until by, or not at all while the reader is known to be
// stuck. EAGAIN is that there is none.
func (s *sink) wait(fd int, by time.Time) error {
	for {
		left := min(int(time.Until(by).Milliseconds()), pollPace)
		if left < 0 || s.stuck != nil || s.isShut() {
			left = 0
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, left)
		switch {
		case err == unix.EINTR:
		case err != nil || n > 0:
			return err
		case left == 0:
			return unix.EAGAIN
		}
	}
}

func (g *gate) isShut() bool {
	select {
	case <-g.closed:
		return true
	default:
		return false
	}
}

// getStuck: nobody reads. From now on nobody waits, but for one goroutine.
// Called by who has the turn.
func (s *sink) getStuck() {
	if s.stuck == nil && !s.isShut() {
		stuck := make(chan struct{})
		s.stuck = stuck
		s.revivers.Go(func() { s.reviver(stuck) })
	}
}

// unstick: somebody reads. Called by who has the turn.
func (g *gate) unstick() {
	if g.stuck != nil {
		close(g.stuck)
		g.stuck = nil
	}
}

// reviver waits until somebody reads again. It ends then, or when the gate is
// shut.
func (s *sink) reviver(stuck chan struct{}) {
	for !s.isShut() {
		ready := 0
		s.onFD(func(fd int) {
			ready, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, pollPace)
		})
		select {
		case <-stuck:
			return
		default:
		}
		if ready > 0 && s.enter(time.Now().Add(patience)) {
			lost, done := s.flush(time.Now())
			if s.owed.Add(int64(lost)); done {
				s.unstick()
			}
			s.leave()
		}
	}
}

// again waits while nobody reads, and says whether a write that failed is to be
// repeated.
func (g *gate) again() bool {
	if !g.enter(time.Now().Add(patience)) {
		return true // somebody writes
	}
	stuck := g.stuck
	g.leave()
	if stuck == nil {
		return false
	}
	select {
	case <-stuck:
		return true
	case <-g.closed:
		return false
	}
}

// drain writes what is late, until the gate is shut.
func (s *sink) drain() {
	for s.waiting() && s.enter(time.Now().Add(patience)) {
		stuck, done := s.stuck, false
		if stuck == nil {
			lost := 0
			lost, done = s.flush(time.Now().Add(patience))
			s.owed.Add(int64(lost))
			stuck = s.stuck
		}
		s.leave()
		switch {
		case done:
		case stuck == nil:
			return // the disk is full
		default:
			select {
			case <-stuck:
			case <-s.closed:
				return
			}
		}
	}
}

// close ends all waiting and closes what was opened anew for us.
func (s *sink) close() {
	s.shut()
	if !s.enter(time.Now().Add(2 * pollPace * time.Millisecond)) {
		return // who writes does not come back: a disk that hangs
	}
	s.leave() // whoever has the turn from here on starts no reviver
	s.revivers.Wait()
	if s.own >= 0 && s.enter(time.Now().Add(2*pollPace*time.Millisecond)) {
		_ = unix.Close(s.own)
		s.own = -1
		s.leave()
	}
}
