package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzParse: no input panics, every problem has a position and is one line,
// and what is accepted keeps its promises.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/good/*.yaml", "testdata/*.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte("a: &a {<<: *a}\nprograms: *a"))
	f.Add([]byte("programs: {a: {command: a, replicas: 3, environment: [REPLICA]}, a-3: {command: b, depends_on: [a], env_file: web.env}}"))
	f.Add([]byte("programs: {<<: {}}"))
	f.Add([]byte("include: [web.*]\nprograms: {a: {command: a}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("testdata/f.yaml", data, lookupIn(testEnv))
		if err == nil {
			checkPromises(t, c)
			return
		}
		for _, p := range problemsOf(t, err) {
			if p.Line < 1 || p.Column < 1 || p.Message == "" || strings.ContainsAny(p.String(), "\n\r\x00") {
				t.Errorf("%+v", p)
			}
		}
	})
}

// checkPromises checks what the comments of Config say.
func checkPromises(t *testing.T, c *Config) {
	order := c.Order()
	slices.Sort(order)
	for i, j := range order {
		if i != j {
			t.Fatalf("order %v", order)
		}
	}
	if len(c.Programs) == 0 || len(order) != len(c.Programs) {
		t.Errorf("%d programs, %d in order", len(c.Programs), len(order))
	}
	byName := map[string]bool{}
	for _, p := range c.Programs {
		if byName[p.Name] {
			t.Errorf("two programs are called %s", p.Name)
		}
		byName[p.Name] = true
	}
	for _, p := range c.Programs {
		checkProgram(t, c, p)
		for _, d := range p.Policy.DependsOn {
			if !byName[d.Program] || d.Program == p.Name {
				t.Errorf("%s depends on %s", p.Name, d.Program)
			}
		}
	}
	if plan := Diff(c, c); !plan.Empty() || len(plan.Same) != len(c.Programs) {
		t.Errorf("differs from itself: %s", plan)
	}
}

func checkProgram(t *testing.T, c *Config, p Program) {
	l := p.Launch.Limits
	if p.Launch.Watchdog != 0 && !p.Launch.Notify || p.Launch.Group != "" && p.Launch.User == "" || slices.Contains(l.CapAdd, "ALL") {
		t.Errorf("%s: %+v", p.Name, p.Launch)
	}
	for _, u := range l.Ulimits {
		if _, known := UlimitResource(u.Name); !known || u.Soft > u.Hard {
			t.Errorf("%s: %+v", p.Name, u)
		}
	}
	if len(p.Launch.Command) == 0 || p.Launch.Command[0] == "" {
		t.Errorf("%s: command %q", p.Name, p.Launch.Command)
	}
	for _, s := range slices.Concat(p.Launch.Command, p.Launch.Environment, []string{p.Launch.WorkingDir}) {
		if strings.ContainsRune(s, 0) {
			t.Errorf("%s: NUL in %q", p.Name, s)
		}
	}
	for _, r := range p.Policy.Register {
		if c.Registry.Etcd == nil || r.Key == "" || r.Port.Number == 0 || r.Check >= len(p.Policy.Checks) {
			t.Errorf("%s: %+v", p.Name, r)
		}
	}
	for _, check := range p.Policy.Checks {
		if check.Interval <= 0 || check.Timeout <= 0 || check.Retries < 1 || check.Address == "" && check.URL == "" && len(check.Command) == 0 {
			t.Errorf("%s: %+v", p.Name, check)
		}
	}
}

func FuzzSplitWords(f *testing.F) {
	for _, s := range []string{"a b", `a 'b c' "d\"e" \f`, "'", `\`, "a\\\nb", "é 'ü'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words, err := SplitWords(s)
		if err != nil && words != nil {
			t.Error("words beside an error")
		}
		total := 0
		for _, w := range words {
			total += len(w)
		}
		if total > len(s) {
			t.Errorf("%q gives more than it has: %q", s, words)
		}
	})
}

func FuzzInterpolate(f *testing.F) {
	for _, s := range []string{"$", "$$", "${PORT}", "${X:-${PORT:-y}}", "${X:?a}", "${EMPTY:+}", "${", "$${PORT}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, problems := interpolate(s, lookupIn(testEnv))
		if problems == nil && !strings.Contains(s, "$") && got != s {
			t.Errorf("%q became %q", s, got)
		}
	})
}
