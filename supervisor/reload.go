package supervisor

import (
	"context"
	"slices"
	"time"

	"sidekick/config"
)

// reloaded is the reason of what a reload stops or restarts.
const reloaded = "configuration changed"

// Reload swaps the configuration in: removed programs stop, new ones start, a
// program whose Launch changed restarts, everything else changes in place. The
// configuration must have been checked. It does not wait for the outcome.
func (s *Supervisor) Reload(ctx context.Context, c *config.Config) (config.Plan, error) {
	return s.reload(ctx, c, false)
}

// Plan tells what Reload would do now.
func (s *Supervisor) Plan(ctx context.Context, c *config.Config) (config.Plan, error) {
	return s.reload(ctx, c, true)
}

func (s *Supervisor) reload(ctx context.Context, c *config.Config, dryRun bool) (config.Plan, error) {
	reply := make(chan reloadReply, 1)
	s.post(reload{c, dryRun, reply})
	select {
	case r := <-reply:
		return r.plan, r.err
	case <-s.done:
		return config.Plan{}, ErrShuttingDown
	case <-ctx.Done():
		return config.Plan{}, ctx.Err()
	}
}

type reload struct {
	config *config.Config
	dryRun bool
	reply  chan<- reloadReply // buffered
}

type reloadReply struct {
	plan config.Plan
	err  error
}

func (m reload) handle(s *Supervisor) {
	if s.down.stage != up {
		m.reply <- reloadReply{err: ErrShuttingDown}
		return
	}
	plan := s.plan(m.config)
	if m.dryRun {
		m.reply <- reloadReply{plan: plan}
		return
	}
	s.config = m.config
	s.dirty = true
	s.replacePrograms(plan.Relaunched)
	s.options.Log.Info("reloaded", "added", plan.Added, "removed", plan.Removed,
		"restarted", plan.Relaunched, "deferred", plan.Deferred, "retuned", plan.Retuned)
	m.reply <- reloadReply{plan: plan}
}

// plan is what a change to c does. A changed Launch replaces the process, and
// starts what failed for good: that may be what was mended. What an operator
// stopped, or what is completed, is not started.
func (s *Supervisor) plan(c *config.Config) config.Plan {
	plan := config.Diff(s.config, c)
	plan.Defer(func(name string) bool {
		p := s.byName[name]
		return p.at.want == Up && (p.at.phase.live() || p.at.phase == backoff || p.failedForGood())
	})
	return plan
}

// replacePrograms makes the programs those of the configuration. Removed ones
// stay behind them until nothing of them lives.
func (s *Supervisor) replacePrograms(relaunched []string) {
	relaunch := map[string]bool{}
	for _, name := range relaunched {
		relaunch[name] = true
	}
	leaving := s.programs
	s.programs = nil
	var starts []*program // new ones, and those that only autostart held back
	for i := range s.config.Programs {
		c := &s.config.Programs[i]
		p := s.byName[c.Name]
		if p == nil || p.removed {
			starts = append(starts, s.add(c))
		} else {
			if p.untouched() {
				starts = append(starts, p)
			}
			s.programs = append(s.programs, p)
			s.adopt(p, c, relaunch[c.Name])
		}
	}
	for _, p := range leaving {
		if !slices.Contains(s.programs, p) {
			p.removed = true
			s.programs = append(s.programs, p)
			s.apply(p, input{event: evStop}, "removed from the configuration")
		}
	}
	for _, p := range starts {
		if p.config.Policy.Autostart {
			s.start(p)
		}
	}
}

// add makes a program. One of the same name that is still being removed is
// taken over, and starts when it has stopped.
func (s *Supervisor) add(c *config.Program) *program {
	p := s.byName[c.Name]
	if p == nil {
		p = &program{name: c.Name, tally: Tally{Since: time.Now()}}
		s.byName[c.Name] = p
	}
	p.config, p.removed, p.byOperator = c, false, false
	if p.leader {
		p.resizeChecks()
	}
	s.programs = append(s.programs, p)
	return p
}

// adopt swaps a program's configuration. What is being launched restarts when
// its launch is over.
func (s *Supervisor) adopt(p *program, c *config.Program, relaunch bool) {
	before := p.config.Policy.Checks
	p.config = c
	if p.leader {
		p.answered = p.answersStill(before)
		p.resizeChecks()
	}
	if relaunch && p.at.phase != launching {
		s.apply(p, input{event: evRestart}, reloaded)
	}
}

// dropRemoved forgets the removed programs of which nothing lives.
func (s *Supervisor) dropRemoved() {
	s.programs = slices.DeleteFunc(s.programs, func(p *program) bool {
		if !p.removed || p.at.phase.live() {
			return false
		}
		delete(s.byName, p.name)
		s.dirty = true
		return true
	})
}
