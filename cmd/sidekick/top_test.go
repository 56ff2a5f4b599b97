package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sidekick/control"
	"sidekick/procstat"
)

// crowd is so many busy programs, each busier than the one before.
func crowd(n int) (all []control.Program) {
	for i := range n {
		all = append(all, control.Program{Name: fmt.Sprintf("a-program-with-a-long-name-%03d", i), State: "RUNNING", Pid: 4_000_000 + i,
			UptimeSeconds: 86400 * 11, Health: &control.Health{Status: "unhealthy", Output: "refused"},
			Stats: &procstat.Stat{CPUPercent: float64(i), CPUSeconds: float64(i), MemoryBytes: 999 << 20, Threads: 1234, FDs: 1234}})
	}
	return all
}

func TestTopFits(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {40, 4}, {200, 60}} {
		columns, rows := size[0], size[1]
		top := top{before: map[string]usage{}, colours: true}
		lines := fit(top.lines(crowd(100), time.Now(), columns, rows), columns, rows)
		if len(lines) > rows {
			t.Errorf("%d lines on a terminal of %d", len(lines), rows)
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(withoutColours(line)); n > columns {
				t.Errorf("%d columns on a terminal of %d: %q", n, columns, line)
			}
		}
	}
	lines := (&top{before: map[string]usage{}}).lines(crowd(100), time.Now(), 80, 24)
	if !strings.Contains(lines[2], "99.0") || lines[23] != "… and 79 more" {
		t.Errorf("the busiest is not first, or the rest is not counted:\n%s", strings.Join(lines, "\n"))
	}
	for i, name := range []string{"099", "098", "097"} { // names that begin alike can be told apart
		if line := fit(lines, 80, 24)[2+i]; !strings.Contains(line, "unhealthy") || !strings.Contains(line, name+"  ") {
			t.Errorf("health or the end of the name does not fit into 80 columns: %q", line)
		}
	}
}

// The first picture has the average, the next ones what happened since.
func TestTopCPU(t *testing.T) {
	top := top{before: map[string]usage{}}
	p := control.Program{Name: "web", Pid: 7, Stats: &procstat.Stat{CPUPercent: 50, CPUSeconds: 10}}
	now := time.Now()
	for _, c := range []struct {
		pid     int
		seconds float64
		want    float64
	}{
		{7, 10, 50}, {7, 11, 50}, {7, 15, 200}, {7, 12, 0}, {8, 3, 50}, {8, 3, 0},
	} {
		p.Pid, p.Stats.CPUSeconds = c.pid, c.seconds
		if got := top.busy(p, now); got != c.want {
			t.Errorf("%+v: %v%%", c, got)
		}
		now = now.Add(2 * time.Second)
	}
	p.Stats = nil
	if got := top.busy(p, now); got != 0 || len(top.before) != 0 {
		t.Errorf("a program without a process uses %v%%", got)
	}
}

func TestShortName(t *testing.T) {
	for _, c := range []struct {
		name string
		room int
		want string
	}{
		{"web", 8, "web"}, {"queue-01", 8, "queue-01"}, {"queue-worker-01", 8, "que…r-01"}, {"queue-worker-01", 11, "queue…er-01"}, {"ünïcödé-wörker", 8, "ünï…rker"},
	} {
		if got := shortName(c.name, c.room); got != c.want {
			t.Errorf("%s in %d columns is %s", c.name, c.room, got)
		}
	}
}

func withoutColours(text string) string {
	for _, sgr := range []string{bold, dim, red, green, yellow, "0"} {
		text = strings.ReplaceAll(text, "\x1b["+sgr+"m", "")
	}
	return text
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		line string
		n    int
		want string
	}{
		{"abc", 5, "abc"}, {"abcdef", 3, "ab…"}, {"abc", 3, "abc"}, {"äöü", 2, "ä…"}, {"abc", 0, ""}, {"", 3, ""},
		{"\x1b[32mabcdef\x1b[0m", 3, "\x1b[32mab\x1b[0m…"}, {"ab\x1b", 5, "ab"},
	} {
		if got := cut(c.line, c.n); got != c.want {
			t.Errorf("cut(%q, %d) = %q", c.line, c.n, got)
		}
	}
}

func TestShortAge(t *testing.T) {
	var got []string
	for _, seconds := range []int{-1, 0, 59, 60, 3599, 3600, 86399, 86400, 90061} {
		got = append(got, shortAge(time.Duration(seconds)*time.Second))
	}
	if want := strings.Fields("0s 0s 59s 1m0s 59m59s 1h0m 23h59m 1d0h 1d1h"); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[uint64]string{0: "0B", 18: "18B", 1023: "1023B", 1024: "1KiB", 1 << 20: "1.0MiB", 1536 << 20: "1.5GiB", 4096: "4KiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d is %s", n, got)
		}
	}
}
