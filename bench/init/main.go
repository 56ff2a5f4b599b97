// Command init measures sidekick as PID 1 beside supervisord, s6, runit, tini
// and dumb-init, one after the other on one machine, and prints a table. What is
// not installed is left out. It wants root, for pid namespaces.
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	programs = 10
	orphans  = 10_000
)

func main() {
	bin := flag.String("bin", "bin", "directory with sidekick, sidekick-hub and actor")
	runs := flag.Int("runs", 7, "repetitions of what is timed")
	flag.Parse()
	if err := measureAll(*bin, *runs); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func measureAll(bin string, runs int) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	endpoint, stop, err := startEtcd(bin)
	if err != nil {
		return err
	}
	defer stop()
	fmt.Printf("%s, %d processors, Linux %s, %s\n\n", model(), runtime.NumCPU(), release(), runtime.Version())
	fmt.Printf("| | anonymous memory | RSS | PSS | start to exec | restart | shutdown | CPU for %d orphans | zombies left | files |\n", orphans)
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	for _, s := range subjects(bin, endpoint) {
		if _, err := exec.LookPath(s.binary); err != nil {
			fmt.Printf("| %s | not installed |\n", s.name)
			continue
		}
		if err := measure(s, bin, runs); err != nil {
			return err
		}
	}
	return nil
}

// startEtcd runs a hub, for the keys of `sidekick, registered`.
func startEtcd(bin string) (endpoint string, stop func(), err error) {
	endpoint = "http://127.0.0.1:23790"
	hub := exec.Command(filepath.Join(bin, "sidekick-hub"), "serve", "--listen-client-urls", endpoint)
	hub.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := hub.Start(); err != nil {
		return "", nil, err
	}
	return endpoint, func() { _ = hub.Process.Signal(syscall.SIGTERM); _ = hub.Wait() }, nil
}

// measure prints one row.
func measure(s subject, bin string, runs int) error {
	n := 1
	if s.many {
		n = programs
	}
	memory, err := idle(s, n)
	if err != nil {
		return err
	}
	var starts, restarts, stops []time.Duration
	for range runs {
		t, err := start(s, 1, "sleep 1000", false)
		if err != nil {
			return err
		}
		starts = append(starts, time.Since(t.begun))
		t.end()
	}
	for range runs {
		took, err := shutdown(s, n)
		if err != nil {
			return err
		}
		stops = append(stops, took)
	}
	if s.many {
		if restarts, err = restart(s, runs); err != nil {
			return err
		}
	}
	used, zombies, err := reap(s, filepath.Join(bin, "actor"))
	if err != nil {
		return err
	}
	fmt.Printf("| %s | %.1f MB | %.1f MB | %.1f MB | %s | %s | %s | %d ms | %d | %.1f MB |\n", s.name,
		mega(memory["Anonymous"]), mega(memory["Rss"]), mega(memory["Pss"]),
		median(starts), median(restarts), median(stops), used.Milliseconds(), zombies, mega(size(s)))
	return nil
}

// idle is the memory of the subject, without its programs, three seconds after
// they all run, by the fields of smaps_rollup.
func idle(s subject, n int) (map[string]int64, error) {
	t, err := start(s, n, "sleep 1000", false)
	if err != nil {
		return nil, err
	}
	defer t.end()
	time.Sleep(3 * time.Second) // what is measured is rest
	sum := map[string]int64{}
	for _, pid := range t.tree() {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); len(f) == 3 && f[2] == "kB" {
				kb, _ := strconv.ParseInt(f[1], 10, 64)
				sum[strings.TrimSuffix(f[0], ":")] += kb << 10
			}
		}
	}
	return sum, nil
}

// restart kills a program that has run for a second and a half, and takes the
// time until the next one is executed.
func restart(s subject, runs int) (all []time.Duration, err error) {
	t, err := start(s, 1, "sleep 1000", false)
	if err != nil {
		return nil, err
	}
	defer t.end()
	for range runs {
		time.Sleep(1500 * time.Millisecond) // all restart at once after a second
		begun := time.Now()
		if err := syscall.Kill(t.programs[0], syscall.SIGKILL); err != nil {
			return nil, err
		}
		line, err := t.line()
		if err != nil {
			return nil, err
		}
		all = append(all, time.Since(begun))
		t.programs[0], _ = strconv.Atoi(line)
	}
	return all, nil
}

// shutdown takes the time from the signal to the end of the subject and of all
// that it started.
func shutdown(s subject, n int) (time.Duration, error) {
	t, err := start(s, n, "sleep 1000", false)
	if err != nil {
		return 0, err
	}
	defer t.end()
	time.Sleep(1500 * time.Millisecond) // they count as running
	left := append(t.tree(), t.programs...)
	begun := time.Now()
	if err := t.cmd.Process.Signal(s.stop); err != nil {
		return 0, err
	}
	for len(left) > 0 && time.Since(begun) < limit {
		left = slices.DeleteFunc(left, func(pid int) bool { return state(pid) == "" || state(pid) == "Z" })
		time.Sleep(200 * time.Microsecond)
	}
	return time.Since(begun), nil
}

// reap lets a program leave orphans behind as fast as it can, with the subject
// as PID 1, and returns the processor time that this took PID 1, and how many
// zombies it has five seconds later.
func reap(s subject, actor string) (used time.Duration, zombies int, err error) {
	t, err := start(s, 1, fmt.Sprintf("%s orphans %d > PIPE", actor, orphans), true)
	if err != nil {
		return 0, 0, err
	}
	defer t.end()
	begun := cpu(t.pid)
	if line, err := t.line(); err != nil || !strings.HasPrefix(line, "forked") {
		return 0, 0, fmt.Errorf("the orphans are not there: %q, %w", line, err)
	}
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		zombies = 0
		for _, child := range children(t.pid) {
			if state(child) == "Z" {
				zombies++
			}
		}
		if zombies == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return cpu(t.pid) - begun, zombies, nil
}

// size is what the subject needs in an image that has nothing: its files and the
// shared libraries that they load, the C library among them.
func size(s subject) (total int64) {
	path, _ := exec.LookPath(s.binary)
	seen := map[string]bool{}
	for _, file := range append([]string{path}, s.files...) {
		_ = filepath.WalkDir(file, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !strings.Contains(path, "__pycache__") {
				total += sizeOf(path, seen)
			}
			return nil
		})
		out, _ := exec.Command("ldd", file).Output() // fails for what is no program
		for word := range strings.FieldsSeq(string(out)) {
			if strings.HasPrefix(word, "/") {
				total += sizeOf(word, seen)
			}
		}
	}
	return total
}

func sizeOf(path string, seen map[string]bool) int64 {
	real, err := filepath.EvalSymlinks(path)
	if err != nil || seen[real] {
		return 0
	}
	seen[real] = true
	info, err := os.Stat(real)
	if err != nil || info.IsDir() {
		return 0
	}
	return info.Size()
}

func mega(bytes int64) float64 { return float64(bytes) / 1e6 }

// median is that of the times, and in brackets the longest.
func median(all []time.Duration) string {
	if len(all) == 0 {
		return "-"
	}
	slices.Sort(all)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("%.1f ms (%.1f)", ms(all[len(all)/2]), ms(all[len(all)-1]))
}

func model() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, "\t :\n")
		}
	}
	return runtime.GOARCH
}

func release() string {
	data, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(data))
}
