package supervisorctl

import (
	"encoding/json"
	"syscall"
	"testing"
	"time"

	"sidekick/config"
	"sidekick/supervisor"
	"sidekick/supervisor/child"
)

// Every state in Supervisor's words: what getProcessInfo says is in the golden
// file.
func TestInfo(t *testing.T) {
	at := func(state supervisor.State, want supervisor.Want, change func(*supervisor.ProgramStatus)) supervisor.ProgramStatus {
		c := config.DefaultProgram("web")
		c.Launch.Command = []string{"/bin/sh"}
		st := supervisor.ProgramStatus{Name: "web", State: state, Want: want, Launch: 1, Config: &c, Started: epoch, Since: epoch.Add(300 * time.Millisecond)}
		if change != nil {
			change(&st)
		}
		return st
	}
	command := func(words ...string) func(*supervisor.ProgramStatus) {
		return func(st *supervisor.ProgramStatus) {
			st.Config.Launch.Command, st.Reason = words, "cannot execute it"
		}
	}
	exit := func(e child.Exit) func(*supervisor.ProgramStatus) {
		return func(st *supervisor.ProgramStatus) { st.Exit, st.Completed = &e, e == child.Exit{} }
	}
	var all []any
	for _, c := range []struct {
		name string
		st   supervisor.ProgramStatus
	}{
		{"never started", at(supervisor.Stopped, supervisor.Down, func(st *supervisor.ProgramStatus) { st.Launch = 0 })},
		{"stopped", at(supervisor.Stopped, supervisor.Down, exit(child.Exit{Signal: syscall.SIGTERM}))},
		{"waits", at(supervisor.Stopped, supervisor.Up, func(st *supervisor.ProgramStatus) { st.Launch, st.Reason = 0, "waiting for db: healthy" })},
		{"first launch", at(supervisor.Starting, supervisor.Up, func(st *supervisor.ProgramStatus) { st.Started = time.Time{} })},
		{"starting", at(supervisor.Starting, supervisor.Up, func(st *supervisor.ProgramStatus) { st.Pid, st.Started = 12, st.Since })},
		{"running", at(supervisor.Running, supervisor.Up, func(st *supervisor.ProgramStatus) { st.Pid = 12 })},
		{"stopping", at(supervisor.Stopping, supervisor.Down, func(st *supervisor.ProgramStatus) { st.Pid = 12 })},
		{"backoff", at(supervisor.Backoff, supervisor.Up, exit(child.Exit{Code: 3}))},
		{"backoff after a run", at(supervisor.Backoff, supervisor.Up, func(st *supervisor.ProgramStatus) {
			st.Exit, st.Since, st.Reason = &child.Exit{Code: 3}, epoch.Add(time.Hour), "exit status 3"
		})},
		{"fatal", at(supervisor.Fatal, supervisor.Up, exit(child.Exit{Code: 3}))},
		{"no file", at(supervisor.Fatal, supervisor.Up, command("/no/such/file"))},
		{"no file in PATH", at(supervisor.Fatal, supervisor.Up, command("no-such-file"))},
		{"quoted", at(supervisor.Fatal, supervisor.Up, command("/it's"))},
		{"a directory", at(supervisor.Fatal, supervisor.Up, command("/etc"))},
		{"another failure", at(supervisor.Fatal, supervisor.Up, command("/bin/sh"))},
		{"no word", at(supervisor.Fatal, supervisor.Up, func(st *supervisor.ProgramStatus) { st.Reason = "" })},
		{"completed", at(supervisor.Exited, supervisor.Up, exit(child.Exit{}))},
		{"exited", at(supervisor.Exited, supervisor.Up, exit(child.Exit{Code: 4}))},
		{"killed", at(supervisor.Exited, supervisor.Up, exit(child.Exit{Signal: syscall.SIGKILL}))},
	} {
		info := newWorld().server().info(process{"web", "web", &c.st}, epoch.Add(90*time.Minute))
		for _, field := range []string{"start", "stop", "now"} {
			if n := info[field].(int); n != 0 {
				info[field] = n - int(epoch.Unix()) + 1_000_000 // the same in every time zone
			}
		}
		info["case"] = c.name
		all = append(all, info)
	}
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "info.json", append(text, '\n'))
}

func TestUptime(t *testing.T) {
	for seconds, want := range map[int64]string{-5: "0:00:00", 0: "0:00:00", 59: "0:00:59", 3661: "1:01:01", 86399: "23:59:59",
		86400: "1 day, 0:00:00", 97331: "1 day, 3:02:11", 12*86400 + 3600: "12 days, 1:00:00"} {
		if got := uptime(seconds); got != want {
			t.Errorf("%d s: %q, want %q", seconds, got, want)
		}
	}
}

func TestSplitSpec(t *testing.T) {
	for spec, want := range map[string][2]string{"web": {"web", "web"}, "web:web-0": {"web", "web-0"}, "web:*": {"web", ""},
		"web:": {"web", ""}, "a:b:c": {"a", "b:c"}, "": {"", ""}, "*": {"*", "*"}} {
		if group, name := splitSpec(spec); group != want[0] || name != want[1] {
			t.Errorf("%q: %q %q, want %q", spec, group, name, want)
		}
	}
}
