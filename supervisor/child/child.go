// Package child is the only place of sidekick that creates, signals or reaps
// a process.
//
// A wait4(-1) loop beside any other waiter steals exit statuses, so there is
// one owner of wait: the Reaper. Two locks keep a pid and its process together:
//
//   - forking is held across fork, exec and registration of the pid, and while
//     the reaper takes corpses it does not know. So a child that dies at once
//     is never reaped as a stranger, and the corpse of a failed exec is left to
//     the fork call that waits for it.
//   - mu guards the tables and is held across a signal and across the reaping
//     of one corpse, never across a fork. A registered pid is therefore not
//     reused while it is signalled, and a slow exec (a cold image layer) delays
//     neither a signal nor the reaping of a registered program.
package child

import (
	"context"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Spec is one process to start: the leader of a new session and so of its own
// process group, with default signal dispositions and an empty signal mask.
type Spec struct {
	// Setup is done in the process before the first instruction of Path; nil:
	// nothing. It takes a helper process, the same binary once more.
	Setup *Setup
	// Terminal leaves the process in our session, in a group of its own. If
	// Stdin is our controlling terminal and our group has it, that group
	// becomes the foreground group in place of ours. The caller minds SIGTTOU,
	// which a write of ours may bring then.
	Terminal bool
	// Path is the executable; relative to Dir when it is relative.
	Path string
	Args []string // argv, with argv[0]
	Env  []string // the whole environment, NAME=value
	Dir  string   // "": the current directory
	// Stdin, Stdout and Stderr become descriptors 0, 1 and 2. nil Stdin is
	// /dev/null. All other descriptors are closed by exec.
	Stdin, Stdout, Stderr *os.File
}

// Exit is how a process ended: by exit with Code (0..255), or by Signal.
type Exit struct {
	Code   int
	Signal syscall.Signal // 0: it exited
}

// Status is the number a shell reports: the code, or 128 plus the signal.
func (e Exit) Status() int {
	if e.Signal != 0 {
		return 128 + int(e.Signal)
	}
	return e.Code
}

func (e Exit) String() string {
	if e.Signal != 0 {
		return unix.SignalName(e.Signal)
	}
	return "exit code " + strconv.Itoa(e.Code)
}

// Event tells of the end of a process: first Exited, then, unless that said
// GroupEmpty, once more with GroupEmpty when the rest of its group is gone.
type Event struct {
	// Exited is nil in the second event.
	Exited *Exit
	// GroupEmpty: nothing of the process group lives.
	GroupEmpty bool
	// CPU is, beside Exited, the processor time of the process and of those
	// of its descendants that were waited for (ru_utime and ru_stime of wait4(2)).
	CPU time.Duration
}

// lingerPoll is how often a group is looked at that outlived its leader. Most
// ends are seen at the reaping of a member; this finds the end of members that
// have another parent. It runs only while there is such a group.
const lingerPoll = 100 * time.Millisecond

// Reaper owns fork, kill and wait of this process. Create it once.
type Reaper struct {
	forking sync.Mutex

	mu       sync.Mutex
	procs    map[int]*Process // by pid, until reaped
	lingerer map[int]*Process // by process group: groups that outlived their leader
	ready    []*Process       // those with events to deliver

	orphans atomic.Uint64
	sigchld chan os.Signal
	wake    chan struct{}
	ended   chan struct{} // closed when Run is over
}

// NewReaper takes SIGCHLD. Run must be running for anything to be reaped.
func NewReaper() *Reaper {
	r := &Reaper{
		procs:    map[int]*Process{},
		lingerer: map[int]*Process{},
		sigchld:  make(chan os.Signal, 1),
		wake:     make(chan struct{}, 1),
		ended:    make(chan struct{}),
	}
	signal.Notify(r.sigchld, unix.SIGCHLD)
	return r
}

// Process is one child, known from its fork to the end of its group.
type Process struct {
	reaper *Reaper
	pid    int

	// guarded by reaper.mu
	pending []Event // what is not yet delivered
	notify  func(Event)
}

// Pid is the process id, which is its group id too, and that of its session
// unless it was started with Terminal.
func (p *Process) Pid() int { return p.pid }

func (r *Reaper) register(pid int) *Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &Process{reaper: r, pid: pid}
	r.procs[pid] = p
	return p
}

// Notify has fn called with every Event of the process, those that have
// already happened first. fn is called without a lock held, one call at a
// time, and must not block for long: it holds up all reaping.
func (p *Process) Notify(fn func(Event)) {
	r := p.reaper
	r.mu.Lock()
	p.notify = fn
	r.ready = append(r.ready, p)
	r.mu.Unlock()
	r.Wake() // the reaper delivers, so that the order is kept
}

// Signal sends sig to the process or, with group, to its whole process group.
// It fails with ESRCH when there is nothing left to signal: a reaped pid and an
// empty group are never signalled, their numbers may be somebody else's.
func (p *Process) Signal(sig syscall.Signal, group bool) error {
	r := p.reaper
	r.mu.Lock()
	defer r.mu.Unlock()
	alive := r.procs[p.pid] == p
	switch {
	case group && (alive || r.lingerer[p.pid] == p):
		return unix.Kill(-p.pid, sig)
	case !group && alive:
		return unix.Kill(p.pid, sig)
	}
	return unix.ESRCH
}

// Forget ends the watch over what is left of the group.
func (p *Process) Forget() {
	p.reaper.mu.Lock()
	defer p.reaper.mu.Unlock()
	if p.reaper.lingerer[p.pid] == p {
		delete(p.reaper.lingerer, p.pid)
	}
}

// Wake makes the reaper look for corpses now.
func (r *Reaper) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Orphans is how many processes were reaped that nobody started here.
func (r *Reaper) Orphans() uint64 { return r.orphans.Load() }

// Run reaps until ctx ends, once. SIGCHLD only wakes it, and every wake drains
// all: signals of the same number coalesce.
func (r *Reaper) Run(ctx context.Context) error {
	linger := time.NewTimer(0)
	defer linger.Stop()
	for {
		select {
		case <-ctx.Done():
			close(r.ended)
			return nil
		case <-r.sigchld:
		case <-r.wake:
		case <-linger.C:
			r.checkLingerers()
		}
		r.drain()
		if r.lingering() {
			linger.Reset(lingerPoll)
		}
	}
}

// drain reaps every corpse there is and delivers what came of it.
func (r *Reaper) drain() {
	if r.forking.TryLock() {
		r.reapAll()
		r.forking.Unlock()
	} else {
		r.reapKnown()
	}
	r.deliver()
}

func (r *Reaper) reapAll() {
	for {
		pid, err := peek(unix.P_ALL, 0)
		if err != nil || pid == 0 {
			return
		}
		r.reap(pid)
	}
}

// reapKnown reaps while a fork is under way: any unknown corpse may be the
// child of that fork. Only behind such a corpse, which stays, the known ones
// have to be asked for one by one.
func (r *Reaper) reapKnown() {
	for {
		pid, err := peek(unix.P_ALL, 0)
		if err != nil || pid == 0 {
			return
		}
		if !r.knows(pid) {
			break
		}
		r.reap(pid)
	}
	for _, pid := range r.pids() {
		if found, err := peek(unix.P_PID, pid); err == nil && found == pid {
			r.reap(pid)
		}
	}
}

func (r *Reaper) knows(pid int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.procs[pid] != nil
}

func (r *Reaper) pids() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.procs))
}

// reap takes one corpse. Its group is read before and looked at right after,
// under the lock: until then the corpse pins the group's number.
func (r *Reaper) reap(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	group, groupErr := unix.Getpgid(pid)
	var status unix.WaitStatus
	var usage unix.Rusage
	if got, err := wait4(pid, &status, &usage); err != nil || got != pid {
		return
	}
	if p := r.procs[pid]; p != nil {
		r.leaderGone(p, status, cpuTime(&usage))
		return
	}
	r.orphans.Add(1)
	if p := r.lingerer[group]; groupErr == nil && p != nil && !groupExists(group) {
		r.emptied(p)
	}
}

// leaderGone records the end of a registered process. The caller holds mu.
func (r *Reaper) leaderGone(p *Process, status unix.WaitStatus, cpu time.Duration) {
	delete(r.procs, p.pid)
	exit := exitOf(status)
	empty := !groupExists(p.pid)
	if !empty {
		r.lingerer[p.pid] = p
	}
	r.tell(p, Event{Exited: &exit, GroupEmpty: empty, CPU: cpu})
}

// emptied records that nothing of p's group is left. The caller holds mu.
func (r *Reaper) emptied(p *Process) {
	delete(r.lingerer, p.pid)
	r.tell(p, Event{GroupEmpty: true})
}

func (r *Reaper) tell(p *Process, e Event) {
	p.pending = append(p.pending, e)
	r.ready = append(r.ready, p)
}

// checkLingerers finds the ends that no reaping showed: a member may have
// another parent, and a zombie whose parent does not wait for it keeps the
// group's number but is not alive.
func (r *Reaper) checkLingerers() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for group, p := range r.lingerer {
		if !groupExists(group) || !groupAlive(group) {
			r.emptied(p)
		}
	}
}

func (r *Reaper) lingering() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.lingerer) > 0
}

// deliver calls the Notify functions, without the lock. Only Run calls it, so
// a process's events keep their order.
func (r *Reaper) deliver() {
	r.mu.Lock()
	ready := r.ready
	r.ready = nil
	r.mu.Unlock()
	for _, p := range ready {
		r.mu.Lock()
		fn, events := p.notify, p.pending
		if fn != nil {
			p.pending = nil
		}
		r.mu.Unlock()
		if fn == nil {
			continue // Notify puts it back
		}
		for _, e := range events {
			fn(e)
		}
	}
}
