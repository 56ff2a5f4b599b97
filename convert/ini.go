package convert

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// option is one `name = value` of a section.
type option struct {
	name, value string
	raw         string // value as it stands in the file, with %(here)s
	file        string
	line        int
	lines       []string // of the value, while its file is read
	fate        fate
}

// section is one [name], merged from all files that have it.
type section struct {
	name    string
	file    string // where it begins first
	line    int
	options []*option // in the order of their first appearance
}

func (s *section) find(name string) *option {
	for _, o := range s.options {
		if o.name == name {
			return o
		}
	}
	return nil
}

// ini is what supervisor's UnhosedConfigParser holds: a RawConfigParser of
// Python with strict=False and inline comments that begin with ; or #.
type ini struct {
	sections []*section // without [DEFAULT]
	defaults *section
}

func newINI() *ini { return &ini{defaults: &section{name: "DEFAULT"}} }

func (p *ini) section(name string) *section {
	for _, s := range p.sections {
		if s.name == name {
			return s
		}
	}
	return nil
}

// option returns an option of a section, or of [DEFAULT] in its place.
func (p *ini) option(s *section, name string) *option {
	if o := s.find(name); o != nil {
		return o
	}
	return p.defaults.find(name)
}

var (
	sectionHeader = regexp.MustCompile(`^\[(.+)\]`)
	optionLine    = regexp.MustCompile(`^(.*?)[=:](.*)$`)
)

// parse adds one file, key by key: what it says wins over earlier files. It
// follows RawConfigParser._read of Python 3.11. The error is Problems: all lines
// that are no option, or the first one that stands in no section.
func (p *ini) parse(file, text string) error {
	r := &iniReader{ini: p, file: file, touched: map[*option]bool{}}
	for i, line := range strings.Split(newlines.Replace(text), "\n") {
		r.number = i + 1
		if !r.read(line) {
			break
		}
	}
	for o := range r.touched {
		o.value = strings.TrimRightFunc(strings.Join(o.lines, "\n"), isSpace)
		o.raw, o.lines = o.value, nil
	}
	if len(r.problems) > 0 {
		return r.problems
	}
	return nil
}

// newlines are those of Python's text files.
var newlines = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// iniReader is the state of RawConfigParser._read.
type iniReader struct {
	*ini
	file     string
	number   int      // of the line, from 1
	current  *section // nil before the first header
	option   *option  // what a continuation line belongs to, or nil
	indent   int      // of the line that began it
	touched  map[*option]bool
	problems Problems
}

// read takes one line. It returns false where Python stops at once.
func (r *iniReader) read(line string) bool {
	text, commented := withoutComment([]rune(line))
	value := strip(text)
	if value == "" {
		// An empty line belongs to a value with several lines, a comment does not.
		if !commented && r.option != nil {
			r.option.lines = append(r.option.lines, "")
		}
		return true
	}
	indent := indentation(line)
	if r.option != nil && indent > r.indent {
		r.option.lines = append(r.option.lines, value)
		return true
	}
	r.indent = indent
	if header := sectionHeader.FindStringSubmatch(value); header != nil {
		r.enter(header[1])
		return true
	}
	if r.current == nil {
		r.problem("there is no [section] above this line: %s", quote(value))
		return false
	}
	r.set(value)
	return true
}

func (r *iniReader) problem(format string, args ...any) {
	r.problems = append(r.problems, Problem{File: r.file, Line: r.number, Message: fmt.Sprintf(format, args...)})
}

func (r *iniReader) enter(name string) {
	r.option = nil // a section does not begin with a continuation line
	if name == r.defaults.name {
		r.current = r.defaults
		return
	}
	if r.current = r.section(name); r.current == nil {
		r.current = &section{name: name, file: r.file, line: r.number}
		r.sections = append(r.sections, r.current)
	}
}

// set reads `name = value` or `name: value`, whichever sign comes first.
func (r *iniReader) set(line string) {
	m := optionLine.FindStringSubmatch(line)
	if m == nil {
		r.problem("neither a [section] nor `name=value`: %s", quote(line))
		return
	}
	name := strings.ToLower(strip(m[1]))
	if name == "" {
		r.problem("an option without a name: %s", quote(line))
		return
	}
	o := r.current.find(name)
	if o == nil {
		o = &option{name: name}
		r.current.options = append(r.current.options, o)
	}
	o.file, o.line, o.lines = r.file, r.number, []string{strip(m[2])}
	r.option = o
	r.touched[o] = true
}

// withoutComment cuts a line at its comment: a line that begins with # or ;, or
// the first of each of the two that follows a blank. As in Python, the search
// goes on side by side and ends with the first round that finds one, so that
// in `a;b ;c #d` only `#d` is cut off.
func withoutComment(line []rune) (text string, commented bool) {
	if s := strip(string(line)); s != "" && (s[0] == '#' || s[0] == ';') {
		return "", true
	}
	at := map[rune]int{';': -1, '#': -1}
	for len(at) > 0 {
		cut := -1
		for sign, from := range at {
			i := indexRune(line, sign, from+1)
			if i < 0 {
				delete(at, sign)
				continue
			}
			at[sign] = i
			if (i == 0 || isSpace(line[i-1])) && (cut < 0 || i < cut) {
				cut = i
			}
		}
		if cut >= 0 {
			return string(line[:cut]), true
		}
	}
	return string(line), false
}

func indexRune(line []rune, r rune, from int) int {
	for i := from; i < len(line); i++ {
		if line[i] == r {
			return i
		}
	}
	return -1
}

// indentation counts the blanks before the first other character.
func indentation(line string) int {
	n := 0
	for _, r := range line {
		if !isSpace(r) {
			return n
		}
		n++
	}
	return 0
}

// isSpace is str.isspace of Python, which counts the separators FS to US, too.
func isSpace(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f }

// strip is str.strip of Python.
func strip(s string) string { return strings.TrimFunc(s, isSpace) }
