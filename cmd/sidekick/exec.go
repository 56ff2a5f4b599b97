package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// newExecCommand refuses. The real `sidekick exec` is a process that sidekick
// starts to set up a program; supervisor/child/shim takes it over before main.
func newExecCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "exec",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return &exitError{code: exitUsage, err: errors.New("cannot be run by hand: sidekick starts it by itself to set up a program"),
				hint: "sidekick run -- COMMAND"}
		},
	}
}
