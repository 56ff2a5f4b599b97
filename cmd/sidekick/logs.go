package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sidekick/control"
	"sidekick/logs"
)

func newLogsCommand() *cobra.Command {
	var socket, stream string
	query := control.LogQuery{}
	command := &cobra.Command{
		Use:   "logs NAME…|all [-f] [-n N] [--stream stdout|stderr]",
		Short: "Show what programs print",
		Long: `Show the last lines that programs have printed, from memory, wherever logging.to
sends them: the last 1,000 lines, at most 64 KiB, of each program are kept. With -f
it goes on with each line as it comes, across restarts.

What a program printed to stdout goes to stdout, and what it printed to stderr to
stderr. Lines of several programs have their names in front and come in the order
in which they were printed.

Exit code 0: done; 1: failed, or this reader was too slow to follow; 2: wrong
usage; 4: nobody answers.`,
		Example: "  sidekick logs web\n  sidekick logs web db -f -n 10\n  docker exec CONTAINER sidekick logs web --stream stderr",
		Args:    atLeast(1),
		RunE: func(c *cobra.Command, names []string) error {
			query.Stream = logs.Stream(stream)
			switch {
			case c.Flags().Changed("lines") && query.Lines < 0:
				return &exitError{code: exitUsage, err: fmt.Errorf("cannot show %d lines", query.Lines), hint: "-n 100; without -n all that are kept"}
			case stream != "" && query.Stream != logs.Stdout && query.Stream != logs.Stderr:
				return &exitError{code: exitUsage, err: fmt.Errorf("cannot show the stream %q", stream), hint: "--stream stdout or --stream stderr"}
			}
			return showLogs(c, socket, query, names)
		},
	}
	socketFlag(command, &socket)
	command.Flags().BoolVarP(&query.Follow, "follow", "f", false, "go on with each line as it comes, until Ctrl-C")
	command.Flags().IntVarP(&query.Lines, "lines", "n", -1, "how many lines of the past, of each program; without it all that are kept")
	command.Flags().StringVar(&stream, "stream", "", "only stdout or only stderr")
	return command
}

func showLogs(c *cobra.Command, socket string, query control.LogQuery, names []string) error {
	client, programs, err := find(c.Context(), socket, names)
	if err != nil {
		return err
	}
	query.Programs = programNames(programs)
	p := newLinePrinter(c.OutOrStdout(), c.ErrOrStderr(), query.Programs)
	if slices.Contains(names, "all") {
		query.Programs = nil // to sidekick that is all whose output it has
	}
	err = client.Logs(c.Context(), query, p.print)
	if e, ok := errors.AsType[*control.Error](err); ok && e.Code == "too_slow" {
		return &exitError{code: exitFailed, err: errors.New("cannot follow any more: " + e.Message), hint: "sidekick logs -f again; lines between are missing"}
	}
	if err != nil {
		return clientError(err)
	}
	return nil
}

// linePrinter prints the lines of several programs behind their names, those of
// one as they are.
type linePrinter struct {
	to       map[logs.Stream]io.Writer
	prefixes map[logs.Stream]map[string]string
	within   map[string]bool // by program and stream: the last line goes on
}

func newLinePrinter(out, errs io.Writer, programs []string) *linePrinter {
	p := &linePrinter{to: map[logs.Stream]io.Writer{logs.Stdout: out, logs.Stderr: errs},
		prefixes: map[logs.Stream]map[string]string{logs.Stdout: {}, logs.Stderr: {}}, within: map[string]bool{}}
	if len(programs) < 2 {
		return p
	}
	for stream, to := range p.to {
		for name, prefix := range logs.Prefixes(programs, coloured(to)) {
			p.prefixes[stream][name] = string(prefix)
		}
	}
	return p
}

func (p *linePrinter) print(l control.LogLine) error {
	var line strings.Builder
	who := l.Program + " " + string(l.Stream)
	if !p.within[who] || len(p.prefixes[l.Stream]) > 0 {
		line.WriteString(p.prefixes[l.Stream][l.Program])
	}
	line.Write(l.Text())
	// Of one program a long line is put together again.
	if p.within[who] = l.Partial; !l.Partial || len(p.prefixes[l.Stream]) > 0 {
		line.WriteByte('\n')
	}
	_, err := io.WriteString(p.to[l.Stream], line.String())
	return err
}
