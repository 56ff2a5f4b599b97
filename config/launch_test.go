package config

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEnv(t *testing.T) {
	l := Launch{Environment: []string{"B=own", "C=", "A=a=b", "B=last"}}
	got := l.Env([]string{"A=1", "B=2", "D=4", "AB=5"})
	if d := cmp.Diff([]string{"D=4", "AB=5", "C=", "A=a=b", "B=last"}, got); d != "" {
		t.Error(d)
	}
}

func TestExecutable(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"one/plain": 0o644, "two/plain": 0o644, "two/good": 0o755, "one/good/x": 0o755} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"PATH=/wrong", "PATH=" + dir + "/one:" + dir + "/two"}
	for _, c := range []struct {
		name, workingDir string
		env              []string
		want             string
		err              error
	}{
		{"good", "", env, dir + "/two/good", nil}, // one/good is a directory
		{"plain", "", env, "", syscall.EACCES},
		{"none", "", env, "", syscall.ENOENT},
		{"good", "", nil, "", syscall.ENOENT},
		{"good", dir, []string{"PATH=two"}, "two/good", nil},
		{"./any", "", env, "./any", nil},
	} {
		l := Launch{Command: []string{c.name}, WorkingDir: c.workingDir}
		got, err := l.Executable(c.env)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s with %q: got %q, %v, want %q, %v", c.name, c.env, got, err, c.want, c.err)
		}
	}
}
