package supervisor

// event is what happened to a program, or what is asked of it.
type event uint8

const (
	evStart        event = iota // command: up
	evStop                      // command: down
	evRestart                   // command: down, then up
	evKill                      // the shutdown has no time left
	evDepsMet                   // every dependency's condition holds
	evDepsFailed                // one can no longer come true
	evLaunched                  // the command is executed
	evLaunchFailed              // it could not be; reads verdict
	evReady                     // all checks pass for the first time, or READY=1
	evFailed                    // its check or its start failed while it lives
	evDrained                   // its keys are gone, and the drain time is over
	evExited                    // the leader ended; reads groupEmpty and verdict
	evGroupEmpty                // the last of its group ended; reads verdict
	evElapsed                   // the timer of the phase
)

var eventNames = [...]string{"start", "stop", "restart", "kill", "deps-met", "deps-failed", "launched",
	"launch-failed", "ready", "failed", "drained", "exited", "group-empty", "elapsed"}

func (e event) String() string { return eventNames[e] }

// input is an event with the few facts that step reads beside it.
type input struct {
	event      event
	groupEmpty bool
	verdict    verdict
}

// effect is what the loop has to carry out. Entering a phase cancels the timer
// of the phase before, so no effect does.
type effect uint8

const (
	doLaunch  effect = iota // fork and exec, in a goroutine of its own
	doDrain                 // take the keys out of etcd, wait for consumers to see it
	doAsk                   // send the stop signal
	doSweep                 // send the stop signal to what is left of the group
	doKill                  // send SIGKILL
	doArm                   // start the timer of the phase: min_uptime, backoff, grace
	doForgive               // forget earlier failures: an operator asked for the start
	doCount                 // count a restart
)

var effectNames = [...]string{"launch", "drain", "ask", "sweep", "kill", "arm", "forgive", "count"}

func (e effect) String() string { return effectNames[e] }

// position is where a program stands.
type position struct {
	phase phase
	want  Want
}

// step is the whole state machine: no clock, no goroutine, no system call, no
// logger. It is total; what a phase does not mention changes nothing.
func step(at position, in input) (position, []effect) {
	switch at.phase {
	case stopped:
		return stepStopped(at, in)
	case launching:
		return stepLaunching(at, in)
	case starting, running:
		return stepAlive(at, in)
	case draining:
		return stepDraining(at, in)
	case stopping:
		return stepStopping(at, in)
	case failing:
		return stepFailing(at, in)
	case backoff:
		return stepBackoff(at, in)
	case exited, fatal:
		return stepEnded(at, in)
	}
	panic("supervisor: unknown phase")
}

func stepStopped(at position, in input) (position, []effect) {
	switch in.event {
	case evStart, evRestart:
		if at.want == Down {
			return position{stopped, Up}, []effect{doForgive}
		}
	case evStop, evKill:
		return position{stopped, Down}, nil
	case evDepsMet:
		if at.want == Up {
			return position{launching, Up}, []effect{doLaunch}
		}
	case evDepsFailed:
		if at.want == Up {
			return position{fatal, Up}, nil
		}
	}
	return at, nil
}

// stepLaunching: a stop cannot reach a process that does not exist yet, so it
// is remembered in want until the launch has ended either way.
func stepLaunching(at position, in input) (position, []effect) {
	switch in.event {
	case evStart, evRestart:
		return position{launching, Up}, nil
	case evStop, evKill:
		return position{launching, Down}, nil
	case evLaunched:
		if at.want == Down {
			return position{stopping, Down}, []effect{doAsk, doArm}
		}
		return position{starting, Up}, []effect{doArm}
	case evLaunchFailed:
		if at.want == Down {
			return position{stopped, Down}, nil
		}
		return settle(in.verdict)
	}
	return at, nil
}

func stepAlive(at position, in input) (position, []effect) {
	switch in.event {
	case evStop:
		return position{draining, Down}, []effect{doDrain}
	case evRestart:
		return position{draining, Up}, []effect{doForgive, doDrain}
	case evKill:
		return position{stopping, Down}, []effect{doKill}
	case evElapsed, evReady:
		return position{running, at.want}, nil
	case evFailed:
		return position{failing, Up}, []effect{doAsk, doArm}
	case evExited:
		if in.groupEmpty {
			return settle(in.verdict)
		}
		return position{failing, Up}, []effect{doSweep, doArm}
	}
	return at, nil
}

func stepDraining(at position, in input) (position, []effect) {
	switch in.event {
	case evStart, evRestart:
		return position{draining, Up}, []effect{doForgive}
	case evStop:
		return position{draining, Down}, nil
	case evKill:
		return position{stopping, Down}, []effect{doKill}
	case evDrained:
		return position{stopping, at.want}, []effect{doAsk, doArm}
	case evExited:
		if in.groupEmpty {
			return position{stopped, at.want}, nil
		}
		return position{stopping, at.want}, []effect{doSweep, doArm}
	}
	return at, nil
}

func stepStopping(at position, in input) (position, []effect) {
	switch in.event {
	case evStart, evRestart:
		return position{stopping, Up}, []effect{doForgive}
	case evStop:
		return position{stopping, Down}, nil
	case evKill:
		return position{stopping, Down}, []effect{doKill}
	case evElapsed:
		return at, []effect{doKill}
	case evExited:
		if in.groupEmpty {
			return position{stopped, at.want}, nil
		}
		return at, []effect{doSweep}
	case evGroupEmpty:
		return position{stopped, at.want}, nil
	}
	return at, nil
}

// stepFailing: the verdict on the end waits until the leader and its group are
// gone. A command makes it void: then it is as if we had ended the program.
func stepFailing(at position, in input) (position, []effect) {
	switch in.event {
	case evStart, evRestart:
		return position{stopping, Up}, []effect{doForgive, doArm}
	case evStop:
		return position{stopping, Down}, []effect{doArm}
	case evKill:
		return position{stopping, Down}, []effect{doKill}
	case evElapsed:
		return at, []effect{doKill}
	case evExited:
		if in.groupEmpty {
			return settle(in.verdict)
		}
		return at, []effect{doSweep}
	case evGroupEmpty:
		return settle(in.verdict)
	}
	return at, nil
}

func stepBackoff(at position, in input) (position, []effect) {
	switch in.event {
	case evStart, evRestart:
		return position{stopped, Up}, []effect{doForgive}
	case evStop, evKill:
		return position{stopped, Down}, nil
	case evElapsed:
		return position{launching, Up}, []effect{doLaunch}
	}
	return at, nil
}

func stepEnded(at position, in input) (position, []effect) {
	switch in.event {
	case evStart, evRestart:
		return position{stopped, Up}, []effect{doForgive}
	case evStop, evKill:
		return position{at.phase, Down}, nil
	}
	return at, nil
}

// settle carries a verdict out once nothing of the program lives.
func settle(v verdict) (position, []effect) {
	switch v {
	case retry:
		return position{backoff, Up}, []effect{doCount, doArm}
	case giveUp:
		return position{fatal, Up}, nil
	}
	return position{exited, Up}, nil
}
