package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/config"
)

func TestRawFileIsByteExact(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "er", "web.log")
	out := newCapture(t)
	c := NewCollector(out.File, out.File)
	c.Configure(logging("web", config.Logging{To: config.LogFile, Format: config.LogRaw, Path: path}))
	stdout, stderr := open(t, c, "web")
	const text = "one\n\x00\xff\n\ntwo, unfinished"
	io.WriteString(stdout, text)
	stdout.Close()
	stderr.Close()
	closeIn(t, c, end)
	if got, err := os.ReadFile(path); string(got) != text {
		t.Errorf("%q, %v", got, err)
	}
}

// newTestFile is a file that is rotated at 1000 bytes, and what it says.
func newTestFile(t *testing.T, maxFiles int) (f *logFile, said *bytes.Buffer) {
	t.Helper()
	said = &bytes.Buffer{}
	log := slog.New(slog.NewTextHandler(said, nil))
	return &logFile{program: "web", path: filepath.Join(t.TempDir(), "deep", "web.log"), maxSize: 1000, maxFiles: maxFiles,
		owner: func() (int, int, bool) { return 0, 0, false }, log: func() *slog.Logger { return log }}, said
}

// line is a line of 100 bytes.
func line(n int) []byte { return fmt.Appendf(nil, "%099d\n", n) }

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestRotationKeepsSoManyFiles(t *testing.T) {
	f, said := newTestFile(t, 3)
	defer f.close()
	var all []byte
	for n := range 95 {
		all = append(all, line(n)...)
	}
	if lost := f.write(all[:2500], time.Now()) + f.write(all[2500:], time.Now()); lost != 0 || said.Len() > 0 {
		t.Fatalf("%d lines lost, %s", lost, said)
	}
	for n, want := range []string{string(all[9000:]), string(all[8000:9000]), string(all[7000:8000]), string(all[6000:7000])} {
		path := f.path
		if n > 0 {
			path = f.rotated(n)
		}
		if got := content(t, path); got != want {
			t.Errorf("%s has %d bytes, want %d", path, len(got), len(want))
		}
	}
	if exists(f.rotated(4)) {
		t.Error("there is a fourth file")
	}
	f.tune(f.program, f.owner, config.Logging{MaxSize: 1000, MaxFiles: 1})
	f.write(all[:1000], time.Now())
	if exists(f.rotated(2)) || !exists(f.rotated(1)) {
		t.Error("max_files is 1 now, and there are others than web.log.1")
	}
}

// A line that is longer than a file may be has a file of its own, whole.
func TestRotationNeverCutsALine(t *testing.T) {
	f, _ := newTestFile(t, 5)
	defer f.close()
	long := strings.Repeat("x", 2999) + "\n"
	f.write([]byte("before\n"+long+"after\n"), time.Now())
	if a, b, c := content(t, f.rotated(2)), content(t, f.rotated(1)), content(t, f.path); a != "before\n" || b != long || c != "after\n" {
		t.Errorf("%d, %d and %d bytes", len(a), len(b), len(c))
	}
}

// A rotation that fails costs nothing: the file grows on, and it is told once.
func TestRotationThatFails(t *testing.T) {
	f, said := newTestFile(t, 1)
	defer f.close()
	if err := os.MkdirAll(f.rotated(1)+"/something", 0o700); err != nil { // cannot be replaced
		t.Fatal(err)
	}
	for n := range 50 {
		if lost := f.write(line(n), time.Now()); lost != 0 {
			t.Fatalf("%d lines lost", lost)
		}
	}
	if n := strings.Count(said.String(), "cannot write the log file"); n != 1 || len(content(t, f.path)) != 5000 {
		t.Errorf("told %d times, %d bytes:\n%s", n, len(content(t, f.path)), said)
	}
	if err := os.RemoveAll(f.rotated(1)); err != nil {
		t.Fatal(err)
	}
	f.retry = time.Time{} // a second has passed
	f.write(line(50), time.Now())
	if len(content(t, f.path)) != 100 || len(content(t, f.rotated(1))) != 5000 || !strings.Contains(said.String(), "the log file is written again") {
		t.Errorf("not rotated later:\n%s", said)
	}
}

// When the new file cannot be opened the old one grows on from its own size, to
// which a write that the disk has no room for is taken back.
func TestRotationWithoutANewFile(t *testing.T) {
	f, said := newTestFile(t, 1)
	defer f.close()
	for n := range 10 {
		f.write(line(n), time.Now())
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	lost := f.write(line(10), time.Now())
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if got := len(content(t, f.path)); lost != 0 || got != 1100 || f.size != 1100 {
		t.Errorf("%d lines lost, %d bytes, taken for %d:\n%s", lost, got, f.size, said)
	}
}

// After a reload new files belong to the program and the user of today.
func TestFileOfAnotherUser(t *testing.T) {
	out := newCapture(t)
	c := NewCollector(out.File, out.File)
	var asked string
	c.Owner = func(user, _ string) (uid, gid uint32, err error) { asked = user; return }
	programs := logging("web", config.Logging{To: config.LogFile, Path: filepath.Join(t.TempDir(), "web.log")})
	for _, user := range []string{"old", "new"} {
		programs[0].Name, programs[0].Launch.User = "of-"+user, user
		c.Configure(programs)
		f := c.files[programs[0].Policy.Logging.Path]
		eventually(t, "new files belong to "+user, func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.owner()
			return f.program == "of-"+user && asked == user
		})
	}
	closeIn(t, c, end)
}

// What stands in the place of a file may be the program's doing, and we may be
// root: it is not followed and not waited for.
func TestFileThatIsNone(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"a link":   func(path string) error { return os.Symlink("/etc/passwd", path) },
		"a FIFO":   func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			f, said := newTestFile(t, 1)
			defer f.close()
			if err := errors.Join(os.Mkdir(filepath.Dir(f.path), 0o700), make(f.path)); err != nil {
				t.Fatal(err)
			}
			if lost := f.write([]byte("one\ntwo\n"), time.Now()) + f.write([]byte("three\n"), time.Now()); lost != 3 {
				t.Errorf("%d lines lost", lost)
			}
			if n := strings.Count(said.String(), "cannot write the log file"); n != 1 {
				t.Errorf("told %d times:\n%s", n, said)
			}
			if err := os.RemoveAll(f.path); err != nil {
				t.Fatal(err)
			}
			f.reopen() // SIGUSR1: no need to wait for a second
			if lost := f.write([]byte("four\n"), time.Now()); lost != 0 || !strings.Contains(said.String(), "dropped=3") {
				t.Errorf("%d lines lost:\n%s", lost, said)
			}
		})
	}
}

// A program's user gets the file and its own folder. Whoever had a folder above
// could lead us elsewhere.
func TestFoldersAboveStayOurs(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	f, _ := newTestFile(t, 1)
	defer f.close()
	top := filepath.Dir(f.path)
	f.path = filepath.Join(top, "er", "web", "web.log")
	f.owner = func() (int, int, bool) { return 12345, 12346, true }
	if lost := f.write(line(1), time.Now()); lost != 0 {
		t.Fatalf("%d lines lost", lost)
	}
	for path, want := range map[string]uint32{top: 0, filepath.Join(top, "er"): 0, filepath.Dir(f.path): 12345, f.path: 12345} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Sys().(*syscall.Stat_t).Uid; got != want {
			t.Errorf("%s belongs to %d, want %d", path, got, want)
		}
	}
}
