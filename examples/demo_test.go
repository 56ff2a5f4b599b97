package examples_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// demoMark is in the environment of the demo and of all that it starts.
const demoMark = "SIDEKICK_DEMO_TEST="

// TestDemo builds and runs the demo as a reader does, then breaks it.
func TestDemo(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("missing: time, with -short: the demo builds four binaries and kills an app")
	}
	if _, err := exec.LookPath("make"); err != nil {
		missing(t, "make")
	}
	bin := filepath.Join(t.TempDir(), "bin")
	t.Run("make demo tells the whole story", func(t *testing.T) { demoTellsTheStory(t, bin) })
	if t.Failed() {
		return
	}
	t.Run("Ctrl-C ends it in order", func(t *testing.T) { demoObeysAnInterrupt(t, bin) })
	t.Run("a second Ctrl-C ends it at once", func(t *testing.T) { demoObeysASecondInterrupt(t, bin) })
	t.Run("a step that does not happen is named", func(t *testing.T) { demoNamesAMissingStep(t, bin) })
	t.Run("nonsense in DEMO_SECONDS is refused", func(t *testing.T) { demoRefusesNonsense(t, bin) })
}

func demoTellsTheStory(t *testing.T, bin string) {
	d := startDemo(t, "4", "make", "--no-print-directory", "demo", "BIN="+bin)
	d.ends(0, 5*time.Minute)
	for _, want := range []string{
		`\+ /service/127\.0\.0\.1:\d+\n`,
		`✓ /service/127\.0\.0\.1:\d+ appeared [\d.]+ ms after the start of web`,
		`answered in [\d.]+ ms: Hello, you are visitor number 1\. Process \d+ served you\.`,
		`✓ the key vanished [\d.]+ ms after the kill`,
		`web was started again after [\d.]+ ms, healthy after [\d.]+ ms, its key back after [\d.]+ ms`,
		`visitor number 2`,
		`✓ the key vanished [\d.]+ ms after SIGTERM; web was told to stop \d+ ms later`,
		`sidekick ended: exit status 0`,
		`sidekick-hub ended: exit status 0`,
		`web was killed once`,
	} {
		if !regexp.MustCompile(want).MatchString(d.out.String()) {
			t.Errorf("it does not say %q", want)
		}
	}
	if strings.Contains(d.out.String(), "\x1b[") {
		t.Error("it is coloured, and nobody watches on a terminal")
	}
	if t.Failed() {
		t.Log(d.out.String())
	}
}

func demoObeysAnInterrupt(t *testing.T, bin string) {
	t.Parallel()
	d := startDemo(t, "", filepath.Join(bin, "quickstart-demo"))
	d.says("visitor number 1")
	d.signal(syscall.SIGINT)
	d.ends(0, time.Minute)
	d.says("the key vanished")
}

func demoObeysASecondInterrupt(t *testing.T, bin string) {
	t.Parallel()
	d := startDemo(t, "", filepath.Join(bin, "quickstart-demo"))
	d.says("visitor number 1")
	d.signal(syscall.SIGINT)
	d.says("shutting down") // and waits out `drain`, for a second
	d.signal(syscall.SIGINT)
	d.ends(1, time.Minute)
	d.says("interrupted a second time")
}

func demoNamesAMissingStep(t *testing.T, bin string) {
	t.Parallel()
	broken := t.TempDir()
	for _, name := range []string{"sidekick", "sidekick-hub", "quickstart-demo"} {
		if err := os.Link(filepath.Join(bin, name), filepath.Join(broken, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(broken, "quickstart-app"), []byte("#!/bin/sh\nexec sleep 1000\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	d := startDemo(t, "1", filepath.Join(broken, "quickstart-demo"))
	d.ends(1, time.Minute)
	d.says(`step "store is healthy" did not happen within 15s`)
}

func demoRefusesNonsense(t *testing.T, bin string) {
	t.Parallel()
	for _, seconds := range []string{"soon", "0", "-1", "NaN"} {
		d := startDemo(t, seconds, filepath.Join(bin, "quickstart-demo"))
		d.ends(2, time.Minute)
		d.says("DEMO_SECONDS=")
	}
}

// demo is a demo that runs.
type demo struct {
	t    *testing.T
	cmd  *exec.Cmd
	mark string
	out  *output
	done chan struct{} // closed when it has ended
}

// startDemo starts a command at the top of the tree. When the test ends,
// nothing of it may run any more.
func startDemo(t *testing.T, seconds string, command ...string) *demo {
	t.Helper()
	d := &demo{t: t, cmd: exec.Command(command[0], command[1:]...), out: &output{}, done: make(chan struct{})}
	d.mark = demoMark + strings.ReplaceAll(t.TempDir(), "/", "_")
	d.cmd.Dir = root
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	d.cmd.Env = append(withoutMake(os.Environ()), d.mark, "DEMO_SECONDS="+seconds)
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		defer close(d.done)
		_ = d.cmd.Wait() // its exit code is in ProcessState
	}()
	t.Cleanup(d.cleanUp)
	return d
}

// withoutMake drops what `make test` leaves in the environment: it would make
// `make demo` part of that make.
func withoutMake(environ []string) []string {
	return slices.DeleteFunc(environ, func(v string) bool {
		return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS=")
	})
}

func (d *demo) cleanUp() {
	select {
	case <-d.done:
	default:
		d.signal(syscall.SIGTERM)
		d.signal(syscall.SIGTERM)
		<-d.done
	}
	if left := marked(d.mark); len(left) != 0 {
		d.t.Errorf("processes were left behind: %q", left)
	}
}

func (d *demo) signal(sig syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		d.t.Errorf("cannot send %s: %v", sig, err)
	}
}

// ends waits for the end.
func (d *demo) ends(code int, limit time.Duration) {
	d.t.Helper()
	select {
	case <-d.done:
	case <-time.After(limit):
		d.t.Fatalf("it did not end within %s:\n%s", limit, d.out)
	}
	if got := d.cmd.ProcessState.ExitCode(); got != code {
		d.t.Fatalf("exit code %d, want %d:\n%s", got, code, d.out)
	}
}

// says waits until the output contains text.
func (d *demo) says(text string) {
	d.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if strings.Contains(d.out.String(), text) {
			return
		}
		time.Sleep(10 * time.Millisecond) // between two looks
	}
	d.t.Fatalf("it never said %q:\n%s", text, d.out)
}

// marked lists the processes that have mark in their environment.
func marked(mark string) []string {
	files, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is well-formed
	var found []string
	for _, file := range files {
		environ, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(environ, []byte(mark)) {
			continue
		}
		command, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline")) // only shown
		found = append(found, string(bytes.ReplaceAll(command, []byte{0}, []byte{' '})))
	}
	return found
}

// output is read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
