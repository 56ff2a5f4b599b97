package health

import (
	"strings"
	"testing"
	"time"

	"sidekick/config"
)

// answer is one probe: when it began after the start, what it saw ("" is a
// success), and the status and whether it is news afterwards.
type answer struct {
	at     time.Duration
	fault  string
	status Status
	news   bool
}

func TestVerdict(t *testing.T) {
	const s = time.Second
	for _, tc := range []struct {
		name        string
		retries     int
		startPeriod time.Duration // the interval is 5s
		answers     []answer
	}{
		{"the first success is healthy at once", 3, 30 * s, []answer{
			{0, "", Healthy, true}, {5 * s, "", Healthy, false}}},
		{"failures within the first interval do not count", 1, 0, []answer{
			{0, "refused", Starting, true}, {5*s - 1, "refused", Starting, false}, {5 * s, "refused", Unhealthy, true}}},
		{"failures within a longer start period do not count", 1, 10 * s, []answer{
			{10*s - 1, "refused", Starting, true}, {10 * s, "refused", Unhealthy, true}}},
		{"a start period below the interval does not shorten the patience", 1, 1 * s, []answer{
			{4 * s, "refused", Starting, true}, {5 * s, "refused", Unhealthy, true}}},
		{"retries count from the end of the patience", 3, 0, []answer{
			{4 * s, "refused", Starting, true}, {5 * s, "refused", Starting, false},
			{6 * s, "refused", Starting, false}, {7 * s, "refused", Unhealthy, true}}},
		{"after the first success the interval is no patience", 1, 0, []answer{
			{0, "", Healthy, true}, {1 * s, "refused", Unhealthy, true}}},
		{"after the first success the start period still is", 1, 10 * s, []answer{
			{0, "", Healthy, true}, {9 * s, "refused", Healthy, false}, {10 * s, "refused", Unhealthy, true}}},
		{"retries in a row", 3, 0, []answer{
			{0, "", Healthy, true}, {5 * s, "refused", Healthy, false}, {10 * s, "refused", Healthy, false},
			{15 * s, "refused", Unhealthy, true}}},
		{"a success between starts the count anew", 2, 0, []answer{
			{0, "", Healthy, true}, {5 * s, "refused", Healthy, false}, {10 * s, "", Healthy, false},
			{15 * s, "refused", Healthy, false}, {20 * s, "refused", Unhealthy, true}}},
		{"one success is healthy again", 2, 0, []answer{
			{6 * s, "refused", Starting, true}, {7 * s, "refused", Unhealthy, true}, {8 * s, "", Healthy, true},
			{13 * s, "refused", Healthy, false}}},
		{"another output is news but while healthy", 2, 0, []answer{
			{0, "refused", Starting, true}, {1 * s, "503", Starting, true}, {2 * s, "503", Starting, false}, {6 * s, "refused", Starting, true},
			{7 * s, "refused", Unhealthy, true}, {8 * s, "refused", Unhealthy, false}, {9 * s, "503", Unhealthy, true}}},
		{"retries of zero are one", 0, 0, []answer{{6 * s, "refused", Unhealthy, true}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			start := time.Unix(1000, 0)
			v := newVerdict(config.Check{Interval: 5 * s, Retries: tc.retries, StartPeriod: tc.startPeriod}, start)
			if v.status != Starting {
				t.Errorf("it begins %s, want starting", v.status)
			}
			for _, a := range tc.answers {
				news := v.observe(start.Add(a.at), a.fault, a.fault == "")
				if v.status != a.status || news != a.news {
					t.Fatalf("%v %q: %s, news %t; want %s, %t", a.at, a.fault, v.status, news, a.status, a.news)
				}
			}
		})
	}
}

func TestVerdictWait(t *testing.T) {
	start := time.Unix(1000, 0)
	v := newVerdict(config.Check{Interval: 5 * time.Second, StartInterval: time.Millisecond, Retries: 1}, start)
	var got []string
	for i, fault := range []string{"refused", "refused", "", "refused", ""} {
		v.observe(start.Add(time.Duration(i)*10*time.Second), fault, fault == "")
		got = append(got, v.wait().String())
	}
	if got, want := strings.Join(got, " "), "1ms 1ms 5s 5s 5s"; got != want {
		t.Errorf("waits %s, want %s", got, want)
	}
}

func TestVerdictRetuned(t *testing.T) {
	start := time.Unix(1000, 0)
	v := newVerdict(config.Check{Retries: 2}, start)
	v.observe(start, "", true)
	v.observe(start, "refused", false)
	v = v.retuned(config.Check{Retries: 2, Interval: time.Minute})
	if v.status != Healthy || v.wait() != time.Minute {
		t.Errorf("%s, next in %v; want healthy, 1m0s", v.status, v.wait())
	}
	if v.observe(start, "refused", false); v.status != Healthy {
		t.Error("a failure of the old check counted against the new one")
	}
}

// A check that asks something else has not been answered yet: its first
// success is news, though the target was healthy all along.
func TestVerdictOfAnotherProbe(t *testing.T) {
	start := time.Unix(1000, 0)
	v := newVerdict(config.Check{Address: ":1", Retries: 2, StartInterval: time.Second}, start)
	v.observe(start, "", true)
	v = v.retuned(config.Check{Address: ":2", Retries: 2, StartInterval: time.Second})
	if v.status != Healthy || v.wait() != time.Second {
		t.Errorf("%s, next in %v; want healthy, 1s", v.status, v.wait())
	}
	if news := v.observe(start, "refused", false); news || v.status != Healthy {
		t.Errorf("one failure of two: %s, news %t", v.status, news)
	}
	for _, want := range []bool{true, false} {
		if news := v.observe(start, "", true); news != want || v.status != Healthy {
			t.Errorf("a success: %s, news %t; want %t", v.status, news, want)
		}
	}
}
