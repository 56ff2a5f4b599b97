package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readEnv reads the text of an env file.
func readEnv(text string) ([]string, Problems) {
	d := newDecoder("x.env", "/x.env", lookupIn(testEnv))
	return d.dotenv(text), d.problems
}

func TestEnvFile(t *testing.T) {
	for text, want := range map[string][]string{
		"":                          nil,
		"\n \t\n# comment\n  # c\n": nil,
		"A=1":                       {"A=1"},
		"A=1\nB=2\nA=3\n":           {"A=1", "B=2", "A=3"},
		"A=1\r\nB=2\r\n":            {"A=1", "B=2"},
		"\uFEFFA=1":                 {"A=1"},
		"export A=1\n export\tB=2":  {"A=1", "B=2"},
		"export=1":                  {"export=1"},
		"A=\nB= \nC=":               {"A=", "B=", "C="},
		" A = b c \t":               {"A=b c"},
		"a.b-C_1=x":                 {"a.b-C_1=x"},
		"A=a=b":                     {"A=a=b"},
		"A=x # comment\nB=x#y\nC=#y\nD= # comment\nE=x\t#c": {"A=x", "B=x#y", "C=#y", "D=", "E=x"},
		"A=it's \"so\"":                          {"A=it's \"so\""},
		`A=a\nb\`:                                {`A=a\nb\`},
		`A="x # y" # comment`:                    {"A=x # y"},
		`A='x # y'#`:                             {"A=x # y"},
		`A=""` + "\n" + `B=''`:                   {"A=", "B="},
		`A=" x "`:                                {"A= x "},
		`A="\n\r\t\\\"\'\x"`:                     {"A=\n\r\t\\\"\\'\\x"},
		`A='\n\'\\'`:                             {`A=\n'\\`},
		"A=\"one\ntwo\"\nB='three\nfour'\nC=5":   {"A=one\ntwo", "B=three\nfour", "C=5"},
		`A="{\"x\": 1}"`:                         {`A={"x": 1}`},
		"A=${PORT}\nB=\"${PORT}\"\nC='${PORT}'":  {"A=9000", "B=9000", "C=${PORT}"},
		"A=${NONE:-x}\nB=$$1\nC=$1\nD='$$'":      {"A=x", "B=$1", "C=$1", "D=$$"},
		`A="\${PORT} \$$ $x"`:                    {"A=${PORT} $$ $x"},
		"PORT\nNONE\nexport EMPTY # passed on\n": {"PORT=9000", "EMPTY="},
		"A=1\nA=2\nPORT=1\nB=${A}${PORT}":        {"A=1", "A=2", "PORT=1", "B=29000"},
		"A=ü":                                    {"A=ü"},
	} {
		got, problems := readEnv(text)
		if d := cmp.Diff(want, got); d != "" || len(problems) > 0 {
			t.Errorf("%q: %s%s", text, d, problems)
		}
	}
}

// TestEnvFileProblems are those that cannot be announced in the file itself.
func TestEnvFileProblems(t *testing.T) {
	for text, want := range map[string]string{
		"A=1\n\n  B=\"x\ny z":           `x.env:3:5: B: the " is not closed`,
		"A='1\n2\n3' #\n  =":            "x.env:4:3: a line must be NAME=value, with a name of letters, digits and _ . - that begins with a letter or _",
		"A='x\\'":                       `x.env:1:3: A: the ' is not closed`,
		"A=\"ü\nb\"\nB='ü' c\nC=1":      `x.env:3:3: B: only a comment may follow the closing quote`,
		"A=\"x\n${NONE}\"\n=1":          "x.env:1:3: A: variable NONE is not set: set it or write ${NONE:-default}\nx.env:3:1: a line must be NAME=value, with a name of letters, digits and _ . - that begins with a letter or _",
		"A=a\x00b\nB='\x00'":            "x.env:1:3: A: must not contain a NUL character\nx.env:2:3: B: must not contain a NUL character",
		"A=secret${":                    "x.env:1:3: A: ${ must be followed by the name of a variable: write $${ for the characters themselves",
		"export\nexport A B\nA\u00a0=1": "x.env:2:8: A: a line must be NAME=value\nx.env:3:1: A: a line must be NAME=value",
	} {
		_, problems := readEnv(text)
		if got := problems.Error(); got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// TestEnvFileOrder: environment wins over env_file, of which the last wins; the
// paths are relative to the file that names them.
func TestEnvFileOrder(t *testing.T) {
	path := writeFiles(t, map[string]string{
		"sidekick.yaml": `
include: [conf.d/b.yaml]
programs:
  a:
    command: a
    environment: {A: yaml, PORT: }
    env_file: [one.env, conf.d/two.env]
  c: {command: c, env_file: [], environment: []}
`,
		"one.env":        "A=1\nB=1\nPORT=1\n",
		"conf.d/two.env": "B=2\n",
		"conf.d/b.yaml":  "programs: {b: {command: b, env_file: two.env}}\n",
	})
	c, err := Load(path, lookupIn(testEnv))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, p := range c.Programs {
		got[p.Name] = p.Launch.Env([]string{"PORT=9000", "HOME=/"})
	}
	want := map[string][]string{
		"a": {"HOME=/", "A=yaml", "B=2", "PORT=9000"},
		"b": {"PORT=9000", "HOME=/", "B=2"},
		"c": {"PORT=9000", "HOME=/"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if c.Programs[1].Launch.Environment != nil {
		t.Errorf("nothing is %#v", c.Programs[1].Launch.Environment)
	}
}

// TestEnvFileOfManyCopies is read for each of them, and paid for.
func TestEnvFileOfManyCopies(t *testing.T) {
	path := writeFiles(t, map[string]string{
		"sidekick.yaml": "programs: {a: {command: x, replicas: 1000, env_file: a.env}}",
		"a.env":         "A=" + strings.Repeat("x", 20_000),
	})
	_, err := Load(path, lookupIn(nil))
	want := "aliases, merges and replicas make the configuration too large"
	if got := problemsOf(t, err); len(got) != 1 || got[0].Message != want {
		t.Errorf("got %s", got)
	}
}

// writeFiles writes files and returns the path of sidekick.yaml among them.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "sidekick.yaml")
}

// FuzzEnvFile: no input panics, what is read can be given to a program, and
// problems stand within the file.
func FuzzEnvFile(f *testing.F) {
	for _, name := range []string{"testdata/web.env", "testdata/bad/env_file/bad.env"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	for _, text := range []string{"A=\"x\ny\" # c\n", `A='\''`, "export A=${PORT:-x}\r\n", "A=\"\\$${", "\uFEFFA", "A= #\n\x00", "A=\"\\", "A=${B} ${C}"} {
		f.Add(text)
	}
	variable := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*=[^\x00]*$`)
	f.Fuzz(func(t *testing.T, text string) {
		env, problems := readEnv(text)
		for _, e := range env {
			if !variable.MatchString(e) {
				t.Errorf("%q gives %q", text, e)
			}
		}
		lines := strings.Split(text, "\n")
		for _, p := range problems {
			if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > len([]rune(lines[p.Line-1]))+1 || strings.ContainsAny(p.String(), "\n\r\x00") {
				t.Errorf("%q: %+v", text, p)
			}
		}
		// A line is a variable or has a problem; a value has one more for each ${.
		if len(env)+len(problems) > len(lines)+strings.Count(text, "$") {
			t.Errorf("%q gives %d variables and %d problems", text, len(env), len(problems))
		}
	})
}
