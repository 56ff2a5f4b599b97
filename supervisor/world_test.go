package supervisor

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/config"
	"sidekick/events"
	"sidekick/supervisor/child"
)

// world runs the real loop with a scripted kernel inside a synctest bubble and
// writes down, with the time of each, what the kernel was asked for and which
// states were published.
type world struct {
	t        *testing.T
	begun    time.Time
	s        *Supervisor
	config   *config.Config
	gate     *fakeGate
	scripts  map[string][]life // of each program, one for each start; the last repeats
	launches map[string]int
	quiet    bool          // no timeline
	deliver  func(Message) // to the newest notify socket
	events   []events.Event

	mu       sync.Mutex
	timeline []string
	states   map[string]State
	living   map[*fakeProcess]bool
	all      []*fakeProcess
	nextPid  int
}

// life is how one run of a program behaves.
type life struct {
	fail    error         // of the exec
	exec    time.Duration // how long the exec takes
	ends    time.Duration // after this long it ends by itself; 0: never
	exit    child.Exit    // how it ends by itself
	ignores bool          // the stop signal
	stops   time.Duration // how long it takes to stop when asked
	leaves  time.Duration // how long its group outlives it; negative: until signalled
	stray   bool          // leaves a process outside its group
}

func newWorld(t *testing.T, programs ...config.Program) *world {
	w := &world{t: t, begun: time.Now(), scripts: map[string][]life{}, launches: map[string]int{},
		states: map[string]State{}, living: map[*fakeProcess]bool{}, nextPid: 100}
	w.config = &config.Config{ShutdownTimeout: 8 * time.Second, Programs: programs,
		Registry: config.Registry{Drain: time.Second}}
	return w
}

// prog makes a config with every default but what the changes say.
func prog(name string, changes ...func(*config.Program)) config.Program {
	p := config.DefaultProgram(name)
	p.Launch.Command = []string{"/bin/" + name}
	for _, change := range changes {
		change(&p)
	}
	return p
}

func policy(change func(*config.Policy)) func(*config.Program) {
	return func(p *config.Program) { change(&p.Policy) }
}

func needs(name string, c config.Condition) func(*config.Program) {
	return policy(func(p *config.Policy) {
		p.DependsOn = append(p.DependsOn, config.Dependency{Program: name, Condition: c})
	})
}

func restarts(mode config.RestartMode, limit int) func(*config.Program) {
	return policy(func(p *config.Policy) { p.Restart = config.Restart{Mode: mode, Max: limit} })
}

// run runs the loop to its end. The actions happen in the order given, each
// after its pause.
func (w *world) run(wantCode int, actions ...func()) {
	w.t.Helper()
	options := Options{
		Kernel: w, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Observe: w.observe,
		Event:  func(e events.Event) { w.events = append(w.events, e) },
		Random: func() float64 { return 0.5 },
		Output: func(string) (*os.File, *os.File, error) {
			out, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			if err != nil {
				return nil, nil, err
			}
			errs, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			return out, errs, err
		},
	}
	if w.gate != nil {
		options.Gate = w.gate
	}
	options.Listen = func(_ []uint32, deliver func(Message)) (string, io.Closer, error) {
		w.mu.Lock()
		w.deliver = deliver
		w.mu.Unlock()
		return "@notify", io.NopCloser(nil), nil
	}
	w.s = New(w.config, options)
	var acting sync.WaitGroup
	acting.Go(func() {
		for _, action := range actions {
			action()
		}
	})
	code := w.s.Run()
	w.note("exit %d", code)
	acting.Wait()
	synctest.Wait()
	for _, p := range w.all {
		if p.unwoken {
			w.t.Errorf("%s got a signal and no SIGCONT: a stopped process would sleep on", p.name)
		}
	}
	if code != wantCode {
		w.t.Errorf("exit code %d, want %d", code, wantCode)
	}
}

// after makes an action that waits and then acts.
func (w *world) after(d time.Duration, act func()) func() {
	return func() {
		time.Sleep(d)
		act()
	}
}

func (w *world) do(action Action, name string) func() {
	return func() {
		if _, err := w.s.Do(context.Background(), action, name); err != nil {
			w.note("%s %s: %v", action, name, err)
		}
	}
}

func (w *world) terminate() { w.s.Shutdown("TERM") }

func (w *world) health(name string, h Health) func() {
	return func() {
		snapshot, _ := w.s.Snapshot()
		for _, p := range snapshot.Programs {
			if p.Name == name {
				w.s.Report(CheckResult{Program: name, Launch: p.Launch, CheckStatus: CheckStatus{Status: h}})
			}
		}
	}
}

func (w *world) says(m Message) func() {
	return func() {
		w.mu.Lock()
		deliver := w.deliver
		w.mu.Unlock()
		deliver(m)
	}
}

// reload swaps in a file with these programs.
func (w *world) reload(programs ...config.Program) func() {
	return func() {
		c := *w.config
		c.Programs = programs
		w.mu.Lock()
		w.config = &c
		w.mu.Unlock()
		plan, err := w.s.Reload(context.Background(), &c)
		time.Sleep(100 * time.Nanosecond) // after what the loop publishes of it
		w.note("reload: %v", cmp.Or(err, fmt.Errorf("added %v removed %v restarted %v deferred %v retuned %v same %v",
			plan.Added, plan.Removed, plan.Relaunched, plan.Deferred, plan.Retuned, plan.Same)))
	}
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.quiet {
		return
	}
	w.timeline = append(w.timeline, fmt.Sprintf("%v ", time.Since(w.begun).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

// observe notes each program's state when it has changed.
func (w *world) observe(s *Snapshot) {
	for _, p := range s.Programs {
		w.mu.Lock()
		changed := p.State != w.states[p.Name] && (p.State != Stopped || w.states[p.Name] != "")
		w.states[p.Name] = p.State
		w.mu.Unlock()
		if !changed {
			continue
		}
		if p.Reason != "" {
			w.note("%s %s: %s", p.Name, p.State, p.Reason)
		} else {
			w.note("%s %s", p.Name, p.State)
		}
	}
}

// Start implements Kernel.
func (w *world) Start(spec child.Spec) (Process, error) {
	name := strings.TrimPrefix(spec.Path, "/bin/")
	w.mu.Lock()
	lives := w.scripts[name]
	l := life{}
	if len(lives) > 0 {
		l = lives[min(w.launches[name], len(lives)-1)]
	}
	w.launches[name]++
	w.nextPid++
	p := &fakeProcess{w: w, name: name, pid: w.nextPid, life: l}
	w.all = append(w.all, p)
	for other := range w.living {
		if other.name == name && other.groupLives() {
			w.t.Errorf("%s is started while a life of it is not over", name)
		}
	}
	w.mu.Unlock()
	time.Sleep(l.exec + w.turn(name))
	if l.fail != nil {
		return nil, l.fail
	}
	w.note("%s exec", name)
	w.mu.Lock()
	w.living[p] = true
	w.mu.Unlock()
	p.leader = true
	if l.ends > 0 {
		time.AfterFunc(l.ends, func() { p.end(l.exit) })
	}
	return p, nil
}

// turn is a delay too small to be written down. It gives things of different
// goroutines that happen at the same moment a fixed order.
func (w *world) turn(name string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.config.Programs, func(p config.Program) bool { return p.Name == name })
	return time.Duration(i+1) * time.Microsecond
}

// Sweep implements Kernel.
func (w *world) Sweep(sig syscall.Signal) {
	if sig == unix.SIGCONT {
		return
	}
	if w.Childless() {
		return
	}
	w.note("sweep %s", unix.SignalName(sig))
	w.mu.Lock()
	living := make([]*fakeProcess, 0, len(w.living))
	for p := range w.living {
		living = append(living, p)
	}
	w.mu.Unlock()
	slices.SortFunc(living, func(a, b *fakeProcess) int { return a.pid - b.pid })
	for _, p := range living {
		p.swept(sig)
	}
}

// Childless implements Kernel.
func (w *world) Childless() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.living) == 0
}

// fakeProcess is one life.
type fakeProcess struct {
	w    *world
	name string
	pid  int
	life life

	// guarded by w.mu
	leader  bool // lives
	rest    bool // something of its group outlives it
	stray   bool // something that left the group lives
	unwoken bool // it got a signal without SIGCONT after it: a stopped one would sleep on
	pending []child.Event
	notify  func(child.Event)
}

func (p *fakeProcess) groupLives() bool { return p.leader || p.rest }

func (p *fakeProcess) Pid() int { return p.pid }

func (p *fakeProcess) Forget() {}

func (p *fakeProcess) Notify(fn func(child.Event)) {
	p.w.mu.Lock()
	p.notify = fn
	p.w.mu.Unlock()
	p.deliver()
}

func (p *fakeProcess) deliver() {
	p.w.mu.Lock()
	fn, events := p.notify, p.pending
	if fn != nil {
		p.pending = nil
	}
	p.w.mu.Unlock()
	if fn == nil {
		return
	}
	for _, e := range events {
		fn(e)
	}
}

func (p *fakeProcess) tell(e child.Event) {
	p.pending = append(p.pending, e)
	if !p.groupLives() && !p.stray {
		delete(p.w.living, p)
	}
}

func (p *fakeProcess) end(exit child.Exit) {
	p.w.mu.Lock()
	if !p.leader {
		p.w.mu.Unlock()
		return
	}
	p.leader = false
	p.rest = p.life.leaves != 0 && exit.Signal != unix.SIGKILL
	p.stray = p.life.stray
	p.tell(child.Event{Exited: &exit, GroupEmpty: !p.rest, CPU: 100 * time.Millisecond})
	p.w.mu.Unlock()
	if p.life.leaves > 0 {
		time.AfterFunc(p.life.leaves, p.empty)
	}
	p.deliver()
}

func (p *fakeProcess) empty() {
	p.w.mu.Lock()
	if p.rest {
		p.rest = false
		p.tell(child.Event{GroupEmpty: true})
	}
	p.w.mu.Unlock()
	p.deliver()
}

func (p *fakeProcess) Signal(sig syscall.Signal, group bool) error {
	p.w.mu.Lock()
	gone := !p.leader && !(group && p.rest)
	p.unwoken = sig != unix.SIGCONT && sig != unix.SIGKILL && !gone
	p.w.mu.Unlock()
	if gone {
		return unix.ESRCH
	}
	if sig == unix.SIGCONT {
		return nil
	}
	target := p.name
	if group {
		target += "'s group"
	}
	p.w.note("%s to %s", unix.SignalName(sig), target)
	p.receive(sig, group)
	return nil
}

func (p *fakeProcess) receive(sig syscall.Signal, group bool) {
	if sig == unix.SIGKILL {
		p.end(child.Exit{Signal: unix.SIGKILL})
		if group {
			p.empty()
		}
		return
	}
	if p.life.ignores {
		return
	}
	p.w.mu.Lock()
	leader := p.leader
	p.w.mu.Unlock()
	switch {
	case leader && p.life.stops > 0:
		time.AfterFunc(p.life.stops, func() { p.end(child.Exit{}) })
	case leader:
		p.end(child.Exit{Signal: sig})
	case group:
		p.empty()
	}
}

func (p *fakeProcess) swept(sig syscall.Signal) {
	p.receive(sig, true)
	p.w.mu.Lock()
	if p.stray && (sig == unix.SIGKILL || !p.life.ignores) {
		p.stray = false
		if !p.groupLives() {
			delete(p.w.living, p)
		}
	}
	p.w.mu.Unlock()
}

// fakeGate is a registry that has a key for every program it is asked for.
type fakeGate struct {
	w        *world
	hangs    bool
	hasKey   bool
	once     bool // only the first Withdraw finds the key
	prepares time.Duration
}

func (g *fakeGate) Prepare(ctx context.Context, name string) {
	time.Sleep(g.w.turn(name) / 10)
	g.w.note("prepare %s", name)
	d := g.prepares
	if g.hangs {
		d = time.Hour
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (g *fakeGate) Withdraw(ctx context.Context, names ...string) bool {
	time.Sleep(g.w.turn(names[0]))
	g.w.note("withdraw %s", strings.Join(names, " "))
	if g.hangs {
		<-ctx.Done()
		return false
	}
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	had := g.hasKey
	g.hasKey = had && !g.once
	return had
}
