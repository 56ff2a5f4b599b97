package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sidekick/config"
	"sidekick/control"
	"sidekick/supervisor"
)

func newSignalCommand() *cobra.Command {
	var socket string
	command := &cobra.Command{
		Use:   "signal SIGNAL NAME…|all",
		Short: "Send a signal to programs",
		Long: `Send a signal to the process of each program, as kill(1) would: not to its
children. What follows is up to the program; one that ends is treated as its
restart policy says. SIGNAL is a name such as HUP or SIGHUP, or a number.

Exit code 0: sent to all; 1: one has no process; 2: wrong usage; 4: nobody
answers.`,
		Example: "  sidekick signal HUP nginx\n  sidekick signal USR1 'worker-*'",
		Args:    atLeast(2),
		RunE: func(c *cobra.Command, args []string) error {
			sig, err := config.ParseSignal(args[0])
			if err != nil {
				return &exitError{code: exitUsage, err: fmt.Errorf("cannot send that: %w", err), hint: "sidekick signal HUP NAME"}
			}
			client, programs, err := find(c.Context(), socket, args[1:])
			if err != nil {
				return err
			}
			var failed error
			out := newProgress(c.OutOrStdout(), c.ErrOrStderr())
			for _, p := range programs {
				if _, err := client.Signal(c.Context(), p.Name, args[0]); err != nil {
					out.fail(p.Name, err)
					failed = clientError(err)
				} else {
					out.done(p.Name, supervisor.SignalName(sig)+" sent")
				}
			}
			return reported(failed)
		},
	}
	socketFlag(command, &socket)
	return command
}

func newDrainCommand() *cobra.Command {
	return newDrainingCommand(true, "drain", "Take keys out of etcd while the programs run on", `
For maintenance: clients go elsewhere, and the programs finish what they have. It
lasts, across restarts and reloads, until sidekick undrain or the end of the
container; health counts a drained program as healthy.
`)
}

func newUndrainCommand() *cobra.Command {
	return newDrainingCommand(false, "undrain", "Put the keys of drained programs back into etcd", `
A program has its key again when it is RUNNING and its check passes.
`)
}

func newDrainingCommand(drained bool, word, short, more string) *cobra.Command {
	var f actionFlags
	command := &cobra.Command{
		Use:   word + " [NAME…]",
		Short: short,
		Long: short + `.
` + more + `
Without a NAME it means all programs. A NAME is that of a program, of all copies
of a program with replicas, or a pattern as in a shell ('web-*', in quotes). It
waits until etcd has confirmed the change.

Exit code 0: done; 1: etcd has not confirmed it in time, or no program has the
name; 2: wrong usage; 4: nobody answers.`,
		Example: fmt.Sprintf("  sidekick %[1]s\n  sidekick %[1]s web --timeout 30s", word),
		RunE: func(c *cobra.Command, names []string) error {
			wait, err := f.wait()
			if err != nil {
				return err
			}
			client, programs, err := find(c.Context(), f.socket, names)
			if err != nil {
				return err
			}
			programs, err = client.Drain(c.Context(), drained, programNames(programs), wait)
			if err != nil {
				return clientError(err)
			}
			printDrained(c.OutOrStdout(), programs, len(names) > 0)
			return nil
		},
	}
	socketFlag(command, &f.socket)
	command.Flags().BoolVar(&f.noWait, "no-wait", false, "do not wait for etcd")
	command.Flags().DurationVar(&f.timeout, "timeout", 10*time.Second, "how long to wait for etcd")
	return command
}

// printDrained prints a line for each program that was named or has something to
// drain.
func printDrained(out io.Writer, programs []control.Program, named bool) {
	printed := false
	for _, p := range programs {
		if len(p.Registrations) > 0 || named {
			fmt.Fprintf(out, "%s: %s\n", p.Name, drainSummary(p))
			printed = true
		}
	}
	if !printed {
		fmt.Fprintln(out, "no program has registrations")
	}
}

func drainSummary(p control.Program) string {
	var text []string
	if p.Drained {
		text = append(text, "drained")
	}
	for _, r := range p.Registrations {
		switch {
		case r.Reason == "":
			text = append(text, "registered as "+r.Address)
		case !p.Drained:
			text = append(text, "not registered: "+printable(r.Reason))
		}
	}
	if len(p.Registrations) == 0 {
		text = append(text, "has no registrations")
	}
	return strings.Join(distinct(text), ", ")
}

func newHealthCommand() *cobra.Command {
	var socket string
	unhealthy := func(err error) error { return &exitError{code: exitFailed, err: err} }
	command := &cobra.Command{
		Use:   "health",
		Short: "Say whether all is well: for Docker's HEALTHCHECK",
		Long: `Say whether all is well: each essential program with autostart is RUNNING or
completed, and its check passes. A drained one counts as healthy. What is not
well is printed, a line each; docker inspect shows it.

Exit code 0: all is well; 1: anything else, also that nobody answers.`,
		Example: `  HEALTHCHECK --interval=10s --timeout=5s CMD ["/usr/local/bin/sidekick", "health"]
  docker inspect -f '{{.State.Health.Status}}' CONTAINER`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unhealthy(errors.New("cannot take arguments: health is of the whole container"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := control.Dial(control.Candidates(socket, os.LookupEnv))
			if err != nil {
				return unhealthy(fmt.Errorf("cannot reach sidekick: %w", err))
			}
			verdict, err := client.Health(c.Context())
			if err != nil {
				return unhealthy(fmt.Errorf("cannot ask sidekick: %w", err))
			}
			if verdict.Healthy {
				fmt.Fprintln(c.OutOrStdout(), "healthy")
				return nil
			}
			for _, problem := range verdict.Problems {
				fmt.Fprintln(c.OutOrStdout(), printable(problem))
			}
			return unhealthy(nil)
		},
	}
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return unhealthy(err) })
	socketFlag(command, &socket)
	return command
}
