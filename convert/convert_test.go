package convert

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekick/config"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// include.conf names its files with it.
func part(name string) (string, bool) { return "one", name == "PART" }

// TestGolden compares each case with what it should become: the notes, then the
// YAML. The folder of the cases is shown as /etc/supervisor.
func TestGolden(t *testing.T) {
	for _, path := range cases(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			result, err := File(path, nil, part)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, n := range result.Notes {
				got.WriteString(n.String() + "\n")
			}
			got.WriteString("---\n" + string(result.YAML))
			here, err := filepath.Abs(filepath.Dir(path))
			if err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(got.String(), here, "/etc/supervisor")
			golden := strings.TrimSuffix(path, ".conf") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), text); d != "" {
				t.Error(d)
			}
		})
	}
}

var expectedError = regexp.MustCompile(`(?m)^; ERROR (\d+): (.*)$`)

// TestBad reads files that supervisor refuses, or that cannot be said in our
// file: `; ERROR LINE: …` in them says what we should say, in that order.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.conf")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = File(path, nil, nil)
			problems, ok := errors.AsType[Problems](err)
			if !ok {
				t.Fatalf("%v", err)
			}
			want := expectedError.FindAllStringSubmatch(string(text), -1)
			for i, p := range problems {
				if i >= len(want) || !strings.HasPrefix(p.String(), path+":"+want[i][1]+": "+want[i][2]) {
					t.Errorf("%s", p)
				}
			}
			if len(problems) < len(want) {
				t.Errorf("only %d problems of %d", len(problems), len(want))
			}
		})
	}
}

// convertText converts a text as a file of an empty folder.
func convertText(t *testing.T, text string) (*Result, error) {
	t.Helper()
	return newConverter(t.TempDir(), func(string) (string, bool) { return "", false }).convert("test.conf", text)
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "missing"):                                "no such file",
		dir:                                                          "not a regular file",
		file("empty", ""):                                            "there is no [program:…] to run",
		file("latin1", "[supervisord]\nx=\xfc"):                      "latin1:1: it is not UTF-8 text",
		file("nul", "[supervisord]\nx=\x00"):                         "nul:2: there is a NUL character",
		file("private", "\n\n[x]\ny=\U0010fffd"):                     "private:4: there is a character above U+100000",
		file("large", strings.Repeat("#", maxFile+1)):                "larger than",
		file("include", "[include]\nfiles=%(ENV_X)s"):                "include:2: files: the variable X is not set",
		file("broken", "[include]\nfiles=latin1\n[program:a]"):       "latin1:1: it is not UTF-8 text",
		file("wide", "[program:a]\ncommand=%(program_name)9999s"):    "it is too wide",
		file("replica", "[program:a]\ncommand=a %(ENV_REPLICA)s"):    "rename the variable",
		file("socket", "[program:a]\ncommand=a\n[unix_http_server]"): "socket:3: [unix_http_server] needs `file`",
	} {
		_, err := File(path, nil, func(string) (string, bool) { return "", false })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, not %s", filepath.Base(path), err, want)
		}
	}
}

func TestStdin(t *testing.T) {
	result, err := File("-", strings.NewReader("[program:a]\ncommand=a\npriority=1\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if result.Programs != 1 || len(result.Notes) != 2 || result.Notes[1].File != "stdin" {
		t.Errorf("%+v", result)
	}
	if _, err := File("-", io.MultiReader(), nil); !errors.Is(err, ErrNoProgram) {
		t.Error(err)
	}
}

// Passwords are not shown where everybody can read along.
func TestSecretsAreNotShown(t *testing.T) {
	result, err := convertText(t, `
[supervisord]
[program:a]
command=a
environment=PASSWORD="hunter2",=="hunter2"
[unix_http_server]
file=/tmp/s
username=hunter2
password=hunter2
[inet_http_server]
port=9001
username=hunter2
password=hunter2
`)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Notes) < 4 {
		t.Error(result.Notes)
	}
	for _, n := range result.Notes {
		if strings.Contains(n.String(), "hunter2") {
			t.Error(n)
		}
	}
}

// What the file said comes out of our YAML again, whatever characters it has.
func TestScalars(t *testing.T) {
	for _, s := range []string{"a", "", "null", "~", "true", "a: b", "a #b", "- a", "{a}", "a,b", "'", `"`, `a"b'c\d`, "ü", "\u00a0", "a\tb",
		"a\nb", "a\n\nb", "\na", "a\n", " a", "a ", "---", "...", "0123", "1e3", "<<", "=", "*a", "&a", "!a", "%a", "@a", "`a", "|", ">", "a:", ":a",
		"\x01", "\u2028", "\ufeff", "a\r\nb", "a\\\nb", "2001-01-01", "?", "[", "#", "$$", "$"} {
		n := &names{}
		for _, write := range []string{
			"programs:\n  a:\n    command: [x]\n    environment:\n      X: " + nested(scalar(n.text(s))) + "\n",
			"programs:\n  a:\n    command: [x]\n    environment: {X: " + flowScalar(n.text(s)) + "}\n",
		} {
			c, err := config.Parse("f.yaml", []byte(write), nil)
			if err != nil {
				t.Errorf("%q: %s\n%s", s, err, write)
			} else if got := c.Programs[0].Launch.Environment[0]; got != "X="+s {
				t.Errorf("%q came back as %q:\n%s", s, got, write)
			}
		}
	}
}
