package supervisor

import (
	"maps"
	"time"

	"sidekick/supervisor/child"
)

// Tally counts what happened to a program since it is in the configuration. Its
// numbers only grow.
type Tally struct {
	// Since is when the program came into the configuration: one that was
	// removed and came back has another Tally.
	Since time.Time
	// Restarts by the restart policy.
	Restarts uint64
	// FailedStarts: its command could not be executed.
	FailedStarts uint64
	// Exits of its process, by how it ended. A map is never changed.
	Exits map[child.Exit]uint64
	// CPU is the processor time of the lives that are over, with that of
	// descendants that were waited for.
	CPU time.Duration
}

// ended counts the end of a process.
func (t *Tally) ended(e child.Event) {
	exits := maps.Clone(t.Exits) // snapshots have the old one
	if exits == nil {
		exits = map[child.Exit]uint64{}
	}
	exits[*e.Exited]++
	t.Exits = exits
	t.CPU += e.CPU
}
