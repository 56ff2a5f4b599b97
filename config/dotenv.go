package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// readEnvFile reads one env file or a list of them into fromFiles; the later
// one wins.
func (p *program) readEnvFile(v value) {
	for _, item := range v.oneOrMany() {
		path, ok := plainText(item)
		switch {
		case !ok:
		case path == "":
			item.problem("is empty: name a file")
		default:
			if d, data := item.d.open(item, path); d != nil && d.charge(item.node, len(data)) {
				p.fromFiles = append(p.fromFiles, d.dotenv(string(data))...)
			}
		}
	}
}

// dotenv reads an env file as Compose does and returns its variables as
// NAME=value, in its order:
//
//	# comment
//	export NAME=value # comment; blanks around the value are dropped
//	NAME="…"          \n \r \t \\ \" and \$ are what they are in a shell
//	NAME='…'          everything is itself, but for \'
//	NAME              as it is in sidekick's environment
//
// Quoted values may have several lines. ${VAR} is interpolated as in the
// configuration, but not within single quotes; what is not in sidekick's
// environment may be given earlier in the file.
func (d *decoder) dotenv(text string) []string {
	p := &envParser{d: d, text: strings.TrimPrefix(text, "\uFEFF"), line: 1, column: 1, given: map[string]string{}}
	for p.text != "" {
		p.statement()
	}
	return p.env
}

// envParser reads an env file, one statement after the other. What is wrong
// never quotes a value: it may be secret.
type envParser struct {
	d            *decoder
	text         string // what is not read yet
	line, column int    // of its first character, from 1
	env          []string
	given        map[string]string
}

var (
	envStart = regexp.MustCompile(`^[ \t\r]*(?:export[ \t]+)?`)
	envName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*`)
	envBlank = regexp.MustCompile(`^[ \t\r]*`)
	envEqual = regexp.MustCompile(`^[ \t]*=`)
	envPlain = regexp.MustCompile(`^[^\n]*`)
	envEnd   = regexp.MustCompile(`^[ \t\r]*(#[^\n]*)?(\n|$)`)
	// A comment begins at a # behind a blank.
	envComment = regexp.MustCompile(`[ \t]#.*`)
)

// take removes what matches from the text and returns it.
func (p *envParser) take(what *regexp.Regexp) string { return p.skip(len(what.FindString(p.text))) }

// skip removes n bytes. Columns are told behind ASCII characters only, so bytes
// are as good as characters.
func (p *envParser) skip(n int) string {
	taken := p.text[:n]
	p.text = p.text[n:]
	if i := strings.LastIndexByte(taken, '\n'); i >= 0 {
		p.line += strings.Count(taken, "\n")
		p.column = len(taken) - i
	} else {
		p.column += len(taken)
	}
	return taken
}

// statement reads a line, or as many as its value has.
func (p *envParser) statement() {
	p.take(envStart)
	if envEnd.MatchString(p.text) {
		p.take(envEnd)
		return
	}
	at := position(p.line, p.column)
	name := p.take(envName)
	switch {
	case name == "":
		p.d.add(at, "", "a line must be NAME=value, with a name of letters, digits and _ . - that begins with a letter or _")
	case envEqual.MatchString(p.text):
		p.take(envEqual)
		p.assign(name)
	case envEnd.MatchString(p.text):
		if s, ok := p.d.variable(name); ok {
			p.set(name, s)
		}
	default:
		p.d.add(at, name, "a line must be NAME=value")
	}
	p.take(envPlain) // what is left after a problem
	p.take(envEnd)
}

// assign reads what stands behind the =.
func (p *envParser) assign(name string) {
	blank := p.take(envBlank)
	if blank != "" && strings.HasPrefix(p.text, "#") {
		p.set(name, "")
		return
	}
	at := position(p.line, p.column)
	text, problems := p.expanded()
	for _, problem := range problems {
		p.d.add(at, name, problem.Error())
	}
	if len(problems) == 0 {
		p.set(name, text)
	}
}

// expanded reads a value and replaces its variables.
func (p *envParser) expanded() (text string, problems []error) {
	text, literal, err := p.value()
	if err == nil && !literal {
		text, problems = interpolate(text, p.variable)
	}
	if err == nil && len(problems) == 0 {
		text, err = noNUL(text)
	}
	if err != nil {
		problems = append(problems, err)
	}
	return text, problems
}

func (p *envParser) set(name, text string) {
	p.given[name] = text
	p.env = append(p.env, name+"="+text)
}

func (p *envParser) variable(name string) (string, bool) {
	if s, ok := p.d.variable(name); ok {
		return s, true
	}
	s, ok := p.given[name]
	return s, ok
}

// value reads a value, of which a literal one is not interpolated.
func (p *envParser) value() (text string, literal bool, err error) {
	if p.text == "" || p.text[0] != '\'' && p.text[0] != '"' {
		text = envComment.ReplaceAllString(p.take(envPlain), "")
		return strings.TrimRight(text, " \t\r"), false, nil
	}
	literal = p.text[0] == '\''
	text, err = p.quoted(p.text[0])
	if err == nil && !envEnd.MatchString(p.text) {
		err = errors.New("only a comment may follow the closing quote")
	}
	return text, literal, err
}

// quoted reads to the closing quote, or to the end if there is none.
func (p *envParser) quoted(quote byte) (string, error) {
	var out strings.Builder
	for i := 1; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == quote:
			p.skip(i + 1)
			return out.String(), nil
		case c == '\\' && i+1 < len(p.text):
			i++
			out.WriteString(unescape(quote, p.text[i]))
		default:
			out.WriteByte(c)
		}
	}
	p.skip(len(p.text))
	return "", fmt.Errorf("the %c is not closed", quote)
}

// unescape returns what a backslash before c stands for within quotes.
func unescape(quote, c byte) string {
	switch {
	case c == quote:
		return string(c)
	case quote == '\'':
	case c == 'n':
		return "\n"
	case c == 'r':
		return "\r"
	case c == 't':
		return "\t"
	case c == '\\':
		return "\\"
	case c == '$':
		return "$$" // which interpolation makes a dollar sign
	}
	return "\\" + string([]byte{c})
}
