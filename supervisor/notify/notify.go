// Package notify is the receiving end of sd_notify(3): one socket for one life
// of a program.
package notify

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Message is what is understood of one datagram.
type Message struct{ Ready, Stopping, Watchdog bool }

// Socket receives the messages of one life.
type Socket struct {
	file    *os.File
	reading sync.WaitGroup
}

// Listen opens a socket in the abstract namespace (unix(7)), which needs no
// writable folder, under a name that cannot be guessed, and calls deliver with
// each message that a process of one of the users sent. The address is the
// value of $NOTIFY_SOCKET.
func Listen(users []uint32, deliver func(Message)) (address string, s *Socket, err error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return "", nil, err
	}
	address = "@sidekick/" + rand.Text()
	if err := errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1),
		unix.Bind(fd, &unix.SockaddrUnix{Name: address})); err != nil {
		_ = unix.Close(fd)
		return "", nil, fmt.Errorf("cannot bind %s: %w", address, err)
	}
	s = &Socket{file: os.NewFile(uintptr(fd), "notify")}
	s.reading.Go(func() { s.read(users, deliver) }) // ends with Close
	return address, s, nil
}

// Close ends the reading. It does not wait for it, as deliver may be waiting for
// the caller: one message more may be delivered.
func (s *Socket) Close() error { return s.file.Close() }

// maxMessage is longer than any message that is understood, in bytes.
const maxMessage = 4096

func (s *Socket) read(users []uint32, deliver func(Message)) {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return
	}
	data, control := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	for {
		var n, nc int
		var receiveErr error
		err := raw.Read(func(fd uintptr) bool {
			n, nc, _, _, receiveErr = unix.Recvmsg(int(fd), data, control, unix.MSG_CMSG_CLOEXEC)
			return receiveErr != unix.EAGAIN
		})
		if err != nil || receiveErr != nil && receiveErr != unix.EINTR {
			return
		}
		if receiveErr == nil && slices.Contains(users, sender(control[:nc])) {
			if m := parse(string(data[:n])); m != (Message{}) {
				deliver(m)
			}
		}
	}
}

// nobody is no user's id: (uid_t) -1.
const nobody = ^uint32(0)

// sender is the user that sent a datagram (SCM_CREDENTIALS, unix(7)).
func sender(control []byte) uint32 {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nobody
	}
	for i := range messages {
		if cred, err := unix.ParseUnixCredentials(&messages[i]); err == nil {
			return cred.Uid
		}
	}
	return nobody
}

// parse reads the assignments of a datagram, one a line; unknown ones are
// ignored, as sd_notify(3) has it.
func parse(text string) (m Message) {
	for line := range strings.Lines(text) {
		switch strings.TrimRight(line, "\n") {
		case "READY=1":
			m.Ready = true
		case "STOPPING=1":
			m.Stopping = true
		case "WATCHDOG=1":
			m.Watchdog = true
		}
	}
	return m
}
