package health

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sidekick/config"
)

func TestLatencies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.Latencies = &Latencies{}
		b.answers(func(ctx context.Context, c config.Check) (string, error) {
			time.Sleep(ms(25)) // the bound itself belongs to the bucket
			return refuse(ctx, c)
		})
		b.Set([]Target{web(1)})
		b.until(ms(100)) // one probe
		b.answers(hang)
		b.until(ms(3300)) // one that takes its whole timeout
		b.answers(pass)
		b.until(ms(4000))
		b.answers(hang)
		b.until(ms(9000))
		b.Set([]Target{web(2)}) // breaks one off, and begins the next, which hangs as well
		b.until(ms(9500))
		got := b.Latencies.All()["web"]
		want := Latency{Count: 3, Failed: 2, Sum: ms(3025)}
		want.Buckets[0], want.Buckets[2], want.Buckets[6] = 1, 1, 1
		if got != want {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		b.Latencies.Forget(func(program string) bool { return program != "web" })
		if left := b.Latencies.All(); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}
