package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/config"
	"sidekick/supervisor/child"
)

// launched is the outcome of a launch.
type launched struct {
	p       *program
	launch  uint64
	config  *config.Program
	process Process
	notify  io.Closer
	err     error
}

// launch starts the command in a goroutine of its own: neither the registry
// nor a slow exec may hold the loop up. The goroutine ends when the command is
// executed or has failed to be.
func (s *Supervisor) launch(p *program) {
	p.launch++
	p.launchErr, p.early = nil, nil
	m := launched{p: p, launch: p.launch, config: p.config}
	go func() {
		if s.options.Gate != nil && len(m.config.Policy.Register) > 0 {
			ctx, cancel := context.WithTimeout(context.Background(), gateTimeout)
			s.options.Gate.Prepare(ctx, m.config.Name)
			cancel()
		}
		m.process, m.err = s.execute(&m)
		s.post(m)
		if m.err == nil {
			m.process.Notify(func(e child.Event) { s.post(childEvent{m.p, m.launch, e}) })
		}
	}()
}

// execute starts the program's command.
func (s *Supervisor) execute(m *launched) (Process, error) {
	l := &m.config.Launch
	spec, err := Spec(l, l.Command, s.options.Environ, s.options.Dir)
	if err != nil {
		return nil, err
	}
	if l.Notify {
		if err := s.listen(m, &spec); err != nil {
			return nil, err
		}
	}
	spec.Stdout, spec.Stderr, err = s.options.Output(m.config.Name)
	if err != nil {
		return nil, m.undo(fmt.Errorf("cannot make its output pipes: %w", err))
	}
	defer spec.Stdout.Close()
	defer spec.Stderr.Close()
	process, err := s.options.Kernel.Start(spec)
	if err != nil {
		return nil, m.undo(ExplainStart(spec.Path, spec.Dir, err))
	}
	return process, nil
}

// undo closes the notify socket of a launch that came to nothing.
func (m *launched) undo(err error) error {
	if m.notify != nil {
		_ = m.notify.Close()
		m.notify = nil
	}
	return err
}

// listen opens the launch's notify socket and tells the program of it.
func (s *Supervisor) listen(m *launched, spec *child.Spec) error {
	p, launch := m.p, m.launch
	users := []uint32{0, uint32(os.Geteuid())}
	if spec.Setup != nil && spec.Setup.UID != nil {
		users = append(users, *spec.Setup.UID)
	}
	address, socket, err := s.options.Listen(users, func(message Message) { s.post(notified{p, launch, message}) })
	if err != nil {
		return fmt.Errorf("cannot open its notify socket: %w", err)
	}
	m.notify = socket
	spec.Env = append(spec.Env, "NOTIFY_SOCKET="+address)
	if d := m.config.Launch.Watchdog; d > 0 {
		spec.Env = append(spec.Env, "WATCHDOG_USEC="+strconv.FormatInt(d.Microseconds(), 10))
	}
	return nil
}

// Spec makes of a program's configuration how command, its own or that of its
// health check, is to be started; dir is for programs without working_dir. The
// error names what cannot be found.
func Spec(l *config.Launch, command, inherited []string, dir string) (child.Spec, error) {
	setup, account, err := setupOf(l)
	if err != nil {
		return child.Spec{}, err
	}
	secrets, err := readEnvFromFile(l.EnvFromFile)
	if err != nil {
		return child.Spec{}, err
	}
	env := config.OverlayEnv(config.OverlayEnv(config.OverlayEnv(inherited, account), l.Environment), secrets)
	dir = cmp.Or(l.WorkingDir, dir)
	search := config.Launch{Command: command, WorkingDir: dir}
	path, err := search.Executable(env)
	if err != nil {
		return child.Spec{}, err
	}
	return child.Spec{Path: path, Args: command, Env: env, Dir: dir, Setup: setup}, nil
}

// maxSecret bounds a file of env_from_file, in bytes; exec itself takes
// variables of at most 128 KiB (MAX_ARG_STRLEN, execve(2)).
const maxSecret = 128 << 10

// readEnvFromFile reads the files anew at each start. No error shows a value.
func readEnvFromFile(all []config.EnvFromFile) ([]string, error) {
	var env []string
	for _, e := range all {
		value, err := readSecret(e.Path)
		if err != nil {
			return nil, fmt.Errorf("env_from_file %s: %w", e.Name, err)
		}
		env = append(env, e.Name+"="+value)
	}
	return env, nil
}

func readSecret(path string) (string, error) {
	data, err := config.ReadRegular(path, maxSecret)
	switch {
	case err != nil:
		return "", err
	case strings.ContainsRune(string(data), 0):
		return "", fmt.Errorf("%s holds a NUL byte", path)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
}

// ExplainStart names what the bare errno does not: chdir and exec give the
// same ENOENT, and so does a script whose interpreter is missing.
func ExplainStart(path, dir string, err error) error {
	if _, bare := err.(syscall.Errno); !bare {
		return err // it names its step itself
	}
	if dir != "" {
		if info, statErr := os.Stat(dir); statErr != nil {
			return fmt.Errorf("working_dir: %w", statErr)
		} else if !info.IsDir() {
			return fmt.Errorf("working_dir %s: %w", dir, unix.ENOTDIR)
		}
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	info, statErr := os.Stat(path)
	switch {
	case errors.Is(err, unix.ENOENT) && statErr == nil:
		return fmt.Errorf("%s: its interpreter or loader is missing: %w", path, err)
	case errors.Is(err, unix.ENOEXEC):
		return fmt.Errorf("%s: %w: neither a binary of this machine nor a script with a #! line", path, err)
	case statErr == nil && info.IsDir():
		return fmt.Errorf("%s: %w (it is a directory)", path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w (is it executable?)", path, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// launchReason puts a failed launch into words.
func launchReason(err error) string {
	if strings.HasPrefix(err.Error(), "cannot ") {
		return err.Error() // it says itself what cannot be done
	}
	return "cannot execute " + err.Error()
}

func (m launched) handle(s *Supervisor) {
	p := m.p
	p.startedAt = time.Now()
	if m.err != nil {
		p.launchErr, p.exit = m.err, nil
		p.tally.FailedStarts++
		p.streak.ended(0, p.config.Policy.Backoff)
		s.apply(p, input{event: evLaunchFailed, verdict: judgeLaunch(&p.config.Policy, p.streak.restarts)},
			launchReason(m.err))
		return
	}
	p.process, p.leader, p.notify = m.process, true, m.notify
	p.checks = nil
	p.resizeChecks()
	if m.config.Launch.Watchdog > 0 {
		p.watchdog = &watchdog{period: m.config.Launch.Watchdog, check: CheckStatus{Status: HealthStarting, Since: p.startedAt}}
	}
	s.options.Log.Info("program started", "program", p.name, "pid", p.process.Pid())
	s.apply(p, input{event: evLaunched}, "")
	for _, early := range p.early {
		notified{p, p.launch, early}.handle(s)
	}
	if p.at.want == Up && !m.config.Launch.Equal(&p.config.Launch) {
		s.apply(p, input{event: evRestart}, reloaded) // a reload came during the launch
	}
	if s.down.stage == killAll {
		s.apply(p, input{event: evKill}, "")
		s.options.Kernel.Sweep(unix.SIGKILL) // what it left behind in the meantime
	}
}
