// Package procstat says what the programs use: CPU, memory, threads and open
// files of whole process trees, read from /proc by gopsutil.
package procstat

import (
	"os"
	"time"

	"github.com/shirou/gopsutil/v3/process"
)

// Stat is what one process tree uses: a process and all its descendants that
// live. A process which left its parent (a daemon) belongs to no tree but its own.
type Stat struct {
	// CPUPercent is the processor time that the processes have used, over the
	// time since the root started: 100 is one processor, all the time. What
	// descendants used that have ended is not in it.
	CPUPercent float64 `json:"cpu_percent"`
	// CPUSeconds is the processor time that the processes have used, and those of
	// their descendants that they have waited for (wait4(2)).
	CPUSeconds float64 `json:"cpu_seconds"`
	// MemoryBytes is the resident memory (VmRSS of proc_pid_status(5)). Pages
	// that several processes share count once for each.
	MemoryBytes uint64 `json:"memory_bytes"`
	Threads     int32  `json:"threads"`
	// FDs counts open descriptors, without those of processes whose
	// /proc/PID/fd we may not read (another user's, without CAP_SYS_PTRACE).
	FDs int32 `json:"fds"`
	// Started is when the root started, to about 10 ms, on the system's
	// present clock.
	Started time.Time `json:"started"`
}

// Init lets happen what must happen once, before any other function of this
// package and before anybody waits for children with wait4(-1): the first
// os.FindProcess of a process forks a child to find out whether pidfds work,
// and waits for it; a reaper would take that status away. gopsutil calls
// os.FindProcess at will. Init also lets gopsutil keep the boot time, since it
// otherwise reads /proc/stat, which is slow on a large machine, for every process.
func Init() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Release()
	}
	process.EnableBootTimeCache(true)
}

// Trees returns what the process tree of each pid uses, from one pass over
// /proc. A pid that does not exist is not in the result. Processes come and go
// meanwhile: one that vanishes before it is read counts nothing.
func Trees(pids []int) map[int]Stat {
	children := listChildren()
	stats := make(map[int]Stat, len(pids))
	for _, pid := range pids {
		if stat, ok := tree(int32(pid), children); ok {
			stats[pid] = stat
		}
	}
	return stats
}

// listChildren returns the children of every process that has some.
func listChildren() map[int32][]int32 {
	children := map[int32][]int32{}
	pids, _ := process.Pids() // without /proc there are no processes to see
	for _, pid := range pids {
		if parent, err := of(pid).Ppid(); err == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	return children
}

// of avoids process.NewProcess, which reads /proc three times to see whether
// the process exists and opens a pidfd for it.
func of(pid int32) *process.Process { return &process.Process{Pid: pid} }

// tree sums over root and its descendants, or says that root is gone.
func tree(root int32, children map[int32][]int32) (sum Stat, ok bool) {
	age, err := age(root)
	if err != nil {
		return Stat{}, false
	}
	sum.Started = time.Now().Add(-age)
	var seconds float64
	for _, pid := range descendants(root, children) {
		one, cpu := read(pid)
		sum.MemoryBytes += one.MemoryBytes
		sum.Threads += one.Threads
		sum.FDs += one.FDs
		sum.CPUSeconds += one.CPUSeconds
		seconds += cpu
	}
	// Times are counted in ticks, so a process may seem to be of no age at all.
	sum.CPUPercent = 100 * seconds / max(age, tick).Seconds()
	return sum, true
}

// descendants returns root and all below it. A pid that was used again while
// the list was made could close a circle, so each is taken once.
func descendants(root int32, children map[int32][]int32) []int32 {
	all, taken := []int32{root}, map[int32]bool{root: true}
	for i := 0; i < len(all); i++ {
		for _, child := range children[all[i]] {
			if !taken[child] {
				all, taken[child] = append(all, child), true
			}
		}
	}
	return all
}

// Self returns what this process alone uses.
func Self() Stat {
	pid := int32(os.Getpid())
	sum, _ := tree(pid, nil)
	return sum
}

// read returns what one process uses, and its processor time in seconds. What
// cannot be read counts nothing.
func read(pid int32) (stat Stat, cpu float64) {
	p := of(pid)
	if times, err := readTimes(pid); err == nil {
		cpu, stat.CPUSeconds = times.own.Seconds(), (times.own + times.waited).Seconds()
	}
	if memory, err := p.MemoryInfo(); err == nil {
		stat.MemoryBytes = memory.RSS
	}
	if threads, err := p.NumThreads(); err == nil {
		stat.Threads = threads
	}
	if fds, err := p.NumFDs(); err == nil {
		stat.FDs = fds
	}
	return stat, cpu
}
