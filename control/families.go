package control

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"sidekick/health"
	"sidekick/procstat"
	"sidekick/supervisor"
	"sidekick/supervisor/child"
)

// family is one metric: all series of one name.
type family struct {
	name string
	kind kind
	help string
	add  func(*exposition, *gathered)
}

// families are all metrics, in the order in which they are shown. Names and
// units follow prometheus.io/docs/practices/naming.
var families = []family{
	{"sidekick_build_info", gauge, "Always 1; the labels say which sidekick runs.", func(e *exposition, g *gathered) {
		e.add(1, "goversion", g.goVersion, "version", g.version)
	}},
	{"sidekick_program_state", gauge, "1 for the state that the program is in, 0 for all others.", ofPrograms(addState)},
	{"sidekick_program_ok", gauge, "1 if the program is RUNNING or completed, or never started for its autostart is false.",
		ofPrograms(func(e *exposition, _ *gathered, p *supervisor.ProgramStatus) {
			e.add(oneIf(ok(p.State, p.Completed, p.Untouched)), "program", p.Name)
		})},
	{"sidekick_program_start_time_seconds", gauge, "When the process was started, in seconds since 1970; absent while none lives.",
		ofPrograms(func(e *exposition, _ *gathered, p *supervisor.ProgramStatus) {
			if p.Pid != 0 {
				e.add(float64(p.Started.UnixMilli())/1000, "program", p.Name)
			}
		})},
	{"sidekick_program_restarts_total", counter, "Restarts by the restart policy.",
		ofPrograms(func(e *exposition, _ *gathered, p *supervisor.ProgramStatus) {
			e.add(float64(p.Tally.Restarts), "program", p.Name)
		})},
	{"sidekick_program_start_failures_total", counter, "Starts whose command could not be executed.",
		ofPrograms(func(e *exposition, _ *gathered, p *supervisor.ProgramStatus) {
			e.add(float64(p.Tally.FailedStarts), "program", p.Name)
		})},
	{"sidekick_program_exits_total", counter, "Ends of the process, by its exit code or by the signal that killed it.", ofPrograms(addExits)},
	{"sidekick_program_health", gauge, "1 for what the checks of the program say, 0 for all others; all 0 while it does not run. Absent without a check or watchdog.",
		ofPrograms(addHealth)},
	{"sidekick_program_probe_duration_seconds", histogram, "How long the probes of the program's checks took, failed ones too.", ofPrograms(addProbes)},
	{"sidekick_program_probe_failures_total", counter, "Probes that failed, also those that did not count yet.",
		ofPrograms(func(e *exposition, g *gathered, p *supervisor.ProgramStatus) {
			if len(p.Config.Policy.Checks) > 0 {
				e.add(float64(g.probes[p.Name].Failed), "program", p.Name)
			}
		})},
	{"sidekick_program_registered", gauge, "1 while every key of this port of the program is in etcd.", addRegistered},
	{"sidekick_program_cpu_seconds_total", counter, "Processor time of the program's processes, in user and kernel mode.",
		ofPrograms(func(e *exposition, g *gathered, p *supervisor.ProgramStatus) {
			e.add(g.cpu[p.Name], "program", p.Name)
		})},
	{"sidekick_program_resident_memory_bytes", gauge, "Resident memory of the process tree; shared pages count once for each process.",
		ofTrees(func(s procstat.Stat) float64 { return float64(s.MemoryBytes) })},
	{"sidekick_program_threads", gauge, "Threads of the process tree.", ofTrees(func(s procstat.Stat) float64 { return float64(s.Threads) })},
	{"sidekick_program_open_fds", gauge, "Open descriptors of the process tree.", ofTrees(func(s procstat.Stat) float64 { return float64(s.FDs) })},
	{"sidekick_program_log_lines_total", counter, "Lines that the program printed, but for one with logging.to: inherit.", ofLogs(func(c LogCounts) uint64 { return c.Lines })},
	{"sidekick_program_log_bytes_total", counter, "Bytes that the program printed.", ofLogs(func(c LogCounts) uint64 { return c.Bytes })},
	{"sidekick_program_log_dropped_lines_total", counter, "Lines of the program that were lost, for nothing took them.",
		ofLogs(func(c LogCounts) uint64 { return c.Dropped })},
	{"sidekick_etcd_up", gauge, "1 if etcd answered the last call. Absent while no program has a registration.", func(e *exposition, g *gathered) {
		if g.registersKeys {
			e.add(oneIf(g.etcdAnswers))
		}
	}},
	{"sidekick_lease_renewals_total", counter, "Renewals of the lease that etcd confirmed.", ofRenewals(func(done, _ uint64) uint64 { return done })},
	{"sidekick_lease_renewal_failures_total", counter, "Renewals of the lease that etcd refused or did not answer.",
		ofRenewals(func(_, failed uint64) uint64 { return failed })},
	{"sidekick_orphans_reaped_total", counter, "Processes that were reaped and are no program of the file.",
		func(e *exposition, g *gathered) { e.add(float64(g.orphans)) }},
	{"process_cpu_seconds_total", counter, "Processor time of sidekick itself.", func(e *exposition, g *gathered) { e.add(g.selfCPU) }},
	{"process_resident_memory_bytes", gauge, "Resident memory of sidekick itself.",
		func(e *exposition, g *gathered) { e.add(float64(g.self.MemoryBytes)) }},
	{"process_threads", gauge, "Threads of sidekick itself.", func(e *exposition, g *gathered) { e.add(float64(g.self.Threads)) }},
	{"process_open_fds", gauge, "Open descriptors of sidekick itself.", func(e *exposition, g *gathered) { e.add(float64(g.self.FDs)) }},
	{"process_start_time_seconds", gauge, "When sidekick was started, in seconds since 1970.",
		func(e *exposition, g *gathered) { e.add(float64(g.self.Started.UnixMilli()) / 1000) }},
}

func (g *gathered) text() []byte {
	var e exposition
	for _, f := range families {
		e.begin(f.name, f.kind, f.help)
		f.add(&e, g)
	}
	return e.Bytes()
}

func ofPrograms(add func(*exposition, *gathered, *supervisor.ProgramStatus)) func(*exposition, *gathered) {
	return func(e *exposition, g *gathered) {
		for i := range g.programs {
			add(e, g, &g.programs[i])
		}
	}
}

// ofTrees shows what the process tree of a program uses, while it has one.
func ofTrees(value func(procstat.Stat) float64) func(*exposition, *gathered) {
	return ofPrograms(func(e *exposition, g *gathered, p *supervisor.ProgramStatus) {
		if stat, there := g.stats[p.Pid]; there {
			e.add(value(stat), "program", p.Name)
		}
	})
}

func ofLogs(count func(LogCounts) uint64) func(*exposition, *gathered) {
	return ofPrograms(func(e *exposition, g *gathered, p *supervisor.ProgramStatus) {
		if g.logs != nil {
			e.add(float64(count(g.logs[p.Name])), "program", p.Name)
		}
	})
}

// ofRenewals shows nothing while nothing renews.
func ofRenewals(count func(done, failed uint64) uint64) func(*exposition, *gathered) {
	return func(e *exposition, g *gathered) {
		if g.registersKeys {
			e.add(float64(count(g.renewals.Count())))
		}
	}
}

func oneIf(true bool) float64 {
	if true {
		return 1
	}
	return 0
}

func addState(e *exposition, _ *gathered, p *supervisor.ProgramStatus) {
	for _, state := range supervisor.States {
		e.add(oneIf(p.State == state), "program", p.Name, "state", string(state))
	}
}

// addExits: of the two labels one is empty.
func addExits(e *exposition, _ *gathered, p *supervisor.ProgramStatus) {
	ways := slices.SortedFunc(maps.Keys(p.Tally.Exits), func(a, b child.Exit) int {
		return cmp.Or(int(a.Signal)-int(b.Signal), a.Code-b.Code)
	})
	for _, exit := range ways {
		code, signal := strconv.Itoa(exit.Code), ""
		if exit.Signal != 0 {
			code, signal = "", cmp.Or(unix.SignalName(exit.Signal), strconv.Itoa(int(exit.Signal)))
		}
		e.add(float64(p.Tally.Exits[exit]), "program", p.Name, "code", code, "signal", signal)
	}
}

// addHealth tells the word of all checks together, as `status` does.
func addHealth(e *exposition, _ *gathered, p *supervisor.ProgramStatus) {
	if len(p.Config.Policy.Checks) == 0 && p.Config.Launch.Watchdog == 0 {
		return
	}
	word := wordOf(p.Checks)
	for _, status := range []supervisor.Health{supervisor.HealthStarting, supervisor.Healthy, supervisor.Unhealthy} {
		e.add(oneIf(word == status), "program", p.Name, "status", string(status))
	}
}

// wordOf is that of the first check that does not pass, "" without checks.
func wordOf(checks []supervisor.CheckStatus) (word supervisor.Health) {
	for _, c := range checks {
		if word = c.Status; word != supervisor.Healthy {
			break
		}
	}
	return word
}

func addProbes(e *exposition, g *gathered, p *supervisor.ProgramStatus) {
	if len(p.Config.Policy.Checks) == 0 {
		return
	}
	latency := g.probes[p.Name]
	sum := uint64(0)
	for i, bound := range health.LatencyBounds {
		sum += latency.Buckets[i]
		e.addSuffixed("_bucket", float64(sum), "program", p.Name, "le", strconv.FormatFloat(bound.Seconds(), 'g', -1, 64))
	}
	e.addSuffixed("_bucket", float64(latency.Count), "program", p.Name, "le", "+Inf")
	e.addSuffixed("_sum", latency.Sum.Seconds(), "program", p.Name)
	e.addSuffixed("_count", float64(latency.Count), "program", p.Name)
}

// addRegistered has each port once, in the order of the file.
func addRegistered(e *exposition, g *gathered) {
	for i := range g.programs {
		p, shown := &g.programs[i], map[string]bool{}
		for _, r := range p.Config.Policy.Register {
			if port := r.Port.String(); !shown[port] {
				shown[port] = true
				e.add(oneIf(g.registered[registeredPort{p.Name, port}]), "program", p.Name, "port", port)
			}
		}
	}
}
