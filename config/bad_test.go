package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode"
)

// testEnv is the environment of most tests.
var testEnv = map[string]string{"PORT": "9000", "EMPTY": "", "SPACED": "a  b"}

func lookupIn(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

// problemsOf fails the test if err is not Problems.
func problemsOf(t *testing.T, err error) Problems {
	t.Helper()
	ps, ok := errors.AsType[Problems](err)
	if !ok {
		t.Fatalf("want Problems, got %v", err)
	}
	return ps
}

// wanted are the messages that each line of a file announces as
// `# ERROR "…" "…"`. A message is a regular expression; it ends at a quote
// that is followed by a blank and a quote, or by the end of the line.
func wanted(data string) map[int][]string {
	all := map[int][]string{}
	for i, line := range strings.Split(data, "\n") {
		if _, list, ok := strings.Cut(line, `# ERROR "`); ok {
			all[i+1] = strings.Split(strings.TrimSuffix(list, `"`), `" "`)
		}
	}
	return all
}

func pattern(message string) *regexp.Regexp {
	return regexp.MustCompile(strings.ReplaceAll(message, `"?`, `"\?`))
}

// TestBadFiles checks that exactly the announced lines are reported, all of
// them in one go, and that each column is where something begins. The files
// that x.yaml names are in the folder x.
func TestBadFiles(t *testing.T) {
	env := map[string]string{"EMPTY": "", "DOCKER_HOST": "ssh://nowhere"}
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			others, err := filepath.Glob(strings.TrimSuffix(name, ".yaml") + "/*")
			if err != nil {
				t.Fatal(err)
			}
			_, err = Load(name, lookupIn(env))
			compareProblems(t, append([]string{name}, others...), problemsOf(t, err))
		})
	}
}

func compareProblems(t *testing.T, files []string, got Problems) {
	want, lines := map[string]map[int][]string{}, map[string][]string{}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want[name], lines[name] = wanted(string(data)), strings.Split(string(data), "\n")
	}
	for _, p := range got {
		messages := want[p.File][p.Line]
		i := slices.IndexFunc(messages, func(m string) bool { return pattern(m).MatchString(p.String()) })
		if i < 0 {
			t.Errorf("not announced: %s", p)
			continue
		}
		want[p.File][p.Line] = slices.Delete(messages, i, i+1)
		checkColumn(t, lines[p.File][p.Line-1], p)
	}
	for name, announced := range want {
		for line, messages := range announced {
			for _, m := range messages {
				t.Errorf("%s:%d: no problem %q", name, line, m)
			}
		}
	}
}

// checkColumn wants the column to be the first character of a key or value.
func checkColumn(t *testing.T, line string, p Problem) {
	t.Helper()
	text := []rune(line)
	if p.Column > len(text) || unicode.IsSpace(text[p.Column-1]) || text[p.Column-1] == '#' {
		t.Errorf("nothing begins at %s", p)
		return
	}
	if p.Column > 1 && !strings.ContainsRune(" [{=", text[p.Column-2]) {
		t.Errorf("the column is within a word: %s", p)
	}
}

func TestWholeFileProblems(t *testing.T) {
	const ok = "programs: {a: {command: a}}\n"
	for _, tc := range []struct{ name, data, want string }{
		{"empty", "", "f.yaml:1:1: the file is empty: it needs at least `programs`"},
		{"comments", "# nothing\n", "f.yaml:1:1: the file is empty: it needs at least `programs`"},
		{"null", "\nnull\n", "f.yaml:2:1: the file is empty: it needs at least `programs`"},
		{"list", "- a\n", "f.yaml:1:1: the file must be a mapping with `programs`, not a list"},
		{"scalar", "\n\nhello\n", "f.yaml:3:1: the file must be a mapping with `programs`, not a single value"},
		{"two documents", ok + "---\n" + ok, "f.yaml:2:1: a second YAML document: a configuration is only one"},
		{"large", strings.Repeat("#", maxFile+1), "f.yaml:1:1: the file is larger than 1048576 bytes"},
		{"scanner", ok + "a: b: c\n", "f.yaml:2:1: not valid YAML: mapping values are not allowed in this context"},
		{"parser", ok + "a: 1\nb: [1, 2\nc: 3\n", "f.yaml:3:1: not valid YAML: did not find expected ',' or ']'"},
		{"variable in a flow mapping", "programs:\n  a: {command: run ${X}, nice: 1}\n", "f.yaml:2:1: not valid YAML: did not find expected ',' or '}' (within { } and [ ] a value with ${…} needs quotes)"},
		{"quoted variable in a flow mapping", "programs:\n  a: {command: \"run ${X}\" x}\n", "f.yaml:2:1: not valid YAML: did not find expected ',' or '}'"},
		{"tab", "programs:\n\tweb: x\n", "f.yaml:2:1: not valid YAML: found character that cannot start any token (the line is indented with a tab: YAML wants spaces)"},
		{"anchor at the start", "*b: 1\n", "f.yaml:1:1: not valid YAML: unknown anchor 'b' referenced"},
		{"tagged root", "!x\nprograms: {a: {command: a}}\n", "f.yaml:1:1: the YAML tag !x is not supported"},
		{"long value", "programs: {a: {command: a, restart: " + strings.Repeat("x", 80) + "}}", "f.yaml:1:37: programs.a.restart: \"" + strings.Repeat("x", 60) + "\"… is not no, always, on-failure or on-failure:N"},
		{"anchor", "programs:\n  a: *b\n", "f.yaml:2:6: not valid YAML: unknown anchor 'b' referenced"},
		{"second document", ok + "---\na: [", "f.yaml:3:1: not valid YAML: did not find expected node content"},
		{"multi-line message", "programs: {a: {command: \"${X:?one\\ntwo}\"}}", "f.yaml:1:25: programs.a.command: variable X is required and not set: one two"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(tc.data), lookupIn(nil))
			if got := problemsOf(t, err).Error(); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// TestAliasBombs wants files that stand for far more than they are to be
// refused at once, with one problem.
func TestAliasBombs(t *testing.T) {
	var merges strings.Builder
	merges.WriteString("x-0: &a0 {k0: 1}\n")
	for i := range 40 {
		fmt.Fprintf(&merges, "x-%d: &a%d {<<: [*a%d, *a%d], k%d: 1}\n", i+1, i+1, i, i, i+1)
	}
	merges.WriteString("programs: {a: {command: a, environment: {<<: *a40}}}\n")

	long := "x-long: &long \"" + strings.Repeat("a", 100_000) + "\"\n" +
		"programs: {a: {command: [" + strings.Repeat("*long,", 1000) + "]}}\n"

	var programs strings.Builder
	programs.WriteString("x-big: &big {command: a, environment: {")
	for i := range 10_000 {
		fmt.Fprintf(&programs, "V%d: 1, ", i)
	}
	programs.WriteString("}}\n")
	programsAt := programs.Len()
	programs.WriteString("programs:\n")
	for i := range 10_000 {
		fmt.Fprintf(&programs, "  p%d: *big\n", i)
	}

	for name, data := range map[string]string{
		"merges":   merges.String(),
		"long":     long,
		"programs": programs.String(),
		"replicas": programs.String()[:programsAt] + "programs:\n  p: {<<: *big, replicas: 1000}\n",
		"dependencies": "programs:\n" +
			"  a: {command: a, replicas: 1000, depends_on: [b, c]}\n" +
			"  b: {command: b, replicas: 1000, depends_on: [c]}\n" +
			"  c: {command: c, replicas: 1000}\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(data), lookupIn(nil))
			ps := problemsOf(t, err)
			if len(ps) != 1 || ps[0].Message != "aliases, merges and replicas make the configuration too large" {
				t.Errorf("got %d problems, first %s", len(ps), ps[0])
			}
		})
	}
}

// TestDeepNesting wants what is nested deeper than anybody writes to end in
// problems, not in a stack overflow.
func TestDeepNesting(t *testing.T) {
	for _, data := range []string{
		"programs: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"programs: " + strings.Repeat("[", 200_000),
		"programs: {a: {command: a, environment: " + strings.Repeat("{<<: ", 9000) + strings.Repeat("}", 9002),
		"programs: {a: {command: '" + strings.Repeat("${A:-", 100_000) + strings.Repeat("}", 100_000) + "'}}",
	} {
		_, err := Parse("f.yaml", []byte(data), lookupIn(nil))
		if ps := problemsOf(t, err); len(ps) != 1 {
			t.Errorf("%.20s…: got %d problems", data, len(ps))
		}
	}
}

func TestLoadCannotRead(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "none.yaml"), dir} {
		_, err := Load(path, lookupIn(nil))
		if err == nil || !strings.HasPrefix(err.Error(), "cannot read the configuration: ") || !strings.Contains(err.Error(), path) {
			t.Errorf("Load(%s) = %v", path, err)
		}
	}
}

// A configuration that nobody writes must not hold a process up that only
// SIGKILL could end then; one that is piped is read.
func TestLoadPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path, lookupIn(nil))
	if err == nil || !strings.Contains(err.Error(), "the file is empty") {
		t.Errorf("without a writer: %v", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = w.WriteString("programs: {a: {command: a}}\n")
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(fmt.Sprintf("/proc/self/fd/%d", r.Fd()), lookupIn(nil)); err != nil {
		t.Errorf("of a pipe: %v", err)
	}
}
