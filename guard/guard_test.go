package guard_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sidekick/guard"
)

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

func TestRunReturnsWhenTheFunctionIsDone(t *testing.T) {
	calls := 0
	guard.Run(t.Context(), silent, "part", func(context.Context) error { calls++; return nil })
	if calls != 1 {
		t.Errorf("%d calls, want 1", calls)
	}
}

func TestRunAfterTheEndCallsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	guard.Run(ctx, silent, "part", func(context.Context) error { t.Error("called"); return nil })
}

func TestRunBacksOff(t *testing.T) {
	fail := func() error { return errors.New("broken") }
	blowUp := func() error { panic("broken") }
	for name, end := range map[string]func() error{"error": fail, "panic": blowUp} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				want := []time.Duration{0, ms(100), ms(200), ms(400), ms(800), ms(1600), ms(3200),
					ms(6400), ms(12800), ms(25600), ms(30000), ms(30000)}
				if got := delays(t, len(want), 0, end); !slices.Equal(got, want) {
					t.Errorf("delays %v\nwant   %v", got, want)
				}
			})
		})
	}
}

func TestRunStartsAnewAfterALongRun(t *testing.T) {
	for _, tc := range []struct {
		name string
		run  time.Duration
		want []time.Duration
	}{
		{"30s is long", 30 * time.Second, []time.Duration{0, ms(100), ms(100), ms(100)}},
		{"less is not", 30*time.Second - 1, []time.Duration{0, ms(100), ms(200), ms(400)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := delays(t, len(tc.want), tc.run, func() error { return errors.New("broken") })
				if !slices.Equal(got, tc.want) {
					t.Errorf("delays %v, want %v", got, tc.want)
				}
			})
		})
	}
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// delays lets a guarded function run n times for the time given, each ended by
// end, and returns how long the guard waited before each.
func delays(t *testing.T, n int, run time.Duration, end func() error) (waits []time.Duration) {
	t.Helper()
	last := time.Now()
	guard.Run(t.Context(), silent, "part", func(context.Context) error {
		waits = append(waits, time.Since(last))
		if len(waits) == n {
			return nil
		}
		time.Sleep(run) // the bubble's clock: this is the run, not a synchronisation
		last = time.Now()
		return end()
	})
	return waits
}

func TestRunEndsWithItsContext(t *testing.T) {
	for _, tc := range []struct {
		name string
		fn   func(context.Context) error
	}{
		{"while the function runs", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
		{"while it waits", func(context.Context) error { return errors.New("broken") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// 150 ms lies inside the second wait, from 100 to 300 ms.
				ctx, cancel := context.WithTimeout(t.Context(), ms(150))
				defer cancel()
				start := time.Now()
				guard.Run(ctx, silent, "part", tc.fn)
				if took := time.Since(start); took != ms(150) {
					t.Errorf("returned after %v, want 150ms", took)
				}
			})
		})
	}
}

func TestRunLogsTheCause(t *testing.T) {
	for _, tc := range []struct {
		name string
		fn   func() error
		want []string
	}{
		{"error", func() error { return errors.New("no such thing") }, []string{"level=ERROR", "part=lamp", "no such thing"}},
		{"panic", explode, []string{"level=ERROR", "part=lamp", "out of oil", "guard_test.explode"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				first := true
				guard.Run(t.Context(), slog.New(slog.NewTextHandler(&out, nil)), "lamp", func(context.Context) error {
					if !first {
						return nil
					}
					first = false
					return tc.fn()
				})
				for _, part := range tc.want {
					if !strings.Contains(out.String(), part) {
						t.Errorf("the log lacks %q:\n%s", part, out.String())
					}
				}
			})
		})
	}
}

func TestRunIsQuietAboutAnErrorAfterTheEnd(t *testing.T) {
	var out bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	guard.Run(ctx, slog.New(slog.NewTextHandler(&out, nil)), "lamp", func(ctx context.Context) error {
		cancel()
		return ctx.Err()
	})
	if out.Len() != 0 {
		t.Errorf("logged %s", out.String())
	}
}

func explode() error { panic("out of oil") }
