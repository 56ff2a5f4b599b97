package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"sidekick/config"
	"sidekick/control"
	"sidekick/guard"
	"sidekick/health"
	"sidekick/logs"
	"sidekick/procstat"
	"sidekick/supervisor"
	"sidekick/supervisor/child"
)

func newRunCommand(signals <-chan os.Signal) *cobra.Command {
	var file, logFormat string
	command := &cobra.Command{
		Use:   "run [-c FILE]",
		Short: "Supervise the programs of a configuration file (what PID 1 does)",
		Long: `Supervise the programs of a configuration file.

SIGTERM, SIGINT and SIGQUIT stop everything in order within shutdown_timeout, a
second one at once. Exit code: 0 when stopped on request or when all is done
well; that of the essential program that failed for good (128+n for signal n,
127 or 126 if it could not be executed); 78 for a bad configuration, with
nothing started; 70 for an internal error.`,
		Example: "  sidekick run -c sidekick.yaml\n  ENTRYPOINT [\"/usr/local/bin/sidekick\", \"run\"]",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &exitError{code: exitUsage, err: errors.New("cannot run a single command: not supported yet"),
					hint: "put it into a file and use sidekick run -c FILE"}
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			if logFormat != "text" && logFormat != "json" {
				return &exitError{code: exitUsage, err: errors.New("cannot log as " + logFormat), hint: "--log-format text or json"}
			}
			_, c, err := load(file)
			if err != nil {
				return err
			}
			if code := run(c, logFormat, signals); code != 0 {
				return &exitError{code: code}
			}
			return nil
		},
	}
	configFlag(command, &file)
	command.Flags().StringVar(&logFormat, "log-format", "text", "format of sidekick's own messages on stderr: text or json")
	return command
}

// closeTimeout bounds what comes after the last program's end: the goodbye to
// etcd and the last lines of the log.
const closeTimeout = 400 * time.Millisecond

// run is the life of PID 1: it starts the parts, in the order in which they
// need each other, waits for the end of the programs, and ends the parts.
func run(c *config.Config, logFormat string, signals <-chan os.Signal) int {
	maskErr := child.EmptyMask()
	child.CloseOnExec()
	child.DefaultSignals()
	procstat.Init()
	collector := logs.NewCollector(os.Stdout, os.Stderr)
	collector.SetNames(names(c))
	log := newLogger(collector, logFormat)
	slog.SetDefault(log) // some libraries write to the standard log
	if maskErr != nil {
		log.Warn("cannot empty the signal mask: programs inherit it", "error", maskErr)
	}
	if err := child.Adopt(); err != nil {
		log.Warn("cannot become a subreaper: orphans of the programs will not be reaped here", "error", err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	start := func(name string, fn func(context.Context) error) {
		parts.Go(func() { guard.Run(ctx, log, name, fn) })
	}

	reaper := child.NewReaper()
	start("reaper", reaper.Run)

	keys := newRegistrar(c, log)
	options := supervisor.Options{
		Kernel:  kernel{reaper},
		Output:  collector.Open,
		Log:     log,
		Environ: os.Environ(),
	}
	if keys != nil {
		options.Gate = keys
		options.Observe = func(s *supervisor.Snapshot) { keys.Update(facts(c, s)) }
		start("registrar", keys.Run)
	}
	s := supervisor.New(c, options)
	start("health", func(ctx context.Context) error { return watchHealth(ctx, c, s, log) })
	var registrations control.Registrar // stays nil without registrar: a nil *Registrar in it would not be
	if keys != nil {
		registrations = keys
	}
	startControl(start, c, s, registrations, log)
	start("signals", func(ctx context.Context) error { return obey(ctx, signals, s, log) })

	code := s.Run()

	closing, done := context.WithTimeout(context.Background(), closeTimeout)
	defer done()
	if keys != nil {
		keys.Close(closing)
	}
	log.Info("exit", "code", code)
	cancel()
	parts.Wait()
	collector.Close(closing)
	return code
}

func names(c *config.Config) []string {
	var names []string
	for _, p := range c.Programs {
		names = append(names, p.Name)
	}
	return names
}

func newLogger(collector *logs.Collector, format string) *slog.Logger {
	if format == "json" {
		return slog.New(slog.NewJSONHandler(collector.Messages(), nil))
	}
	return slog.New(slog.NewTextHandler(collector.Messages(), nil))
}

// kernel is the reaper as the supervisor sees it.
type kernel struct{ *child.Reaper }

func (k kernel) Start(spec child.Spec) (supervisor.Process, error) {
	p, err := k.Reaper.Start(spec)
	if err != nil {
		return nil, err // not p: a nil *child.Process is no nil interface
	}
	return p, nil
}

// obey turns signals into what they ask for; all that ask for nothing are
// ignored.
func obey(ctx context.Context, signals <-chan os.Signal, s *supervisor.Supervisor, log *slog.Logger) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case sig := <-signals:
			switch sig {
			case unix.SIGTERM, unix.SIGINT, unix.SIGQUIT:
				s.Shutdown(unix.SignalName(sig.(syscall.Signal)))
			case unix.SIGHUP:
				log.Warn("SIGHUP ignored: reload is not supported yet")
			}
		}
	}
}

// watchHealth probes the programs that live and reports to the supervisor.
func watchHealth(ctx context.Context, c *config.Config, s *supervisor.Supervisor, log *slog.Logger) error {
	monitor := health.NewMonitor(log, func(r health.Result) {
		s.Report(supervisor.CheckResult{Program: r.Program, Launch: r.Launch, Index: r.Index,
			CheckStatus: supervisor.CheckStatus{Status: supervisor.Health(r.Status), Output: r.Output, Since: r.At}})
	})
	defer monitor.Close()
	for {
		snapshot, newer := s.Snapshot()
		monitor.Set(targets(c, snapshot))
		select {
		case <-ctx.Done():
			return nil
		case <-newer:
		}
	}
}

// startControl serves the control socket; without one sidekick runs on.
func startControl(start func(string, func(context.Context) error), c *config.Config, s *supervisor.Supervisor, keys control.Registrar, log *slog.Logger) {
	l, err := control.Listen(control.Candidates(c.Control.Socket, os.LookupEnv), c.Control.Mode)
	if err != nil {
		log.Warn("no control socket: status, start, stop and restart are not available; set control.socket", "error", err)
		return
	}
	server := control.NewServer(s, keys, log)
	start("control", func(ctx context.Context) error { return server.Serve(ctx, l) })
}
