package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"sidekick/control"
	"sidekick/supervisor"
)

func newStartCommand() *cobra.Command {
	return newActionCommand(supervisor.Start, "Start programs, and what they depend on", "")
}

func newStopCommand() *cobra.Command {
	return newActionCommand(supervisor.Stop, "Stop programs; their keys go first", `
What depends on a program is not stopped with it. A container whose programs are
stopped by command stays up.
`)
}

func newRestartCommand() *cobra.Command {
	return newActionCommand(supervisor.Restart, "Stop programs and start them again", `
The keys of a registered program are out of etcd, and registry.drain has passed,
before it is told to stop. With --rolling one program after another is restarted,
each when the one before it is done; after a failure the rest is left alone.
`)
}

// actionFlags are the flags of start, stop, restart, drain and undrain.
type actionFlags struct {
	socket          string
	noWait, rolling bool
	timeout         time.Duration
}

// newActionCommand makes start, stop and restart, which differ in a word.
func newActionCommand(action supervisor.Action, short, more string) *cobra.Command {
	var f actionFlags
	command := &cobra.Command{
		Use:   string(action) + " NAME…|all",
		Short: short,
		Long: short + `.
` + more + `
A NAME is that of a program, of all copies of a program with replicas, or a
pattern as in a shell ('web-*', in quotes); one that addresses nothing is an
error, and nothing is done. It waits until all is done and reports each program
in a line as it happens: a start or restart is done when the program is RUNNING,
healthy and, while etcd answers, registered; or when it has completed.

Exit code 0: all done; 1: one failed; 2: wrong usage; 4: nobody answers.`,
		Example: fmt.Sprintf("  sidekick %[1]s web\n  sidekick %[1]s 'worker-*' --timeout 30s\n  docker exec CONTAINER sidekick %[1]s all --no-wait", action),
		Args:    atLeast(1),
		RunE:    func(c *cobra.Command, names []string) error { return f.run(c, action, names) },
	}
	socketFlag(command, &f.socket)
	command.Flags().BoolVar(&f.noWait, "no-wait", false, "do not wait for the outcome")
	command.Flags().DurationVar(&f.timeout, "timeout", time.Minute, "how long to wait for each program")
	if action == supervisor.Restart {
		command.Flags().BoolVar(&f.rolling, "rolling", false, "one after another, each when the one before is healthy and registered")
		command.Example += "\n  sidekick restart --rolling web"
	}
	return command
}

func (f *actionFlags) run(c *cobra.Command, action supervisor.Action, names []string) error {
	if f.rolling && f.noWait {
		return &exitError{code: exitUsage, err: errors.New("cannot use --rolling with --no-wait: each waits for the one before"), hint: "leave one out"}
	}
	wait, err := f.wait()
	if err != nil {
		return err
	}
	client, programs, err := find(c.Context(), f.socket, names)
	if err != nil {
		return err
	}
	acts := acts{client: client, action: action, wait: wait, names: programNames(programs),
		progress: newProgress(c.OutOrStdout(), c.ErrOrStderr())}
	if f.rolling {
		return acts.oneByOne(c.Context())
	}
	return acts.sideBySide(c.Context())
}

// wait is how long to wait, 0 for not at all.
func (f *actionFlags) wait() (time.Duration, error) {
	switch {
	case f.timeout <= 0:
		return 0, &exitError{code: exitUsage, err: errors.New("cannot wait for --timeout: it must be above 0"), hint: "--no-wait does not wait"}
	case f.noWait:
		return 0, nil
	}
	return f.timeout, nil
}

// find returns a client of the sidekick at socket and the programs that the
// names address.
func find(ctx context.Context, socket string, names []string) (*control.Client, []control.Program, error) {
	client, err := dialSidekick(socket)
	if err != nil {
		return nil, nil, err
	}
	programs, err := client.Programs(ctx, false)
	if err != nil {
		return nil, nil, clientError(err)
	}
	programs, err = choose(programs, names)
	return client, programs, err
}

// acts carries one action out on programs.
type acts struct {
	client   *control.Client
	action   supervisor.Action
	wait     time.Duration
	names    []string
	progress *progress
}

// sideBySide acts on all at once, as one may wait for another, and prints a line
// for each as it is done.
func (a *acts) sideBySide(ctx context.Context) error {
	watching, done := context.WithCancel(ctx)
	defer done()
	a.progress.watch(watching, a.client, a.names)
	var acting sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for _, name := range a.names {
		acting.Go(func() {
			if err := a.one(ctx, name); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = err
			}
		})
	}
	acting.Wait()
	done()
	a.progress.end()
	return reported(failed)
}

// oneByOne acts on each when the one before is done, and stops at a failure.
func (a *acts) oneByOne(ctx context.Context) error {
	for i, name := range a.names {
		watching, done := context.WithCancel(ctx)
		a.progress.watch(watching, a.client, a.names[i:i+1])
		err := a.one(ctx, name)
		done()
		a.progress.end()
		if err == nil {
			continue
		}
		if rest := a.names[i+1:]; len(rest) > 0 {
			a.progress.fail(strings.Join(rest, ", "), fmt.Errorf("cannot go on: %s failed, and nothing was done here", name))
		}
		return reported(err)
	}
	return nil
}

// one acts on one program and prints how that ended.
func (a *acts) one(ctx context.Context, name string) error {
	p, err := a.client.Act(ctx, a.action, name, a.wait)
	if err != nil {
		a.progress.fail(name, err)
		return clientError(err)
	}
	a.progress.done(name, summary(p))
	return nil
}

// reported is the exit code of an error that has had its line.
func reported(err error) error {
	if e, ok := errors.AsType[*exitError](err); ok {
		return &exitError{code: e.code}
	}
	return err
}

// summary is one program in a few words.
func summary(p control.Program) string {
	text := []string{p.State}
	if p.Completed {
		text[0] = "completed"
	}
	if p.Pid != 0 {
		text = append(text, fmt.Sprint("pid ", p.Pid))
	}
	for _, r := range p.Registrations {
		if r.Reason == "" {
			text = append(text, "registered as "+r.Address)
		} else if p.Want == "up" {
			text = append(text, "not registered: "+printable(r.Reason))
		}
	}
	return strings.Join(distinct(text), ", ")
}
