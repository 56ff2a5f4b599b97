package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"sidekick/control"
	"sidekick/supervisor"
)

func newStartCommand() *cobra.Command {
	return newActionCommand(supervisor.Start, "Start programs, and what they depend on")
}

func newStopCommand() *cobra.Command {
	return newActionCommand(supervisor.Stop, "Stop programs; their keys go first")
}

func newRestartCommand() *cobra.Command {
	return newActionCommand(supervisor.Restart, "Stop programs and start them again")
}

// newActionCommand makes start, stop and restart, which differ in a word.
func newActionCommand(action supervisor.Action, short string) *cobra.Command {
	var socket string
	var noWait bool
	var timeout time.Duration
	command := &cobra.Command{
		Use:   string(action) + " NAME…|all",
		Short: short,
		Long: short + `.

It waits until that is done and reports each program in a line: a start or
restart is done when the program is RUNNING, healthy and, while etcd answers,
registered. Exit code 0: all done; 1: one failed; 4: nobody answers.`,
		Example: fmt.Sprintf("  sidekick %s web\n  sidekick %s all --timeout 30s", action, action),
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			if timeout <= 0 {
				return &exitError{code: exitUsage, err: errors.New("cannot wait for --timeout: it must be above 0")}
			}
			if noWait {
				timeout = 0
			}
			client, err := dialSidekick(socket)
			if err != nil {
				return err
			}
			return actOnAll(c, client, action, names, timeout)
		},
	}
	socketFlag(command, &socket)
	command.Flags().BoolVar(&noWait, "no-wait", false, "do not wait for the outcome")
	command.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait for each program")
	return command
}

// actOnAll acts on the programs side by side, as one may wait for another, and
// prints a line for each as it is done.
func actOnAll(c *cobra.Command, client *control.Client, action supervisor.Action, names []string, wait time.Duration) error {
	names, err := expand(c.Context(), client, names)
	if err != nil {
		return clientError(err)
	}
	results := make(chan result)
	var group sync.WaitGroup
	for _, name := range names {
		group.Go(func() {
			p, err := client.Act(c.Context(), action, name, wait)
			results <- result{name, p, err}
		})
	}
	go func() { group.Wait(); close(results) }()
	var failed error
	for r := range results {
		if r.err != nil {
			failed = clientError(r.err)
			fmt.Fprintf(c.ErrOrStderr(), "%s: error: %v\n", r.name, r.err)
			continue
		}
		fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", r.name, summary(r.program))
	}
	if e, ok := errors.AsType[*exitError](failed); ok {
		return &exitError{code: e.code} // each has had its line
	}
	return nil
}

type result struct {
	name    string
	program control.Program
	err     error
}

// summary is one program in a few words.
func summary(p control.Program) string {
	text := p.State
	if p.Completed {
		text = "completed"
	}
	if p.Pid != 0 {
		text += fmt.Sprintf(", pid %d", p.Pid)
	}
	for _, r := range p.Registrations {
		if r.Reason == "" {
			text += ", registered as " + r.Address
		} else if p.Want == "up" {
			text += ", not registered: " + r.Reason
		}
	}
	return text
}

// expand replaces `all` by every program's name and the name of a program with
// replicas by those of its copies. An unknown name stays, for the server to say so.
func expand(ctx context.Context, client *control.Client, names []string) ([]string, error) {
	programs, err := client.Programs(ctx)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, name := range names {
		known := false
		for _, p := range programs {
			if addresses(name, p) {
				all, known = append(all, p.Name), true
			}
		}
		if !known {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// addresses: name is the program's own, its group's, or `all`.
func addresses(name string, p control.Program) bool {
	return name == p.Name || name == p.Group || name == "all"
}
