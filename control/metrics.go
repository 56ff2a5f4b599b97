package control

import (
	"cmp"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/health"
	"sidekick/logs"
	"sidekick/procstat"
	"sidekick/registrar"
	"sidekick/supervisor"
)

// MetricsSources are what metrics come from beside the supervisor and the
// registrar. All functions may be called from any goroutine; a nil one gives
// nothing.
type MetricsSources struct {
	// Version is sidekick's own.
	Version string
	// Orphans is how many processes were reaped that no program started.
	Orphans func() uint64
	// Probes is how long health checks took.
	Probes *health.Latencies
	// Renewals counts those of the lease.
	Renewals *registrar.Renewals
	// Logs has what the programs printed.
	Logs *logs.Collector
}

// LogCounts counts the output of a program, both streams, since sidekick started.
type LogCounts struct {
	Lines   uint64 `json:"lines"`
	Bytes   uint64 `json:"bytes"`
	Dropped uint64 `json:"dropped"` // lines that could not be written
}

// logCounts are those of a collector, none of nil.
func logCounts(c *logs.Collector) map[string]LogCounts {
	if c == nil {
		return nil
	}
	all := map[string]LogCounts{}
	for name, n := range c.Stats() {
		all[name] = LogCounts(n)
	}
	return all
}

// Metrics gathers the metrics. A series belongs to a program by its name: no
// label has a pid, or anything else without bound.
type Metrics struct {
	supervisor Supervisor
	registrar  Registrar
	sources    MetricsSources

	mu   sync.Mutex // guards what follows; one gathering at a time
	text []byte
	at   time.Time // when text was gathered
	cpu  map[string]cpuMark
}

// NewMetrics makes the metrics of a sidekick.
func NewMetrics(s Supervisor, r Registrar, sources MetricsSources) *Metrics {
	sources.Renewals = cmp.Or(sources.Renewals, &registrar.Renewals{})
	return &Metrics{supervisor: s, registrar: r, sources: sources, cpu: map[string]cpuMark{}}
}

// gatherEvery bounds what asking costs: each gathering walks through /proc, and
// over TCP anybody may ask.
const gatherEvery = time.Second

// Text returns all metrics in the text format, as of at most a second ago.
func (m *Metrics) Text() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.text == nil || time.Since(m.at) >= gatherEvery {
		m.text, m.at = m.gather().text(), time.Now()
	}
	return m.text
}

// gathered is one look at everything.
type gathered struct {
	version       string
	programs      []supervisor.ProgramStatus
	stats         map[int]procstat.Stat // by pid
	cpu           map[string]float64    // seconds
	registered    map[registeredPort]bool
	etcdAnswers   bool
	probes        map[string]health.Latency
	renewals      *registrar.Renewals
	logs          map[string]LogCounts
	orphans       uint64
	self          procstat.Stat
	selfCPU       float64 // seconds
	goVersion     string
	registersKeys bool // some program wants a key
}

// registeredPort is a port of a program that wants a key, as "8000/tcp".
type registeredPort struct{ program, port string }

func (m *Metrics) gather() *gathered {
	snapshot, _ := m.supervisor.Snapshot()
	g := &gathered{version: m.sources.Version, programs: snapshot.Programs, registered: map[registeredPort]bool{},
		etcdAnswers: m.registrar.Answers(), renewals: m.sources.Renewals, self: procstat.Self(), selfCPU: selfCPU(), goVersion: runtime.Version()}
	var pids []int
	for i := range g.programs {
		p := &g.programs[i]
		if p.Pid != 0 {
			pids = append(pids, p.Pid)
		}
		g.registersKeys = g.registersKeys || len(p.Config.Policy.Register) > 0
	}
	g.stats = procstat.Trees(pids)
	g.cpu = m.cpuSeconds(snapshot, g.stats)
	for _, r := range m.registrar.Registrations() {
		port := registeredPort{r.Program, r.Port}
		before, seen := g.registered[port]
		g.registered[port] = r.Reason == "" && (before || !seen) // all keys of the port
	}
	if m.sources.Probes != nil {
		g.probes = m.sources.Probes.All()
		m.sources.Probes.Forget(func(program string) bool { _, ok := snapshot.Program(program); return ok })
	}
	if m.sources.Logs != nil {
		g.logs = logCounts(m.sources.Logs)
	}
	if m.sources.Orphans != nil {
		g.orphans = m.sources.Orphans()
	}
	return g
}

// selfCPU is the processor time of this process in seconds (getrusage(2)).
func selfCPU() float64 {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// cpuMark is the processor time that was last shown of a program.
type cpuMark struct {
	since   time.Time // of its Tally
	seconds float64
}

// cpuSeconds is the processor time of each program: that of its finished lives,
// as wait4(2) told, and of the process tree that lives. A counter must not go
// back, but the sum may: a process that leaves the tree takes its time along,
// and one that was just reaped is no longer in /proc and not yet in the Tally.
// So what is shown is the highest sum so far. Called with mu held.
func (m *Metrics) cpuSeconds(snapshot *supervisor.Snapshot, stats map[int]procstat.Stat) map[string]float64 {
	shown := make(map[string]float64, len(snapshot.Programs))
	marks := make(map[string]cpuMark, len(snapshot.Programs))
	for _, p := range snapshot.Programs {
		sum := p.Tally.CPU.Seconds() + stats[p.Pid].CPUSeconds
		if last := m.cpu[p.Name]; last.since.Equal(p.Tally.Since) {
			sum = max(sum, last.seconds)
		}
		marks[p.Name] = cpuMark{p.Tally.Since, sum}
		shown[p.Name] = sum
	}
	m.cpu = marks
	return shown
}
