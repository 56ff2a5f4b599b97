package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// field is a line "Name: value" of /proc/PID/status, with single spaces.
func field(t *testing.T, pid int, name string) string {
	t.Helper()
	return fieldOf(t, fmt.Sprintf("/proc/%d/status", pid), name)
}

func fieldOf(t *testing.T, path, name string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if key, value, _ := strings.Cut(line, ":"); key == name {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	t.Fatalf("%s has no %s", path, name)
	return ""
}

// environ is the environment that a process was executed with.
func environ(t *testing.T, pid int) []string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}

// limit is a line of /proc/PID/limits: soft and hard.
func limit(t *testing.T, pid int, name string) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.Join(strings.Fields(rest)[:2], " ")
		}
	}
	t.Fatalf("no limit %q", name)
	return ""
}

// link reads a symbolic link of /proc/PID.
func link(t *testing.T, pid int, name string) string {
	t.Helper()
	target, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// alive returns the pid of a program once it is RUNNING.
func (i *instance) alive(name string) int {
	i.t.Helper()
	return i.allAlive(name)[name]
}

// allAlive returns the pids of programs, of all if none is named, once they are
// RUNNING.
func (i *instance) allAlive(names ...string) map[string]int {
	i.t.Helper()
	pids := map[string]int{}
	i.eventuallyAll("RUNNING", func(p program) bool { pids[p.Name] = p.Pid; return p.State == "RUNNING" }, names...)
	return pids
}

// eventuallyAll waits until ok of all programs, or of those named.
func (i *instance) eventuallyAll(what string, ok func(program) bool, names ...string) {
	i.t.Helper()
	var last []program
	defer func() {
		if i.t.Failed() && len(last) < 20 {
			i.t.Logf("last status: %+v", last)
		}
	}()
	eventually(i.t, fmt.Sprintf("%q are %s", names, what), func() bool {
		last = i.statuses(names...)
		return !slices.ContainsFunc(last, func(p program) bool { return !ok(p) })
	})
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "root")
	}
}
