package supervisor

import (
	"io"
	"log/slog"
	"testing"
	"testing/synctest"

	"sidekick/config"
	"sidekick/supervisor/child"
)

// Messages about what is over arrive when a timer or an exit raced with what
// ended it. None of them moves a program.
func TestStaleMessages(t *testing.T) {
	for name, message := range map[string]func(p *program) message{
		"timer of an earlier phase": func(p *program) message { return elapsed{p, p.timerSeq - 1} },
		"exit of an earlier launch": func(p *program) message {
			return childEvent{p, p.launch - 1, child.Event{Exited: &child.Exit{}, GroupEmpty: true}}
		},
		"drain of an earlier launch": func(p *program) message { return drained{p, p.launch - 1} },
		"health of an earlier launch": func(p *program) message {
			return CheckResult{Program: p.name, Launch: p.launch - 1, CheckStatus: CheckStatus{Status: Healthy}}
		},
		"health of an unknown check": func(p *program) message {
			return CheckResult{Program: p.name, Launch: p.launch, Index: 1, CheckStatus: CheckStatus{Status: Healthy}}
		},
		"health of an unknown program": func(p *program) message {
			return CheckResult{Program: "other", Launch: p.launch, CheckStatus: CheckStatus{Status: Healthy}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, prog("web"))
				s := New(w.config, Options{Kernel: w, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
				p := s.programs[0]
				p.launch, p.timerSeq = 5, 7
				p.process = &fakeProcess{w: w, name: "web"}
				p.checks = []CheckStatus{{Status: HealthStarting}}
				for _, at := range reachable() {
					p.at = at
					message(p).handle(s)
					if p.at != at || p.exit != nil || p.checks[0].Status != HealthStarting {
						t.Errorf("moved from %v to %v", at, p.at)
					}
				}
			})
		})
	}
}

// What a policy says of an end: the exit code decides, not the time.
func TestJudge(t *testing.T) {
	code := func(n int) child.Exit { return child.Exit{Code: n} }
	for _, c := range []struct {
		restart  config.Restart
		exit     child.Exit
		restarts int
		want     verdict
	}{
		{config.Restart{Mode: config.RestartNo}, code(0), 0, completed},
		{config.Restart{Mode: config.RestartNo}, code(1), 0, failed},
		{config.Restart{Mode: config.RestartNo}, code(3), 0, completed}, // a success code
		{config.Restart{Mode: config.RestartNo}, child.Exit{Signal: 3}, 0, failed},
		{config.Restart{Mode: config.RestartNo}, child.Exit{Signal: 15}, 0, failed},
		{config.Restart{Mode: config.RestartAlways}, code(0), 99, retry},
		{config.Restart{Mode: config.RestartAlways}, code(1), 99, retry},
		{config.Restart{Mode: config.RestartOnFailure}, code(0), 0, completed},
		{config.Restart{Mode: config.RestartOnFailure}, code(1), 9999, retry},
		{config.Restart{Mode: config.RestartOnFailure, Max: 2}, code(1), 1, retry},
		{config.Restart{Mode: config.RestartOnFailure, Max: 2}, code(1), 2, giveUp},
		{config.Restart{Mode: config.RestartOnFailure, Max: 2}, code(0), 2, completed},
	} {
		policy := config.DefaultProgram("web").Policy
		policy.Restart, policy.SuccessExitCodes = c.restart, []int{0, 3}
		if got := judge(&policy, c.exit, c.restarts); got != c.want {
			t.Errorf("%+v, %+v after %d restarts: %v, want %v", c.restart, c.exit, c.restarts, got, c.want)
		}
	}
}
