// Command sidekick-hub is what runs outside application containers: an etcd
// for one machine, and a view of the services in any etcd.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is stamped by the linker.
var version = "dev"

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	// A reader that went away is an error to end in order for, not a death:
	// there may be a temporary directory to remove.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	// After the first signal a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	failure, ok := errors.AsType[*exitError](err)
	if !ok { // cobra's own: a flag or an argument it does not know
		failure = usageError(err)
	}
	failure.print(stderr)
	return failure.code
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "sidekick-hub",
		Short:         "An etcd for one machine, and the services registered in any etcd",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(newServeCommand(), newServicesCommand(), newVersionCommand())
	return root
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run:   func(c *cobra.Command, _ []string) { fmt.Fprintln(c.OutOrStdout(), "sidekick-hub", version) },
	}
}

// exitError ends the command with a code of its own.
type exitError struct {
	code int
	err  error
	hint string // what to try
}

func (e *exitError) Error() string { return e.err.Error() }

func (e *exitError) print(w io.Writer) {
	fmt.Fprintf(w, "error: %v\n", e.err)
	if e.hint != "" {
		fmt.Fprintf(w, "try: %s\n", e.hint)
	}
}

// usageError is for what was typed wrongly.
func usageError(err error) *exitError {
	return &exitError{code: exitUsage, err: err, hint: "sidekick-hub --help"}
}
