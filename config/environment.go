package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// environment reads a mapping of names to values or a list of NAME=value. A
// name without a value is passed on from sidekick's environment, where an
// env file cannot win over it; it adds nothing if it is not there.
func environment(v value) ([]string, bool) {
	if v.isList() {
		return environmentList(v)
	}
	if !v.isMapping() {
		v.wrongKind("a mapping or a list")
		return nil, false
	}
	var env []string
	for _, e := range v.entries() {
		if err := checkVariable(e.name); err != nil {
			e.keyProblem("%s", err)
			continue
		}
		if isNull(e.node) {
			env = v.passOn(env, e.name)
			continue
		}
		if s, ok := plainText(e.value); ok {
			env = append(env, e.name+"="+s)
		}
	}
	return env, true
}

func environmentList(v value) ([]string, bool) {
	items, _ := v.items()
	var env []string
	listed := map[string]bool{}
	for _, item := range items {
		s, ok := plainText(item)
		if !ok {
			continue
		}
		name, _, hasValue := strings.Cut(s, "=")
		if err := checkVariable(name); err != nil {
			item.problem("%s", err)
		} else if listed[name] {
			item.problem("%s is listed twice", quote(name))
		} else if hasValue {
			env = append(env, s)
		} else {
			env = v.passOn(env, name)
		}
		listed[name] = true
	}
	return env, true
}

func (v value) passOn(env []string, name string) []string {
	if s, set := v.d.variable(name); set {
		return append(env, name+"="+s)
	}
	return env
}

// envFromFile reads a mapping of variables to files. It is sorted, for its
// order means nothing.
func envFromFile(v value) ([]EnvFromFile, bool) {
	var all []EnvFromFile
	for _, e := range v.entries() {
		path, ok := e.absolute()
		if err := checkVariable(e.name); err != nil {
			e.keyProblem("%s", err)
		} else if ok && path == "" {
			e.problem("is empty: name a file")
		} else if ok {
			all = append(all, EnvFromFile{Name: e.name, Path: path})
		}
	}
	slices.SortFunc(all, func(a, b EnvFromFile) int { return strings.Compare(a.Name, b.Name) })
	return all, true
}

// checkVariable refuses what no program could read back, and a $ that hopes
// to be interpolated: keys are not.
func checkVariable(name string) error {
	switch {
	case name == "":
		return errors.New("a variable needs a name")
	case strings.ContainsAny(name, "= \t\r\n\x00$"):
		return fmt.Errorf("%s is not a variable name: it must not contain blanks, = or $", quote(name))
	}
	return nil
}
