package supervisor

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/config"
	"sidekick/supervisor/child"
)

// tallyOf reads the newest published Tally.
func (w *world) tallyOf(name string, into *Tally) func() {
	return func() {
		synctest.Wait()
		snapshot, _ := w.s.Snapshot()
		st, ok := snapshot.Program(name)
		if !ok {
			w.t.Errorf("there is no program %s", name)
			return
		}
		*into = st.Tally
	}
}

// A Tally only grows, across restarts by whomever and across reloads.
func TestTally(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, prog("web"), prog("other"))
		w.scripts["web"] = []life{
			{ends: 100 * time.Millisecond, exit: exitCode(3)},
			{fail: unix.ENOENT},
			{ends: 100 * time.Millisecond, exit: exitCode(3)},
			{},
		}
		var early, late, other Tally
		w.run(0,
			w.after(time.Second, w.tallyOf("web", &early)),
			w.do(Restart, "web"),
			w.after(time.Second, w.reload(prog("web", environment("A=1")), prog("other"))),
			w.after(time.Second, w.tallyOf("web", &late)),
			w.tallyOf("other", &other),
			w.terminate)
		three := child.Exit{Code: 3}
		if early.Restarts != 3 || early.FailedStarts != 1 || early.CPU != 200*time.Millisecond || !maps.Equal(early.Exits, map[child.Exit]uint64{three: 2}) {
			t.Errorf("after a second: %+v", early)
		}
		if late.Restarts != 3 || late.FailedStarts != 1 || late.CPU != 400*time.Millisecond ||
			!maps.Equal(late.Exits, map[child.Exit]uint64{three: 2, {Signal: unix.SIGTERM}: 2}) || !late.Since.Equal(early.Since) {
			t.Errorf("after a restart and a reload: %+v", late)
		}
		if other.Restarts != 0 || len(other.Exits) != 0 || other.Since.IsZero() {
			t.Errorf("of a program that nothing happened to: %+v", other)
		}
	})
}

// What is removed and comes back begins anew, and says so.
func TestTallyOfAProgramThatComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var first, second Tally
		w := newWorld(t, prog("web"), prog("other"))
		w.scripts["web"] = []life{{ends: 100 * time.Millisecond, exit: exitCode(3)}, {}}
		both := []config.Program{prog("web"), prog("other")}
		w.run(0,
			w.after(5*time.Second, w.tallyOf("web", &first)),
			w.reload(prog("other")),
			w.after(time.Second, w.reload(both...)),
			w.after(time.Second, w.tallyOf("web", &second)),
			w.terminate)
		if first.Restarts != 1 || second.Restarts != 0 || !second.Since.After(first.Since) {
			t.Errorf("first %+v, then %+v", first, second)
		}
	})
}
