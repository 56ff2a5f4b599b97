// Package guard keeps the optional parts of PID 1 (health, registrar, control)
// from taking the programs down with them: a part that panics or fails is
// logged and run again.
//
// A guard reaches the goroutine that runs its function and no other. A panic in
// a goroutine which that function starts, or which a library starts by itself,
// cannot be caught from outside and still ends the process.
package guard

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

const (
	firstDelay = 100 * time.Millisecond
	lastDelay  = 30 * time.Second
	// A run this long counts as having worked: its failure is a new one.
	longRun = 30 * time.Second
)

// Run calls fn until it returns nil or ctx ends, and returns then. A panic of
// fn (with its stack) or an error is logged under name, and fn is called again
// after 100 ms; the delay doubles with each failure up to 30 s and starts anew
// after a run of 30 s. Run waits for fn, so fn has to obey ctx. What fn returns
// once ctx has ended is not logged unless it is a panic.
func Run(ctx context.Context, log *slog.Logger, name string, fn func(context.Context) error) {
	delay := firstDelay
	for ctx.Err() == nil {
		start := time.Now()
		if runOnce(ctx, log, name, fn) {
			return
		}
		if time.Since(start) >= longRun {
			delay = firstDelay
		}
		pause(ctx, delay)
		delay = min(2*delay, lastDelay)
	}
}

// runOnce calls fn and says whether Run is finished. The recovered panic is
// logged here, since the stack is that of the panic only inside the deferred call.
func runOnce(ctx context.Context, log *slog.Logger, name string, fn func(context.Context) error) (finished bool) {
	defer func() {
		if value := recover(); value != nil {
			log.Error("part panicked, it is started again", "part", name,
				"panic", fmt.Sprint(value), "stack", string(debug.Stack()))
		}
	}()
	err := fn(ctx)
	if err == nil || ctx.Err() != nil {
		return true
	}
	log.Error("part failed, it is started again", "part", name, "error", err)
	return false
}

// pause sleeps for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
