package registrar

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestUnchangedFactsWriteNothing(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.update(false, fixedWeb)
		w.after(time.Minute)
		w.wantLog()
		w.wantReason("the program is not running, or its check does not pass")
		w.update(true, fixedWeb)
		w.wantLog("put " + fixedKey)
		before := w.verifications()
		w.after(time.Minute)
		w.update(true, fixedWeb)
		w.wantLog("put " + fixedKey)
		w.wantReason("")
		if n := w.verifications() - before; n < 11 || n > 13 {
			t.Errorf("%d verifications in a minute, want 12", n)
		}
	})
}

func TestKeysThatGoAway(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"deleted":        func(w *world) { delete(w.store.keys, fixedKey) },
		"lease lost":     func(w *world) { clear(w.store.keys); w.store.lease = 0 },
		"value":          func(w *world) { w.store.keys[fixedKey] = Entry{Value: "x", Lease: w.store.lease} },
		"expires, taken": func(w *world) { w.store.lease = 0; delete(w.store.keys, fixedKey) },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(_ *testing.T, w *world) {
				w.update(true, fixedWeb)
				w.store.do(func() { change(w) })
				w.after(verifyEvery)
				w.wantLog("put "+fixedKey, "put "+fixedKey)
			})
		})
	}
}

// Whatever etcd does with a renewal under way, a delete is made at once.
func TestDeleteDoesNotWaitForARenewal(t *testing.T) {
	simulate(t, func(_ *testing.T, w *world) {
		w.update(true, fixedWeb)
		w.store.do(func() { w.store.hang = true })
		w.after(verifyEvery + time.Second) // a renewal hangs now
		w.store.do(func() { w.store.hang = false })
		w.update(false, fixedWeb)
		w.wantLog("put "+fixedKey, "delete "+fixedKey)
	})
}

// The first put may have reached etcd although nobody answered.
func TestDownWhileAPutHangs(t *testing.T) {
	simulate(t, func(_ *testing.T, w *world) {
		w.update(false, fixedWeb)
		w.store.do(func() { w.store.hang = true })
		w.update(true, fixedWeb)
		w.store.do(func() { w.store.hang = false; w.store.write(fixedKey, w.store.lease) })
		w.update(false, fixedWeb)
		w.wantLog("delete " + fixedKey)
	})
}

// Updates that concern other keys do not start the delete again and again.
func TestDeleteIsNotEndedByOtherChanges(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		other := fixedWeb
		other.Program, other.Key = "other", "other"
		w.update(true, fixedWeb, other)
		w.store.do(func() { w.store.hang = true })
		var calls int
		w.reg.store = countingStore{w.store, &calls}
		w.reg.Update([]Fact{{Service: fixedWeb}, {Service: other, Up: true}})
		for range 10 {
			w.after(100 * time.Millisecond)
			w.reg.Update([]Fact{{Service: fixedWeb, Reason: time.Now().String()}, {Service: other, Up: true}})
		}
		if calls != 1 {
			t.Errorf("%d deletes began in a second, want 1", calls)
		}
		w.store.do(func() { w.store.hang = false })
	})
}

// countingStore counts deletes that begin.
type countingStore struct {
	*fakeStore
	calls *int
}

func (s countingStore) Delete(ctx context.Context, keys []string) ([]string, error) {
	*s.calls++
	return s.fakeStore.Delete(ctx, keys)
}

func TestEtcdAway(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.store.do(func() { w.store.fail = fmt.Errorf("%w: refused", ErrNoAnswer) })
		w.update(true, fixedWeb)
		w.after(10 * time.Minute)
		w.store.do(func() { w.store.fail = fmt.Errorf("%w: hung", ErrNoAnswer) })
		w.after(10 * time.Minute)
		w.wantReason("etcd does not answer: hung: check registry.etcd.endpoints; it is tried again")
		if w.reg.Answers() {
			t.Error("Answers is true")
		}
		if n := strings.Count(w.logged.String(), "not registered"); n != 1 {
			t.Errorf("logged %d times, want once:\n%s", n, w.logged)
		}
		w.store.do(func() { w.store.fail = nil })
		w.after(retryLast)
		w.wantLog("put " + fixedKey)
		if !w.reg.Answers() {
			t.Error("Answers is false")
		}
	})
}

func TestEtcdRefuses(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.store.do(func() { w.store.fail = errors.New("permission denied") })
		w.update(true, fixedWeb)
		w.wantReason("etcd refuses: permission denied")
		if !w.reg.Answers() {
			t.Error("Answers is false")
		}
	})
}

// A password that cannot be read is no refusal of etcd's.
func TestEtcdNotAsked(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.store.do(func() { w.store.fail = notAsked{errors.New("cannot read the password")} })
		w.update(true, fixedWeb)
		w.wantReason("cannot read the password; it is tried again")
		if w.reg.Answers() {
			t.Error("Answers is true")
		}
	})
}

type notAsked struct{ error }

func (notAsked) Is(target error) bool { return target == ErrNotAsked }

// With etcd away for longer than the lease lives, nobody knows.
func TestKeyMayHaveExpired(t *testing.T) {
	simulate(t, func(_ *testing.T, w *world) {
		w.update(true, fixedWeb)
		w.store.do(func() { w.store.fail = ErrNoAnswer })
		w.after(15 * time.Second)
		w.wantReason("")
		w.after(10 * time.Second)
		w.wantReason("etcd does not answer: check registry.etcd.endpoints; it is tried again")
	})
}

// The Update that tells of a stop may be faster than the Withdraw that belongs to
// it: there was a key all the same.
func TestWithdrawAfterUpdate(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		for pause, want := range map[time.Duration]bool{0: true, justNow: false} {
			w.update(true, fixedWeb)
			w.update(false, fixedWeb)
			w.after(pause)
			if got := w.reg.Withdraw(t.Context(), "web"); got != want {
				t.Errorf("%v after the delete: %t, want %t", pause, got, want)
			}
			if w.reg.Withdraw(t.Context(), "web") {
				t.Error("one delete counts twice")
			}
		}
	})
}

func TestWithdraw(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		other := fixedWeb
		other.Program, other.Key = "other", "other"
		w.update(true, fixedWeb, other)
		if w.reg.Withdraw(t.Context(), "nosuch") {
			t.Error("deleted a key of no program")
		}
		if !w.reg.Withdraw(t.Context(), "web") {
			t.Error("no key was deleted")
		}
		w.wantLog("put /other/10.0.0.1:80", "put "+fixedKey, "delete "+fixedKey)
		w.wantReason("the program is being stopped or drained")
		w.after(time.Minute)
		if w.reg.Withdraw(t.Context(), "web") {
			t.Error("deleted twice")
		}
		w.update(true, fixedWeb, other)
		w.wantLog("put /other/10.0.0.1:80", "put "+fixedKey, "delete "+fixedKey, "put "+fixedKey)
	})
}

func TestWithdrawFromAHangingEtcd(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.update(true, fixedWeb)
		w.store.do(func() { w.store.hang = true })
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if w.reg.Withdraw(ctx, "web") {
			t.Error("says that a key was deleted")
		}
		if d := time.Since(began); d != time.Second {
			t.Errorf("took %v, want 1 s", d)
		}
		w.store.do(func() { w.store.hang = false })
		w.after(callTimeout + retryLast)
		w.wantLog("put "+fixedKey, "delete "+fixedKey)
	})
}

// A service that is no longer named loses its key.
func TestServiceRemoved(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.update(true, fixedWeb)
		w.update(true)
		w.wantLog("put "+fixedKey, "delete "+fixedKey)
		if !strings.Contains(w.logged.String(), `reason="it is no longer in the configuration"`) {
			t.Error(w.logged)
		}
	})
}

// A put that a hung member carries out late brings a key back; it is ours, and
// not wanted.
func TestLatePut(t *testing.T) {
	simulate(t, func(_ *testing.T, w *world) {
		w.update(true, fixedWeb)
		w.update(false, fixedWeb)
		w.after(time.Minute)
		w.store.do(func() { w.store.write(fixedKey, w.store.lease) })
		w.after(verifyEvery)
		w.wantLog("put "+fixedKey, "delete "+fixedKey, "delete "+fixedKey)
	})
}

func TestRival(t *testing.T) {
	const foreign = 7
	t.Run("advertised", func(t *testing.T) {
		simulate(t, func(t *testing.T, w *world) {
			w.store.do(func() { w.store.write(fixedKey, foreign) })
			w.update(true, fixedWeb)
			w.wantLog("put " + fixedKey) // the last to bind the port has it
			w.store.do(func() { w.store.write(fixedKey, foreign) })
			w.after(time.Hour)
			w.wantLog("put " + fixedKey)
			w.wantReason("another registrar (lease 7) wrote the same key: give each container an address of its own")
			w.store.do(func() { delete(w.store.keys, fixedKey) })
			w.after(verifyEvery)
			w.wantLog("put "+fixedKey, "put "+fixedKey)
			w.wantReason("")
			if n := strings.Count(w.logged.String(), "msg=\"not registered\""); n != 1 {
				t.Errorf("logged %d times, want once:\n%s", n, w.logged)
			}
		})
	})
	t.Run("new start", func(t *testing.T) {
		simulate(t, func(_ *testing.T, w *world) {
			w.update(true, fixedWeb)
			w.store.do(func() { w.store.write(fixedKey, foreign) })
			w.after(verifyEvery)
			w.update(false, fixedWeb)
			w.update(true, fixedWeb)
			w.wantLog("put "+fixedKey, "put "+fixedKey)
		})
	})
	t.Run("confirmed by Docker", func(t *testing.T) {
		simulate(t, func(_ *testing.T, w *world) {
			w.docker.do(func() { w.docker.ports[8000] = "10.0.0.1:32768" })
			w.update(true, mappedWeb)
			w.store.do(func() { w.store.write(firstKey, foreign) })
			w.after(verifyEvery + time.Millisecond)
			w.wantLog("put "+firstKey, "put "+firstKey)
			for range 60 { // the other one insists every second
				w.store.do(func() { w.store.write(firstKey, foreign) })
				w.after(time.Second)
			}
			w.wantLog("put "+firstKey, "put "+firstKey, "put "+firstKey)
		})
	})
	t.Run("host network", func(t *testing.T) {
		simulate(t, func(_ *testing.T, w *world) {
			w.docker.do(func() { w.docker.host, w.docker.ports[8000] = true, "10.0.0.1:32768" })
			w.update(true, mappedWeb)
			w.store.do(func() { w.store.write(firstKey, foreign) })
			w.after(time.Hour)
			w.wantLog("put " + firstKey)
		})
	})
}

func TestClose(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.update(true, fixedWeb)
		w.reg.Close(t.Context())
		w.store.do(func() {
			if !w.store.closed || len(w.store.keys) != 0 {
				t.Errorf("closed %v, keys %v", w.store.closed, w.store.keys)
			}
		})
		w.update(true, fixedWeb, mappedWeb)
		w.after(time.Minute)
		w.wantLog("put " + fixedKey)
	})
}

func TestCloseOfAHangingEtcd(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.update(true, fixedWeb)
		w.store.do(func() { w.store.hang = true })
		w.after(verifyEvery + time.Second)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w.reg.Close(ctx)
		if d := time.Since(began); d > time.Second {
			t.Errorf("took %v", d)
		}
	})
}

// A pass that panics is over, and the next Run goes on.
func TestPanic(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.update(true, fixedWeb)
		store := w.store
		w.reg.store = panickingStore{}
		if err := func() error { w.stop(); return w.reg.Run(t.Context()) }(); err == nil || !strings.Contains(err.Error(), "panic: boom") {
			t.Errorf("error %v", err)
		}
		w.reg.store = store
		w.run(t)
		w.update(false, fixedWeb)
		w.wantLog("put "+fixedKey, "delete "+fixedKey)
		synctest.Wait()
	})
}

type panickingStore struct{ Store }

func (panickingStore) Renew(context.Context) error { panic("boom") }

func (panickingStore) Read(context.Context, []string) (map[string]Entry, error) { panic("boom") }

// Who only waits for the end of a key takes none away: it may have come back
// meanwhile, as of a program that is no longer drained.
func TestGoneTakesNothingAway(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.update(true, fixedWeb)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w.reg.Gone(ctx, "web")
		if ctx.Err() == nil {
			t.Error("the key is said to be gone")
		}
		w.wantLog("put " + fixedKey)
		w.wantReason("")
		w.update(false, fixedWeb)
		w.reg.Gone(t.Context(), "web")
		w.wantLog("put "+fixedKey, "delete "+fixedKey)
	})
}
