package logs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// model is a ring as one would write it without a thought for speed: all that
// was ever added.
type model []struct {
	stream Stream
	text   string // with its newline, if it has one
}

func (m model) bytes(stream Stream) string {
	var all strings.Builder
	for _, l := range m {
		if stream == "" || l.stream == stream {
			all.WriteString(l.text)
		}
	}
	return all.String()
}

// Whatever is added, a ring has the newest of it: never more than its limits,
// never less than they allow but for one line, from the beginning of a line, and
// each stream in its order.
func TestRingAgainstAModel(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		r := ring{program: "web"}
		var m model
		longest := 1 << random.IntN(13)
		for range 1 + random.IntN(300) {
			stream := random.IntN(2)
			var block []byte
			for range 1 + random.IntN(1+random.IntN(30)) {
				text := strings.Repeat(string(rune('a'+random.IntN(26))), random.IntN(longest)) + "\n"
				block = append(block, text...)
				m = append(m, struct {
					stream Stream
					text   string
				}{streams[stream], text})
			}
			r.add(uint8(stream), time.Now(), block, false)
		}
		checkRing(t, seed, &r, m, longest)
	}
}

func checkRing(t *testing.T, seed uint64, r *ring, m model, longest int) {
	t.Helper()
	kept := 0
	for _, stream := range streams {
		data, end := r.bytes(stream)
		all := m.bytes(stream)
		if !strings.HasSuffix(all, string(data)) || end != uint64(len(all)) {
			t.Fatalf("seed %d: %d bytes are not the last of %s, or end %d is not %d", seed, len(data), stream, end, len(all))
		}
		if before := len(all) - len(data); len(data) > 0 && before > 0 && all[before-1] != '\n' {
			t.Fatalf("seed %d: %s begins within a line", seed, stream)
		}
		kept += len(data)
	}
	all := m.bytes("")
	if most := min(len(all), ringBytes); kept > ringBytes || len(r.chunks) > ringLines ||
		kept < most-longest && len(r.chunks) < ringLines {
		t.Fatalf("seed %d: %d bytes in %d blocks are kept of %d", seed, kept, len(r.chunks), len(all))
	}
	lines := r.lines("", -1)
	want := m[max(0, len(m)-len(lines)):]
	if full := min(len(m), ringLines); len(lines) < full && kept < ringBytes-longest && len(r.chunks) < ringLines {
		t.Fatalf("seed %d: only %d lines", seed, len(lines))
	}
	for i, line := range lines {
		if string(line.Text)+"\n" != want[i].text || line.Stream != want[i].stream || line.Program != "web" {
			t.Fatalf("seed %d: line %d is %q of %s, want %q of %s", seed, i, line.Text, line.Stream, want[i].text, want[i].stream)
		}
	}
	if n := 7; len(lines) > n && !slices.EqualFunc(r.lines("", n), lines[len(lines)-n:], func(a, b Line) bool { return bytes.Equal(a.Text, b.Text) }) {
		t.Fatalf("seed %d: the last 7 are others", seed)
	}
	r.clear(Stdout)
	if data, end := r.bytes(Stdout); len(data) > 0 || end != uint64(len(m.bytes(Stdout))) {
		t.Fatalf("seed %d: %d bytes after clear", seed, len(data))
	}
	if data, _ := r.bytes(Stderr); !strings.HasSuffix(m.bytes(Stderr), string(data)) {
		t.Fatalf("seed %d: clear changed stderr", seed)
	}
}

func TestRingWithALineThatIsTooLong(t *testing.T) {
	r := ring{program: "web"}
	r.add(0, time.Now(), []byte("before\n"), false)
	r.add(0, time.Now(), bytes.Repeat([]byte("x"), maxLine), true)
	r.add(0, time.Now(), []byte("end\nnext\n"), false)
	var got []string
	for _, line := range r.lines("", -1) {
		got = append(got, fmt.Sprintf("%.3s %t %t", line.Text, len(line.Text) > ringBytes/2, line.Partial))
	}
	if want := []string{"xxx true true", "end false false", "nex false false"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// collect reads n lines of a follower.
func collect(t *testing.T, f *Follower, n int) (texts []string) {
	t.Helper()
	late := time.After(end)
	for range n {
		select {
		case line, ok := <-f.Lines():
			if !ok {
				t.Fatalf("the follower ended after %d lines of %d", len(texts), n)
			}
			texts = append(texts, string(line.Text))
		case <-late:
			t.Fatalf("%d lines of %d", len(texts), n)
		}
	}
	return texts
}

// A follower that comes in the middle gets every line once, through two lives of
// the program.
func TestFollowHasNoGapAndNoDouble(t *testing.T) {
	out := newCapture(t)
	c := NewCollector(out.File, out.File)
	c.Configure(named("web"))
	stdout, stderr := open(t, c, "web")
	var wrote []string
	done := make(chan struct{})
	go func() { // ends when all is written
		defer close(done)
		for n := range 2000 {
			if n == 1000 { // the next life
				stdout.Close()
				stderr.Close()
				eventually(t, "the first life's streams have ended", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.programs["web"].open == 0 })
				stdout, stderr, _ = c.Open("web")
			}
			line := fmt.Sprintf("line %d", n)
			fmt.Fprintln(stdout, line)
			wrote = append(wrote, line)
		}
	}()
	eventually(t, "it writes", func() bool { return c.Stats()["web"].Lines > 100 })
	f := c.Follow([]string{"web", "nobody", "web"}, Stdout, 50)
	defer f.Close()
	first := collect(t, f, 1)
	var from int
	if _, err := fmt.Sscanf(first[0], "line %d", &from); err != nil {
		t.Fatal(first)
	}
	got := append(first, collect(t, f, 2000-from-1)...)
	<-done
	if !slices.Equal(got, wrote[from:]) {
		t.Errorf("from line %d the follower got %d lines, others than were written", from, len(got))
	}
	stdout.Close()
	stderr.Close()
	closeIn(t, c, end)
	out.text()
}

// Lines that come together can be sent on together; the last one is not held up.
func TestFollowerSaysThatMoreCome(t *testing.T) {
	out := newCapture(t)
	c := NewCollector(out.File, out.File)
	c.Configure(named("web"))
	const lines = 500
	c.programs["web"].take(0, time.Now(), bytes.Repeat([]byte("line\n"), lines), false, nil)
	f := c.Follow([]string{"web"}, "", -1)
	defer f.Close()
	alone, more := 0, true
	for range lines {
		collect(t, f, 1)
		if more = f.More(); !more {
			alone++
		}
	}
	// The last but one may have been read while the last was on its way.
	if more || alone > 2 {
		t.Errorf("%d lines of %d came alone, and more after the last: %t", alone, lines, more)
	}
	closeIn(t, c, end)
}

func TestFollowerThatStopsReading(t *testing.T) {
	out := newCapture(t)
	c := NewCollector(out.File, out.File)
	c.Configure(named("web"))
	stdout, stderr := open(t, c, "web")
	stopped, reading := c.Follow([]string{"web"}, "", 0), c.Follow([]string{"web"}, "", 0)
	defer reading.Close()
	line := strings.Repeat("x", 99_999)
	for range followBytes/len(line) + 2 {
		fmt.Fprintln(stdout, line)
		collect(t, reading, 1)
	}
	if !stopped.Dropped() || reading.Dropped() {
		t.Fatalf("dropped: %t, and the other one %t", stopped.Dropped(), reading.Dropped())
	}
	for range stopped.Lines() { // closed
	}
	stopped.Close()
	stdout.Close()
	stderr.Close()
	closeIn(t, c, end)
}

func TestFollowerOfARemovedProgram(t *testing.T) {
	out := newCapture(t)
	c := NewCollector(out.File, out.File)
	c.Configure(named("web"))
	stdout, stderr := open(t, c, "web")
	f := c.Follow([]string{"web"}, "", -1)
	defer f.Close()
	c.Configure(named("db"))
	fmt.Fprintln(stdout, "its last words")
	stdout.Close()
	stderr.Close()
	if got := collect(t, f, 1); got[0] != "its last words" {
		t.Errorf("%q", got)
	}
	if _, more := <-f.Lines(); more || f.Dropped() {
		t.Error("the follower did not end with its program")
	}
	if _, there := c.Stats()["web"]; there {
		t.Error("a program that is gone has counters")
	}
	closeIn(t, c, end)
}

// A reload may remove the program while somebody begins to follow it.
func TestFollowerThatComesTooLate(t *testing.T) {
	out := newCapture(t)
	c := NewCollector(out.File, out.File)
	c.Configure(named("web"))
	rings := c.rings([]string{"web"})
	c.Configure(named("db"))
	f := follow(rings, "", -1)
	defer f.Close()
	select {
	case line, more := <-f.Lines():
		if more {
			t.Errorf("%q of a program that is gone", line.Text)
		}
	case <-time.After(end):
		t.Error("it follows a program that is gone")
	}
	closeIn(t, c, end)
}

// The lines of several programs come in the order in which they were read.
func TestLastOfSeveral(t *testing.T) {
	out := newCapture(t)
	c := NewCollector(out.File, out.File)
	c.Configure(named("a", "b"))
	a, b := c.programs["a"], c.programs["b"]
	at := time.Now()
	for n := range 6 {
		[]*program{a, b}[n%2].take(uint8(n/2%2), at.Add(time.Duration(n)), fmt.Appendf(nil, "%d\n", n), false, nil)
	}
	text := func(lines []Line) (s string) {
		for _, l := range lines {
			s += fmt.Sprintf("%s%s%c ", l.Text, l.Program, l.Stream[3])
		}
		return s
	}
	if got, want := text(c.Last([]string{"b", "a"}, "", -1)), "0ao 1bo 2ae 3be 4ao 5bo "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := text(c.Last([]string{"a", "b"}, Stdout, 1)), "4ao 5bo "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	closeIn(t, c, end)
	out.text()
}

func TestOwnMessagesAreKept(t *testing.T) {
	out := newCapture(t)
	c := NewCollector(out.File, out.File)
	fmt.Fprintln(c.Messages(), "hello")
	data, n := c.Bytes(Sidekick, "")
	if string(data) != "hello\n" || n != 6 {
		t.Errorf("%q, %d", data, n)
	}
	c.Clear(Sidekick, "")
	if data, n := c.Bytes(Sidekick, ""); len(data) > 0 || n != 6 {
		t.Errorf("after clear %q, %d", data, n)
	}
	closeIn(t, c, end)
	if got := out.text(); got != "hello\n" {
		t.Errorf("%q", got)
	}
}
