package child

import (
	"context"
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func script(s string, out *os.File) Spec {
	return Spec{Path: "/bin/sh", Args: []string{"sh", "-c", s}, Env: os.Environ(), Stdout: out, Stderr: out}
}

func TestRunCommand(t *testing.T) {
	for _, setup := range []*Setup{nil, {}} {
		for code, s := range map[int]string{0: "exit 0", 7: "exit 7", 143: "kill -TERM $$"} {
			spec := script(s, os.Stderr)
			spec.Setup = setup
			if got, err := reaper.RunCommand(t.Context(), spec); err != nil || got.Status() != code {
				t.Errorf("%s: got %s, %v", s, got, err)
			}
		}
	}
	if _, err := reaper.RunCommand(t.Context(), Spec{Path: "/no/such/file", Stdout: os.Stderr, Stderr: os.Stderr}); !errors.Is(err, unix.ENOENT) {
		t.Errorf("got %v", err)
	}
}

// background is a command that leaves a process behind, whose pid it says.
func background(t *testing.T, rest string) (spec Spec, pid func() int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return script("sleep 1000 & echo $!; "+rest, w), func() int {
		buffer := make([]byte, 20)
		n, _ := r.Read(buffer)
		pid, err := strconv.Atoi(string(buffer[:max(n-1, 0)]))
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
}

// The end of the context kills the whole group, and the exit is waited for.
func TestRunCommandIsCutShort(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	spec, pid := background(t, "wait")
	left := make(chan int, 1)
	go func() { // ends when the command has said its pid
		left <- pid()
		cancel()
	}()
	got, err := reaper.RunCommand(ctx, spec)
	if got.Signal != unix.SIGKILL || !errors.Is(err, context.Canceled) {
		t.Errorf("got %s, %v", got, err)
	}
	gone(t, <-left)

	late, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	if _, err := reaper.RunCommand(late, script("sleep 1000", os.Stderr)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// Nothing of a command outlives it.
func TestRunCommandLeavesNothing(t *testing.T) {
	spec, pid := background(t, "exit 2")
	if got, err := reaper.RunCommand(t.Context(), spec); got.Code != 2 || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	gone(t, pid())
}

func gone(t *testing.T, pid int) {
	t.Helper()
	eventually(t, "process "+strconv.Itoa(pid)+" is gone", func() bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) })
}

// Without a running reaper nobody waits for ever.
func TestRunCommandWithoutReaper(t *testing.T) {
	ended := NewReaper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ended.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := ended.RunCommand(t.Context(), script("exit 0", os.Stderr)); !errors.Is(err, errReaperEnded) {
		t.Errorf("got %v", err)
	}
}
