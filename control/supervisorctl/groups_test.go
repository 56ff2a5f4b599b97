package supervisorctl

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sidekick/config"
	"sidekick/supervisor"
)

// wanted makes a program that depends on others; changed makes it differ.
func wanted(name string, changed bool, on ...string) config.Program {
	c := config.DefaultProgram(name)
	c.Launch.Command = []string{"/bin/sh"}
	if changed {
		c.Launch.Command = append(c.Launch.Command, "-e")
	}
	for _, other := range on {
		c.Policy.DependsOn = append(c.Policy.DependsOn, config.Dependency{Program: other, Condition: config.Started})
	}
	return c
}

// update does what supervisorctl's update does, and tells what it says.
func updating(t *testing.T, s *Server, only ...string) string {
	t.Helper()
	var said []string
	must := func(v any) {
		if text, isFault := v.(string); isFault {
			t.Errorf("update: %s", text)
		}
	}
	result, ok := s.says(t, "reloadConfig").([]any)
	if !ok {
		t.Fatalf("reloadConfig: %v", result)
	}
	for i, names := range result[0].([]any) {
		for _, name := range names.([]any) {
			if len(only) > 0 && name != only[0] {
				continue
			}
			said = append(said, fmt.Sprintf("%s %s", [...]string{"added", "changed", "removed"}[i], name))
		}
	}
	for _, kind := range []string{"removed", "changed", "added"} {
		for _, line := range said {
			name, ok := strings.CutPrefix(line, kind+" ")
			if !ok {
				continue
			}
			if kind != "added" {
				must(s.says(t, "stopProcessGroup", name))
				must(s.says(t, "removeProcessGroup", name))
			}
			if kind != "removed" {
				must(s.says(t, "addProcessGroup", name))
			}
		}
	}
	return strings.Join(said, ", ")
}

// After an update the file runs, however its programs depend on each other, and
// at no moment did anything run that is not sound.
func TestUpdate(t *testing.T) {
	etcd := config.Registry{Etcd: &config.Etcd{Endpoints: []string{"http://e:1"}}}
	registered := func(name string) config.Program {
		p := wanted(name, false)
		p.Policy.Register = make([]config.Registration, 1)
		return p
	}
	copies := func(n int) (all []config.Program) {
		for i := range n {
			p := wanted(fmt.Sprintf("db-%d", i), false)
			p.Group = "db"
			all = append(all, p)
		}
		return all
	}
	for name, c := range map[string]struct {
		before, after config.Config
		want          string
	}{
		"nothing": {config.Config{Programs: []config.Program{wanted("a", false)}}, config.Config{Programs: []config.Program{wanted("a", false)}}, ""},
		"all kinds": {config.Config{Programs: []config.Program{wanted("a", false), wanted("b", false), wanted("c", false)}},
			config.Config{Programs: []config.Program{wanted("d", false), wanted("a", true), wanted("b", false)}}, "added d, changed a, removed c"},
		"renamed": {config.Config{Programs: []config.Program{wanted("a", false)}}, config.Config{Programs: []config.Program{wanted("b", false)}}, "added b, removed a"},
		"dependencies first": {config.Config{Programs: []config.Program{wanted("x", false)}},
			config.Config{Programs: []config.Program{wanted("a", false, "b"), wanted("b", false, "c"), wanted("c", false), wanted("x", false)}},
			"added c, added b, added a"},
		"dependants go first": {config.Config{Programs: []config.Program{wanted("a", false, "b"), wanted("b", false, "c"), wanted("c", false), wanted("x", false)}},
			config.Config{Programs: []config.Program{wanted("x", false)}}, "removed a, removed b, removed c"},
		"a new dependency of a changed one": {config.Config{Programs: []config.Program{wanted("a", false)}},
			config.Config{Programs: []config.Program{wanted("a", true, "b"), wanted("b", false)}}, "added b, changed a"},
		"the other way round": {config.Config{Programs: []config.Program{wanted("a", false, "b"), wanted("b", false)}},
			config.Config{Programs: []config.Program{wanted("a", false), wanted("b", false, "a")}}, "changed a, changed b"},
		"no longer needed": {config.Config{Programs: []config.Program{wanted("a", false, "b"), wanted("b", false)}},
			config.Config{Programs: []config.Program{wanted("a", false)}}, "changed a, removed b"},
		"fewer copies": {config.Config{Programs: append(copies(3), wanted("a", false, "db-0", "db-1", "db-2"))},
			config.Config{Programs: append(copies(2), wanted("a", false, "db-0", "db-1"))}, "changed db, changed a"},
		"a copy's name": {config.Config{Programs: append(copies(2), wanted("x", false))},
			config.Config{Programs: []config.Program{wanted("db-0", false), wanted("x", false)}}, "added db-0, removed db"},
		"no registry any more": {config.Config{Programs: []config.Program{registered("a"), registered("b")}, Registry: etcd},
			config.Config{Programs: []config.Program{wanted("a", false), wanted("b", false)}}, "changed a, changed b"},
		"settings": {config.Config{Programs: []config.Program{wanted("a", false)}},
			config.Config{Programs: []config.Program{wanted("a", false)}, ShutdownTimeout: 5}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := worldOf(c.before)
			w.file = &c.after
			s := w.server()
			if got := updating(t, s); got != c.want {
				t.Errorf("update: %s, want %s", got, c.want)
			}
			if got := s.says(t, "reloadConfig"); fmt.Sprint(got) != "[[[] [] []]]" {
				t.Errorf("a second time: %v", got)
			}
			for _, p := range s.everything() {
				if p.State != supervisor.Running {
					t.Errorf("%s is %s", p.name, p.State)
				}
			}
			if !reflect.DeepEqual(w.running, w.file) {
				t.Errorf("runs %+v, the file has %+v", w.running, w.file)
			}
		})
	}
}

// worldOf runs all programs of a configuration.
func worldOf(c config.Config) *world {
	var all []supervisor.ProgramStatus
	for i := range c.Programs {
		st := running(c.Programs[i].Name)
		st.Config = &c.Programs[i]
		all = append(all, st)
	}
	w := newWorld(all...)
	w.running = &c
	return w
}

// One group at a time: only what it needs comes along.
func TestUpdateOfOneGroup(t *testing.T) {
	w := worldOf(config.Config{Programs: []config.Program{wanted("a", false), wanted("b", false)}})
	w.file = &config.Config{Programs: []config.Program{wanted("a", true, "c"), wanted("b", true), wanted("c", false), wanted("d", false)}}
	s := w.server()
	updating(t, s, "a")
	if got := names(s.everything()); got != "a b c" {
		t.Errorf("active: %s", got)
	}
	if got := s.says(t, "addProcessGroup", "c"); got != true {
		t.Errorf("add of what came along: %v", got)
	}
	if got := s.says(t, "addProcessGroup", "c"); got != "ALREADY_ADDED: c" {
		t.Errorf("and again: %v", got)
	}
	if got := fmt.Sprint(s.says(t, "reloadConfig")); got != "[[[d] [b] []]]" {
		t.Errorf("left: %s", got)
	}
}

func names(all []process) string {
	var list []string
	for _, p := range all {
		list = append(list, p.name)
	}
	return strings.Join(list, " ")
}

// A group that the file has can be taken out and put back.
func TestRemoveAndAdd(t *testing.T) {
	w := worldOf(config.Config{Programs: []config.Program{wanted("a", false, "b"), wanted("b", false)}})
	s := w.server()
	for _, c := range []struct {
		method, name string
		want         any
	}{
		{"addProcessGroup", "b", "ALREADY_ADDED: b"},
		{"addProcessGroup", "x", "BAD_NAME: x"},
		{"removeProcessGroup", "x", "BAD_NAME: x"},
		{"removeProcessGroup", "b", "STILL_RUNNING: b"},
		{"stopProcess", "b", true},
		{"removeProcessGroup", "b", true},
		{"removeProcessGroup", "b", "BAD_NAME: b"},
		{"getProcessInfo", "b", "BAD_NAME: b"},
		{"startProcess", "b", "BAD_NAME: b"},
		{"addProcessGroup", "b", true},
		{"addProcessGroup", "b", "ALREADY_ADDED: b"},
	} {
		if got := s.says(t, c.method, c.name); got != c.want {
			t.Errorf("%s %s: %v, want %v", c.method, c.name, got, c.want)
		}
	}
	if got := strings.Join(w.calls, ", "); got != "stop b, start b" {
		t.Errorf("did %s", got)
	}
}

// A program whose group is added anew is new: that it ran before is forgotten, as
// supervisord does, until it runs again.
func TestAddedAnew(t *testing.T) {
	manual := wanted("a", false)
	manual.Policy.Autostart = false
	w := worldOf(config.Config{Programs: []config.Program{manual, wanted("b", false)}})
	w.programs[0] = running("a")
	w.programs[0].Config = &manual
	s := w.server()
	shows := func(after string, want string) {
		t.Helper()
		info := s.says(t, "getProcessInfo", "a").(map[string]any)
		if got := info["description"].(string); (got == "Not started") != (want == "Not started") || (info["stop"] == 0) != (want == "Not started") {
			t.Errorf("after %s: %q, stopped at %v; want %s", after, got, info["stop"], want)
		}
	}
	s.says(t, "stopProcess", "a")
	shows("stop", "a date")
	s.says(t, "removeProcessGroup", "a")
	s.says(t, "addProcessGroup", "a")
	shows("remove and add", "Not started")
	s.says(t, "startProcess", "a")
	s.says(t, "stopProcess", "a")
	shows("another run", "a date")
	s.says(t, "restart")
	shows("restart", "Not started")
}

// What was taken out is forgotten when somebody else reloads the file.
func TestReloadByOthers(t *testing.T) {
	w := worldOf(config.Config{Programs: []config.Program{wanted("a", false), wanted("b", false)}})
	s := w.server()
	s.says(t, "stopProcess", "b")
	s.says(t, "removeProcessGroup", "b")
	if got := names(s.everything()); got != "a" {
		t.Errorf("active: %s", got)
	}
	other := *w.running
	w.running = &other
	if got := names(s.everything()); got != "a b" {
		t.Errorf("active after a reload: %s", got)
	}
}

// A program that waits for another still runs, as far as `remove` is concerned.
func TestRemoveOfWhatWaits(t *testing.T) {
	w := worldOf(config.Config{Programs: []config.Program{wanted("a", false)}})
	w.programs[0].State = supervisor.Stopped
	if got := w.server().says(t, "removeProcessGroup", "a"); got != "STILL_RUNNING: a" {
		t.Error(got)
	}
}

func TestBadFile(t *testing.T) {
	w := worldOf(config.Config{Programs: []config.Program{wanted("a", false)}})
	w.readErr = errors.New("f.yaml:1:1: wrong")
	s := w.server()
	for _, method := range []string{"reloadConfig", "restart"} {
		if got := s.says(t, method); got != "CANT_REREAD: f.yaml:1:1: wrong" {
			t.Errorf("%s: %v", method, got)
		}
	}
	if len(w.calls) > 0 {
		t.Errorf("did %v", w.calls)
	}
}

// A restart starts by the file what has autostart, each once, and stops the rest.
func TestRestart(t *testing.T) {
	manual := wanted("manual", false)
	manual.Policy.Autostart = false
	w := worldOf(config.Config{Programs: []config.Program{wanted("gone", false), wanted("changed", false), wanted("a", false, "z"), wanted("z", false), manual}})
	w.file = &config.Config{Programs: []config.Program{wanted("new", false), wanted("changed", true), wanted("a", false, "z"), wanted("z", false), manual}}
	if got := w.server().says(t, "restart"); got != true {
		t.Fatal(got)
	}
	want := "swap +[new] -[gone] ~[changed], start new, start changed, restart z, restart a, stop manual"
	if got := strings.Join(w.calls, ", "); got != want {
		t.Errorf("did %s\nwant %s", got, want)
	}
}

func TestArrange(t *testing.T) {
	for want, after := range map[string]string{"a b c d": "", "c a b d": "ac", "b c d a": "ad dc cb", "b a c d": "ab ba aa"} {
		got := arrange([]string{"a", "b", "c", "d"}, func(a, b string) bool {
			return slices.Contains(strings.Fields(after), a+b)
		})
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", after, got, want)
		}
	}
}
