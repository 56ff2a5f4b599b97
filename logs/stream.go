package logs

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// readSize is how many bytes one read takes.
	readSize = 64 << 10
	// bulkSize is what it takes of a program that goes on and on, in bytes. Each
	// read of a full pipe wakes the program: with readSize wake-ups and switches
	// were more than a third of our processor time.
	bulkSize = 256 << 10
	// bulkReads is after how many large reads in a row that is so.
	bulkReads = 16
	// smallRest is the longest unfinished line for which no whole buffer is
	// held while its end is waited for, in bytes.
	smallRest = 4 << 10
)

// stream is one output of one life of a program. It is owned by the goroutine
// in copy.
type stream struct {
	program *program
	number  uint8 // 0 stdout, 1 stderr
	from    int   // the read end, non-blocking
	poller  *poller
	ready   chan struct{} // gets a token after a watch
	quit    chan struct{} // closed when nobody waits for more any more
	stop    func()        // closes it

	capacity int // of the pipe, in bytes; 0: it is as it was made
	asked    int // what was asked for
	large    int // how many reads in a row were large
	small    int // how many were small, one soon after the other

	in   *buffer // nil while nothing is there to be read
	n    int     // the first n bytes of in are an unfinished line,
	rest []byte  // or this is, while in is nil
}

// buffer is what a block is read into and framed in. They are shared by all
// streams: one that waits has none.
type buffer struct{ in, out []byte }

type buffers struct {
	pool  sync.Pool     // of readSize
	bulk  sync.Pool     // of bulkSize
	slots chan struct{} // full while so many streams work
}

// working is how many streams may have a buffer at a time. Many programs whose
// lines go to one slow reader would each have one while they wait for their turn.
const working = 8

// enter waits until there is a slot, but not for long: a program is not to wait
// for others who wait.
func (b *buffers) enter() (got bool) {
	select {
	case b.slots <- struct{}{}:
		return true
	default:
	}
	late := time.NewTimer(patience / 3)
	defer late.Stop()
	select {
	case b.slots <- struct{}{}:
		return true
	case <-late.C:
		return false
	}
}

func (b *buffers) leave(got bool) {
	if got {
		<-b.slots
	}
}

func (b *buffers) get(size int) *buffer {
	if got, ok := b.of(size).Get().(*buffer); ok {
		return got
	}
	return &buffer{in: make([]byte, size)}
}

func (b *buffers) of(size int) *sync.Pool {
	if size == bulkSize {
		return &b.bulk
	}
	return &b.pool
}

// put takes a buffer back, unless a long line made it large.
func (b *buffers) put(used *buffer) {
	size := len(used.in)
	if (size == readSize || size == bulkSize) && cap(used.out) <= 4*framedSize {
		b.of(size).Put(used)
	}
}

const (
	// hotPipe is what the pipe of a program holds that writes line by line without
	// a pause, in bytes. All pipes of a user on the host, those of other containers
	// too, share 64 MiB (pipe-user-pages-soft in pipe(7)).
	hotPipe = 256 << 10
	// bulkPipe is that of a program which writes large blocks: the most that a
	// user who is not root may have.
	bulkPipe = 1 << 20
	// hotReads is after how many small reads in a row a program is one of those.
	hotReads = 64
	// smallRead is what such a program has written since the last read.
	smallRead = readSize / 4
	// soon is how long a read waits at most while such a program writes, on a
	// machine that is busy.
	soon = 2 * time.Millisecond
)

// pause lets a program that writes line by line write some more before the next
// read: a read and a write for each line would cost it and us more than the lines
// do. A line that comes alone is not delayed, nor are a few; what comes right behind
// many is, by about a millisecond: Go's poller, while nothing else happens, rounds
// shorter times up to one.
func (s *stream) pause() {
	s.widen(hotPipe)
	// A byte a nanosecond: no program is faster, so none finds the pipe full.
	time.Sleep(time.Duration(s.capacity) * 3 / 10)
}

// widen gives the program a larger pipe, unless it has one that was asked for.
func (s *stream) widen(size int) {
	if s.asked >= size {
		return
	}
	s.asked = size
	s.capacity, _ = unix.FcntlInt(uintptr(s.from), unix.F_SETPIPE_SZ, size)
	if s.capacity <= 0 { // more than this user may have
		s.capacity, _ = unix.FcntlInt(uintptr(s.from), unix.F_GETPIPE_SZ, 0)
	}
}

// isBulk: large blocks are worth their memory. Of a program whose lines go to a
// reader they are not: within its patience a slow one may manage a small block.
func (s *stream) isBulk() bool {
	return s.large >= bulkReads && s.program.route.Load().file
}

// pace follows a read of n bytes that has taken so long.
func (s *stream) pace(n int, took time.Duration) {
	if n < readSize/2 {
		s.large = 0
	} else if s.large++; s.isBulk() {
		s.widen(bulkPipe)
	}
	if n >= smallRead || took >= soon {
		s.small = 0
	} else if s.small++; s.small >= hotReads || s.asked > 0 {
		s.pause()
	}
}

// copy carries lines over until EOF or an error, which is that nobody waits for
// more. The unfinished line at the end is a line too.
func (s *stream) copy(free *buffers) {
	for {
		begun := time.Now()
		slot, n, err := s.next(free)
		at := time.Now()
		if err != nil {
			s.finish(free)
			free.leave(slot)
			return
		}
		s.take(at, n)
		s.release(free)
		free.leave(slot)
		s.pace(n, at.Sub(begun))
	}
}

// next waits for bytes and puts them behind the unfinished line. It returns with
// the slot, whether it has one or not.
func (s *stream) next(free *buffers) (slot bool, n int, err error) {
	for {
		slot = free.enter()
		s.makeRoom(free)
		n, err = unix.Read(s.from, s.in.in[s.n:])
		switch {
		case err == nil && n == 0:
			return slot, 0, io.EOF
		case err != unix.EAGAIN && err != unix.EINTR:
			return slot, max(n, 0), err
		}
		s.release(free)
		free.leave(slot)
		if err == unix.EAGAIN {
			if err := s.wait(); err != nil {
				return false, 0, err
			}
		}
	}
}

// wait waits until there is something to be read, or an end.
func (s *stream) wait() error {
	var later <-chan time.Time
	if s.poller.watch(s.from) != nil { // no memory, or the user has no watch left: epoll_ctl(2)
		later = time.After(pollPace * time.Millisecond)
	}
	select {
	case <-s.ready:
		return nil
	case <-later:
		return nil
	case <-s.quit:
		return os.ErrClosed
	}
}

// close gives the read end back.
func (s *stream) close() {
	s.poller.remove(s.from)
	_ = unix.Close(s.from)
}

// makeRoom sees to it that there is a buffer, with room behind the unfinished
// line.
func (s *stream) makeRoom(free *buffers) {
	if s.in == nil {
		size := readSize
		if s.isBulk() {
			size = bulkSize
		}
		s.in = free.get(size)
		s.n = copy(s.in.in, s.rest)
		s.rest = s.rest[:0]
	}
	if s.n == len(s.in.in) {
		grown := make([]byte, min(2*len(s.in.in), maxLine+1))
		copy(grown, s.in.in[:s.n])
		s.in = &buffer{in: grown}
	}
}

// release gives the buffer back while there is nothing to read, but for a long
// unfinished line.
func (s *stream) release(free *buffers) {
	if s.in == nil || s.n > smallRest {
		return
	}
	s.rest = append(s.rest[:0], s.in.in[:s.n]...)
	free.put(s.in)
	s.in, s.n = nil, 0
}

// take passes on the lines that n more bytes have completed.
func (s *stream) take(at time.Time, n int) {
	lines, rest, piece := cut(s.in.in[:s.n+n], s.n)
	if len(lines) > 0 {
		s.in.out = s.program.take(s.number, at, lines, piece, s.in.out)
	}
	s.n = copy(s.in.in, rest)
}

// finish passes on what has no newline, as a line of its own.
func (s *stream) finish(free *buffers) {
	if s.in == nil {
		s.makeRoom(free)
	}
	if s.n > 0 {
		s.in.out = s.program.take(s.number, time.Now(), s.in.in[:s.n], false, s.in.out)
	}
	free.put(s.in)
	s.in = nil
}
