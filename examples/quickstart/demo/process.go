package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a child of the demo.
type process struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed once the process is reaped
}

// start starts a binary of ours. Its output comes as events line by line, its
// end as an event too. It has its own process group, so that a Ctrl-C reaches
// the demo alone, and gets SIGTERM should the demo be killed.
func (d *director) start(name string, env []string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(filepath.Join(d.bin, name), args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	var readers sync.WaitGroup
	out, err := d.pipe(name, &readers)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w (`make demo` builds it)", name, err)
	}
	d.wg.Go(func() { // ends with the process
		err := p.cmd.Wait()
		at := time.Now()
		close(p.ended)
		waitAtMost(&readers, time.Second) // its last lines come first
		d.events <- event{at: at, kind: processEnded, process: name, text: p.cmd.ProcessState.String(), failed: err != nil}
	})
	return p, nil
}

// pipe makes the write end for a process's output. stdout and stderr share it,
// so the lines of both keep their order.
func (d *director) pipe(name string, readers *sync.WaitGroup) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot read the output of %s: %w", name, err)
	}
	readers.Add(1)
	d.wg.Go(func() { // ends when the last writer of the pipe is gone
		defer readers.Done()
		defer r.Close()
		lines := bufio.NewReader(r)
		for {
			line, err := lines.ReadString('\n')
			if line != "" {
				d.events <- parseLine(name, strings.TrimRight(line, "\n"), time.Now())
			}
			if err != nil {
				return
			}
		}
	})
	return w, nil
}

// waitAtMost waits for wg, but not for a pipe that an orphan keeps open.
func waitAtMost(wg *sync.WaitGroup, limit time.Duration) {
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }() // ends when the orphans are killed
	select {
	case <-done:
	case <-time.After(limit):
	}
}

// signal sends sig unless the process has been reaped: then its number may be
// somebody else's.
func (p *process) signal(sig syscall.Signal) error {
	select {
	case <-p.ended:
		return os.ErrProcessDone
	default:
		return p.cmd.Process.Signal(sig)
	}
}

// cleanUp ends whatever still runs, in order where that works, and reports
// whether nothing had to be forced.
func (d *director) cleanUp() bool {
	clean := true
	for _, p := range []*process{d.sidekick, d.hub} {
		if p != nil && !d.end(p) {
			clean = false
		}
		if killOrphans(d.hub) > 0 {
			d.narrator.warn("programs were left behind by " + p.name + " and have been killed")
			clean = false
		}
	}
	if d.stopWatch != nil {
		d.stopWatch()
	}
	d.drain()
	if d.temp != "" {
		os.RemoveAll(d.temp)
	}
	return clean
}

// end asks a process to end and kills it when it does not.
func (d *director) end(p *process) bool {
	for i, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM, syscall.SIGKILL} {
		if p.signal(sig) != nil || d.pumpUntil(p.ended, endTimeout) {
			return i < 2
		}
	}
	<-p.ended
	return false
}

// killOrphans kills the children of this process but for keep, and theirs,
// which become ours when they are gone. It returns how many there were.
func killOrphans(keep *process) int {
	killed := 0
	for {
		found := false
		for _, pid := range children(os.Getpid()) {
			if keep != nil && pid == keep.cmd.Process.Pid {
				continue
			}
			found = true
			killed++
			_ = syscall.Kill(pid, syscall.SIGKILL) // it is ours until it is reaped
			_, _ = syscall.Wait4(pid, nil, 0, nil)
		}
		if !found {
			return killed
		}
	}
}

// children lists the processes whose parent is pid, by proc_pid_stat(5): the
// parent is the second field after the name, which ends at the last ")".
func children(pid int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	var found []int
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		rest := string(data[strings.LastIndexByte(string(data), ')')+1:])
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(pid) {
			if child, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				found = append(found, child)
			}
		}
	}
	return found
}
