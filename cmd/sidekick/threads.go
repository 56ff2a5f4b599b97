package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// spareThreads is more than were ever seen to be needed at a time: one for each
// blocking system call, a few for the runtime itself.
const spareThreads = 16

// makeThreads has the Go runtime make threads while it can. It keeps threads
// and uses them again, but ends the process when it needs one more and cannot
// have it (runtime.newosproc): when a program has taken all that the pids limit
// of the container allows, say. Where little is allowed it makes fewer, for it
// must not be what ends the process.
func makeThreads() {
	n := min(spareThreads, allowedThreads()/4)
	var all, made sync.WaitGroup
	release := make(chan struct{})
	made.Add(n)
	for range n {
		all.Go(func() { // ends when all of them have a thread
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			made.Done()
			<-release
		})
	}
	made.Wait()
	close(release)
	all.Wait()
}

// allowedThreads is the smaller of two limits: of the user's processes, and of
// the container's, which stands where a container sees its own cgroup (cgroup v2,
// then v1). A limit that cannot be read is none.
func allowedThreads() int {
	allowed := 1 << 20
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NPROC, &limit) == nil && limit.Cur < uint64(allowed) {
		allowed = int(limit.Cur)
	}
	for _, path := range []string{"/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"} {
		data, err := os.ReadFile(path)
		if n, bad := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && bad == nil {
			return min(allowed, n)
		}
	}
	return allowed
}
