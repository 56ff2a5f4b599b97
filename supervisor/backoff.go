package supervisor

import (
	"time"

	"sidekick/config"
)

// streak counts what the restart policy needs to know of earlier runs.
type streak struct {
	restarts int  // in a row, without a run of reset_after
	quick    int  // quick ends in a row: the exponent of the delay
	rested   bool // the last run was long enough: restart at once
}

// ended records a run of the given length.
func (s *streak) ended(ran time.Duration, b config.Backoff) {
	s.rested = ran >= b.ResetAfter
	if s.rested {
		*s = streak{rested: true}
	}
}

// delay is the time before the next start. random is from [0, 1).
func (s *streak) delay(b config.Backoff, random float64) time.Duration {
	if s.rested {
		return 0
	}
	delay := float64(b.Initial)
	for range s.quick {
		if delay *= b.Factor; delay >= float64(b.Max) {
			break
		}
	}
	s.quick++
	delay = min(delay, float64(b.Max))
	return time.Duration(delay * (1 + b.Jitter*(2*random-1)))
}
