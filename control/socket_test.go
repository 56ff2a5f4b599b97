package control

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSocketMode(t *testing.T) {
	old := unix.Umask(0) // the widest: only the mode on the socket itself protects
	defer unix.Umask(old)
	for _, mode := range []fs.FileMode{0o600, 0o660} {
		path := filepath.Join(t.TempDir(), "s.sock")
		config := socketConfig(mode)
		l, err := config.Listen(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("the mode right after bind is %v, %v, want %v", info.Mode(), err, mode)
		}
		l.Close()
	}
}

func TestListen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.sock")
	first, err := Listen([]string{filepath.Join(dir, "no", "s.sock"), path}, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen([]string{path}, 0o600, nil); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("a live socket was taken: %v", err)
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false)
	first.Close()
	second, err := Listen([]string{path}, 0o600, nil)
	if err != nil {
		t.Fatalf("a stale socket is in the way: %v", err)
	}
	defer second.Close()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen([]string{filepath.Join(dir, "file")}, 0o600, nil); err == nil {
		t.Error("a file that is no socket was replaced")
	}
	if _, err := os.Stat(filepath.Join(dir, "file")); err != nil {
		t.Error(err)
	}
}

func TestDialSkipsStaleSockets(t *testing.T) {
	c := serving(t, newFake(running("web", 1)), &fakeRegistrar{})
	stale := filepath.Join(t.TempDir(), "stale.sock")
	l, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	found, err := Dial([]string{stale, "/no/such/socket", c.Socket})
	if err != nil || found.Socket != c.Socket {
		t.Errorf("got %v, %v", found, err)
	}
	if _, err := Dial([]string{stale}); !errors.Is(err, ErrNobodyAnswers) {
		t.Errorf("got %v", err)
	}
}

func TestCandidates(t *testing.T) {
	lookup := func(value string, ok bool) func(string) (string, bool) {
		return func(string) (string, bool) { return value, ok }
	}
	for _, c := range []struct {
		configured string
		lookup     func(string) (string, bool)
		want       string
	}{
		{"/a", lookup("/b", true), "/a"},
		{"", lookup("/b", true), "/b"},
		{"", lookup("", true), "/run/sidekick.sock /tmp/sidekick.sock /dev/shm/sidekick.sock"},
		{"", lookup("", false), "/run/sidekick.sock /tmp/sidekick.sock /dev/shm/sidekick.sock"},
	} {
		if got := strings.Join(Candidates(c.configured, c.lookup), " "); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
