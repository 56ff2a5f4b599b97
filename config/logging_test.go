package config

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "1000B": 1000, "10MB": 10_000_000, "10MiB": 10 << 20, "10 mib": 10 << 20,
		"512k": 512 << 10, "5kB": 5000, "5KB": 5000, "5KiB": 5 << 10, "1.5GiB": 3 << 29, "2GB": 2_000_000_000, "3g": 3 << 30,
		"": -1, "MB": -1, "10XB": -1, "-1": -1, "1e3": -1, "0x10": -1, "10MBMB": -1, "10M B": -1, "inf": -1, "nan": -1,
		"1.2.3MB": -1, "99999999999GB": -1, "1_000": -1, "+5": -1, "1iB": -1, " 1": -1,
	} {
		n, err := ParseSize(text)
		if err != nil {
			n = -1
		}
		if n != want {
			t.Errorf("%q is %d, %v; want %d", text, n, err, want)
		}
	}
}

func TestLoggingPerCopy(t *testing.T) {
	c := parse(t, "programs: {web: {command: x, replicas: 2, logging: {to: file, path: 'log/${REPLICA}.log'}}}")
	if a, b := c.Programs[0].Policy.Logging.Path, c.Programs[1].Policy.Logging.Path; a == b {
		t.Errorf("both log to %s", a)
	}
}

// Only from or to inherit needs a new process, whose descriptors differ.
func TestLoggingDiff(t *testing.T) {
	with := func(logging string) *Config {
		return parse(t, "programs: {web: {command: x, logging: "+logging+"}}")
	}
	for _, tc := range []struct {
		before, after string
		relaunched    bool
	}{
		{"{}", "{to: none}", false},
		{"{}", "{format: json}", false},
		{"{to: none}", "{to: file, path: /a}", false},
		{"{to: file, path: /a}", "{to: file, path: /b, max_size: 1MB, max_files: 2}", false},
		{"{}", "{to: inherit}", true},
		{"{to: inherit}", "{to: none}", true},
	} {
		plan := Diff(with(tc.before), with(tc.after))
		want := Plan{Changes: map[string][]string{"web": {"logging"}}}
		if tc.relaunched {
			want.Relaunched = []string{"web"}
		} else {
			want.Retuned = []string{"web"}
		}
		if d := cmp.Diff(want, plan); d != "" {
			t.Errorf("%s to %s: %s", tc.before, tc.after, d)
		}
	}
}

func TestLoggingWarnings(t *testing.T) {
	c := parse(t, "programs: {web: {command: /bin/true, logging: {to: none, path: /a}}}")
	want := "programs.web.logging.path: a path has no effect with to: none; write to: file"
	if got := Warnings(c); !slices.Contains(got, want) {
		t.Errorf("%q, want %q among them", got, want)
	}
}
