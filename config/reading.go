package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"gopkg.in/yaml.v3"
)

// A configuration is written by people: anything larger is another file named
// by mistake, and would take the memory of the programs.
const (
	maxFile  = 1 << 20     // bytes of one file
	maxFiles = 1000        // included files and env files together
	maxTotal = 4 * maxFile // bytes of all of them
)

// reading is what the files of one configuration share.
type reading struct {
	problems  Problems
	budget    int
	exhausted *Problem // the budget ran out here
	files     []string // as shown in problems, in the order of opening

	contents map[string]content // of the files that the first one names, by absolute path
	total    int                // their bytes
	texts    map[string][]byte  // of the YAML files, as shown in problems
	// observe sees every table that a mapping is read by, with the mapping's path.
	// nil but in tests.
	observe func(path string, t table)
}

type content struct {
	shown string // its path in problems
	data  []byte
	err   error
}

func newDecoder(path, absolute string, lookup func(string) (string, bool)) *decoder {
	r := &reading{budget: maxExpansion, files: []string{path}, contents: map[string]content{}, texts: map[string][]byte{}}
	return &decoder{file: path, dir: filepath.Dir(absolute), lookup: lookup, reading: r}
}

// open returns the content of another file, which `at` names, and the decoder
// for it. The decoder is nil after a problem.
func (d *decoder) open(at value, path string) (*decoder, []byte) {
	absolute := d.absolute(path)
	c, before := d.contents[absolute]
	if !before {
		c = d.fetch(absolute)
		c.shown = path
		if !filepath.IsAbs(path) {
			c.shown = filepath.Join(filepath.Dir(d.file), path)
		}
		d.contents[absolute] = c
		d.files = append(d.files, c.shown)
	}
	if c.err != nil {
		at.problem("cannot read the file: %s", c.err)
		return nil, nil
	}
	return &decoder{file: c.shown, dir: filepath.Dir(absolute), lookup: d.lookup, reading: d.reading}, c.data
}

// absolute makes a path absolute: relative ones start at the file's directory.
func (d *decoder) absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(d.dir, path)
}

// fetch reads a file within the limits of all of them.
func (r *reading) fetch(path string) content {
	if len(r.contents) >= maxFiles {
		return content{err: fmt.Errorf("%s: the configuration has more than %d files", path, maxFiles)}
	}
	data, err := ReadRegular(path, maxFile)
	if r.total += len(data); r.total > maxTotal && err == nil {
		err = fmt.Errorf("%s: the files of the configuration are larger than %d bytes together", path, maxTotal)
	}
	return content{data: data, err: err}
}

// ReadRegular reads a file of at most so many bytes that cannot block: opening or
// reading a FIFO waits for its writer, and PID 1 must not. The error names the
// path.
func ReadRegular(path string, most int) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New(path + " is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(file, int64(most)+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("%s is larger than %d bytes", path, most)
	}
	return data, err
}

// position returns a node that has only a position.
func position(line, column int) *yaml.Node { return &yaml.Node{Line: line, Column: column} }
