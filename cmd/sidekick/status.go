package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sidekick/control"
)

func newStatusCommand() *cobra.Command {
	var socket, output string
	command := &cobra.Command{
		Use:   "status [NAME…]",
		Short: "Show what the programs do and where they are registered",
		Long: `Show what the programs do and where they are registered.

Exit code 0: each is RUNNING, completed, or has autostart: false and was never
started; 3: one is not; 4: nobody answers.`,
		Example: "  sidekick status\n  docker exec CONTAINER sidekick status web\n  sidekick status -o json",
		RunE: func(c *cobra.Command, names []string) error {
			if output != "table" && output != "json" {
				return &exitError{code: exitUsage, err: fmt.Errorf("cannot print %q", output), hint: "-o table or -o json"}
			}
			client, err := dialSidekick(socket)
			if err != nil {
				return err
			}
			programs, err := client.Programs(c.Context())
			if err == nil {
				programs, err = selected(programs, names)
			}
			if err != nil {
				return clientError(err)
			}
			return printStatus(c.OutOrStdout(), programs, output)
		},
	}
	socketFlag(command, &socket)
	command.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return command
}

func socketFlag(c *cobra.Command, socket *string) {
	c.Flags().StringVar(socket, "socket", "", "control socket (default $SIDEKICK_SOCKET, /run/sidekick.sock, /tmp/sidekick.sock, /dev/shm/sidekick.sock)")
}

func dialSidekick(socket string) (*control.Client, error) {
	client, err := control.Dial(control.Candidates(socket, os.LookupEnv))
	if err != nil {
		return nil, clientError(err)
	}
	return client, nil
}

// clientError gives an error of the API its exit code.
func clientError(err error) error {
	if errors.Is(err, control.ErrNobodyAnswers) {
		return &exitError{code: exitNobody, err: fmt.Errorf("cannot reach sidekick: %w", err),
			hint: "is `sidekick run` running here? Inside its container: docker exec CONTAINER sidekick status; else --socket PATH"}
	}
	return &exitError{code: exitFailed, err: err}
}

func selected(programs []control.Program, names []string) ([]control.Program, error) {
	if len(names) == 0 {
		return programs, nil
	}
	chosen := map[string]bool{}
	for _, name := range names {
		before := len(chosen)
		for _, p := range programs {
			if addresses(name, p) {
				chosen[p.Name] = true
			}
		}
		if len(chosen) == before && !chosen[name] {
			return nil, fmt.Errorf("no program is named %q", name)
		}
	}
	return slices.DeleteFunc(programs, func(p control.Program) bool { return !chosen[p.Name] }), nil
}

func printStatus(w io.Writer, programs []control.Program, output string) error {
	if output == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(programs); err != nil {
			return &exitError{code: exitFailed, err: err}
		}
	} else {
		printTable(w, programs)
	}
	for _, p := range programs {
		if !p.OK() {
			return &exitError{code: exitNotOK}
		}
	}
	return nil
}

func printTable(w io.Writer, programs []control.Program) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tSTATE\tPID\tUPTIME\tRESTARTS\tHEALTH\tCPU\tMEMORY\tREGISTERED\tREASON")
	for _, p := range programs {
		fmt.Fprintln(table, strings.Join(row(p), "\t"))
	}
	_ = table.Flush()
}

func row(p control.Program) []string {
	state := p.State
	if p.Completed {
		state += " (completed)"
	}
	pid, uptime, cpu, memory, health := "-", "-", "-", "-", "-"
	if p.Pid != 0 {
		pid = fmt.Sprint(p.Pid)
		uptime = time.Duration(p.UptimeSeconds * float64(time.Second)).Truncate(time.Second).String()
	}
	if p.Stats != nil {
		cpu = fmt.Sprintf("%.1f%%", p.Stats.CPUPercent)
		memory = fmt.Sprintf("%.1fMiB", float64(p.Stats.MemoryBytes)/(1<<20))
	}
	reasons := []string{}
	if p.Reason != "" && !p.Completed {
		reasons = append(reasons, p.Reason)
	}
	if p.Health != nil {
		health = p.Health.Status
		if health != "healthy" && p.Health.Output != "" {
			reasons = append(reasons, p.Health.Output)
		}
	}
	registered, why := registeredAt(p)
	return []string{p.Name, state, pid, uptime, fmt.Sprint(p.Restarts), health, cpu, memory, registered,
		strings.Join(append(reasons, why...), "; ")}
}

// registeredAt lists the addresses that are in etcd, and why others are not.
func registeredAt(p control.Program) (addresses string, why []string) {
	var there []string
	for _, r := range p.Registrations {
		if r.Reason == "" {
			there = append(there, r.Address)
			if r.Warning != "" {
				why = append(why, r.Address+": "+r.Warning)
			}
		} else if p.State == "RUNNING" {
			why = append(why, "not registered: "+r.Reason)
		}
	}
	if len(there) == 0 {
		return "-", why
	}
	return strings.Join(there, ","), why
}
