package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// keyWorld has an etcd on this machine and nothing of Docker: the addresses in
// its files are given by advertise.
func keyWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	w := &world{t: t, host: "127.0.0.1"}
	w.look(startHub(t, "http://127.0.0.1:0"))
	return w
}

// oneWeb is a file with one registered program.
func (w *world) oneWeb() (file, key string) {
	port := w.freePort()
	return fmt.Sprintf(`
programs:
  web:
    command: [%[1]s, -listen, "127.0.0.1:%[2]s", -etcd, "%[3]s"]
    healthcheck: {http: %[2]s, interval: 100ms}
    register: {port: %[2]s, advertise: {ip: 203.0.113.7, port: %[2]s}}
registry:
  etcd: {endpoints: ["%[3]s"]}
  drain: 100ms
`, filepath.Join(bin, "app"), port, w.etcd), "/service/203.0.113.7:" + port
}

// A program that a reload adds finds no leftover key either, nor when it is
// removed and added again.
func TestReloadedProgramFindsNoLeftover(t *testing.T) {
	w := keyWorld(t)
	file, key := w.oneWeb()
	steady := "\nprograms:\n  steady: {command: sleep 1000}\n"
	i := runPID1(t, steady)
	i.reaches("steady", "RUNNING")
	for _, lives := range []int{1, 2} {
		if _, err := w.client.Put(t.Context(), key, "running"); err != nil {
			t.Fatal(err)
		}
		i.rewrite(file)
		if _, errs, code := i.sidekick("reload"); code != 0 {
			t.Fatalf("exit code %d: %s", code, errs)
		}
		i.reaches("web", "RUNNING")
		eventually(t, "web has looked", func() bool { return strings.Count(i.out(), "START finds") == lives })
		if n := strings.Count(i.out(), "START finds 0 keys"); n != lives {
			t.Errorf("of %d lives %d found no key", lives, n)
		}
		i.rewrite(steady)
		i.sidekick("reload")
		eventually(t, "web has gone, and its key", func() bool {
			out, _, _ := i.sidekick("status")
			return !strings.Contains(out, "web") && len(w.keys()) == 0
		})
	}
}

// A restart takes the key away before the program is told to stop, and ends when
// the key is back: by the order in which etcd saw it.
func TestRestartTakesTheKeyAwayFirst(t *testing.T) {
	w := keyWorld(t)
	file, key := w.oneWeb()
	i := runPID1(t, file)
	put := w.watch.WaitPut(0, patience, key)
	i.reaches("web", "RUNNING")
	before := i.status("web").Pid
	out, errs, code := i.sidekick("restart", "web")
	w.only(key)
	after := i.status("web").Pid
	if want := fmt.Sprintf("web: RUNNING, pid %d, registered as %s\n", after, filepath.Base(key)); code != 0 || out != want || after == before {
		t.Errorf("exit code %d, %q%q, want %q", code, out, errs, want)
	}
	gone := w.watch.WaitDelete(put.Revision, patience, key)
	w.watch.WaitPut(gone.Revision, patience, key)
	i.says("TERM finds 0 keys")
}

// Copies are restarted one after another, each when the one before is registered
// again: one of the two keys is always there.
func TestRollingRestart(t *testing.T) {
	w := keyWorld(t)
	ports := w.freePair()
	i := runPID1(t, fmt.Sprintf(`
programs:
  web:
    command: [%[1]s, -listen, "127.0.0.1:%[2]s${REPLICA}"]
    replicas: 2
    healthcheck: {http: "%[2]s${REPLICA}", interval: 100ms}
    register: {port: "%[2]s${REPLICA}", advertise: {ip: 203.0.113.7, port: "%[2]s${REPLICA}"}}
registry:
  etcd: {endpoints: ["%[3]s"]}
  drain: 0s
`, filepath.Join(bin, "app"), ports, w.etcd))
	first, second := "/service/203.0.113.7:"+ports+"0", "/service/203.0.113.7:"+ports+"1"
	begun := max(w.watch.WaitPut(0, patience, first).Revision, w.watch.WaitPut(0, patience, second).Revision)
	i.reaches("web-0", "RUNNING")
	if out, errs, code := i.sidekick("restart", "--rolling", "web"); code != 0 || strings.Count(out, "registered as") != 2 {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	w.watch.WaitPut(w.watch.WaitDelete(begun, patience, second).Revision, patience, second)
	var order []string
	for _, e := range w.watch.Events() {
		if e.Revision > begun {
			order = append(order, map[bool]string{true: "put ", false: "delete "}[e.Put]+e.Key)
		}
	}
	if want := []string{"delete " + first, "put " + first, "delete " + second, "put " + second}; !slices.Equal(order, want) {
		t.Errorf("etcd saw %q, want %q", order, want)
	}
}

// freePair returns what two free ports begin with, that end in 0 and 1.
func (w *world) freePair() string {
	w.t.Helper()
	for range 100 {
		prefix := w.freePort()[:4]
		first, err := net.Listen("tcp", net.JoinHostPort(w.host, prefix+"0"))
		if err != nil {
			continue
		}
		second, err := net.Listen("tcp", net.JoinHostPort(w.host, prefix+"1"))
		first.Close()
		if err == nil {
			second.Close()
			return prefix
		}
	}
	w.t.Fatal("no two free ports")
	return ""
}

// drain takes the keys out while the programs run on, whatever they do; undrain
// brings them back.
func TestDrain(t *testing.T) {
	w := keyWorld(t)
	file, key := w.oneWeb()
	i := runPID1(t, file)
	w.watch.WaitPut(0, patience, key)
	i.reaches("web", "RUNNING")
	before := i.status("web").Pid

	if out, errs, code := i.sidekick("drain"); code != 0 || out != "web: drained\n" {
		t.Errorf("exit code %d, %q%q", code, out, errs)
	}
	w.only()
	st := i.status("web")
	if st.Pid != before || st.State != "RUNNING" || st.Registrations[0].Reason != "drained by command" {
		t.Errorf("drained: %+v", st)
	}
	if _, _, code := i.sidekick("health"); code != 0 {
		t.Errorf("health ends with %d while it is drained", code)
	}
	if out, _, code := i.sidekick("restart", "web"); code != 0 || !strings.Contains(out, "drained by command") {
		t.Errorf("restart: exit code %d, %q", code, out)
	}
	i.signal(unix.SIGHUP)
	i.logs("msg=reloaded")
	w.only()

	if out, errs, code := i.sidekick("undrain", "w*"); code != 0 || out != "web: registered as "+filepath.Base(key)+"\n" {
		t.Errorf("exit code %d, %q%q", code, out, errs)
	}
	w.only(key)
	out, _, _ := i.sidekick("events")
	for _, want := range []string{"unregistered > registered", "registered > unregistered", "drained by command"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not among the events:\n%s", want, out)
		}
	}
}

// event is what `events -o json` prints.
type event struct{ Type, Program, From, To, Reason string }

// events -f shows what happens while it happens, and ends with sidekick.
func TestEventsFollowARestart(t *testing.T) {
	t.Parallel()
	i := runPID1(t, "programs: {web: {command: sleep 1000, min_uptime: 0s}}")
	i.reaches("web", "RUNNING")
	cmd := exec.Command(filepath.Join(bin, "sidekick"), "events", "-f", "-o", "json", "--socket", i.socket)
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewScanner(stdout)
	sees := func(from, to, reason string) {
		t.Helper()
		for lines.Scan() {
			var e event
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatalf("%v: %s", err, lines.Text())
			}
			if e == (event{"state", "web", from, to, reason}) {
				return
			}
		}
		t.Fatalf("the events end without %s > %s: %s", from, to, reason)
	}
	sees("STOPPED", "STARTING", "")
	sees("STARTING", "RUNNING", "")
	if _, errs, code := i.sidekick("restart", "web"); code != 0 {
		t.Fatalf("restart: %d %s", code, errs)
	}
	sees("RUNNING", "STOPPING", "restarted by command")
	sees("STOPPING", "STOPPED", "killed by SIGTERM")
	sees("STARTING", "RUNNING", "")
	i.stops()
	for lines.Scan() { // to its end
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 4 {
		t.Errorf("events -f ends with %d when sidekick has ended", code)
	}
	out, _, _ := i.sidekick("status")
	if out != "" {
		t.Errorf("status of an ended sidekick: %q", out)
	}
}

// What the programs are told, and what the words of a command line mean.
func TestControlCommands(t *testing.T) {
	t.Parallel()
	i := runPID1(t, `
programs:
  web: {command: [sh, -c, "trap 'echo got HUP' HUP; echo ready; while :; do sleep 0.02; done"], replicas: 2, min_uptime: 0s}
  job: {command: [sh, -c, "exit 0"]}
  off: {command: sleep 1000, autostart: false}
`)
	i.reaches("web-0", "RUNNING")
	i.reaches("web-1", "RUNNING")
	i.reaches("job", "EXITED")
	i.says("web-0 | ready") // for its signal
	for _, c := range []struct {
		line string
		code int
		want string // in stdout or stderr
	}{
		{"status", 0, "EXITED (completed)"},
		{"status web-*", 0, "web-1"},
		{"status -v web-0", 0, "STARTING  RUNNING"},
		{"status nobody", 1, `cannot find a program named "nobody"`},
		{"status -o xml", 2, `cannot print "xml"`},
		{"signal HUP web-0", 0, "web-0: SIGHUP sent"},
		{"signal HUP off", 1, "off: error: off has no process"},
		{"signal NOSUCH web-0", 2, "is not a signal"},
		{"stop no*", 1, `cannot find a program that matches "no*"`},
		{"stop web-0 nobody", 1, "cannot find"},
		{"stop web-[0-9]", 0, "web-1: STOPPED"},
		{"health", 1, "web-0 is STOPPED"},
		{"status", 3, "STOPPED"},
		{"start all --no-wait --timeout 1s", 0, "job: "},
		{"restart --rolling --no-wait web", 2, "cannot use --rolling"},
		{"drain off", 0, "off: drained, has no registrations"},
		{"undrain", 0, "no program has registrations"},
		{"events -o table", 0, "STARTING > RUNNING"},
		{"top", 1, "stdout is no terminal"},
		{"health nonsense", 1, "cannot take arguments"},
		{"health --nonsense", 1, "unknown flag"},
		{"health --socket /no/such", 1, "cannot reach sidekick"},
		{"status --socket /no/such", 4, "cannot reach sidekick"},
		{"events -f --socket /no/such", 4, "cannot reach sidekick"},
		{"drain --socket /no/such", 4, "cannot reach sidekick"},
		{"signal HUP web --socket /no/such", 4, "cannot reach sidekick"},
	} {
		out, errs, code := i.sidekick(strings.Fields(c.line)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s%s", c.line, code, c.code, c.want, out, errs)
		}
		if strings.HasPrefix(c.line, "signal HUP web-0") {
			i.says("got HUP") // before another command stops the program
		}
	}
}

// A command whose answer cannot be written has failed, whatever it did.
func TestAnswersOnAFullDisk(t *testing.T) {
	t.Parallel()
	i := runPID1(t, `
programs:
  web: {command: [sh, -c, 'echo ready; exec sleep 1000'], min_uptime: 0s}
`)
	i.says("ready")
	i.reaches("web", "RUNNING")
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, line := range []string{"status", "status -v", "status -o json", "status --watch", "start web",
		"stop web --no-wait", "restart web", "restart --rolling web", "signal CONT web", "drain web", "undrain web",
		"health", "events", "logs web", "reload --dry-run"} {
		cmd := exec.Command(filepath.Join(bin, "sidekick"), strings.Fields(line)...)
		var errs strings.Builder
		cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), "SIDEKICK_SOCKET="+i.socket), full, &errs
		_ = cmd.Run() // its exit code says it
		if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(errs.String(), "error: cannot write the output: ") {
			t.Errorf("%s: exit code %d: %s", line, code, errs.String())
		}
	}
}

// Members of control.group may do everything, as their primary group or as one
// more; others do not get in.
func TestControlGroup(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		missing(t, "root, to be several users")
	}
	const group, user = 54321, 12345
	// Its folder is open for all: the socket alone decides.
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(dir, "s.sock")
	i := runPID1(t, fmt.Sprintf("programs: {web: {command: sleep 1000, min_uptime: 0s}}\ncontrol: {socket: %s, group: %d}", socket, group))
	i.socket = socket
	i.reaches("web", "RUNNING")
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o660 || info.Sys().(*syscall.Stat_t).Gid != group {
		t.Fatalf("the socket is %v, %v", info, err)
	}
	restart := func(credential syscall.Credential) (string, int) {
		cmd := exec.Command(filepath.Join(bin, "sidekick"), "restart", "web", "--socket", socket)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &credential}
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	for name, c := range map[string]struct {
		credential syscall.Credential
		code       int
		want       string
	}{
		"primary":       {syscall.Credential{Uid: user, Gid: group}, 0, "RUNNING"},
		"supplementary": {syscall.Credential{Uid: user, Gid: user, Groups: []uint32{7, group}}, 0, "RUNNING"},
		"neither":       {syscall.Credential{Uid: user, Gid: user, Groups: []uint32{7}}, 4, "permission denied"},
	} {
		if out, code := restart(c.credential); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit code %d, %s", name, code, out)
		}
	}
	// A mode that lets everybody connect admits nobody more.
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	if out, code := restart(syscall.Credential{Uid: user, Gid: user}); code != 1 || !strings.Contains(out, "members of control.group may ask") {
		t.Errorf("a stranger: exit code %d, %s", code, out)
	}
}

// top fits on a terminal and gives it back as it was, however it ends.
func TestTopOnTerminal(t *testing.T) {
	const file = "programs: {busy: {command: [sh, -c, 'while :; do :; done'], nice: 19}, idle: {command: sleep 1000, replicas: 30}}"
	i := runPID1(t, file)
	i.reaches("idle-29", "RUNNING")
	i.reaches("busy", "RUNNING")
	for _, c := range []struct {
		name string
		end  func(p *pty, i *instance)
		code int
	}{
		{"Ctrl-C", func(p *pty, _ *instance) { p.types(ctrlC) }, 0},
		{"q", func(p *pty, _ *instance) { p.types("q") }, 0},
		{"TERM", func(p *pty, _ *instance) { _ = p.cmd.Process.Signal(unix.SIGTERM) }, 0},
		{"HUP", func(p *pty, _ *instance) { _ = p.cmd.Process.Signal(unix.SIGHUP) }, 0},
		{"sidekick ended", func(_ *pty, i *instance) { i.stops() }, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := openPty(t)
			before := p.modes()
			p.start(filepath.Join(bin, "sidekick"), "top", "--socket", i.socket)
			p.sees("\x1b[?1049h")
			p.sees("31 programs: 31 RUNNING") // at last
			p.sees("NAME")
			p.sees("busy") // the busiest comes first
			p.sees("… and 10 more")
			p.resize(10, 40)
			p.sees("… and 24 more")
			c.end(p, i)
			p.exits(c.code)
			p.sees("\x1b[?1049l")
			if after := p.modes(); after != before {
				t.Errorf("the terminal's modes are %+v, were %+v", after, before)
			}
			for _, picture := range strings.Split(p.text(), "\x1b[H")[1:2] {
				lines := strings.Split(picture, "\r\n")
				if len(lines) > 24 {
					t.Errorf("%d lines on 24", len(lines))
				}
				for _, line := range lines {
					if n := len([]rune(strings.NewReplacer("\x1b[K", "", "\x1b[J", "", "\r", "").Replace(line))); n > 80 {
						t.Errorf("%d columns on 80: %q", n, line)
					}
				}
			}
		})
	}
}

// modes are the terminal's, as stty(1) shows them.
func (p *pty) modes() (modes unix.Termios) {
	p.t.Helper()
	p.control(func(fd int) error {
		m, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil {
			modes = *m
		}
		return err
	})
	return modes
}

// status --watch goes on until Ctrl-C; a plan has colours on a terminal only.
func TestWatchAndPlanOnTerminal(t *testing.T) {
	t.Parallel()
	const web = "programs: {web: {command: sleep 1000, min_uptime: 0s}"
	i := runPID1(t, web+"}")
	i.reaches("web", "RUNNING")
	p := onPty(t, how{wrapper: []string{"env", "TERM=xterm"}}, "status", "--watch", "-o", "wide", "--socket", i.socket)
	p.sees("\x1b[?1049h")
	for range 2 { // pictures
		p.sees("THREADS")
		p.sees("\x1b[32mRUNNING\x1b[0m")
	}
	p.types(ctrlC)
	p.exits(0)
	p.sees("\x1b[?1049l")
	i.rewrite(web + ", new: {command: sleep 1000}}")
	p = onPty(t, how{wrapper: []string{"env", "TERM=xterm"}}, "reload", "--dry-run", "--socket", i.socket)
	p.sees("\x1b[32m+ new\x1b[0m")
	p.exits(0)
	p = onPty(t, how{wrapper: []string{"env", "TERM=xterm", "NO_COLOR=1"}}, "reload", "--socket", i.socket)
	p.sees("+ new")
	p.exits(0)
	if strings.Contains(p.text(), "\x1b") {
		t.Errorf("colours in spite of NO_COLOR: %q", p.text())
	}
	i.reaches("new", "RUNNING")
}

// On a terminal a command that waits says what for; into a pipe it does not.
func TestWaitingOnTerminal(t *testing.T) {
	t.Parallel()
	i := runPID1(t, `
programs:
  slow:
    command: sleep 1000
    autostart: false
    healthcheck: {exec: 'test -e ${DIR}/go', interval: 50ms, start_interval: 50ms}
  other: {command: sleep 1000}
`)
	i.reaches("other", "RUNNING")
	p := onPty(t, how{wrapper: []string{"env", "TERM=xterm"}}, "start", "slow", "--socket", i.socket)
	p.sees("waiting for slow: RUNNING (")
	i.write("go", "")
	p.sees("\r\x1b[K")
	p.sees("slow: RUNNING, pid " + strconv.Itoa(i.status("slow").Pid))
	p.exits(0)
	out, errs, code := i.sidekick("restart", "slow", "other")
	if code != 0 || strings.Contains(out+errs, "\x1b") || strings.Contains(out+errs, "waiting") {
		t.Errorf("exit code %d: %q %q", code, out, errs)
	}
}
