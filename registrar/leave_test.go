package registrar

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// Who leaves renews and deletes, but wins nothing back, and is silent about what
// its successor has.
func TestLeave(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		other := fixedWeb
		other.Program, other.Key = "other", "other"
		third := fixedWeb
		third.Program, third.Key = "third", "third"
		w.update(true, fixedWeb, other, third)
		const put, late = "put /other/10.0.0.1:80", "put /third/10.0.0.1:80"
		w.wantLog(put, "put "+fixedKey, late)
		w.reg.Leave()
		w.settle()
		w.store.do(func() { w.store.write(fixedKey, 77); delete(w.store.keys, "/third/10.0.0.1:80") }) // the successor
		told := len(w.events)
		w.after(time.Minute)
		w.update(true, fixedWeb, other, third)
		w.wantLog(put, "put "+fixedKey, late)
		if len(w.events) != told {
			t.Errorf("told %v", w.events[told:])
		}
		w.reg.Update([]Fact{{Service: fixedWeb}, {Service: other, Reason: "drained"}, {Service: third}})
		w.settle()
		w.wantLog(put, "put "+fixedKey, late, "delete /other/10.0.0.1:80")
		if len(w.events) != told+1 || w.events[told].Reason != "drained" {
			t.Errorf("told %v, want the delete", w.events[told:])
		}
		w.reg.Close(t.Context())
		if len(w.events) != told+1 {
			t.Errorf("told %v of its end", w.events[told+1:])
		}
	})
}

func TestSettle(t *testing.T) {
	for name, tc := range map[string]struct {
		before func(*world)
		up     bool
		waits  bool
	}{
		"registered":             {func(*world) {}, true, false},
		"down":                   {func(*world) {}, false, false},
		"no address":             {func(w *world) { w.docker.err = ErrNotMapped }, true, false},
		"Docker does not answer": {func(w *world) { w.docker.err = errors.New("refused") }, true, false},
		"etcd does not answer":   {func(w *world) { w.store.fail = ErrNoAnswer }, true, true},
		"etcd refuses":           {func(w *world) { w.store.fail = errors.New("denied") }, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				w.published("10.0.0.1:32768")
				tc.before(w)
				w.reg.Update([]Fact{{Service: mappedWeb, Up: tc.up}})
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				if w.reg.Settle(ctx); (ctx.Err() != nil) != tc.waits {
					t.Errorf("waits %t, want %t", ctx.Err() != nil, tc.waits)
				}
			})
		})
	}
}

// A successor uses what Docker said to its predecessor while Docker is away.
func TestMappingOfThePredecessor(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.published("10.0.0.1:32768")
		w.update(true, mappedWeb)
		w.docker.do(func() { w.docker.err = errors.New("cannot reach Docker") })
		known := w.reg.Mapping()
		w.stop()
		w.reg = New(Options{Store: w.store, Mapper: w.docker, Mapping: known, Log: slog.New(slog.DiscardHandler)})
		w.run(t)
		w.update(true, mappedWeb)
		synctest.Wait()
		w.wantLog("put "+firstKey, "put "+firstKey)
	})
}
