package procstat_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sidekick/procstat"
)

// The test binary runs itself as the processes that are measured: CHILDREN
// says how many generations follow. Each prints a line when it is ready.
func TestMain(m *testing.M) {
	procstat.Init()
	if generations, err := strconv.Atoi(os.Getenv("PROCSTAT_TEST_CHILDREN")); err == nil {
		child(generations)
		return
	}
	os.Exit(m.Run())
}

// child holds 16 MiB and 10 descriptors, starts the next generation, and waits
// until its stdin is closed; with SPIN it uses a processor meanwhile.
func child(generations int) {
	hold := make([]byte, 16<<20)
	for i := 0; i < len(hold); i += 512 {
		hold[i] = 1
	}
	for range 10 {
		os.Open(os.DevNull)
	}
	if generations > 0 {
		next := exec.Command(os.Args[0])
		next.Env = append(os.Environ(), fmt.Sprint("PROCSTAT_TEST_CHILDREN=", generations-1))
		next.Stdin, next.Stdout = os.Stdin, os.Stdout
		if next.Start() != nil {
			os.Exit(3)
		}
		defer next.Wait()
	}
	if os.Getenv("PROCSTAT_TEST_SPIN") != "" {
		go func() { // ends with the process
			for n := uint64(0); ; n++ {
				spun.Store(n)
			}
		}()
	}
	fmt.Println("ready", hold[0])
	io.Copy(io.Discard, os.Stdin)
}

// spun keeps the spinning loop from being empty.
var spun atomic.Uint64

// start starts a child with so many generations below it and waits until all
// are ready.
func start(t *testing.T, generations int, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	// Under the race detector a process sleeps for a second before it ends.
	cmd.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0", fmt.Sprint("PROCSTAT_TEST_CHILDREN=", generations)), env...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); cmd.Wait() })
	for ready := bufio.NewScanner(stdout); generations >= 0; generations-- {
		if !ready.Scan() {
			t.Fatal("a child ended early")
		}
	}
	return cmd
}

func TestTreesSumsOverATree(t *testing.T) {
	before := time.Now()
	one, three := start(t, 0).Process.Pid, start(t, 2).Process.Pid
	after := time.Now()
	stats := procstat.Trees([]int{one, three})
	if len(stats) != 2 {
		t.Fatalf("%d trees, want 2", len(stats))
	}
	const mib = 1 << 20
	a, b := stats[one], stats[three]
	for what, ok := range map[string]bool{
		"one holds 16 MiB and a Go program":    16*mib < a.MemoryBytes && a.MemoryBytes < 160*mib,
		"three hold about three times as much": 2*b.MemoryBytes > 5*a.MemoryBytes && 2*b.MemoryBytes < 7*a.MemoryBytes,
		"one has 13 descriptors and a few":     a.FDs >= 13 && a.FDs < 30,
		"three have about three times as many": b.FDs >= 39 && b.FDs < 90,
		"one has threads":                      a.Threads >= 1,
		"three have at least three":            b.Threads >= 3,
	} {
		if !ok {
			t.Errorf("not true: %s; %+v, %+v", what, a, b)
		}
	}
	for _, stat := range stats {
		// A start time is counted in ticks of 10 ms.
		if stat.Started.Before(before.Add(-20*time.Millisecond)) || stat.Started.After(after.Add(20*time.Millisecond)) {
			t.Errorf("started %v, want %v to %v", stat.Started, before, after)
		}
	}
}

// A tree may be asked for together with one inside it.
func TestTreesMayBeNested(t *testing.T) {
	child := start(t, 0).Process.Pid
	stats := procstat.Trees([]int{os.Getpid(), child})
	if self, inner := stats[os.Getpid()], stats[child]; self.MemoryBytes <= inner.MemoryBytes || self.FDs <= inner.FDs {
		t.Errorf("the whole %+v is not more than its part %+v", self, inner)
	}
}

// Self is this process without its children.
func TestSelf(t *testing.T) {
	start(t, 1)
	self, all := procstat.Self(), procstat.Trees([]int{os.Getpid()})[os.Getpid()]
	if self.MemoryBytes == 0 || self.MemoryBytes >= all.MemoryBytes || self.FDs == 0 || self.Started.IsZero() {
		t.Errorf("self %+v, with children %+v", self, all)
	}
}

// used is the processor time behind a CPUPercent.
func used(stat procstat.Stat) time.Duration {
	return time.Duration(stat.CPUPercent / 100 * float64(time.Since(stat.Started)))
}

func TestTreesCPU(t *testing.T) {
	busy, idle := start(t, 0, "PROCSTAT_TEST_SPIN=1").Process.Pid, start(t, 0).Process.Pid
	var stats map[int]procstat.Stat
	const enough = 500 * time.Millisecond
	for limit := time.Now().Add(30 * time.Second); used(stats[busy]) < enough; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("a busy process uses %v %%", stats[busy].CPUPercent)
		}
		stats = procstat.Trees([]int{busy, idle})
	}
	// One busy thread, and what the runtime does beside it.
	if percent := stats[busy].CPUPercent; percent > 200 {
		t.Errorf("a busy thread uses %v %%", percent)
	}
	if used(stats[idle]) > enough/2 {
		t.Errorf("an idle process uses %v %%", stats[idle].CPUPercent)
	}
}

func TestTreesOfWhatIsGone(t *testing.T) {
	cmd := exec.Command("/bin/true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if stats := procstat.Trees([]int{cmd.Process.Pid, 0, -1}); len(stats) != 0 {
		t.Errorf("%v, want nothing", stats)
	}
	if stats := procstat.Trees(nil); len(stats) != 0 {
		t.Errorf("%v, want nothing", stats)
	}
}

func TestStatInJSON(t *testing.T) {
	got, err := json.Marshal(procstat.Stat{CPUPercent: 1.5, MemoryBytes: 2, Threads: 3, FDs: 4, Started: time.Unix(0, 0).UTC()})
	want := `{"cpu_percent":1.5,"cpu_seconds":0,"memory_bytes":2,"threads":3,"fds":4,"started":"1970-01-01T00:00:00Z"}`
	if err != nil || strings.TrimSpace(string(got)) != want {
		t.Errorf("%s, %v\nwant %s", got, err, want)
	}
}

func BenchmarkTrees(b *testing.B) {
	for b.Loop() {
		procstat.Trees([]int{os.Getpid()})
	}
}
