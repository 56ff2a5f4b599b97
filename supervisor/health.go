package supervisor

import (
	"slices"
	"time"

	"sidekick/config"
	"sidekick/events"
)

func (r CheckResult) handle(s *Supervisor) {
	p := s.byName[r.Program]
	if p == nil || r.Launch != p.launch || r.Index >= len(p.checks) {
		return // of a life that is over
	}
	s.checked(p, &p.checks[r.Index], r.CheckStatus)
}

// checked takes the word of a check over and does what follows from it.
func (s *Supervisor) checked(p *program, check *CheckStatus, now CheckStatus) {
	if check.Status != now.Status {
		s.options.Log.Info("program health", "program", p.name, "status", string(now.Status), "output", now.Output)
		s.options.Event(events.Event{Type: events.Health, Program: p.name, From: string(check.Status),
			To: string(now.Status), Reason: now.Output})
	} else {
		now.Since = check.Since // it is news of another kind
	}
	*check = now
	s.dirty = true
	switch {
	case now.Status == Healthy:
		p.answered = true
		if p.healthy() && !p.config.Launch.Notify {
			s.apply(p, input{event: evReady}, "")
		}
	case now.Status == Unhealthy && p.mayFail():
		s.fail(p, "unhealthy: "+now.Output)
	}
}

// mayFail is the rule of on_failure: restart. A program that has not answered
// yet is given the time it takes, unless start_period says how long that is.
func (p *program) mayFail() bool {
	policy := &p.config.Policy
	patient := slices.ContainsFunc(policy.Checks, func(c config.Check) bool { return c.StartPeriod > 0 })
	return policy.RestartUnhealthy && (p.answered || patient)
}

// answersStill is what a reload leaves of answered. A check that asks something
// else now has to pass first: the new question may be a slip in the file, which
// is no reason to end a program that is well.
func (p *program) answersStill(before []config.Check) bool {
	changed := false
	for i, now := range p.config.Policy.Checks[:min(len(before), len(p.config.Policy.Checks))] {
		switch same := now.SameProbe(before[i]); {
		case !same:
			changed = true
		case p.checks[i].Status == Healthy:
			return p.answered
		}
	}
	return p.answered && (!changed || p.watchdog != nil && p.watchdog.check.Status == Healthy)
}

// Message is what a program says of itself on its notify socket (sd_notify(3)).
type Message struct{ Ready, Stopping, Watchdog bool }

// maxEarly bounds the messages that are kept until the launch is known to have
// succeeded.
const maxEarly = 16

// notified is a message of one launch.
type notified struct {
	p       *program
	launch  uint64
	message Message
}

func (m notified) handle(s *Supervisor) {
	p := m.p
	if m.launch != p.launch {
		return
	}
	if p.at.phase == launching && len(p.early) < maxEarly {
		p.early = append(p.early, m.message) // it was quicker than the word of its start
		return
	}
	if !p.leader {
		return
	}
	if m.message.Ready {
		s.apply(p, input{event: evReady}, "")
	}
	if m.message.Stopping && !p.bowsOut {
		p.bowsOut, s.dirty = true, true
	}
	if p.watchdog != nil && (m.message.Watchdog || m.message.Ready) {
		s.feed(p)
	}
}

// watchdog waits for WATCHDOG=1, from READY=1 on.
type watchdog struct {
	period time.Duration
	check  CheckStatus
	timer  *time.Timer
	meals  uint64 // how often it was fed
}

func (w *watchdog) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// feed starts the watchdog's time anew.
func (s *Supervisor) feed(p *program) {
	w := p.watchdog
	w.stop()
	w.meals++
	m := starved{p, p.launch, w.meals}
	w.timer = time.AfterFunc(w.period, func() { s.post(m) })
	if w.check.Status != Healthy {
		s.checked(p, &w.check, CheckStatus{Status: Healthy, Output: "WATCHDOG=1", Since: time.Now()})
	}
}

// starved is the end of the watchdog's time.
type starved struct {
	p      *program
	launch uint64
	meals  uint64
}

func (m starved) handle(s *Supervisor) {
	w := m.p.watchdog
	if m.launch != m.p.launch || w == nil || w.meals != m.meals {
		return // it was fed since
	}
	s.checked(m.p, &w.check, CheckStatus{
		Status: Unhealthy, Output: "no WATCHDOG=1 for " + w.period.String(), Since: time.Now(),
	})
}
