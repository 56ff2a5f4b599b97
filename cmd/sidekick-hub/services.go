package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sidekick/hub"
)

// listTimeout bounds `services` without --watch.
const listTimeout = 5 * time.Second

func newServicesCommand() *cobra.Command {
	var etcd, output string
	var watch bool
	command := &cobra.Command{
		Use:   "services",
		Short: "List the services in an etcd",
		Long: `List the services in an etcd: every key /DIRECTORY/HOST:PORT, whoever wrote it.

With --watch it goes on, and prints a line for each change: + appeared,
- vanished, ~ got another value. It survives restarts of etcd.`,
		Example: "  sidekick-hub services\n  sidekick-hub services --etcd http://10.1.0.101:2379,http://10.1.0.102:2379 --watch",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			endpoints, err := hub.Endpoints(etcd)
			if err != nil {
				return &exitError{code: exitUsage, err: err, hint: "--etcd http://127.0.0.1:2379"}
			}
			if !slices.Contains([]string{"table", "json"}, output) {
				return &exitError{code: exitUsage, err: fmt.Errorf("cannot print as %q", output), hint: "-o table or -o json"}
			}
			if watch {
				return watchServices(c, endpoints, output)
			}
			return listServices(c, endpoints, output)
		},
	}
	command.Flags().StringVar(&etcd, "etcd", "http://127.0.0.1:2379", "URLs of the etcd, separated by commas")
	command.Flags().BoolVar(&watch, "watch", false, "go on, and print the changes")
	command.Flags().StringVarP(&output, "output", "o", "table", "table or json; with --watch one JSON object a line")
	return command
}

// listServices prints what is there now.
func listServices(c *cobra.Command, endpoints []string, output string) error {
	client, err := hub.Dial(endpoints)
	if err != nil {
		return &exitError{code: exitFailed, err: err}
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(c.Context(), listTimeout)
	defer cancel()
	services, err := hub.List(ctx, client)
	if err != nil {
		return &exitError{
			code: exitFailed, err: err,
			hint: "is etcd running there? `sidekick-hub serve` starts one; --etcd names another",
		}
	}
	if output == "json" {
		err = hub.WriteJSON(c.OutOrStdout(), services)
	} else {
		err = hub.WriteTable(c.OutOrStdout(), services)
	}
	return writeFailed(err)
}

// watchServices prints what is there and what changes, until it is stopped.
func watchServices(c *cobra.Command, endpoints []string, output string) error {
	client, err := hub.Dial(endpoints)
	if err != nil {
		return &exitError{code: exitFailed, err: err}
	}
	defer client.Close()
	v := &view{command: c, json: output == "json", paint: paintFor(c), where: strings.Join(endpoints, ", ")}
	return v.follow(client)
}

// paintFor colours the output if it is a terminal.
func paintFor(c *cobra.Command) hub.Paint {
	if f, ok := c.OutOrStdout().(*os.File); ok {
		return hub.PaintFor(f, os.LookupEnv)
	}
	return hub.Paint{}
}

// writeFailed reports that the output could not be written.
func writeFailed(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code: exitFailed, err: fmt.Errorf("cannot write the services: %w", err)}
}
