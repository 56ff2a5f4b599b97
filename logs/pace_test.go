package logs

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A program that writes into its file without a pause is read in large blocks,
// of which no byte is lost when the buffer changes; one that writes less, or to a
// reader, is not.
func TestBulk(t *testing.T) {
	read, write, err := pipe("test")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(read)
	defer write.Close()
	var free buffers
	s := &stream{program: &program{}, from: read}
	s.program.route.Store(&route{file: true})
	s.rest = []byte("the beginning of a line")
	sizes := func(reads, n int) (size int) {
		for range reads {
			s.pace(n, time.Minute)
		}
		s.makeRoom(&free)
		if got := string(s.in.in[:s.n]); got != "the beginning of a line" {
			t.Errorf("the buffer begins with %q", got)
		}
		size = len(s.in.in)
		s.release(&free)
		return size
	}
	if got := sizes(bulkReads-1, readSize); got != readSize || s.capacity != 0 {
		t.Errorf("%d bytes, a pipe of %d, after a few large reads", got, s.capacity)
	}
	if got := sizes(1, readSize); got != bulkSize || s.capacity < 64<<10 {
		t.Errorf("%d bytes, a pipe of %d, after many large reads", got, s.capacity)
	}
	s.program.route.Store(&route{})
	if got := sizes(1, readSize); got != readSize {
		t.Errorf("%d bytes for a reader that may be slow", got)
	}
	s.program.route.Store(&route{file: true})
	if got := sizes(1, readSize/2-1); got != readSize {
		t.Errorf("%d bytes after a small read", got)
	}
}

// Only a program that goes on and on line by line has a larger pipe, and not the
// largest: others on the host need some too.
func TestPipeOfLines(t *testing.T) {
	read, write, err := pipe("test")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(read)
	defer write.Close()
	s := &stream{program: &program{}, from: read}
	s.program.route.Store(&route{file: true})
	for range 3 { // bursts
		for range hotReads - 1 {
			s.pace(100, 0)
		}
		s.pace(100, time.Second)
	}
	if s.asked != 0 {
		t.Errorf("a pipe of %d after a few lines", s.asked)
	}
	for range hotReads {
		s.pace(100, 0)
	}
	if s.asked != hotPipe || s.capacity > hotPipe {
		t.Errorf("a pipe of %d, %d asked for, after many lines", s.capacity, s.asked)
	}
	for range bulkReads {
		s.pace(readSize, 0)
	}
	if s.asked != bulkPipe {
		t.Errorf("a pipe of %d after many blocks", s.asked)
	}
}

// A program is held up once, and not for each block, when nobody reads.
func TestProgramIsHeldUpOnce(t *testing.T) {
	_, w := rawPipe(t)
	fill(t, w)
	c := NewCollector(w, w)
	c.Configure(named("web"))
	stdout, stderr := open(t, c, "web")
	const blocks = 64
	begun := time.Now()
	for range blocks {
		io.WriteString(stdout, strings.Repeat(strings.Repeat("x", 99)+"\n", readSize/100))
	}
	// Waiting with each block would take more than half a minute.
	if took := time.Since(begun); took > blocks/4*patience {
		t.Errorf("the program was held up for %v", took)
	}
	stdout.Close()
	stderr.Close()
	eventually(t, "all is read", func() bool { return c.Stats()["web"].Lines == blocks*(readSize/100) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	c.Close(ctx)
	c.readers.Wait() // or the descriptors of the next test are counted with these
}
