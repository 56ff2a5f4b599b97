// Command demo shows what sidekick does, on a real etcd, a real sidekick and
// a real application: `make demo` builds them and starts it.
//
// Every figure it prints is the difference of two moments that were seen: an
// event in sidekick's log, the arrival of an etcd watch event, a signal that
// was sent, an answer that came. It goes on until Ctrl-C. With DEMO_SECONDS=N
// it ends by itself once N seconds are over and the story was told once, with
// exit code 0, or 1 if a step of the story did not happen.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/hub"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// errInterrupted ends the story early, and in order.
var errInterrupted = errors.New("interrupted")

func init() {
	// A child dies with the thread that started it (PR_SET_PDEATHSIG), so
	// the main goroutine, which starts them, keeps the main thread.
	runtime.LockOSThread()
}

func main() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	seconds, err := demoSeconds(os.Getenv("DEMO_SECONDS"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(exitUsage)
	}
	os.Exit(run(signals, seconds))
}

// demoSeconds reads DEMO_SECONDS; 0 is for ever.
func demoSeconds(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n > 0 && n <= 1e6) {
		return 0, fmt.Errorf("cannot use DEMO_SECONDS=%q: it has to be a number of seconds above 0", text)
	}
	return time.Duration(n * float64(time.Second)), nil
}

// run tells the story and returns the exit code. Whatever happens, no process
// is left behind.
func run(signals <-chan os.Signal, length time.Duration) int {
	paint := hub.PaintFor(os.Stdout, os.LookupEnv)
	n := &narrator{out: os.Stdout, paint: paint, began: time.Now()}
	d := &director{narrator: n, signals: signals, events: make(chan event, 256), length: length}
	code := 0
	if err := d.tell(); err != nil {
		n.failure(err)
		code = exitFailed
	}
	if !d.cleanUp() {
		code = exitFailed
	}
	return code
}

// tell runs the whole story.
func (d *director) tell() error {
	// Whoever loses its parent among our descendants becomes our child, so
	// that it can be ended here even if sidekick was killed.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot become the reaper of orphans: %w", err)
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find the binaries: %w", err)
	}
	d.bin = filepath.Dir(exe)
	if d.temp, err = os.MkdirTemp("", "sidekick-demo-"); err != nil {
		return fmt.Errorf("cannot make a directory for the control socket: %w", err)
	}
	err = d.acts()
	if errors.Is(err, errInterrupted) {
		err = nil
	}
	if err == nil && d.sidekick != nil {
		err = d.goodbye()
	}
	if errors.Is(err, errInterrupted) {
		return errors.New("cannot end in order: interrupted a second time")
	}
	return err
}
