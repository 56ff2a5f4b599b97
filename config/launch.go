package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
)

// Equal says whether a process of the one does for the other.
func (l *Launch) Equal(other *Launch) bool { return reflect.DeepEqual(l, other) }

// Env lays the program's own variables over the inherited ones.
func (l *Launch) Env(inherited []string) []string { return OverlayEnv(inherited, l.Environment) }

// normalise makes equal environments equal lists, however the file orders them:
// each name once, sorted.
func normalise(env []string) []string {
	env = OverlayEnv(nil, env)
	slices.Sort(env)
	return env
}

// OverlayEnv lays the variables of top over those of base, both NAME=value.
// A name of top stands once in the result.
func OverlayEnv(base, top []string) []string {
	over := make(map[string]string, len(top))
	var names []string // of top, by their last place
	for _, entry := range slices.Backward(top) {
		name, _, _ := strings.Cut(entry, "=")
		if _, seen := over[name]; !seen {
			over[name] = entry
			names = append(names, name)
		}
	}
	var env []string
	for _, entry := range base {
		name, _, _ := strings.Cut(entry, "=")
		if _, replaced := over[name]; !replaced {
			env = append(env, entry)
		}
	}
	for _, name := range slices.Backward(names) {
		env = append(env, over[name])
	}
	return env
}

// Executable finds the command's file as execvp(3) does: a name without a
// slash in the PATH of env, anything else as it is; relative paths are relative
// to WorkingDir. The error wraps syscall.ENOENT, or syscall.EACCES when what PATH
// has is not executable.
func (l *Launch) Executable(env []string) (string, error) {
	name := l.Command[0]
	if name == "" {
		return "", fmt.Errorf("%q: %w", name, syscall.ENOENT)
	}
	if strings.Contains(name, "/") {
		return name, nil // exec itself tells what is wrong with it
	}
	path, found := "", error(syscall.ENOENT)
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			path = value
		}
	}
	for _, folder := range filepath.SplitList(path) {
		candidate := filepath.Join(folder, name)
		switch err := l.checkExecutable(candidate); err {
		case nil:
			return candidate, nil
		case syscall.EACCES:
			found = err
		}
	}
	return "", fmt.Errorf("%s: %w in PATH %q", name, found, path)
}

// ExecutableProblem says what exec would find wrong with the command's file. The
// error wraps syscall.ENOENT or syscall.EACCES.
func (l *Launch) ExecutableProblem(env []string) error {
	path, err := l.Executable(env)
	if err != nil {
		return err
	}
	if err := l.checkExecutable(path); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// checkExecutable returns a bare syscall.Errno.
func (l *Launch) checkExecutable(path string) error {
	if !filepath.IsAbs(path) {
		path = filepath.Join(l.WorkingDir, path)
	}
	info, err := os.Stat(path)
	switch {
	case os.IsPermission(err):
		return syscall.EACCES
	case err != nil:
		return syscall.ENOENT
	case info.IsDir() || info.Mode()&0o111 == 0:
		return syscall.EACCES
	}
	return nil
}
