package supervisor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// inputs lists every input that step can tell apart.
func inputs() []input {
	var all []input
	for e := evStart; e <= evElapsed; e++ {
		switch e {
		case evLaunchFailed:
			all = append(all, input{event: e, verdict: retry}, input{event: e, verdict: giveUp})
		case evExited:
			all = append(all, input{event: e})
			for v := retry; v <= giveUp; v++ {
				all = append(all, input{event: e, groupEmpty: true, verdict: v})
			}
		case evGroupEmpty:
			for v := retry; v <= giveUp; v++ {
				all = append(all, input{event: e, verdict: v})
			}
		default:
			all = append(all, input{event: e})
		}
	}
	return all
}

func (in input) String() string {
	switch {
	case in.event == evExited && !in.groupEmpty:
		return "exited, group lives"
	case in.event == evExited, in.event == evGroupEmpty, in.event == evLaunchFailed:
		return fmt.Sprintf("%v, %v", in.event, in.verdict)
	}
	return in.event.String()
}

// reachable lists the positions that a program can come to, in order.
func reachable() []position {
	seen := map[position]bool{{stopped, Down}: true}
	for todo := []position{{stopped, Down}}; len(todo) > 0; {
		at := todo[0]
		todo = todo[1:]
		for _, in := range inputs() {
			if after, _ := step(at, in); !seen[after] {
				seen[after] = true
				todo = append(todo, after)
			}
		}
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b position) int {
		return cmp.Or(int(a.phase)-int(b.phase), int(a.want)-int(b.want))
	})
}

// TestStepIsTotal: no position, even one that cannot be reached, makes it panic.
func TestStepIsTotal(t *testing.T) {
	for phase := stopped; phase <= fatal; phase++ {
		for _, want := range []Want{Down, Up} {
			for _, in := range inputs() {
				step(position{phase, want}, in)
			}
		}
	}
}

// TestStepTable walks every reachable position and every input and writes the
// table that a person can check; rows that change nothing are counted only.
func TestStepTable(t *testing.T) {
	var table strings.Builder
	rows, quiet := 0, 0
	for _, at := range reachable() {
		fmt.Fprintf(&table, "%v, want %v\n", at.phase, at.want)
		for _, in := range inputs() {
			after, effects := step(at, in)
			rows++
			if after == at && len(effects) == 0 {
				quiet++
				continue
			}
			fmt.Fprintf(&table, "  %-24s -> %v, %v", in, after.phase, after.want)
			for _, e := range effects {
				fmt.Fprintf(&table, " +%v", e)
			}
			table.WriteByte('\n')
		}
	}
	fmt.Fprintf(&table, "%d rows, of which %d change nothing\n", rows, quiet)
	if rows >= 500 {
		t.Errorf("%d rows: the table has to stay below 500", rows)
	}
	golden(t, "testdata/step.golden", table.String())
}

// TestStepInvariants checks what must hold of every row.
func TestStepInvariants(t *testing.T) {
	for _, at := range reachable() {
		for _, in := range inputs() {
			after, effects := step(at, in)
			checkRow(t, at, in, after, effects)
		}
	}
}

func checkRow(t *testing.T, at position, in input, after position, effects []effect) {
	t.Helper()
	row := fmt.Sprintf("%v/%v on %v -> %v/%v %v", at.phase, at.want, in, after.phase, after.want, effects)
	does := func(e effect) bool { return slices.Contains(effects, e) }
	if does(doLaunch) != (after.phase == launching && at.phase != launching) {
		t.Errorf("a launch is entering the phase launching: %s", row)
	}
	if does(doLaunch) && (at.phase.live() || after.want != Up) {
		t.Errorf("never two lives, never an unwanted one: %s", row)
	}
	if at.phase == backoff && after.phase == backoff && does(doArm) || after.phase == backoff && at.phase != backoff && !does(doArm) {
		t.Errorf("backoff has exactly one timer: %s", row)
	}
	if (after.phase == starting || after.phase == stopping) && after.phase != at.phase && !does(doArm) && !does(doKill) {
		t.Errorf("no phase waits for ever: %s", row)
	}
	if (in.event == evStop || in.event == evKill) && after.want != Down {
		t.Errorf("stop means down: %s", row)
	}
	if (in.event == evStart || in.event == evRestart) && after.want != Up {
		t.Errorf("start means up: %s", row)
	}
	if in.event == evKill && at.phase.live() && at.phase != launching && !does(doKill) {
		t.Errorf("kill kills: %s", row)
	}
}

// FuzzStep walks a random row of inputs: every row keeps the invariants, and a
// stop at the end always leads to rest.
func FuzzStep(f *testing.F) {
	f.Add([]byte{0, 4, 6, 9, 1, 10, 11})
	f.Fuzz(func(t *testing.T, walk []byte) {
		all := inputs()
		at := position{stopped, Down}
		for _, b := range walk {
			in := all[int(b)%len(all)]
			after, effects := step(at, in)
			checkRow(t, at, in, after, effects)
			at = after
		}
		end := []input{{event: evStop}, {event: evLaunched}, {event: evDrained}, {event: evElapsed}, {event: evExited, groupEmpty: true}}
		for _, in := range end {
			at, _ = step(at, in)
		}
		if at.want != Down || at.phase.live() || at.phase == backoff {
			t.Errorf("stop leads to %v, want %v", at.phase, at.want)
		}
	})
}
