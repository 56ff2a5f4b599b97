package logs

import (
	"bytes"
	"sync/atomic"
	"time"

	"sidekick/config"
)

// program is what the collector keeps of one program, across its lives.
type program struct {
	ring  ring
	route atomic.Pointer[route]
	// lines and bytes were read, dropped are lines that could not be written.
	lines, bytes, dropped atomic.Uint64

	// Owned by Collector.mu: whether the configuration has it, and how many of
	// its streams are open.
	configured bool
	open       int
}

// route is where the lines of a program go, and how. It is never changed: a
// reload stores another one, and the next block takes that.
type route struct {
	inherit bool
	format  config.LogFormat
	file    bool      // into a file, which has no reader to wait for
	exact   bool      // not a byte is added: raw into a file
	to      [2]writer // stdout, stderr; nil: nowhere
	frames  [2]frame
}

// writer takes whole lines, or one piece of a line that is too long. It returns
// how many lines it did not take, and does so before by if nothing but a reader
// who is slow holds it up.
type writer interface {
	write(lines []byte, by time.Time) (lost int)
}

// patience is how long a block of lines may wait for a slow reader. A program
// whose pipe is full waits as long; the contract says a second at most.
const patience = 600 * time.Millisecond

// take keeps a block of whole lines and passes it on; with piece it is a part of
// one line, and the last block of a stream may have no newline. Lines that
// nobody takes are counted. Lines are framed in out, which is returned.
func (p *program) take(stream uint8, at time.Time, block []byte, piece bool, out []byte) []byte {
	lines, size := countLines(block), len(block)
	defer func() { // last: whoever sees these lines counted knows what became of them
		p.lines.Add(uint64(lines))
		p.bytes.Add(uint64(size))
	}()
	p.ring.add(stream, at, block, piece)
	r := p.route.Load()
	to := r.to[stream]
	if to == nil {
		return out
	}
	by := at.Add(patience)
	if r.format == config.LogRaw && (r.exact || block[len(block)-1] == '\n') {
		p.dropped.Add(uint64(to.write(block, by)))
		return out
	}
	for len(block) > 0 {
		out, block = r.frames[stream].append(out[:0], at, block, piece)
		p.dropped.Add(uint64(to.write(out, by)))
	}
	return out
}

// countLines counts a part of a line at the end, too.
func countLines(block []byte) int {
	n := bytes.Count(block, newline)
	if len(block) > 0 && block[len(block)-1] != '\n' {
		n++
	}
	return n
}

var newline = []byte("\n")
