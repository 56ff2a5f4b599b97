package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/config"
	"sidekick/supervisor/child"
)

// launched is the outcome of a launch.
type launched struct {
	p       *program
	launch  uint64
	process Process
	err     error
}

// launch starts the command in a goroutine of its own: neither the registry
// nor a slow exec may hold the loop up. The goroutine ends when the command is
// executed or has failed to be.
func (s *Supervisor) launch(p *program) {
	p.launch++
	p.checks, p.launchErr = nil, nil
	m := launched{p: p, launch: p.launch}
	program := p.config
	go func() {
		if s.options.Gate != nil && len(program.Policy.Register) > 0 {
			ctx, cancel := context.WithTimeout(context.Background(), gateTimeout)
			s.options.Gate.Prepare(ctx, program.Name)
			cancel()
		}
		m.process, m.err = s.execute(program)
		s.post(m)
		if m.err == nil {
			m.process.Notify(func(e child.Event) { s.post(childEvent{m.p, m.launch, e}) })
		}
	}()
}

// execute starts the program's command.
func (s *Supervisor) execute(program *config.Program) (Process, error) {
	l := &program.Launch
	env := l.Env(s.options.Environ)
	path, err := l.Executable(env)
	if err != nil {
		return nil, err
	}
	stdout, stderr, err := s.options.Output(program.Name)
	if err != nil {
		return nil, fmt.Errorf("cannot make its output pipes: %w", err)
	}
	defer stdout.Close()
	defer stderr.Close()
	process, err := s.options.Kernel.Start(child.Spec{
		Path: path, Args: l.Command, Env: env, Dir: l.WorkingDir, Stdout: stdout, Stderr: stderr,
	})
	if err != nil {
		return nil, explainStart(path, l.WorkingDir, err)
	}
	return process, nil
}

// explainStart names what the bare errno does not: chdir and exec give the
// same ENOENT, and so does a script whose interpreter is missing.
func explainStart(path, dir string, err error) error {
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
	_, statErr := os.Stat(path)
	switch {
	case errors.Is(err, unix.ENOENT) && statErr == nil:
		return fmt.Errorf("%s: its interpreter or loader is missing: %w", path, err)
	case errors.Is(err, unix.ENOEXEC):
		return fmt.Errorf("%s: %w: neither a binary of this machine nor a script with a #! line", path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w (is it executable?)", path, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

func (m launched) handle(s *Supervisor) {
	p := m.p
	p.startedAt = time.Now()
	if m.err != nil {
		p.launchErr, p.exit = m.err, nil
		p.streak.ended(0, p.config.Policy.Backoff)
		s.apply(p, input{event: evLaunchFailed, verdict: judgeLaunch(&p.config.Policy, p.streak.restarts)},
			"cannot execute "+m.err.Error())
		return
	}
	p.process = m.process
	for range p.config.Policy.Checks {
		p.checks = append(p.checks, CheckStatus{Status: HealthStarting, Since: p.startedAt})
	}
	s.options.Log.Info("program started", "program", p.name, "pid", p.process.Pid())
	s.apply(p, input{event: evLaunched}, "")
	if s.down.stage == killAll {
		s.apply(p, input{event: evKill}, "")
	}
}
