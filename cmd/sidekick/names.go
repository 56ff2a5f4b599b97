package main

import (
	"fmt"
	"path"
	"strings"

	"sidekick/control"
)

// choose returns the programs that the names address, in the order of the file,
// and all of them when there are none. A name that addresses nothing is an
// error: then nothing is done.
func choose(programs []control.Program, names []string) ([]control.Program, error) {
	if len(names) == 0 {
		return programs, nil
	}
	chosen := make([]bool, len(programs))
	for _, name := range names {
		known := false
		for i, p := range programs {
			ok, err := addresses(name, p)
			if err != nil {
				return nil, &exitError{code: exitUsage, err: fmt.Errorf("cannot read the pattern %q: %w", name, err), hint: "* ? [a-z] as in a shell, within quotes"}
			}
			if ok {
				chosen[i], known = true, true
			}
		}
		if !known {
			return nil, unknownName(programs, name)
		}
	}
	var all []control.Program
	for i, p := range programs {
		if chosen[i] {
			all = append(all, p)
		}
	}
	return all, nil
}

// addresses: name is the program's own, that of its group, `all`, or a pattern
// of a shell that matches one of the two.
func addresses(name string, p control.Program) (bool, error) {
	if name == "all" || name == p.Name || name == p.Group {
		return true, nil
	}
	if !strings.ContainsAny(name, `*?[\`) {
		return false, nil
	}
	own, err := path.Match(name, p.Name)
	if err != nil || own {
		return own, err
	}
	return path.Match(name, p.Group)
}

func unknownName(programs []control.Program, name string) error {
	var all []string
	for _, p := range programs {
		all = append(all, p.Name)
	}
	const most = 10
	if len(all) > most {
		all = append(all[:most], "…")
	}
	what := "cannot find a program named %q"
	if strings.ContainsAny(name, "*?[") {
		what = "cannot find a program that matches %q"
	}
	return &exitError{code: exitFailed, err: fmt.Errorf(what, name),
		hint: "one of " + strings.Join(all, ", ")}
}

// programNames lists their names.
func programNames(programs []control.Program) []string {
	names := make([]string, 0, len(programs))
	for _, p := range programs {
		names = append(names, p.Name)
	}
	return names
}
