package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConvert(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.conf", "[supervisord]\n[program:a]\ncommand=a\npriority=1\n")
	bad := file("bad.conf", "[supervisord]\n[program:a]\ncommand=a\nautostart=maybe\nstartsecs=x\n")
	for _, c := range []struct {
		line           string
		code           int
		stdout, stderr string
	}{
		{"convert " + good, 0, "\nprograms:\n  # priority=1", good + ":4: [program:a] priority=1: "},
		{"convert " + good, 0, "    command: a\n", good + ": converted, 1 program(s), 1 note(s)"},
		{"convert " + bad, exitFailed, "", bad + ":4: autostart: "},
		{"convert " + bad, exitFailed, "", "error: cannot convert " + bad + ": 2 problem(s)\ntry: "},
		{"convert " + dir + "/missing", exitFailed, "", "no such file"},
		{"convert " + file("empty", "[supervisord]\n"), exitFailed, "", "there is no [program:…] to run"},
		{"convert", exitUsage, "", "too few arguments: write sidekick convert FILE"},
		{"convert a b", exitUsage, "", "unexpected argument"},
		{"convert --help", 0, "sidekick convert /etc/supervisor/supervisord.conf >sidekick.yaml", ""},
	} {
		stdout, stderr, code := sidekick(t, strings.Fields(c.line)...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) || c.code != 0 && stdout != "" {
			t.Errorf("%s: exit code %d, want %d\nstdout, which must have %q:\n%s\nstderr, which must have %q:\n%s",
				c.line, code, c.code, c.stdout, stdout, c.stderr, stderr)
		}
	}
}
