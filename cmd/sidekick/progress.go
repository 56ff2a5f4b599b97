package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"sidekick/control"
)

// progress prints what is done, a line each, and on a terminal one line below
// that says what is still waited for.
type progress struct {
	out, errs io.Writer
	terminal  *os.File // nil: nobody looks
	watching  sync.WaitGroup

	mu      sync.Mutex // guards what follows, and the terminal
	waiting []string   // names
	shown   bool       // the line is there
}

func newProgress(out, errs io.Writer) *progress {
	p := &progress{out: out, errs: errs}
	if isTerminal(errs) && os.Getenv("TERM") != "dumb" {
		p.terminal, _ = errs.(*os.File)
	}
	return p
}

// progressPace is how often sidekick is asked what goes on.
const progressPace = 500 * time.Millisecond

// watch shows, until ctx ends, what the programs still lack. end waits for it.
func (p *progress) watch(ctx context.Context, client *control.Client, names []string) {
	if p.terminal == nil {
		return
	}
	p.mu.Lock()
	p.waiting = slices.Clone(names)
	p.mu.Unlock()
	p.watching.Go(func() { // ends with ctx
		pace := time.NewTicker(progressPace)
		defer pace.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-pace.C:
			}
			if programs, err := client.Programs(ctx, false); err == nil {
				p.show(programs)
			}
		}
	})
}

// show renews the line.
func (p *progress) show(programs []control.Program) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var parts []string
	for _, program := range programs {
		if slices.Contains(p.waiting, program.Name) {
			parts = append(parts, lacks(program))
		}
	}
	if len(parts) == 0 {
		return
	}
	columns, _ := terminalSize(p.terminal)
	p.clear()
	fmt.Fprint(p.terminal, cut("waiting for "+strings.Join(parts, "; "), columns-1))
	p.shown = true
}

// clear removes the line. The caller holds mu.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.terminal, "\r"+restOfLine)
		p.shown = false
	}
}

// end removes the line for good.
func (p *progress) end() {
	p.watching.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

// done prints that a program is done with.
func (p *progress) done(name, text string) { p.print(p.out, name, text) }

// fail prints why a program could not be done with.
func (p *progress) fail(name string, err error) {
	p.print(p.errs, name, "error: "+printable(err.Error()))
}

func (p *progress) print(w io.Writer, name, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = slices.DeleteFunc(p.waiting, func(other string) bool { return other == name })
	p.clear()
	fmt.Fprintf(w, "%s: %s\n", name, text)
}

// lacks is what a program that is waited for still lacks.
func lacks(p control.Program) string {
	text := p.Name + ": " + p.State
	why := troubles(p)
	for _, r := range p.Registrations {
		if r.Reason != "" && p.State == "RUNNING" && len(why) == 0 {
			why = append(why, "not registered: "+r.Reason)
		}
	}
	if len(why) == 0 && p.Health != nil && p.Health.Status != "healthy" {
		why = append(why, "its check has not passed yet")
	}
	if len(why) == 0 {
		return text
	}
	return text + " (" + printable(strings.Join(why, ", ")) + ")"
}
