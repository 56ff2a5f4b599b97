package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekick/config"
)

// both is one supervisord.conf, run by supervisord and, converted, by sidekick, each
// as PID 1 of a pid namespace.
type both struct {
	t                     *testing.T
	dir, conf             string
	env                   []string
	supervisord, sidekick *instance
}

// convertCases are files of the converter's own tests whose programs can run
// here: `actor show` and `actor exit`.
var convertCases = []string{"words", "comments", "environment", "numprocs", "groups", "include", "restarts", "stopping",
	"place", "user", "default", "names", "variables"}

// TestConvertedFilesRunTheSame: the same processes, with the same words, variables,
// folder, user and umask, from a supervisord.conf and from what became of it.
func TestConvertedFilesRunTheSame(t *testing.T) {
	for _, name := range convertCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBoth(t, name)
			b.start()
			b.compare()
			b.supervisord.stops()
			b.sidekick.stops()
		})
	}
}

// TestConvertedListenerEndsTheContainer: where an event listener ended supervisord
// with its program, sidekick ends too, and with a code that tells of it.
func TestConvertedListenerEndsTheContainer(t *testing.T) {
	for name, code := range map[string]int{"killer": 3, "killer-exits": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBoth(t, name)
			b.start()
			if got := b.supervisord.exit(); got != 0 {
				t.Errorf("supervisord ends with %d", got)
			}
			if got := b.sidekick.exit(); got != code {
				t.Errorf("sidekick ends with %d, not %d", got, code)
			}
		})
	}
}

// TestConvertedRetries: a program that fails at once is started as often by both
// before it is given up. (Its startsecs are long, for a supervisord that was held
// up takes a program that has ended for one that has succeeded.)
func TestConvertedRetries(t *testing.T) {
	t.Parallel()
	b := newBoth(t, "retries")
	b.start()
	if code := b.sidekick.exit(); code != 1 { // nothing runs any more
		t.Errorf("sidekick ends with %d", code)
	}
	b.supervisord.says("gave up: fails entered FATAL state")
	theirs, ours := b.shown(b.supervisord), b.shown(b.sidekick)
	if len(theirs) != 3 || len(ours) != 3 {
		t.Errorf("supervisord starts it %d times, sidekick %d times", len(theirs), len(ours))
	}
	b.supervisord.stops()
}

// newBoth copies a case, with its files in a folder of its own instead of /tmp.
func newBoth(t *testing.T, name string) *both {
	t.Helper()
	needRoot(t)
	if _, err := exec.LookPath("supervisord"); err != nil {
		missing(t, "supervisord of the Debian package supervisor")
	}
	dir := t.TempDir()
	for parent := dir; parent != os.TempDir() && parent != "/"; parent = filepath.Dir(parent) {
		if err := os.Chmod(parent, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	from := filepath.Join("..", "convert", "testdata", "cases")
	if err := os.CopyFS(filepath.Join(dir, "conf", "include.d"), os.DirFS(filepath.Join(from, "include.d"))); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(from, name+".conf"))
	if err != nil {
		t.Fatal(err)
	}
	b := &both{t: t, dir: dir, conf: filepath.Join(dir, "conf", "supervisord.conf")}
	text = regexp.MustCompile(`=/tmp/`).ReplaceAll(text, []byte("="+dir+"/"))
	if err := os.WriteFile(b.conf, text, 0o644); err != nil {
		t.Fatal(err)
	}
	b.env = []string{"PATH=" + bin + ":/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "TMPDIR=" + dir, "HOSTNAME=" + hostname(t)}
	for _, m := range regexp.MustCompile(`(?m)^;ENV (.*)$`).FindAllStringSubmatch(string(text), -1) {
		b.env = append(b.env, m[1])
	}
	return b
}

func hostname(t *testing.T) string {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func (b *both) start() {
	b.t.Helper()
	b.supervisord = b.pid1("supervisord", "supervisord", "-n", "-c", b.conf, "-l", "/dev/null", "-j", filepath.Join(b.dir, "pid"))
	convert := exec.Command(filepath.Join(bin, "sidekick"), "convert", b.conf)
	convert.Env = b.env
	text, err := convert.Output()
	if err != nil {
		b.t.Fatalf("convert: %s", err)
	}
	if err := os.WriteFile(b.yaml(), text, 0o644); err != nil {
		b.t.Fatal(err)
	}
	b.sidekick = b.pid1("sidekick", filepath.Join(bin, "sidekick"), "run", "-c", b.yaml())
}

func (b *both) yaml() string { return filepath.Join(filepath.Dir(b.conf), "sidekick.yaml") }

// pid1 starts one of the two. What it has started shows itself in the instance's folder.
func (b *both) pid1(name string, argv ...string) *instance {
	b.t.Helper()
	i := &instance{t: b.t, dir: filepath.Join(b.dir, name), ended: make(chan struct{})}
	if err := errors.Join(os.Mkdir(i.dir, 0o777), os.Chmod(i.dir, 0o777)); err != nil {
		b.t.Fatal(err)
	}
	i.cmd = exec.Command("unshare", append([]string{"--pid", "--fork", "--mount-proc", "--kill-child", "--"}, argv...)...)
	i.cmd.Env = append(slices.Clone(b.env), "SHOW_TO="+i.dir, "SIDEKICK_SOCKET="+filepath.Join(i.dir, ".socket"))
	i.cmd.Dir = filepath.Dir(b.conf)
	i.cmd.Stdout, i.cmd.Stderr = locked{&i.mu, &i.stdout}, locked{&i.mu, &i.stderr}
	if err := i.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	go func() { // ends with the process
		_ = i.cmd.Wait()
		close(i.ended)
	}()
	b.t.Cleanup(i.cleanup)
	i.pid = i.child()
	return i
}

// compare waits until as many programs as there should be have shown themselves
// under each, and compares what they found.
func (b *both) compare() {
	b.t.Helper()
	want := b.expected()
	var theirs, ours []string
	eventually(b.t, fmt.Sprintf("%d programs have started", want), func() bool {
		theirs, ours = b.shown(b.supervisord), b.shown(b.sidekick)
		return len(theirs) >= want && len(ours) >= want
	})
	if d := cmp.Diff(theirs, ours); d != "" || want == 0 {
		b.t.Errorf("of %d programs, - supervisord, + sidekick:\n%s", want, d)
	}
}

// expected counts the programs that show themselves.
func (b *both) expected() int {
	c, err := config.Load(b.yaml(), func(name string) (string, bool) {
		for _, entry := range b.env {
			if value, found := strings.CutPrefix(entry, name+"="); found {
				return value, true
			}
		}
		return "", false
	})
	if err != nil {
		b.t.Fatal(err)
	}
	n := 0
	for _, p := range c.Programs {
		if p.Policy.Autostart && p.Launch.Command[1] == "show" {
			n++
		}
	}
	return n
}

// onlyOne are variables that one of the two adds: supervisord its own, sidekick
// those of the user it changes to.
var onlyOne = regexp.MustCompile(`^(SUPERVISOR_\w+|HOME|USER|LOGNAME|SHOW_TO|SIDEKICK_SOCKET)=`)

// shown is what the programs of an instance found, one text each, sorted.
func (b *both) shown(i *instance) []string {
	files, _ := filepath.Glob(filepath.Join(i.dir, "*[0-9]"))
	var all []string
	for _, file := range files {
		var found struct {
			Argv, Environment []string
			Directory         string
			UID, GID, Umask   int
			Groups            []int
		}
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &found)
		}
		if err != nil {
			b.t.Fatal(err)
		}
		found.Environment = slices.DeleteFunc(found.Environment, onlyOne.MatchString)
		slices.Sort(found.Environment)
		slices.Sort(found.Groups)
		all = append(all, fmt.Sprintf("%+q", []any{found.Argv, found.Environment, found.Directory, found.UID, found.GID, found.Umask, found.Groups}))
	}
	slices.Sort(all)
	return all
}
