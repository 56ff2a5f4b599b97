package control

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// access is what a route needs, and what a peer may do. It stands beside each
// route, so that nobody has to remember a check.
type access uint8

const (
	nothing access = iota // a stranger
	read                  // whoever comes over TCP, where there is nobody to recognise
	control               // changes something: root, our own user, the members of control.group
)

type accessKey struct{}

// may is what the peer of a request may do.
func may(q *http.Request) access {
	a, _ := q.Context().Value(accessKey{}).(access)
	return a
}

// accessOf is the rule of a unix socket; group may be nil.
func accessOf(conn net.Conn, group *uint32) access {
	cred, groups, err := peerGroups(conn)
	if err != nil || !admits(cred, groups, group, uint32(os.Geteuid())) {
		return nothing
	}
	return control
}

// admits is the server's rule: root, its own user, whose effective id is own, and
// whoever is a member of control.group.
func admits(cred *unix.Ucred, groups []uint32, group *uint32, own uint32) bool {
	if cred.Uid == 0 || cred.Uid == own {
		return true
	}
	return group != nil && (cred.Gid == *group || slices.Contains(groups, *group))
}

// peerGroups returns who is at the other end, with the supplementary groups it
// had when it connected. A kernel that does not tell them (before 4.13) knows of
// none.
func peerGroups(conn net.Conn) (cred *unix.Ucred, groups []uint32, err error) {
	err = onSocket(conn, func(fd int) (err error) {
		if cred, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			groups = supplementary(fd)
		}
		return err
	})
	return cred, groups, err
}

// supplementary asks for SO_PEERGROUPS, which x/sys has no function for. The
// length is in bytes; ERANGE comes with the length that is needed.
func supplementary(fd int) []uint32 {
	groups := make([]uint32, 64)
	for {
		length := uint32(len(groups)) * 4
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&length)), 0)
		switch {
		case errno == 0:
			return groups[:length/4]
		case errno != unix.ERANGE || int(length/4) <= len(groups):
			return nil
		}
		groups = make([]uint32, length/4)
	}
}

// peer returns who is at the other end of a connection (SO_PEERCRED, unix(7)).
// Its Pid is 0 when the peer lives in a pid namespace that we cannot see.
func peer(conn net.Conn) (cred *unix.Ucred, err error) {
	err = onSocket(conn, func(fd int) (err error) {
		cred, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		return err
	})
	return cred, err
}

// onSocket does something with the descriptor of a connection.
func onSocket(conn net.Conn, do func(fd int) error) error {
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("%T is no unix socket", conn)
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil {
		return err
	}
	return failed
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
