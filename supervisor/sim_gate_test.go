package supervisor

import (
	"context"
	"fmt"
	"io"
	"time"
)

// simSocket is a launch's notify socket.
type simSocket struct {
	w       *sim
	deliver func(Message)
	closed  bool
}

func (s *simSocket) Close() error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.closed = true
	return nil
}

func (w *sim) listen(_ []uint32, deliver func(Message)) (string, io.Closer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	address := fmt.Sprintf("@%d", len(w.sockets))
	w.sockets[address] = &simSocket{w: w, deliver: deliver}
	return address, w.sockets[address], nil
}

// simGate is a registry that is quick, slow, or hangs.
type simGate struct{ w *sim }

func (g simGate) wait(ctx context.Context, name string) (deleted bool) {
	g.w.mu.Lock()
	d := g.w.programs[name].gate
	noise := d.between(1, 1000)
	wait := noise
	switch kind := pick(d, g.w.gateKind, "quick"); {
	case g.w.calm || kind == "quick":
	case kind == "slow":
		wait = d.about(time.Millisecond, 2*time.Second)
	default:
		wait = never
	}
	deleted = d.chance(50)
	g.w.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return deleted
	case <-ctx.Done():
		time.Sleep(noise)
		return false
	}
}

// Prepare implements Gate.
func (g simGate) Prepare(ctx context.Context, name string) { g.wait(ctx, name) }

// Withdraw implements Gate.
func (g simGate) Withdraw(ctx context.Context, names ...string) bool {
	began := time.Now()
	g.w.mu.Lock()
	g.w.asking++
	drain := g.w.drain
	if g.w.drainSet.Equal(began) {
		drain, g.w.unsure = 0, true // it may be the old one
	}
	g.w.mu.Unlock()
	deleted := g.wait(ctx, names[0])
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	w := withdrawal{from: began, until: time.Now()}
	if deleted {
		w.until = w.until.Add(drain)
	}
	g.w.asking--
	g.w.ended(w.until)
	for _, name := range names {
		g.w.programs[name].withdrawals = append(g.w.programs[name].withdrawals, w)
	}
	g.w.note("withdrawn: %v", names)
	return deleted
}

// withdrawal is one answer of the registry: it was asked at from, and stop
// signals are allowed from until on.
type withdrawal struct{ from, until time.Time }
