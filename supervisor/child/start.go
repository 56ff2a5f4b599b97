package child

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"sidekick/supervisor/child/shim"
)

// Start forks and executes spec. It blocks until the exec succeeded or failed.
// The error is that of fork, chdir or exec, as a syscall.Errno, or a
// *SetupError.
func (r *Reaper) Start(spec Spec) (*Process, error) {
	if spec.Stdin == nil {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return nil, err
		}
		defer null.Close()
		spec.Stdin = null
	}
	if spec.Setup != nil {
		return r.startShim(spec)
	}
	defer r.Wake() // corpses were left alone while the fork was under way
	r.forking.Lock()
	defer r.forking.Unlock()
	return r.fork(spec.Path, spec.Args, &syscall.ProcAttr{
		Dir: spec.Dir, Env: spec.Env, Files: spec.files(), Sys: spec.sys(),
	})
}

func (s *Spec) files() []uintptr {
	return []uintptr{s.Stdin.Fd(), s.Stdout.Fd(), s.Stderr.Fd()}
}

// sys puts the process into its session or group. Foreground takes the terminal
// between fork and exec, while SIGTTOU is blocked; Ctty is our descriptor.
func (s *Spec) sys() *syscall.SysProcAttr {
	if !s.Terminal {
		return &syscall.SysProcAttr{Setsid: true}
	}
	sys := &syscall.SysProcAttr{Setpgid: true, Ctty: int(s.Stdin.Fd())}
	foreground, err := unix.IoctlGetInt(sys.Ctty, unix.TIOCGPGRP) // ENOTTY: no terminal, or not ours
	sys.Foreground = err == nil && foreground == unix.Getpgrp()   // a background job takes it from nobody
	return sys
}

// fork executes and registers. The caller holds forking.
func (r *Reaper) fork(path string, args []string, attr *syscall.ProcAttr) (*Process, error) {
	pid, err := syscall.ForkExec(path, args, attr)
	if err != nil {
		return nil, err
	}
	return r.register(pid), nil
}

// startShim starts through the shim. The lock is not held while it works, and
// its pid is registered from the fork on, so whatever becomes of it is reaped
// as that of any program.
func (r *Reaper) startShim(spec Spec) (*Process, error) {
	p, conn, err := r.forkShim(&spec)
	if err != nil {
		return nil, fmt.Errorf("cannot start %s to set the program up: %w", shim.Executable, err)
	}
	defer conn.Close()
	if err := converse(conn, &spec); err != nil {
		return nil, p.silent(err)
	}
	return p, nil
}

// silent adds to errSilent how the shim ended.
func (p *Process) silent(err error) error {
	if !errors.Is(err, errSilent) {
		return err
	}
	exit, waitErr := p.wait()
	if waitErr != nil {
		return err
	}
	return fmt.Errorf("%w (%s)", err, exit)
}

// forkShim forks the shim; conn is our end of the connection. Its other end
// exists here under the lock only, so that no other child gets a copy and its
// closing is seen at once.
func (r *Reaper) forkShim(spec *Spec) (*Process, *os.File, error) {
	defer r.Wake()
	r.forking.Lock()
	defer r.forking.Unlock()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	defer unix.Close(ends[1])
	p, err := r.fork(shim.Executable, shim.Args(), &syscall.ProcAttr{
		Env: []string{shim.Marker}, Files: append(spec.files(), uintptr(ends[1])), Sys: spec.sys(),
	})
	if err == nil {
		err = unix.SetNonblock(ends[0], true) // for the poller: no thread waits
	}
	if err != nil {
		unix.Close(ends[0])
		return nil, nil, err
	}
	return p, os.NewFile(uintptr(ends[0]), "shim"), nil
}

// converse sends the shim its work and returns what came of it.
func converse(conn *os.File, spec *Spec) error {
	request := shim.Request{Path: spec.Path, Dir: spec.Dir, Args: spec.Args, Env: spec.Env, Setup: *spec.Setup}
	_, _ = conn.Write(request.Send()) // a shim that is gone is seen at the reading
	said, _ := io.ReadAll(conn)
	executed, failure := shim.Outcome(said)
	switch {
	case executed:
		return nil
	case failure != nil:
		return explain(spec.Setup, failure)
	}
	return errSilent
}
