package config

import (
	"errors"
	"strings"
)

const blanks = " \t\r\n"

// SplitWords splits a command into words as a POSIX shell would, with its
// quoting rules and nothing else: no variables, globs, comments or operators.
//
//	'…'   everything is itself
//	"…"   a backslash before $ ` " \ quotes it, before a newline removes both
//	\c    c is itself; a backslash before a newline removes both
//
// An error says that a quote is not closed or that nothing follows the last
// backslash.
func SplitWords(s string) ([]string, error) {
	p := &splitter{rest: s}
	for p.rest != "" {
		if err := p.step(); err != nil {
			return nil, err
		}
	}
	p.endWord()
	return p.words, nil
}

type splitter struct {
	rest   string // what is not read yet
	word   strings.Builder
	inWord bool // true for '' as well, which is an empty word
	words  []string
}

func (p *splitter) step() error {
	c := p.rest[0]
	p.rest = p.rest[1:]
	switch {
	case strings.IndexByte(blanks, c) >= 0:
		p.endWord()
	case c == '\'':
		return p.single()
	case c == '"':
		return p.double()
	case c == '\\':
		return p.backslash()
	default:
		p.add(c)
	}
	return nil
}

func (p *splitter) add(c byte) {
	p.word.WriteByte(c)
	p.inWord = true
}

func (p *splitter) endWord() {
	if p.inWord {
		p.words = append(p.words, p.word.String())
	}
	p.word.Reset()
	p.inWord = false
}

func (p *splitter) single() error {
	quoted, rest, closed := strings.Cut(p.rest, "'")
	if !closed {
		return errors.New("a ' is not closed")
	}
	p.word.WriteString(quoted)
	p.inWord, p.rest = true, rest
	return nil
}

func (p *splitter) double() error {
	p.inWord = true
	for p.rest != "" {
		c := p.rest[0]
		p.rest = p.rest[1:]
		switch {
		case c == '"':
			return nil
		case c == '\\' && p.rest != "" && strings.IndexByte("$`\"\\\n", p.rest[0]) >= 0:
			if p.rest[0] != '\n' {
				p.word.WriteByte(p.rest[0])
			}
			p.rest = p.rest[1:]
		default:
			p.word.WriteByte(c)
		}
	}
	return errors.New(`a " is not closed`)
}

func (p *splitter) backslash() error {
	if p.rest == "" {
		return errors.New("nothing follows the last backslash")
	}
	if p.rest[0] != '\n' {
		p.add(p.rest[0])
	}
	p.rest = p.rest[1:]
	return nil
}
