package notify

import (
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const patience = 10 * time.Second

func listen(t *testing.T, users ...uint32) (*net.UnixConn, chan Message, *Socket) {
	t.Helper()
	got := make(chan Message, 10)
	address, s, err := Listen(users, func(m Message) { got <- m })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, got, s
}

func TestMessages(t *testing.T) {
	conn, got, _ := listen(t, uint32(os.Getuid()))
	for text, want := range map[string]Message{
		"READY=1":                         {Ready: true},
		"STATUS=up\nREADY=1\n":            {Ready: true},
		"WATCHDOG=1\n":                    {Watchdog: true},
		"STOPPING=1\nWATCHDOG=1":          {Stopping: true, Watchdog: true},
		"MAINPID=5\nREADY=1\nFDSTORE=1\n": {Ready: true},
	} {
		// What is not understood comes before, and must not be delivered.
		for _, m := range []string{"READY=0", "XREADY=1", "", "READY=1 ", text} {
			if _, err := conn.Write([]byte(m)); err != nil && m != "" {
				t.Fatal(err)
			}
		}
		select {
		case m := <-got:
			if m != want {
				t.Errorf("%q: got %+v", text, m)
			}
		case <-time.After(patience):
			t.Fatalf("%q is not delivered", text)
		}
	}
}

// A process of another user may not speak for the program.
func TestStranger(t *testing.T) {
	stranger, got, s := listen(t, uint32(os.Getuid())+1)
	if _, err := stranger.Write([]byte("READY=1")); err != nil {
		t.Fatal(err)
	}
	raw, err := stranger.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for unread := 1; unread > 0; {
		if err := raw.Control(func(fd uintptr) { unread, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	s.reading.Wait()
	if len(got) > 0 {
		t.Errorf("delivered %+v", <-got)
	}
}

func TestCloseEndsReading(t *testing.T) {
	conn, got, s := listen(t, uint32(os.Getuid()))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.reading.Wait()
	if _, err := conn.Write([]byte("READY=1")); err == nil {
		t.Error("a closed socket takes messages")
	}
	if len(got) > 0 {
		t.Error("delivered after Close")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("READY=1\nSTATUS=x\n")
	f.Fuzz(func(_ *testing.T, text string) { parse(text) })
}
