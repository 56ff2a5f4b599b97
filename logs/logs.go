// Package logs carries what the programs print to where it is to go: the
// container's own stdout and stderr, files, or nowhere. It keeps the last lines
// of each program in memory, and writes sidekick's own messages.
//
// Every stream of every life of a program is a pipe with one goroutine that
// reads it, a block at a time, and passes whole lines on.
//
// Three rules keep programs and PID 1 alive. The pipes are read as long as
// somebody has them open, whatever became of the place where the lines go: a
// closed pipe would be a SIGPIPE for the program. A reader of the container's
// stdout who has stopped reading is waited for less than a second, then lines
// are dropped and counted. And sidekick's own messages go through a bounded
// queue, so that nobody who logs ever waits.
package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/config"
)

// Collector reads the programs' output and passes it on. Its methods may be
// called from any goroutine.
type Collector struct {
	// Owner finds the user and group of new log files from `user`; nil: they
	// are ours. It is set before the first Configure.
	Owner func(user, group string) (uid, gid uint32, err error)

	stdout, stderr *sink
	messages       *messages
	log            atomic.Pointer[slog.Logger]
	free           buffers
	readers        sync.WaitGroup // one for each stream

	mu       sync.Mutex // owns what follows
	closed   bool
	programs map[string]*program
	files    map[string]*logFile  // by path: those of the configuration
	poller   *poller              // nil before the first stream
	streams  map[*stream]struct{} // those not at their end
}

// NewCollector returns a collector that writes to the files given, normally
// os.Stdout and os.Stderr. It never changes their flags, since O_NONBLOCK
// belongs to the open file description, which others share, and it does not
// close them. Names are coloured where the file is a terminal, unless $NO_COLOR
// is set to something (no-color.org) or $TERM is dumb.
func NewCollector(stdout, stderr *os.File) *Collector {
	out, err := newSinks(stdout, stderr, os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
	c := &Collector{stdout: out, stderr: err,
		programs: map[string]*program{}, files: map[string]*logFile{}, streams: map[*stream]struct{}{}}
	c.free.slots = make(chan struct{}, working)
	c.SetLog(slog.New(slog.DiscardHandler))
	own := c.program(Sidekick)
	own.configured = true
	c.messages = newMessages(err, own, func(dropped uint64) {
		c.log.Load().Warn("messages of sidekick itself were dropped: stderr was not read", "messages", dropped)
	})
	return c
}

// SetLog sets where the collector says what is wrong with a log file, and how
// many messages were dropped. It is a logger that writes to Messages.
func (c *Collector) SetLog(log *slog.Logger) { c.log.Store(log) }

// program finds or makes what is kept of a program. Called with mu held.
func (c *Collector) program(name string) *program {
	p := c.programs[name]
	if p == nil {
		p = &program{ring: ring{program: name}}
		p.route.Store(&route{})
		c.programs[name] = p
	}
	return p
}

// Configure tells which programs there are and where their lines go; streams
// that are open follow from the next line on.
func (c *Collector) Configure(programs []config.Program) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	for _, p := range c.programs {
		p.configured = p.ring.program == Sidekick
	}
	before := c.files
	c.files = map[string]*logFile{}
	layout := newLayout(namesOf(programs))
	for i := range programs {
		p := c.program(programs[i].Name)
		p.configured = true
		p.route.Store(c.newRoute(&programs[i], layout, before))
	}
	for _, p := range c.programs {
		c.forget(p)
	}
	for path, f := range before {
		if c.files[path] != f {
			c.readers.Go(f.close) // in a goroutine, for a disk may hang
		}
	}
}

// forget drops a program that the configuration does not have, once its last
// stream is at its end. Called with mu held.
func (c *Collector) forget(p *program) {
	if p.configured || p.open > 0 {
		return
	}
	delete(c.programs, p.ring.program)
	p.ring.mu.Lock()
	defer p.ring.mu.Unlock()
	p.ring.forget()
	p.ring.over = true
	for _, f := range p.ring.followers {
		f.gone()
	}
}

// newRoute makes the route of a program. A file that was there before is gone on
// with. Called with mu held.
func (c *Collector) newRoute(p *config.Program, l *layout, before map[string]*logFile) *route {
	logging := p.Policy.Logging
	r := &route{inherit: p.Launch.Inherit, format: logging.Format}
	var prefix [2][]byte
	switch logging.To {
	case config.LogFile:
		f := c.newFile(p, before[logging.Path])
		r.to, r.file, r.exact = [2]writer{f, f}, true, logging.Format == config.LogRaw
		prefix[0] = []byte(p.Name + " | ")
		prefix[1] = prefix[0]
	case config.LogStdout, config.LogInherit: // inherit: of an earlier life that has pipes
		r.to = [2]writer{c.stdout, c.stderr}
		prefix = [2][]byte{l.prefix(p.Name, c.stdout.colour), l.prefix(p.Name, c.stderr.colour)}
	}
	for i, stream := range streams {
		r.frames[i] = newFrame(logging.Format, p.Name, stream, prefix[i])
	}
	return r
}

// newFile makes the file of a program, or f that of this program. Called with mu
// held.
func (c *Collector) newFile(p *config.Program, f *logFile) *logFile {
	name, l, owner := p.Name, p.Policy.Logging, c.ownerOf(p.Launch.User, p.Launch.Group)
	if f == nil {
		f = &logFile{path: l.Path, log: c.log.Load}
		f.tune(name, owner, l)
	} else {
		c.readers.Go(func() { f.tune(name, owner, l) }) // not here: a disk may hang
	}
	c.files[f.path] = f
	return f
}

// ownerOf finds the owner of new files anew for each of them.
func (c *Collector) ownerOf(user, group string) func() (uid, gid int, ok bool) {
	return func() (uid, gid int, ok bool) {
		if c.Owner == nil || user == "" {
			return 0, 0, false
		}
		u, g, err := c.Owner(user, group)
		return int(u), int(g), err == nil
	}
}

// Reopen opens all log files anew: somebody has renamed them (logrotate). It
// does not wait for that.
func (c *Collector) Reopen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	for _, f := range c.files {
		c.readers.Go(f.reopen)
	}
}

// Open returns what one life of a program gets as stdout and stderr: the write
// ends of two fresh pipes, or with `to: inherit` our own. The caller closes both
// after the fork; a stream ends when the last process that has it open is gone,
// which may be long after the program's own end. Both are close-on-exec. The
// write ends are blocking, as every program expects of its stdout: Go's own
// os.Pipe would hand the child an O_NONBLOCK descriptor, or rely on everybody
// calling Fd.
func (c *Collector) Open(program string) (stdout, stderr *os.File, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, errors.New("cannot open logs: they are closed")
	}
	p := c.programs[program]
	if p == nil { // nobody has told us
		p = c.program(program)
		unknown := config.DefaultProgram(program)
		p.route.Store(c.newRoute(&unknown, newLayout(nil), nil))
	}
	first, second := pipe, pipe
	if p.route.Load().inherit {
		first, second = duplicate(c.stdout.file), duplicate(c.stderr.file)
	}
	outRead, stdout, err := first(program + " stdout")
	if err != nil {
		return nil, nil, err
	}
	errRead, stderr, err := second(program + " stderr")
	if err == nil {
		err = errors.Join(c.follow(p, 0, outRead), c.follow(p, 1, errRead))
		if err == nil {
			return stdout, stderr, nil
		}
		stderr.Close()
	} else if outRead >= 0 {
		unix.Close(outRead)
	}
	stdout.Close()
	return nil, nil, err
}

// duplicate makes a function that returns no pipe, but a file of ours again.
func duplicate(file *os.File) func(string) (none int, dup *os.File, err error) {
	return func(name string) (none int, dup *os.File, err error) {
		number := -1
		onFD(file, func(fd int) { number, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3) })
		if err != nil || number < 0 {
			return -1, nil, fmt.Errorf("cannot hand on our own %s: %w", name, errors.Join(err, unix.EBADF))
		}
		return -1, os.NewFile(uintptr(number), name), nil
	}
}

// pipe returns a pipe whose read end is non-blocking, for the poller, and whose
// write end is blocking. The two ends are open file descriptions of their own,
// each with its own O_NONBLOCK (pipe(7)).
func pipe(name string) (read int, write *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return -1, nil, fmt.Errorf("cannot make a pipe for %s: %w", name, err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return -1, nil, fmt.Errorf("cannot make a pipe for %s: %w", name, err)
	}
	return fds[0], os.NewFile(uintptr(fds[1]), name), nil
}

// follow starts the goroutine that reads a stream, if there is one. It ends at
// EOF, or when Close stops it. Called with mu held.
func (c *Collector) follow(p *program, number uint8, from int) error {
	if from < 0 {
		return nil
	}
	if c.poller == nil {
		var err error
		if c.poller, err = newPoller(); err != nil {
			unix.Close(from)
			return err
		}
	}
	s := &stream{program: p, number: number, from: from, poller: c.poller, quit: make(chan struct{})}
	s.stop = sync.OnceFunc(func() { close(s.quit) })
	s.ready = c.poller.add(from)
	c.streams[s] = struct{}{}
	p.open++
	c.readers.Go(func() {
		s.copy(&c.free)
		s.close()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.streams, s)
		p.open--
		c.forget(p)
	})
	return nil
}

// Messages returns the writer for sidekick's own log, one Write a message. It
// never blocks and never fails: messages wait in a queue for the container's
// stderr, and where the queue is full they are dropped, and their number is
// written as soon as stderr is read again.
func (c *Collector) Messages() io.Writer { return c.messages }

// Close waits until all streams have ended and all messages are written, or
// until ctx ends; then it closes what is still open. It is the last call:
// messages written after it began may be lost, and Open fails. When ctx ends
// first, somebody still has a pipe open, or nobody reads the container's
// stdout, or a disk hangs. A goroutine in such a write cannot be ended by anybody
// but the kernel, and stays until the process exits.
func (c *Collector) Close(ctx context.Context) {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	done := make(chan struct{})
	c.messages.finish()
	go func() { // ends with the last reader and the queue, see above
		c.readers.Wait()
		<-c.messages.done
		c.stdout.drain()
		c.stderr.drain()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		c.abandon()
		select { // the last unfinished lines
		case <-done:
		case <-time.After(pollPace * time.Millisecond):
		}
	}
	c.stdout.close()
	c.stderr.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.poller != nil && len(c.streams) == 0 {
		c.poller.close()
		c.poller = nil
	}
}

// abandon ends the readers that wait for input.
func (c *Collector) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.streams {
		s.stop()
	}
}
