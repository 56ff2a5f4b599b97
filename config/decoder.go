package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"gopkg.in/yaml.v3"
)

const (
	// maxExpansion bounds what a configuration is read as once its aliases
	// are followed and its programs copied: a few lines of aliases to aliases
	// stand for billions of values. It is counted in bytes, each value costs
	// nodeCost more.
	maxExpansion = 8 * maxFile
	nodeCost     = 16
	// maxMerges bounds how deep `<<` may nest; a mapping can merge itself.
	maxMerges = 50
)

// decoder turns the YAML nodes of one file into values and collects every
// problem on the way.
type decoder struct {
	file   string // as shown in problems
	dir    string // absolute; relative paths start here
	lookup func(string) (string, bool)
	*reading
}

// variable returns a variable of the environment.
func (d *decoder) variable(name string) (string, bool) {
	if d.lookup == nil {
		return "", false
	}
	return d.lookup(name)
}

// add notes a problem at a node's position; nil is the start of the file.
func (d *decoder) add(at *yaml.Node, path, message string) {
	p := Problem{File: d.file, Line: 1, Column: 1, Path: oneLine(path), Message: oneLine(message)}
	if at != nil {
		p.Line, p.Column = max(at.Line, 1), max(at.Column, 1)
	}
	d.problems = append(d.problems, p)
}

// spend takes a node's cost from the budget and tells whether there is any
// left to read it.
func (d *decoder) spend(n *yaml.Node) bool { return d.charge(n, nodeCost+len(n.Value)) }

// charge takes a cost, which a node causes, from the budget and tells whether
// there is any left.
func (d *decoder) charge(n *yaml.Node, cost int) bool {
	d.budget -= cost
	if d.budget < 0 && d.exhausted == nil {
		d.add(n, "", "aliases, merges and replicas make the configuration too large")
		d.exhausted = new(d.problems[len(d.problems)-1])
	}
	return d.budget >= 0
}

// value is a place in the file: a node and the path that leads to it.
type value struct {
	d    *decoder
	node *yaml.Node // never an alias
	key  *yaml.Node // its key; nil for the root and for items of a list
	path string
}

// problem notes that something is wrong with the value, at its position, or
// at its key's if nothing stands there.
func (v value) problem(format string, args ...any) {
	at := v.node
	if isNull(at) && v.key != nil {
		at = v.key
	}
	v.d.add(at, v.path, fmt.Sprintf(format, args...))
}

// keyProblem notes that something is wrong with the key of the value.
func (v value) keyProblem(format string, args ...any) {
	v.atKey().problem(format, args...)
}

// atKey is the value with its problems reported at its key.
func (v value) atKey() value {
	if v.key != nil {
		v.node = v.key
	}
	return v
}

// place is where the value stands, for other problems' messages.
func (v value) place() string {
	at := v.atKey().node
	return v.d.file + ":" + strconv.Itoa(at.Line)
}

func (v value) isMapping() bool { return v.node.Kind == yaml.MappingNode }
func (v value) isList() bool    { return v.node.Kind == yaml.SequenceNode }

// A table lists the keys of one mapping, each with what reads its value.
// A new key is a new line in a table.
type table map[string]func(value)

// set reads a value into *dst, which keeps its default if that fails.
func set[T any](dst *T, read func(value) (T, bool)) func(value) {
	return func(v value) {
		if got, ok := read(v); ok {
			*dst = got
		}
	}
}

// keys reads a mapping by its table and returns the keys that were given.
func (v value) keys(t table) map[string]value {
	return v.dispatch(v.entries(), t)
}

func (v value) dispatch(entries []entry, t table) map[string]value {
	given := map[string]value{}
	if v.d.observe != nil {
		v.d.observe(v.path, t)
	}
	for _, e := range entries {
		given[e.name] = e.value
		if read, known := t[e.name]; known {
			read(e.value)
		} else {
			e.keyProblem("unknown key%s", didYouMean(e.name, slices.Sorted(maps.Keys(t))))
		}
	}
	return given
}

// entry is a key of a mapping with its value.
type entry struct {
	name string
	value
}

// entries returns the keys of a mapping in the order of the file, with
// merges (`<<`) followed. It is empty after a problem.
func (v value) entries() []entry {
	if !v.isMapping() {
		v.wrongKind("a mapping")
		return nil
	}
	v.checkTag()
	return v.merged(0)
}

// merged follows merges as https://yaml.org/type/merge.html says: a key of
// the mapping itself wins, then the source that is named first.
func (v value) merged(depth int) []entry {
	own := v.ownEntries()
	seen := map[string]bool{}
	for _, e := range own {
		seen[e.name] = true
	}
	var all []entry
	for _, e := range own {
		if !isMerge(e.key) {
			all = append(all, e)
			continue
		}
		for _, m := range e.mergeSources(v.path, depth) {
			if !seen[m.name] {
				seen[m.name] = true
				all = append(all, m)
			}
		}
	}
	return all
}

// mergeSources returns the entries of the mapping, or of the mappings in the
// list, that stand behind `<<`. They belong to path.
func (v value) mergeSources(path string, depth int) []entry {
	if depth == maxMerges {
		v.problem("merges nest too deep: does a mapping merge itself?")
		return nil
	}
	sources := []*yaml.Node{v.node}
	if v.isList() {
		sources = v.node.Content
	}
	var all []entry
	for _, n := range sources {
		source := value{d: v.d, node: follow(n), key: v.key, path: path}
		if !source.isMapping() {
			source.path = v.path
			source.problem("must be a mapping or a list of mappings")
			continue
		}
		if v.d.spend(source.node) {
			all = append(all, source.merged(depth+1)...)
		}
	}
	return all
}

// ownEntries returns the keys that stand in the mapping itself, `<<` too.
func (v value) ownEntries() []entry {
	var own []entry
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key := follow(v.node.Content[i])
		e := entry{name: key.Value, value: value{d: v.d, node: follow(v.node.Content[i+1]), key: key, path: v.path}}
		switch {
		case !v.d.spend(key):
			return own
		case key.Kind != yaml.ScalarNode:
			e.keyProblem("a key must be a single word, not %s", kindOf(key))
			continue
		}
		e.path = join(v.path, e.name)
		if earlier := first[e.name]; earlier != nil {
			e.keyProblem("duplicate key, first given at line %d", earlier.Line)
			continue
		}
		first[e.name] = key
		own = append(own, e)
	}
	return own
}

// items returns the elements of a list; ok is false after a problem.
func (v value) items() (items []value, ok bool) {
	if !v.isList() {
		v.wrongKind("a list")
		return nil, false
	}
	v.checkTag()
	for i, n := range v.node.Content {
		item := value{d: v.d, node: follow(n), path: v.path + "[" + strconv.Itoa(i) + "]"}
		if !v.d.spend(item.node) {
			return items, false
		}
		items = append(items, item)
	}
	return items, true
}

// oneOrMany returns the elements of a list, or the value itself.
func (v value) oneOrMany() []value {
	if !v.isList() {
		return []value{v}
	}
	items, _ := v.items()
	return items
}

// scalar returns the text of a single value after interpolation. The type
// that YAML gives it does not matter: a reader checks the text, so `0600`
// keeps its zero and `no` is not a boolean unless one is meant.
func (v value) scalar() (string, bool) {
	if v.node.Kind != yaml.ScalarNode || isNull(v.node) {
		v.wrongKind("a single value")
		return "", false
	}
	v.checkTag()
	if !v.d.spend(v.node) {
		return "", false
	}
	text, problems := interpolate(v.node.Value, v.d.lookup)
	for _, err := range problems {
		v.problem("%s", err)
	}
	return text, len(problems) == 0
}

func (v value) wrongKind(want string) {
	if isNull(v.node) {
		v.problem("has no value")
		return
	}
	v.problem("must be %s, not %s", want, kindOf(v.node))
}

var coreTag = regexp.MustCompile(`^!!(str|int|float|bool|null|map|seq)$`)

// checkTag refuses explicit tags that would mean something: !!binary, !Ref.
func (v value) checkTag() {
	if v.node.Style&yaml.TaggedStyle != 0 && !coreTag.MatchString(v.node.ShortTag()) {
		v.problem("the YAML tag %s is not supported", v.node.Tag)
	}
}

// absolute reads a path and makes it absolute: relative ones start at the
// file's directory. "" stays.
func (v value) absolute() (string, bool) {
	path, ok := plainText(v)
	if ok && path != "" {
		path = v.d.absolute(path)
	}
	return path, ok
}

// follow returns what an alias stands for. An alias never stands for another.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

func isMerge(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge"
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
