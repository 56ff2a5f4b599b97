package child

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"

	"sidekick/supervisor/child/shim"
)

// What a process is given before its first instruction; see package shim.
type (
	Setup  = shim.Setup
	Rlimit = shim.Rlimit
	Caps   = shim.Caps
	Cap    = shim.Cap
)

// Unlimited is no limit, as a value of Rlimit.
const Unlimited = ^uint64(0)

// errSilent: the shim ended without a word, so somebody killed it.
var errSilent = errors.New("cannot set the program up: the helper process ended before it executed the program")

// SetupError is a step of a Setup that is impossible.
type SetupError struct {
	Step string // such as "set nice -5"
	Err  error  // a syscall.Errno
	Hint string // what it needs, or ""
}

func (e *SetupError) Error() string {
	text := "cannot " + e.Step + ": " + e.Err.Error()
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

func (e *SetupError) Unwrap() error { return e.Err }

// explain makes an error of what the shim reports.
func explain(s *Setup, f *shim.Failure) error {
	errno := syscall.Errno(f.Errno)
	if f.Step == shim.Chdir || f.Step == shim.Exec {
		return errno
	}
	e := &SetupError{Step: "read the request", Err: errno}
	switch f.Step {
	case shim.OOMScoreAdj:
		e.Step = "set oom_score_adj " + strconv.Itoa(*s.OOMScoreAdj)
	case shim.SetRlimit:
		l := s.Rlimits[f.Detail]
		e.Step = fmt.Sprintf("set ulimit %s to %s", limitName(l), limitValue(l))
	case shim.Nice:
		e.Step = "set nice " + strconv.Itoa(*s.Nice)
	case shim.SetGroups:
		e.Step = fmt.Sprintf("set the supplementary groups %v", s.Groups)
	case shim.SetGID:
		e.Step = fmt.Sprintf("become group %d", *s.GID)
	case shim.SetUID:
		e.Step = fmt.Sprintf("become user %d", *s.UID)
	case shim.NoNewPrivileges:
		e.Step = "set no_new_privileges"
	case shim.KeepCaps, shim.SetCaps:
		e.Step = "set the capabilities"
	case shim.AddCap, shim.RaiseCap:
		e.Step = "add " + capName(s.Caps.Add, f.Detail)
	case shim.DropCap:
		e.Step = "drop " + capName(s.Caps.Drop, f.Detail)
		if s.Caps.DropAll {
			e.Step = "drop all capabilities"
		}
	}
	e.Hint = hint(f)
	return e
}

// hint says what a step needs that was refused.
func hint(f *shim.Failure) string {
	if errno := syscall.Errno(f.Errno); errno != syscall.EPERM && errno != syscall.EACCES {
		return ""
	}
	return map[shim.Step]string{
		shim.OOMScoreAdj: "a lower value needs CAP_SYS_RESOURCE",
		shim.SetRlimit:   "a higher hard limit needs CAP_SYS_RESOURCE, and nofile ends at fs.nr_open",
		shim.Nice:        "a lower value needs CAP_SYS_NICE",
		shim.SetGroups:   "it needs CAP_SETGID",
		shim.SetGID:      "it needs CAP_SETGID",
		shim.SetUID:      "it needs CAP_SETUID",
		shim.AddCap:      "sidekick itself does not have it",
		shim.DropCap:     "it needs CAP_SETPCAP",
	}[f.Step]
}

func limitName(l Rlimit) string {
	if l.Name != "" {
		return l.Name
	}
	return strconv.Itoa(l.Resource)
}

func limitValue(l Rlimit) string {
	text := func(n uint64) string {
		if n == Unlimited {
			return "unlimited"
		}
		return strconv.FormatUint(n, 10)
	}
	if l.Soft == l.Hard {
		return text(l.Soft)
	}
	return "soft " + text(l.Soft) + ", hard " + text(l.Hard)
}

func capName(known []Cap, number uint32) string {
	for _, c := range known {
		if c.Number == uint(number) && c.Name != "" {
			return c.Name
		}
	}
	return "capability " + strconv.Itoa(int(number))
}
