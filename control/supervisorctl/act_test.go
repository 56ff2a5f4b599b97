package supervisorctl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"sidekick/config"
	"sidekick/supervisor"
	"sidekick/supervisor/child"
)

// When a start is over, and how.
func TestHasStarted(t *testing.T) {
	const launch = 5
	slow, atOnce := config.DefaultProgram("web"), config.DefaultProgram("web")
	atOnce.Policy.MinUptime = 0
	for name, c := range map[string]struct {
		st   supervisor.ProgramStatus
		over bool
		want string
	}{
		"executing":       {supervisor.ProgramStatus{Launch: 5, State: supervisor.Starting, Want: supervisor.Up}, false, ""},
		"running":         {supervisor.ProgramStatus{Launch: 5, State: supervisor.Running, Want: supervisor.Up}, true, ""},
		"one-shot":        {supervisor.ProgramStatus{Launch: 5, State: supervisor.Exited, Want: supervisor.Up, Completed: true}, true, ""},
		"waits":           {supervisor.ProgramStatus{Launch: 4, State: supervisor.Stopped, Want: supervisor.Up}, false, ""},
		"hopeless":        {supervisor.ProgramStatus{Launch: 4, State: supervisor.Fatal, Want: supervisor.Up}, true, "ABNORMAL_TERMINATION: web"},
		"stopped waiting": {supervisor.ProgramStatus{Launch: 4, State: supervisor.Stopped}, true, "ABNORMAL_TERMINATION: web"},
		"stopped":         {supervisor.ProgramStatus{Launch: 5, State: supervisor.Stopping}, true, "ABNORMAL_TERMINATION: web"},
		"failing":         {supervisor.ProgramStatus{Launch: 5, State: supervisor.Stopping, Want: supervisor.Up}, false, ""},
		"failed":          {supervisor.ProgramStatus{Launch: 5, State: supervisor.Backoff, Want: supervisor.Up}, true, "SPAWN_ERROR: web"},
		"failed for good": {supervisor.ProgramStatus{Launch: 5, State: supervisor.Fatal, Want: supervisor.Up}, true, "SPAWN_ERROR: web"},
		"bad exit":        {supervisor.ProgramStatus{Launch: 5, State: supervisor.Exited, Want: supervisor.Up}, true, "SPAWN_ERROR: web"},
		"next try":        {supervisor.ProgramStatus{Launch: 6, State: supervisor.Starting, Want: supervisor.Up}, true, "SPAWN_ERROR: web"},
		"was up":          {supervisor.ProgramStatus{Launch: 5, State: supervisor.Exited, Config: &atOnce, Exit: &child.Exit{Code: 3}}, true, ""},
		"was up, again":   {supervisor.ProgramStatus{Launch: 6, State: supervisor.Running, Config: &atOnce, Exit: &child.Exit{Code: 3}}, true, ""},
		"not executed":    {supervisor.ProgramStatus{Launch: 5, State: supervisor.Fatal, Config: &atOnce}, true, "SPAWN_ERROR: web"},
	} {
		if c.st.Config == nil {
			c.st.Config = &slow
		}
		over, err := hasStarted(process{"web", "web", &c.st}, launch)
		if over != c.over || errorText(err) != c.want {
			t.Errorf("%s: %v %q, want %v %q", name, over, errorText(err), c.over, c.want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A call waits for the outcome, and ends with its client.
func TestStartWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(stopped("web"))
		w.acts = func(_ supervisor.Action, st *supervisor.ProgramStatus) {
			st.State, st.Want, st.Launch = supervisor.Starting, supervisor.Up, 1
		}
		s := w.server()
		answers := make(chan any)
		go func() { answers <- s.says(t, "startProcess", "web") }()
		synctest.Wait()
		select {
		case v := <-answers:
			t.Fatalf("answered %v while it is starting", v)
		default:
		}
		w.change("web", func(st *supervisor.ProgramStatus) { st.State = supervisor.Running })
		if v := <-answers; v != true {
			t.Errorf("startProcess: %v", v)
		}
		if v := s.says(t, "startProcess", "web", true); v != "ALREADY_STARTED: web" {
			t.Errorf("again: %v", v)
		}

		w.acts = func(_ supervisor.Action, st *supervisor.ProgramStatus) {
			st.State, st.Want = supervisor.Stopping, supervisor.Down
		}
		if v := s.says(t, "stopProcess", "web", false); v != true {
			t.Errorf("stopProcess without waiting: %v", v)
		}
		w.change("web", func(st *supervisor.ProgramStatus) { st.State, st.Want = supervisor.Running, supervisor.Up })
		ctx, gone := context.WithCancel(t.Context())
		failed := make(chan error)
		go func() {
			_, err := s.call(ctx, call{"supervisor.stopProcess", []any{"web"}})
			failed <- err
		}()
		synctest.Wait()
		gone()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("the client is gone: %v", err)
		}
	})
}

// A program that was started again has stopped before; one that is gone has too.
func TestStopIsOver(t *testing.T) {
	for name, after := range map[string]func(*supervisor.ProgramStatus){
		"stopped":       func(st *supervisor.ProgramStatus) { st.State = supervisor.Stopped },
		"ended before":  func(st *supervisor.ProgramStatus) { st.State = supervisor.Exited },
		"started again": func(st *supervisor.ProgramStatus) { st.State, st.Want = supervisor.Starting, supervisor.Up },
		"removed":       func(st *supervisor.ProgramStatus) { st.Name = "other" },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(running("web"))
			w.acts = func(_ supervisor.Action, st *supervisor.ProgramStatus) {
				st.State, st.Want = supervisor.Stopping, supervisor.Down
			}
			s := w.server()
			answers := make(chan any)
			go func() { answers <- s.says(t, "stopProcess", "web") }()
			synctest.Wait()
			w.change("web", after)
			synctest.Wait()
			select {
			case v := <-answers:
				if v != true {
					t.Errorf("%s: %v", name, v)
				}
			default:
				t.Errorf("%s: still waiting", name)
				close(w.done)
				<-answers
			}
		})
	}
}

// Calls on several processes answer for those that they concern, in the order in
// which these came to their end.
func TestGroupsAndAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(inGroup("web", running("web-1")), inGroup("web", stopped("web-0")), running("db"), stopped("cron"))
		w.acts = func(action supervisor.Action, st *supervisor.ProgramStatus) {
			if action == supervisor.Start {
				st.State, st.Want, st.Launch = supervisor.Starting, supervisor.Up, 1
			}
		}
		s := w.server()
		answers := make(chan any)
		go func() { answers <- s.says(t, "startAllProcesses") }()
		synctest.Wait()
		w.change("web-0", func(st *supervisor.ProgramStatus) { st.State = supervisor.Running })
		synctest.Wait()
		w.change("cron", func(st *supervisor.ProgramStatus) { st.State = supervisor.Fatal })
		want := "web:web-0 80 OK, cron:cron 50 SPAWN_ERROR: cron"
		if got := listed(<-answers); got != want {
			t.Errorf("startAllProcesses: %s, want %s", got, want)
		}
	})
	w := newWorld(inGroup("web", running("web-1")), inGroup("web", running("web-0")), stopped("cron"))
	s := w.server()
	for _, c := range []struct {
		method string
		args   []any
		want   string
	}{
		{"signalAllProcesses", []any{"hup"}, "web:web-0 80 OK, web:web-1 80 OK"},
		{"signalAllProcesses", []any{"nope"}, "web:web-0 11 BAD_SIGNAL: nope, web:web-1 11 BAD_SIGNAL: nope"},
		{"signalProcess", []any{"web:*", "0"}, "web:web-0 80 OK, web:web-1 80 OK"},
		{"signalProcess", []any{"web:web-0", "15"}, "true"},
		{"signalProcess", []any{"cron", "TERM"}, "NOT_RUNNING: cron"},
		{"signalProcess", []any{"web", "TERM"}, "BAD_NAME: web"},
		{"signalProcessGroup", []any{"no", "TERM"}, "BAD_NAME: no"},
		{"stopProcessGroup", []any{"web"}, "web:web-0 80 OK, web:web-1 80 OK"},
		{"stopAllProcesses", nil, ""},
		{"stopProcess", []any{"web:web-0"}, "NOT_RUNNING: web:web-0"},
		{"startProcess", []any{"web:*"}, "web:web-0 80 OK, web:web-1 80 OK"},
		{"startProcessGroup", []any{"no"}, "BAD_NAME: no"},
	} {
		if got := listed(s.says(t, c.method, c.args...)); got != c.want {
			t.Errorf("%s%v: %s, want %s", c.method, c.args, got, c.want)
		}
	}
	wantCalls := strings.Split("signal web-0 1,signal web-1 1,signal web-0 0,signal web-1 0,signal web-0 15,"+
		"stop web-0,stop web-1,start web-0,start web-1", ",")
	if d := cmp.Diff(wantCalls, w.calls); d != "" {
		t.Error(d)
	}
}

// listed is a list of results in a line.
func listed(v any) string {
	results, ok := v.([]any)
	if !ok {
		return fmt.Sprint(v)
	}
	var all []string
	for _, r := range results {
		m := r.(map[string]any)
		all = append(all, fmt.Sprintf("%s:%s %d %s", m["group"], m["name"], m["status"], m["description"]))
	}
	return strings.Join(all, ", ")
}

// What a start finds out before it starts anything.
func TestStartLooksFirst(t *testing.T) {
	w := newWorld(stopped("nofile"), stopped("folder"), stopped("web"))
	w.programs[0].Config.Launch.Command = []string{"/no/such/file"}
	w.programs[1].Config.Launch.Command = []string{"/etc"}
	s := w.server()
	for _, c := range [][2]string{
		{"nofile", "NO_FILE: can't find command '/no/such/file'"},
		{"folder", "NOT_EXECUTABLE: command at '/etc' is not executable"},
		{"none", "BAD_NAME: none"},
		{"web:none", "BAD_NAME: web:none"},
	} {
		if got := s.says(t, "startProcess", c[0]); got != c[1] {
			t.Errorf("%s: %v", c[0], got)
		}
	}
	if len(w.calls) > 0 {
		t.Errorf("did %v", w.calls)
	}
}
