package supervisor

import (
	"fmt"

	"sidekick/config"
)

// waitsFor tells what a program that is to start still waits for, "" if for
// nothing, and whether that can no longer come true.
func (s *Supervisor) waitsFor(p *program) (reason string, hopeless bool) {
	for _, d := range p.config.Policy.DependsOn {
		dep := s.byName[d.Program]
		if dep.meets(d.Condition) {
			continue
		}
		if dep.cannotMeet(d.Condition) {
			return fmt.Sprintf("%s: %s can no longer come true, it is %s", d.Program, d.Condition, dep.at.phase.state()), true
		}
		if reason == "" {
			reason = fmt.Sprintf("waiting for %s: %s", d.Program, d.Condition)
		}
	}
	return reason, false
}

// meets: a one-shot that ended well counts as started.
func (p *program) meets(c config.Condition) bool {
	done := p.at.phase == exited && p.verdict == completed
	switch c {
	case config.Completed:
		return done
	case config.Healthy:
		return p.at.phase == running && p.healthy()
	}
	return p.at.phase == running || done
}

func (p *program) cannotMeet(c config.Condition) bool {
	switch p.at.phase {
	case fatal:
		return true
	case exited:
		return p.verdict == failed || c == config.Healthy
	}
	return false
}

// start wants a program up, and what it depends on.
func (s *Supervisor) start(p *program) {
	for _, d := range p.config.Policy.DependsOn {
		if dep := s.byName[d.Program]; !dep.meets(d.Condition) {
			s.start(dep)
		}
	}
	s.apply(p, input{event: evStart}, "")
}

// stopInOrder stops a program of a container that shuts down once nothing that
// depends on it lives, or the time for order is over.
func (s *Supervisor) stopInOrder(p *program) bool {
	if p.at.phase == backoff { // it ended by itself since the shutdown began
		return s.apply(p, input{event: evStop}, "shutdown")
	}
	if s.down.stage < stopOrdered || s.down.stage == stopOrdered && s.hasLiveDependant(p) {
		return false
	}
	switch p.at.phase {
	case starting, running:
		return s.apply(p, input{event: evStop}, "shutdown")
	case draining: // by a command before the shutdown: consumers have the rest of that time
		if s.down.stage >= stopAll {
			return s.apply(p, input{event: evDrained}, "shutdown")
		}
	}
	return false
}

func (s *Supervisor) hasLiveDependant(p *program) bool {
	for _, other := range s.programs {
		if !other.at.phase.live() {
			continue
		}
		for _, d := range other.config.Policy.DependsOn {
			if d.Program == p.name {
				return true
			}
		}
	}
	return false
}
