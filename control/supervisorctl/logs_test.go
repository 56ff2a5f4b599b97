package supervisorctl

import (
	"fmt"
	"strings"
	"testing"

	"sidekick/config"
	"sidekick/logs"
)

// Reading parts of a log. The expected answers are those of supervisor/options.py,
// readFile and tailFile, for a file with these bytes.
func TestRead(t *testing.T) {
	w := newWorld(running("web"))
	w.streams[source{"web", logs.Stdout}] = []byte("0123456789")
	w.streams[source{"web", logs.Stderr}] = []byte("err")
	w.streams[ownMessages] = []byte("own")
	s := w.server()
	for _, c := range []struct {
		method string
		args   []any
		want   string
	}{
		{"readProcessStdoutLog", []any{"web", -4, 0}, "6789"},
		{"readProcessStdoutLog", []any{"web", -1600, 0}, "0123456789"},
		{"readProcessStdoutLog", []any{"web", 0, 0}, "0123456789"},
		{"readProcessStdoutLog", []any{"web", 3, 0}, "3456789"},
		{"readProcessStdoutLog", []any{"web", 3, 2}, "34"},
		{"readProcessStdoutLog", []any{"web", 30, 2}, ""},
		{"readProcessStdoutLog", []any{"web", -4, 2}, "BAD_ARGUMENTS"},
		{"readProcessStdoutLog", []any{"web", 4, -2}, "BAD_ARGUMENTS"},
		{"readProcessLog", []any{"web:web", 9, 5}, "9"},
		{"readProcessStderrLog", []any{"web", -2, 0}, "rr"},
		{"readProcessStdoutLog", []any{"no", 0, 0}, "BAD_NAME: no"},
		{"readProcessStdoutLog", []any{"web:*", 0, 0}, "BAD_NAME: web:*"},
		{"tailProcessStdoutLog", []any{"web", 0, 4}, "[6789 10 true]"},
		{"tailProcessStdoutLog", []any{"web", 0, 100}, "[0123456789 10 false]"},
		{"tailProcessStdoutLog", []any{"web", 6, 4}, "[6789 10 false]"},
		{"tailProcessStdoutLog", []any{"web", 8, 4}, "[6789 10 false]"},
		{"tailProcessStdoutLog", []any{"web", 10, 4}, "[ 10 false]"},
		{"tailProcessStdoutLog", []any{"web", 3, 0}, "[ 10 true]"},
		{"tailProcessLog", []any{"web", 0, 1}, "[9 10 true]"},
		{"tailProcessStderrLog", []any{"web", 0, 9}, "[err 3 false]"},
		{"tailProcessStderrLog", []any{"no", 0, 9}, "BAD_NAME: no"},
		{"readLog", []any{0, 0}, "own"},
		{"readMainLog", []any{-2, 0}, "wn"},
	} {
		if got := fmt.Sprint(s.says(t, c.method, c.args...)); got != c.want {
			t.Errorf("%s%v: %q, want %q", c.method, c.args, got, c.want)
		}
	}
}

// Offsets count from the beginning, or from the last clear, also when the oldest
// bytes are no longer kept.
func TestReadOfWhatIsLeft(t *testing.T) {
	w := newWorld(running("web"))
	s := w.server()
	f := file{size: 100, kept: []byte("0123456789")} // bytes 90 to 99
	for _, c := range [][3]any{{-3, 0, "789"}, {-50, 0, "0123456789"}, {0, 0, "0123456789"}, {0, 93, "012"}, {95, 2, "56"}, {0, 50, ""}} {
		if got, err := f.read(c[0].(int), c[1].(int)); got != c[2] || err != nil {
			t.Errorf("%v %v: %q, %v", c[0], c[1], got, err)
		}
	}
	stdout := source{"web", logs.Stdout}
	w.streams[stdout] = []byte("before\n")
	s.says(t, "clearProcessLogs", "web")
	w.streams[stdout] = []byte("before\nafter\n") // what the collector calls the whole
	if got := s.says(t, "readProcessStdoutLog", "web", 0, 0); got != "after\n" {
		t.Errorf("after a clear: %q", got)
	}
	if got := s.says(t, "readProcessStdoutLog", "web", 2, 2); got != "te" {
		t.Errorf("from an offset: %q", got)
	}
	w.streams[stdout] = []byte("new\n") // of a later program of the same name
	if got := s.says(t, "readProcessStdoutLog", "web", 0, 0); got != "new\n" {
		t.Errorf("of another: %q", got)
	}
}

func TestClear(t *testing.T) {
	w := newWorld(running("web"), running("db"))
	s := w.server()
	for _, c := range []struct {
		method string
		args   []any
		want   string
	}{
		{"clearProcessLogs", []any{"web"}, "true"},
		{"clearProcessLog", []any{"no"}, "BAD_NAME: no"},
		{"clearAllProcessLogs", nil, "db:db 80 OK, web:web 80 OK"},
		{"clearLog", nil, "true"},
	} {
		if got := listed(s.says(t, c.method, c.args...)); got != c.want {
			t.Errorf("%s%v: %s, want %s", c.method, c.args, got, c.want)
		}
	}
	want := "clear web stdout, clear web stderr, clear db stdout, clear db stderr, clear web stdout, clear web stderr, clear  "
	if got := strings.Join(w.calls, ", "); got != want {
		t.Errorf("did %q", got)
	}
}

// Nobody reads along with a program that has our own stdout.
func TestNoLog(t *testing.T) {
	w := newWorld(running("web"))
	w.programs[0].Config.Policy.Logging.To = config.LogInherit
	s := w.server()
	if got := s.says(t, "readProcessStdoutLog", "web", 0, 0); got != "NO_FILE: web writes to sidekick's own stdout and stderr" {
		t.Error(got)
	}
	if got := fmt.Sprint(s.says(t, "tailProcessStdoutLog", "web", 0, 0)); got != "[ 0 false]" {
		t.Error(got)
	}
}

func TestLastLines(t *testing.T) {
	line := strings.Repeat("x", 99) + "\n"
	for _, c := range []struct {
		data        string
		lines, skip int
	}{
		{"", 0, 0}, {"a\n", 1, 0}, {strings.Repeat(line, 10), 10, 0}, {strings.Repeat(line, 20), 11, 76},
		{strings.Repeat("y", 2000) + "\n", 1, 977}, {line + strings.Repeat("z", 1023) + "\n", 1, 0},
	} {
		if lines, skip := lastLines([]byte(c.data)); lines != c.lines || skip != c.skip {
			t.Errorf("%.20q of %d: %d lines, skip %d, want %d and %d", c.data, len(c.data), lines, skip, c.lines, c.skip)
		}
	}
}
