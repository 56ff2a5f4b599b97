package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// limit bounds everything that is waited for.
const limit = 60 * time.Second

// trial is one run of a subject.
type trial struct {
	dir   string
	cmd   *exec.Cmd
	fifo  *os.File
	lines chan string
	begun time.Time
	// pid is that of the subject: of the child of unshare where it is PID 1.
	pid      int
	programs []int
}

// start runs a subject with n programs. Each writes a line into a pipe before it
// becomes body.
func start(s subject, n int, body string, asPID1 bool) (*trial, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	t := &trial{dir: dir, lines: make(chan string, 100)}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		return nil, err
	}
	if t.fifo, err = os.OpenFile(pipe, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	var scripts []string
	for i := range n {
		path := filepath.Join(dir, fmt.Sprintf("p%d", i))
		text := fmt.Sprintf("#!/bin/sh\necho $$ > %s\nexec %s\n", pipe, strings.ReplaceAll(body, "PIPE", pipe))
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			return nil, err
		}
		scripts = append(scripts, path)
	}
	argv, err := s.argv(dir, scripts)
	if err != nil {
		return nil, err
	}
	if asPID1 {
		argv = append([]string{"unshare", "--pid", "--fork", "--kill-child", "--"}, argv...)
	}
	t.cmd = exec.Command(argv[0], argv[1:]...)
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	go t.read() // ends when end closes the pipe
	t.begun = time.Now()
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	t.pid = t.cmd.Process.Pid
	for range n {
		line, err := t.line()
		if err != nil {
			t.end()
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		pid, _ := strconv.Atoi(line)
		t.programs = append(t.programs, pid)
	}
	if asPID1 {
		t.pid = children(t.pid)[0]
	}
	return t, nil
}

func (t *trial) read() {
	defer close(t.lines)
	for s := bufio.NewScanner(t.fifo); s.Scan(); {
		t.lines <- s.Text()
	}
}

func (t *trial) line() (string, error) {
	select {
	case line := <-t.lines:
		return line, nil
	case <-time.After(limit):
		return "", errors.New("a program does not start")
	}
}

// tree is the subject and all that it started, but not the programs.
func (t *trial) tree() []int {
	programs := map[int]bool{}
	for _, p := range t.programs {
		programs[p] = true
	}
	all := []int{t.pid}
	for i := 0; i < len(all); i++ {
		for _, c := range children(all[i]) {
			if !programs[c] {
				all = append(all, c)
			}
		}
	}
	return all
}

// end kills whatever is left.
func (t *trial) end() {
	for _, pid := range append(t.tree(), t.programs...) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = t.cmd.Process.Kill()
	_ = t.cmd.Wait()
	t.fifo.Close()
	os.RemoveAll(t.dir)
}

func children(pid int) (all []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		data, _ := os.ReadFile(task)
		for field := range strings.FieldsSeq(string(data)) {
			child, _ := strconv.Atoi(field)
			all = append(all, child)
		}
	}
	return all
}

// state is R, S, Z and so on (proc_pid_stat(5)), "" for none.
func state(pid int) string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(data), ") ")
	word, _, _ := strings.Cut(rest, " ")
	return word
}

// cpu is the processor time of a process, of all its threads that live.
func cpu(pid int) (total time.Duration) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, task := range tasks {
		data, _ := os.ReadFile(task)
		word, _, _ := strings.Cut(string(data), " ")
		n, _ := strconv.ParseInt(word, 10, 64)
		total += time.Duration(n)
	}
	return total
}
