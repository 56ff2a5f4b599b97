package registrar

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// published lets Docker map port 8000.
func (w *world) published(address string) {
	w.docker.do(func() { w.docker.ports[8000] = address })
}

func TestMappingMoves(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.published("10.0.0.1:32768")
		w.update(true, mappedWeb)
		w.wantLog("put " + firstKey)
		w.published("10.0.0.1:32769")
		w.after(lookupEvery)
		w.wantLog("put "+firstKey, "delete "+firstKey, "put "+otherKey)
		w.docker.do(func() { clear(w.docker.ports) })
		w.after(lookupEvery)
		w.wantLog("put "+firstKey, "delete "+firstKey, "put "+otherKey, "delete "+otherKey)
		w.wantReason("no address outside: no port 8000/tcp")
		if !strings.Contains(w.logged.String(), `reason="the address is 10.0.0.1:32769 now"`) {
			t.Error(w.logged)
		}
	})
}

func TestLookedUpAtEachRegistration(t *testing.T) {
	simulate(t, func(_ *testing.T, w *world) {
		w.published("10.0.0.1:32768")
		w.update(true, mappedWeb)
		w.update(false, mappedWeb)
		w.published("10.0.0.1:32769")
		w.update(true, mappedWeb)
		w.wantLog("put "+firstKey, "delete "+firstKey, "put "+otherKey)
	})
}

// A failing Docker is no reason to delete a key, a definite answer is.
func TestDockerFails(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.published("10.0.0.1:32768")
		w.update(true, mappedWeb)
		w.docker.do(func() { w.docker.err = errors.New("cannot reach Docker") })
		w.after(time.Hour)
		w.wantLog("put " + firstKey)
		w.wantReason("")
		const warning = "the address is as Docker last said: cannot reach Docker"
		if got := w.reg.Registrations()[0].Warning; got != warning {
			t.Errorf("warning %q, want %q", got, warning)
		}
		if n := strings.Count(w.logged.String(), "not confirmed"); n != 1 {
			t.Errorf("logged %d times, want once:\n%s", n, w.logged)
		}
		w.update(false, mappedWeb)
		w.update(true, mappedWeb)
		w.wantLog("put "+firstKey, "delete "+firstKey, "put "+firstKey)
		w.docker.do(func() { w.docker.err = fmt.Errorf("%w: gone", ErrNotMapped) })
		w.after(lookupEvery)
		w.wantLog("put "+firstKey, "delete "+firstKey, "put "+firstKey, "delete "+firstKey)
		w.wantReason("no address outside: gone")
	})
}

func TestDockerComesLater(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.docker.do(func() { w.docker.err = errors.New("cannot reach Docker: mount it") })
		w.update(true, mappedWeb)
		w.wantReason("cannot reach Docker: mount it")
		w.after(time.Hour)
		if n := strings.Count(w.logged.String(), "not registered"); n != 1 {
			t.Errorf("logged %d times, want once:\n%s", n, w.logged)
		}
		w.docker.do(func() { w.docker.err = nil })
		w.published("10.0.0.1:32768")
		w.after(lookupEvery)
		w.wantLog("put " + firstKey)
	})
}

// A hanging Docker delays no delete, and a registration at a known address by
// a second.
func TestDockerHangs(t *testing.T) {
	simulate(t, func(_ *testing.T, w *world) {
		w.published("10.0.0.1:32768")
		w.update(true, mappedWeb)
		w.docker.do(func() { w.docker.hang = true })
		w.after(lookupEvery + time.Second) // a lookup hangs now
		w.wantLog("put " + firstKey)
		w.update(false, mappedWeb)
		w.wantLog("put "+firstKey, "delete "+firstKey)
		w.docker.do(func() { w.docker.hang = false })
		w.after(time.Minute)
		w.docker.do(func() { w.docker.hang = true })
		w.update(true, mappedWeb)
		w.after(lookupPatient)
		w.wantLog("put "+firstKey, "delete "+firstKey, "put "+firstKey)
	})
}

func TestAdvertisedAddressAsksNobody(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.update(true, fixedWeb)
		w.after(time.Hour)
		if w.docker.asked != 0 {
			t.Errorf("Docker was asked %d times", w.docker.asked)
		}
	})
}

func TestNoMapper(t *testing.T) {
	simulate(t, func(_ *testing.T, w *world) {
		w.reg.mapper = nil
		w.update(true, mappedWeb)
		w.wantReason("no address: set advertise.ip and advertise.port")
	})
}

// prepare returns how long Prepare took, with a second at most.
func (w *world) prepare() time.Duration {
	began := time.Now()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
	defer cancel()
	w.reg.Prepare(ctx, "web")
	return time.Since(began)
}

// The supervisor may start a program that a reload added just before it tells.
func TestPrepareWaitsUntilTheProgramIsNamed(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.store.do(func() { w.store.write(fixedKey, 7) })
		w.update(false)
		time.AfterFunc(100*time.Millisecond, func() { w.reg.Update([]Fact{{Service: fixedWeb}}) })
		if took := w.prepare(); took != 100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		w.wantLog("sweep " + fixedKey)
		if took := w.prepare(); took != 0 {
			t.Errorf("the second time it took %v", took)
		}
	})
}

func TestPrepareDeletesALeftover(t *testing.T) {
	for name, s := range map[string]Service{firstKey: mappedWeb, fixedKey: fixedWeb} {
		simulate(t, func(t *testing.T, w *world) {
			w.published("10.0.0.1:32768")
			w.store.do(func() { w.store.write(name, 7) })
			w.update(false, s)
			if d := w.prepare(); d != 0 {
				t.Errorf("took %v", d)
			}
			w.wantLog("sweep " + name)
			w.store.do(func() { w.store.write(name, 8) })
			if d := w.prepare(); d != 0 {
				t.Errorf("the second time took %v", d)
			}
			w.after(time.Minute)
			w.wantLog("sweep " + name)
		})
	}
}

func TestPrepareWithoutALeftover(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.update(false, fixedWeb)
		if d := w.prepare(); d != 0 {
			t.Errorf("took %v", d)
		}
		w.wantLog()
	})
}

func TestPrepareBlackHoled(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.docker.do(func() { w.docker.hang = true })
		w.store.do(func() { w.store.hang = true })
		w.update(false, mappedWeb, fixedWeb)
		if d := w.prepare(); d != time.Second {
			t.Errorf("took %v, want 1 s", d)
		}
	})
}

// Without an address there is nothing to wait for.
func TestPrepareWithoutDocker(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.docker.do(func() { w.docker.err = errors.New("not mounted") })
		w.update(false, mappedWeb)
		if d := w.prepare(); d != 0 {
			t.Errorf("took %v", d)
		}
	})
}

// Prepare is over before etcd answers, and the key goes all the same, unless
// the program came up first.
func TestLeftoverIsFoundLate(t *testing.T) {
	for name, up := range map[string]bool{"starting": false, "up": true} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(_ *testing.T, w *world) {
				w.store.do(func() { w.store.write(fixedKey, 7); w.store.fail = ErrNoAnswer })
				w.update(false, fixedWeb)
				w.prepare()
				if up {
					w.update(true, fixedWeb)
				}
				w.store.do(func() { w.store.fail = nil })
				w.after(retryLast)
				if up {
					w.wantLog("put " + fixedKey)
				} else {
					w.wantLog("sweep " + fixedKey)
				}
			})
		})
	}
}

// Pending is what a command that brings a program up waits for: it ends when the
// key is there, and when it cannot come.
func TestPending(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		want := func(when string, pending bool) {
			t.Helper()
			if got := w.reg.Registrations()[0]; got.Pending != pending {
				t.Errorf("%s: pending %v, reason %q", when, got.Pending, got.Reason)
			}
		}
		w.published("10.0.0.1:32768")
		w.docker.do(func() { w.docker.hang = true })
		w.update(false, mappedWeb)
		want("down", false)
		w.update(true, mappedWeb)
		want("Docker is being asked", true)
		w.docker.do(func() { w.docker.hang = false })
		w.after(time.Minute)
		want("the key is there", false)
		w.store.do(func() { w.store.hang = true })
		w.update(false, mappedWeb)
		w.docker.do(func() { clear(w.docker.ports) })
		w.update(true, mappedWeb)
		w.after(time.Minute)
		want("Docker knows no such port", false)
		w.published("10.0.0.1:32768")
		w.after(time.Minute)
		want("etcd is being asked", true)
	})
}
