package supervisorctl

import (
	"fmt"
	"strings"
	"testing"

	"sidekick/supervisor"
)

func TestArguments(t *testing.T) {
	s := newWorld(running("web")).server()
	for _, c := range []struct {
		method string
		args   []any
		want   string
	}{
		{"supervisor.nope", nil, "UNKNOWN_METHOD"},
		{"nope", nil, "UNKNOWN_METHOD"},
		{"supervisor.getPID.x", nil, "UNKNOWN_METHOD"},
		{"supervisor.getPID", []any{1}, "INCORRECT_PARAMETERS"},
		{"supervisor.getProcessInfo", nil, "INCORRECT_PARAMETERS"},
		{"supervisor.getProcessInfo", []any{7}, "INCORRECT_PARAMETERS"},
		{"supervisor.getProcessInfo", []any{map[string]any{}}, "INCORRECT_PARAMETERS"},
		{"supervisor.startProcess", []any{"web", "yes"}, "INCORRECT_PARAMETERS"},
		{"supervisor.startProcess", []any{"web", 1}, "ALREADY_STARTED: web"},
		{"supervisor.startProcess", []any{"web", true, 1}, "INCORRECT_PARAMETERS"},
		{"supervisor.readLog", []any{"0", 0}, "INCORRECT_PARAMETERS"},
		{"system.methodHelp", []any{"nope"}, "SIGNATURE_UNSUPPORTED"},
		{"system.methodSignature", []any{"nope"}, "SIGNATURE_UNSUPPORTED"},
		{"system.methodSignature", []any{"supervisor.startProcess"}, "[boolean string boolean]"},
		{"system.multicall", []any{"x"}, "INCORRECT_PARAMETERS"},
		{"supervisor.getVersion", nil, "3.0"},
		{"supervisor.getSupervisorVersion", nil, "4.2.5"},
		{"supervisor.getIdentification", nil, "supervisor"},
		{"supervisor.getState", nil, "map[statecode:1 statename:RUNNING]"},
		{"supervisor.getPID", nil, "1"},
		{"supervisor.sendProcessStdin", []any{"web", "x"}, "NO_FILE: web"},
		{"supervisor.sendProcessStdin", []any{"no", "x"}, "BAD_NAME: no"},
		{"supervisor.sendRemoteCommEvent", []any{"a", "b"}, "true"},
	} {
		v, err := s.call(t.Context(), call{c.method, c.args})
		if got := fmt.Sprint(v); err == nil && got != c.want || err != nil && err.Error() != c.want {
			t.Errorf("%s%v: %v, %v, want %s", c.method, c.args, v, err, c.want)
		}
	}
}

// Every method has a help text with its signature.
func TestMethods(t *testing.T) {
	var all strings.Builder
	s := newWorld().server()
	list, _ := s.call(t.Context(), call{method: "system.listMethods"})
	for _, name := range list.([]any) {
		help, err := s.call(t.Context(), call{"system.methodHelp", []any{name}})
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(&all, "%s\n  %s\n", name, strings.ReplaceAll(strings.TrimSpace(help.(string)), "\n", "\n  "))
	}
	golden(t, "methods.txt", []byte(all.String()))
}

func TestShuttingDown(t *testing.T) {
	w := newWorld(running("web"))
	s := w.server()
	for _, want := range []any{true, "SHUTDOWN_STATE"} {
		if got := s.says(t, "shutdown"); got != want {
			t.Errorf("shutdown: %v, want %v", got, want)
		}
	}
	if got := strings.Join(w.calls, ", "); got != "shutdown" {
		t.Errorf("did %s", got)
	}
	if got := s.says(t, "getPID"); got != 1 {
		t.Errorf("before it is under way: %v", got)
	}
	w.down = true
	for _, method := range []string{"getVersion", "getState", "getAllProcessInfo", "shutdown", "reloadConfig", "stopAllProcesses"} {
		if got := s.says(t, method); got != "SHUTDOWN_STATE" {
			t.Errorf("%s: %v", method, got)
		}
	}
}

// A shutdown ends the calls that wait.
func TestShutdownEndsWaiting(t *testing.T) {
	w := newWorld(stopped("web"))
	w.acts = func(_ supervisor.Action, st *supervisor.ProgramStatus) {
		st.State, st.Want, st.Launch = supervisor.Starting, supervisor.Up, 1
	}
	close(w.done)
	if got := w.server().says(t, "startAllProcesses"); got != "SHUTDOWN_STATE" {
		t.Error(got)
	}
}

func TestMulticall(t *testing.T) {
	one := func(method any, args ...any) any {
		return map[string]any{"methodName": method, "params": append([]any{}, args...)}
	}
	s := newWorld(running("web")).server()
	v, err := s.call(t.Context(), call{"system.multicall", []any{[]any{
		one("supervisor.getPID"), one("supervisor.getProcessInfo", "no"), one("system.multicall"), one(""), one(7), "x",
		map[string]any{"methodName": "supervisor.getVersion"}, one("supervisor.stopProcess", "web"),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "multicall.xml", encodeResult(v))

	w := newWorld(running("web"))
	w.streams[ownMessages] = make([]byte, 1<<20)
	var many []any
	for range 20 {
		many = append(many, one("supervisor.readLog", 0, 0))
	}
	_, err = w.server().call(t.Context(), call{"system.multicall", []any{many}})
	if errorText(err) != "FAILED: the answer is too large: make fewer calls at once" {
		t.Error(err)
	}
}

func TestAvail(t *testing.T) {
	w := newWorld(inGroup("web", running("web-1")), inGroup("web", stopped("web-0")), running("db"))
	c := w.programs[2].Config
	c.Launch.Command, c.Launch.User, c.Launch.WorkingDir = []string{"/bin/sh", "-c", "echo 'it'", ""}, "1000", "/srv"
	w.running.Programs[2] = *c
	golden(t, "avail.xml", encodeResult(w.server().says(t, "getAllConfigInfo")))
}
