package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sidekick/control"
	"sidekick/events"
)

func newEventsCommand() *cobra.Command {
	var socket, output string
	var follow bool
	command := &cobra.Command{
		Use:   "events [-f]",
		Short: "Show what changed: states, health, registrations",
		Long: `Show what changed: every change of a program's state, of the word of its check,
and of its keys in etcd. sidekick keeps the last 1,024 events.

-o json prints an object a line: id, time, type (state, health or registration),
program, from, to, reason; pid of a state, key of a registration. From and to of a
registration are registered and unregistered.

Exit code 0: done; 1: failed; 2: wrong usage; 4: nobody answers, or sidekick ended.`,
		Example: "  sidekick events -f\n  sidekick events -o json | jq 'select(.to == \"FATAL\")'",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			out := c.OutOrStdout()
			var print func(events.Event) error
			switch output {
			case "table":
				print = func(e events.Event) error { return printEvent(out, e, coloured(out)) }
			case "json":
				encoder := json.NewEncoder(out)
				encoder.SetEscapeHTML(false)
				print = func(e events.Event) error { return encoder.Encode(e) }
			default:
				return &exitError{code: exitUsage, err: fmt.Errorf("cannot print %q", output), hint: "-o table or -o json"}
			}
			client, err := dialSidekick(socket)
			if err != nil {
				return err
			}
			err = client.Events(c.Context(), 0, follow, print)
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return &exitError{code: exitNobody, err: errors.New("cannot follow any more: sidekick has ended"),
					hint: "sidekick events -f again when it is back"}
			}
			if err != nil {
				return clientError(err)
			}
			return nil
		},
	}
	socketFlag(command, &socket)
	command.Flags().BoolVarP(&follow, "follow", "f", false, "go on with each event as it comes, until Ctrl-C")
	command.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return command
}

// printEvent prints a line whose columns stay where they are, as the next event
// is not known.
func printEvent(out io.Writer, e events.Event, colours bool) error {
	to := field{e.To, map[string]string{
		"healthy": green, "registered": green, "unhealthy": red, "unregistered": yellow,
	}[e.To]}
	if e.Type == events.State {
		to = stateField(control.Program{State: e.To})
	}
	text := paint(colours, to.colour, fmt.Sprintf("%-12s", e.To))
	more := printable(e.Reason)
	if e.Key != "" {
		more = printable(e.Key + "  " + e.Reason)
	}
	line := fmt.Sprintf("%s  %-12s  %-12s  %12s > %s  %s", e.Time.Local().Format(time.DateTime), e.Type, e.Program, e.From, text, more)
	_, err := fmt.Fprintln(out, strings.TrimRight(line, " "))
	return err
}
