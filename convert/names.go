package convert

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// firstMark is the first of the characters that stand for values which are
// known only when the programs start. So supervisor's own rules of splitting and
// quoting can be applied to a text before its values are known. The characters
// are of Unicode's last private plane; input that has them is refused.
const firstMark rune = 0x100000

// maxMarks bounds how many variables a file can name.
const maxMarks = 1000

// names are what %(…)s can stand for, and the marks that were given out.
type names struct {
	here     string
	hostname string // of this machine, for [include] only
	lookup   func(string) (string, bool)
	// environment is that of [supervisord], which wins over the daemon's own.
	environment []pair
	marks       []string // variables of sidekick's environment
}

// mark is the character for ${name}.
func (n *names) mark(name string) (string, error) {
	for i, known := range n.marks {
		if known == name {
			return string(firstMark + rune(i)), nil
		}
	}
	if len(n.marks) == maxMarks {
		return "", errors.New("too many variables")
	}
	n.marks = append(n.marks, name)
	return string(firstMark + rune(len(n.marks)-1)), nil
}

// hasMark says whether a text has a part that is known at run time only.
func hasMark(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r >= firstMark })
}

// text writes a value for our file: run-time values as ${NAME}, and a $ that
// would begin one, or is doubled, as $$.
func (n *names) text(s string) string {
	var out strings.Builder
	runes := []rune(s)
	for i, r := range runes {
		switch {
		case r >= firstMark:
			out.WriteString("${" + n.marks[r-firstMark] + "}")
		case r == '$' && i+1 < len(runes) && (runes[i+1] == '$' || runes[i+1] == '{' || runes[i+1] >= firstMark):
			out.WriteString("$$")
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// replicaVariable is the number of a copy, see config.
const replicaVariable = "REPLICA"

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// daemon resolves ENV_X as what the daemon has in its environment: what
// [supervisord] sets, or else a variable at run time.
func (n *names) daemon(name string) (any, error) {
	variable, isVariable := strings.CutPrefix(name, "ENV_")
	if !isVariable {
		return nil, errUnknownName
	}
	for _, p := range n.environment {
		if p.name == variable {
			return p.value, nil
		}
	}
	switch {
	case variable == replicaVariable:
		return nil, fmt.Errorf("%%(ENV_%s)s: ${%s} has a meaning of its own here: rename the variable", variable, replicaVariable)
	case !variableName.MatchString(variable):
		return nil, fmt.Errorf("%%(%s)s cannot be written as ${%s}: rename the variable", name, variable)
	}
	return n.mark(variable)
}

// supervisord are the names that its own section knows.
func (n *names) supervisord(name string) (any, error) {
	if name == "here" {
		return n.here, nil
	}
	return n.daemon(name)
}

// host is host_node_name, which Docker has in $HOSTNAME.
func (n *names) host(name string) (any, error) {
	if name == "host_node_name" {
		return n.mark("HOSTNAME")
	}
	return n.supervisord(name)
}

// include are the names of [include] files, which must be known now.
func (n *names) include(name string) (any, error) {
	switch variable, isVariable := strings.CutPrefix(name, "ENV_"); {
	case name == "here":
		return n.here, nil
	case name == "host_node_name":
		return n.hostname, nil
	case !isVariable:
		return nil, errUnknownName
	default:
		value, set := n.lookup(variable)
		if !set {
			return nil, fmt.Errorf("the variable %s is not set: set it, for it says which files are read", variable)
		}
		return value, nil
	}
}

// program are the names of a [program:x] section: supervisor's own, those of the
// copy, and over all the program's environment.
type programNames struct {
	*names
	program, group string
	copies         any // numprocs: an int, or a mark
	number         any // process_num: an int, or sequence
	own            []pair
}

func (n *programNames) resolve(name string) (any, error) {
	for _, p := range n.own {
		if "ENV_"+p.name == name {
			return p.value, nil
		}
	}
	switch name {
	case "program_name":
		return n.program, nil
	case "group_name":
		return n.group, nil
	case "process_num":
		return n.number, nil
	case "numprocs":
		return n.copies, nil
	}
	return n.host(name)
}

// sequence is process_num of copies that are one entry of our file: from start,
// so many; count 0: nobody knows how many.
type sequence struct {
	*names
	start, count int
}

// errNotSequence: the copies cannot be one entry with ${REPLICA}.
var errNotSequence = errors.New("the number of a copy cannot be written with ${REPLICA}")

// format writes process_num as a fixed text and ${REPLICA}, which counts from 0:
// %02d of up to ten copies is 0${REPLICA}, and four from 8000 are 800${REPLICA}.
func (q sequence) format(spec spec) (string, error) {
	if q.count == 0 && (q.start != 0 || !spec.plain()) {
		return "", errNotSequence
	}
	prefix := ""
	for i := range q.count {
		number, err := spec.integer(q.start + i)
		if err != nil {
			return "", err
		}
		before, ok := strings.CutSuffix(number, strconv.Itoa(i))
		if !ok || i > 0 && before != prefix {
			return "", errNotSequence
		}
		prefix = before
	}
	mark, err := q.mark(replicaVariable)
	return prefix + mark, err
}
