package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"sidekick/config"
	"sidekick/control"
	"sidekick/events"
	"sidekick/logs"
	"sidekick/supervisor"
)

// reloader reads the file again and swaps it in. All of it is checked first:
// one problem and nothing changes.
type reloader struct {
	path       string
	supervisor *supervisor.Supervisor
	keys       *keys
	collector  *logs.Collector
	journal    *events.Journal
	log        *slog.Logger

	mu      sync.Mutex // one reload at a time
	current *config.Config
}

// Reload implements control.Reloader.
func (r *reloader) Reload(ctx context.Context, dryRun bool) (config.Plan, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := config.Load(r.path, os.LookupEnv)
	if err != nil {
		return config.Plan{}, fmt.Errorf("cannot reload, nothing was changed:%s", listed(err))
	}
	if dryRun {
		return r.supervisor.Plan(ctx, c)
	}
	return r.swap(ctx, c)
}

// listed is what is wrong with the file: a line for each problem, or the one
// error that there is.
func listed(err error) string {
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		return " " + err.Error()
	}
	var lines strings.Builder
	for _, p := range problems {
		lines.WriteString("\n" + p.String())
	}
	return lines.String()
}

// swap has a configuration run. Called with mu held. Who asked may have gone
// before it begins; once it has begun it happens, and the answer tells so.
func (r *reloader) swap(ctx context.Context, c *config.Config) (config.Plan, error) {
	if err := ctx.Err(); err != nil {
		return config.Plan{}, err
	}
	ctx = context.WithoutCancel(ctx)
	r.keys.reload(c)
	r.collector.Configure(c.Programs) // first: new programs are to find their logs
	plan, err := r.supervisor.Reload(ctx, c)
	if err == nil {
		r.current = c
		r.journal.Retain(names(c))
	}
	return plan, err
}

// obeyHangups reloads for each SIGHUP, but once for those that come during a
// reload. It reads files, which may hang, so who listens to signals must not.
func (r *reloader) obeyHangups(ctx context.Context, hangups <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
			r.hangup(ctx)
		}
	}
}

// hangup is what SIGHUP does.
func (r *reloader) hangup(ctx context.Context) {
	if _, err := r.Reload(ctx, false); err != nil {
		first, problems, _ := strings.Cut(err.Error(), "\n")
		r.log.Error("SIGHUP: "+first, "file", r.path, "problems", strings.ReplaceAll(problems, "\n", "; "))
	}
}

func newReloadCommand() *cobra.Command {
	var socket string
	var dryRun bool
	command := &cobra.Command{
		Use:   "reload [--dry-run]",
		Short: "Read the file again and change what differs",
		Long: `Read the file again and change what differs, as SIGHUP does.

Removed programs stop, new ones start, changed ones restart, and what can change
in place does. A program that did not change is not touched. One problem in the
file and nothing is changed. The plan is printed, a line for each difference:

  + added   - removed   ~ restarted   . changed in place, pid kept
  ! unchanged, for it needs a restart of the container

Exit code 0: done, or with --dry-run: it can be done; 1: the file has a problem;
2: wrong usage; 4: nobody answers.`,
		Example: "  sidekick reload --dry-run\n  sidekick reload",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := dialSidekick(socket)
			if err != nil {
				return err
			}
			plan, err := client.Reload(c.Context(), dryRun)
			if err != nil {
				return clientError(err)
			}
			printPlan(c.OutOrStdout(), plan)
			return nil
		},
	}
	socketFlag(command, &socket)
	command.Flags().BoolVar(&dryRun, "dry-run", false, "only print what would be done")
	return command
}

// printPlan shows a plan as a diff.
func printPlan(out io.Writer, plan control.Plan) {
	if len(plan.Lines) == 0 {
		fmt.Fprintln(out, "nothing differs")
	}
	colours := map[byte]string{'+': green, '-': red, '~': yellow, '!': bold}
	for _, line := range plan.Lines {
		fmt.Fprintln(out, paint(coloured(out), colours[line[0]], line))
	}
}

var _ control.Reloader = (*reloader)(nil)
