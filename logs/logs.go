// Package logs carries what the programs print to the container's own stdout
// and stderr, line by line, each behind the name of its program.
//
// Every stream of every life of a program is a pipe with one goroutine that
// reads it, cuts it into lines and writes them. Lines are never mixed, since
// one lock goes with each file of the container that they are written to.
//
// Two rules keep programs and PID 1 alive. The pipes are read as long as
// somebody has them open, whatever became of the container's stdout: a closed
// pipe would be a SIGPIPE for the program. And sidekick's own messages go
// through a bounded queue, so that a reader of the container's stderr who has
// stopped reading never stops the caller.
package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Collector reads the programs' output and writes whole lines "web | line" to
// the container's own stdout and stderr. Its methods may be called from any
// goroutine.
type Collector struct {
	stdout, stderr *sink
	messages       *messages
	layout         atomic.Pointer[layout]
	readers        sync.WaitGroup // one for each stream

	mu      sync.Mutex // owns what follows
	closed  bool
	streams map[*stream]struct{} // those not at their end
}

// NewCollector returns a collector that writes to the files given, normally
// os.Stdout and os.Stderr. It never changes their flags, since O_NONBLOCK
// belongs to the open file description, which others share, and it does not
// close them. Names are coloured where the file is a terminal, unless $NO_COLOR
// is set to something (no-color.org).
func NewCollector(stdout, stderr *os.File) *Collector {
	out, err := newSinks(stdout, stderr, os.Getenv("NO_COLOR") == "")
	c := &Collector{stdout: out, stderr: err, messages: newMessages(err), streams: map[*stream]struct{}{}}
	c.SetNames(nil)
	return c
}

// SetNames tells which programs there are: their prefixes are padded to the
// longest name, and each has its colour by its place. It also changes the
// prefixes of streams that are open.
func (c *Collector) SetNames(names []string) {
	c.layout.Store(newLayout(slices.Clone(names)))
}

// Open returns the write ends of two fresh pipes, for the stdout and stderr of
// one life of a program. The caller closes both after the fork; a stream ends
// when the last process that has it open is gone, which may be long after the
// program's own end. Both ends are close-on-exec. The write ends are blocking,
// as every program expects of its stdout: Go's own os.Pipe would hand the child
// an O_NONBLOCK descriptor, or rely on everybody calling Fd.
func (c *Collector) Open(program string) (stdout, stderr *os.File, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, errors.New("cannot open logs: they are closed")
	}
	outRead, stdout, err := pipe(program + " stdout")
	if err != nil {
		return nil, nil, err
	}
	errRead, stderr, err := pipe(program + " stderr")
	if err != nil {
		outRead.Close()
		stdout.Close()
		return nil, nil, err
	}
	c.follow(&stream{program: program, from: outRead, to: c.stdout, layout: &c.layout})
	c.follow(&stream{program: program, from: errRead, to: c.stderr, layout: &c.layout})
	return stdout, stderr, nil
}

// pipe returns a pipe whose read end waits in Go's poller, so that closing it
// ends the wait, and whose write end is blocking. The two ends are open file
// descriptions of their own, each with its own O_NONBLOCK (pipe(7)).
func pipe(name string) (read, write *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("cannot make a pipe for %s: %w", name, err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, fmt.Errorf("cannot make a pipe for %s: %w", name, err)
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name), nil
}

// follow starts the goroutine that reads s. It ends at EOF, or when Close
// closes the read end. Called with mu held.
func (c *Collector) follow(s *stream) {
	c.streams[s] = struct{}{}
	c.readers.Go(func() {
		s.copy()
		s.from.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.streams, s)
	})
}

// Messages returns the writer for sidekick's own log, one Write a message. It
// never blocks and never fails: messages wait in a queue for the container's
// stderr, and where the queue is full they are dropped, and their number is
// written as soon as stderr is read again.
func (c *Collector) Messages() io.Writer { return c.messages }

// Discarded returns how many lines were lost because the container's stdout or
// stderr did not take them, for instance because its reader is gone.
func (c *Collector) Discarded() uint64 {
	return c.stdout.discarded.Load() + c.stderr.discarded.Load()
}

// Close waits until all streams have ended and all messages are written, or
// until ctx ends; then it closes what is still open. It is the last call:
// messages written after it began may be lost, and Open fails. When ctx ends
// first, somebody still has a pipe open, or nobody reads the container's
// stdout. A goroutine in such a write cannot be ended by anybody but the
// kernel, and stays until the process exits.
func (c *Collector) Close(ctx context.Context) {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	done := make(chan struct{})
	c.messages.finish()
	go func() { // ends with the last reader and the queue, see above
		c.readers.Wait()
		<-c.messages.done
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		c.abandon()
	}
}

// abandon closes all read ends, which ends the readers that wait for input.
func (c *Collector) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.streams {
		s.from.Close()
	}
}
