package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// usualSockets are tried in this order where nothing else is named. A scratch
// image has only /dev/shm.
func usualSockets() []string {
	return []string{"/run/sidekick.sock", "/tmp/sidekick.sock", "/dev/shm/sidekick.sock"}
}

// Candidates lists where the socket may be: what is configured, else
// $SIDEKICK_SOCKET, else the usual places.
func Candidates(configured string, lookup func(string) (string, bool)) []string {
	if configured != "" {
		return []string{configured}
	}
	if path, ok := lookup("SIDEKICK_SOCKET"); ok && path != "" {
		return []string{path}
	}
	return usualSockets()
}

// Listen binds the first of the paths that it can. The error tells of each why
// it could not.
func Listen(paths []string, mode fs.FileMode) (net.Listener, error) {
	var problems []error
	for _, path := range paths {
		l, err := listen(path, mode)
		if err == nil {
			return l, nil
		}
		problems = append(problems, err)
	}
	return nil, errors.Join(problems...)
}

// dialTimeout bounds a connect to a socket that somebody may hold and not serve.
const dialTimeout = time.Second

// listen binds path, in place of a socket that nobody listens on any more. A
// live socket is never taken from its owner.
func listen(path string, mode fs.FileMode) (net.Listener, error) {
	l, err := bind(path, mode)
	if !errors.Is(err, unix.EADDRINUSE) {
		return l, err
	}
	// connect(2) to a file that is no socket is refused as well.
	if info, statErr := os.Lstat(path); statErr == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s: is in the way and no socket", path)
	}
	conn, dialErr := net.DialTimeout("unix", path, dialTimeout)
	if dialErr == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%s: another process listens on it", path)
	}
	if !errors.Is(dialErr, unix.ECONNREFUSED) {
		return nil, fmt.Errorf("%s: in use: %w", path, dialErr)
	}
	if err := os.Remove(path); err != nil {
		return nil, fmt.Errorf("cannot remove the stale socket: %w", err)
	}
	return bind(path, mode)
}

// socketConfig sets the mode on the socket before bind(2) creates the file: Linux
// makes the file with the mode of the socket's inode, less the umask (unix(7) does
// not tell, unix_bind in net/unix/af_unix.c does).
func socketConfig(mode fs.FileMode) net.ListenConfig {
	return net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var chmodErr error
		err := raw.Control(func(fd uintptr) { chmodErr = unix.Fchmod(int(fd), uint32(mode.Perm())) })
		return errors.Join(err, chmodErr)
	}}
}

// bind makes a socket that never has a wider mode; the chmod after it only
// restores what the umask took.
func bind(path string, mode fs.FileMode) (net.Listener, error) {
	config := socketConfig(mode)
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode.Perm()); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// peer returns who is at the other end of a connection (SO_PEERCRED, unix(7)).
// Its Pid is 0 when the peer lives in a pid namespace that we cannot see.
func peer(conn net.Conn) (*unix.Ucred, error) {
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("%T is no unix socket", conn)
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, err
	}
	return cred, credErr
}

// admits is the server's rule: root and its own user, whose effective id is own.
func admits(cred *unix.Ucred, own uint32) bool {
	return cred.Uid == 0 || cred.Uid == own
}

// trusts is the client's rule: who could have put a socket there to deceive us?
// Root may talk to anybody; others trust root, themselves, and PID 1 of their own
// namespace, and nobody of another pid namespace.
func trusts(cred *unix.Ucred, own uint32) bool {
	switch {
	case own == 0:
		return true
	case cred.Pid == 0:
		return false
	}
	return cred.Uid == 0 || cred.Uid == own || cred.Pid == 1
}
