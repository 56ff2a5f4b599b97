package convert

import (
	"errors"
	"strings"
)

// The two uses that supervisor makes of Python's shlex module. Positions are
// characters; a run-time value is one character, see names.

var (
	errQuote    = errors.New("a quote is not closed")
	errNotPairs = errors.New(`not KEY=value,KEY2="value" (values with other characters than letters, digits and _ / . + - ( ) : need quotes)`)
	errEscape   = errors.New("nothing follows the last backslash")
)

const shlexBlanks = " \t\r\n"

// splitCommand is shlex.split(s): POSIX mode, words end at blanks only. Unlike
// in a shell a backslash in double quotes stays before all but " and \, and one
// before a newline gives the newline.
func splitCommand(s string) (words []string, err error) {
	var (
		word   strings.Builder
		inWord bool // or quoted: '' is a word
		state  rune // 0, a quote, or a backslash
		before rune // the state that a backslash interrupted
	)
	for _, r := range s {
		switch {
		case state == '\\':
			if before != 0 && r != '\\' && r != before {
				word.WriteRune('\\')
			}
			word.WriteRune(r)
			state = before
		case state != 0 && r == state:
			state = 0
		case r == '\\' && state != '\'':
			inWord = true
			before, state = state, '\\'
		case state != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			inWord, state = true, r
		case strings.ContainsRune(shlexBlanks, r):
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		default:
			inWord = true
			word.WriteRune(r)
		}
	}
	switch {
	case state == '\\':
		return nil, errEscape
	case state != 0:
		return nil, errQuote
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

// pair is one variable of `environment=`.
type pair struct{ name, value string }

// parsePairs is dict_of_key_value_pairs: KEY=value,KEY2="v,2". A name that is
// given twice has its first place and its last value.
func parsePairs(s string) ([]pair, error) {
	tokens, err := pairTokens(s)
	if err != nil {
		return nil, err
	}
	var all []pair
	for i := 0; i < len(tokens); i += 4 { // the fourth is the comma, whatever it is
		if i+3 > len(tokens) || tokens[i+1] != "=" {
			return nil, errNotPairs
		}
		all = setPair(all, tokens[i], strings.Trim(tokens[i+2], `'"`))
	}
	return all, nil
}

func setPair(all []pair, name, value string) []pair {
	for i := range all {
		if all[i].name == name {
			all[i].value = value
			return all
		}
	}
	return append(all, pair{name, value})
}

// pairTokens is list(shlex.shlex(s)) in its non-POSIX mode, with the word
// characters that supervisor adds: quotes stay, and any other character is a
// token of its own.
func pairTokens(s string) ([]string, error) {
	var (
		tokens []string
		token  strings.Builder
		state  = ' ' // between words, 'a' in one, or a quote
	)
	end := func() {
		tokens = append(tokens, token.String())
		token.Reset()
		state = ' '
	}
	comment := false
	for _, r := range s {
		isQuote := r == '\'' || r == '"'
		switch {
		case comment:
			comment = r != '\n'
		case state == '\'' || state == '"':
			token.WriteRune(r)
			if r == state {
				end()
			}
		case strings.ContainsRune(shlexBlanks, r):
			if state == 'a' {
				end()
			}
		case r == '#':
			comment = true // a word goes on behind it
		case state == 'a' && (isQuote || isWordCharacter(r)):
			token.WriteRune(r)
		case state == 'a':
			end()
			tokens = append(tokens, string(r))
		case isQuote:
			token.WriteRune(r)
			state = r
		case isWordCharacter(r):
			token.WriteRune(r)
			state = 'a'
		default:
			tokens = append(tokens, string(r))
		}
	}
	if state == '\'' || state == '"' {
		return nil, errQuote
	}
	if token.Len() > 0 {
		end()
	}
	return tokens, nil
}

func isWordCharacter(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
		strings.ContainsRune("_/.+-():", r) || r >= firstMark
}
