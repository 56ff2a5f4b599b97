package supervisor

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/config"
)

// slack is how far the loop's times may be from ours.
func (w *sim) slack(since time.Time) time.Duration {
	if w.lastStall.After(since) {
		return 30 * time.Second
	}
	return 200 * time.Millisecond
}

// rested: the life was long enough for a new count, surely or perhaps.
// With notify it is none that was never ready.
func (w *sim) rested(life *simProcess, p *config.Program) (surely, perhaps bool) {
	if life == nil || life.failed != nil || life.execAt.IsZero() || p.Launch.Notify && life.readyAt.IsZero() {
		return false, false
	}
	ran, slack, after := life.diedAt.Sub(life.execAt), w.slack(life.execAt), p.Policy.Backoff.ResetAfter
	return (!p.Launch.Notify || life.seenRunning) && ran-slack > after, life.retuned || ran+slack > after
}

func (w *sim) checkDelay(from *ProgramStatus) {
	prog, b := w.programs[from.Name], from.Config.Policy.Backoff
	life := w.life(from)
	if prog.touched || life == nil || life.retuned {
		return
	}
	waited, slack := time.Since(from.Since), w.slack(from.Since)
	surely, perhaps := w.rested(life, from.Config)
	switch {
	case surely && waited > slack:
		w.fail("%s had run for long, and its restart was delayed by %v", from.Name, waited)
	case !perhaps && waited < time.Duration(float64(b.Initial)*(1-b.Jitter))-1:
		w.fail("%s was restarted after %v, backoff begins with %v", from.Name, waited, b.Initial)
	case waited > time.Duration(float64(b.Max)*(1+b.Jitter))+slack:
		w.fail("%s was restarted after %v, backoff ends with %v", from.Name, waited, b.Max)
	}
}

// checkCount: each end counts once, and is followed by one start.
func (w *sim) checkCount(from, to *ProgramStatus, life *simProcess) {
	prog := w.programs[to.Name]
	entered := to.State == Backoff && (from.State != Backoff || from.Launch != to.Launch)
	ended := to.Launch // the launch whose end would be counted now
	if to.State != Backoff && to.State != Stopped {
		ended--
	}
	switch delta := to.Restarts - from.Restarts; {
	case (prog.touched || w.relaunched(from, to)) && to.Restarts <= 1:
		prog.low, prog.high = 0, to.Restarts
		prog.counted = ended * uint64(to.Restarts)
		return
	case delta == 0 && entered && !prog.touched:
		w.fail("%s is to be restarted, and that is not counted", to.Name)
	case delta == 1 && ended <= prog.counted:
		w.fail("%s: the end of launch %d is counted twice", to.Name, ended)
	case delta == 1 && to.State == Backoff && life != nil && !life.reaped:
		w.fail("%s: the end of launch %d is counted, and has not come", to.Name, ended)
	case delta == 1:
		w.countRestart(prog, life, to.Config)
		prog.counted = ended
	case delta != 0:
		w.fail("%s: %d restarts follow %d", to.Name, to.Restarts, from.Restarts)
	}
	prog.high = min(prog.high, to.Restarts)
	if prog.touched {
		prog.low = 0
	}
}

// relaunched: a reload during the launch may have had its effect only now.
func (w *sim) relaunched(from, to *ProgramStatus) bool {
	was, is := w.life(from), w.life(to)
	return to.Restarts < from.Restarts && (was != nil && was.retuned || is != nil && is.retuned)
}

func (w *sim) countRestart(prog *simProgram, life *simProcess, p *config.Program) {
	surely, perhaps := w.rested(life, p)
	if surely {
		prog.high = 0
	}
	if perhaps || prog.touched {
		prog.low = 0
	}
	prog.low++
	prog.high++
}

// checkVerdict reads the contract's restart rules.
func (w *sim) checkVerdict(now *Snapshot, p *ProgramStatus, life *simProcess) {
	prog, policy := w.programs[p.Name], &p.Config.Policy
	if hopeless(p) {
		w.checkHopeless(now, p)
		return
	}
	if prog.touched || life == nil || life.retuned {
		return
	}
	surely, perhaps := w.rested(life, p.Config)
	ok := life.failed == nil && !life.badCheck && succeeded(policy, life.exit)
	want := []State{Backoff}
	switch limit := policy.Restart.Max; {
	case policy.Restart.Mode == config.RestartAlways:
	case ok:
		want = []State{Exited}
	case policy.Restart.Mode == config.RestartNo:
		want = []State{Exited}
		if life.failed != nil {
			want = []State{Fatal}
		}
	case limit > 0 && prog.low >= limit && !perhaps && p.State != Backoff:
		want = []State{Fatal}
	case limit > 0 && prog.high >= limit && !surely:
		want = []State{Fatal, Backoff}
		if p.State == Backoff && prog.low > limit {
			w.fail("%s is restarted for the %dth time, its limit is %d", p.Name, prog.low, limit)
		}
	}
	if !slices.Contains(want, p.State) {
		w.fail("%s is %s after %v (%v), want %v; %d to %d restarts in a row, %+v",
			p.Name, p.State, life.exit, life.failed, want, prog.low, prog.high, policy.Restart)
	}
	if p.State == Exited && p.Completed != ok {
		w.fail("%s: completed is %v after %v", p.Name, p.Completed, life.exit)
	}
}

func (w *sim) checkHopeless(now *Snapshot, p *ProgramStatus) {
	for _, d := range p.Config.Policy.DependsOn {
		for i := range now.Programs {
			o := &now.Programs[i]
			if o.Name == d.Program && (bad(o) || o.State == Exited && d.Condition == config.Healthy || w.programs[o.Name].touched) {
				return
			}
		}
	}
	w.fail("%s is FATAL, and what it waits for can still come true: %s", p.Name, p.Reason)
}

// failureCode is what a failure makes of the container's exit code.
func (w *sim) failureCode(p *ProgramStatus) int {
	life := w.life(p)
	switch {
	case life == nil || hopeless(p):
		return 1
	case errors.Is(life.failed, unix.ENOENT):
		return 127
	case life.failed != nil:
		return 126
	}
	return max(1, life.exit.Status())
}
