package logs

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestFrame(t *testing.T) {
	mib := strings.Repeat("m", maxLine)
	for _, tc := range []struct {
		name, data, framed, rest string
	}{
		{"nothing", "", "", ""},
		{"an unfinished line", "ab", "", "ab"},
		{"a line", "ab\n", "web | ab\n", ""},
		{"lines and a rest", "a\n\nb\nc", "web | a\nweb | \nweb | b\n", "c"},
		{"bytes that are no text", "\x00\xff\xfe\r\n", "web | \x00\xff\xfe\r\n", ""},
		{"1 MiB without a newline waits", mib, "", mib},
		{"1 MiB is whole", mib + "\n", "web | " + mib + "\n", ""},
		{"1 MiB and a byte is two pieces", mib + "x\n", "web | " + mib + "\nweb | x\n", ""},
		{"1 MiB and a byte, unfinished", mib + "x", "web | " + mib + "\n", "x"},
		{"2 MiB is two pieces and no empty line", mib + mib + "\n", "web | " + mib + "\nweb | " + mib + "\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			framed, rest := frame(nil, []byte("web | "), []byte(tc.data), 0)
			if string(framed) != tc.framed || string(rest) != tc.rest {
				t.Errorf("framed %.80q (%d bytes), rest %.80q (%d bytes)\nwant   %.80q (%d bytes), rest %.80q (%d bytes)",
					framed, len(framed), rest, len(rest), tc.framed, len(tc.framed), tc.rest, len(tc.rest))
			}
		})
	}
}

// However the bytes of an output are cut into reads, they give the same lines,
// and without the prefixes the same bytes.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("one\ntwo\n\nthree"), uint8(3))
	f.Add([]byte("\n\n\n"), uint8(1))
	f.Add([]byte{0, 0xff, '\n', 'x'}, uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		prefix := []byte("p|")
		whole, wholeRest := frame(nil, prefix, data, 0)
		if got := append(unframe(t, whole, prefix), wholeRest...); !bytes.Equal(got, data) {
			t.Errorf("%q came out as %q", data, got)
		}
		var framed, rest []byte
		for chunk := range chunks(data, int(step)+1) {
			seen := len(rest)
			framed, rest = frame(framed, prefix, append(rest, chunk...), seen)
			rest = bytes.Clone(rest)
		}
		if !bytes.Equal(framed, whole) || !bytes.Equal(rest, wholeRest) {
			t.Errorf("in reads of %d: %q, rest %q\nat once: %q, rest %q", int(step)+1, framed, rest, whole, wholeRest)
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
