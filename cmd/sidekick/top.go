package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sidekick/control"
)

func newTopCommand() *cobra.Command {
	var socket string
	command := &cobra.Command{
		Use:   "top [NAME…]",
		Short: "Show what the programs use, refreshed every 2 seconds",
		Long: `Show what the programs use, refreshed every 2 seconds, the busiest first.

CPU is that of the last interval, 100 % for one processor; it and memory, threads
and descriptors are those of the whole process tree of a program. q or Ctrl-C
ends it. It needs a terminal: docker exec -it.

Exit code 0: ended by the user; 1: no program has the name, or stdout is no
terminal; 2: wrong usage; 4: nobody answers.`,
		Example: `  sidekick top
  docker exec -it CONTAINER sidekick top
  sidekick top 'web-*'`,
		RunE: func(c *cobra.Command, names []string) error {
			out := c.OutOrStdout()
			if !isTerminal(out) {
				return &exitError{code: exitFailed, err: errors.New("cannot show top: stdout is no terminal"),
					hint: "docker exec -it CONTAINER sidekick top, or sidekick status -o wide"}
			}
			client, err := dialSidekick(socket)
			if err != nil {
				return err
			}
			t := &top{names: names, colours: coloured(out), before: map[string]usage{}}
			return refresh(c.Context(), watchEvery, func(ctx context.Context, columns, rows int) ([]string, error) {
				programs, err := client.Programs(ctx, true)
				if err != nil {
					return nil, clientError(err)
				}
				if programs, err = choose(programs, t.names); err != nil {
					return nil, err
				}
				return t.lines(programs, time.Now(), columns, rows), nil
			})
		},
	}
	socketFlag(command, &socket)
	return command
}

// usage is the processor time that a process had used at a moment.
type usage struct {
	pid     int
	at      time.Time
	seconds float64
}

// top remembers what the last picture showed.
type top struct {
	names   []string
	colours bool
	before  map[string]usage // by program
}

// busy is the CPU in percent since the last picture; in the first one, and for a
// new process, since its start.
func (t *top) busy(p control.Program, now time.Time) float64 {
	if p.Stats == nil {
		delete(t.before, p.Name)
		return 0
	}
	last, known := t.before[p.Name]
	t.before[p.Name] = usage{p.Pid, now, p.Stats.CPUSeconds}
	elapsed := now.Sub(last.at).Seconds()
	if !known || last.pid != p.Pid || elapsed <= 0 {
		return p.Stats.CPUPercent
	}
	// What an ended descendant used may be missing from now on.
	return max(0, 100*(p.Stats.CPUSeconds-last.seconds)/elapsed)
}

// lines is the whole picture.
func (t *top) lines(programs []control.Program, now time.Time, columns, rows int) []string {
	busy := map[string]float64{}
	for _, p := range programs {
		busy[p.Name] = t.busy(p, now)
	}
	slices.SortStableFunc(programs, func(a, b control.Program) int {
		return cmp.Compare(busy[b.Name], busy[a.Name])
	})
	picture := &table{right: map[int]bool{2: true, 3: true, 4: true, 5: true, 6: true, 7: true, 8: true}}
	picture.rows = append(picture.rows, head("NAME", "STATE", "PID", "CPU%", "MEMORY", "THR", "FDS", "UPTIME", "RST", "HEALTH", "REGISTERED"))
	const others = 3 // the summary, the head, and the line that tells of the rest
	shown := programs[:min(len(programs), max(rows-others, 1))]
	for _, p := range shown {
		picture.rows = append(picture.rows, topRow(p, busy[p.Name]))
	}
	shortenNames(picture, columns)
	lines := append([]string{summaryLine(programs, now)}, picture.lines(t.colours)...)
	if rest := len(programs) - len(shown); rest > 0 {
		lines = append(lines, fmt.Sprintf("… and %d more", rest))
	}
	return lines
}

// shortenNames leaves the names, in the first column, what the others do not take
// but for the last one, which may be cut down to a mark.
func shortenNames(picture *table, columns int) {
	const gap, mark, shortest = 2, 1, 8
	widths := picture.widths()
	room := columns - gap - mark
	for i := 1; i < len(widths)-1; i++ {
		room -= gap + widths[i]
	}
	for _, row := range picture.rows {
		row[0].text = shortName(row[0].text, max(room, shortest))
	}
}

// shortName leaves something out in the middle: names that begin alike differ at
// their ends, as copies do.
func shortName(name string, room int) string {
	r := []rune(name)
	if len(r) <= room {
		return name
	}
	end := room / 2
	return string(r[:room-end-1]) + "…" + string(r[len(r)-end:])
}

func topRow(p control.Program, busy float64) []field {
	state := stateField(p)
	state.text = p.State
	pid, cpu, memory, threads, fds, up := "-", "-", "-", "-", "-", "-"
	if p.Pid != 0 {
		pid, up = fmt.Sprint(p.Pid), uptime(p.UptimeSeconds)
	}
	if s := p.Stats; s != nil {
		cpu, memory, threads, fds = fmt.Sprintf("%.1f", busy), bytesText(s.MemoryBytes), fmt.Sprint(s.Threads), fmt.Sprint(s.FDs)
	}
	registered, _ := registeredAt(p)
	cells := append(plainFields(p.Name), state)
	cells = append(cells, plainFields(pid, cpu, memory, threads, fds, up, fmt.Sprint(p.Restarts))...)
	return append(cells, healthField(p), field{registered, ""})
}

func head(words ...string) []field {
	cells := plainFields(words...)
	for i := range cells {
		cells[i].colour = bold
	}
	return cells
}

// summaryLine counts the programs by state.
func summaryLine(programs []control.Program, now time.Time) string {
	counts := map[string]int{}
	for _, p := range programs {
		counts[p.State]++
	}
	var parts []string
	for _, state := range []string{"RUNNING", "STARTING", "STOPPING", "BACKOFF", "FATAL", "EXITED", "STOPPED"} {
		if n := counts[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return fmt.Sprintf("%s  %d programs: %s", now.Format(time.TimeOnly), len(programs), strings.Join(parts, ", "))
}
