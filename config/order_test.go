package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOrder(t *testing.T) {
	for _, tc := range []struct{ name, depends, want string }{
		{"as in the file", "a b c", "a b c"},
		{"dependencies first", "a:b b:c c", "c b a"},
		{"diamond", "top:left,right left:base right:base base", "base left right top"},
		{"two groups", "a:z b z c", "z a b c"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := parse(t, programsOf(tc.depends))
			var got []string
			for _, i := range c.Order() {
				got = append(got, c.Programs[i].Name)
			}
			if d := cmp.Diff(strings.Fields(tc.want), got); d != "" {
				t.Error(d)
			}
		})
	}
}

// programsOf writes a file from "web:db,cache db cache".
func programsOf(s string) string {
	var text strings.Builder
	text.WriteString("programs:\n")
	for word := range strings.FieldsSeq(s) {
		name, on, _ := strings.Cut(word, ":")
		text.WriteString("  " + name + ": {command: x, depends_on: [" + on + "]}\n")
	}
	return text.String()
}

func TestCycles(t *testing.T) {
	for _, tc := range []struct {
		depends string
		want    []string
	}{
		{"web:db db:web", []string{"web -> db -> web"}},
		{"a:b b:c c:b", []string{"b -> c -> b"}},
		{"a:b,c b:a c:a", []string{"a -> b -> a", "a -> c -> a"}},
		{"a:b b:a c:d d:c", []string{"a -> b -> a", "c -> d -> c"}},
		{"a:b b:c c:a,b", []string{"a -> b -> c -> a", "b -> c -> b"}},
	} {
		_, err := Parse("f.yaml", []byte(programsOf(tc.depends)), lookupIn(nil))
		var got []string
		for _, p := range problemsOf(t, err) {
			got = append(got, strings.TrimPrefix(p.Message, "dependency cycle: "))
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s: %s", tc.depends, d)
		}
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first.yaml"), filepath.Join(dir, "second.yaml")
	if err := os.WriteFile(second, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	usual := []string{first, second}
	env := lookupIn(map[string]string{EnvFile: "named.yaml"})
	for _, tc := range []struct {
		name, explicit string
		lookup         func(string) (string, bool)
		want           string
	}{
		{"explicit", "x.yaml", env, "x.yaml"},
		{"environment", "", env, "named.yaml"},
		{"usual place", "", lookupIn(map[string]string{EnvFile: ""}), second},
	} {
		if got, err := find(tc.explicit, tc.lookup, usual); err != nil || got != tc.want {
			t.Errorf("%s: got %q, %v, want %q", tc.name, got, err, tc.want)
		}
	}
	_, err := find("", lookupIn(nil), []string{first, "./none.yaml"})
	want := "cannot find a configuration file: -c is not given, $SIDEKICK_CONFIG is not set, and there is no " + first + " or ./none.yaml"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestWarnings(t *testing.T) {
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"good": 0o700, "plain": 0o600} {
		if err := os.WriteFile(filepath.Join(bin, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", "/nowhere")
	good := filepath.Join(bin, "good")
	for _, tc := range []struct {
		name, file string
		want       []string
	}{
		{"absolute", "programs: {a: {command: GOOD}}", nil},
		{"own PATH", "programs: {a: {command: good, environment: {PATH: DIR/bin}}}", nil},
		{"relative to working_dir", "programs: {a: {command: ./good, working_dir: DIR/bin}}", nil},
		{"not in PATH", "programs: {a: {command: good}}",
			[]string{`programs.a.command: cannot execute good: no such file or directory in PATH "/nowhere"`}},
		{"no file", "programs: {a: {command: DIR/none}}", []string{"programs.a.command: cannot execute DIR/none: no such file or directory"}},
		{"directory", "programs: {a: {command: DIR/bin}}", []string{"programs.a.command: cannot execute DIR/bin: permission denied"}},
		{"mode", "programs: {a: {command: DIR/bin/plain}}", []string{"programs.a.command: cannot execute DIR/bin/plain: permission denied"}},
		{"no working_dir", "programs: {a: {command: GOOD, working_dir: DIR/none}}",
			[]string{"programs.a.working_dir: there is no directory DIR/none"}},
		{"shell", "programs: {a: {command: GOOD | tee}, b: {command: GOOD --port $PORT}, c: {command: [GOOD, -c, x, '|']}}",
			[]string{
				`programs.a.command: "|" is passed on as it is, for no shell is run; if you want one, write [sh, -c, …]`,
				`programs.b.command: "$PORT" is passed on as it is, for no shell is run; if you want one, write [sh, -c, …]`,
			}},
		{"secrets", "programs: {a: {command: GOOD, env_from_file: {A: DIR/none, B: DIR, C: GOOD}}}",
			[]string{"programs.a.env_from_file.A: cannot find DIR/none", "programs.a.env_from_file.B: DIR is a directory"}},
		{"probe", "programs: {a: {command: GOOD, working_dir: DIR/bin, healthcheck: {exec: ./good}}, b: {command: GOOD, healthcheck: {exec: none && x}}}",
			[]string{
				`programs.b.healthcheck.exec: cannot execute none: no such file or directory in PATH "/nowhere"`,
				`programs.b.healthcheck.exec: "&&" is passed on as it is, for no shell is run; if you want one, write [sh, -c, …]`,
			}},
		{"copies", "programs: {a: {command: 'DIR/none ${REPLICA}', replicas: 3}}", []string{"programs.a.command: cannot execute DIR/none: no such file or directory"}},
		{"files", "programs: {a: {command: GOOD}}\nregistry: {etcd: {endpoints: ['http://e:1'], username: u, password_file: DIR/none, tls: {ca_file: GOOD}}}",
			[]string{"registry.etcd.password_file: cannot find DIR/none"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := parse(t, strings.NewReplacer("GOOD", good, "DIR", dir).Replace(tc.file))
			var want []string
			for _, w := range tc.want {
				want = append(want, strings.ReplaceAll(w, "DIR", dir))
			}
			if d := cmp.Diff(want, Warnings(c)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestShutdownWarning(t *testing.T) {
	for _, tc := range []struct{ name, file, want string }{
		{"one program", "programs: {a: {command: x}}", ""},
		{"just fits", "programs: {a: {command: x, stop_grace_period: 7500ms}}", ""},
		{"too long", "programs: {a: {command: x, stop_grace_period: 7501ms}}",
			"8s is too short for everyone's grace: drain 0s, then 7.501s in a row for a,"},
		{"drain", "programs: {a: {command: x, stop_grace_period: 7s, register: {port: 1}}}\nregistry: {etcd: {endpoints: ['http://e:1']}}",
			"drain 1s, then 7s in a row for a,"},
		{"chain", "programs: {db: {command: x}, b: {command: x}, web: {command: x, depends_on: [b, db]}}", "10s in a row for web, b,"},
		{"order just kept", "programs: {db: {command: x, stop_grace_period: 1s}, web: {command: x, stop_grace_period: 6s, depends_on: [db]}}", ""},
		{"order not kept", "programs: {db: {command: x, stop_grace_period: 1s}, web: {command: x, stop_grace_period: 6001ms, depends_on: [db]}}",
			"8s is too short for the order: 2s before its end db is asked to stop, and the grace of web may"},
		{"side by side", "programs: {a: {command: x}, b: {command: x}, c: {command: x}}", ""},
		{"completed", "programs: {m: {command: x}, web: {command: x, depends_on: {m: completed}}}", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := shutdownWarning(parse(t, tc.file))
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestOrderOfUncheckedConfig must end: Order is also called on what was put
// together by hand.
func TestOrderOfUncheckedConfig(t *testing.T) {
	c := &Config{Programs: []Program{DefaultProgram("a"), DefaultProgram("b")}}
	c.Programs[0].Policy.DependsOn = []Dependency{{"b", Started}, {"gone", Started}, {"a", Started}}
	c.Programs[1].Policy.DependsOn = []Dependency{{"a", Started}}
	order := c.Order()
	slices.Sort(order)
	if !slices.Equal(order, []int{0, 1}) {
		t.Errorf("got %v", order)
	}
	longestStop(c)
}
