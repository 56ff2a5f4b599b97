package child

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Stopped takes the news that job control stopped the process, and returns the
// signal that did; 0: there is no such news. waitid(2) without WEXITED leaves
// the end of the process to the reaper. SIGCHLD says when to ask.
func (p *Process) Stopped() syscall.Signal {
	p.reaper.mu.Lock()
	defer p.reaper.mu.Unlock()
	if p.reaper.procs[p.pid] != p {
		return 0
	}
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, p.pid, &info, unix.WSTOPPED|unix.WNOHANG, nil); err != nil {
		return 0 // EINTR cannot be: it does not wait
	}
	return syscall.Signal((*childInfo)(unsafe.Pointer(&info)).child.status)
}

// Terminal is our controlling terminal, shared with a process that was started
// with Spec.Terminal. The caller ignores SIGTTOU, which the kernel otherwise
// answers a background group with that changes the foreground group.
type Terminal struct{ file, own, command int }

// Terminal returns the terminal on f, nil if it is not our controlling one.
func (p *Process) Terminal(f *os.File) *Terminal {
	t := &Terminal{file: int(f.Fd()), own: unix.Getpgrp(), command: p.pid}
	if _, err := t.foreground(); err != nil {
		return nil
	}
	return t
}

func (t *Terminal) foreground() (int, error) { return unix.IoctlGetInt(t.file, unix.TIOCGPGRP) }

// Give makes the process's group the foreground group, if ours is, and reports
// whether it is now.
func (t *Terminal) Give() bool { return t.move(t.own, t.command) }

// Take makes our group the foreground group, if the process's is, dead or alive.
func (t *Terminal) Take() { t.move(t.command, t.own) }

// move does nothing when a third group has the terminal: that of a shell, say,
// which has sent us into the background. It reports whether to has it now.
func (t *Terminal) move(from, to int) bool {
	now, err := t.foreground()
	if err == nil && now == from {
		err = unix.IoctlSetPointerInt(t.file, unix.TIOCSPGRP, to) // ESRCH: the process is gone
		now = to
	}
	return err == nil && now == to
}

// Suspend stops our own group, as the terminal would have done had the process
// been in it, and returns when it is continued, or soon before. It does nothing
// and returns false where no job-control shell would continue us: as PID 1, and
// in an orphaned process group (setpgid(2)).
//
// SIGTSTP would leave that decision to the kernel, but the Go runtime never
// gives it its default action back once it has been notified of.
func (t *Terminal) Suspend() bool { return watchedOver() && unix.Kill(0, unix.SIGSTOP) == nil }

// watchedOver: the first of our ancestors outside our group is in our session.
func watchedOver() bool {
	group, parent := unix.Getpgrp(), os.Getppid()
	for parent > 0 {
		if g, err := unix.Getpgid(parent); err != nil || g != group {
			break
		}
		st, err := readStat(parent)
		if err != nil {
			return false
		}
		parent = st.parent
	}
	own, err := unix.Getsid(0)
	if err != nil || parent <= 0 {
		return false
	}
	session, err := unix.Getsid(parent)
	return err == nil && session == own
}
