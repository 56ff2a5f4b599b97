package supervisor

import (
	"slices"

	"sidekick/config"
	"sidekick/supervisor/child"
)

// Want is what the operator wants of a program. It stands beside the phase:
// a command changes the want at once, the phase follows.
type Want uint8

// The wants.
const (
	Down Want = iota
	Up
)

func (w Want) String() string { return [...]string{"down", "up"}[w] }

// phase is what a program is doing. Several phases are one State to the user.
type phase uint8

const (
	stopped   phase = iota // nothing runs; with want up it waits for a dependency
	launching              // fork and exec are under way
	starting               // it runs, not yet long enough to count
	running                // it runs
	draining               // it runs; its keys are being taken out of etcd
	stopping               // we ended it; something of it still lives
	failing                // it ended by itself or failed its check; something of it still lives
	backoff                // waits for its next start
	exited                 // it ended by itself and is not to be restarted
	fatal                  // it failed for good
)

var phaseNames = [...]string{"stopped", "launching", "starting", "running", "draining",
	"stopping", "failing", "backoff", "exited", "fatal"}

func (p phase) String() string { return phaseNames[p] }

// live: a process of the program exists or is being made.
func (p phase) live() bool { return p >= launching && p <= failing }

// State is the word users see, supervisord's.
type State string

// The states.
const (
	Stopped  State = "STOPPED"
	Starting State = "STARTING"
	Running  State = "RUNNING"
	Backoff  State = "BACKOFF"
	Stopping State = "STOPPING"
	Exited   State = "EXITED"
	Fatal    State = "FATAL"
)

// States lists them all.
var States = [...]State{Stopped, Starting, Running, Backoff, Stopping, Exited, Fatal}

func (p phase) state() State {
	switch p {
	case launching, starting:
		return Starting
	case running:
		return Running
	case draining, stopping, failing:
		return Stopping
	case backoff:
		return Backoff
	case exited:
		return Exited
	case fatal:
		return Fatal
	}
	return Stopped
}

// verdict is what the restart policy says of an end.
type verdict uint8

const (
	retry     verdict = iota // start it again
	completed                // it ended well, and that is all
	failed                   // it ended badly, and that is all
	giveUp                   // it was restarted often enough
)

var verdictNames = [...]string{"retry", "completed", "failed", "give-up"}

func (v verdict) String() string { return verdictNames[v] }

// succeeded: the exit code decides, not the time. 143 stands for SIGTERM as well.
func succeeded(policy *config.Policy, exit child.Exit) bool {
	return slices.Contains(policy.SuccessExitCodes, exit.Status())
}

// judge says what follows an exit after the given number of restarts in a row.
func judge(policy *config.Policy, exit child.Exit, restarts int) verdict {
	ok := succeeded(policy, exit)
	switch {
	case policy.Restart.Mode == config.RestartAlways:
		return retry
	case ok:
		return completed
	}
	return judgeFailure(policy, restarts, failed)
}

// judgeLaunch says what follows a command that could not be executed.
func judgeLaunch(policy *config.Policy, restarts int) verdict {
	return judgeFailure(policy, restarts, giveUp)
}

func judgeFailure(policy *config.Policy, restarts int, never verdict) verdict {
	switch limit := policy.Restart.Max; {
	case policy.Restart.Mode == config.RestartNo:
		return never
	case policy.Restart.Mode == config.RestartOnFailure && limit > 0 && restarts >= limit:
		return giveUp
	}
	return retry
}
