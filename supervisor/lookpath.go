package supervisor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lookPath finds a command as execvp(3) does: a name without a slash in the
// PATH of the program's own environment, anything else as it is.
func lookPath(name string, env []string, dir string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	var path string
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			path = value
		}
	}
	found := error(unix.ENOENT)
	for _, folder := range filepath.SplitList(path) {
		candidate := filepath.Join(folder, name)
		info, err := os.Stat(absolute(candidate, dir))
		switch {
		case err != nil || info.IsDir():
		case info.Mode()&0o111 == 0:
			found = unix.EACCES
		default:
			return candidate, nil
		}
	}
	return "", fmt.Errorf("%s: %w in PATH %q", name, found, path)
}

func absolute(path, dir string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
