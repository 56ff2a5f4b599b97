package supervisor

import (
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sidekick/config"
)

// sim is one run of the real loop in a world that a seed decides: a random
// configuration, programs that do all that programs do, commands, reloads,
// health reports, and a loop that stalls. Everything happens at a nanosecond of
// its own, so a seed gives the same run again.
type sim struct {
	seed  uint64
	begun time.Time
	s     *Supervisor
	steps int
	rows  map[simRow]int

	// The loop's goroutine owns these.
	requested bool // the shutdown was asked for
	last      *Snapshot
	positions map[position]int // how many programs are in each, by step alone
	incarnate map[string]*program
	wanted    map[string]Want  // by the commands and reloads there were
	phases    map[string]phase // at the last snapshot
	codes     []int            // what the container may end with
	code      int
	lastStall time.Time

	mu        sync.Mutex
	config    *config.Config // the loop's
	drain     time.Duration
	drainSet  time.Time // when a reload changed it
	unsure    bool      // which drain a shutdown has used
	gateKind  string
	asking    int // how many answers of the registry are waited for
	calm      bool
	fragile   bool // programs fail for good soon
	over      bool
	programs  map[string]*simProgram
	processes []*simProcess // in the order of their start; those that are gone leave
	pids      map[int]*simProcess
	freePids  []int
	sockets   map[string]*simSocket
	lastEnd   time.Time // when something ended last
	shutdown  time.Time // when it began; zero: not yet
	orderEnds time.Time // from then on everybody has the stop signal
	killing   time.Time // from then on everybody has SIGKILL
	deadline  time.Time
	timeline  []simNote
	violation string
	until     int // the line of the violation
}

// simProgram is what the simulation knows of a program.
type simProgram struct {
	forks, gate dice
	config      *config.Program
	present     bool // in the configuration
	forking     bool // a start is under way
	lives       []*simProcess
	earlier     int // lives of a program of that name that was removed
	withdrawals []withdrawal
	health      []Health
	ready       uint64      // the launch whose checks have all passed
	healthOf    uint64      // the launch that health is of
	commanded   bool        // an operator has touched it
	touched     bool        // a command or reload was about it since the last snapshot
	reloaded    bool        // a reload was
	retune      bool        // a reload was, since the last launch
	shown       *simProcess // the life of the last snapshot
	blank       bool        // how that ended gave way to a failed dependency
	counted     uint64      // the launch whose end was counted last
	low, high   int         // how many restarts in a row there were, at least and at most
	alreadyDown bool        // it was not up when the shutdown began
}

// simNote is written out only when somebody reads it.
type simNote struct {
	at     time.Time
	format string
	args   []any
}

// simRow is a row of the table of step.
type simRow struct {
	at position
	in string
}

const simLines = 40 // of the timeline that a failure shows

// TestSimulation runs seeds until SIM_STEPS steps of the machine are done,
// beginning with SIM_SEED; with SIM_SEED alone, that one.
func TestSimulation(t *testing.T) {
	seed, one := number(t, "SIM_SEED", 1)
	steps, long := number(t, "SIM_STEPS", 20_000)
	rows, done, began, runs := map[simRow]int{}, 0, time.Now(), 0
	for ; uint64(done) < steps; seed++ {
		w := simulate(t, seed, rows)
		done += w.steps
		runs++
		if w.violation != "" {
			t.Fatalf("seed %d, after %d steps: %s\n%s\nreplay with: SIM_SEED=%d go test -tags grpcnotrace -run 'TestSimulation$' ./supervisor/",
				seed, done, w.violation, w.text(max(0, w.until-simLines), w.until), seed)
		}
		if one && !long {
			t.Logf("%s\nexit %d", w.text(0, len(w.timeline)), w.code)
			break
		}
	}
	took := time.Since(began)
	t.Logf("%d steps in %d runs, %.0f a second", done, runs, float64(done)/took.Seconds())
	checkCoverage(t, rows, done >= 1_000_000)
}

func number(t *testing.T, name string, otherwise uint64) (n uint64, given bool) {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n, true
}

// TestSimulationRepeats: a seed is a run.
func TestSimulationRepeats(t *testing.T) {
	for seed := range uint64(20) {
		first, second := simulate(t, seed, map[simRow]int{}), simulate(t, seed, map[simRow]int{})
		if a, b := first.text(0, len(first.timeline)), second.text(0, len(second.timeline)); a != b {
			t.Fatalf("seed %d gives two runs:\n%s\n\n%s", seed, a, b)
		}
	}
}

func simulate(t *testing.T, seed uint64, rows map[simRow]int) (w *sim) {
	w = &sim{seed: seed, rows: rows}
	defer func() {
		if r := recover(); r != nil { // synctest's: nothing could go on
			w.violation, w.until = fmt.Sprint(r), len(w.timeline)
		}
	}()
	synctest.Test(t, func(*testing.T) { w.run() })
	return w
}

func (w *sim) run() {
	d := newDice(w.seed, 0)
	w.begun = time.Now()
	w.config = randomConfig(d)
	if w.fragile = d.chance(15); w.fragile {
		makeFragile(d, w.config)
	}
	w.drain = w.config.Registry.Drain
	w.gateKind = pick(d, "quick", "slow", "hangs")
	w.programs, w.pids, w.sockets = map[string]*simProgram{}, map[int]*simProcess{}, map[string]*simSocket{}
	w.incarnate, w.phases = map[string]*program{}, map[string]phase{}
	for i := range simNames {
		w.programs[simName(i)] = &simProgram{forks: newDice(w.seed, uint64(1+i)), gate: newDice(w.seed, uint64(101+i))}
	}
	for i := range w.config.Programs {
		prog := w.programs[w.config.Programs[i].Name]
		prog.config, prog.present = &w.config.Programs[i], true
	}
	w.noteConfig()
	loop := newDice(w.seed, 200)
	options := Options{
		Kernel: w, Listen: w.listen, Log: slog.New(slog.DiscardHandler), Random: loop.Float64,
		Output: func(string) (*os.File, *os.File, error) { return nil, nil, nil },
	}
	if d.chance(85) {
		options.Gate = simGate{w}
	}
	w.s = New(w.config, options)
	w.positions = map[position]int{}
	for _, p := range w.s.programs {
		w.positions[p.at]++
		w.incarnate[p.name] = p
	}
	w.last, _ = w.s.Snapshot()
	w.s.observeStep = w.observeStep
	w.s.options.Observe = w.observe
	var driving sync.WaitGroup
	driving.Go(func() { w.drive(newDice(w.seed, 300)) })
	w.runLoop()
	driving.Wait()
	time.Sleep(time.Hour) // starts and answers of the registry that are still under way
}

// runLoop runs the loop to its end and looks at what it leaves.
func (w *sim) runLoop() {
	defer func() {
		if r := recover(); r != nil {
			w.violated("the loop panics: %v\n%s", r, debug.Stack())
		}
	}()
	code := w.s.Run()
	w.checkEnd(code)
}

func (w *sim) noteConfig() {
	for _, p := range w.config.Programs {
		w.note("%s: %+v", p.Name, p.Policy)
	}
}

// note writes a line of the timeline. The lock is held.
func (w *sim) note(format string, args ...any) {
	w.timeline = append(w.timeline, simNote{time.Now(), format, args})
}

func (w *sim) event(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(format, args...)
}

// fail notes the first thing that must not be. The lock is held.
func (w *sim) fail(format string, args ...any) {
	if w.violation == "" {
		w.violation = fmt.Sprintf(format, args...)
		w.note("VIOLATION: %s", w.violation)
		w.until = len(w.timeline)
	}
}

func (w *sim) violated(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail(format, args...)
}

// text is a part of the timeline.
func (w *sim) text(from, to int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	for _, note := range w.timeline[from:to] {
		fmt.Fprintf(&b, "%v ", note.at.Sub(w.begun))
		fmt.Fprintf(&b, note.format+"\n", note.args...)
	}
	return b.String()
}

// observeStep follows every step of the machine.
func (w *sim) observeStep(at position, in input) {
	w.steps++
	w.rows[simRow{at, rowOf(in)}]++
	after, effects := step(at, in)
	if after == at && len(effects) == 0 {
		return // it may be about a program that is gone
	}
	if from, to := at.phase.state(), after.phase.state(); from != to && !slices.Contains(ways[from], to) {
		w.violated("%v on %v: there is no way from %s to %s", at, in, from, to)
	}
	if w.positions[at]--; w.positions[at] < 0 {
		w.violated("a program is in %v and no step has led there", at)
	}
	w.positions[after]++
}

// rowOf names an input by what step reads of it.
func rowOf(in input) string {
	switch {
	case in.event == evExited && in.groupEmpty, in.event == evGroupEmpty, in.event == evLaunchFailed:
		return eventNames[in.event] + ", " + verdictNames[in.verdict]
	case in.event == evExited:
		return "exited, group lives"
	}
	return eventNames[in.event]
}

// ways are all that a user can see a program go.
var ways = map[State][]State{
	Stopped:  {Starting, Fatal},
	Starting: {Running, Stopping, Backoff, Exited, Fatal, Stopped},
	Running:  {Stopping, Backoff, Exited, Fatal},
	Stopping: {Stopped, Backoff, Exited, Fatal},
	Backoff:  {Starting, Stopped},
	Exited:   {Stopped},
	Fatal:    {Stopped},
}

// unreached lists the rows that no run can reach, each with the reason.
var unreached = map[simRow]string{
	{position{stopped, Down}, "restart"}:   startsFirst,
	{position{launching, Down}, "restart"}: startsFirst,
	{position{draining, Down}, "restart"}:  startsFirst,
	{position{stopping, Down}, "restart"}:  startsFirst,
	{position{exited, Down}, "restart"}:    startsFirst,
	{position{fatal, Down}, "restart"}:     startsFirst,

	{position{stopped, Up}, "kill"}:   stopsFirst,
	{position{launching, Up}, "kill"}: stopsFirst,
	{position{draining, Up}, "kill"}:  stopsFirst,
	{position{stopping, Up}, "kill"}:  stopsFirst,

	{position{draining, Up}, "exited, give-up"}:  "the command that made it wanted up has forgotten its failures",
	{position{stopping, Up}, "exited, give-up"}:  "the command that made it wanted up has forgotten its failures",
	{position{failing, Up}, "exited, completed"}: "what fails while it lives ends badly, whatever its exit code",
}

const (
	startsFirst = "restart is start, then restart: it is wanted up by then"
	stopsFirst  = "a shutdown makes everything wanted down that does not run"
)

// checkCoverage wants every row that changes something to have been reached.
func checkCoverage(t *testing.T, rows map[simRow]int, long bool) {
	t.Helper()
	reached, all := 0, 0
	var missing []string
	for _, at := range reachable() {
		for _, in := range inputs() {
			after, effects := step(at, in)
			if after == at && len(effects) == 0 {
				continue
			}
			row := simRow{at, rowOf(in)}
			name := fmt.Sprintf("%v, want %v, on %v", at.phase, at.want, in)
			why, impossible := unreached[row]
			switch {
			case rows[row] > 0 && impossible:
				t.Errorf("%s was reached, against: %s", name, why)
			case rows[row] == 0 && !impossible:
				missing = append(missing, name)
			}
			all++
			reached += min(rows[row], 1)
		}
	}
	t.Logf("%d of the %d rows that change something were reached; %d cannot be", reached, all, len(unreached))
	if len(missing) == 0 {
		return
	}
	report := t.Logf
	if long {
		report = t.Errorf
	}
	report("not reached:\n  %s", strings.Join(missing, "\n  "))
}
