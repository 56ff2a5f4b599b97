package supervisor

import (
	"time"

	"golang.org/x/sys/unix"
)

// stage is how far a shutdown has come.
type stage uint8

const (
	up          stage = iota // no shutdown
	withdrawing              // the keys are being taken out of the registry
	stopOrdered              // dependants stop before what they depend on
	stopAll                  // no time for order: everybody has the stop signal
	killAll                  // no time left
)

// shutdown is the state of the container's end. The loop owns it.
type shutdown struct {
	stage    stage
	code     int
	deadline time.Time
	killAt   time.Time
	strays   time.Time // when what is left of all programs is killed; zero: none seen yet
	over     bool
}

// What is left of shutdown_timeout when order ends, and when grace ends.
const (
	orderMargin = 2 * time.Second
	killMargin  = 500 * time.Millisecond
	strayGrace  = time.Second // for processes that left their program's group
	strayPoll   = 10 * time.Millisecond
)

// Shutdown ends everything in order; called again it kills. why is for the log.
func (s *Supervisor) Shutdown(why string) { s.post(shutdownRequest{why}) }

type shutdownRequest struct{ why string }

func (m shutdownRequest) handle(s *Supervisor) {
	if s.down.stage == up {
		s.shutdown(0, m.why)
		return
	}
	s.options.Log.Warn("killing what is left", "reason", m.why)
	s.enter(killAll)
}

// shutdown begins the end. One absolute deadline bounds it, and no stage waits
// for a time: each ends as soon as it can.
func (s *Supervisor) shutdown(code int, why string) {
	if s.down.stage != up {
		return
	}
	now, timeout := time.Now(), s.config.ShutdownTimeout
	killAfter := timeout - min(killMargin, timeout/2)
	s.down = shutdown{stage: withdrawing, code: code, deadline: now.Add(timeout), killAt: now.Add(killAfter)}
	s.dirty = true
	s.options.Log.Info("shutting down", "reason", why, "exit_code", code)
	s.after(min(max(timeout-orderMargin, 0), killAfter), enterStage{stopAll})
	s.after(killAfter, enterStage{killAll})
	s.after(timeout, shutdownOver{})
	var withKeys []string
	for _, p := range s.programs {
		if p.at.phase != starting && p.at.phase != running {
			s.apply(p, input{event: evStop}, "shutdown")
		}
		if len(p.config.Policy.Register) > 0 {
			withKeys = append(withKeys, p.name)
		}
	}
	s.withdrawAll(withKeys)
}

func (s *Supervisor) withdrawAll(programs []string) {
	if len(programs) == 0 || s.options.Gate == nil {
		s.enter(stopOrdered)
		return
	}
	wait := s.config.Registry.Drain
	go func() { // ends after at most gateTimeout and wait
		withdraw(s.options.Gate, wait, programs...)
		s.post(enterStage{stopOrdered})
	}()
}

func (s *Supervisor) after(d time.Duration, m message) {
	time.AfterFunc(d, func() { s.post(m) })
}

type enterStage struct{ stage stage }

func (m enterStage) handle(s *Supervisor) { s.enter(m.stage) }

// enter moves the shutdown forward, never back.
func (s *Supervisor) enter(to stage) {
	if to <= s.down.stage {
		return
	}
	s.down.stage = to
	if to != killAll {
		return // settle stops what may be stopped
	}
	for _, p := range s.programs {
		s.apply(p, input{event: evKill}, "shutdown")
	}
	s.options.Kernel.Sweep(unix.SIGKILL)
}

// shutdownOver is the deadline: what cannot be killed is left to the kernel.
type shutdownOver struct{}

func (shutdownOver) handle(s *Supervisor) {
	if !s.down.over {
		s.options.Log.Error("shutdown_timeout is over and not everything is gone")
		s.down.over = true
	}
}

// endStrays ends, after all programs, what left their process groups: asked
// first, then killed.
func (s *Supervisor) endStrays() {
	switch {
	case s.options.Kernel.Childless():
		s.down.over = true
		return
	case s.down.stage == killAll:
		s.options.Kernel.Sweep(unix.SIGKILL) // again: one may have forked in between
	case s.down.strays.IsZero():
		s.down.strays = time.Now().Add(strayGrace)
		s.options.Kernel.Sweep(unix.SIGTERM)
		s.options.Kernel.Sweep(unix.SIGCONT)
	case !time.Now().Before(s.down.strays):
		s.enter(killAll)
	}
	s.after(strayPoll, look{})
}

// look makes the loop look again for what is left.
type look struct{}

func (look) handle(*Supervisor) {}
