package logs

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller tells streams when there is something to be read. Go's own would be
// told of each write to each pipe, whether anybody waits or not (EPOLLET, and
// pipe(7) wakes for every write then), and so would cost a program that writes
// line by line a wake-up a line. Here a pipe is in the set only while its stream
// waits: one that stays there, if only disarmed (EPOLLONESHOT), is called by each
// write all the same, which is a tenth of the time that a write takes. The poller itself is
// watched by Go's, so that no thread is spent.
type poller struct {
	file  *os.File
	conn  syscall.RawConn
	ended chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	waiting map[int]chan struct{} // by descriptor, of capacity 1
}

// newPoller starts the goroutine, which ends with close.
func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot watch pipes: %w", err)
	}
	p := &poller{file: os.NewFile(uintptr(fd), "pipes"), waiting: map[int]chan struct{}{}, ended: make(chan struct{})}
	p.conn, _ = p.file.SyscallConn() // fails without a file only
	go func() {
		defer close(p.ended)
		p.run()
	}()
	return p, nil
}

// add makes a pipe known, and returns the channel that gets a token when it can
// be read, once for each watch.
func (p *poller) add(fd int) (ready chan struct{}) {
	ready = make(chan struct{}, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[fd] = ready
	return ready
}

func (p *poller) fd() (fd int) {
	fd = -1
	_ = p.conn.Control(func(n uintptr) { fd = int(n) })
	return fd
}

// watch asks for one token.
func (p *poller) watch(fd int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(fd)}
	err := unix.EpollCtl(p.fd(), unix.EPOLL_CTL_ADD, fd, &event)
	if err == unix.EEXIST { // a token for an earlier pipe of this number came
		err = unix.EpollCtl(p.fd(), unix.EPOLL_CTL_MOD, fd, &event)
	}
	return err
}

// remove forgets a pipe, which is to be closed then.
func (p *poller) remove(fd int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, fd)
}

// run hands out tokens until close.
func (p *poller) run() {
	events := make([]unix.EpollEvent, 64)
	_ = p.conn.Read(func(fd uintptr) bool {
		for {
			n, err := unix.EpollWait(int(fd), events, 0)
			if err == unix.EINTR {
				continue
			}
			if n <= 0 {
				return false // Go's poller waits
			}
			p.mu.Lock()
			for _, e := range events[:n] {
				_ = unix.EpollCtl(int(fd), unix.EPOLL_CTL_DEL, int(e.Fd), nil) // before the token, after which it may be watched again
				select {
				case p.waiting[int(e.Fd)] <- struct{}{}:
				default: // it has one, or is gone
				}
			}
			p.mu.Unlock()
		}
	})
}

func (p *poller) close() {
	_ = p.file.Close()
	<-p.ended
}
