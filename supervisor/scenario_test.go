package supervisor

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sidekick/config"
	"sidekick/supervisor/child"
)

func exitCode(code int) child.Exit { return child.Exit{Code: code} }

func withCheck(p *config.Policy) { p.Checks = []config.Check{config.TCPCheck(8000)} }

func notifies(p *config.Program) {
	p.Launch.Notify, p.Policy.StartTimeout = true, 60*time.Second
}

func environment(entries ...string) func(*config.Program) {
	return func(p *config.Program) { p.Launch.Environment = entries }
}

func optional(p *config.Program) { p.Policy.Essential = false }

func registered(p *config.Policy) {
	withCheck(p)
	p.Register = []config.Registration{{Port: config.Port{Number: 8000, Protocol: "tcp"}, Key: "service"}}
}

var update = flag.Bool("update", false, "rewrite the golden files")

// TestScenarios runs the real loop against a scripted kernel and compares what
// the kernel was asked for, and each published state, with its time.
func TestScenarios(t *testing.T) {
	var all strings.Builder
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fmt.Fprintf(&all, "== %s\n", s.name)
				for _, line := range s.run(t).timeline {
					fmt.Fprintln(&all, line)
				}
				fmt.Fprintln(&all)
			})
		})
	}
	golden(t, "testdata/scenarios.golden", all.String())
}

// golden compares a text with a file, or writes the file under -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

type scenario struct {
	name string
	run  func(t *testing.T) *world
}

var scenarios = []scenario{
	{"one program, stopped on request", func(t *testing.T) *world {
		w := newWorld(t, prog("web"))
		w.run(0, w.after(5*time.Second, w.terminate))
		return w
	}},
	{"a dependant starts when its dependency is RUNNING and stops before it", func(t *testing.T) *world {
		w := newWorld(t, prog("web", needs("db", config.Started)), prog("db"))
		w.scripts["web"] = []life{{stops: 300 * time.Millisecond}}
		w.run(0, w.after(5*time.Second, w.terminate))
		return w
	}},
	{"healthy is waited for", func(t *testing.T) *world {
		w := newWorld(t, prog("web", needs("db", config.Healthy)), prog("db", policy(withCheck)))
		w.run(0,
			w.after(3*time.Second, w.health("db", Unhealthy)),
			w.after(time.Second, w.health("db", Healthy)),
			w.after(2*time.Second, w.terminate))
		return w
	}},
	{"a first healthy answer makes it RUNNING before min_uptime", func(t *testing.T) *world {
		w := newWorld(t, prog("web", policy(withCheck)))
		w.run(0, w.after(200*time.Millisecond, w.health("web", Healthy)), w.after(time.Second, w.terminate))
		return w
	}},
	{"completed is waited for", func(t *testing.T) *world {
		w := newWorld(t, prog("web", needs("migrate", config.Completed)),
			prog("migrate", restarts(config.RestartNo, 0)))
		w.scripts["migrate"] = []life{{ends: 3 * time.Second}}
		w.run(0, w.after(5*time.Second, w.terminate))
		return w
	}},
	{"a failed one-shot makes its dependants FATAL", func(t *testing.T) *world {
		w := newWorld(t, prog("web", optional, needs("migrate", config.Completed)),
			prog("migrate", optional, restarts(config.RestartNo, 0)), prog("other"))
		w.scripts["migrate"] = []life{{ends: 3 * time.Second, exit: exitCode(9)}}
		w.run(0, w.after(5*time.Second, w.terminate))
		return w
	}},
	{"an essential program that fails for good ends the container with its code", func(t *testing.T) *world {
		w := newWorld(t, prog("web", restarts(config.RestartNo, 0)), prog("worker"))
		w.scripts["web"] = []life{{ends: 2 * time.Second, exit: exitCode(7)}}
		w.run(7)
		return w
	}},
	{"128+n for a signal", func(t *testing.T) *world {
		w := newWorld(t, prog("web", restarts(config.RestartNo, 0)))
		w.scripts["web"] = []life{{ends: 2 * time.Second, exit: child.Exit{Signal: unix.SIGSEGV}}}
		w.run(139)
		return w
	}},
	{"crash loop: the delay grows, then it gives up", func(t *testing.T) *world {
		w := newWorld(t, prog("web", restarts(config.RestartOnFailure, 4)))
		w.scripts["web"] = []life{{ends: 10 * time.Millisecond, exit: exitCode(3)}}
		w.run(3)
		return w
	}},
	{"a long run makes the next restart immediate and the count new", func(t *testing.T) *world {
		w := newWorld(t, prog("web", restarts(config.RestartOnFailure, 2)))
		quick := life{ends: 10 * time.Millisecond, exit: exitCode(3)}
		w.scripts["web"] = []life{quick, {ends: 15 * time.Second, exit: exitCode(3)}, quick, {}}
		w.run(0, w.after(20*time.Second, w.terminate))
		return w
	}},
	{"always restarts after success, with backoff", func(t *testing.T) *world {
		w := newWorld(t, prog("web", restarts(config.RestartAlways, 0)))
		w.scripts["web"] = []life{{ends: 10 * time.Millisecond}, {ends: 10 * time.Millisecond}, {}}
		w.run(0, w.after(2*time.Second, w.terminate))
		return w
	}},
	{"an executable that does not exist is a failed start: 127", func(t *testing.T) *world {
		w := newWorld(t, prog("web", restarts(config.RestartOnFailure, 2)))
		w.scripts["web"] = []life{{fail: unix.ENOENT}}
		w.run(127)
		return w
	}},
	{"not executable: 126; the program comes back when it is mended", func(t *testing.T) *world {
		w := newWorld(t, prog("web"))
		w.scripts["web"] = []life{{fail: unix.EACCES}, {fail: unix.EAGAIN}, {}}
		w.run(0, w.after(2*time.Second, w.terminate))
		return w
	}},
	{"all done well ends with 0", func(t *testing.T) *world {
		w := newWorld(t, prog("a", restarts(config.RestartNo, 0)), prog("b", restarts(config.RestartNo, 0), needs("a", config.Started)))
		w.scripts["a"] = []life{{ends: time.Millisecond}}
		w.scripts["b"] = []life{{ends: time.Millisecond}}
		w.run(0)
		return w
	}},
	{"all done, one that is not essential badly: its code", func(t *testing.T) *world {
		w := newWorld(t, prog("a", restarts(config.RestartNo, 0), optional),
			prog("b", restarts(config.RestartNo, 0)))
		w.scripts["a"] = []life{{ends: 1500 * time.Millisecond, exit: exitCode(5)}}
		w.scripts["b"] = []life{{ends: 2 * time.Second}}
		w.run(5)
		return w
	}},
	{"stopped by command keeps the container up; start brings it back", func(t *testing.T) *world {
		w := newWorld(t, prog("web"))
		w.run(0,
			w.after(2*time.Second, w.do(Stop, "web")),
			w.after(time.Minute, w.do(Start, "web")),
			w.after(2*time.Second, w.terminate))
		return w
	}},
	{"a start while stopping is remembered", func(t *testing.T) *world {
		w := newWorld(t, prog("web"))
		w.scripts["web"] = []life{{stops: 2 * time.Second}}
		w.run(0,
			w.after(2*time.Second, w.do(Stop, "web")),
			w.after(time.Second, w.do(Start, "web")),
			w.after(5*time.Second, w.terminate))
		return w
	}},
	{"a stop while starting is remembered", func(t *testing.T) *world {
		w := newWorld(t, prog("web"))
		w.scripts["web"] = []life{{exec: 3 * time.Second}}
		w.run(0,
			w.after(time.Second, w.do(Stop, "web")),
			w.after(5*time.Second, w.terminate))
		return w
	}},
	{"stop in backoff, then start: at once and with a new count", func(t *testing.T) *world {
		w := newWorld(t, prog("web", restarts(config.RestartOnFailure, 3)))
		quick := life{ends: 10 * time.Millisecond, exit: exitCode(3)}
		w.scripts["web"] = []life{quick, quick, quick, quick, {}}
		w.run(0,
			w.after(500*time.Millisecond, w.do(Stop, "web")),
			w.after(time.Second, w.do(Start, "web")),
			w.after(3*time.Second, w.terminate))
		return w
	}},
	{"what ignores the stop signal is killed after its grace, its group too", func(t *testing.T) *world {
		w := newWorld(t, prog("web", policy(func(p *config.Policy) { p.StopGracePeriod = time.Second })))
		w.scripts["web"] = []life{{ignores: true}}
		w.run(0,
			w.after(2*time.Second, w.do(Restart, "web")),
			w.after(5*time.Second, w.terminate))
		return w
	}},
	{"the second stop has its whole grace: a stale timer kills nobody", func(t *testing.T) *world {
		w := newWorld(t, prog("web", policy(func(p *config.Policy) { p.StopGracePeriod = time.Second })))
		w.scripts["web"] = []life{{stops: 700 * time.Millisecond}}
		w.run(0,
			w.after(2*time.Second, w.do(Restart, "web")),
			w.after(time.Second, w.do(Restart, "web")),
			w.after(5*time.Second, w.terminate))
		return w
	}},
	{"STOPPED means that nothing of the group lives", func(t *testing.T) *world {
		w := newWorld(t, prog("web"))
		w.scripts["web"] = []life{{leaves: 3 * time.Second}}
		w.run(0,
			w.after(2*time.Second, w.do(Stop, "web")),
			w.after(10*time.Second, w.terminate))
		return w
	}},
	{"after a crash the rest of the group is swept before the restart", func(t *testing.T) *world {
		w := newWorld(t, prog("web"))
		w.scripts["web"] = []life{{ends: 2 * time.Second, exit: exitCode(1), leaves: -1, ignores: true}, {}}
		w.run(0, w.after(20*time.Second, w.terminate))
		return w
	}},
	{"kill_mode process looks at the leader alone", func(t *testing.T) *world {
		w := newWorld(t, prog("web", policy(func(p *config.Policy) { p.KillMode = config.KillProcess })))
		w.scripts["web"] = []life{{leaves: -1}}
		w.run(0,
			w.after(2*time.Second, w.do(Stop, "web")),
			w.after(time.Second, w.terminate))
		return w
	}},
	{"kill_mode group asks the whole group", func(t *testing.T) *world {
		w := newWorld(t, prog("web", policy(func(p *config.Policy) {
			p.KillMode, p.StopSignal = config.KillGroup, unix.SIGINT
		})))
		w.run(0, w.after(2*time.Second, w.terminate))
		return w
	}},
	{"a shutdown has one deadline: order ends 2 s before it, grace half a second", func(t *testing.T) *world {
		w := newWorld(t, prog("a", needs("b", config.Started)), prog("b", needs("c", config.Started)), prog("c"))
		for _, name := range []string{"a", "b", "c"} {
			w.scripts[name] = []life{{ignores: true}}
		}
		w.run(0, w.after(5*time.Second, w.terminate))
		return w
	}},
	{"a second TERM kills at once", func(t *testing.T) *world {
		w := newWorld(t, prog("web"))
		w.scripts["web"] = []life{{ignores: true}}
		w.run(0, w.after(2*time.Second, w.terminate), w.after(time.Second, w.terminate))
		return w
	}},
	{"a TERM during a launch", func(t *testing.T) *world {
		w := newWorld(t, prog("web"))
		w.scripts["web"] = []life{{exec: 2 * time.Second}}
		w.run(0, w.after(time.Second, w.terminate))
		return w
	}},
	{"a stray that left its group is asked, then killed", func(t *testing.T) *world {
		w := newWorld(t, prog("web"), prog("stubborn"))
		w.scripts["web"] = []life{{stray: true}}
		w.scripts["stubborn"] = []life{{stray: true, ignores: true, ends: 1200 * time.Millisecond}}
		w.run(0, w.after(1500*time.Millisecond, w.terminate))
		return w
	}},
	{"a registered program's key goes before its stop signal, with the drain time", func(t *testing.T) *world {
		w := newWorld(t, prog("web", policy(registered)), prog("other"))
		w.gate = &fakeGate{w: w, hasKey: true}
		w.run(0,
			w.after(time.Second, w.health("web", Healthy)),
			w.after(time.Second, w.do(Restart, "web")),
			w.after(3*time.Second, w.terminate))
		return w
	}},
	{"a shutdown leaves a stop that has begun its drain time", func(t *testing.T) *world {
		w := newWorld(t, prog("web", policy(registered)), prog("other"))
		w.gate = &fakeGate{w: w, hasKey: true, once: true}
		w.config.Registry.Drain = 3 * time.Second
		w.run(0,
			w.after(2*time.Second, w.do(Stop, "web")),
			w.after(time.Second, w.terminate))
		return w
	}},
	{"but for the last two seconds of the shutdown", func(t *testing.T) *world {
		w := newWorld(t, prog("web", policy(registered)), prog("other"))
		w.gate = &fakeGate{w: w, hasKey: true, once: true}
		w.config.Registry.Drain = 7500 * time.Millisecond
		w.scripts["web"] = []life{{stops: time.Second}} // longer than the drain
		w.run(0,
			w.after(2*time.Second, w.do(Stop, "web")),
			w.after(time.Second, w.terminate))
		return w
	}},
	{"no key, no drain", func(t *testing.T) *world {
		w := newWorld(t, prog("web", policy(registered)))
		w.gate = &fakeGate{w: w}
		w.run(0, w.after(2*time.Second, w.terminate))
		return w
	}},
	{"a registry that hangs delays a start and a stop by a second each", func(t *testing.T) *world {
		w := newWorld(t, prog("web", policy(registered)))
		w.gate = &fakeGate{w: w, hangs: true}
		w.run(0,
			w.after(3*time.Second, w.do(Restart, "web")),
			w.after(5*time.Second, w.terminate))
		return w
	}},
	{"a dependency's restart restarts nobody", func(t *testing.T) *world {
		w := newWorld(t, prog("web", needs("db", config.Started)), prog("db"))
		w.run(0,
			w.after(3*time.Second, w.do(Restart, "db")),
			w.after(3*time.Second, w.terminate))
		return w
	}},
	{"start also starts what it depends on; stop does not stop dependants", func(t *testing.T) *world {
		manual := policy(func(p *config.Policy) { p.Autostart = false })
		w := newWorld(t, prog("web", manual, needs("db", config.Started)), prog("db", manual), prog("other"))
		w.run(0,
			w.after(2*time.Second, w.do(Start, "web")),
			w.after(3*time.Second, w.do(Stop, "db")),
			w.after(time.Second, w.terminate))
		return w
	}},
	{"a command for an unknown program, and one that comes too late", func(t *testing.T) *world {
		w := newWorld(t, prog("web"))
		w.scripts["web"] = []life{{stops: time.Second}}
		w.run(0,
			w.after(2*time.Second, w.do(Stop, "wbe")),
			w.terminate,
			w.after(100*time.Millisecond, w.do(Start, "web")))
		return w
	}},
	{"what failed, was started again and ended well is no failure; of the others the first one counts", func(t *testing.T) *world {
		once := policy(func(p *config.Policy) { p.Restart, p.Essential = config.Restart{Mode: config.RestartNo}, false })
		w := newWorld(t, prog("late", once), prog("mended", once), prog("early", once))
		w.scripts["late"] = []life{{ends: 4 * time.Second, exit: exitCode(4)}}
		w.scripts["mended"] = []life{{ends: time.Second / 2, exit: exitCode(5)}, {ends: 8 * time.Second, exit: exitCode(0)}}
		w.scripts["early"] = []life{{ends: 3 * time.Second, exit: exitCode(3)}}
		w.run(3, w.after(2*time.Second, w.do(Start, "mended")))
		return w
	}},
	{"a program that exits at once for an hour restarts no more often than the cap", func(t *testing.T) *world {
		w := newWorld(t, prog("web", restarts(config.RestartOnFailure, 0)))
		w.scripts["web"] = []life{{ends: time.Nanosecond, exit: exitCode(1)}}
		w.quiet = true
		w.run(0, w.after(time.Hour, w.terminate))
		// 9 starts while the delay doubles from 100 ms to 25.6 s, then one each 30 s.
		if starts := w.launches["web"]; starts < 120 || starts > 135 {
			t.Errorf("%d starts in an hour", starts)
		}
		return w
	}},
	{"on_failure restart acts after the first success, and again after each restart", func(t *testing.T) *world {
		w := newWorld(t, prog("web", policy(withCheck), policy(func(p *config.Policy) { p.RestartUnhealthy = true })))
		w.run(0,
			w.after(500*time.Millisecond, w.health("web", Unhealthy)), // it has not answered yet
			w.after(500*time.Millisecond, w.health("web", Healthy)),
			w.after(time.Second, w.health("web", Unhealthy)),
			w.after(time.Second, w.health("web", Healthy)),
			w.after(20*time.Second, w.health("web", Unhealthy)),
			w.after(5*time.Second, w.terminate))
		return w
	}},
	{"a reload that changes what is asked waits for the first success again", func(t *testing.T) *world {
		asks := func(port uint16, interval time.Duration) config.Program {
			return prog("web", policy(func(p *config.Policy) {
				p.Checks, p.RestartUnhealthy = []config.Check{config.TCPCheck(port)}, true
				p.Checks[0].Interval = interval
			}))
		}
		w := newWorld(t, asks(8000, time.Second))
		w.run(0,
			w.after(500*time.Millisecond, w.health("web", Healthy)),
			w.after(time.Second, w.reload(asks(8001, time.Second))),
			w.after(time.Second, w.health("web", Unhealthy)), // as it was asked something else
			w.after(time.Second, w.health("web", Healthy)),
			w.after(time.Second, w.reload(asks(8001, time.Minute))),
			w.after(time.Second, w.health("web", Unhealthy)),
			w.after(5*time.Second, w.terminate))
		return w
	}},
	{"on_failure restart counts as a failed run", func(t *testing.T) *world {
		w := newWorld(t, prog("web", restarts(config.RestartOnFailure, 1), policy(withCheck), policy(func(p *config.Policy) {
			p.RestartUnhealthy = true
			p.Checks[0].StartPeriod = time.Second
		})))
		w.scripts["web"] = []life{{stops: time.Millisecond}}
		w.run(1,
			w.after(2*time.Second, w.health("web", Unhealthy)),
			w.after(2*time.Second, w.health("web", Unhealthy)))
		return w
	}},
	{"notify: RUNNING only at READY=1", func(t *testing.T) *world {
		w := newWorld(t, prog("web", notifies), prog("after", needs("web", config.Started)))
		w.run(0,
			w.after(10*time.Second, w.says(Message{Ready: true})),
			w.after(5*time.Second, w.terminate))
		return w
	}},
	{"notify: no READY=1 within start_timeout is a failed start", func(t *testing.T) *world {
		w := newWorld(t, prog("web", notifies, restarts(config.RestartOnFailure, 1)))
		w.run(143)
		return w
	}},
	{"watchdog: silence is failed health, and restarts where on_failure says so", func(t *testing.T) *world {
		w := newWorld(t, prog("web", notifies, policy(func(p *config.Policy) { p.RestartUnhealthy = true }),
			func(p *config.Program) { p.Launch.Watchdog = 2 * time.Second }))
		w.run(0,
			w.after(time.Second, w.says(Message{Ready: true})),
			w.after(1500*time.Millisecond, w.says(Message{Watchdog: true})),
			w.after(1500*time.Millisecond, w.says(Message{Watchdog: true})),
			w.after(3*time.Second, w.says(Message{Ready: true})),
			w.after(time.Second, w.terminate))
		return w
	}},
	{"reload: added, removed, restarted, retuned, same", func(t *testing.T) *world {
		patient := policy(func(p *config.Policy) { p.StopGracePeriod = 7 * time.Second })
		w := newWorld(t, prog("same"), prog("changed"), prog("tuned"), prog("gone"))
		w.scripts["gone"] = []life{{stops: time.Second}}
		w.scripts["tuned"] = []life{{ignores: true}}
		w.run(0,
			w.after(2*time.Second, w.reload(prog("new"), prog("same"), prog("changed", environment("A=1")), prog("tuned", patient))),
			w.after(3*time.Second, w.reload(prog("new"), prog("same"), prog("changed", environment("A=1")), prog("tuned", patient))),
			w.after(time.Second, w.do(Stop, "tuned")),
			w.after(10*time.Second, w.terminate))
		return w
	}},
	{"reload does not start what an operator stopped or what is completed", func(t *testing.T) *world {
		w := newWorld(t, prog("web"), prog("once", restarts(config.RestartNo, 0)), prog("bad", restarts(config.RestartNo, 0), optional))
		w.scripts["once"] = []life{{ends: time.Second / 2}}
		w.scripts["bad"] = []life{{ends: time.Second / 2, exit: exitCode(1)}, {}}
		changed := environment("A=1")
		w.run(0,
			w.after(2*time.Second, w.do(Stop, "web")),
			w.after(time.Second, w.reload(prog("web", changed), prog("once", changed, restarts(config.RestartNo, 0)), prog("bad", changed, optional))),
			w.after(3*time.Second, w.do(Start, "web")),
			w.after(3*time.Second, w.terminate))
		return w
	}},
	{"reload starts what only autostart: false held back, and what that depends on", func(t *testing.T) *world {
		manual := policy(func(p *config.Policy) { p.Autostart = false })
		w := newWorld(t, prog("web", manual, needs("db", config.Started)), prog("db", manual), prog("off", manual), prog("stopped", manual), prog("other"))
		w.run(0,
			w.after(2*time.Second, w.do(Start, "stopped")),
			w.after(2*time.Second, w.do(Stop, "stopped")),
			w.after(time.Second, w.reload(prog("web", needs("db", config.Started)), prog("db", manual), prog("off", manual), prog("stopped"), prog("other"))),
			w.after(4*time.Second, w.terminate))
		return w
	}},
	{"reload during a launch restarts it, in backoff it starts at once, and a removed name may come back", func(t *testing.T) *world {
		w := newWorld(t, prog("slow"), prog("crash", restarts(config.RestartAlways, 0)), prog("back"))
		w.scripts["slow"] = []life{{exec: 2 * time.Second}, {}}
		quick := life{ends: 10 * time.Millisecond, exit: exitCode(3)}
		w.scripts["crash"] = []life{quick, quick, quick, quick, quick, {}}
		w.scripts["back"] = []life{{stops: 3 * time.Second}}
		changed := environment("A=1")
		w.run(0,
			w.after(1900*time.Millisecond, w.reload(prog("slow", changed), prog("crash", changed, restarts(config.RestartAlways, 0)))),
			w.after(time.Second, w.reload(prog("slow", changed), prog("crash", changed, restarts(config.RestartAlways, 0)), prog("back"))),
			w.after(5*time.Second, w.terminate))
		return w
	}},
}
