//go:build ignore

// Command logs measures how fast the output of a program is carried to where it
// is to go, and what that costs: sidekick beside supervisord, s6-log and svlogd,
// in one run. Call it with `make bench-logs`; bench/README.md has results.
//
// A child writes lines of 100 bytes, once in large writes and once with one write
// a line. The rate counts from its first byte to the arrival of the last; CPU is
// that of the process that carries, without the child's.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const lineLength = 100

var (
	size    = flag.Int64("mib", 1024, "how much the child writes, in MiB")
	rounds  = flag.Int("rounds", 3, "the median of so many is shown")
	only    = flag.String("only", "", "only contestants whose name has this")
	binary  = flag.String("sidekick", "bin/sidekick", "the binary to measure")
	where   = flag.String("dir", "/dev/shm", "where the log files go")
	profile = flag.String("perf", "", "record a profile of each sidekick in this folder, with perf")
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		child(os.Args[2], os.Args[3], os.Args[4])
		return
	}
	flag.Parse()
	if err := measure(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// child waits until somebody opens the FIFO, writes, closes its stdout and lives
// on while its parent does, so that its end is no part of what is measured.
func child(how, lines, fifo string) {
	n, _ := strconv.Atoi(lines)
	parent := os.Getppid()
	if f, err := os.Open(fifo); err == nil {
		f.Close()
	}
	each := 650 // about 64 KiB a write
	if how == "line" {
		each = 1
	}
	line := append(bytes.Repeat([]byte("x"), lineLength-1), '\n')
	block := bytes.Repeat(line, each)
	for n > 0 {
		k := min(n, each)
		for rest := block[:k*lineLength]; len(rest) > 0; { // a signal of Go's own may cut a write short
			m, err := syscall.Write(1, rest)
			if err != nil && err != syscall.EINTR {
				os.Exit(1)
			}
			rest = rest[max(0, m):]
		}
		n -= k
	}
	syscall.Close(1)
	for os.Getppid() == parent { // who started us is killed at the end
		time.Sleep(time.Second)
	}
}

// contestant carries the output of a command; out is a pipe that is read, or nil.
type contestant struct {
	name, writes string
	toPipe       bool
	start        func(dir string, command []string, out *os.File) (*exec.Cmd, error)
}

var contestants = []contestant{
	{"raw file: sidekick", "large", false, sidekick("{to: file, format: raw, path: out/log, max_size: 64MiB, max_files: 100}")},
	{"raw file: supervisord", "large", false, supervisord("out/log\nstdout_logfile_maxbytes=64MB\nstdout_logfile_backups=100")},
	{"raw file: s6-log", "large", false, filter("s6-log", "n100", "s67108864", "./out")},
	{"raw file: svlogd", "large", false, svlogd},
	{"text pipe: sidekick", "large", true, sidekick("{to: stdout, format: text}")},
	{"text pipe: s6-log", "large", true, filter("s6-log", "pweb | ", "1")},
	{"raw pipe: supervisord", "large", true, supervisord("/dev/stdout\nstdout_logfile_maxbytes=0")},
	{"one write a line, raw file: sidekick", "line", false, sidekick("{to: file, format: raw, path: out/log, max_size: 64MiB, max_files: 100}")},
	{"one write a line, raw file: supervisord", "line", false, supervisord("out/log\nstdout_logfile_maxbytes=64MB\nstdout_logfile_backups=100")},
	{"one write a line, raw file: s6-log", "line", false, filter("s6-log", "n100", "s67108864", "./out")},
	{"one write a line, raw file: svlogd", "line", false, svlogd},
	{"one write a line, text pipe: sidekick", "line", true, sidekick("{to: stdout, format: text}")},
	{"one write a line, text pipe: s6-log", "line", true, filter("s6-log", "pweb | ", "1")},
}

func sidekick(logging string) func(string, []string, *os.File) (*exec.Cmd, error) {
	return func(dir string, command []string, out *os.File) (*exec.Cmd, error) {
		file := fmt.Sprintf("programs: {web: {command: [%s], logging: %s}}\ncontrol: {socket: s.sock}\n", strings.Join(command, ", "), logging)
		if err := os.WriteFile(filepath.Join(dir, "s.yaml"), []byte(file), 0o600); err != nil {
			return nil, err
		}
		path, err := filepath.Abs(*binary)
		if err != nil {
			return nil, err
		}
		return begin(exec.Command(path, "run", "-c", "s.yaml"), dir, nil, out)
	}
}

func supervisord(logfile string) func(string, []string, *os.File) (*exec.Cmd, error) {
	return func(dir string, command []string, out *os.File) (*exec.Cmd, error) {
		file := fmt.Sprintf("[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile=%s/pid\nuser=root\n[program:web]\ncommand=%s\nstdout_logfile=%s\n",
			dir, strings.Join(command, " "), logfile)
		if err := os.WriteFile(filepath.Join(dir, "s.conf"), []byte(file), 0o600); err != nil {
			return nil, err
		}
		return begin(exec.Command("supervisord", "--silent", "-c", "s.conf"), dir, nil, out)
	}
}

// filter starts a command and pipes its output into a logger, which is measured.
func filter(logger ...string) func(string, []string, *os.File) (*exec.Cmd, error) {
	return func(dir string, command []string, out *os.File) (*exec.Cmd, error) {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		defer w.Close()
		if _, err := begin(exec.Command(command[0], command[1:]...), dir, nil, w); err != nil {
			return nil, err
		}
		return begin(exec.Command(logger[0], logger[1:]...), dir, r, out)
	}
}

func svlogd(dir string, command []string, out *os.File) (*exec.Cmd, error) {
	if err := os.WriteFile(filepath.Join(dir, "out/config"), []byte("s67108864\nn100\n"), 0o600); err != nil {
		return nil, err
	}
	return filter("svlogd", "-b", "65536", "out")(dir, command, out)
}

// group is the process group of what is measured: cleaned up at its end.
var group []*exec.Cmd

func begin(cmd *exec.Cmd, dir string, in, out *os.File) (*exec.Cmd, error) {
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if in != nil {
		cmd.Stdin = in
	}
	if out != nil {
		cmd.Stdout = out
	}
	err := cmd.Start()
	group = append(group, cmd)
	return cmd, err
}

type result struct {
	rate, cpu float64 // MB/s, seconds per GiB
	lost      int64   // lines
}

func measure() error {
	results := map[string][]result{}
	for range *rounds {
		for _, c := range contestants {
			if !strings.Contains(c.name, *only) {
				continue
			}
			r, err := c.run()
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			results[c.name] = append(results[c.name], r)
			fmt.Fprintf(os.Stderr, "%-42s %7.0f MB/s %6.2f CPU s/GiB %d lines lost\n", c.name, r.rate, r.cpu, r.lost)
		}
	}
	fmt.Printf("| %d MiB in lines of %d bytes, median of %d | MB/s | CPU s/GiB | lines lost |\n|---|---|---|---|\n", *size, lineLength, *rounds)
	for _, c := range contestants {
		if all := results[c.name]; len(all) > 0 {
			fmt.Printf("| %s | %.0f | %.2f | %d |\n", c.name, median(all, func(r result) float64 { return r.rate }),
				median(all, func(r result) float64 { return r.cpu }), slices.MaxFunc(all, func(a, b result) int { return int(a.lost - b.lost) }).lost)
		}
	}
	return nil
}

func median(all []result, of func(result) float64) float64 {
	var values []float64
	for _, r := range all {
		values = append(values, of(r))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func (c *contestant) run() (r result, err error) {
	dir, err := os.MkdirTemp(*where, "bench-logs-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	defer func() {
		for _, cmd := range group {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		group = nil
	}()
	fifo := filepath.Join(dir, "go")
	if err := errorsOf(os.Mkdir(filepath.Join(dir, "out"), 0o700), syscall.Mkfifo(fifo, 0o600)); err != nil {
		return r, err
	}
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	lines := *size << 20 / lineLength
	arrived := func() int64 { return folderSize(filepath.Join(dir, "out")) }
	var out *os.File
	if c.toPipe {
		reader, writer, err := os.Pipe()
		if err != nil {
			return r, err
		}
		defer reader.Close()
		count := make(chan int64, 1)
		var last int64
		go counted(reader, lines, count)
		arrived = func() int64 { // waits
			last = <-count
			return last
		}
		out = writer
	}
	cmd, err := c.start(dir, []string{self, "child", c.writes, strconv.FormatInt(lines, 10), fifo}, out)
	if out != nil {
		out.Close()
	}
	if err != nil {
		return r, err
	}
	gate, err := os.OpenFile(fifo, os.O_WRONLY, 0) // waits for the child
	if err != nil {
		return r, err
	}
	defer gate.Close()
	perf := c.perf(cmd.Process.Pid)
	cpu, begun := cpuOf(cmd.Process.Pid), time.Now()
	gate.Close()
	want, got := lines, int64(0)
	if !c.toPipe {
		want *= lineLength
	}
	for changed := time.Now(); got < want && time.Since(changed) < 5*time.Second; {
		now := arrived()
		if now != got {
			got, changed = now, time.Now()
		}
		if !c.toPipe {
			time.Sleep(2 * time.Millisecond)
		} else {
			break
		}
	}
	took := time.Since(begun)
	used := cpuOf(cmd.Process.Pid) - cpu
	if perf != nil {
		_ = perf.Process.Signal(os.Interrupt)
		_ = perf.Wait()
	}
	r.rate = float64(lines*lineLength) / 1e6 / took.Seconds()
	r.cpu = used.Seconds() * 1024 / float64(*size)
	r.lost = want - got
	if !c.toPipe {
		r.lost /= lineLength
	}
	return r, nil
}

func (c *contestant) perf(pid int) *exec.Cmd {
	if *profile == "" || !strings.Contains(c.name, "sidekick") {
		return nil
	}
	name := strings.NewReplacer(" ", "-", ":", "", ",", "").Replace(c.name)
	cmd := exec.Command("perf", "record", "-q", "-g", "-p", strconv.Itoa(pid), "-o", filepath.Join(*profile, name))
	if cmd.Start() != nil {
		return nil
	}
	return cmd
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// counted counts lines until there are so many, or the end, or nothing comes.
func counted(from *os.File, lines int64, count chan<- int64) {
	buf := make([]byte, 256<<10)
	var n int64
	for n < lines {
		_ = from.SetReadDeadline(time.Now().Add(20 * time.Second))
		k, err := from.Read(buf)
		n += int64(bytes.Count(buf[:k], []byte("\n")))
		if err != nil {
			break
		}
	}
	count <- n
	_, _ = io.Copy(io.Discard, from)
}

// folderSize is how many bytes of lines are there.
func folderSize(dir string) (n int64) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && info.Mode().IsRegular() && !slices.Contains([]string{"config", "lock", "state"}, entry.Name()) {
			n += info.Size()
		}
	}
	return n
}

// cpuOf is the processor time of a process without its children (proc(5)).
func cpuOf(pid int) time.Duration {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}
