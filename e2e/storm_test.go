//go:build storm

package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// children counts the direct children of a process; of PID 1 in a storm these
// are its programs and the orphans that it has not reaped.
func children(pid int) (n int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		data, _ := os.ReadFile(task)
		n += len(strings.Fields(string(data)))
	}
	return n
}

// 20,000 orphans as fast as one program can fork: they are reaped as they come,
// and the exits of other programs in that time are told right.
func TestStormOfOrphans(t *testing.T) {
	i := runPID1(t, `
programs:
  storm: {command: ["${ACTOR}", orphans, "20000"], min_uptime: 0s}
  steady: {command: sleep 1000, min_uptime: 0s}
  seven: {command: [sh, -c, 'echo >> $DIR/sevens; exit 7'], restart: on-failure, backoff: {initial: 20ms, max: 20ms}, essential: false}
`)
	begun, most := time.Now(), 0
	for !strings.Contains(i.out(), "forked 20000") {
		most = max(most, children(i.pid))
		if time.Since(begun) > patience {
			t.Fatal("the storm does not end")
		}
		time.Sleep(time.Millisecond) // between two samples
	}
	over := time.Now()
	eventually(t, "no zombie is left", func() bool {
		return !slices.ContainsFunc(processes(i.pid), func(p process) bool { return p.state == "Z" })
	})
	t.Logf("20,000 orphans in %v, at most %d children at once, no zombie after %v", over.Sub(begun), most, time.Since(over))
	if took := time.Since(over); took > time.Second+slack {
		t.Errorf("the last orphan was reaped after %v", took)
	}
	if most > 5000 { // on a machine that does nothing else it is some dozens
		t.Errorf("%d children of sidekick at once", most)
	}
	i.sidekick("stop", "seven")
	if got := i.status("steady"); got.State != "RUNNING" || got.Restarts != 0 {
		t.Errorf("steady is %+v", got)
	}
	i.stops()
	lives, told := len(i.read("sevens")), strings.Count(i.log(), `reason="exit status 7"`)
	if told < lives-1 || told > lives { // the last one may have been stopped
		t.Errorf("%d lives ended with 7, and %d were told so", lives, told)
	}
}

// 5,000 orphans end at one instant.
func TestStormOfDeaths(t *testing.T) {
	i := runPID1(t, `programs: {burst: {command: ["${ACTOR}", burst, "5000"], min_uptime: 0s}}`)
	i.says("ended 5000")
	begun := time.Now()
	eventually(t, "all are reaped", func() bool { return children(i.pid) == 1 })
	t.Logf("reaped after %v", time.Since(begun))
	if took := time.Since(begun); took > 5*time.Second+slack {
		t.Errorf("5,000 orphans were reaped after %v", took)
	}
	i.stops()
}

// 1,000 programs exit 7 at once while orphans storm beside them.
func TestStormOfExits(t *testing.T) {
	i := runPID1(t, `
programs:
  storm: {command: ["${ACTOR}", orphans, "5000"], min_uptime: 0s}
  seven: {command: [sh, -c, 'exit 7'], replicas: 1000, restart: no, essential: false}
`)
	i.eventuallyAll("EXITED", func(p program) bool { return p.State == "EXITED" }, "seven")
	all := i.statuses("seven")
	if len(all) != 1000 {
		t.Errorf("%d programs", len(all))
	}
	for _, p := range all {
		if p.ExitCode == nil || *p.ExitCode != 7 || p.Signal != "" || p.Reason != "exit status 7" {
			t.Errorf("%+v", p)
		}
	}
	i.stops()
}

// 1,000 programs start, restart, stop and start again; half of them stop with
// sidekick. It takes CPU time in proportion to their number: it took five times
// as much when every one of a thousand requests woke at every snapshot.
func TestThousandPrograms(t *testing.T) {
	i := runPID1(t, `
shutdown_timeout: 20s
programs:
  one: {command: sleep 1000, replicas: 500, min_uptime: 0s}
  other: {command: sleep 1000, replicas: 500, min_uptime: 0s}
`)
	first := i.allAlive()
	for _, c := range []struct{ action, name, state string }{
		{"restart", "all", "RUNNING"}, {"stop", "all", "STOPPED"}, {"start", "all", "RUNNING"}, {"stop", "one", ""},
	} {
		begun, before := time.Now(), cpuTicks(t, i.pid)
		if _, errs, code := i.sidekick(c.action, c.name); code != 0 {
			t.Fatalf("%s %s: exit code %d: %.500s", c.action, c.name, code, errs)
		}
		cpu := 10 * (cpuTicks(t, i.pid) - before)
		t.Logf("%s %s: %v, %d ms of CPU", c.action, c.name, time.Since(begun).Round(time.Millisecond), cpu)
		if cpu > 2000 {
			t.Errorf("%s %s took %d ms of CPU", c.action, c.name, cpu)
		}
		for _, p := range i.statuses() {
			if c.state != "" && (p.State != c.state || p.Pid != 0 && p.Pid == first[p.Name]) {
				t.Errorf("after %s %s: %+v", c.action, c.name, p)
			}
		}
	}
	if n := children(i.pid); n != 500 {
		t.Errorf("after stop one sidekick has %d children", n)
	}
	i.stops()
}

// A program takes every process there may be. fork fails for sidekick: it
// waits and tries again, neither dies nor spins, and goes on when there is room.
func TestForkBomb(t *testing.T) {
	for name, h := range map[string]how{
		"pids cgroup": pidsLimit(t, 60),
		"nproc":       {uid: 55555, cwd: "/", wrapper: []string{"prlimit", "--nproc=60"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if h.wrapper == nil {
				missing(t, "a pids controller to make a group in")
			}
			forkBomb(t, h)
		})
	}
}

func forkBomb(t *testing.T, h how) {
	i := h.launch(t, `
programs:
  flap: {command: sleep 0.1, restart: always, min_uptime: 0s, backoff: {initial: 50ms, max: 200ms}}
  shim: {command: sleep 0.1, restart: always, min_uptime: 0s, backoff: {initial: 50ms, max: 200ms}, nice: 1}
  checked: {command: sleep 1000, min_uptime: 0s, healthcheck: {exec: "true", interval: 100ms}, stop_grace_period: 1s}
  bomb: {command: ["${ACTOR}", crowd], min_uptime: 0s}
`)
	i.says("| full")
	eventually(t, "fork fails", func() bool {
		return strings.Contains(i.log(), "program=flap from=STARTING to=BACKOFF") && strings.Contains(i.log(), unix.EAGAIN.Error())
	})
	before := cpuTicks(t, i.pid)
	time.Sleep(2 * time.Second) // a sample of its CPU time
	used := cpuTicks(t, i.pid) - before
	t.Logf("%d ms of CPU in 2 s", used*10)
	if used > 50 {
		t.Errorf("it used %d ms of CPU in 2 s", used*10)
	}
	if got := i.status("bomb"); got.State != "RUNNING" {
		t.Errorf("bomb is %+v", got)
	}
	if _, errs, code := i.sidekick("stop", "bomb"); code != 0 {
		t.Errorf("stop bomb: exit code %d: %s", code, errs)
	}
	seen := i.status("flap").Restarts
	eventually(t, "flap runs and is restarted", func() bool { s := i.status("flap"); return s.State == "RUNNING" && s.Restarts > seen })
	eventually(t, "checked is healthy", func() bool { h := i.status("checked").Health; return h != nil && h.Status == "healthy" })
	i.stops()
}

// pidsLimit runs sidekick in a cgroup of at most so many processes. The zero
// how: there is no pids controller.
func pidsLimit(t *testing.T, limit int) how {
	for _, root := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup"} {
		group := filepath.Join(root, fmt.Sprintf("sidekick-e2e-%d-%x", os.Getpid(), rand.Uint32()))
		if os.Mkdir(group, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { // when the last process has left it
			eventually(t, "the cgroup is removed", func() bool { return os.Remove(group) == nil })
		})
		if os.WriteFile(group+"/pids.max", []byte(strconv.Itoa(limit)), 0o644) == nil {
			return how{wrapper: []string{"sh", "-c", `echo $$ > ` + group + `/cgroup.procs && exec "$@"`, "sh"}}
		}
	}
	return how{}
}

// TERM at any moment after PID 1 was executed: it ends, and never hangs. Two
// moments are not ours. Before the Go runtime has handlers the kernel drops the
// signal, so that the next one counts. From then until our first package is
// initialised the runtime ends PID 1 with status 2, as it ends an empty Go
// program, and takes its time for it on a busy machine. How often is logged.
func TestTermRightAfterExec(t *testing.T) {
	seen := terms(t, 200, false)
	t.Log(seen)
	for end, times := range seen {
		if end.code != 0 && end.code != 2 {
			t.Errorf("%s, %d times", end, times)
		}
	}
}

// From sidekick's first word on every TERM counts.
func TestTermAfterTheFirstWord(t *testing.T) {
	for end, times := range terms(t, 100, true) {
		if end.code != 0 || end.again {
			t.Errorf("%s, %d times", end, times)
		}
	}
}

// terms starts so many sidekicks as PID 1 and sends each TERM up to 5 ms after
// its exec, or after its first word. It returns how they ended, and how often so.
func terms(t *testing.T, rounds int, word bool) map[ending]int {
	needRoot(t)
	const workers = 4
	config := filepath.Join(t.TempDir(), "sidekick.yaml")
	write(t, filepath.Dir(config), "sidekick.yaml", `programs: {web: {command: sleep 1000}}`)
	var mu sync.Mutex
	seen := map[ending]int{}
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			for n := range rounds / workers {
				delay := time.Duration(random.Int64N(int64(5 * time.Millisecond)))
				end := termAfter(t, config, fmt.Sprintf("%d-%d", worker, n), delay, word)
				mu.Lock()
				seen[end]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return seen
}

// ending is how a sidekick ended: code -1 if it had to be killed; again if TERM
// had to be sent again.
type ending struct {
	code  int
	again bool
}

func (e ending) String() string {
	if e.again {
		return fmt.Sprintf("exit code %d at the second TERM", e.code)
	}
	return fmt.Sprintf("exit code %d", e.code)
}

func termAfter(t *testing.T, config, name string, delay time.Duration, word bool) (end ending) {
	cmd := exec.Command(filepath.Join(bin, "sidekick"), "run", "-c", config)
	cmd.Env = append(os.Environ(), "SIDEKICK_SOCKET="+filepath.Join(filepath.Dir(config), name))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	said, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start() // returns after the exec
	}
	if err != nil {
		t.Error(err)
		return ending{code: -1}
	}
	if word {
		_, _ = said.Read(make([]byte, 1))
	}
	for begun := time.Now(); time.Since(begun) < delay; {
	}
	ended := make(chan struct{})
	_ = cmd.Process.Signal(unix.SIGTERM)
	go func() { _, _ = io.Copy(io.Discard, said); _ = cmd.Wait(); close(ended) }() // ends with the process
	first := 200 * time.Millisecond
	if word {
		first = 10 * time.Second
	}
	for _, wait := range []time.Duration{first, 10 * time.Second} {
		select {
		case <-ended:
			end.code = cmd.ProcessState.ExitCode()
			return end
		case <-time.After(wait):
			end.again = true
			_ = cmd.Process.Signal(unix.SIGTERM)
		}
	}
	_ = cmd.Process.Kill()
	<-ended
	return ending{-1, true}
}

// 100 programs run and nothing is due: no thread of sidekick wakes.
func TestIdleIsIdle(t *testing.T) { // not in parallel: storms beside it would be measured too
	i := runPID1(t, `
programs:
  web: {command: sleep 1000, replicas: 100}
  slow: {command: sleep 1000, healthcheck: {exec: "true", interval: 1h}}
  ready: {command: ["${ACTOR}", say, READY=1, hang], notify: true}
`)
	i.allAlive()
	eventually(t, "slow is healthy", func() bool { h := i.status("slow").Health; return h != nil && h.Status == "healthy" })
	// What the requests left behind comes to its end first: their connections,
	// and the memory that the Go runtime gives back some seconds after a
	// collection, in bursts of half a hundred wake-ups.
	last, quiet := switches(t, i.pid), 0
	eventually(t, "it has been at rest for four seconds", func() bool {
		time.Sleep(500 * time.Millisecond) // a sample of its wake-ups
		before := last
		last = switches(t, i.pid)
		if quiet++; last-before > 3 {
			quiet = 0
		}
		return quiet == 8
	})
	// A burst of the runtime's may be yet to come, once. What wakes by a timer of
	// ours does so in every window.
	const window, most = 10 * time.Second, 20
	least := most
	for n := 1; n <= 4 && least >= most; n++ {
		cpu, before := cpuTicks(t, i.pid), switches(t, i.pid)
		time.Sleep(window) // a sample of its wake-ups
		rise := switches(t, i.pid) - before
		t.Logf("%d context switches and %d ms of CPU in %v", rise, (cpuTicks(t, i.pid)-cpu)*10, window)
		least = min(least, rise)
	}
	if least >= most {
		t.Errorf("in none of the windows of %v its threads were switched fewer than %d times", window, most)
	}
	i.stops()
}

// switches adds up the context switches of all threads.
func switches(t *testing.T, pid int) (sum int) {
	t.Helper()
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, task := range tasks {
		for _, name := range []string{"voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"} {
			n, _ := strconv.Atoi(fieldOf(t, task, name))
			sum += n
		}
	}
	return sum
}

// Hundreds of lives leave neither descriptors nor threads nor memory behind.
func TestCrashLoopLeavesNothing(t *testing.T) {
	t.Parallel()
	i := runPlain(t, `
x-loop: &loop {restart: always, essential: false, backoff: {initial: 1ms, max: 1ms, jitter: 0}}
programs:
  crash: {<<: *loop, command: [sh, -c, 'echo line; echo >> $DIR/lives; exit 1']}
  shim: {<<: *loop, command: "false", umask: "022"}
  notify: {<<: *loop, command: "false", notify: true}
  missing: {<<: *loop, command: /no/such/file}
`)
	size := func() (fds, threads, kib int) {
		all, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", i.pid))
		threads, _ = strconv.Atoi(field(t, i.pid, "Threads"))
		kib, _ = strconv.Atoi(strings.TrimSuffix(field(t, i.pid, "VmRSS"), " kB"))
		return len(all), threads, kib
	}
	eventually(t, "100 lives", func() bool { return len(i.read("lives")) > 100 })
	fds, threads, kib := size()
	eventually(t, "500 lives more", func() bool { return len(i.read("lives")) > 600 })
	for _, name := range []string{"crash", "shim", "notify", "missing"} {
		i.sidekick("stop", name)
	}
	eventually(t, "descriptors are as before", func() bool { now, _, _ := size(); return now <= fds })
	nowFds, nowThreads, nowKiB := size()
	t.Logf("descriptors %d, %d; threads %d, %d; KiB %d, %d", fds, nowFds, threads, nowThreads, kib, nowKiB)
	if nowThreads > threads+3 || nowKiB > kib+8<<10 {
		t.Errorf("threads %d, then %d; KiB %d, then %d", threads, nowThreads, kib, nowKiB)
	}
	i.stops()
}
