package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// document returns the root mapping of the only YAML document in data, or
// nil after adding the problem.
func (d *decoder) document(data []byte) *yaml.Node {
	if len(data) > maxFile {
		d.add(nil, "", fmt.Sprintf("the file is larger than %d bytes", maxFile))
		return nil
	}
	d.texts[d.file] = data
	documents := yaml.NewDecoder(bytes.NewReader(data))
	first, err := nextDocument(documents)
	if errors.Is(err, io.EOF) {
		d.add(nil, "", "the file is empty: it needs at least `programs`")
		return nil
	}
	var second *yaml.Node
	if err == nil {
		second, err = nextDocument(documents)
	}
	switch {
	case err == nil:
		d.add(second, "", "a second YAML document: a configuration is only one")
		return nil
	case !errors.Is(err, io.EOF):
		d.syntaxProblem(err, string(data))
		return nil
	}
	return d.rootMapping(first)
}

// nextDocument reads one document. The parser panics on some malformed input,
// and PID 1 must not die of its configuration, so a panic is a syntax error.
func nextDocument(documents *yaml.Decoder) (node *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: %v", r)
		}
	}()
	node = &yaml.Node{}
	return node, documents.Decode(node)
}

func (d *decoder) rootMapping(document *yaml.Node) *yaml.Node {
	if document.Kind != yaml.DocumentNode || len(document.Content) != 1 {
		d.add(document, "", "the file is empty: it needs at least `programs`")
		return nil
	}
	root := document.Content[0]
	switch {
	case root.Kind == yaml.MappingNode:
		return root
	case isNull(root):
		d.add(root, "", "the file is empty: it needs at least `programs`")
	default:
		d.add(root, "", fmt.Sprintf("the file must be a mapping with `programs`, not %s", kindOf(root)))
	}
	return nil
}

var (
	yamlError = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?(?s:(.*))$`)
	// The library's scanner counts lines from 1, its parser from 0. These are
	// the messages of the parser.
	parserError = regexp.MustCompile(`^did not find expected (key$|'|node content|<)|^found (undefined tag|duplicate|incompatible)`)

	// In a flow collection the brace of an unquoted variable is YAML's.
	unquotedVariable = regexp.MustCompile(`[{\[,][^"']*\$\{`)

	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxProblem adds an error of the YAML parser, which names no column and
// not always a line.
func (d *decoder) syntaxProblem(err error, text string) {
	at, message := &yaml.Node{Line: 1, Column: 1}, err.Error()
	if m := yamlError.FindStringSubmatch(message); m != nil {
		at.Line, _ = strconv.Atoi(m[1])
		message = m[2]
		if at.Line > 0 && parserError.MatchString(message) {
			at.Line++
		}
	}
	if m := unknownAnchor.FindStringSubmatch(message); m != nil {
		at = positionOf(text, "*"+m[1])
	}
	lines := strings.Count(strings.TrimSuffix(text, "\n"), "\n") + 1
	at.Line = min(max(at.Line, 1), lines)
	switch line := strings.Split(text, "\n")[at.Line-1]; {
	case indentedByTab(line):
		message += " (the line is indented with a tab: YAML wants spaces)"
	case unquotedVariable.MatchString(line):
		message += " (within { } and [ ] a value with ${…} needs quotes)"
	}
	d.add(at, "", "not valid YAML: "+message)
}

// positionOf returns a node that has only the position of the first
// occurrence of s.
func positionOf(text, s string) *yaml.Node {
	before, _, found := strings.Cut(text, s)
	if !found {
		return &yaml.Node{Line: 1, Column: 1}
	}
	line := before[strings.LastIndexByte(before, '\n')+1:]
	return &yaml.Node{Line: strings.Count(before, "\n") + 1, Column: len([]rune(line)) + 1}
}

func indentedByTab(line string) bool {
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	return strings.Contains(indent, "\t")
}
