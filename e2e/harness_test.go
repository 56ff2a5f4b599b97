// Package e2e tests the built binaries from outside: as PID 1 of a fresh pid
// namespace, and in containers of a real Docker Engine.
package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// bin is the folder of the binaries that TestMain builds, as a user would get
// them: static and without a race detector.
var bin string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "sidekick-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // for tests that are not root
		return 0, err
	}
	bin = dir
	// Most tests wait for others and do not compute.
	if err := flag.Set("test.parallel", "6"); err != nil {
		return 0, err
	}
	build := exec.Command("go", "build", "-tags", "grpcnotrace", "-trimpath", "-ldflags", "-s -w -X main.version=e2e",
		"-o", dir, "sidekick/cmd/sidekick", "sidekick/cmd/sidekick-hub", "sidekick/e2e/app", "sidekick/e2e/actor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("cannot build: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// missing skips a test for want of something, or fails it in CI, where nothing
// may be missing.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("missing in CI: %s", what)
	}
	t.Skipf("missing: %s", what)
}

// patience is how long anything may take that has no time of its own, on a
// machine that is busy with other things.
const patience = 60 * time.Second

// slack is what a busy machine may add to a time that is measured from outside.
// Whatever a test measures is far shorter than what it would be without the
// thing that is tested; how exact it is, the simulated tests say.
const slack = 3 * time.Second

// eventually polls, since it waits for other processes, ever more slowly: what
// it asks often costs a process.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	begun := time.Now()
	for !ok() {
		waited := time.Since(begun)
		if waited > patience {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(min(2*time.Millisecond+waited/16, 50*time.Millisecond)) // the pace of the poll
	}
}

// instance is one running sidekick.
type instance struct {
	t      *testing.T
	dir    string
	socket string
	cmd    *exec.Cmd
	pid    int // of sidekick, as seen from here
	ended  chan struct{}
	served sync.Once // its socket answers

	mu     sync.Mutex
	stdout bytes.Buffer
	stderr bytes.Buffer
}

// locked is a buffer that may be read while it is written.
type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// runPID1 starts `sidekick run` with the file's text as PID 1 of a new pid
// namespace.
func runPID1(t *testing.T, file string, env ...string) *instance {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "root, to make a pid namespace")
	}
	return launch(t, nil, file, env, "unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--")
}

// runPlain starts `sidekick run` as an ordinary process.
func runPlain(t *testing.T, file string, env ...string) *instance {
	t.Helper()
	return launch(t, nil, file, env)
}

// runPlainTo is runPlain with stdout and stderr given to it.
func runPlainTo(t *testing.T, out *os.File, file string) *instance {
	t.Helper()
	return launch(t, out, file, nil)
}

func launch(t *testing.T, out *os.File, file string, env []string, wrapper ...string) *instance {
	t.Helper()
	return how{out: out, env: env, wrapper: wrapper, forks: len(wrapper) > 0}.launch(t, file)
}

// how says in which surroundings sidekick runs.
type how struct {
	out     *os.File // its stdout and stderr; nil: read by the test
	env     []string
	wrapper []string // what executes it, with its own argv last
	forks   bool     // the wrapper forks, and sidekick is its only child
	uid     uint32   // as whom it runs, with no other group; 0: as the test
	cwd     string
	files   []*os.File // more descriptors, from 3 on
}

// pid1 is PID 1 of a new pid namespace, to which it gets through a line of sh.
func pid1(script string) how {
	return how{forks: true, wrapper: []string{"unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--",
		"sh", "-c", script + `
exec "$@"`, "sh"}}
}

func (h how) launch(t *testing.T, file string) *instance {
	t.Helper()
	i := &instance{t: t, dir: t.TempDir(), ended: make(chan struct{})}
	i.socket = filepath.Join(i.dir, "s.sock")
	i.rewrite(file)
	argv := append(h.wrapper, filepath.Join(bin, "sidekick"), "run", "-c", i.config())
	i.cmd = exec.Command(argv[0], argv[1:]...)
	i.cmd.Env = append(os.Environ(), "SIDEKICK_SOCKET="+i.socket, "APP="+filepath.Join(bin, "app"), "ACTOR="+filepath.Join(bin, "actor"), "DIR="+i.dir)
	i.cmd.Env = append(i.cmd.Env, h.env...)
	i.cmd.Stdout, i.cmd.Stderr = locked{&i.mu, &i.stdout}, locked{&i.mu, &i.stderr}
	if h.out != nil {
		i.cmd.Stdout, i.cmd.Stderr = h.out, h.out
	}
	i.cmd.Dir, i.cmd.ExtraFiles = h.cwd, h.files
	if h.uid != 0 {
		h.become(t, i)
	}
	if err := i.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		_ = i.cmd.Wait()
		close(i.ended)
	}()
	t.Cleanup(i.cleanup)
	i.pid = i.cmd.Process.Pid
	if h.forks {
		i.pid = i.child()
	}
	return i
}

// become makes another user of the instance, who may write into its folder.
func (h how) become(t *testing.T, i *instance) {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "root, to become another user")
	}
	i.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: h.uid, Gid: h.uid}}
	if err := errors.Join(os.Chown(i.dir, int(h.uid), int(h.uid)), os.Chmod(filepath.Dir(i.dir), 0o755)); err != nil {
		t.Fatal(err)
	}
}

func (i *instance) config() string { return filepath.Join(i.dir, "sidekick.yaml") }

// rewrite changes the instance's file.
func (i *instance) rewrite(file string) {
	i.t.Helper()
	i.write("sidekick.yaml", file)
}

// write makes a file in the instance's folder, all at once.
func (i *instance) write(name, text string) {
	i.t.Helper()
	path := filepath.Join(i.dir, name)
	if err := errors.Join(os.WriteFile(path+"~", []byte(text), 0o644), os.Rename(path+"~", path)); err != nil {
		i.t.Fatal(err)
	}
}

// read is what a file of the instance's folder holds, "" if it is not there.
func (i *instance) read(name string) string {
	data, _ := os.ReadFile(filepath.Join(i.dir, name))
	return string(data)
}

// stops ends the instance, which has to end well.
func (i *instance) stops() {
	i.t.Helper()
	i.signal(unix.SIGTERM)
	if code := i.exit(); code != 0 {
		i.t.Errorf("exit code %d after SIGTERM", code)
	}
}

// child waits for the only child of the process that was started, -1 if it has
// ended already. 0 would be the test's own process group to kill(2).
func (i *instance) child() int {
	for i.t.Context().Err() == nil {
		if pid := onlyChild(i.cmd.Process.Pid); pid > 0 {
			return pid
		}
		select {
		case <-i.ended:
			return -1
		case <-time.After(time.Millisecond):
		}
	}
	return -1
}

func (i *instance) cleanup() {
	var orphans []process // of one that is no PID 1 and was not stopped
	select {
	case <-i.ended:
	default:
		orphans = processes(i.cmd.Process.Pid)
	}
	if i.pid > 1 {
		_ = unix.Kill(i.pid, unix.SIGKILL)
	}
	_ = i.cmd.Process.Kill()
	<-i.ended
	for _, p := range orphans {
		_ = unix.Kill(p.pid, unix.SIGKILL)
	}
	if i.t.Failed() {
		i.t.Logf("stdout:\n%s\nstderr:\n%s", i.out(), i.log())
	}
}

func onlyChild(pid int) int {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	child, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	return child
}

func (i *instance) out() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.stdout.String()
}

func (i *instance) log() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.stderr.String()
}

// signal sends sig to sidekick itself.
func (i *instance) signal(sig syscall.Signal) {
	i.t.Helper()
	if i.pid <= 1 {
		i.t.Fatal("sidekick has ended")
	}
	if err := unix.Kill(i.pid, sig); err != nil {
		i.t.Fatal(err)
	}
}

// exit waits for the end and returns the code, 128+n for a signal.
func (i *instance) exit() int {
	i.t.Helper()
	select {
	case <-i.ended:
	case <-time.After(patience):
		i.t.Fatal("sidekick does not end")
	}
	status := i.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// says waits until stdout has the text.
func (i *instance) says(text string) {
	i.t.Helper()
	eventually(i.t, fmt.Sprintf("stdout has %q", text), func() bool { return strings.Contains(i.out(), text) })
}

func (i *instance) logs(text string) {
	i.t.Helper()
	eventually(i.t, fmt.Sprintf("the log has %q", text), func() bool { return strings.Contains(i.log(), text) })
}

// sidekick runs a client command against the instance. Programs may be heard
// of before the socket answers.
func (i *instance) sidekick(args ...string) (stdout, stderr string, code int) {
	i.t.Helper()
	i.served.Do(func() {
		eventually(i.t, "the socket answers", func() bool {
			conn, err := net.Dial("unix", i.socket)
			if err == nil {
				conn.Close()
			}
			return err == nil || i.over()
		})
	})
	return client(i.t, []string{"SIDEKICK_SOCKET=" + i.socket}, args...)
}

func client(t *testing.T, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "sidekick"), args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// program is what status -o json says of one program.
type program struct {
	Name, State, Reason string
	Signal              string
	Pid, Restarts       int
	ExitCode            *int `json:"exit_code"`
	Health              *struct{ Status, Output string }
	Registrations       []struct{ Key, Address, Reason string }
}

func (i *instance) status(name string) program {
	i.t.Helper()
	all := i.statuses(name)
	if len(all) != 1 {
		i.t.Fatalf("status: %+v", all)
	}
	return all[0]
}

// statuses is what status says of the programs, of all if none is named.
func (i *instance) statuses(names ...string) (all []program) {
	i.t.Helper()
	out, errs, _ := i.sidekick(append([]string{"status", "-o", "json"}, names...)...)
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		i.t.Fatalf("status: %v\n%s%s", err, out, errs)
	}
	return all
}

// reaches waits for a state of a program.
func (i *instance) reaches(name, state string) {
	i.t.Helper()
	var last program
	defer func() {
		if i.t.Failed() {
			i.t.Logf("last status: %+v", last)
		}
	}()
	eventually(i.t, name+" is "+state, func() bool { last = i.status(name); return last.State == state })
}

// processes lists the state and command of every process that descends from
// pid; "Z" is a zombie.
func processes(pid int) (all []process) {
	children := map[int][]process{}
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		id, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		data, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue
		}
		end := bytes.LastIndexByte(data, ')')
		fields := strings.Fields(string(data[end+1:]))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], process{id, fields[0], string(data[bytes.IndexByte(data, '(')+1 : end])})
	}
	for todo := children[pid]; len(todo) > 0; {
		p := todo[0]
		todo = append(todo[1:], children[p.pid]...)
		all = append(all, p)
	}
	return all
}

type process struct {
	pid     int
	state   string
	command string
}
