package control

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/registrar"
	"sidekick/supervisor"
	"sidekick/supervisor/child"
)

func TestPrograms(t *testing.T) {
	since := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	web := running("web", 1, supervisor.CheckStatus{Status: supervisor.Healthy, Output: "200 OK", Since: since},
		supervisor.CheckStatus{Status: supervisor.Unhealthy, Output: "refused", Since: since})
	web.Pid, web.Started, web.Restarts = os.Getpid(), time.Now().Add(-time.Minute), 2
	done := supervisor.ProgramStatus{Name: "once", State: supervisor.Exited, Completed: true, Exit: &child.Exit{}, Reason: "exit status 0"}
	dead := supervisor.ProgramStatus{Name: "dead", State: supervisor.Fatal, Exit: &child.Exit{Signal: unix.SIGSEGV}}
	r := &fakeRegistrar{}
	r.set(true, registrar.Registration{Program: "web", Key: "/service/10.0.0.1:80", Address: "10.0.0.1:80", Since: since})
	c := serving(t, newFake(web, done, dead), r)
	programs, err := c.Programs(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if len(programs) != 3 {
		t.Fatalf("%d programs", len(programs))
	}
	p := programs[0]
	if p.Stats == nil || p.Stats.MemoryBytes == 0 || p.UptimeSeconds < 59 || p.Restarts != 2 || p.Want != "up" || !p.OK() {
		t.Errorf("web: %+v, stats %+v", p, p.Stats)
	}
	if p.Health == nil || *p.Health != (Health{Status: "unhealthy", Since: since, Output: "refused"}) {
		t.Errorf("health: %+v, want the check that fails", p.Health)
	}
	want := []Registration{{Key: "/service/10.0.0.1:80", Address: "10.0.0.1:80", Since: &since}}
	if !reflect.DeepEqual(p.Registrations, want) {
		t.Errorf("registrations: %+v", p.Registrations)
	}
	if p := programs[1]; p.ExitCode == nil || *p.ExitCode != 0 || !p.OK() || p.Health != nil || p.Stats != nil {
		t.Errorf("once: %+v", p)
	}
	if p := programs[2]; p.ExitCode != nil || p.Signal != "SIGSEGV" || p.OK() {
		t.Errorf("dead: %+v", p)
	}
}

func TestErrors(t *testing.T) {
	f := newFake(running("web", 1))
	f.act = func(_ supervisor.Action, name string) (supervisor.Accepted, error) {
		return supervisor.Accepted{}, &supervisor.UnknownProgramError{Name: name}
	}
	c := serving(t, f, &fakeRegistrar{})
	for _, q := range []struct {
		method, path, code string
		status             int
	}{
		{"GET", "/v1/programs/wbe", "not_found", 404},
		{"POST", "/v1/programs/wbe/start", "not_found", 404},
		{"POST", "/v1/programs", "method_not_allowed", 405},
		{"GET", "/v1/programs/web/stop", "method_not_allowed", 405},
		{"DELETE", "/v1/programs/web", "method_not_allowed", 405},
		{"POST", "/v1/programs/web/stop?wait=soon", "bad_request", 400},
		{"POST", "/v1/programs/web/stop?wait=-1s", "bad_request", 400},
		{"GET", "/v2", "not_found", 404},
	} {
		t.Run(q.method+" "+q.path, func(t *testing.T) {
			err := c.do(t.Context(), q.method, q.path, nil)
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Code != q.code || e.Status != q.status || e.Message == "" {
				t.Errorf("got %#v, want %s with status %d", err, q.code, q.status)
			}
		})
	}
}

func TestErrorBody(t *testing.T) {
	c := serving(t, newFake(), &fakeRegistrar{})
	response, err := c.http.Get("http://sidekick/v1/programs/no")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body map[string]map[string]string
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	if e := body["error"]; e["code"] != "not_found" || e["message"] != `no program is named "no"` || len(e) != 2 {
		t.Errorf("body %v", body)
	}
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
}

// A restart is done when the new launch is RUNNING, healthy and registered.
func TestActWaits(t *testing.T) {
	healthy := supervisor.CheckStatus{Status: supervisor.Healthy}
	f := newFake(running("web", 1, healthy))
	r := &fakeRegistrar{}
	absent := registrar.Registration{Program: "web", Reason: "the address is being looked up", Pending: true}
	there := registrar.Registration{Program: "web", Address: "10.0.0.1:80"}
	r.set(true, absent)
	f.act = func(supervisor.Action, string) (supervisor.Accepted, error) {
		return supervisor.Accepted{Sequence: 2, Launch: 2}, nil
	}
	c := serving(t, f, r)
	result := make(chan error, 1)
	go func() {
		p, err := c.Act(t.Context(), supervisor.Restart, "web", time.Minute)
		if err == nil && (p.State != "RUNNING" || p.Registrations[0].Reason != "") {
			err = errors.New("answered too early: " + p.State + p.Registrations[0].Reason)
		}
		result <- err
	}()
	stopping := running("web", 1)
	stopping.State = supervisor.Stopping
	starting := running("web", 2, supervisor.CheckStatus{Status: supervisor.HealthStarting})
	for _, step := range []supervisor.ProgramStatus{running("web", 1, healthy), stopping, starting, running("web", 2, healthy)} {
		f.show(step)
		select {
		case err := <-result:
			t.Fatalf("answered while it was %+v: %v", step, err)
		case <-time.After(3 * keyPoll): // long enough for a wrong answer to come
		}
	}
	r.set(true, there)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
}

func TestActOutcomes(t *testing.T) {
	program := func(state supervisor.State, want supervisor.Want, change func(*supervisor.ProgramStatus)) supervisor.ProgramStatus {
		p := supervisor.ProgramStatus{Name: "web", State: state, Want: want, Launch: 2, Reason: "exit status 3"}
		if change != nil {
			change(&p)
		}
		return p
	}
	unregistered := func(pending bool) registrar.Registration {
		return registrar.Registration{Program: "web", Pending: pending, Reason: "no"}
	}
	for name, c := range map[string]struct {
		action  supervisor.Action
		program supervisor.ProgramStatus
		answers bool
		pending bool
		code    string // "" for success
	}{
		"start fails":               {supervisor.Start, program(supervisor.Fatal, supervisor.Up, nil), true, false, "failed"},
		"start exits badly":         {supervisor.Start, program(supervisor.Exited, supervisor.Up, nil), true, false, "failed"},
		"start completes":           {supervisor.Start, program(supervisor.Exited, supervisor.Up, func(p *supervisor.ProgramStatus) { p.Completed = true }), true, false, ""},
		"start is countermanded":    {supervisor.Start, program(supervisor.Stopped, supervisor.Down, nil), true, false, "failed"},
		"start hangs":               {supervisor.Start, program(supervisor.Backoff, supervisor.Up, nil), true, false, "timeout"},
		"etcd is away":              {supervisor.Start, program(supervisor.Running, supervisor.Up, nil), false, true, ""},
		"the address is unknown":    {supervisor.Start, program(supervisor.Running, supervisor.Up, nil), true, false, ""},
		"the key does not come":     {supervisor.Start, program(supervisor.Running, supervisor.Up, func(p *supervisor.ProgramStatus) { p.Reason = "" }), true, true, "timeout"},
		"stopped":                   {supervisor.Stop, program(supervisor.Stopped, supervisor.Down, nil), true, false, ""},
		"stop of a completed one":   {supervisor.Stop, program(supervisor.Exited, supervisor.Down, nil), true, false, ""},
		"stop hangs":                {supervisor.Stop, program(supervisor.Stopping, supervisor.Down, nil), true, false, "timeout"},
		"stop is countermanded":     {supervisor.Stop, program(supervisor.Starting, supervisor.Up, nil), true, false, "failed"},
		"restart of the old launch": {supervisor.Restart, program(supervisor.Running, supervisor.Up, func(p *supervisor.ProgramStatus) { p.Launch = 1 }), true, false, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(c.program)
			f.act = func(supervisor.Action, string) (supervisor.Accepted, error) {
				return supervisor.Accepted{Sequence: 1, Launch: 2}, nil
			}
			r := &fakeRegistrar{}
			r.set(c.answers, unregistered(c.pending))
			client := serving(t, f, r)
			_, err := client.Act(t.Context(), c.action, "web", time.Second+time.Millisecond)
			e, _ := errors.AsType[*Error](err)
			if err == nil && c.code != "" || err != nil && (e == nil || e.Code != c.code) {
				t.Errorf("got %v, want %q", err, c.code)
			}
			if c.pending && c.answers && !strings.HasSuffix(e.Message, ": not registered: no") {
				t.Errorf("%q does not say why", e.Message)
			}
		})
	}
}

func TestActWithoutWaiting(t *testing.T) {
	f := newFake(supervisor.ProgramStatus{Name: "web", State: supervisor.Stopping})
	c := serving(t, f, &fakeRegistrar{})
	if p, err := c.Act(t.Context(), supervisor.Stop, "web", 0); err != nil || p.State != "STOPPING" {
		t.Errorf("got %+v, %v", p, err)
	}
	if len(f.acted) != 1 || f.acted[0] != "stop web" {
		t.Errorf("acted %q", f.acted)
	}
}

func TestShuttingDown(t *testing.T) {
	f := newFake(running("web", 1))
	f.act = func(supervisor.Action, string) (supervisor.Accepted, error) {
		return supervisor.Accepted{}, supervisor.ErrShuttingDown
	}
	c := serving(t, f, &fakeRegistrar{})
	_, err := c.Act(t.Context(), supervisor.Stop, "web", time.Second)
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != "shutting_down" {
		t.Errorf("got %v", err)
	}
}

func TestReload(t *testing.T) {
	c := serving(t, newFake(), &fakeRegistrar{})
	plan, err := c.Reload(t.Context(), true)
	if err != nil || len(plan.Added) != 1 || plan.Added[0] != "web" || plan.Restarted[0] != "db" || plan.Removed == nil {
		t.Errorf("got %+v, %v", plan, err)
	}
	_, err = c.Reload(t.Context(), false)
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != "failed" || !strings.Contains(e.Message, "x.yaml:1:2") {
		t.Errorf("got %v", err)
	}
	err = c.do(t.Context(), http.MethodPost, "/v1/reload?dry_run=perhaps", nil)
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != "bad_request" {
		t.Errorf("got %v", err)
	}
}
