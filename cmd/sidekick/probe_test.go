package main

import (
	"strings"
	"testing"
	"testing/iotest"
)

func TestTail(t *testing.T) {
	for _, c := range []struct{ said, want string }{
		{"", ""},
		{"ok\n", "ok"},
		{"\n a\t b \n c\n", "a b c"},
		{strings.Repeat("x", 20), strings.Repeat("x", 10)},
		{"the beginning, the end", "g, the end"},
		{"123456789é", "23456789é"},  // 11 bytes
		{"é123456789", "?123456789"}, // the cut goes through the é
		{"bad \xff\xfe", "bad ?"},
		{"exactly 10", "exactly 10"},
	} {
		if got := tail(strings.NewReader(c.said), 10); got != c.want {
			t.Errorf("%q gives %q, want %q", c.said, got, c.want)
		}
		if got := tail(iotest.OneByteReader(strings.NewReader(c.said)), 10); got != c.want {
			t.Errorf("%q, byte by byte, gives %q, want %q", c.said, got, c.want)
		}
	}
}
