package supervisor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/config"
	"sidekick/supervisor/child"
)

// dice is one stream of a run's randomness. Whatever may happen beside other
// things has a stream of its own, so the order of goroutines changes no throw.
type dice struct{ *rand.Rand }

func newDice(seed, stream uint64) dice { return dice{rand.New(rand.NewPCG(seed, stream))} }

func (d dice) chance(percent int) bool { return d.IntN(100) < percent }

// between is uniform and to the nanosecond, so no two moments of a run are the
// same by accident.
func (d dice) between(low, high time.Duration) time.Duration {
	return low + time.Duration(d.Int64N(int64(high-low)+1))
}

// about spreads over all magnitudes from low to high.
func (d dice) about(low, high time.Duration) time.Duration {
	x := math.Log(float64(low)) + d.Float64()*math.Log(float64(high)/float64(low))
	return time.Duration(math.Exp(x)) + time.Duration(d.IntN(1000))
}

func pick[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

// simNames is how many programs there can be in a run.
const simNames = 12

func simName(i int) string { return fmt.Sprintf("p%d", i) }

// randomConfig makes a configuration that the parser could have made.
func randomConfig(d dice) *config.Config {
	c := &config.Config{
		ShutdownTimeout: d.between(time.Second, 12*time.Second),
		Registry:        config.Registry{Drain: d.about(time.Millisecond, 5*time.Second)},
	}
	for i := range 1 + d.IntN(simNames) {
		c.Programs = append(c.Programs, randomProgram(d, i))
	}
	d.Shuffle(len(c.Programs), func(i, j int) { c.Programs[i], c.Programs[j] = c.Programs[j], c.Programs[i] })
	mendDependencies(c)
	return c
}

func randomProgram(d dice, i int) config.Program {
	p := config.DefaultProgram(simName(i))
	p.Group = p.Name
	p.Launch.Command = []string{"/bin/" + p.Name}
	if d.chance(20) {
		p.Launch.Notify = true
		if d.chance(60) {
			p.Launch.Watchdog = d.about(500*time.Millisecond, 20*time.Second)
		}
	}
	p.Policy = randomPolicy(d, i)
	return p
}

func randomPolicy(d dice, i int) config.Policy {
	p := config.DefaultProgram("").Policy
	p.Autostart = d.chance(85)
	p.Restart = pick(d,
		config.Restart{Mode: config.RestartNo}, config.Restart{Mode: config.RestartAlways},
		config.Restart{Mode: config.RestartOnFailure}, config.Restart{Mode: config.RestartOnFailure, Max: 1},
		config.Restart{Mode: config.RestartOnFailure, Max: 1 + d.IntN(3)})
	p.SuccessExitCodes = pick(d, []int{0}, []int{0}, []int{0, 3}, []int{3})
	p.Backoff.Initial = d.about(10*time.Millisecond, 2*time.Second)
	p.Backoff.Max = p.Backoff.Initial + d.about(time.Millisecond, 30*time.Second)
	p.Backoff.Factor = 1 + 3*d.Float64()
	p.Backoff.Jitter = pick(d, 0, 0.1, 1)
	p.Backoff.ResetAfter = d.about(300*time.Millisecond, 10*time.Second)
	p.MinUptime = pick(d, 0, d.about(time.Millisecond, 3*time.Second))
	p.Essential = d.chance(15)
	p.StopSignal = pick(d, unix.SIGTERM, unix.SIGTERM, unix.SIGINT, unix.SIGUSR1)
	p.StopGracePeriod = d.about(time.Millisecond, 8*time.Second)
	p.KillMode = pick(d, config.KillMixed, config.KillMixed, config.KillGroup, config.KillProcess)
	p.StartTimeout = d.about(100*time.Millisecond, 10*time.Second)
	if d.chance(40) {
		p.RestartUnhealthy = d.chance(60)
		for range 1 + d.IntN(2) {
			check := config.TCPCheck(8000)
			check.StartPeriod = pick(d, 0, time.Second)
			p.Checks = append(p.Checks, check)
		}
	}
	if d.chance(45) {
		p.Register = []config.Registration{{Port: config.Port{Number: 8000, Protocol: "tcp"}, Key: "service", Check: -1}}
	}
	for j := range i {
		if d.chance(min(60, 150/i)) {
			p.DependsOn = append(p.DependsOn, config.Dependency{Program: simName(j),
				Condition: pick(d, config.Started, config.Started, config.Healthy, config.Completed)})
		}
	}
	return p
}

// makeFragile has programs that give up at their second end and are registered,
// so that ends for good meet stops.
func makeFragile(d dice, c *config.Config) {
	for i := range c.Programs {
		p := &c.Programs[i].Policy
		p.Restart = config.Restart{Mode: config.RestartOnFailure, Max: 1}
		p.Backoff.Initial, p.Backoff.Max = 10*time.Millisecond, d.about(10*time.Millisecond, time.Second)
		p.Backoff.ResetAfter, p.Essential = 10*time.Second, false
		p.Register = []config.Registration{{Port: config.Port{Number: 8000, Protocol: "tcp"}, Key: "service", Check: -1}}
	}
	mendDependencies(c)
}

// fragileLife ends badly, soon, and leaves nothing.
func fragileLife(d dice) simLife {
	l := calmLife(d)
	l.ends, l.exit, l.stops = d.about(10*time.Millisecond, 3*time.Second), child.Exit{Code: 1}, d.about(1, 5*time.Second)
	return l
}

// mendDependencies takes out what the parser would refuse.
func mendDependencies(c *config.Config) {
	for i := range c.Programs {
		var kept []config.Dependency
		for _, d := range c.Programs[i].Policy.DependsOn {
			at := slices.IndexFunc(c.Programs, func(p config.Program) bool { return p.Name == d.Program })
			switch {
			case at < 0:
				continue
			case d.Condition == config.Completed && c.Programs[at].Policy.Restart.Mode == config.RestartAlways:
				d.Condition = config.Started
			}
			kept = append(kept, d)
		}
		c.Programs[i].Policy.DependsOn = kept
	}
}

// changedConfig is what a reload brings.
func changedConfig(d dice, old *config.Config) *config.Config {
	c := *old
	c.Programs = slices.Clone(old.Programs)
	for range d.IntN(4) {
		changeProgram(d, &c)
	}
	if d.chance(20) {
		c.Registry.Drain = d.about(time.Nanosecond, 2*time.Second)
	}
	if d.chance(20) {
		c.ShutdownTimeout = d.between(time.Second, 12*time.Second)
	}
	mendDependencies(&c)
	return &c
}

func changeProgram(d dice, c *config.Config) {
	i := d.IntN(simNames)
	at := slices.IndexFunc(c.Programs, func(p config.Program) bool { return p.Name == simName(i) })
	switch {
	case at < 0:
		c.Programs = slices.Insert(c.Programs, d.IntN(len(c.Programs)+1), randomProgram(d, i))
	case d.chance(35):
		c.Programs = slices.Delete(c.Programs, at, at+1)
	case d.chance(50):
		c.Programs[at].Launch.Environment = []string{fmt.Sprintf("CHANGE=%d", d.Int())}
	default:
		c.Programs[at].Policy = randomPolicy(d, i)
	}
}

// simLife is how one run of a program behaves.
type simLife struct {
	fail     error         // of the exec
	exec     time.Duration // how long the exec takes
	returns  time.Duration // how long after the exec its caller learns of it
	ends     time.Duration // after this long it ends by itself; 0: never
	exit     child.Exit    // how it ends by itself
	ignores  bool          // the stop signal
	stops    time.Duration // how long it takes to stop when asked
	stopExit child.Exit
	freezes  time.Duration // after this long it is stopped as by SIGSTOP; 0: never
	refuses  time.Duration // how long SIGKILL does not end it, as in an uninterruptible sleep
	reaped   time.Duration // how long after its end that is told
	members  []memberLife
	strays   []memberLife
	ready    time.Duration // when it says READY=1; 0: never
	feeds    time.Duration // how often it says WATCHDOG=1; 0: never
	bowsOut  bool          // it says STOPPING=1 when asked to stop
}

// memberLife is a process beside the leader.
type memberLife struct {
	born    time.Duration // after the exec
	ends    time.Duration // by itself; 0: never
	ignores bool
	stops   time.Duration
}

// never is longer than any run.
const never = 1000 * time.Hour

// calmLife does all that is asked of it at once.
func calmLife(d dice) simLife {
	return simLife{
		exec: d.between(1, time.Millisecond), returns: d.between(1, 1000), stops: d.between(1, time.Millisecond),
		stopExit: child.Exit{Signal: unix.SIGTERM}, reaped: d.between(1, 1000), ready: d.between(1, time.Millisecond),
		feeds: d.between(100*time.Millisecond, 200*time.Millisecond),
	}
}

// wildLife does what programs do.
func wildLife(d dice) simLife {
	l := calmLife(d)
	l.reaped = d.about(1, 20*time.Millisecond)
	if d.chance(12) {
		l.fail = pick(d, unix.ENOENT, unix.EACCES, unix.EAGAIN, unix.ENOEXEC)
	}
	if d.chance(25) {
		l.exec = d.about(time.Millisecond, 5*time.Second)
	} else if d.chance(3) {
		l.exec = d.between(5*time.Second, 30*time.Second)
	}
	if d.chance(60) {
		l.ends = d.about(1, 30*time.Second)
	}
	l.exit = randomExit(d)
	l.ignores = d.chance(20)
	l.stops = d.about(1, 6*time.Second)
	l.stopExit = pick(d, child.Exit{Signal: unix.SIGTERM}, child.Exit{}, randomExit(d))
	if d.chance(5) {
		l.freezes = d.about(1, 10*time.Second)
	}
	if d.chance(3) {
		l.refuses = pick(d, d.about(time.Millisecond, 10*time.Second), never)
	}
	if d.chance(40) {
		l.members = randomMembers(d)
	}
	if d.chance(15) {
		l.strays = randomMembers(d)
	}
	l.ready = pick(d, 0, d.about(1, 10*time.Second), d.about(1, time.Second))
	l.feeds = pick(d, 0, d.between(200*time.Millisecond, 5*time.Second))
	l.bowsOut = d.chance(30)
	return l
}

func randomExit(d dice) child.Exit {
	return pick(d, child.Exit{}, child.Exit{}, child.Exit{Code: 1}, child.Exit{Code: 3}, child.Exit{Code: 255},
		child.Exit{Signal: syscall.SIGSEGV}, child.Exit{Signal: unix.SIGKILL}, child.Exit{Signal: unix.SIGTERM})
}

func randomMembers(d dice) (all []memberLife) {
	for range 1 + d.IntN(3) {
		m := memberLife{born: d.about(1, time.Second), ignores: d.chance(40), stops: d.about(1, time.Second)}
		if d.chance(60) {
			m.ends = d.about(1, 20*time.Second)
		}
		all = append(all, m)
	}
	return all
}
