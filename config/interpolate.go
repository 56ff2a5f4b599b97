package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// maxNesting bounds how deep defaults may nest in each other.
const maxNesting = 50

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*`)

// interpolate replaces variables as Compose does, in the braced forms only:
//
//	${VAR}            the value; an error if VAR is not set
//	${VAR:-default}   default if VAR is not set or empty; ${VAR-default} if not set
//	${VAR:?message}   an error if VAR is not set or empty; ${VAR?message} if not set
//	${VAR:+other}     other if VAR is set and not empty, else nothing; ${VAR+other} if set
//
// What stands behind the operator is interpolated, too, if it is used. $$ is
// a dollar sign, and so is one that is followed by anything else. Values of
// variables are taken as they are. All variables that are missing are told, and
// the first fault of the spelling.
func interpolate(s string, lookup func(string) (string, bool)) (string, []error) {
	if !strings.Contains(s, "$") {
		return s, nil
	}
	p := interpolator{rest: s, lookup: lookup}
	text, err := p.expand(0, false)
	if err != nil {
		p.miss(err)
	}
	return text, p.problems
}

type interpolator struct {
	rest     string // what is not read yet
	lookup   func(string) (string, bool)
	problems []error
}

// miss adds a problem, each once.
func (p *interpolator) miss(problem error) {
	if !slices.ContainsFunc(p.problems, func(e error) bool { return e.Error() == problem.Error() }) {
		p.problems = append(p.problems, problem)
	}
}

// expand reads to the end, or with depth > 0 to the brace that closes the
// variable it is part of. With unused set the result is thrown away, so a
// variable that is missing there does not matter.
func (p *interpolator) expand(depth int, unused bool) (string, error) {
	var out strings.Builder
	for p.rest != "" {
		switch {
		case depth > 0 && p.skip("}"):
			return out.String(), nil
		case p.skip("$$"):
			out.WriteByte('$')
		case p.skip("${"):
			s, err := p.variable(depth, unused)
			if err != nil {
				return "", err
			}
			out.WriteString(s)
		default:
			out.WriteByte(p.rest[0])
			p.rest = p.rest[1:]
		}
	}
	if depth > 0 {
		return "", errors.New("${ is not closed: add } or write $${ for the characters themselves")
	}
	return out.String(), nil
}

func (p *interpolator) skip(prefix string) bool {
	rest, found := strings.CutPrefix(p.rest, prefix)
	p.rest = rest
	return found
}

// variable reads what follows `${`.
func (p *interpolator) variable(depth int, unused bool) (string, error) {
	name := variableName.FindString(p.rest)
	if name == "" {
		return "", errors.New("${ must be followed by the name of a variable: write $${ for the characters themselves")
	}
	if depth == maxNesting {
		return "", errors.New("variables nest too deep")
	}
	p.rest = p.rest[len(name):]
	current, isSet := "", false
	if p.lookup != nil {
		current, isSet = p.lookup(name)
	}
	if p.skip("}") {
		if !isSet && !unused {
			p.miss(fmt.Errorf("variable %s is not set: set it or write ${%s:-default}", name, name))
		}
		return current, nil
	}
	if p.skip(":") {
		isSet = isSet && current != ""
	}
	return p.operator(name, current, isSet, depth, unused)
}

// operator reads from the operator to the closing brace. present says that
// the variable has a value in the sense of the operator.
func (p *interpolator) operator(name, current string, present bool, depth int, unused bool) (string, error) {
	op := p.rest[:min(1, len(p.rest))]
	if op == "" || !strings.Contains("-?+", op) {
		return "", fmt.Errorf("${%s must be followed by }, :- or :?: write $${ for the characters themselves", name)
	}
	p.rest = p.rest[1:]
	used := present == (op == "+")
	word, err := p.expand(depth+1, unused || !used)
	switch {
	case err != nil:
		return "", err
	case op == "+" && !present:
		return "", nil
	case op != "+" && present:
		return current, nil
	case op == "?" && !unused:
		p.miss(missing(name, word))
		return "", nil
	}
	return word, nil
}

func missing(name, message string) error {
	if message == "" {
		return fmt.Errorf("variable %s is required and not set", name)
	}
	return fmt.Errorf("variable %s is required and not set: %s", name, message)
}
