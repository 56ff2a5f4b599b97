package child

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernelSigaction is what rt_sigaction(2) takes, as the runtime defines it.
type kernelSigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

const (
	sigDefault = 0
	sigIgnore  = 1
	lastSignal = 64
)

// DefaultSignals sets every ignored signal to its default. Ignored signals stay
// ignored over exec, so a program would inherit what whoever started us ignored.
// The runtime keeps some of those as they are, and does not know signals 32 and
// 33 at all; those it handles are not ignored and are left to it.
func DefaultSignals() {
	for sig := syscall.Signal(1); sig <= lastSignal; sig++ {
		if sig == unix.SIGKILL || sig == unix.SIGSTOP {
			continue
		}
		var action kernelSigaction
		if sigaction(sig, nil, &action) == nil && action.handler == sigIgnore {
			_ = sigaction(sig, &kernelSigaction{handler: sigDefault}, nil) // nothing to be done about it
		}
	}
}

func sigaction(sig syscall.Signal, set, old *kernelSigaction) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig),
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), unsafe.Sizeof(kernelSigaction{}.mask), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// EmptyMask makes sure that programs start without a blocked signal. The runtime
// gives every thread, and so every child, the mask that the process began with,
// and no call changes it for all. So when that mask is not empty, which no
// container runtime leaves behind, the binary is executed anew with an empty one.
func EmptyMask() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var mask unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, nil, &mask); err != nil || mask == (unix.Sigset_t{}) {
		return err
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil); err != nil {
		return err
	}
	return unix.Exec("/proc/self/exe", os.Args, os.Environ())
}
