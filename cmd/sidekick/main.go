// Command sidekick is the PID 1 of a container: it supervises programs, keeps
// their keys in etcd, and is the client that controls a running sidekick.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"sidekick/cmd/sidekick/earlysignal"
)

// version is stamped by the linker.
var version = "dev"

// Exit codes that are not a program's own.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitNotOK    = 3 // see status
	exitNobody   = 4 // nobody answers on the socket
	exitInternal = 70
	exitConfig   = 78
)

func main() {
	os.Exit(execute(os.Args[1:]))
}

// execute runs one command line and returns its exit code.
func execute(args []string) int {
	root := newRootCommand()
	root.SetArgs(args)
	stdout := &output{file: os.Stdout}
	root.SetOut(stdout)
	command, err := root.ExecuteC()
	if stdout.failed != nil {
		err = &exitError{code: exitFailed, err: fmt.Errorf("cannot write the output: %w", stdout.failed), hint: "look at where stdout goes"}
	}
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		e.print()
		return e.code
	}
	usageError(command, err).print()
	return exitUsage
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "sidekick",
		Short: "PID 1 for containers: supervises programs and registers them in etcd",
		Long: `PID 1 for containers: supervises programs and registers them in etcd.

sidekick run is that; the other commands control it, and find it by --socket,
$SIDEKICK_SOCKET, or as the first that answers of /run/sidekick.sock,
/tmp/sidekick.sock and /dev/shm/sidekick.sock.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 see status, 4 nobody answers;
run, check and health have their own.`,
		Example: `  sidekick run -c sidekick.yaml
  sidekick run -- node server.js
  docker exec CONTAINER sidekick status`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          aCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		// Only `run` wants the signals of PID 1.
		PersistentPreRun: func(c *cobra.Command, _ []string) {
			if c.Name() != "run" {
				signal.Reset()
			}
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true // ours is newCompletionCommand
	root.AddCommand(
		newRunCommand(earlysignal.C),
		newCheckCommand(),
		newSchemaCommand(),
		newConvertCommand(),
		newRegisterCommand(),
		newStatusCommand(),
		newTopCommand(),
		newLogsCommand(), newEventsCommand(),
		newStartCommand(),
		newStopCommand(),
		newRestartCommand(),
		newSignalCommand(),
		newDrainCommand(),
		newUndrainCommand(),
		newReloadCommand(),
		newHealthCommand(),
		newVersionCommand(),
		newCompletionCommand(),
		newExecCommand(),
	)
	addCompletion(root)
	return root
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `Print the version, the one that sidekick_build_info has in the metrics.

Exit code 0: done; 2: wrong usage.`,
		Example: "  sidekick version\n  docker run --rm --entrypoint sidekick IMAGE version",
		Args:    noArguments,
		Run:     func(c *cobra.Command, _ []string) { fmt.Fprintln(c.OutOrStdout(), "sidekick", version) },
	}
}

// exitError ends the command with a code of its own.
type exitError struct {
	code int
	err  error  // nil: everything has been said
	hint string // what to try, "" for none
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) print() {
	if e.err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "error: %v\n", e.err)
	if e.hint != "" {
		fmt.Fprintf(os.Stderr, "try: %s\n", e.hint)
	}
}
