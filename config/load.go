package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Load reads and checks a file, with the files that it includes and the env
// files that programs name. lookup gives the variables of ${VAR}: it is
// os.LookupEnv or like it. The error is Problems, all of them, or one about
// reading the file.
func Load(path string, lookup func(string) (string, bool)) (*Config, error) {
	data, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	return Parse(path, data, lookup)
}

// readPatience is how long whoever writes a pipe may take.
const readPatience = 5 * time.Second

// read takes a pipe as well, such as /dev/stdin, but never waits long for it:
// nobody could end us meanwhile, and the loop must go on at a reload.
func read(path string) ([]byte, error) {
	// O_NONBLOCK: the open of a FIFO would wait for a writer.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// Only of what can block; a regular file has no deadline.
	_ = file.SetReadDeadline(time.Now().Add(readPatience))
	// One byte more than allowed, so that Parse sees that it is too much.
	return io.ReadAll(io.LimitReader(file, maxFile+1))
}

// Parse checks the bytes of a file. Its path is shown in problems, and
// relative paths in the file are relative to the path's directory: that is
// where included files and env files are read. The error is Problems, or says
// that the current directory cannot be told.
func Parse(path string, data []byte, lookup func(string) (string, bool)) (*Config, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("cannot tell the directory of %s: %w", path, err)
	}
	d := newDecoder(path, absolute, lookup)
	f := d.root(data)
	if len(d.problems) > 0 {
		return nil, d.problems.sorted(d.files).withSources(d.texts)
	}
	return f.config(), nil
}

// root reads the whole file: first each key by itself, then what keys say
// about each other.
func (d *decoder) root(data []byte) *file {
	f := newFile(d.lookup)
	node := d.document(data)
	if node == nil {
		return f
	}
	f.read(value{d: d, node: node})
	f.check()
	if d.exhausted != nil {
		// What follows from values that were not read is noise.
		d.problems = Problems{*d.exhausted}
	}
	return f
}
