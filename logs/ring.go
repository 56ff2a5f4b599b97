package logs

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// What is kept of a program's output, for people who ask: the last lines of it.
const (
	ringBytes = 64 << 10
	ringLines = 1000
)

// Stream is one of a program's two outputs.
type Stream string

// The two outputs; "" stands for both.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

// Line is one line of a program's output.
type Line struct {
	// Time is when sidekick read it.
	Time    time.Time
	Program string
	Stream  Stream
	// Text is without the newline. It belongs to everybody who has it, and is
	// not to be changed.
	Text []byte
	// Partial: the line goes on in the next one, for it was too long.
	Partial bool
}

// ring keeps the last output of one program, both streams in the order of their
// arrival. Blocks are kept as they came; lines are found only when somebody
// asks, so that keeping them costs a program next to nothing.
type ring struct {
	program string

	mu        sync.Mutex // owns what follows
	data      []byte     // ringBytes that are written round and round, or nil
	start     int        // of the oldest byte in data
	used      int
	chunks    []chunk // oldest first
	end       [2]uint64
	followers []*Follower
	over      bool // the program is gone for good
}

// chunk is one block in a ring: whole lines of one stream, read at one moment.
type chunk struct {
	at     int64 // in ns since 1970
	size   int32
	stream uint8 // 0 stdout, 1 stderr
	piece  bool  // the line in it goes on in the next chunk
}

func (c chunk) streamName() Stream { return streams[c.stream] }

var streams = [2]Stream{Stdout, Stderr}

// add takes a block of whole lines, or with piece a part of a line, which has no
// newline. It copies what it keeps.
func (r *ring) add(stream uint8, at time.Time, block []byte, piece bool) {
	if !piece && block[len(block)-1] != '\n' { // the last block of a stream
		block = slices.Concat(block, newline)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end[stream] += uint64(len(block))
	c := chunk{at: at.UnixNano(), stream: stream, piece: piece}
	r.tell(c, block)
	block = lastOf(block)
	c.size = int32(len(block))
	r.makeRoom(len(block))
	r.chunks = append(r.chunks, c)
	r.put(block)
}

// lastOf is what a ring can hold of a block, from the beginning of a line if
// one begins in there.
func lastOf(block []byte) []byte {
	if len(block) <= ringBytes {
		return block
	}
	before := len(block) - ringBytes
	if block[before-1] == '\n' {
		return block[before:]
	}
	block = block[before:]
	if end := bytes.IndexByte(block, '\n') + 1; end < len(block) {
		return block[end:]
	}
	return block
}

// makeRoom drops the oldest lines, until there is room for n more bytes and one
// more chunk.
func (r *ring) makeRoom(n int) {
	first := 0
	for ; first < len(r.chunks); first++ {
		c := &r.chunks[first]
		over := r.used + n - ringBytes
		if over <= 0 && len(r.chunks)-first < ringLines {
			break
		}
		cut := int(c.size)
		if 0 < over && over < cut && len(r.chunks)-first < ringLines {
			if cut = over; !c.piece {
				cut = r.lineEnd(over, int(c.size))
			}
		}
		r.start, r.used = (r.start+cut)%ringBytes, r.used-cut
		if c.size -= int32(cut); c.size > 0 {
			break
		}
	}
	if first > 0 {
		r.chunks = slices.Delete(r.chunks, 0, first)
	}
}

// lineEnd is where the first line ends that ends at or behind the first n bytes
// of the oldest chunk, which has size bytes.
func (r *ring) lineEnd(n, size int) int {
	for i := n - 1; i < size; i++ {
		if r.data[(r.start+i)%ringBytes] == '\n' {
			return i + 1
		}
	}
	return size
}

// put appends bytes for which there is room.
func (r *ring) put(block []byte) {
	if r.data == nil {
		r.data = newRingData()
	}
	at := (r.start + r.used) % ringBytes
	n := copy(r.data[at:], block)
	copy(r.data, block[n:])
	r.used += len(block)
}

// newRingData maps memory that is none of Go's heap, which would let as much
// again lie around before it collects. Pages that were never written cost nothing.
func newRingData() []byte {
	data, err := unix.Mmap(-1, 0, ringBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]byte, ringBytes, ringBytes+1) // not to be unmapped
	}
	return data
}

// forget gives the memory back. Called with mu held.
func (r *ring) forget() {
	if cap(r.data) == ringBytes {
		_ = unix.Munmap(r.data)
	}
	r.data, r.start, r.used, r.chunks = nil, 0, 0, nil
}

// copyTo appends n bytes to b, from so many behind the oldest.
func (r *ring) copyTo(b []byte, from, n int) []byte {
	if n == 0 {
		return b
	}
	from = (r.start + from) % ringBytes
	first := min(n, len(r.data)-from)
	b = append(b, r.data[from:from+first]...)
	return append(b, r.data[:n-first]...)
}

// lines returns the last n lines of a stream, "" for both; n < 0: all. Called
// with mu held.
func (r *ring) lines(stream Stream, n int) []Line {
	if n < 0 || n > ringLines {
		n = ringLines
	}
	var backward []Line
	end := r.used
	for _, c := range slices.Backward(r.chunks) {
		if len(backward) >= n {
			break
		}
		end -= int(c.size)
		if stream == "" || stream == c.streamName() {
			lines := c.split(r.program, r.copyTo(make([]byte, 0, c.size), end, int(c.size)))
			slices.Reverse(lines)
			backward = append(backward, lines...)
		}
	}
	backward = backward[:min(n, len(backward))]
	slices.Reverse(backward)
	return backward
}

// split finds the lines of a block.
func (c chunk) split(program string, block []byte) []Line {
	var lines []Line
	for text := range bytes.Lines(block) {
		line, whole := bytes.CutSuffix(text, []byte("\n"))
		lines = append(lines, Line{Time: time.Unix(0, c.at), Program: program, Stream: c.streamName(), Text: line, Partial: !whole && c.piece})
	}
	return lines
}

// bytes returns what is kept of one stream, or of both, and how many bytes were
// ever added.
func (r *ring) bytes(stream Stream) (data []byte, end uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := 0
	for _, c := range r.chunks {
		if stream == "" || stream == c.streamName() {
			data = r.copyTo(data, from, int(c.size))
		}
		from += int(c.size)
	}
	for i, name := range streams {
		if stream == "" || stream == name {
			end += r.end[i]
		}
	}
	return data, end
}

// clear forgets what is kept of a stream, "" of both.
func (r *ring) clear(stream Stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var kept []chunk
	var data []byte
	from := 0
	for _, c := range r.chunks {
		if stream != "" && stream != c.streamName() {
			kept = append(kept, c)
			data = r.copyTo(data, from, int(c.size))
		}
		from += int(c.size)
	}
	r.forget()
	if len(data) > 0 {
		r.chunks = kept
		r.put(data)
	}
}
