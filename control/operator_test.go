package control

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sidekick/config"
	"sidekick/registrar"
	"sidekick/supervisor"
)

func TestSignalRoute(t *testing.T) {
	f := newFake(running("web", 1), supervisor.ProgramStatus{Name: "off", State: supervisor.Stopped})
	c := serving(t, f, &fakeRegistrar{})
	if _, err := c.Signal(t.Context(), "web", "usr1"); err != nil {
		t.Error(err)
	}
	if !slices.Equal(f.acted, []string{"signal 10 web"}) {
		t.Errorf("acted %q", f.acted)
	}
	for name, want := range map[string]string{"off": "not_running", "nobody": "not_found"} {
		_, err := c.Signal(t.Context(), name, "HUP")
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	if _, err := c.Signal(t.Context(), "web", ""); err == nil {
		t.Error("no signal is a signal")
	}
}

// drain ends when etcd has confirmed that the keys are gone; undrain when every
// key that can be had is there.
func TestDrainWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := newFake(running("web", 1), running("db", 1)), &fakeRegistrar{}
		s := newTestServer(f, r, nil)
		post := func(path string) (*answer, time.Duration) {
			begun := time.Now()
			return ask(t, s, control, http.MethodPost, path, ""), time.Since(begun)
		}
		if w, took := post("/v1/drain?wait=10s"); w.status != http.StatusOK || took != 0 {
			t.Errorf("%d after %v: %s", w.status, took, w.body.String())
		}
		if !slices.Equal(f.acted, []string{"drain true web db"}) {
			t.Errorf("acted %q", f.acted)
		}
		r.hangs = true
		if w, took := post("/v1/drain?wait=10s&program=web"); w.status != http.StatusGatewayTimeout || took != 10*time.Second {
			t.Errorf("etcd hangs: %d after %v", w.status, took)
		}
		if w, took := post("/v1/drain?program=web"); w.status != http.StatusOK || took != 0 {
			t.Errorf("without waiting: %d after %v", w.status, took)
		}
		r.set(true, registrar.Registration{Program: "web", Pending: true, Reason: "being registered"})
		time.AfterFunc(3*time.Second-time.Millisecond, func() { r.set(true, registrar.Registration{Program: "web"}) })
		if w, took := post("/v1/undrain?wait=10s&program=web"); w.status != http.StatusOK || took != 3*time.Second {
			t.Errorf("%d after %v: %s", w.status, took, w.body.String())
		}
		r.set(true, registrar.Registration{Program: "web", Pending: true, Reason: "being registered"})
		if w, took := post("/v1/undrain?wait=10s&program=web"); w.status != http.StatusGatewayTimeout || took != 10*time.Second {
			t.Errorf("the key does not come: %d after %v", w.status, took)
		}
	})
}

func TestVerdict(t *testing.T) {
	check := func(h supervisor.Health) supervisor.CheckStatus {
		return supervisor.CheckStatus{Status: h, Output: "503"}
	}
	policy := func(change func(*config.Policy)) *config.Program {
		p := essential("web", "web")
		change(&p.Policy)
		return p
	}
	of := func(state supervisor.State) supervisor.ProgramStatus {
		return supervisor.ProgramStatus{Name: "web", State: state, Reason: "why"}
	}
	with := func(st supervisor.ProgramStatus, change func(*supervisor.ProgramStatus)) supervisor.ProgramStatus {
		change(&st)
		return st
	}
	for name, c := range map[string]struct {
		st   supervisor.ProgramStatus
		want string // the problem, "" for none
	}{
		"running":           {running("web", 1), ""},
		"healthy":           {running("web", 1, check(supervisor.Healthy)), ""},
		"unhealthy":         {running("web", 1, check(supervisor.Healthy), check(supervisor.Unhealthy)), "web is unhealthy: 503"},
		"no answer yet":     {running("web", 1, supervisor.CheckStatus{Status: supervisor.HealthStarting}), "web is starting"},
		"starting":          {of(supervisor.Starting), "web is STARTING: why"},
		"backoff":           {of(supervisor.Backoff), "web is BACKOFF: why"},
		"stopped":           {of(supervisor.Stopped), "web is STOPPED: why"},
		"failed":            {of(supervisor.Exited), "web is EXITED: why"},
		"completed":         {with(of(supervisor.Exited), func(st *supervisor.ProgramStatus) { st.Completed = true }), ""},
		"drained":           {with(of(supervisor.Backoff), func(st *supervisor.ProgramStatus) { st.Drained = true }), ""},
		"not essential":     {with(of(supervisor.Fatal), func(st *supervisor.ProgramStatus) { st.Config = policy(func(p *config.Policy) { p.Essential = false }) }), ""},
		"without autostart": {with(of(supervisor.Stopped), func(st *supervisor.ProgramStatus) { st.Config = policy(func(p *config.Policy) { p.Autostart = false }) }), ""},
	} {
		v, err := serving(t, newFake(c.st), &fakeRegistrar{}).Health(t.Context())
		if err != nil || v.Healthy != (c.want == "") || c.want != "" && !slices.Equal(v.Problems, []string{c.want}) {
			t.Errorf("%s: %+v, %v, want %q", name, v, err, c.want)
		}
	}
	snapshot := supervisor.NewSnapshot(1, nil)
	snapshot.ShuttingDown = true
	if v := verdict(snapshot); v.Healthy {
		t.Error("it is healthy while it shuts down")
	}
}
