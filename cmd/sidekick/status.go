package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sidekick/control"
)

// watchEvery is the pace of status --watch and top.
const watchEvery = 2 * time.Second

func newStatusCommand() *cobra.Command {
	var socket string
	var o statusOptions
	command := &cobra.Command{
		Use:   "status [NAME…]",
		Short: "Show what the programs do and where they are registered",
		Long: `Show what the programs do and where they are registered.

A NAME is that of a program, of all copies of a program with replicas, or a
pattern as in a shell ('web-*', in quotes). CPU, memory, threads and descriptors
are those of the whole process tree; CPU is the average since its start, and
sidekick top shows the present one. -o json prints a list of objects:

  name, group, state, want, pid, uptime_seconds, restarts, exit_code, signal,
  reason, completed, never_started, drained,
  health {status, since, output}            null without a check
  registrations [{key, address, since, reason, warning}]
  stats {cpu_percent, cpu_seconds, memory_bytes, threads, fds, started}
                                            null without a process

Exit code 0: each is RUNNING, completed, or has autostart: false and was never
started; 1: no program has the name; 2: wrong usage; 3: one is not; 4: nobody
answers.`,
		Example: `  sidekick status
  docker exec CONTAINER sidekick status web
  sidekick status -o wide --watch
  sidekick status -v web
  sidekick status -o json 'web-*' | jq -r '.[].pid'`,
		RunE: func(c *cobra.Command, names []string) error {
			switch o.output {
			case "table", "wide", "json":
			default:
				return &exitError{code: exitUsage, err: fmt.Errorf("cannot print %q", o.output), hint: "-o table, -o wide or -o json"}
			}
			if o.verbose && (o.watch || o.output == "json") {
				return &exitError{code: exitUsage, err: errors.New("cannot use -v with --watch or -o json"), hint: "sidekick status --help"}
			}
			client, err := dialSidekick(socket)
			if err != nil {
				return err
			}
			o.names = names
			return o.run(c, client)
		},
	}
	socketFlag(command, &socket)
	command.Flags().StringVarP(&o.output, "output", "o", "table", "table, wide or json")
	command.Flags().BoolVarP(&o.watch, "watch", "w", false, "show it again every 2 seconds, until Ctrl-C")
	command.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "show all of each program, with its last changes of state")
	return command
}

// statusOptions are the flags of `status`.
type statusOptions struct {
	output         string
	watch, verbose bool
	names          []string
}

func (o *statusOptions) run(c *cobra.Command, client *control.Client) error {
	out := c.OutOrStdout()
	switch {
	case !o.watch:
		return o.show(c.Context(), out, client)
	case isTerminal(out) && o.output != "json":
		return refresh(c.Context(), watchEvery, func(ctx context.Context, _, _ int) ([]string, error) {
			programs, err := o.fetch(ctx, client)
			return statusTable(programs, o.output == "wide").lines(coloured(out)), err
		})
	}
	for { // into a pipe it goes on until the reader or the user ends it
		err := o.show(c.Context(), out, client)
		if e, ok := errors.AsType[*exitError](err); err != nil && (!ok || e.code != exitNotOK) {
			return err
		}
		select {
		case <-c.Context().Done():
			return nil
		case <-time.After(watchEvery):
		}
		if o.output != "json" {
			fmt.Fprintln(out)
		}
	}
}

func (o *statusOptions) fetch(ctx context.Context, client *control.Client) ([]control.Program, error) {
	programs, err := client.Programs(ctx, true)
	if err != nil {
		return nil, clientError(err)
	}
	return choose(programs, o.names)
}

// show prints the programs once. The error has the exit code.
func (o *statusOptions) show(ctx context.Context, out io.Writer, client *control.Client) error {
	programs, err := o.fetch(ctx, client)
	if err != nil {
		return err
	}
	if !o.verbose {
		return printStatus(out, programs, o.output, coloured(out))
	}
	for i, p := range programs {
		if p, err = client.Program(ctx, p.Name); err != nil {
			return clientError(err)
		}
		if i > 0 {
			fmt.Fprintln(out)
		}
		printDetails(out, p, coloured(out))
	}
	return notOK(programs)
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

// asWhom is for those whom the socket or sidekick itself refuses.
const asWhom = "run it as root or as the user that sidekick runs as: docker exec -u USER; or set control.group"

// clientError gives an error of the API its exit code.
func clientError(err error) error {
	if errors.Is(err, control.ErrNobodyAnswers) {
		hint := "is `sidekick run` running here? Inside its container: docker exec CONTAINER sidekick status; else --socket PATH"
		if errors.Is(err, fs.ErrPermission) {
			hint = asWhom
		}
		return &exitError{code: exitNobody, err: fmt.Errorf("cannot reach sidekick: %w", err), hint: hint}
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e
	}
	hint := "sidekick status shows what the programs do"
	if e, ok := errors.AsType[*control.Error](err); ok && e.Code == "forbidden" {
		hint = asWhom
	}
	if !strings.HasPrefix(err.Error(), "cannot ") {
		err = fmt.Errorf("cannot do that: %w", err)
	}
	return &exitError{code: exitFailed, err: err, hint: hint}
}

func printStatus(w io.Writer, programs []control.Program, output string, colours bool) error {
	if output == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(programs); err != nil {
			return err
		}
		return notOK(programs)
	}
	for _, line := range statusTable(programs, output == "wide").lines(colours) {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return notOK(programs)
}

// notOK is the error, without a word, of programs that do not do what they should.
func notOK(programs []control.Program) error {
	for _, p := range programs {
		if !p.OK() {
			return &exitError{code: exitNotOK}
		}
	}
	return nil
}

// statusTable has a row for each program.
func statusTable(programs []control.Program, wide bool) *table {
	head := []string{"NAME", "STATE", "PID", "UPTIME", "RESTARTS", "HEALTH", "CPU", "MEMORY"}
	if wide {
		head = append(head, "THREADS", "FDS", "STARTED")
	}
	t := &table{rows: [][]field{plainFields(append(head, "REGISTERED", "REASON")...)}}
	for _, p := range programs {
		t.rows = append(t.rows, row(p, wide))
	}
	return t
}

func row(p control.Program, wide bool) []field {
	pid, up, cpu, memory, threads, fds, started := "-", "-", "-", "-", "-", "-", "-"
	if p.Pid != 0 {
		pid, up = fmt.Sprint(p.Pid), uptime(p.UptimeSeconds)
	}
	if s := p.Stats; s != nil {
		cpu, memory = fmt.Sprintf("%.1f%%", s.CPUPercent), bytesText(s.MemoryBytes)
		threads, fds, started = fmt.Sprint(s.Threads), fmt.Sprint(s.FDs), s.Started.Local().Format(time.DateTime)
	}
	cells := append(plainFields(p.Name), stateField(p))
	cells = append(cells, plainFields(pid, up, fmt.Sprint(p.Restarts))...)
	cells = append(cells, healthField(p))
	cells = append(cells, plainFields(cpu, memory)...)
	if wide {
		cells = append(cells, plainFields(threads, fds, started)...)
	}
	registered, why := registeredAt(p)
	reasons := distinct(append(troubles(p), why...))
	return append(cells, plainFields(registered, printable(strings.Join(reasons, "; ")))...)
}

// troubles says why the program is in its state, and what its check says.
func troubles(p control.Program) (reasons []string) {
	if p.Reason != "" && !p.Completed {
		reasons = append(reasons, p.Reason)
	}
	if p.Health != nil && p.Health.Status != "healthy" && p.Health.Output != "" {
		reasons = append(reasons, p.Health.Output)
	}
	if n := p.Logs.Dropped; n > 0 {
		reasons = append(reasons, fmt.Sprintf("%d lines of its output were dropped", n))
	}
	return reasons
}

// distinct is every text once, in order: several registrations often lack the same.
func distinct(texts []string) (different []string) {
	for _, t := range texts {
		if !slices.Contains(different, t) {
			different = append(different, t)
		}
	}
	return different
}

// registeredAt lists the addresses that are in etcd, each once, and why others
// are not.
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
	return strings.Join(distinct(there), ","), why
}

// printDetails shows all of one program, a line for each fact.
func printDetails(w io.Writer, p control.Program, colours bool) {
	t := &table{}
	add := func(name string, value field) {
		if value.text != "" {
			t.rows = append(t.rows, []field{{name, bold}, value})
		}
	}
	add("name", field{p.Name, ""})
	add("state", stateField(p))
	add("reason", field{printable(p.Reason), ""})
	add("want", field{p.Want, ""})
	if p.Pid != 0 {
		add("pid", field{fmt.Sprintf("%d, up %s", p.Pid, uptime(p.UptimeSeconds)), ""})
	}
	add("restarts", field{fmt.Sprint(p.Restarts), ""})
	add("last end", field{lastEnd(p), ""})
	if p.Drained {
		add("drained", field{"by command", yellow})
	}
	if p.Health != nil {
		add("health", healthField(p))
		add("", field{printable(p.Health.Output), ""})
	}
	for _, r := range p.Registrations {
		text := r.Key
		if r.Reason != "" {
			text = "not registered: " + r.Reason
		} else if r.Warning != "" {
			text += " (" + r.Warning + ")"
		}
		add("registered", field{printable(text), ""})
	}
	if s := p.Stats; s != nil {
		add("uses", field{fmt.Sprintf("CPU %.1f%%, memory %s, %d threads, %d descriptors", s.CPUPercent, bytesText(s.MemoryBytes), s.Threads, s.FDs), ""})
	}
	add("printed", field{fmt.Sprintf("%d lines, %s", p.Logs.Lines, bytesText(p.Logs.Bytes)), ""})
	if n := p.Logs.Dropped; n > 0 {
		add("dropped", field{fmt.Sprintf("%d of these lines could not be written", n), red})
	}
	for _, line := range append(t.lines(colours), history(p).lines(colours)...) {
		fmt.Fprintln(w, line)
	}
}

// lastEnd is how the last run ended, "" if none has.
func lastEnd(p control.Program) string {
	switch {
	case p.Signal != "":
		return p.Signal
	case p.ExitCode != nil:
		return fmt.Sprintf("exit status %d", *p.ExitCode)
	}
	return ""
}

// history has the last changes of state.
func history(p control.Program) *table {
	t := &table{}
	for _, e := range p.History {
		t.rows = append(t.rows, append(plainFields(e.Time.Local().Format(time.DateTime)),
			field{e.From, dim}, stateField(control.Program{State: e.To}), field{printable(e.Reason), ""}))
	}
	return t
}
