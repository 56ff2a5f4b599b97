package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// usageError is what is wrong with a command line, in words of cobra or of the
// functions below, and where to read how it is written.
func usageError(c *cobra.Command, err error) *exitError {
	return &exitError{code: exitUsage, err: fmt.Errorf("cannot read the command line: %w", err), hint: c.CommandPath() + " --help"}
}

// noArguments is cobra.NoArgs for a command, which that takes for a subcommand.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q", args[0])
	}
	return nil
}

// aCommand is for the first word, which is the name of none.
func aCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("unknown command %q, did you mean %q?", args[0], near[0])
	}
	return fmt.Errorf("unknown command %q", args[0])
}

// atLeast wants so many arguments, and shows how the command is written.
func atLeast(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < n {
			return fmt.Errorf("too few arguments: write %s", c.UseLine())
		}
		return nil
	}
}

// exactlyOne wants one argument.
func exactlyOne(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("unexpected argument %q", args[1])
	}
	return atLeast(1)(c, args)
}
