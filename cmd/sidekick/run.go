package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"sidekick/config"
	"sidekick/control"
	"sidekick/control/supervisorctl"
	"sidekick/events"
	"sidekick/guard"
	"sidekick/health"
	"sidekick/logs"
	"sidekick/procstat"
	"sidekick/supervisor"
	"sidekick/supervisor/child"
	"sidekick/supervisor/notify"
)

func newRunCommand(signals chan os.Signal) *cobra.Command {
	var o runOptions
	command := &cobra.Command{
		Use:   "run [-c FILE] | run [flags] -- COMMAND [ARG…]",
		Short: "Supervise the programs of a file, or one command (what PID 1 does)",
		Long: `Supervise the programs of a configuration file, or one command without a file.

A file: SIGTERM, SIGINT and SIGQUIT stop everything in order within
shutdown_timeout, a second one at once; SIGHUP reloads. Exit code: 0 when stopped
on request or when all is done well; that of the essential program that failed
for good (128+n for signal n, 127 or 126 if it could not be executed); 78 for a
bad configuration, with nothing started; 70 for an internal error.

One command: it gets our terminal and descriptors, signals are forwarded to it,
and its exit code is ours. With --port and --etcd it is registered; SIGTERM,
SIGINT and SIGQUIT then reach it when its key is gone and --drain has passed.`,
		Example: `  sidekick run -c sidekick.yaml
  ENTRYPOINT ["/usr/local/bin/sidekick", "run"]
  sidekick run -- node server.js
  sidekick run --port 8000 --etcd http://10.1.0.101:2379 -- node server.js`,
		RunE: func(c *cobra.Command, args []string) error {
			code, err := o.run(c, args, signals)
			if err == nil && code != 0 {
				err = &exitError{code: code}
			}
			return err
		},
	}
	configFlag(command, &o.file)
	command.Flags().StringVar(&o.logFormat, "log-format", "text", "format of sidekick's own messages on stderr: text or json")
	o.register.add(command.Flags())
	command.Flags().DurationVar(&o.drain, "drain", config.DefaultDrain, "with -- COMMAND: between deleting the key and forwarding the signal")
	return command
}

// runOptions are the flags of `run`.
type runOptions struct {
	file, logFormat string
	register        registerFlags
	drain           time.Duration
}

// fileOnly and commandOnly name the flags that belong to one of the two forms.
var (
	fileOnly    = []string{"config"}
	commandOnly = []string{"port", "etcd", "key", "ip", "docker", "ttl", "check", "drain"}
)

func (o *runOptions) run(c *cobra.Command, args []string, signals chan os.Signal) (code int, err error) {
	wrong, form := commandOnly, "a file"
	if len(args) > 0 {
		wrong, form = fileOnly, "-- COMMAND"
	}
	switch {
	case o.logFormat != "text" && o.logFormat != "json":
		return 0, &exitError{code: exitUsage, err: errors.New("cannot log as " + o.logFormat), hint: "--log-format text or json"}
	case len(args) > 0 && c.ArgsLenAtDash() != 0:
		return 0, &exitError{code: exitUsage, err: fmt.Errorf("cannot run %q", args[0]), hint: "put -- before the command: sidekick run -- COMMAND"}
	case len(args) == 0 && c.ArgsLenAtDash() == 0:
		return 0, &exitError{code: exitUsage, err: errors.New("cannot run: there is no command after --"), hint: "sidekick run -- COMMAND"}
	}
	for _, flag := range wrong {
		if c.Flags().Changed(flag) {
			return 0, &exitError{code: exitUsage, err: fmt.Errorf("cannot use --%s with %s", flag, form), hint: "sidekick run --help"}
		}
	}
	makeThreads()
	if err := cleanStart(); err != nil {
		return 0, &exitError{code: exitInternal, err: err}
	}
	if len(args) > 0 {
		return o.runCommand(c.Flags(), args, signals)
	}
	path, loaded, err := load(o.file)
	if err != nil {
		return 0, err
	}
	return run(path, loaded, o.logFormat, signals), nil
}

// cleanStart keeps from the programs what whoever started us left behind: blocked
// and ignored signals, and open descriptors.
func cleanStart() error {
	if err := child.EmptyMask(); err != nil {
		return fmt.Errorf("cannot empty the signal mask: %w", err)
	}
	child.CloseOnExec()
	child.DefaultSignals()
	return nil
}

func (o *runOptions) runCommand(flags *pflag.FlagSet, argv []string, signals chan os.Signal) (int, error) {
	var c *config.Config
	if slices.ContainsFunc(commandOnly, flags.Changed) {
		if o.drain < 0 {
			return 0, &exitError{code: exitUsage, err: errors.New("--drain: must not be negative"), hint: "sidekick run --help"}
		}
		program, registry, err := o.register.config()
		if err != nil {
			return 0, &exitError{code: exitUsage, err: err, hint: "sidekick run --help"}
		}
		c = &config.Config{Programs: []config.Program{program}, Registry: registry}
	}
	log, finish := newMessages(o.logFormat)
	defer finish()
	return runSingle(argv, c, o.drain, log, signals), nil
}

// closeTimeout bounds what comes after the last program's end: the goodbye to
// etcd and the last lines of the log.
const closeTimeout = 300 * time.Millisecond

// run is the life of PID 1: it starts the parts, in the order in which they
// need each other, waits for the end of the programs, and ends the parts.
func run(path string, c *config.Config, logFormat string, signals <-chan os.Signal) int {
	procstat.Init()
	collector := logs.NewCollector(os.Stdout, os.Stderr)
	collector.Owner = logOwner
	log := newLogger(collector.Messages(), logFormat)
	collector.SetLog(log)
	collector.Configure(c.Programs)
	slog.SetDefault(log) // some libraries write to the standard log
	if err := child.Adopt(); err != nil {
		log.Warn("cannot become a subreaper: orphans of the programs will not be reaped here", "error", err)
	}
	sockets := absolute(control.Candidates(c.Control.Socket, os.LookupEnv))
	path, started := leaveDirectory(path)

	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	start := func(name string, fn func(context.Context) error) {
		parts.Go(func() { guard.Run(ctx, log, name, fn) })
	}

	reaper := child.NewReaper()
	start("reaper", reaper.Run)
	journal := events.NewJournal()
	k := newKeys(c, log, journal)
	s := supervisor.New(c, supervisor.Options{
		Kernel:  kernel{reaper},
		Output:  collector.Open,
		Gate:    k,
		Observe: func(s *supervisor.Snapshot) { k.update(facts(s)) },
		Event:   journal.Append,
		Listen:  listenNotify,
		Log:     log,
		Environ: os.Environ(),
		Dir:     started,
	})
	r := &reloader{path: path, supervisor: s, keys: k, collector: collector, journal: journal, log: log, current: c}
	probes := &health.Latencies{}
	start("health", func(ctx context.Context) error { return watchHealth(ctx, s, reaper, started, probes, log) })
	group := controlGroup(c.Control.Group, log)
	server := control.NewServer(control.Options{Supervisor: s, Registrar: k, Reloader: r, Journal: journal, Logs: collector, Group: group, Log: log,
		Metrics: startMetrics(start, c.Control.Metrics, log, s, k, control.MetricsSources{Version: version, Orphans: reaper.Orphans, Probes: probes, Renewals: &k.renewals, Logs: collector})})
	if l, err := control.Listen(sockets, c.Control.Mode, group); err != nil {
		log.Warn("no control socket: status, start, stop, restart and reload are not available; set control.socket", "error", err)
	} else {
		start("control", func(ctx context.Context) error { return server.Serve(ctx, l) })
	}
	startSupervisorctl(start, supervisorctl.Options{Supervisor: s, Configuration: r, Logs: collector, Log: log,
		Environ: os.Environ(), Dir: started, Pid: os.Getpid()}, group)
	hangups := make(chan struct{}, 1)
	start("reload", func(ctx context.Context) error { return r.obeyHangups(ctx, hangups) })
	start("signals", func(ctx context.Context) error { return obey(ctx, signals, s, hangups, collector.Reopen) })

	code := s.Run()

	closing, done := context.WithTimeout(context.Background(), closeTimeout)
	defer done()
	k.close(closing)
	log.Info("exit", "code", code)
	cancel()
	waitFor(closing, &parts)
	collector.Close(closing)
	return code
}

// waitFor waits for the parts until ctx ends: one may read a file on a disk that
// hangs.
func waitFor(ctx context.Context, parts *sync.WaitGroup) {
	ended := make(chan struct{})
	go func() { // ends with the parts, or with the process
		parts.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// absolute makes paths independent of the current directory, where that is known.
func absolute(paths []string) []string {
	for i, path := range paths {
		if abs, err := filepath.Abs(path); err == nil {
			paths[i] = abs
		}
	}
	return paths
}

// leaveDirectory moves to / so that no mount is held busy, and returns what the
// programs and reloads need of the directory that sidekick was started in.
func leaveDirectory(path string) (absolute, started string) {
	started, err := os.Getwd()
	if err != nil {
		return path, ""
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(started, path)
	}
	if os.Chdir("/") != nil {
		return path, ""
	}
	return path, started
}

// listenNotify opens a notify socket that listens to root and to the user of the
// program.
func listenNotify(users []uint32, deliver func(supervisor.Message)) (string, io.Closer, error) {
	address, socket, err := notify.Listen(users, func(m notify.Message) { deliver(supervisor.Message(m)) })
	if err != nil {
		return "", nil, err // not socket: a nil *notify.Socket is no nil interface
	}
	return address, socket, nil
}

func names(c *config.Config) []string {
	var names []string
	for _, p := range c.Programs {
		names = append(names, p.Name)
	}
	return names
}

// logOwner is whose a program's log files are.
func logOwner(user, group string) (uid, gid uint32, err error) {
	u, err := child.LookupUser(user, group)
	return u.UID, u.GID, err
}

// newLogger makes sidekick's own log, which goes to stderr in the end.
func newLogger(w io.Writer, format string) *slog.Logger {
	switch {
	case format == "json":
		return slog.New(slog.NewJSONHandler(w, nil))
	case isTerminal(os.Stderr):
		return slog.New(logs.NewHandler(w, wantsColour(os.Stderr)))
	}
	return slog.New(slog.NewTextHandler(w, nil))
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
// It does nothing that takes time: a signal that finds its channel full is lost.
func obey(ctx context.Context, signals <-chan os.Signal, s *supervisor.Supervisor, hangups chan<- struct{}, reopen func()) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case sig := <-signals:
			switch sig {
			case unix.SIGTERM, unix.SIGINT, unix.SIGQUIT:
				s.Shutdown(unix.SignalName(sig.(syscall.Signal)))
			case unix.SIGHUP:
				select {
				case hangups <- struct{}{}:
				default: // there is one already
				}
			case unix.SIGUSR1, unix.SIGUSR2:
				reopen()
			}
		}
	}
}

// watchHealth probes the programs that live and reports to the supervisor.
func watchHealth(ctx context.Context, s *supervisor.Supervisor, reaper *child.Reaper, dir string, probes *health.Latencies, log *slog.Logger) error {
	monitor := health.NewMonitor(log, probe{s, reaper, dir}.run, func(r health.Result) {
		s.Report(supervisor.CheckResult{Program: r.Program, Launch: r.Launch, Index: r.Index,
			CheckStatus: supervisor.CheckStatus{Status: supervisor.Health(r.Status), Output: r.Output, Since: r.At}})
	})
	monitor.Latencies = probes
	defer monitor.Close()
	for {
		snapshot, newer := s.Snapshot()
		monitor.Set(targets(snapshot))
		select {
		case <-ctx.Done():
			return nil
		case <-newer:
		}
	}
}

// controlGroup is the id of control.group, nil for none. A group that is not
// there is no reason to run without a socket.
func controlGroup(name string, log *slog.Logger) *uint32 {
	if name == "" {
		return nil
	}
	user, err := child.LookupUser("", name)
	if err != nil {
		log.Warn("control.group: nobody but root and the user of sidekick is admitted to the control socket", "error", err)
		return nil
	}
	return &user.GID
}
