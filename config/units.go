package config

import (
	"fmt"
	"time"
)

// maxDuration keeps sums of durations far from overflow.
const maxDuration = 365 * 24 * time.Hour

// ParseDuration reads a duration in Go's notation (500ms, 5s, 1h30m) from
// least to one year. The error says which of the two it is not.
func ParseDuration(s string, least time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s is not a duration: write a number with a unit, like 500ms or 5s", quote(s))
	case d < 0:
		return 0, fmt.Errorf("%s is negative", s)
	case d < least:
		return 0, fmt.Errorf("%s is too short: at least %s", s, least)
	case d > maxDuration:
		return 0, fmt.Errorf("%s is too long: at most %s", s, maxDuration)
	}
	return d, nil
}

// duration makes a reader of durations of at least this long.
func duration(least time.Duration) func(value) (time.Duration, bool) {
	return text(func(s string) (time.Duration, error) { return ParseDuration(s, least) })
}

// wholeSeconds is duration without fractions: an etcd lease has none.
func wholeSeconds(least time.Duration) func(value) (time.Duration, bool) {
	return text(func(s string) (time.Duration, error) {
		d, err := ParseDuration(s, least)
		if err == nil && d%time.Second != 0 {
			return 0, fmt.Errorf("%s must be whole seconds", s)
		}
		return d, err
	})
}
