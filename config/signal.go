package config

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The real-time signals a program can use: the kernel has 32..64, glibc and
// musl keep the first for themselves, and Docker counts from 34, too.
const (
	firstRealTime = 34
	lastSignal    = 64
)

// ParseSignal reads a signal as Docker does: a name with or without SIG in
// either case (TERM, sigusr1, RTMIN+3) or a number from 1 to 64.
func ParseSignal(s string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		return signalInRange(s, n)
	}
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	if offset, ok := strings.CutPrefix(name, "SIGRTMIN"); ok {
		return realTime(s, firstRealTime, offset)
	}
	if offset, ok := strings.CutPrefix(name, "SIGRTMAX"); ok {
		return realTime(s, lastSignal, offset)
	}
	return 0, noSignal(s)
}

// realTime adds an offset such as +3 or -1 to a real-time signal.
func realTime(s string, from int, offset string) (syscall.Signal, error) {
	if offset == "" {
		return syscall.Signal(from), nil
	}
	n, err := strconv.Atoi(offset)
	if err != nil || !strings.ContainsAny(offset[:1], "+-") || from+n < firstRealTime {
		return 0, noSignal(s)
	}
	return signalInRange(s, from+n)
}

func signalInRange(s string, n int) (syscall.Signal, error) {
	if n < 1 || n > lastSignal {
		return 0, noSignal(s)
	}
	return syscall.Signal(n), nil
}

func noSignal(s string) error {
	return fmt.Errorf("%s is not a signal: give a name like SIGTERM or a number from 1 to %d", quote(s), lastSignal)
}
