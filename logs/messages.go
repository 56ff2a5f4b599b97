package logs

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"
)

// queueLength is how many of sidekick's own messages wait for a slow reader.
const queueLength = 1024

// messages is the writer of sidekick's own log: a bounded queue, and one
// goroutine that empties it.
type messages struct {
	to      *sink
	own     *program // which keeps them
	queue   chan []byte
	dropped atomic.Uint64        // since the last report
	report  func(dropped uint64) // as one more message, in the form of all others
	finish  func()               // asks the goroutine to empty the queue and end
	quit    chan struct{}
	done    chan struct{} // closed when the goroutine has ended
}

// newMessages starts the goroutine, which ends after finish, when the queue is
// empty.
func newMessages(to *sink, own *program, report func(dropped uint64)) *messages {
	m := &messages{to: to, own: own, report: report,
		queue: make(chan []byte, queueLength), quit: make(chan struct{}), done: make(chan struct{})}
	m.finish = sync.OnceFunc(func() { close(m.quit) })
	go m.drain()
	return m
}

// Write keeps one message and puts it into the queue, or drops it where that is
// full. It copies p, which belongs to the caller again after it (io.Writer).
func (m *messages) Write(p []byte) (int, error) {
	m.own.take(1, time.Now(), p, false, nil) // its route leads nowhere
	select {
	case m.queue <- bytes.Clone(p):
	default:
		m.drop()
	}
	return len(p), nil
}

func (m *messages) drop() {
	m.dropped.Add(1)
	m.own.dropped.Add(1)
}

func (m *messages) drain() {
	defer close(m.done)
	for {
		select {
		case message := <-m.queue:
			m.deliver(message)
		case <-m.quit:
			m.deliverRest()
			return
		}
	}
}

func (m *messages) deliverRest() {
	for {
		select {
		case message := <-m.queue:
			m.deliver(message)
		default:
			return
		}
	}
}

// deliver writes one message, however long its reader takes, and reports after
// the last one in the queue how many were dropped behind it.
func (m *messages) deliver(message []byte) {
	for m.to.deliver(message, time.Now().Add(patience)) > 0 {
		if !m.to.again() {
			m.drop()
			return
		}
	}
	if len(m.queue) > 0 {
		return
	}
	if n := m.dropped.Swap(0); n > 0 {
		m.report(n)
	}
}
