package convert

import (
	"slices"
	"strconv"
	"strings"
)

// maxName bounds a name, in bytes: YAML ends a key after 1,024 characters.
const maxName = 200

// claim makes a name that our file accepts and nobody has.
func (c *converter) claim(name, group string, copies int) string {
	base := strings.Map(func(r rune) rune {
		if r < 0x80 && (r == '_' || r == '.' || r == '-' || isWordCharacter(r) && !strings.ContainsRune("/+():", r)) {
			return r
		}
		return '-'
	}, name)
	base = strings.TrimLeft(base, "_.-")
	base = strings.TrimRight(base[:min(len(base), maxName)], "-")
	if base == "" || base == "all" {
		base = strings.TrimRight("program-"+base, "-")
	}
	candidate := base
	if c.isTaken(candidate, copies) && group != name {
		candidate = strings.TrimRight(c.plainName(group), "-") + "-" + candidate
	}
	for i := 2; c.isTaken(candidate, copies); i++ {
		candidate = base + "-" + strconv.Itoa(i)
	}
	for _, n := range copyNames(candidate, copies) {
		c.taken[n] = true
	}
	return candidate
}

// plainName is a name without what ours may not have; "x" if nothing is left.
func (c *converter) plainName(name string) string {
	kept := strings.Map(func(r rune) rune {
		if r < 0x80 && isWordCharacter(r) && !strings.ContainsRune("/+().:", r) {
			return r
		}
		return -1
	}, name)
	if kept = strings.TrimLeft(kept, "_-"); kept == "" {
		return "x"
	}
	return kept[:min(len(kept), maxName)]
}

func (c *converter) isTaken(name string, copies int) bool {
	return slices.ContainsFunc(copyNames(name, copies), func(n string) bool { return c.taken[n] })
}

// copyNames are the names that a program and its copies take.
func copyNames(name string, copies int) []string {
	all := []string{name}
	for i := range copies {
		if copies > 1 {
			all = append(all, name+"-"+strconv.Itoa(i))
		}
	}
	return all
}
