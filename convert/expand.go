package convert

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// errUnknownName: supervisor has nothing of this name here.
var errUnknownName = errors.New("unknown name")

// maxExpanded bounds a value: a few lines could say widths of gigabytes.
const maxExpanded = 1 << 20

// expand is s % names of Python, with the names of supervisor: %(name)s, with
// flags, width and precision, and %% for a percent sign.
func expand(s string, resolve func(string) (any, error)) (string, error) {
	var out strings.Builder
	for s != "" {
		before, after, found := strings.Cut(s, "%")
		out.WriteString(before)
		if !found {
			break
		}
		if rest, doubled := strings.CutPrefix(after, "%"); doubled {
			out.WriteByte('%')
			s = rest
			continue
		}
		text, rest, err := conversion(after, resolve)
		if err != nil {
			return "", err
		}
		out.WriteString(text)
		s = rest
		if out.Len() > maxExpanded {
			return "", fmt.Errorf("the value becomes longer than %d bytes", maxExpanded)
		}
	}
	return out.String(), nil
}

// spec is what follows the name: flags, width, precision, and the type.
type spec struct {
	flags, width, precision string // precision with its dot
	verb                    byte
}

var specPattern = regexp.MustCompile(`^([#0\- +]*)([0-9]*)((?:\.[0-9]*)?)[hlL]?(.)`)

// conversion reads one %(name)… from behind its percent sign.
func conversion(s string, resolve func(string) (any, error)) (text, rest string, err error) {
	name, rest, err := conversionName(s)
	if err != nil {
		return "", "", err
	}
	m := specPattern.FindStringSubmatch(rest)
	if m == nil || m[4][0] >= 0x80 {
		return "", "", fmt.Errorf("%%(%s) needs a letter behind it, as in %%(%s)s", name, name)
	}
	rest = rest[len(m[0]):]
	p := spec{flags: m[1], width: m[2], precision: m[3], verb: m[4][0]}
	value, err := resolve(name)
	switch {
	case errors.Is(err, errUnknownName):
		return "", "", fmt.Errorf("%%(%s)s is not known here", name)
	case err != nil:
		return "", "", err
	}
	switch v := value.(type) {
	case int:
		text, err = p.integer(v)
	case sequence:
		text, err = v.format(p)
	case string:
		text, err = p.text(v)
	}
	if err != nil && !errors.Is(err, errNotSequence) {
		err = fmt.Errorf("%%(%s)%s: %w", name, p, err)
	}
	return text, rest, err
}

func conversionName(s string) (name, rest string, err error) {
	if !strings.HasPrefix(s, "(") {
		return "", "", errors.New("a lone %: write %% for the character itself")
	}
	depth := 0
	for i := range len(s) { // Python counts parentheses
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return s[1:i], s[i+1:], nil
			}
		}
	}
	return "", "", errors.New("%( is not closed")
}

// String is what the user wrote.
func (p spec) String() string { return p.flags + p.width + p.precision + string(p.verb) }

// plain says that a number is written as it is.
func (p spec) plain() bool {
	return p.flags+p.width+p.precision == "" && strings.IndexByte("sdiu", p.verb) >= 0
}

// number reads a width or a precision of at most a few digits.
func (p spec) check() error {
	if len(p.width) > 3 || len(p.precision) > 4 {
		return errors.New("it is too wide")
	}
	return nil
}

// integer writes a number as Python does for d, i, u, x, X, o and s.
func (p spec) integer(n int) (string, error) {
	switch {
	case p.verb == 's':
		return p.text(strconv.Itoa(n))
	case strings.IndexByte("diuxXo", p.verb) < 0 || strings.Contains(p.flags, "#"):
		return "", errors.New("this form of a number is not supported: write d or s")
	}
	if err := p.check(); err != nil {
		return "", err
	}
	verb := p.verb
	if verb == 'i' || verb == 'u' {
		verb = 'd'
	}
	return fmt.Sprintf("%"+p.flags+p.width+p.precision+string(verb), n), nil
}

// text writes a string as Python does for s.
func (p spec) text(s string) (string, error) {
	switch {
	case p.verb != 's':
		return "", errors.New("a text needs s")
	case p.width == "" && p.precision == "":
		return s, nil
	case hasMark(s):
		return "", errors.New("a value that is known at run time only has no width")
	}
	if err := p.check(); err != nil {
		return "", err
	}
	// 0, + and blank mean nothing for a text.
	flags := ""
	if strings.Contains(p.flags, "-") {
		flags = "-"
	}
	return fmt.Sprintf("%"+flags+p.width+p.precision+"s", s), nil
}
