package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fill writes to a pipe that nobody reads until it takes no more.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	onFD(w, func(fd int) {
		unix.SetNonblock(fd, true)
		for _, size := range []int{4096, 1} {
			for err := error(nil); err == nil; {
				_, err = unix.Write(fd, make([]byte, size))
			}
		}
		unix.SetNonblock(fd, false)
	})
}

// Nobody reads the container's stdout and stderr: messages are taken all the
// same. When somebody reads again, what was queued comes out, and how many were
// dropped.
func TestMessagesWithAStuckReader(t *testing.T) {
	r, w := rawPipe(t)
	fill(t, w)
	c := NewCollector(w, w)
	c.SetLog(slog.New(slog.NewJSONHandler(c.Messages(), nil)))
	c.Configure(named("web"))
	stdout, stderr := open(t, c, "web")
	io.WriteString(stdout, strings.Repeat("x", maxLate)+"\n")
	eventually(t, "the line is dropped", func() bool { return c.Stats()["web"].Dropped == 1 })
	const sent = 3 * queueLength
	for n := range sent {
		fmt.Fprintf(c.Messages(), "message %d %01000d\n", n, 0)
	}
	text := make(chan string)
	go func() { // ends when the write ends are closed
		all, _ := io.ReadAll(r)
		text <- strings.TrimLeft(string(all), "\x00")
	}()
	eventually(t, "the queue is empty", func() bool { return len(c.messages.queue) == 0 })
	io.WriteString(stdout, "a line that can\n")
	stdout.Close()
	stderr.Close()
	closeIn(t, c, end)
	w.Close()
	checkDropped(t, <-text, sent)
}

// Close keeps to its time with a reader that is stuck.
func TestCloseWithAStuckReader(t *testing.T) {
	_, w := rawPipe(t)
	fill(t, w)
	c := NewCollector(w, w)
	c.Configure(named("web"))
	stdout, stderr := open(t, c, "web")
	io.WriteString(stdout, "a line that cannot be written\n")
	fmt.Fprintln(c.Messages(), "nor can a message")
	eventually(t, "the line is read", func() bool { return c.Stats()["web"].Lines == 1 })
	stdout.Close()
	stderr.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	c.Close(ctx)
	if took := time.Since(start); took > end/2 {
		t.Errorf("Close took %v, its context ended after 20ms", took)
	}
	c.readers.Wait()
	<-c.messages.done
}

// eventually waits for something that other goroutines do.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(end); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not so: " + what)
		}
	}
}

// checkDropped checks that text is messages in their order which, with those
// reported as dropped, make up all, and the line of the program.
func checkDropped(t *testing.T, text string, all int) {
	t.Helper()
	last, kept, dropped, program := -1, 0, 0, 0
	for line := range strings.Lines(text) {
		var n int
		if line == "web | a line that can\n" {
			program++
		} else if _, err := fmt.Sscanf(line, "message %d ", &n); err == nil && n > last {
			last = n
			kept++
		} else if report := struct{ Messages int }{}; json.Unmarshal([]byte(line), &report) == nil && report.Messages > 0 {
			dropped += report.Messages
		} else {
			t.Fatalf("unexpected line %q after message %d", line, last)
		}
	}
	if kept+dropped != all || kept < queueLength || dropped == 0 || program != 1 {
		t.Errorf("%d messages, %d dropped, %d lines of the program; want %d messages in all, and one line",
			kept, dropped, program, all)
	}
}

// How many were dropped is told once, behind what was queued before, as a
// message like all others.
func TestDroppedIsToldOnce(t *testing.T) {
	out := newCapture(t)
	to, other := newSinks(out.File, out.File, false)
	m := &messages{to: to, own: new(program), queue: make(chan []byte, 2)}
	m.report = func(dropped uint64) { fmt.Fprintln(m, dropped, "were dropped") }
	m.own.route.Store(&route{})
	for _, message := range []string{"one\n", "two\n", "dropped\n", "dropped\n"} {
		io.WriteString(m, message)
	}
	m.deliver(<-m.queue)
	m.deliver(<-m.queue)
	io.WriteString(m, "three\n")
	m.deliver(<-m.queue)
	m.deliver(<-m.queue)
	to.close()
	other.close()
	want := "one\ntwo\n2 were dropped\nthree\n"
	if got := out.text(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// The log handler uses its buffer again after the Write.
func TestMessagesCopies(t *testing.T) {
	m := &messages{own: new(program), queue: make(chan []byte, 1)}
	m.own.route.Store(&route{})
	buf := []byte("one")
	m.Write(buf)
	copy(buf, "two")
	if got := string(<-m.queue); got != "one" {
		t.Errorf("%q, want one", got)
	}
}

// The reader of the container's stdout is gone: programs write on unharmed,
// and their lines are counted.
func TestCollectorWithAClosedReader(t *testing.T) {
	r, w := rawPipe(t)
	r.Close()
	c := NewCollector(w, w)
	c.Configure(named("web"))
	stdout, stderr := open(t, c, "web")
	const lines = 10_000
	for n := range lines {
		if _, err := fmt.Fprintf(stdout, "line %d\n", n); err != nil {
			t.Fatalf("the program's own write failed: %v", err)
		}
	}
	fmt.Fprintln(c.Messages(), "a message")
	stdout.Close()
	stderr.Close()
	closeIn(t, c, end)
	if stats := c.Stats(); stats["web"].Dropped != lines || stats[Sidekick].Dropped != 1 {
		t.Errorf("%+v, want %d lines and 1 message dropped", stats, lines)
	}
}

// With descriptors 1 and 2 themselves, where Go raises SIGPIPE by default: the
// test binary runs itself, with nobody who reads its stdout and stderr.
func TestClosedReaderOfDescriptor1(t *testing.T) {
	if os.Getenv("LOGS_TEST_CHILD") == "1" {
		c := NewCollector(os.Stdout, os.Stderr)
		c.Configure(named("web"))
		stdout, stderr, err := c.Open("web")
		if err != nil {
			os.Exit(3)
		}
		io.WriteString(stdout, "line\n")
		io.WriteString(stderr, "line\n")
		stdout.Close()
		stderr.Close()
		io.WriteString(c.Messages(), "message\n")
		c.Close(context.Background())
		os.Exit(40 + int(c.Stats()["web"].Dropped+c.Stats()[Sidekick].Dropped))
	}
	r, w := rawPipe(t)
	r.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestClosedReaderOfDescriptor1$")
	cmd.Env = append(os.Environ(), "LOGS_TEST_CHILD=1")
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 43 {
		t.Errorf("%v, want exit status 43: three lines discarded, and alive", err)
	}
}

// A reader that is slow, on a file that somebody made O_NONBLOCK: nothing is lost.
func TestCollectorWritesToANonblockingFile(t *testing.T) {
	r, w := rawPipe(t)
	onFD(w, func(fd int) { unix.SetNonblock(fd, true) })
	c := NewCollector(w, w)
	c.Configure(named("web"))
	stdout, stderr := open(t, c, "web")
	text := strings.Repeat(strings.Repeat("x", 99)+"\n", 10_000)
	go func() { // ends when all of it is read below
		io.WriteString(stdout, text)
		stdout.Close()
		stderr.Close()
	}()
	got := make([]byte, len(text)+10_000*len("web | "))
	if _, err := io.ReadFull(r, got); err != nil {
		t.Fatal(err)
	}
	closeIn(t, c, end)
	if plain := strings.ReplaceAll(string(got), "web | ", ""); plain != text {
		t.Error("lines came out changed")
	}
	if n := c.Stats()["web"].Dropped; n != 0 {
		t.Errorf("%d lines dropped", n)
	}
}

// A reader that stops within a line: the rest of it comes first when he reads
// again, and every line is either there or counted.
func TestSinkAfterATornLine(t *testing.T) {
	r, w := rawPipe(t)
	s, other := newSinks(w, w, false)
	lines := []byte(strings.Repeat(strings.Repeat("x", 98)+"\n", 20000))
	lost := s.write(lines, time.Now())
	s.turn <- struct{}{} // for a look at what belongs to who has it
	stuck, late := s.stuck != nil, len(s.late)
	s.leave()
	if !stuck || lost == 0 || late == 0 || late%99 == 0 {
		t.Fatalf("%d lines lost, %d bytes late: nothing is torn", lost, late)
	}
	text := make(chan []byte)
	go func() { // ends when the write ends are closed
		all, _ := io.ReadAll(r)
		text <- all
	}()
	s.drain()
	if lost := s.write([]byte("next\n"), time.Now().Add(end)); lost != 0 {
		t.Errorf("%d lines lost, and somebody reads", lost)
	}
	s.drain()
	s.close()
	other.close()
	w.Close()
	got := <-text
	if kept := 20000 - lost; !bytes.Equal(got, append(lines[:99*kept], "next\n"...)) {
		t.Errorf("%d bytes and %d lines lost", len(got), lost)
	}
}

// The rest of a half-written line comes before lines of others, who were late
// while it was written.
func TestSinkKeepsTheRestOfALineFirst(t *testing.T) {
	_, w := rawPipe(t)
	s, _ := newSinks(w, w, false)
	s.keep([]byte("another\n"))
	if lost := s.keepFrom([]byte("torn\nnext\n"), 2); lost != 0 || string(s.late) != "rn\nanother\nnext\n" {
		t.Errorf("%d lost, late %q", lost, s.late)
	}
}

// Lines that wait for a reader who goes for good are counted, though nobody
// writes at that moment; a message of sidekick's own does not take that count.
func TestSinkWhoseReaderGoesWhileLinesWait(t *testing.T) {
	r, w := rawPipe(t)
	fill(t, w)
	s, _ := newSinks(w, w, false)
	defer s.close()
	if lost := s.write([]byte("one\ntwo\n"), time.Now()); lost != 0 {
		t.Fatalf("%d lines lost, want both kept", lost)
	}
	r.Close()
	eventually(t, "somebody has noticed", func() bool {
		s.turn <- struct{}{}
		defer s.leave()
		return s.stuck == nil
	})
	if lost := s.deliver([]byte("message\n"), time.Now()); lost != 1 {
		t.Errorf("%d messages lost, want 1", lost)
	}
	for _, want := range []int{3, 1} {
		if lost := s.write([]byte("three\n"), time.Now()); lost != want {
			t.Errorf("%d lines lost, want %d", lost, want)
		}
	}
}

func TestSinkOnAFullDisk(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, _ := newSinks(f, f, false)
	if n := s.write([]byte("one\ntwo\n"), time.Now()); n != 0 || string(s.late) != "one\ntwo\n" {
		t.Errorf("%d lines lost, %q kept; want all kept", n, s.late)
	}
	if n := s.write(append(bytes.Repeat([]byte("x"), maxLate), '\n'), time.Now()); n != 1 || len(s.late) != 8 {
		t.Errorf("%d lines lost, %d bytes kept; want 1 line lost", n, len(s.late))
	}
}

// The child has to find an ordinary, blocking stdout.
func TestChildsStdoutIsBlocking(t *testing.T) {
	out := newCapture(t)
	c := NewCollector(out.File, out.File)
	stdout, stderr := open(t, c, "web")
	onFD(stdout, func(fd int) {
		onFD(stderr, func(fd2 int) { spawn(t, fd, fd2, "grep flags: /proc/self/fdinfo/1 /proc/self/fdinfo/2") })
	})
	stdout.Close()
	stderr.Close()
	closeIn(t, c, end)
	got := out.text()
	if strings.Count(got, "flags:") != 2 {
		t.Errorf("the child saw:\n%s", got)
	}
	for line := range strings.Lines(got) {
		var file string
		var flags int
		if _, err := fmt.Sscanf(line, "web | %s %o", &file, &flags); err != nil || flags&unix.O_NONBLOCK != 0 {
			t.Errorf("the child's stdout is non-blocking: %s", line)
		}
	}
}

// No other program gets a pipe by accident, which would keep it open.
func TestPipesAreCloseOnExec(t *testing.T) {
	read, write, err := pipe("web stdout")
	if err != nil {
		t.Fatal(err)
	}
	reading := os.NewFile(uintptr(read), "read end")
	defer reading.Close()
	defer write.Close()
	for _, f := range []*os.File{reading, write} {
		onFD(f, func(fd int) {
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("descriptor flags %o, %v; want FD_CLOEXEC", flags, err)
			}
		})
	}
}

// spawn runs a shell command with the descriptors given, as the supervisor
// does: os/exec would call File.Fd, which repairs what is tested here.
func spawn(t *testing.T, stdout, stderr int, command string) {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	onFD(null, func(stdin int) {
		process, err := forkExec(stdin, stdout, stderr, command)
		if err != nil {
			t.Fatal(err)
		}
		var status unix.WaitStatus
		if _, err := unix.Wait4(process, &status, 0, nil); err != nil || status.ExitStatus() != 0 {
			t.Errorf("the shell ended with %d, %v", status.ExitStatus(), err)
		}
	})
}
