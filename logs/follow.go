package logs

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
)

// followBytes is how much may wait for a follower, in bytes, before it counts
// as one that has stopped reading. The longest line has to fit.
const followBytes = 4 << 20

// Follower is somebody who reads the output of programs as it comes.
type Follower struct {
	stream Stream
	rings  []*ring
	lines  chan Line
	behind atomic.Int64  // how many lines of its block come after the one handed over
	ended  chan struct{} // closed when the goroutine in pump has ended

	mu      sync.Mutex // owns what follows
	waiting []block
	size    int // of what was not handed over, in bytes
	left    int // how many of the programs there still are
	closed  bool
	dropped bool
	more    *sync.Cond // of mu: something of the above changed
	quit    chan struct{}
}

// block is what a follower has not been given yet: lines of the past, or a
// block of the present.
type block struct {
	past    []Line
	program string
	chunk   chunk
	data    []byte
}

// Follow returns a follower of these programs: first the last n lines, with
// n < 0 all that are kept, then each line as it is read, in this life of a program
// and the next, with none missing and none twice. Close has to be called.
// Programs that do not exist are left out.
func (c *Collector) Follow(programs []string, stream Stream, n int) *Follower {
	return follow(c.rings(programs), stream, n)
}

// follow is Follow of rings, of which some may be those of programs that are gone
// by now.
func follow(rings []*ring, stream Stream, n int) *Follower {
	f := &Follower{stream: stream, rings: rings, lines: make(chan Line), ended: make(chan struct{}), quit: make(chan struct{})}
	f.more = sync.NewCond(&f.mu)
	for _, r := range f.rings { // in the order of their names: nobody else holds two
		r.mu.Lock()
		if !r.over {
			f.left++
		}
	}
	f.waiting = []block{{past: merge(f.rings, stream, n)}} // before anybody adds to it
	for _, r := range f.rings {
		r.followers = append(r.followers, f)
		r.mu.Unlock()
	}
	go f.pump()
	return f
}

// Last returns the last n lines of each of these programs, with n < 0 all that are
// kept, in the order in which they were read.
func (c *Collector) Last(programs []string, stream Stream, n int) []Line {
	rings := c.rings(programs)
	for _, r := range rings {
		r.mu.Lock()
		defer r.mu.Unlock()
	}
	return merge(rings, stream, n)
}

// merge returns the last n lines of each of rings, whose locks are held.
func merge(rings []*ring, stream Stream, n int) []Line {
	var all []Line
	for _, r := range rings {
		all = append(all, r.lines(stream, n)...)
	}
	if len(rings) > 1 {
		slices.SortStableFunc(all, func(a, b Line) int { return a.Time.Compare(b.Time) })
	}
	return all
}

// rings finds the rings of programs, in the order of their names and each once.
func (c *Collector) rings(programs []string) []*ring {
	c.mu.Lock()
	defer c.mu.Unlock()
	var rings []*ring
	for _, name := range slices.Compact(slices.Sorted(slices.Values(programs))) {
		if p := c.programs[name]; p != nil {
			rings = append(rings, &p.ring)
		}
	}
	return rings
}

// tell passes a block on to the followers, who share one copy of it. Called
// with mu held, which also keeps the order.
func (r *ring) tell(c chunk, data []byte) {
	var shared []byte
	for _, f := range r.followers {
		if f.stream != "" && f.stream != c.streamName() {
			continue
		}
		if shared == nil {
			shared = bytes.Clone(data)
		}
		f.push(block{program: r.program, chunk: c, data: shared})
	}
}

// push never waits: a follower for whom too much waits is dropped.
func (f *Follower) push(b block) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.waiting = append(f.waiting, b)
	f.size += len(b.data)
	if f.size > followBytes {
		f.dropped = true
		f.end()
	}
	f.more.Signal()
}

// end stops the goroutine at the next moment. Called with mu held.
func (f *Follower) end() {
	if !f.closed {
		f.closed, f.waiting = true, nil
		close(f.quit)
	}
	f.more.Signal()
}

// gone: the program of a ring is gone for good.
func (f *Follower) gone() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left--
	f.more.Signal()
}

// pump cuts blocks into lines and hands them over. It ends with Close, when the
// follower is dropped, and when none of the programs is left.
func (f *Follower) pump() {
	defer close(f.ended)
	defer close(f.lines)
	for {
		blocks := f.take()
		if blocks == nil {
			return
		}
		for _, b := range blocks {
			lines := b.past
			if lines == nil {
				lines = b.chunk.split(b.program, b.data)
			}
			for i, line := range lines {
				f.behind.Store(int64(len(lines) - 1 - i))
				select {
				case f.lines <- line:
				case <-f.quit:
					return
				}
			}
			f.handed(len(b.data))
		}
	}
}

// handed: so many bytes have been handed over.
func (f *Follower) handed(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.size -= n
}

// take waits for blocks; nil is the end.
func (f *Follower) take() []block {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.waiting) == 0 && !f.closed && f.left > 0 {
		f.more.Wait()
	}
	blocks := f.waiting
	f.waiting = nil
	return blocks
}

// Lines gives the lines. It is closed after Close, when the follower was
// dropped (see Dropped), and when a reload has removed the last of its programs.
func (f *Follower) Lines() <-chan Line { return f.lines }

// More says, after a line, that another one comes right behind it, so that it
// need not be sent on by itself. Nothing is buffered for that: lines may be long.
func (f *Follower) More() bool { return f.behind.Load() > 0 }

// Dropped: it was closed because it read too slowly; nothing waits for it.
func (f *Follower) Dropped() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dropped
}

// Close ends the follower and waits for its goroutine.
func (f *Follower) Close() {
	for _, r := range f.rings {
		r.mu.Lock()
		r.followers = slices.DeleteFunc(r.followers, func(other *Follower) bool { return other == f })
		r.mu.Unlock()
	}
	f.mu.Lock()
	f.end()
	f.mu.Unlock()
	<-f.ended
}

// Bytes returns what is kept of one program's output, "line\n" after "line\n",
// and how many bytes of it there ever were: data ends at byte end.
func (c *Collector) Bytes(program string, stream Stream) (data []byte, end uint64) {
	for _, r := range c.rings([]string{program}) {
		data, end = r.bytes(stream)
	}
	return data, end
}

// Clear forgets what is kept of one program's output.
func (c *Collector) Clear(program string, stream Stream) {
	for _, r := range c.rings([]string{program}) {
		r.clear(stream)
	}
}

// Sidekick is the name under which sidekick's own messages are kept.
const Sidekick = ""

// Stats counts one program's output since sidekick's start.
type Stats struct {
	// Lines and Bytes, newlines included, were read.
	Lines, Bytes uint64
	// Dropped is how many lines could not be written where they were to go:
	// nobody read the container's stdout, the disk was full.
	Dropped uint64
}

// Stats returns the counters of all programs, Sidekick among them.
func (c *Collector) Stats() map[string]Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[string]Stats, len(c.programs))
	for name, p := range c.programs {
		all[name] = Stats{Lines: p.lines.Load(), Bytes: p.bytes.Load(), Dropped: p.dropped.Load()}
	}
	return all
}
