package supervisorctl

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"sidekick/supervisor"
)

// stateCodes are Supervisor's (supervisor/states.py).
var stateCodes = map[supervisor.State]int{
	supervisor.Stopped:  0,
	supervisor.Starting: 10,
	supervisor.Running:  20,
	supervisor.Backoff:  30,
	supervisor.Stopping: 40,
	supervisor.Exited:   100,
	supervisor.Fatal:    200,
}

// isRunning is Supervisor's RUNNING_STATES. A program that waits for a
// dependency counts as well: it can be stopped and need not be started.
func (p process) isRunning() bool {
	switch p.State {
	case supervisor.Starting, supervisor.Running, supervisor.Backoff:
		return true
	}
	return p.waits()
}

// waits: it starts as soon as it may.
func (p process) waits() bool { return p.State == supervisor.Stopped && p.Want == supervisor.Up }

// isSignallable is Supervisor's SIGNALLABLE_STATES.
func (p process) isSignallable() bool {
	switch p.State {
	case supervisor.Starting, supervisor.Running, supervisor.Stopping:
		return true
	}
	return false
}

// isStopped is Supervisor's STOPPED_STATES.
func isStopped(s supervisor.State) bool {
	return s == supervisor.Stopped || s == supervisor.Exited || s == supervisor.Fatal
}

// info is what getProcessInfo says.
func (s *Server) info(p process, now time.Time) map[string]any {
	spawnErr := s.spawnErr(p)
	stdout, stderr := logFiles(p.Config)
	return map[string]any{
		"name": p.name, "group": p.group, "pid": p.Pid,
		"state": stateCodes[p.State], "statename": string(p.State),
		"start": unixTime(p.started()), "stop": unixTime(p.stopped()), "now": unixTime(now),
		"exitstatus": p.exitStatus(), "spawnerr": spawnErr,
		"logfile": stdout, "stdout_logfile": stdout, "stderr_logfile": stderr,
		"description": p.describe(spawnErr, now),
	}
}

func unixTime(t time.Time) int {
	if t.IsZero() {
		return 0
	}
	return int(t.Unix())
}

// started is when it was started last; zero: never.
func (p process) started() time.Time {
	switch {
	case p.Launch == 0:
		return time.Time{}
	case p.State == supervisor.Starting && p.Started.Before(p.Since):
		return p.Since // it is being executed
	}
	return p.Started
}

// stopped is when the last run ended; zero where that is not known any more.
func (p process) stopped() time.Time {
	if p.Launch == 0 || !isStopped(p.State) && p.State != supervisor.Backoff {
		return time.Time{}
	}
	return p.Since
}

// exitStatus is that of a run that is over, -1 when a signal ended it.
func (p process) exitStatus() int {
	switch {
	case p.Exit == nil || p.State != supervisor.Stopped && p.State != supervisor.Exited:
		return 0
	case p.Exit.Signal != 0:
		return -1
	}
	return p.Exit.Code
}

// spawnErr says why it is not up, in Supervisor's words where it has some.
func (s *Server) spawnErr(p process) string {
	switch p.State {
	case supervisor.Exited:
		if !p.Completed {
			return fmt.Sprintf("Bad exit code %d", p.exitStatus())
		}
	case supervisor.Backoff, supervisor.Fatal:
		if p.Exit == nil {
			if err := s.executable(p); err != nil {
				return err.(*fault).detail
			}
		} else if p.Since.Sub(p.Started) < p.Config.Policy.MinUptime {
			return "Exited too quickly (process log may have details)"
		}
		return p.Reason
	}
	return ""
}

// executable looks for the command's file. The fault is NO_FILE or
// NOT_EXECUTABLE.
func (s *Server) executable(p process) error {
	l := p.Config.Launch
	if l.WorkingDir == "" {
		l.WorkingDir = s.Dir
	}
	switch err := l.ExecutableProblem(l.Env(s.Environ)); {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOENT):
		return faultf(noFile, "can't find command %s", quote(l.Command[0]))
	}
	return faultf(notExecutable, "command at %s is not executable", quote(l.Command[0]))
}

// quote is Python's %r of a string without unusual characters.
func quote(s string) string {
	mark := "'"
	if strings.Contains(s, mark) && !strings.Contains(s, `"`) {
		mark = `"`
	}
	return mark + strings.NewReplacer(`\`, `\\`, mark, `\`+mark).Replace(s) + mark
}

// describe is the last column of `status`.
func (p process) describe(spawnErr string, now time.Time) string {
	switch p.State {
	case supervisor.Running:
		return fmt.Sprintf("pid %d, uptime %s", p.Pid, uptime(now.Unix()-p.Started.Unix()))
	case supervisor.Backoff, supervisor.Fatal:
		if spawnErr == "" {
			return fmt.Sprintf("unknown error (try \"tail %s\")", p.name)
		}
		return spawnErr
	case supervisor.Stopped, supervisor.Exited:
		switch {
		case p.waits() && p.Reason != "":
			return p.Reason
		case p.Launch == 0:
			return "Not started"
		}
		return p.Since.Local().Format("Jan 02 03:04 PM")
	}
	return ""
}

// uptime is Python's str of a timedelta of that many seconds.
func uptime(seconds int64) string {
	seconds = max(seconds, 0)
	days, rest := seconds/86400, seconds%86400
	clock := fmt.Sprintf("%d:%02d:%02d", rest/3600, rest/60%60, rest%60)
	switch days {
	case 0:
		return clock
	case 1:
		return "1 day, " + clock
	}
	return fmt.Sprintf("%d days, %s", days, clock)
}
