package registrar

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sidekick/events"
)

// Every key that comes or goes is an event, and so is the reason why one does
// not come, once.
func TestEvents(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.update(false, fixedWeb)
		w.update(true, fixedWeb)
		w.store.do(func() { delete(w.store.keys, fixedKey) })
		w.after(verifyEvery)
		w.reg.Update([]Fact{{Service: fixedWeb, Reason: "drained by command"}})
		w.settle()
		w.store.do(func() { w.store.fail = fmt.Errorf("%w: refused", ErrNoAnswer) })
		w.update(true, fixedWeb)
		w.after(time.Minute)
		w.store.do(func() { w.store.fail = nil })
		w.after(time.Minute)
		var got []string
		for _, e := range w.events {
			got = append(got, fmt.Sprintf("%s %s %s>%s %s %s", e.Type, e.Program, e.From, e.To, e.Key, e.Reason))
		}
		const key = " " + fixedKey + " "
		want := []string{
			"registration web unregistered>registered" + key,
			"registration web registered>unregistered" + key + "somebody deleted or changed the key, or etcd lost its lease",
			"registration web unregistered>registered" + key,
			"registration web registered>unregistered" + key + "drained by command",
			"registration web unregistered>unregistered" + key + ErrNoAnswer.Error() + ": refused: check registry.etcd.endpoints; it is tried again",
			"registration web unregistered>registered" + key,
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// A key that etcd refused never was: nothing tells of its end.
func TestRefusedKeyHasNoEnd(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.store.do(func() { w.store.fail = errors.New("permission denied") })
		w.update(true, fixedWeb)
		w.store.do(func() { w.store.fail = nil })
		w.reg.Update([]Fact{{Service: fixedWeb, Reason: "the program is STOPPING"}})
		w.settle()
		for _, e := range w.events {
			if e.From == events.Registered {
				t.Errorf("event %+v", e)
			}
		}
	})
}
