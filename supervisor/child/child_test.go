package child

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// reaper is the one owner of wait in the test process: wait4(-1) takes every
// child, so there can be no second one.
var reaper *Reaper

func TestMain(m *testing.M) {
	if request, ok := os.LookupEnv("CHILD_TEST_START"); ok {
		startAsAsked(request)
		return
	}
	DefaultSignals() // the tests may run under nohup
	if err := Adopt(); err != nil {
		panic(err)
	}
	reaper = NewReaper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = reaper.Run(ctx) })
	code := m.Run()
	cancel()
	running.Wait()
	os.Exit(code)
}

const patience = 20 * time.Second

// started is a process with what it says.
type started struct {
	t *testing.T
	*Process
	out    *bufio.Reader
	events chan Event
}

// sh starts a shell with a script.
func sh(t *testing.T, script string) *started {
	t.Helper()
	return start(t, Spec{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: os.Environ()})
}

func start(t *testing.T, spec Spec) *started {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	spec.Stdout, spec.Stderr = w, w
	p, err := reaper.Start(spec)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	s := &started{t: t, Process: p, out: bufio.NewReader(r), events: make(chan Event, 10)}
	p.Notify(func(e Event) { s.events <- e })
	t.Cleanup(func() { _ = p.Signal(unix.SIGKILL, true) })
	return s
}

func (s *started) line() string {
	s.t.Helper()
	line, err := s.out.ReadString('\n')
	if err != nil {
		s.t.Fatalf("no line: %v", err)
	}
	return strings.TrimSpace(line)
}

func (s *started) event() Event {
	s.t.Helper()
	select {
	case e := <-s.events:
		return e
	case <-time.After(patience):
		s.t.Fatal("no event")
		return Event{}
	}
}

func (s *started) exit() Exit {
	s.t.Helper()
	e := s.event()
	if e.Exited == nil {
		s.t.Fatalf("got %+v, want an exit", e)
	}
	return *e.Exited
}

// eventually polls, since it waits for other processes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond) // the pace of the poll, nothing waits for it
	}
}

func TestExit(t *testing.T) {
	for script, want := range map[string]Exit{
		"exit 0":        {},
		"exit 1":        {Code: 1},
		"exit 127":      {Code: 127},
		"exit 255":      {Code: 255},
		"kill -TERM $$": {Signal: unix.SIGTERM},
		"kill -KILL $$": {Signal: unix.SIGKILL},
		"kill -SEGV $$": {Signal: unix.SIGSEGV},
		"kill -QUIT $$": {Signal: unix.SIGQUIT},
	} {
		t.Run(script, func(t *testing.T) {
			s := sh(t, script)
			e := s.event()
			if e.Exited == nil || *e.Exited != want || !e.GroupEmpty {
				t.Errorf("got %+v, want exit %+v and an empty group", e, want)
			}
		})
	}
	if got := (Exit{Signal: unix.SIGKILL}).Status(); got != 137 {
		t.Errorf("SIGKILL is %d to a shell, want 137", got)
	}
}

// The processor time of a process has that of the children it has waited for.
func TestCPUTime(t *testing.T) {
	idle, busy := sh(t, "exit 0").event(), sh(t, "(i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done); exit 0").event()
	if busy.CPU < 10*time.Millisecond || busy.CPU > patience || idle.CPU <= 0 || idle.CPU > busy.CPU {
		t.Errorf("a busy process used %v, an idle one %v", busy.CPU, idle.CPU)
	}
}

func TestStartErrors(t *testing.T) { startErrors(t, nil) }

func startErrors(t *testing.T, setup *Setup) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		if err := os.WriteFile(dir+"/"+name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return dir + "/" + name
	}
	for name, c := range map[string]struct {
		spec Spec
		want error
	}{
		"missing":        {Spec{Path: dir + "/nothing"}, unix.ENOENT},
		"not executable": {Spec{Path: write("plain", "x", 0o644)}, unix.EACCES},
		"a directory":    {Spec{Path: dir}, unix.EACCES},
		"no format":      {Spec{Path: write("garbage", "garbage", 0o755)}, unix.ENOEXEC},
		"no interpreter": {Spec{Path: write("script", "#!/no/interpreter\n", 0o755)}, unix.ENOENT},
		"no working dir": {Spec{Path: "/bin/true", Dir: dir + "/nothing"}, unix.ENOENT},
	} {
		t.Run(name, func(t *testing.T) {
			c.spec.Args, c.spec.Stdout, c.spec.Stderr = []string{"x"}, os.Stdout, os.Stderr
			c.spec.Setup = setup
			if _, err := reaper.Start(c.spec); err != c.want { // bare, as explanations expect it
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// No status is lost or mixed up while children die before they are known,
// while execs fail, and while orphans die beside them.
func TestNoStatusIsLost(t *testing.T) { noStatusIsLost(t, nil) }

func noStatusIsLost(t *testing.T, setup *Setup) {
	rounds := 40
	if setup != nil {
		rounds = 8 // with the race detector a shim takes long
	}
	storm := sh(t, `for i in $(seq 200); do ( ( exit 9 ) & ); done`)
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range rounds {
				code := (worker*40 + i) % 256
				if i%4 == 0 {
					_, _ = reaper.Start(Spec{Path: "/no/such/file", Args: []string{"x"}, Stdout: os.Stdout, Stderr: os.Stderr, Setup: setup})
				}
				s := start(t, Spec{Path: "/bin/sh", Args: []string{"sh", "-c", "exit " + strconv.Itoa(code)}, Setup: setup})
				if got := s.exit(); got != (Exit{Code: code}) {
					t.Errorf("got %+v, want code %d", got, code)
				}
			}
		})
	}
	group.Wait()
	storm.exit()
}

func TestOrphansAreReaped(t *testing.T) {
	before := reaper.Orphans()
	sh(t, `for i in $(seq 100); do ( setsid true & ); done`).exit()
	eventually(t, "100 orphans are reaped", func() bool { return reaper.Orphans() >= before+100 })
	eventually(t, "no child is left", reaper.Childless)
}

func TestSignal(t *testing.T) {
	s := sh(t, `trap 'echo got; exit 3' USR1; echo ready; while :; do sleep 0.01; done`)
	s.line()
	if err := s.Signal(unix.SIGUSR1, false); err != nil {
		t.Fatal(err)
	}
	if got := s.line(); got != "got" {
		t.Errorf("the program said %q", got)
	}
	if got := s.exit(); got.Code != 3 {
		t.Errorf("got %+v", got)
	}
	for _, group := range []bool{false, true} {
		if err := s.Signal(unix.SIGKILL, group); !errors.Is(err, unix.ESRCH) {
			t.Errorf("a reaped process was signalled (group %v): %v", group, err)
		}
	}
}

// The leader is gone and reaped, a member of its group lives: first the exit is
// told, and later, when the member ends, that the group is empty.
func TestGroupOutlivesLeader(t *testing.T) {
	s := sh(t, `sleep 1000 & echo $!; exit 4`)
	member, err := strconv.Atoi(s.line())
	if err != nil {
		t.Fatal(err)
	}
	if e := s.event(); e.Exited == nil || e.Exited.Code != 4 || e.GroupEmpty {
		t.Fatalf("got %+v, want exit 4 with a living group", e)
	}
	if err := unix.Kill(member, 0); err != nil {
		t.Fatalf("the member is gone: %v", err)
	}
	if err := s.Signal(unix.SIGTERM, false); !errors.Is(err, unix.ESRCH) {
		t.Errorf("the leader is gone but was signalled: %v", err)
	}
	if err := s.Signal(unix.SIGTERM, true); err != nil {
		t.Fatal(err)
	}
	if e := s.event(); e.Exited != nil || !e.GroupEmpty {
		t.Errorf("got %+v, want an empty group", e)
	}
}

// A member that is no child of ours gives no SIGCHLD when it ends, and one that
// stays a zombie keeps the group's number: both count as gone.
func TestGroupMemberOfAnotherParent(t *testing.T) {
	// The inner shell starts the member and then leaves the group itself; as
	// `sleep` it never waits for the member.
	s := sh(t, `( sleep 0.2 & exec setsid sh -c 'echo $$; exec sleep 1000' ) & sleep 0.1; exit 0`)
	pid, err := strconv.Atoi(s.line())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = unix.Kill(pid, unix.SIGKILL)
		eventually(t, "the member is gone", func() bool { return unix.Kill(pid, 0) != nil })
	}()
	if e := s.event(); e.Exited == nil || e.GroupEmpty {
		t.Fatalf("got %+v, want an exit with a living group", e)
	}
	if e := s.event(); e.Exited != nil || !e.GroupEmpty {
		t.Errorf("got %+v, want an empty group", e)
	}
}

func TestForget(t *testing.T) {
	s := sh(t, `sleep 1000 & echo $!; exit 0`)
	member, _ := strconv.Atoi(s.line())
	s.exit()
	s.Forget()
	if err := s.Signal(unix.SIGKILL, true); !errors.Is(err, unix.ESRCH) {
		t.Errorf("a forgotten group was signalled: %v", err)
	}
	if err := unix.Kill(member, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the member is reaped", reaper.Childless)
	if len(s.events) > 0 {
		t.Errorf("event of a forgotten group: %+v", <-s.events)
	}
}

// While a fork hangs in its exec, a registered program is still signalled and
// its end is told; a corpse that nobody knows is left for the fork's own wait.
func TestSlowExecDelaysNobody(t *testing.T) {
	s := sh(t, `( sleep 1000 & echo $! ); echo ready; sleep 1000`)
	orphan, err := strconv.Atoi(s.line())
	if err != nil {
		t.Fatal(err)
	}
	s.line()
	reaper.forking.Lock()
	orphans := reaper.Orphans()
	if err := unix.Kill(orphan, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the orphan is dead", func() bool {
		found, err := peek(unix.P_ALL, 0)
		return err == nil && found != 0 && found != s.Pid()
	})
	if err := s.Signal(unix.SIGTERM, true); err != nil {
		t.Error(err)
	}
	if got := s.exit(); got.Signal != unix.SIGTERM {
		t.Errorf("got %+v", got)
	}
	if got := reaper.Orphans(); got != orphans {
		t.Errorf("%d unknown corpses were taken during a fork", got-orphans)
	}
	reaper.forking.Unlock()
	reaper.Wake()
	eventually(t, "the orphans are reaped", func() bool { return reaper.Orphans() > orphans && reaper.Childless() })
}

func TestChildState(t *testing.T) { childState(t, nil) }

func childState(t *testing.T, setup *Setup) {
	leak, err := syscall.Open("/dev/null", syscall.O_RDONLY, 0) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(leak)
	CloseOnExec()
	// As if whoever started us had ignored them; Go knows nothing of 32.
	for _, sig := range []syscall.Signal{32, unix.SIGTSTP, unix.SIGTTOU} {
		if err := sigaction(sig, &kernelSigaction{handler: sigIgnore}, nil); err != nil {
			t.Fatal(err)
		}
	}
	DefaultSignals()

	t.Run("descriptors", func(t *testing.T) {
		s := start(t, Spec{Path: "/bin/ls", Args: []string{"ls", "/proc/self/fd"}, Env: os.Environ(), Setup: setup})
		var fds []string
		for range 4 { // 3 is ls's own
			fds = append(fds, s.line())
		}
		s.exit()
		if got := strings.Join(fds, " "); got != "0 1 2 3" {
			t.Errorf("descriptors %s", got)
		}
		if rest, _ := s.out.ReadString('\n'); rest != "" {
			t.Errorf("one more descriptor: %s", rest)
		}
	})
	t.Run("signals", func(t *testing.T) {
		s := start(t, Spec{Path: "/bin/cat", Args: []string{"cat", "/proc/self/status"}, Env: os.Environ(), Setup: setup})
		s.exit()
		status, _ := io.ReadAll(s.out)
		for _, name := range []string{"SigBlk", "SigIgn", "SigCgt"} {
			if want := name + ":\t0000000000000000\n"; !strings.Contains(string(status), want) {
				t.Errorf("no %q in\n%s", want, status)
			}
		}
	})
	t.Run("session, group, stdin", func(t *testing.T) {
		s := start(t, Spec{Path: "/bin/sh", Args: []string{"sh", "-c", `cut -d' ' -f5,6 /proc/$$/stat; readlink /proc/$$/fd/0; pwd`},
			Env: os.Environ(), Dir: "/tmp", Setup: setup})
		pid := strconv.Itoa(s.Pid())
		if got := s.line(); got != pid+" "+pid {
			t.Errorf("group and session %q of pid %s", got, pid)
		}
		if got := s.line(); got != "/dev/null" {
			t.Errorf("stdin is %q", got)
		}
		if got := s.line(); got != "/tmp" {
			t.Errorf("working directory %q", got)
		}
		s.exit()
	})
}

// Sweep, when not PID 1, reaches a descendant that left its group and its
// parent, and no stranger.
func TestSweep(t *testing.T) {
	s := sh(t, `setsid sh -c 'echo $$; exec sleep 1000' & sleep 0.05; exit 0`)
	pid, err := strconv.Atoi(s.line())
	if err != nil {
		t.Fatal(err)
	}
	s.exit()
	all := descendants(os.Getpid())
	if len(all) != 1 || all[0] != pid {
		t.Errorf("descendants %v, want %d alone", all, pid)
	}
	if below(os.Getppid(), os.Getpid()) || below(1, os.Getpid()) {
		t.Error("a stranger counts as a descendant")
	}
	if reaper.Childless() {
		t.Error("childless beside a living stray")
	}
	reaper.Sweep(unix.SIGTERM)
	eventually(t, "the stray is gone", reaper.Childless)
}

func TestParseStat(t *testing.T) {
	got, err := parseStat([]byte("42 (a) b) (c) S 7 40 40 0 -1"))
	if want := (stat{state: 'S', parent: 7, group: 40}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", ")", "1 (x) S", "1 (x) S a 1", "1 (x) S 1 b"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (a) b) S 7 40 40 0 -1"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parseStat(data) })
}
