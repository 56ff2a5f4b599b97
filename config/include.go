package config

import (
	"path/filepath"
	"slices"
	"strings"
)

// readIncludes merges the programs of other files, after those of the first.
// A pattern with wildcards may match nothing; a plain name must be there.
func (f *file) readIncludes() {
	v, given := f.given["include"]
	if !given {
		return
	}
	for _, item := range v.oneOrMany() {
		if pattern, ok := plainText(item); ok {
			for _, path := range matches(item, pattern) {
				f.include(item, path)
			}
		}
	}
}

// matches returns the files that a pattern names, sorted. The paths are
// relative where the pattern is.
func matches(v value, pattern string) []string {
	if pattern == "" {
		v.problem("is empty: name a file")
		return nil
	}
	if !strings.ContainsAny(pattern, `*?[\`) {
		return []string{pattern}
	}
	absolute := v.d.absolute(pattern)
	found, err := filepath.Glob(absolute)
	if err != nil {
		v.problem("%s is not a pattern: %s", quote(pattern), err)
	}
	found = slices.DeleteFunc(found, func(path string) bool { return isDir(path) || hidden(absolute, path) })
	if len(found) > maxFiles {
		v.problem("matches %d files: at most %d can be read", len(found), maxFiles)
		return nil
	}
	slices.Sort(found)
	if filepath.IsAbs(pattern) {
		return found
	}
	for i, path := range found {
		if relative, err := filepath.Rel(v.d.dir, path); err == nil {
			found[i] = relative
		}
	}
	return found
}

// hidden says whether a wildcard matched a name that begins with a dot, which
// it does not in a shell: they are leftovers of editors, and the folders in
// which Kubernetes keeps the files of a volume.
func hidden(pattern, path string) bool {
	wanted := strings.Split(filepath.Clean(pattern), "/")
	for i, name := range strings.Split(path, "/") {
		if strings.HasPrefix(name, ".") && i < len(wanted) && !strings.HasPrefix(wanted[i], ".") {
			return true
		}
	}
	return false
}

// include reads the programs of one file, once.
func (f *file) include(at value, path string) {
	absolute := at.d.absolute(path)
	if absolute == f.at.d.absolute(filepath.Base(f.at.d.file)) {
		at.problem("names this file itself: put what it includes into a folder of its own")
		return
	}
	if f.included[absolute] {
		return
	}
	f.included[absolute] = true
	d, data := at.d.open(at, path)
	if d == nil {
		f.incomplete = true
		return
	}
	node := d.document(data)
	if node == nil {
		f.incomplete = true
		return
	}
	root := value{d: d, node: node}
	given := root.dispatch(withoutExtensions(root.entries()), f.includedKeys())
	if _, there := given["programs"]; !there {
		root.problem("an included file needs `programs`")
	}
}

// includedKeys is the table of an included file: what concerns all programs
// stands in the first one only.
func (f *file) includedKeys() table {
	t := table{}
	for key := range f.keys() {
		t[key] = func(v value) {
			v.keyProblem("cannot stand in an included file: it may have `programs`, and keys that begin with x-")
		}
	}
	t["programs"] = f.readPrograms
	return t
}

// claim says whether a program's name is free, and takes it.
func (f *file) claim(e entry) bool {
	if first, taken := f.named[e.name]; taken {
		e.keyProblem("duplicate program, first given at %s", first.place())
		return false
	}
	f.named[e.name] = e.value
	return true
}

// checkCopyNames finds programs that are named like a copy of another.
func (f *file) checkCopyNames() {
	for _, p := range f.programs {
		if other, taken := f.named[p.Name]; taken && p.isCopy() {
			other.keyProblem("is the name of a copy of %s, which has replicas at %s: rename one of them", p.Group, p.at.place())
		}
	}
}
