package main

import (
	"fmt"
	"io"
	"time"

	"sidekick/hub"
)

// narrator prints. Each line begins with the seconds since the start at which
// that happened, and who saw it.
type narrator struct {
	out   io.Writer
	paint hub.Paint
	began time.Time
}

// line prints one happening.
func (n *narrator) line(at time.Time, who, text string) {
	seconds := fmt.Sprintf("%8.3f s", at.Sub(n.began).Seconds())
	fmt.Fprintf(n.out, "%s  %s %s\n", n.paint.Dim(seconds), n.paint.Dim(fmt.Sprintf("%-8s", who)), text)
}

// chapter begins a part of the story.
func (n *narrator) chapter(text string) { fmt.Fprintf(n.out, "\n%s\n", n.paint.Bold(text)) }

// fact prints a result of the story.
func (n *narrator) fact(text string) { fmt.Fprintf(n.out, "  %s %s\n", n.paint.Green("✓"), text) }

func (n *narrator) warn(text string) { fmt.Fprintf(n.out, "  %s %s\n", n.paint.Yellow("!"), text) }

// failure says which step did not happen.
func (n *narrator) failure(err error) {
	fmt.Fprintf(n.out, "\n%s %v\n", n.paint.Red("✗ the story broke off:"), err)
}

// event prints what happened, where a person wants to know.
func (n *narrator) event(e event) {
	switch e.kind {
	case programState:
		n.line(e.at, "sidekick", n.state(e))
	case programHealth:
		n.line(e.at, "sidekick", n.health(e))
	case keyAppeared:
		n.line(e.at, "etcd", n.paint.Green("+ "+e.key))
	case keyVanished:
		n.line(e.at, "etcd", n.paint.Red("- "+e.key))
	case etcdTrouble:
		n.line(e.at, "etcd", n.paint.Yellow(e.text))
	case logMessage:
		n.message(e)
	case outputLine:
		n.output(e)
	case processEnded:
		n.line(e.at, "demo", n.ended(e))
	}
}

func (n *narrator) state(e event) string {
	text := fmt.Sprintf("%-6s %s → %s", e.program, e.from, n.stateName(e.to))
	if e.pid != 0 {
		text += n.paint.Dim(fmt.Sprintf(" (process %d)", e.pid))
	}
	if e.reason != "" {
		text += n.paint.Dim(": " + e.reason)
	}
	return text
}

// stateName gives a state its colour.
func (n *narrator) stateName(state string) string {
	switch state {
	case "RUNNING":
		return n.paint.Green(state)
	case "BACKOFF", "EXITED", "FATAL":
		return n.paint.Red(state)
	}
	return n.paint.Yellow(state)
}

func (n *narrator) health(e event) string {
	text := fmt.Sprintf("%-6s is %s", e.program, e.to)
	if e.to == "healthy" {
		return fmt.Sprintf("%-6s is %s", e.program, n.paint.Green(e.to))
	}
	if e.reason != "" {
		text += ": " + e.reason
	}
	return n.paint.Yellow(text)
}

// message prints what sidekick logs besides states and health, where that is
// news: about a program the states say it, about its key etcd does, and that
// sidekick has ended is seen.
func (n *narrator) message(e event) {
	switch {
	case e.level == "WARN" || e.level == "ERROR":
		n.line(e.at, "sidekick", n.paint.Yellow(e.text))
	case e.program == "" && e.text != "exit":
		n.line(e.at, "sidekick", n.paint.Dim(e.text))
	}
}

// output prints a line of a program. The hub's own are told otherwise.
func (n *narrator) output(e event) {
	if e.process == hubName {
		return
	}
	n.line(e.at, "app", n.paint.Cyan(e.text))
}

func (n *narrator) ended(e event) string {
	if e.failed {
		return n.paint.Red(e.process + " ended: " + e.text)
	}
	return e.process + " ended: " + e.text
}

// ms is a duration as people compare them.
func ms(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond)/time.Millisecond)
}
