package logs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/config"
)

// end is far more than any wait of a test that passes.
const end = 30 * time.Second

// capture is a pipe in the place of a container's stream, read to its end.
type capture struct {
	*os.File // the write end
	done     chan struct{}
	buf      bytes.Buffer
}

// newCapture starts the reader. It ends when text closes the write end.
func newCapture(t *testing.T) *capture {
	t.Helper()
	r, w := rawPipe(t)
	c := &capture{File: w, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		io.Copy(&c.buf, r)
	}()
	return c
}

// text closes the stream and returns what was written to it.
func (c *capture) text() string {
	c.File.Close()
	<-c.done
	return c.buf.String()
}

// rawPipe is a pipe with blocking ends, as a container's stdout is.
func rawPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(fds[0]), "read end"), os.NewFile(uintptr(fds[1]), "write end")
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// open is Open for tests.
func open(t *testing.T, c *Collector, program string) (stdout, stderr *os.File) {
	t.Helper()
	stdout, stderr, err := c.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdout.Close(); stderr.Close() })
	return stdout, stderr
}

// named are programs with every default.
func named(names ...string) (all []config.Program) {
	for _, name := range names {
		all = append(all, config.DefaultProgram(name))
	}
	return all
}

// logging is one program with this logging.
func logging(name string, l config.Logging) []config.Program {
	p := config.DefaultProgram(name)
	p.Policy.Logging = l
	p.Launch.Inherit = l.To == config.LogInherit
	return []config.Program{p}
}

// closeIn closes c and fails the test if that takes until d.
func closeIn(t *testing.T, c *Collector, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	c.Close(ctx)
	if ctx.Err() != nil {
		t.Fatalf("not closed within %v", d)
	}
}

// printed runs print with the streams of one life of "web" and returns what
// came out of the container.
func printed(t *testing.T, print func(stdout, stderr *os.File)) (stdout, stderr string) {
	t.Helper()
	out, err := newCapture(t), newCapture(t)
	c := NewCollector(out.File, err.File)
	c.Configure(named("web"))
	w, e := open(t, c, "web")
	print(w, e)
	w.Close()
	e.Close()
	closeIn(t, c, end)
	return out.text(), err.text()
}

func TestCollectorKeepsTheStreamsApart(t *testing.T) {
	out, err := printed(t, func(stdout, stderr *os.File) {
		io.WriteString(stdout, "one\ntwo\n")
		io.WriteString(stderr, "oops\n")
	})
	if out != "web | one\nweb | two\n" || err != "web | oops\n" {
		t.Errorf("stdout %q, stderr %q", out, err)
	}
}

func TestCollectorWritesBytesExactly(t *testing.T) {
	long := strings.Repeat("0123456789", 20_000)
	mib := strings.Repeat("m", maxLine)
	for _, tc := range []struct{ name, in, out string }{
		{"200,000 bytes in a line", long + "\nnext\n", "web | " + long + "\nweb | next\n"},
		{"a line of 1 MiB", mib + "\nnext\n", "web | " + mib + "\nweb | next\n"},
		{"a line of 2 MiB and a half", mib + mib + mib[:maxLine/2] + "\nnext\n",
			"web | " + mib + "\nweb | " + mib + "\nweb | " + mib[:maxLine/2] + "\nweb | next\n"},
		{"the last line without a newline", "one\ntwo", "web | one\nweb | two\n"},
		{"nothing but such a line", "one", "web | one\n"},
		{"NUL and bytes that are no UTF-8", "a\x00b\xff\xc3(\r\n", "web | a\x00b\xff\xc3(\r\n"},
		{"empty lines", "\n\n", "web | \nweb | \n"},
		{"nothing", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, _ := printed(t, func(stdout, _ *os.File) { io.WriteString(stdout, tc.in) })
			if out != tc.out {
				t.Errorf("%.100q (%d bytes), want %.100q (%d bytes)", out, len(out), tc.out, len(tc.out))
			}
		})
	}
}

func TestCollectorWaitsForTheRestOfALine(t *testing.T) {
	r, w := rawPipe(t)
	c := NewCollector(w, w)
	stdout, stderr := open(t, c, "web")
	io.WriteString(stdout, "half")
	io.WriteString(stderr, "whole\n")
	buf := make([]byte, 100)
	n, _ := r.Read(buf)
	if got := string(buf[:n]); got != "web | whole\n" {
		t.Errorf("got %q first", got)
	}
	io.WriteString(stdout, " and half\n")
	n, _ = r.Read(buf)
	if got := string(buf[:n]); got != "web | half and half\n" {
		t.Errorf("then %q", got)
	}
	stdout.Close()
	stderr.Close()
	closeIn(t, c, end)
}

// Many programs write at a time, in pieces, to stdout and stderr which are one
// file: every line arrives whole, and those of one stream in their order.
func TestCollectorNeverMixesLines(t *testing.T) {
	const programs, lines = 20, 500
	both := newCapture(t)
	c := NewCollector(both.File, both.File)
	var all []string
	for i := range programs {
		all = append(all, fmt.Sprintf("p%02d", i))
	}
	c.Configure(named(all...))
	var wg sync.WaitGroup
	for i := range programs {
		stdout, stderr := open(t, c, fmt.Sprintf("p%02d", i))
		for stream, f := range map[string]*os.File{"out": stdout, "err": stderr} {
			wg.Go(func() {
				defer f.Close()
				for n := range lines {
					line := fmt.Sprintf("%s %d %s\n", stream, n, strings.Repeat("x", n*7%300))
					io.WriteString(f, line[:len(line)/2])
					io.WriteString(f, line[len(line)/2:])
				}
			})
		}
	}
	wg.Wait()
	closeIn(t, c, end)
	dropped := 0
	for _, stats := range c.Stats() {
		dropped += int(stats.Dropped) // by a machine that is too busy to read
	}
	checkLines(t, both.text(), programs*2, lines, dropped)
}

// checkLines checks that text is made of so many streams of so many lines, but
// for those that were dropped.
func checkLines(t *testing.T, text string, streams, lines, dropped int) {
	t.Helper()
	got := 0
	next := map[string]int{}
	for line := range strings.Lines(text) {
		var program, stream, padding string
		var n int
		fmt.Sscanf(line, "%s | %s %d %s", &program, &stream, &n, &padding)
		key := program + " " + stream
		if want := fmt.Sprintf("%s | %s %d %s\n", program, stream, n, strings.Repeat("x", n*7%300)); line != want || n < next[key] {
			t.Fatalf("%q, want line %d of %q", line, next[key], key)
		}
		next[key] = n + 1
		got++
	}
	if got+dropped != streams*lines || got == 0 {
		t.Errorf("%d lines and %d dropped, want %d", got, dropped, streams*lines)
	}
}

func TestCollectorAlignsPrefixes(t *testing.T) {
	r, w := rawPipe(t)
	c := NewCollector(w, w)
	c.Configure(named("web", "worker"))
	stdout, stderr := open(t, c, "web")
	read := func() string {
		buf := make([]byte, 100)
		n, _ := r.Read(buf)
		return string(buf[:n])
	}
	io.WriteString(stdout, "one\n")
	if got := read(); got != "web    | one\n" {
		t.Errorf("%q", got)
	}
	c.Configure(named("web")) // a reload took the other one away
	io.WriteString(stdout, "two\n")
	if got := read(); got != "web | two\n" {
		t.Errorf("%q", got)
	}
	stdout.Close()
	stderr.Close()
	closeIn(t, c, end)
}

func TestCollectorSecondLife(t *testing.T) {
	out := newCapture(t)
	c := NewCollector(out.File, out.File)
	for _, life := range []string{"first", "second"} {
		stdout, stderr := open(t, c, "web")
		io.WriteString(stdout, life+"\n")
		stdout.Close()
		stderr.Close()
	}
	closeIn(t, c, end)
	lines := slices.Sorted(strings.Lines(out.text()))
	if want := []string{"web | first\n", "web | second\n"}; !slices.Equal(lines, want) {
		t.Errorf("%q, want %q", lines, want)
	}
}

func TestOpenAfterClose(t *testing.T) {
	out := newCapture(t)
	c := NewCollector(out.File, out.File)
	closeIn(t, c, end)
	if _, _, err := c.Open("web"); err == nil || !strings.HasPrefix(err.Error(), "cannot open logs") {
		t.Errorf("error %v", err)
	}
	closeIn(t, c, end) // a second Close is harmless
}

// Somebody who left the program keeps its stdout open: Close waits until its
// context ends, and no longer.
func TestCloseWithAStreamThatStaysOpen(t *testing.T) {
	r, w := rawPipe(t)
	c := NewCollector(w, w)
	stdout, _ := open(t, c, "web")
	io.WriteString(stdout, "a whole line\nan unfinished one")
	buf := make([]byte, 100)
	n, _ := r.Read(buf)
	if got := string(buf[:n]); got != "web | a whole line\n" {
		t.Errorf("got %q", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	c.Close(ctx)
	if ctx.Err() == nil {
		t.Error("Close returned before its context ended, with a stream open")
	}
	c.readers.Wait() // the readers have ended, though nobody closed the stream
	n, _ = r.Read(buf)
	if got := string(buf[:n]); got != "web | an unfinished one\n" {
		t.Errorf("then %q", got)
	}
}

func TestOpenLeaksNoDescriptors(t *testing.T) {
	out := newCapture(t)
	before := descriptors(t)
	c := NewCollector(out.File, out.File)
	for range 100 {
		stdout, stderr := open(t, c, "web")
		stdout.Close()
		stderr.Close()
	}
	closeIn(t, c, end)
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
