package convert

import (
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekick/config"
)

// missing skips a test for want of something, or fails it in CI, where nothing
// may be missing.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("missing in CI: %s", what)
	}
	t.Skipf("missing: %s", what)
}

// python is the interpreter that Debian's package supervisor is for.
const python = "/usr/bin/python3"

func needSupervisor(t *testing.T) {
	t.Helper()
	if exec.Command(python, "-I", "-c", "import supervisor.options").Run() != nil {
		missing(t, "the Debian package supervisor")
	}
}

// process is what testdata/supervisor.py prints of one.
type process struct {
	Section, Group, Name     string
	Argv                     []string
	Environment              map[string]string
	Directory, User          string
	Umask                    *int
	Autostart                bool
	Autorestart              string
	Startsecs, Startretries  int
	Exitcodes                []int
	Stopsignal, Stopwaitsecs int
	Stopasgroup, Killasgroup bool
}

// supervisor is a running testdata/supervisor.py: supervisor's ServerOptions.
type supervisor struct {
	questions io.Writer
	answers   *json.Decoder
}

func startSupervisor(t *testing.T) *supervisor {
	t.Helper()
	needSupervisor(t)
	cmd := exec.Command(python, "-I", "testdata/supervisor.py")
	cmd.Env, cmd.Stderr = []string{"PATH=/bin:/usr/bin", "LANG=C.UTF-8"}, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	return &supervisor{in, json.NewDecoder(out)}
}

// read asks what supervisor reads from a file in an environment, or why it refuses it.
func (s *supervisor) read(t *testing.T, path string, env map[string]string) (all []process, refused string) {
	t.Helper()
	var answer struct {
		Error     string
		Processes []process
	}
	if err := json.NewEncoder(s.questions).Encode([]any{path, env}); err != nil {
		t.Fatal(err)
	}
	if err := s.answers.Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer.Processes, answer.Error
}

var envName = regexp.MustCompile(`%\(ENV_(\w+)\)`)

// environmentOf gives each variable that a file and its includes take from their
// environment a value: what a comment `;ENV NAME=value` says, or else 7.
func environmentOf(t *testing.T, path string) map[string]string {
	t.Helper()
	values := map[string]string{"HOSTNAME": hostname(t), "HOME": "/home/of"}
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*", "*"))
	for _, file := range append(files, path) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for _, m := range envName.FindAllStringSubmatch(string(text), -1) {
			if _, given := values[m[1]]; !given {
				values[m[1]] = "7"
			}
			if strings.Contains(string(text), "autostart="+m[0]) {
				values[m[1]] = "true"
			}
		}
		for _, m := range regexp.MustCompile(`(?m)^;ENV (\w+)=(.*)$`).FindAllStringSubmatch(string(text), -1) {
			values[m[1]] = m[2]
		}
	}
	return values
}

func hostname(t *testing.T) string {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// TestAgainstSupervisor compares what supervisor reads from a file with what
// sidekick reads from the converted one. CONVERT_FILES is a pattern of further
// files, in folders of their own or not.
func TestAgainstSupervisor(t *testing.T) {
	s := startSupervisor(t)
	files := cases(t)
	if more := os.Getenv("CONVERT_FILES"); more != "" {
		found, err := filepath.Glob(more)
		if err != nil || len(found) == 0 {
			t.Fatalf("CONVERT_FILES: %v, %d files", err, len(found))
		}
		files = found
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			compareFile(t, s, path)
		})
	}
}

// cases are the files that we wrote for what real ones taught.
func cases(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/cases/*.conf")
	if err != nil || len(files) < 10 {
		t.Fatalf("%v, %d cases", err, len(files))
	}
	return files
}

func compareFile(t *testing.T, s *supervisor, path string) {
	env := environmentOf(t, path)
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	want, refused := s.read(t, path, env)
	result, err := File(path, nil, lookup)
	switch {
	case refused != "" && err != nil:
		t.Logf("both refuse it: supervisor says %s; we say %s", refused, err)
		return
	case refused != "" && strings.Contains(refused, "does not include supervisord section"):
		// A file that another includes: read as it would be there.
		text, _ := os.ReadFile(path)
		path = filepath.Join(t.TempDir(), filepath.Base(path))
		if err := os.WriteFile(path, append(text, "\n[supervisord]\nnodaemon=true\n"...), 0o644); err != nil {
			t.Fatal(err)
		}
		compareFile(t, s, path)
		return
	case refused != "":
		t.Fatalf("supervisor refuses it: %s; we do not", refused)
	case err == ErrNoProgram && len(programsOf(want)) == 0:
		t.Log("there is no program")
		return
	case err != nil:
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sidekick.yaml")
	if err := os.WriteFile(file, result.YAML, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(file, lookup)
	if err != nil {
		t.Fatalf("%s\n%s", err, result.YAML)
	}
	compare(t, filepath.Dir(file), programsOf(want), got.Programs, strings.Contains(string(result.YAML), "any end ends the container"))
	t.Logf("%d process(es), %d note(s)", len(got.Programs), len(result.Notes))
}

// programsOf leaves out what is not converted: listeners, fastcgi, and commands
// that cannot be split.
func programsOf(all []process) []process {
	return slices.DeleteFunc(slices.Clone(all), func(p process) bool {
		return !strings.HasPrefix(p.Section, "program:") || len(p.Argv) == 0
	})
}

func compare(t *testing.T, dir string, want []process, got []config.Program, everyExitEnds bool) {
	if len(want) != len(got) {
		t.Fatalf("supervisor has %d processes, we have %d", len(want), len(got))
	}
	for i, w := range want {
		g := got[i]
		for _, d := range []struct {
			what      string
			want, got any
		}{
			{"argv", w.Argv, g.Launch.Command},
			{"environment", listed(w.Environment), g.Launch.Environment},
			{"directory", absolute(dir, w.Directory), g.Launch.WorkingDir},
			{"user", w.User, joined(g.Launch.User, g.Launch.Group)},
			{"autostart", w.Autostart, g.Policy.Autostart},
			{"umask", w.Umask, number32(g.Launch.Limits.Umask)},
			{"stopsignal", syscall.Signal(w.Stopsignal), g.Policy.StopSignal},
			{"stopwaitsecs", time.Duration(w.Stopwaitsecs) * time.Second, g.Policy.StopGracePeriod},
			{"startsecs", time.Duration(min(max(w.Startsecs, 0), maxSeconds)) * time.Second, g.Policy.MinUptime},
			{"kill mode", killModeOf(w), g.Policy.KillMode},
			{"restart", restartOf(w, everyExitEnds), restartIs(g.Policy)},
		} {
			if diff := cmp.Diff(d.want, d.got); diff != "" {
				t.Errorf("%s (%s:%s), %s:\n%s", g.Name, w.Group, w.Name, d.what, diff)
			}
		}
	}
}

func listed(environment map[string]string) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		all = append(all, name+"="+environment[name])
	}
	slices.Sort(all)
	return all
}

func absolute(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// joined is a user as supervisor has it: root where it says nothing.
func joined(user, group string) string {
	if group != "" {
		user += ":" + group
	}
	return user
}

func number32(n *uint32) *int {
	if n == nil {
		return nil
	}
	return new(int(*n))
}

func killModeOf(p process) config.KillMode {
	switch {
	case p.Stopasgroup:
		return config.KillGroup
	case p.Killasgroup:
		return config.KillMixed
	}
	return config.KillProcess
}

// restartOf says in one line what supervisor does: after which ends it starts
// again, how many quick ones in a row, and what is quick.
func restartOf(p process, everyExitEnds bool) string {
	if p.Autorestart == "false" || everyExitEnds {
		return "never"
	}
	codes := "any code"
	if p.Autorestart == "unexpected" && len(p.Exitcodes) > 0 {
		slices.Sort(p.Exitcodes)
		codes = "any code but " + numbers(p.Exitcodes)
	}
	if p.Startsecs <= 0 {
		return codes + ", for ever"
	}
	return codes + ", " + strconv.Itoa(max(p.Startretries, 1)) + " within " + strconv.Itoa(min(p.Startsecs, maxSeconds)) + " s"
}

// restartIs says the same of ours.
func restartIs(p config.Policy) string {
	slices.Sort(p.SuccessExitCodes)
	codes := "any code but " + numbers(p.SuccessExitCodes)
	switch {
	case p.Restart.Mode == config.RestartNo:
		return "never"
	case p.Restart.Mode == config.RestartAlways || len(p.SuccessExitCodes) == 0:
		codes = "any code"
	}
	if p.Restart.Max == 0 {
		return codes + ", for ever"
	}
	return codes + ", " + strconv.Itoa(p.Restart.Max) + " within " + strconv.Itoa(int(p.Backoff.ResetAfter.Seconds())) + " s"
}

func numbers(all []int) string {
	words := make([]string, len(all))
	for i, n := range slices.Compact(all) {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words[:len(slices.Compact(slices.Clone(all)))], ",")
}
