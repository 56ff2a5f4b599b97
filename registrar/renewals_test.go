package registrar

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// Renewals are counted, not the passes that a change ended.
func TestRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var renewals Renewals
		w := &world{t: t, store: newFakeStore(), docker: &fakeMapper{}}
		w.reg = New(Options{Store: w.store, Mapper: w.docker, Log: slog.New(slog.DiscardHandler), Renewals: &renewals})
		w.run(t)
		defer func() { w.stop() }()
		want := func(when string, done, failed uint64) {
			t.Helper()
			if d, f := renewals.Count(); d != done || f != failed {
				t.Errorf("%s: %d done and %d failed, want %d and %d", when, d, f, done, failed)
			}
		}
		w.after(time.Minute)
		want("without services", 0, 0)
		w.update(true, fixedWeb)
		want("with a service, whose put took the lease", 0, 0)
		w.after(4 * verifyEvery)
		want("after four periods", 4, 0)
		w.store.do(func() { w.store.hang = true })
		w.after(verifyEvery + time.Second) // a renewal hangs
		w.store.do(func() { w.store.hang = false })
		w.update(false, fixedWeb) // and is ended for the delete
		if _, failed := renewals.Count(); failed != 0 {
			t.Errorf("%d failed, but it was ended by us", failed)
		}
		w.store.do(func() { w.store.hang = true })
		w.after(verifyEvery + callTimeout)
		if _, failed := renewals.Count(); failed == 0 {
			t.Error("a renewal without an answer is not counted as failed")
		}
	})
}
