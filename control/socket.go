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

// Listen binds the first of the paths that it can, with this mode and, if group
// is not nil, for this group. The error tells of each why it could not.
func Listen(paths []string, mode fs.FileMode, group *uint32) (net.Listener, error) {
	var problems []error
	for _, path := range paths {
		l, err := listen(path, mode, group)
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
func listen(path string, mode fs.FileMode, group *uint32) (net.Listener, error) {
	l, err := bind(path, mode, group)
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
	return bind(path, mode, group)
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
// restores what the umask took. Until the group is the right one, none has any
// right.
func bind(path string, mode fs.FileMode, group *uint32) (net.Listener, error) {
	first := mode
	if group != nil {
		first &^= 0o077
	}
	config := socketConfig(first)
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if group != nil {
		if err := os.Chown(path, -1, int(*group)); err != nil {
			_ = l.Close()
			return nil, fmt.Errorf("cannot give the socket to control.group: %w", err)
		}
	}
	if err := os.Chmod(path, mode.Perm()); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}
