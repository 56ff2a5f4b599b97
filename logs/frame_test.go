package logs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sidekick/config"
)

func TestCut(t *testing.T) {
	mib := strings.Repeat("m", maxLine)
	for _, tc := range []struct {
		name, data, lines, rest string
		piece                   bool
	}{
		{"nothing", "", "", "", false},
		{"an unfinished line", "ab", "", "ab", false},
		{"lines and a rest", "a\n\nb\nc", "a\n\nb\n", "c", false},
		{"1 MiB without a newline waits", mib, "", mib, false},
		{"1 MiB is whole", mib + "\n", mib + "\n", "", false},
		{"1 MiB and a byte", mib + "x", mib, "x", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lines, rest, piece := cut([]byte(tc.data), 0)
			if string(lines) != tc.lines || string(rest) != tc.rest || piece != tc.piece {
				t.Errorf("%.80q (%d bytes), rest %.80q (%d bytes), piece %t", lines, len(lines), rest, len(rest), piece)
			}
		})
	}
}

// framed is all of a block in its frame.
func framed(f frame, at time.Time, block []byte, piece bool) (all []byte) {
	for len(block) > 0 {
		var out []byte
		out, block = f.append(nil, at, block, piece)
		all = append(all, out...)
	}
	return all
}

// However the bytes of an output are cut into reads, they give the same lines,
// and without the prefixes the same bytes.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("one\ntwo\n\nthree"), uint8(3))
	f.Add([]byte("\n\n\n"), uint8(1))
	f.Add([]byte{0, 0xff, '\n', 'x'}, uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		fr := newFrame(config.LogText, "p", Stdout, []byte("p|"))
		whole, wholeRest, _ := cut(data, 0)
		if got := append(unframe(t, framed(fr, time.Time{}, whole, false), fr.prefix), wholeRest...); !bytes.Equal(got, data) {
			t.Errorf("%q came out as %q", data, got)
		}
		var lines, rest []byte
		for chunk := range chunks(data, int(step)+1) {
			seen := len(rest)
			some, left, _ := cut(append(rest, chunk...), seen)
			lines, rest = append(lines, some...), bytes.Clone(left)
		}
		if !bytes.Equal(lines, whole) || !bytes.Equal(rest, wholeRest) {
			t.Errorf("in reads of %d: %q, rest %q\nat once: %q, rest %q", int(step)+1, lines, rest, whole, wholeRest)
		}
	})
}

// Whatever a program prints, json is one valid object a line, of which the line
// is what encoding/json would make of it.
func FuzzJSON(f *testing.F) {
	f.Add([]byte("a \"quoted\" \\ line\twith\x00 NUL, \xff\xfe, é, \u2028 and \x7f\r"), true)
	f.Fuzz(func(t *testing.T, line []byte, piece bool) {
		line = bytes.ReplaceAll(line, []byte("\n"), nil)
		at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
		fr := newFrame(config.LogJSON, "web-1", Stderr, nil)
		out := framed(fr, at, append(bytes.Clone(line), '\n'), piece)
		if bytes.Count(out, newline) != 1 || !utf8.Valid(out) {
			t.Fatalf("%q", out)
		}
		var got struct {
			Time                  time.Time
			Program, Stream, Line string
			Partial               bool
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%v: %q", err, out)
		}
		quoted, _ := json.Marshal(string(line))
		var same string
		if json.Unmarshal(quoted, &same); same != got.Line {
			t.Errorf("%q came out as %q, want %q", line, got.Line, same)
		}
		if !got.Time.Equal(at) || got.Program != "web-1" || got.Stream != "stderr" || got.Partial != piece {
			t.Errorf("%+v", got)
		}
	})
}

// chunks cuts data into pieces of n bytes.
func chunks(data []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(data) > 0 {
			k := min(n, len(data))
			if !yield(data[:k]) {
				return
			}
			data = data[k:]
		}
	}
}

// unframe takes the prefix off every line.
func unframe(t *testing.T, framed, prefix []byte) (plain []byte) {
	for line := range bytes.Lines(framed) {
		line, found := bytes.CutPrefix(line, prefix)
		if !found {
			t.Errorf("a line without its prefix: %q", line)
		}
		plain = append(plain, line...)
	}
	return plain
}

func TestPrefix(t *testing.T) {
	l := newLayout([]string{"web", "database", "a", "b", "c", "d"})
	for _, tc := range []struct {
		program string
		colour  bool
		want    string
	}{
		{"web", false, "web      | "},
		{"database", false, "database | "},
		{"a-name-that-nobody-told", false, "a-name-that-nobody-told | "},
		{"web", true, "\x1b[32mweb      | \x1b[0m"},
		{"database", true, "\x1b[33mdatabase | \x1b[0m"},
		{"d", true, "\x1b[92md        | \x1b[0m"}, // the sixth
	} {
		t.Run(fmt.Sprint(tc.program, tc.colour), func(t *testing.T) {
			if got := string(l.prefix(tc.program, tc.colour)); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}
