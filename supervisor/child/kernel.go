package child

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// childInfo is siginfo_t as waitid fills it (sigaction(2)): three ints, then a
// union that is aligned like a pointer.
type childInfo struct {
	signo, errno, code int32
	child              struct {
		_      [0]uintptr
		pid    int32
		uid    uint32
		status int32
	}
}

// peek returns the pid of a corpse without taking it (waitid with WNOWAIT),
// 0 when none of the children asked for is dead, ECHILD when there is none.
func peek(idType, id int) (int, error) {
	var info unix.Siginfo
	for {
		err := unix.Waitid(idType, id, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, err
		}
		return int((*childInfo)(unsafe.Pointer(&info)).child.pid), nil
	}
}

func wait4(pid int, status *unix.WaitStatus, usage *unix.Rusage) (int, error) {
	for {
		got, err := unix.Wait4(pid, status, unix.WNOHANG, usage)
		if !errors.Is(err, unix.EINTR) {
			return got, err
		}
	}
}

func exitOf(status unix.WaitStatus) Exit {
	if status.Signaled() {
		return Exit{Signal: status.Signal()}
	}
	return Exit{Code: status.ExitStatus()}
}

// cpuTime is the processor time of a process that was waited for, in user and
// kernel mode, with that of the descendants it has waited for itself.
func cpuTime(usage *unix.Rusage) time.Duration {
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// groupExists: kill(2) with signal 0 finds a member, a zombie counting as one.
// EPERM means that a member belongs to another user.
func groupExists(group int) bool {
	return !errors.Is(unix.Kill(-group, 0), unix.ESRCH)
}

// groupAlive looks through /proc for a member that is not a zombie. Without
// /proc it trusts groupExists.
func groupAlive(group int) bool {
	pids, err := allPids()
	if err != nil {
		return true
	}
	for _, pid := range pids {
		if st, err := readStat(pid); err == nil && st.group == group && !st.dead() {
			return true
		}
	}
	return false
}

// stat is what is needed of /proc/PID/stat (proc_pid_stat(5)).
type stat struct {
	state  byte
	parent int
	group  int
}

func (s stat) dead() bool { return s.state == 'Z' || s.state == 'X' }

func readStat(pid int) (stat, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, err
	}
	return parseStat(data)
}

// parseStat splits behind the last ')': the name before it may hold anything.
func parseStat(data []byte) (stat, error) {
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 3 {
		return stat{}, errors.New("/proc/PID/stat is too short")
	}
	parent, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return stat{}, err
	}
	group, err := strconv.Atoi(string(fields[2]))
	if err != nil {
		return stat{}, err
	}
	return stat{state: fields[0][0], parent: parent, group: group}, nil
}

func allPids() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
