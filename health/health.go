// Package health probes the programs and turns the answers into verdicts.
//
// Probe does one probe, verdict decides what a row of answers means (it knows
// no goroutine, timer or network), and Monitor runs one goroutine for each
// target, which probes, asks its verdict and reports.
package health

import (
	"time"

	"sidekick/config"
)

// Status is the verdict about one check, in Docker's words.
type Status string

// The verdicts. A target is starting until its first success, or until enough
// failures count against it.
const (
	Starting  Status = "starting"
	Healthy   Status = "healthy"
	Unhealthy Status = "unhealthy"
)

// Target is one check of one life of a program. Program, Launch and Index
// together name it.
type Target struct {
	Program string
	Launch  uint64 // counts the lives of the program
	Index   int    // into the program's Policy.Checks
	Check   config.Check
}

// Result is a verdict about the target of the same Program, Launch and Index.
type Result struct {
	Program string
	Launch  uint64
	Index   int
	Status  Status
	// Output says in one line what the last probe saw.
	Output string
	// At is when that probe ended.
	At time.Time
}

// key names a target.
type key struct {
	program string
	launch  uint64
	index   int
}

func (t Target) key() key { return key{t.Program, t.Launch, t.Index} }
