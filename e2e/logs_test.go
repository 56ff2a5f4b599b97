package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// numbered is the program of a file that prints lines with numbers: from, until
// it has printed so many.
func numbered(lines int, logging, more string) string {
	return fmt.Sprintf("programs:\n  web: {command: [\"${ACTOR}\", count, \"%d\"], restart: no, essential: false, min_uptime: 0s, logging: %s%s}\n  stay: {command: sleep 1000, min_uptime: 0s}\n",
		lines, logging, more)
}

// numbers reads the numbers of lines `N …` out of files, oldest first. Each line
// has to be whole.
func numbers(t *testing.T, paths ...string) (all []int) {
	t.Helper()
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		all = append(all, numbersIn(t, string(data))...)
	}
	return all
}

func numbersIn(t *testing.T, text string) (all []int) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(line, "web  | ")
		var n int
		if _, err := fmt.Sscanf(line, "%d", &n); err != nil || line != countLine(n) {
			t.Fatalf("not a whole line: %.120q", line)
		}
		all = append(all, n)
	}
	return all
}

// countLine is line n of `actor count`.
func countLine(n int) string { return fmt.Sprintf("%d %s\n", n, strings.Repeat("x", n%200)) }

// rotatedFiles are a log file and what it was rotated to, the oldest first.
func rotatedFiles(path string) (all []string) {
	for n := 1; ; n++ {
		rotated := fmt.Sprintf("%s.%d", path, n)
		if _, err := os.Lstat(rotated); err != nil {
			break
		}
		all = append(all, rotated)
	}
	slices.Reverse(all)
	return append(all, path)
}

// inOrder checks that the lines 0 to lines-1 are there once each, but for those
// that were dropped.
func inOrder(t *testing.T, got []int, lines, dropped int) {
	t.Helper()
	for i := 1; i < len(got); i++ {
		if got[i] <= got[i-1] {
			t.Fatalf("line %d comes behind line %d", got[i], got[i-1])
		}
	}
	if len(got)+dropped != lines {
		t.Errorf("%d lines received and %d dropped, %d written", len(got), dropped, lines)
	}
}

// counts are a program's counters.
func (i *instance) counts(name string) (c struct{ Lines, Dropped int }) {
	i.t.Helper()
	var p struct {
		Logs *struct{ Lines, Dropped int }
	}
	p.Logs = &c
	if err := json.Unmarshal([]byte(i.get("/v1/programs/"+name)), &p); err != nil {
		i.t.Fatal(err)
	}
	return c
}

// printed waits until so many lines of web were read.
func (i *instance) printed(lines int) {
	i.t.Helper()
	i.reaches("web", "EXITED")
	eventually(i.t, fmt.Sprintf("%d lines are read", lines), func() bool { return i.counts("web").Lines == lines })
}

// Through rotations, and files that somebody else renames, every line is there
// once, in its order and whole.
func TestLogsRotateAndReopen(t *testing.T) {
	t.Parallel()
	const lines = 60_000
	i := runPlain(t, numbered(lines, "{to: file, format: raw, path: log/deep/web.log, max_size: 200kB, max_files: 100}", ""))
	path := filepath.Join(i.dir, "log/deep/web.log")
	var renamed []string
	for n := range 5 { // logrotate, several times
		eventually(t, "the file grows", func() bool {
			info, err := os.Stat(path)
			return err == nil && info.Size() > 0 || i.status("web").State == "EXITED"
		})
		moved := filepath.Join(i.dir, fmt.Sprint("moved.", n))
		if os.Rename(path, moved) == nil {
			renamed = append(renamed, moved)
		}
		i.signal([]unix.Signal{unix.SIGUSR1, unix.SIGUSR2}[n%2])
		eventually(t, "there is a new file", func() bool { _, err := os.Stat(path); return err == nil })
	}
	i.printed(lines)
	var got []int
	for _, file := range append(renamed, rotatedFiles(path)...) {
		got = append(got, numbers(t, file)...)
	}
	slices.Sort(got) // what was moved lies between what was rotated
	inOrder(t, got, lines, i.counts("web").Dropped)
	for _, file := range rotatedFiles(path) {
		if info, err := os.Stat(file); err != nil || info.Size() > 200_000 || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	if c := i.counts("web"); c.Dropped != 0 || len(rotatedFiles(path)) < 5 {
		t.Errorf("%+v, %v", c, rotatedFiles(path))
	}
	i.stops()
}

// The log of another user's program and its folder belong to that user, and the
// folders above do not.
func TestLogsOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		missing(t, "root, to be another user")
	}
	i := runPlain(t, `
programs:
  web: {command: seq 1000, user: "65534:65533", working_dir: /, restart: "no", logging: {to: file, format: raw, path: log/deep/web.log, max_size: 1000}}
  stay: {command: sleep 1000}
`)
	i.printed(1000)
	for name, want := range map[string][2]uint32{"log": {0, 0}, "log/deep": {65534, 65533}, "log/deep/web.log": {65534, 65533}, "log/deep/web.log.1": {65534, 65533}} {
		var stat unix.Stat_t
		if err := unix.Stat(filepath.Join(i.dir, name), &stat); err != nil || stat.Uid != want[0] || stat.Gid != want[1] {
			t.Errorf("%s belongs to %d:%d, %v", name, stat.Uid, stat.Gid, err)
		}
	}
	i.stops()
}

// A disk that is full costs lines, which are counted, and no program; it
// recovers by itself.
func TestLogsOnAFullDisk(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		missing(t, "root, to mount a small disk")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		missing(t, "a mount: "+err.Error())
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	const lines = 20_000
	i := runPlain(t, numbered(lines, "{to: file, format: text, path: "+disk+"/web.log, max_size: 0}", ""))
	i.printed(lines)
	c := i.counts("web")
	inOrder(t, numbersOfText(t, disk+"/web.log"), lines, c.Dropped)
	if c.Dropped == 0 {
		t.Error("the disk was not full")
	}
	i.logs("cannot write the log file")
	if n := strings.Count(i.log(), "cannot write the log file"); n != 1 {
		t.Errorf("it is told %d times", n)
	}
	if out, _, _ := i.sidekick("status"); !strings.Contains(out, fmt.Sprintf("%d lines of its output were dropped", c.Dropped)) {
		t.Errorf("status does not say it:\n%s", out)
	}
	if err := os.Truncate(disk+"/web.log", 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "lines are written again", func() bool {
		i.sidekick("start", "web", "--no-wait")
		info, err := os.Stat(disk + "/web.log")
		return err == nil && info.Size() > 0
	})
	i.logs("the log file is written again")
	i.stops()
}

func numbersOfText(t *testing.T, path string) []int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return numbersIn(t, strings.ReplaceAll(string(data), "web | ", ""))
}

// A folder that vanishes comes back, and no line is lost for it.
func TestLogsInAFolderThatVanishes(t *testing.T) {
	t.Parallel()
	i := runPlain(t, `programs: {web: {command: ["${ACTOR}", say, "print:one", "wait:${DIR}/go", "print:two", hang], logging: {to: file, format: raw, path: log/web.log}}}`)
	path := filepath.Join(i.dir, "log/web.log")
	has := func(text string) {
		t.Helper()
		eventually(t, "the file has "+text, func() bool { got, _ := os.ReadFile(path); return string(got) == text })
	}
	has("one\n")
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	i.write("go", "")
	has("two\n")
	i.stops()
}

// Nobody reads the container's stdout: the program is hardly held up, the last
// lines are kept, what is lost is counted, and the container ends in time.
func TestLogsWithAStuckStdout(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const lines = 50_000
	i := runPlainTo(t, w, numbered(lines, "{}", ""))
	w.Close()
	i.printed(lines)
	c := i.counts("web")
	if c.Dropped == 0 {
		t.Error("nothing was dropped")
	}
	last, _, code := i.sidekick("logs", "web", "-n", "3")
	if want := countLine(lines-3) + countLine(lines-2) + countLine(lines-1); code != 0 || last != want {
		t.Errorf("logs: %d, %q, want %q", code, last, want)
	}
	// Somebody reads again: what was not dropped is all there, whole.
	got := make(chan []int)
	go func() { // ends when its reading end has a deadline
		var all []int
		scanner := bufio.NewScanner(r)
		for scanner.Scan() {
			if text, ok := strings.CutPrefix(scanner.Text(), "web  | "); ok {
				var n int
				fmt.Sscan(text, &n)
				if text+"\n" != countLine(n) {
					n = -1
				}
				all = append(all, n)
				if len(all)+c.Dropped == lines {
					break
				}
			}
		}
		got <- all
	}()
	r.SetReadDeadline(time.Now().Add(patience))
	inOrder(t, <-got, lines, c.Dropped)

	i.sidekick("start", "web", "--no-wait") // and stops reading
	eventually(t, "all is read", func() bool { return i.counts("web").Lines == 2*lines })
	begun := time.Now()
	i.signal(unix.SIGTERM)
	if code := i.exit(); code != 0 || time.Since(begun) > 8*time.Second+slack {
		t.Errorf("exit code %d after %v", code, time.Since(begun))
	}
}

// A follower sees every line once, through a restart of the program.
func TestLogsFollowAcrossARestart(t *testing.T) {
	t.Parallel()
	i := runPlain(t, `
programs:
  web: {command: 'sh -c "echo start $$$$; exec sleep 1000"', min_uptime: 0s}
  db: {command: 'sh -c "echo oops >&2; exec sleep 1000"', min_uptime: 0s, logging: {to: none}}
  own: {command: sleep 1000, logging: {to: inherit}}
`)
	first := i.alive("web")
	i.alive("db")
	eventually(t, "both have printed", func() bool { return i.counts("web").Lines == 1 && i.counts("db").Lines == 1 })
	f := i.follows("web", "db")
	f.says(fmt.Sprintf("web | start %d\n", first))
	f.says("db  | oops\n")
	i.sidekick("restart", "web")
	f.says(fmt.Sprintf("web | start %d\n", i.alive("web")))
	if out, errs, code := i.sidekick("logs", "db"); out != "" || errs != "oops\n" || code != 0 {
		t.Errorf("logs db: %q, %q, %d", out, errs, code)
	}
	if out, _, code := i.sidekick("logs", "db", "--stream", "stdout"); out != "" || code != 0 {
		t.Errorf("logs db --stream stdout: %q, %d", out, code)
	}
	if out, errs, code := i.sidekick("logs", "all", "-n", "1"); out != fmt.Sprintf("web | start %d\n", i.alive("web")) || errs != "db  | oops\n" || code != 0 {
		t.Errorf("logs all, one of which is not read: %q, %q, %d", out, errs, code)
	}
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"logs", "wbe"}, 1, "cannot find a program"},
		{[]string{"logs", "own"}, 1, "logging.to: inherit"},
		{[]string{"logs"}, 2, ""},
		{[]string{"logs", "web", "--stream", "stdlog"}, 2, "cannot show the stream"},
		{[]string{"logs", "web", "--socket", "/nonexistent"}, 4, "cannot reach sidekick"},
	} {
		if _, errs, code := i.sidekick(tc.args...); code != tc.code || !strings.Contains(errs, tc.says) {
			t.Errorf("%q: %d, %s", tc.args, code, errs)
		}
	}
	i.stops()
	if err := <-f.ended; err != nil {
		t.Errorf("logs -f ended with %v", err)
	}
}

// follower is `sidekick logs -f`.
type follower struct {
	t     *testing.T
	mu    sync.Mutex
	b     bytes.Buffer
	ended chan error
}

func (i *instance) follows(names ...string) *follower {
	i.t.Helper()
	f := &follower{t: i.t, ended: make(chan error, 1)}
	cmd := exec.Command(filepath.Join(bin, "sidekick"), append([]string{"logs", "-f", "--socket", i.socket}, names...)...)
	cmd.Stdout, cmd.Stderr = locked{&f.mu, &f.b}, locked{&f.mu, &f.b}
	if err := cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { _ = cmd.Process.Kill() })
	go func() { f.ended <- cmd.Wait() }() // ends with the process
	return f
}

// says waits for a text, once.
func (f *follower) says(text string) {
	f.t.Helper()
	eventually(f.t, fmt.Sprintf("logs -f says %q", text), func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return strings.Count(f.b.String(), text) == 1
	})
}

// A reload sends the lines of the same process elsewhere, and loses none.
func TestLogsReload(t *testing.T) {
	t.Parallel()
	const lines = 200_000
	file := func(logging string) string { return numbered(lines, logging, "") }
	i := runPlain(t, file("{to: file, format: raw, path: a.log, max_size: 0}"))
	eventually(t, "it prints", func() bool { info, err := os.Stat(i.dir + "/a.log"); return err == nil && info.Size() > 0 })
	for n, logging := range []string{"{to: file, format: text, path: a.log, max_size: 0}", "{to: file, format: raw, path: b.log, max_size: 100kB, max_files: 1000}",
		"{to: file, format: raw, path: a.log, max_size: 0}"} {
		i.rewrite(file(logging))
		if out, errs, code := i.sidekick("reload"); code != 0 || !strings.Contains(out, ". web (retuned: logging)") {
			t.Fatalf("%d: %d, %s%s", n, code, out, errs)
		}
	}
	i.printed(lines)
	var got []int
	for _, path := range append(rotatedFiles(i.dir+"/b.log"), i.dir+"/a.log") {
		if _, err := os.Stat(path); err == nil {
			got = append(got, numbersOfText(t, path)...)
		}
	}
	slices.Sort(got)
	inOrder(t, got, lines, i.counts("web").Dropped)
	i.stops()
}

// A process that the program leaves behind keeps its pipe: neither is the
// restart late, nor are its lines lost.
func TestLogsOfAGrandchild(t *testing.T) {
	t.Parallel()
	i := runPlain(t, `
programs:
  web: {command: 'sh -c "echo life; (trap \"\" TERM; sleep 0.2; echo grandchild; exec sleep 1000) & exit 1"', kill_mode: process, restart: on-failure:1, essential: false}
  stay: {command: sleep 1000}
`)
	i.reaches("web", "FATAL")
	eventually(t, "both lives and both grandchildren are heard", func() bool {
		out, _, _ := i.sidekick("logs", "web")
		return strings.Count(out, "life\n") == 2 && strings.Count(out, "grandchild\n") == 2
	})
	i.stops()
}

// Own messages as json: every line is an object with the program, its pid, its
// state and the reason, and no secret.
func TestOwnMessagesAsJSON(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "secret", "hunter2\n")
	write(t, dir, "etcd", "hunter3\n")
	i := how{wrapper: []string{"sh", "-c", `exec "$@" --log-format json`, "sh"}}.launch(t, `
programs:
  web: {command: 'sh -c "exit 3"', env_from_file: {PASS: `+dir+`/secret}, restart: no, register: {port: 1}}
registry: {etcd: {endpoints: "http://127.0.0.1:1", username: root, password_file: `+dir+`/etcd}, advertise: {ip: 192.0.2.1, port: 1}}
`)
	if code := i.exit(); code != 3 {
		t.Errorf("exit code %d", code)
	}
	seen := false
	for line := range strings.Lines(i.log()) {
		var m struct {
			Time, Level, Msg, Program, From, To, Reason string
			Pid                                         int
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		seen = seen || m.Program == "web" && m.To == "EXITED" && m.Pid > 0 && m.Reason == "exit status 3"
	}
	if !seen || strings.Contains(i.log(), "hunter") {
		t.Errorf("no message about the end, or a secret:\n%s", i.log())
	}
}
