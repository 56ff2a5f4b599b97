package logs

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"
)

// BenchmarkCollector carries lines of 100 bytes from a pipe to /dev/null and
// to a pipe that is read.
func BenchmarkCollector(b *testing.B) {
	for name, open := range map[string]func(*testing.B) *os.File{"null": openNull, "pipe": openPipe} {
		b.Run(name, func(b *testing.B) { benchmark(b, open(b)) })
	}
}

func benchmark(b *testing.B, to *os.File) {
	block := bytes.Repeat(append(bytes.Repeat([]byte("x"), 99), '\n'), 600)
	c := NewCollector(to, to)
	stdout, stderr, err := c.Open("web")
	if err != nil {
		b.Fatal(err)
	}
	stderr.Close()
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := stdout.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	stdout.Close()
	c.Close(context.Background())
}

func openNull(b *testing.B) *os.File {
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return f
}

// openPipe starts a reader that ends when the write end is closed.
func openPipe(b *testing.B) *os.File {
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	go io.Copy(io.Discard, r)
	b.Cleanup(func() { w.Close(); r.Close() })
	return w
}
