package main

import (
	"encoding/json"
	"strings"
	"time"
)

// kind says what an event is about.
type kind int

// The kinds of events, and which fields of an event they fill.
const (
	outputLine    kind = iota // process, text
	programState              // program, from, to, pid, reason
	programHealth             // program, to, reason
	logMessage                // level, text
	keysListed                // none: the etcd watch is in place
	keyAppeared               // key
	keyVanished               // key
	etcdTrouble               // text
	processEnded              // process, text, failed
)

// event is one thing that was seen, at the time it happened (sidekick's log
// says when) or arrived (everything else).
type event struct {
	at       time.Time
	kind     kind
	process  string // of ours: sidekick-hub or sidekick
	program  string // of sidekick's
	from, to string
	pid      int
	reason   string
	level    string
	key      string
	text     string
	failed   bool
}

// record is a line of sidekick's log with --log-format json.
type record struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
	Msg     string    `json:"msg"`
	Program string    `json:"program"`
	From    string    `json:"from"`
	To      string    `json:"to"`
	PID     int       `json:"pid"`
	Reason  string    `json:"reason"`
	Status  string    `json:"status"`
	Output  string    `json:"output"`
	Key     string    `json:"key"`
	Error   string    `json:"error"`
}

// parseLine makes an event of a line that one of our processes wrote.
func parseLine(process, line string, at time.Time) event {
	var r record
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &r) != nil || r.Msg == "" {
		return event{at: at, kind: outputLine, process: process, text: line}
	}
	e := event{at: r.Time, process: process, program: r.Program, pid: r.PID, reason: r.Reason, level: r.Level}
	switch r.Msg {
	case "program state":
		e.kind, e.from, e.to = programState, r.From, r.To
	case "program health":
		e.kind, e.to, e.reason = programHealth, r.Status, r.Output
	default:
		e.kind, e.text = logMessage, describe(r)
	}
	return e
}

// describe is a message with what it says about itself.
func describe(r record) string {
	parts := []string{r.Msg}
	for _, more := range []string{r.Program, r.Key, r.Reason, r.Error} {
		if more != "" {
			parts = append(parts, more)
		}
	}
	return strings.Join(parts, ": ")
}
