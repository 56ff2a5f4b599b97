package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/config"
	"sidekick/supervisor"
	"sidekick/supervisor/child"
)

// single is one supervised command without a file: what tini does, and
// registration. One goroutine, that of runSingle, owns it.
type single struct {
	reaper   *child.Reaper
	process  *child.Process
	terminal *child.Terminal // nil: stdin is not our controlling terminal
	key      *oneKey         // nil: it is not registered
	drain    time.Duration
	log      *slog.Logger

	signals chan os.Signal
	stops   chan os.Signal  // SIGCHLD: the command may have been stopped
	exited  chan child.Exit // the command's end

	overtake context.CancelFunc // nil: no signal waits for the key
	waiting  sync.WaitGroup     // the goroutine in which it waits
}

// runSingle runs the command to its end and returns its exit code: 128+n for
// signal n, 127 if it is not found, 126 if it cannot be executed.
func runSingle(argv []string, c *config.Config, drain time.Duration, log *slog.Logger, signals chan os.Signal) int {
	if err := child.Adopt(); err != nil {
		log.Warn("cannot become a subreaper: orphans of the command will not be reaped here", "error", err)
	}
	s := &single{
		reaper: child.NewReaper(), drain: drain, log: log,
		signals: signals, stops: make(chan os.Signal, 1), exited: make(chan child.Exit, 1),
	}
	signal.Notify(signals, forwardedToo()...)
	signal.Notify(s.stops, unix.SIGCHLD)
	ctx, cancel := context.WithCancel(context.Background())
	var reaping sync.WaitGroup
	reaping.Go(func() { _ = s.reaper.Run(ctx) })
	defer reaping.Wait()
	defer cancel()

	if c != nil {
		s.key = newOneKey(c, log)
		s.key.prepare(ctx)
	}
	if err := s.start(argv); err != nil {
		log.Error("cannot execute " + err.Error())
		if errors.Is(err, unix.ENOENT) {
			return 127
		}
		return 126
	}
	code := s.wait()
	s.end()
	return code
}

// start executes the command on our own terminal and descriptors.
func (s *single) start(argv []string) error {
	spec, err := supervisor.Spec(&config.Launch{}, argv, os.Environ(), "")
	if err != nil {
		return err
	}
	spec.Stdin, spec.Stdout, spec.Stderr, spec.Terminal = os.Stdin, os.Stdout, os.Stderr, true
	s.process, err = s.reaper.Start(spec)
	if err != nil {
		return supervisor.ExplainStart(spec.Path, "", err)
	}
	// From the background a write to a tostop terminal stops its writer, and so
	// does a change of the foreground group. An ignored signal is inherited,
	// so this comes after the only fork.
	signal.Ignore(unix.SIGTTOU)
	s.terminal = s.process.Terminal(os.Stdin)
	s.process.Notify(func(e child.Event) {
		if e.Exited != nil {
			s.exited <- *e.Exited
		}
	})
	if s.key != nil {
		s.key.begin()
	}
	return nil
}

// wait forwards signals until the command ends.
func (s *single) wait() int {
	for {
		select {
		case e := <-s.exited:
			return e.Status()
		case <-s.stops:
			s.stopped(s.process.Stopped())
		case sig := <-s.signals:
			s.forward(sig.(syscall.Signal))
		}
	}
}

// end gives up what was held for the command.
func (s *single) end() {
	if s.terminal != nil {
		s.terminal.Take()
	}
	if s.overtake != nil {
		s.overtake()
	}
	s.waiting.Wait()
	if s.key != nil {
		s.key.withdraw()
		s.key.close()
	}
}

// forward passes a signal on. One that ends the command waits until the key is
// gone and the consumers have seen it. A second one goes at once, in place of
// one that still waits.
func (s *single) forward(sig syscall.Signal) {
	switch {
	case !forwarded(sig):
	case sig == unix.SIGCONT:
		s.resume()
	case s.key == nil || !ends(sig):
		s.send(sig, false)
	case s.overtake == nil:
		ctx, cancel := context.WithCancel(context.Background())
		s.overtake = cancel
		s.waiting.Go(func() { s.sendAfterKey(ctx, sig) }) // ends within a second and drain
	default:
		s.overtake()
		s.send(sig, false)
	}
}

func (s *single) sendAfterKey(ctx context.Context, sig syscall.Signal) {
	if s.key.withdraw() {
		select {
		case <-ctx.Done():
		case <-time.After(s.drain):
		}
	}
	if ctx.Err() == nil {
		s.send(sig, false)
	}
}

func (s *single) send(sig syscall.Signal, group bool) {
	if err := s.process.Signal(sig, group); err != nil && !errors.Is(err, unix.ESRCH) {
		s.log.Error("cannot forward "+unix.SignalName(sig), "error", err)
	}
}

// stopped does what a job-control shell expects when the terminal has stopped
// the command: our group stops too, so that the shell takes the terminal back.
// Where no shell watches over us Ctrl-Z would freeze the terminal for ever, and
// is undone. tini hangs in both cases.
//
// A shell that brings a running job into the foreground gives the terminal to
// our group and sends no SIGCONT. Then the command is stopped when it uses what
// it may use: it is given the terminal and goes on.
func (s *single) stopped(by syscall.Signal) {
	switch {
	case by == 0 || s.terminal == nil:
	case (by == unix.SIGTTIN || by == unix.SIGTTOU) && s.terminal.Give(),
		!s.terminal.Suspend() && by == unix.SIGTSTP:
		s.send(unix.SIGCONT, true)
	}
}

// resume continues the command's whole group: the terminal has stopped all of
// it. A shell that has us in the foreground again gave the terminal to our group.
func (s *single) resume() {
	if s.terminal != nil {
		s.terminal.Give()
	}
	s.send(unix.SIGCONT, true)
}

func ends(sig syscall.Signal) bool {
	return sig == unix.SIGTERM || sig == unix.SIGINT || sig == unix.SIGQUIT
}

// forwarded: all signals but those that are about sidekick itself. The fault
// signals are the kernel's word on an instruction of ours.
func forwarded(sig syscall.Signal) bool {
	switch sig {
	case unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGTTIN, unix.SIGTTOU,
		unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGSYS, unix.SIGABRT:
		return false
	}
	return true
}

// forwardedToo lists what a supervisor of many leaves alone and a wrapper of
// one passes on: terminal signals, and the real-time signals but those that C
// libraries keep for themselves, which the Go runtime leaves to them.
func forwardedToo() []os.Signal {
	all := []os.Signal{unix.SIGWINCH, unix.SIGCONT, unix.SIGTSTP}
	for n := syscall.Signal(35); n <= 64; n++ {
		all = append(all, n)
	}
	return all
}
