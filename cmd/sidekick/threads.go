package main

import (
	"runtime"
	"sync"
)

// spareThreads is more than were ever seen to be needed at a time: one for each
// blocking system call, a few for the runtime itself.
const spareThreads = 16

// makeThreads has the Go runtime make threads while it can. It keeps threads
// and uses them again, but ends the process when it needs one more and cannot
// have it (runtime.newosproc): when a program has taken all that the pids limit
// of the container allows, say.
func makeThreads() {
	var all, made sync.WaitGroup
	release := make(chan struct{})
	made.Add(spareThreads)
	for range spareThreads {
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
