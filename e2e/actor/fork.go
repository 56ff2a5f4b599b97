package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// A fork of a Go process has one thread and no scheduler: all that these
// children do are raw system calls in a function that cannot be preempted.

// orphan leaves a grandchild behind, whose parent is gone. The grandchild reads
// from the descriptor, or ends at once without one (-1).
//
//go:nosplit
//go:norace
func orphan(hold, closing uintptr) syscall.Errno {
	pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if pid != 0 {
		syscall.RawSyscall6(syscall.SYS_WAIT4, pid, 0, 0, 0, 0, 0)
		return 0
	}
	pid, _, errno = syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if pid == 0 && errno == 0 && hold != ^uintptr(0) {
		var b [1]byte
		syscall.RawSyscall(syscall.SYS_CLOSE, closing, 0, 0)
		syscall.RawSyscall(syscall.SYS_READ, hold, uintptr(unsafe.Pointer(&b)), 1)
	}
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

// idler is a child that lives until its parent does no longer.
//
//go:nosplit
//go:norace
func idler(hold, closing uintptr) syscall.Errno {
	pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if pid != 0 || errno != 0 {
		return errno
	}
	var b [1]byte
	syscall.RawSyscall(syscall.SYS_CLOSE, closing, 0, 0)
	syscall.RawSyscall(syscall.SYS_READ, hold, uintptr(unsafe.Pointer(&b)), 1)
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

// orphans makes n that end at once.
func orphans(n int) {
	for range n {
		must(orphan(^uintptr(0), 0))
	}
}

// burst makes n that end together when end is called.
func burst(n int) (end func()) {
	r, w := pipe()
	for range n {
		must(orphan(r, w))
	}
	return func() { _ = syscall.Close(int(w)) }
}

// crowd makes as many children as it may, and goes on trying, by system calls
// that the runtime knows nothing of: it would end when it cannot have a thread.
func crowd() {
	r, w := pipe()
	n := 0
	for idler(r, w) == 0 {
		n++
	}
	fmt.Println("full", n)
	pause := syscall.Timespec{Nsec: 1e6}
	for {
		if idler(r, w) != 0 {
			syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&pause)), 0, 0)
		}
	}
}

func pipe() (r, w uintptr) {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	runtime.LockOSThread()
	return uintptr(ends[0]), uintptr(ends[1])
}

func must(errno syscall.Errno) {
	if errno != 0 {
		fmt.Fprintln(os.Stderr, "fork:", errno)
		os.Exit(1)
	}
}
