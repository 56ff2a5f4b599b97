package child

import (
	"errors"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Adopt makes orphans below this process its children (PR_SET_CHILD_SUBREAPER,
// prctl(2)); PID 1 of a namespace gets them anyway.
func Adopt() error {
	if os.Getpid() == 1 {
		return nil
	}
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// CloseOnExec marks every inherited descriptor above 2, so that no program
// gets it. close_range(2) with CLOSE_RANGE_CLOEXEC is Linux 5.11; before that
// /proc/self/fd is walked.
func CloseOnExec() {
	if unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}

// Childless reports that no child is left, dead or alive.
func (r *Reaper) Childless() bool {
	_, err := peek(unix.P_ALL, 0)
	return errors.Is(err, unix.ECHILD)
}

// Sweep signals everything that is left: as PID 1 the whole namespace, which
// is what kill(-1) means there; else our own descendants and nobody else.
func (r *Reaper) Sweep(sig syscall.Signal) {
	if os.Getpid() == 1 {
		_ = unix.Kill(-1, sig) // ESRCH: nobody is left
		return
	}
	for _, pid := range descendants(os.Getpid()) {
		signalDescendant(pid, sig)
	}
}

// descendants lists the living processes below root.
func descendants(root int) []int {
	pids, err := allPids()
	if err != nil {
		return nil
	}
	children := map[int][]int{}
	for _, pid := range pids {
		if st, err := readStat(pid); err == nil && !st.dead() {
			children[st.parent] = append(children[st.parent], pid)
		}
	}
	var found []int
	for next := children[root]; len(next) > 0; {
		found = append(found, next...)
		var below []int
		for _, pid := range next {
			below = append(below, children[pid]...)
		}
		next = below
	}
	return found
}

// signalDescendant pins the process with a pidfd and looks once more whose
// child it is: the number may have changed hands since /proc was read.
func signalDescendant(pid int, sig syscall.Signal) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if below(pid, os.Getpid()) {
		_ = unix.PidfdSendSignal(fd, sig, nil, 0) // ESRCH: it ended by itself
	}
}

// below reports whether pid descends from root.
func below(pid, root int) bool {
	for pid > 1 {
		st, err := readStat(pid)
		if err != nil {
			return false
		}
		if st.parent == root {
			return true
		}
		pid = st.parent
	}
	return false
}
