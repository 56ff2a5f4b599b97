// Package convert turns a supervisord.conf, with the files it includes, into the
// YAML of sidekick. It reads what the ServerOptions of supervisor 4.2.5 read; the
// reader and the value grammars are those of Python's configparser and shlex and
// of supervisor's datatypes.py.
//
// No option is dropped in silence: each is in the result, or in a Note, or in the
// table of those that mean nothing here (Meaningless).
package convert

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"sidekick/config"
)

// Result is a converted file.
type Result struct {
	// YAML is a configuration that sidekick accepts, once the variables that
	// the original took from its environment are set.
	YAML []byte
	// Programs is how many entries `programs` has.
	Programs int
	// Notes say what has no equivalent, in the order of the files.
	Notes []Note
}

// Note is one thing that is not as it was, with the reason.
type Note struct {
	File string // as in Problem
	Line int    // from 1
	// Where is "[section]", or "[section] option=value" of one option.
	Where  string
	Reason string
}

// String is FILE:LINE: [section] option=value: reason.
func (n Note) String() string { return fmt.Sprintf("%s:%d: %s: %s", n.File, n.Line, n.Where, n.Reason) }

// Problem is a line that supervisor does not accept either, or that cannot be
// said in our file.
type Problem struct {
	File    string // as it was given, of an included file the path from there
	Line    int    // from 1
	Message string // one line
}

// String is FILE:LINE: message.
func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message) }

// Problems is why a file cannot be converted.
type Problems []Problem

// Error gives one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// ErrNoProgram: there is nothing that sidekick could run.
var ErrNoProgram = errors.New("there is no [program:…] to run")

// errRefused: the result is not a configuration, which is a fault of this package.
var errRefused = errors.New("the result would not be accepted")

// File converts the file at path; "-" is stdin. lookup, os.LookupEnv or like it,
// is asked for variables in [include] only: all others stay variables. The error
// is Problems, ErrNoProgram, or one about reading.
func File(path string, stdin io.Reader, lookup func(string) (string, bool)) (*Result, error) {
	shown := path
	var text string
	var err error
	if path == "-" {
		shown, path = "stdin", "stdin"
		text, err = limitedText(shown, stdin)
	} else {
		text, err = readText(path)
	}
	if errors.Is(err, errNotText) {
		return nil, Problems{{File: shown, Line: 1, Message: err.Error()}}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the file: %w", err)
	}
	here, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("cannot tell the folder of %s: %w", shown, err)
	}
	return newConverter(here, lookup).convert(shown, text)
}

// converter is the state of one conversion.
type converter struct {
	ini      *ini
	names    *names
	files    []string // that were read, as shown
	notes    []Note
	problems Problems

	daemon   daemon
	server   server
	killer   *killer // the event listener that ends supervisord, or nil
	programs []*program
	taken    map[string]bool   // names of programs and of copies
	logs     map[string]bool   // paths of log files
	samples  map[string]string // for variables that stand for more than a text: a value that fits
}

func newConverter(here string, lookup func(string) (string, bool)) *converter {
	hostname, _ := os.Hostname() // [include] says so where it is needed
	return &converter{
		ini:     newINI(),
		names:   &names{here: here, hostname: hostname, lookup: lookup},
		taken:   map[string]bool{},
		logs:    map[string]bool{},
		samples: map[string]string{},
	}
}

func (c *converter) convert(shown, text string) (*Result, error) {
	r := &reader{ini: c.ini, names: c.names}
	err := r.readAll(shown, text)
	c.files, c.notes = r.files, r.notes
	if err != nil {
		return nil, err
	}
	c.readDaemon()
	c.readListeners()
	c.readPrograms()
	c.readServers()
	c.readRest()
	c.noteExpansions()
	if len(c.problems) > 0 {
		return nil, c.inOrder(c.problems)
	}
	if len(c.programs) == 0 {
		return nil, ErrNoProgram
	}
	yaml := c.write()
	if err := c.accept(yaml); err != nil {
		return nil, err
	}
	return &Result{YAML: yaml, Programs: len(c.programs), Notes: c.sortedNotes()}, nil
}

// accept makes sure that the result is a configuration, with samples for the
// values that are known at run time only.
func (c *converter) accept(yaml []byte) error {
	_, err := config.Parse("sidekick.yaml", yaml, func(name string) (string, bool) {
		if sample, special := c.samples[name]; special {
			return sample, true
		}
		return "value-of-" + name, true
	})
	if err != nil {
		return fmt.Errorf("%w:\n%w", errRefused, err)
	}
	return nil
}

// note says what became of an option.
func (c *converter) note(s *section, o *option, format string, args ...any) {
	o.fate = noted
	c.remark(s, o, format, args...)
}

// remark says something about an option that is in the output.
func (c *converter) remark(s *section, o *option, format string, args ...any) {
	c.add(Note{File: o.file, Line: o.line, Where: "[" + oneLine(s.name) + "] " + o.shown(), Reason: fmt.Sprintf(format, args...)})
}

// noteSection says what became of a section and all its options.
func (c *converter) noteSection(s *section, format string, args ...any) {
	for _, o := range s.options {
		o.fate = noted
	}
	c.add(Note{File: s.file, Line: s.line, Where: "[" + oneLine(s.name) + "]", Reason: fmt.Sprintf(format, args...)})
}

func (c *converter) add(n Note) {
	if n.Reason = oneLine(n.Reason); !slices.Contains(c.notes, n) { // copies are alike
		c.notes = append(c.notes, n)
	}
}

func (c *converter) problem(p Problem) {
	if p.Message = oneLine(p.Message); !slices.Contains(c.problems, p) {
		c.problems = append(c.problems, p)
	}
}

func (c *converter) inOrder(all Problems) Problems {
	slices.SortStableFunc(all, func(a, b Problem) int { return c.compare(a.File, a.Line, b.File, b.Line) })
	return all
}

func (c *converter) sortedNotes() []Note {
	slices.SortStableFunc(c.notes, func(a, b Note) int { return c.compare(a.File, a.Line, b.File, b.Line) })
	return c.notes
}

func (c *converter) compare(aFile string, aLine int, bFile string, bLine int) int {
	return cmp.Or(cmp.Compare(slices.Index(c.files, aFile), slices.Index(c.files, bFile)), cmp.Compare(aLine, bLine))
}

// problem is one about the option's line.
func (o *option) problem(format string, args ...any) Problem {
	return Problem{File: o.file, Line: o.line, Message: o.name + ": " + fmt.Sprintf(format, args...)}
}

// secret options are not shown: what converts a file may run in public.
var secret = []string{"password", "username", "environment"}

// shown is name=value, for people.
func (o *option) shown() string {
	value := strings.Join(strings.Fields(oneLine(o.raw)), " ")
	switch {
	case slices.Contains(secret, o.name):
		return o.name
	case len([]rune(value)) > 40:
		return o.name + "=" + string([]rune(value)[:39]) + "…"
	}
	return o.name + "=" + value
}

// oneLine makes text of a file safe to print.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) && r != ' ' {
			return ' '
		}
		return r
	}, s)
}

// quote shows a value in a message, shortened if it is long.
func quote(s string) string {
	if r := []rune(s); len(r) > 60 {
		return fmt.Sprintf("%q…", string(r[:60]))
	}
	return fmt.Sprintf("%q", s)
}
