package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sidekick/config"
)

func TestExcerpt(t *testing.T) {
	long := strings.Repeat("0123456789", 20)
	for _, c := range []struct {
		name, line string
		column     int
		text, mark string // mark: what stands before the caret
		hidden     bool
	}{
		{"plain", "  web: x", 3, "  web: x", "  ", false},
		{"first column", "web: x", 1, "web: x", "", false},
		{"behind the end", "web:", 5, "web:", "    ", false},
		{"far behind the end", "web:", 50, "web:", "    ", false},
		{"tabs", "\tweb:\tx", 7, "    web:    x", strings.Repeat(" ", 12), false},
		{"wide", "日本: x", 5, "日本: x", "\u3000\u3000  ", false},
		{"combining", "e\u0301: x", 4, "e\u0301: x", "  ", false},
		{"terminal codes", "a\x1b[31m: x", 3, "a·[31m: x", "  ", false},
		{"not UTF-8", "a\xff: x", 3, "a\ufffd: x", "  ", false},
		{"empty", "", 1, "", "", true},
		{"blank", " \t ", 2, "", "", true},
		{"long, at its begin", long, 1, long[:70] + "…", "", false},
		{"long, in its middle", long, 101, "…" + long[55:125] + "…", strings.Repeat(" ", 46), false},
		{"long, at its end", long, 200, "…" + long[130:], strings.Repeat(" ", 70), false},
		{"password", `endpoints: ["http://u:secret@h:1"]`, 12, `endpoints: ["http://********@h:1"]`, strings.Repeat(" ", 11), false},
		{"trailing blanks", "a: b   ", 1, "a: b", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, mark, ok := excerpt(c.line, c.column)
			if text != c.text || mark != c.mark || ok == c.hidden {
				t.Errorf("got  %q %q %v\nwant %q %q %v", text, mark, ok, c.text, c.mark, !c.hidden)
			}
		})
	}
}

// All problems are shown with the file's own text, those of included files too:
// never what a variable stands for, and nothing of an env file.
func TestCheckShowsSources(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"s.yaml":    "programs:\n\n  web:\n    comand: node\n    nice: ${TOKEN}\ninclude: [more.yaml]\n",
		"more.yaml": "programs:\n  db: {command: db, env_file: db.env, essential: perhaps}\n",
		"db.env":    "A b=topsecret\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TOKEN", "42")
	want := `FILE/s.yaml:3:3: programs.web: needs a command
    3 |   web:
      |   ^
FILE/s.yaml:4:5: programs.web.comand: unknown key, did you mean "command"?
    4 |     comand: node
      |     ^
FILE/s.yaml:5:11: programs.web.nice: "42" is not a whole number from -20 to 19
    5 |     nice: ${TOKEN}
      |           ^
FILE/more.yaml:2:50: programs.db.essential: "perhaps" is not true or false
    2 |   db: {command: db, env_file: db.env, essential: perhaps}
      |                                                  ^
`
	for _, line := range [][]string{{"check", "-c"}, {"run", "-c"}} {
		_, stderr, code := sidekick(t, append(line, filepath.Join(dir, "s.yaml"))...)
		got := strings.ReplaceAll(stderr, dir, "FILE")
		env := got[strings.Index(got, "FILE/db.env:1"):]
		listed, rest, _ := strings.Cut(env, "\n")
		if code != exitConfig || !strings.HasPrefix(got, want) || !strings.Contains(listed, "db.env:1:") {
			t.Errorf("%s: exit code %d\n%s\nwant\n%s", line[0], code, got, want)
		}
		if strings.Contains(got, "topsecret") || !strings.HasPrefix(rest, "error: cannot use ") {
			t.Errorf("%s: after the problem of the env file there is %q", line[0], rest)
		}
	}
}

func TestProblemsInColour(t *testing.T) {
	problems := config.Problems{{File: "f", Line: 7, Column: 2, Message: "no", Source: "abc"}}
	var b strings.Builder
	printProblems(&b, problems, true)
	want := "\x1b[1mf:7:2: no\x1b[0m\n\x1b[2m    7 | \x1b[0mabc\n\x1b[2m      | \x1b[0m \x1b[1;31m^\x1b[0m\n"
	if b.String() != want {
		t.Errorf("got %q\nwant %q", b.String(), want)
	}
}
