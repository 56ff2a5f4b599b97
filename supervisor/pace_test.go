package supervisor

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"sidekick/config"
)

// What a thousand programs do one after the other gives few snapshots, and the
// last word of each is in one; what two do gives one for each word.
func TestSnapshotsOfManyProgramsArePaced(t *testing.T) {
	for n, most := range map[int]uint64{2: 8, 1000: 200} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var programs []config.Program
				for i := range n {
					programs = append(programs, prog(fmt.Sprintf("web-%d", i), policy(func(p *config.Policy) { p.MinUptime = 0 })))
				}
				w := newWorld(t, programs...)
				w.quiet = true
				for i, p := range programs {
					w.scripts[p.Name] = []life{{exec: time.Duration(i) * time.Millisecond, stops: time.Millisecond}}
				}
				var sequence uint64
				w.run(0, w.after(3*time.Second, func() {
					snapshot, _ := w.s.Snapshot()
					sequence = snapshot.Sequence
					for _, p := range snapshot.Programs {
						if p.State != Running {
							t.Errorf("%s is %s", p.Name, p.State)
						}
					}
				}), w.terminate)
				if sequence > most || n == 2 && sequence < 4 {
					t.Errorf("%d snapshots", sequence)
				}
			})
		})
	}
}
