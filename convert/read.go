package convert

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	maxFile  = 1 << 20 // bytes of one file
	maxFiles = 1000    // with those that are included
	maxTotal = 4 * maxFile
)

// reader reads a file and what it includes.
type reader struct {
	ini   *ini
	names *names // for [include]
	total int
	files []string // that were read, as shown
	notes []Note
}

// readAll reads the first file, then what [include] names, as ServerOptions
// does: patterns in their order, the matches of each sorted, no deeper.
func (r *reader) readAll(path, text string) error {
	if err := r.add(path, text); err != nil {
		return err
	}
	include := r.ini.section("include")
	if include == nil {
		return nil
	}
	here := r.names.here
	expandHere(r.ini, here)
	files := r.ini.option(include, "files")
	if files == nil {
		return Problems{{File: include.file, Line: include.line, Message: "[include] needs `files`"}}
	}
	files.fate = inOutput
	at := *files // an [include] of an included file changes the option
	patterns, err := expand(files.value, r.names.include)
	if err != nil {
		return Problems{files.problem("%s", err)}
	}
	for pattern := range strings.FieldsFuncSeq(patterns, isSpace) {
		if err := r.include(&at, here, pattern); err != nil {
			return err
		}
	}
	return nil
}

// include reads the files that one pattern matches. What cannot be opened is
// passed over in silence by supervisor; here it is a note.
func (r *reader) include(at *option, here, pattern string) error {
	absolute := pattern
	if !filepath.IsAbs(pattern) {
		absolute = filepath.Join(here, pattern)
	}
	found := glob(absolute)
	if len(found) == 0 {
		r.note(at, "no file matches "+pattern)
	}
	for _, path := range found {
		text, err := readText(path)
		if errors.Is(err, errNotText) {
			return Problems{{File: path, Line: 1, Message: err.Error()}}
		}
		if err != nil {
			r.note(at, fmt.Sprintf("passed over, as supervisord does: %s", err))
			continue
		}
		shown := path
		if rel, err := filepath.Rel(here, path); err == nil && !filepath.IsAbs(pattern) {
			shown = filepath.Join(filepath.Dir(r.files[0]), rel)
		}
		if err := r.add(shown, text); err != nil {
			return err
		}
		expandHere(r.ini, filepath.Dir(path))
	}
	return nil
}

func (r *reader) note(at *option, reason string) {
	r.notes = append(r.notes, Note{File: at.file, Line: at.line, Where: "[include] files", Reason: reason})
}

func (r *reader) add(shown, text string) error {
	r.files = append(r.files, shown)
	r.total += len(text)
	if len(r.files) > maxFiles || r.total > maxTotal {
		return fmt.Errorf("cannot read %s: more than %d files or %d bytes together", shown, maxFiles, maxTotal)
	}
	if problem := unusable(text); problem != "" {
		return Problems{{File: shown, Line: lineOf(text, problem), Message: problem}}
	}
	return r.ini.parse(shown, text)
}

const (
	hasNUL     = "there is a NUL character"
	hasPrivate = "there is a character above U+100000, which has no meaning"
)

// unusable says what no configuration may have. Characters of the last plane
// stand for run-time values while we work.
func unusable(text string) string {
	for _, r := range text {
		switch {
		case r == 0:
			return hasNUL
		case r >= firstMark:
			return hasPrivate
		}
	}
	return ""
}

func lineOf(text, problem string) int {
	at := strings.IndexFunc(text, func(r rune) bool { return r == 0 && problem == hasNUL || r >= firstMark })
	return strings.Count(text[:max(at, 0)], "\n") + 1
}

var errNotText = errors.New("it is not UTF-8 text")

// readText reads a regular file.
func readText(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	return limitedText(path, file)
}

func limitedText(path string, from io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(from, maxFile+1))
	switch {
	case err != nil:
		return "", err
	case len(data) > maxFile:
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	case !utf8.Valid(data):
		return "", errNotText
	}
	return string(data), nil
}

// expandHere replaces %(here)s in all values, before anything else is expanded:
// in a file that is included it is that file's folder.
func expandHere(p *ini, here string) {
	for _, s := range append(slices.Clone(p.sections), p.defaults) {
		for _, o := range s.options {
			o.value = strings.ReplaceAll(o.value, "%(here)s", here)
		}
	}
}

// glob is glob.glob of Python, sorted: * does not match a leading dot, a
// backslash is a character like others, [!…] is what is not in a set.
func glob(pattern string) []string {
	found, err := filepath.Glob(goPattern(pattern))
	if err != nil {
		return nil
	}
	found = slices.DeleteFunc(found, func(path string) bool { return hidden(pattern, path) })
	slices.Sort(found)
	return found
}

var goPattern = strings.NewReplacer(`\`, `\\`, "[!", "[^").Replace

// hidden says whether a wildcard matched a name that begins with a dot.
func hidden(pattern, path string) bool {
	wanted := strings.Split(filepath.Clean(pattern), "/")
	for i, name := range strings.Split(filepath.Clean(path), "/") {
		if strings.HasPrefix(name, ".") && i < len(wanted) && !strings.HasPrefix(wanted[i], ".") {
			return true
		}
	}
	return false
}
