package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func names(c *Config) []string {
	var all []string
	for _, p := range c.Programs {
		all = append(all, p.Name)
	}
	return all
}

// TestInclude: patterns in their order, their files sorted and each once, hidden
// ones and folders left out; dependencies across files in both directions.
func TestInclude(t *testing.T) {
	path := writeFiles(t, map[string]string{
		"sidekick.yaml": `
include: ["${DIR:-conf.d}/*.yaml", last.yaml, conf.d/a.yaml, "none/*.yaml", "conf.d/*/*.yaml", ".d*/.*.yaml"]
programs: {main: {command: x, depends_on: [b]}}
`,
		"last.yaml":                "x-common: &c {command: ./x, working_dir: app}\nprograms: {last: {<<: *c}}\n",
		"conf.d/b.yaml":            "programs: {b: {command: x, working_dir: ../app}}\n",
		"conf.d/a.yaml":            "programs: {a2: {command: x, depends_on: [last]}, a1: {command: x}}\n",
		"conf.d/.hidden.yaml":      "programs: {hidden: {command: x}}\n",
		"conf.d/..data/x.yaml":     "programs: {hidden: {command: x}}\n",
		"conf.d/folder.yaml/y.txt": "programs: {hidden: {command: x}}\n",
		"conf.d/sub/s.yaml":        "programs: {sub: {command: x}}\n",
		"conf.d/sub-2/s.yaml":      "programs: {sub-2: {command: x}}\n",
		".dot/.s.yaml":             "programs: {dot: {command: x}}\n",
	})
	c, err := Load(path, lookupIn(nil))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"main", "a2", "a1", "b", "last", "sub-2", "sub", "dot"}, names(c)); d != "" {
		t.Error(d)
	}
	app := filepath.Join(filepath.Dir(path), "app")
	if b, last := c.Programs[3].Launch.WorkingDir, c.Programs[4].Launch.WorkingDir; b != app || last != app {
		t.Errorf("working_dir %s and %s, want %s", b, last, app)
	}
}

// TestOnlyIncluded: the first file needs no programs of its own.
func TestOnlyIncluded(t *testing.T) {
	for _, own := range []string{"", "programs: {}\n"} {
		path := writeFiles(t, map[string]string{
			"sidekick.yaml": own + "include: conf.d/*.yaml\n",
			"conf.d/a.yaml": "programs: {a: {command: x}}\n",
		})
		c, err := Load(path, lookupIn(nil))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"a"}, names(c)); d != "" {
			t.Error(d)
		}
	}
}

func TestNothingIncluded(t *testing.T) {
	for own, want := range map[string]string{
		"":               ":1:1: needs `programs` with at least one program",
		"programs: {}\n": ":1:11: programs: is empty: a configuration needs at least one program",
		"programs:\n":    ":1:1: programs: is empty: a configuration needs at least one program",
	} {
		path := writeFiles(t, map[string]string{"sidekick.yaml": own + "include: conf.d/*.yaml\n"})
		_, err := Load(path, lookupIn(nil))
		if got := problemsOf(t, err).Error(); got != path+want {
			t.Errorf("got %s, want %s%s", got, path, want)
		}
	}
}

// TestMissingInclude: what depends on it is no problem of its own.
func TestMissingInclude(t *testing.T) {
	for _, programs := range []string{"", "programs: {}\n", "programs: {a: {command: x, depends_on: [gone]}}\n"} {
		path := writeFiles(t, map[string]string{"sidekick.yaml": "include: gone.yaml\n" + programs})
		_, err := Load(path, lookupIn(nil))
		if got := problemsOf(t, err); len(got) != 1 || got[0].Path != "include" {
			t.Errorf("%s: got %s", programs, got)
		}
	}
}

// TestProblemsOfSeveralFiles come in the order of the files, and each names its
// own, relative as the first one was.
func TestProblemsOfSeveralFiles(t *testing.T) {
	t.Chdir(filepath.Dir(writeFiles(t, map[string]string{
		"conf/sidekick.yaml": "include: z/*\n\nprograms: {main: {comand: x}}\n",
		"conf/z/a.yaml":      "programs: {a: {command: x, restart: z}}\n",
		"conf/z/b.yaml":      "programs: {b: {command: x, env_file: b.env, restart: z}}\n",
		"conf/z/b.env":       "1\n",
		"conf/z/c.yaml":      "programs: {a: {command: x}}\n",
	})))
	if err := os.Rename("conf/z/b.env", "conf/b.env"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("conf/z/b.yaml", []byte("programs: {b: {command: x, env_file: ../b.env, restart: z}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load("conf/sidekick.yaml", lookupIn(nil))
	var got []string
	for _, p := range problemsOf(t, err) {
		got = append(got, fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column))
	}
	want := []string{"conf/sidekick.yaml:3:12", "conf/sidekick.yaml:3:19", "conf/z/a.yaml:1:37", "conf/z/b.yaml:1:57", "conf/b.env:1:1", "conf/z/c.yaml:1:12"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestIncludeOfItself would be endless.
func TestIncludeOfItself(t *testing.T) {
	path := writeFiles(t, map[string]string{"sidekick.yaml": "include: '*.yaml'\nprograms: {a: {command: x}}\n"})
	_, err := Load(path, lookupIn(nil))
	want := path + ":1:10: include: names this file itself: put what it includes into a folder of its own"
	if got := problemsOf(t, err).Error(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestFilesAreBounded: what is named by mistake must not take the memory, or the
// life, of PID 1.
func TestFilesAreBounded(t *testing.T) {
	files := map[string]string{
		"large/a.yaml": strings.Repeat("#", maxFile+1),
		"sidekick.yaml": "include: [many/*.yaml, large/*.yaml]\n" +
			"programs: {a: {command: x, env_file: [fifo, total/0, total/1, total/2, total/3, total/4]}}\n",
	}
	for i := range maxFiles + 1 {
		files[fmt.Sprintf("many/%d.yaml", i)] = ""
	}
	for i := range 5 {
		files[fmt.Sprintf("total/%d", i)] = strings.Repeat("#", maxFile)
	}
	path := writeFiles(t, files)
	if err := syscall.Mkfifo(filepath.Join(filepath.Dir(path), "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path, lookupIn(nil))
	got := problemsOf(t, err)
	for _, want := range []string{
		`include\[0\]: matches 1001 files: at most 1000 can be read`,
		`include\[1\]: cannot read the file: .*/large/a.yaml is larger than 1048576 bytes`,
		`env_file\[0\]: cannot read the file: .*/fifo is not a regular file`,
		`env_file\[5\]: cannot read the file: .*/total/4: the files of the configuration are larger than 4194304 bytes together`,
	} {
		if !slices.ContainsFunc(got, func(p Problem) bool { return pattern(want).MatchString(p.String()) }) {
			t.Errorf("no problem %s in\n%s", want, got)
		}
	}
	if len(got) != 4 {
		t.Errorf("want 4 problems, got\n%s", got)
	}
}

func TestFilesAreCounted(t *testing.T) {
	path := writeFiles(t, map[string]string{
		"sidekick.yaml": "programs: {a: {command: x, replicas: 1000, env_file: [common.env, 'none${REPLICA}.env']}}",
		"common.env":    "A=1",
	})
	_, err := Load(path, lookupIn(nil))
	got := problemsOf(t, err)
	if len(got) != 1000 || !strings.Contains(got.Error(), "none999.env: the configuration has more than 1000 files") {
		t.Errorf("%d problems, first %s", len(got), got[0])
	}
}
