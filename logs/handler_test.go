package logs

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
	"testing/slogtest"
	"time"
)

func TestHandler(t *testing.T) {
	var out bytes.Buffer
	h := NewHandler(&out, false)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tc := range []struct {
		level   slog.Level
		message string
		args    []any
		want    string
	}{
		{slog.LevelInfo, "program started", []any{"program", "web", "pid", 12}, "03:04:05 INFO  program started program=web pid=12\n"},
		{slog.LevelError, "no\nway\x1b[2J", []any{"reason", "two words", "error", errors.New(`a "b"`)},
			"03:04:05 ERROR no\\nway\\x1b[2J reason=\"two words\" error=\"a \\\"b\\\"\"\n"},
		{slog.LevelWarn, "empty", []any{"a", "", "b", []string{"x", "y"}, "c", "k=v", "d", "\x1b[2J", "e", time.Second},
			"03:04:05 WARN  empty a=\"\" b=\"[x y]\" c=\"k=v\" d=\"\\x1b[2J\" e=1s\n"},
	} {
		out.Reset()
		r := slog.NewRecord(at, tc.level, tc.message, 0)
		r.Add(tc.args...)
		if err := h.Handle(t.Context(), r); err != nil || out.String() != tc.want {
			t.Errorf("%q, want %q (%v)", out.String(), tc.want, err)
		}
	}
	out.Reset()
	slog.New(NewHandler(&out, true)).Warn("careful")
	if !bytes.Contains(out.Bytes(), []byte(" \x1b[33mWARN\x1b[0m  careful\n")) {
		t.Errorf("%q", out.String())
	}
	slog.New(h).Debug("nobody sees this")
}

// What every handler of slog has to do, read back from the text.
func TestHandlerIsAHandler(t *testing.T) {
	var out bytes.Buffer
	slogtest.Run(t, func(t *testing.T) slog.Handler { out.Reset(); return NewHandler(&out, false) }, func(t *testing.T) map[string]any {
		return parse(out.String())
	})
}

// parse reads a line without blanks in its values.
func parse(line string) map[string]any {
	all := map[string]any{}
	for i, word := range bytes.Fields([]byte(line)) {
		key, value, pair := bytes.Cut(word, []byte("="))
		switch {
		case !pair && bytes.Count(word, []byte(":")) == 2 && i == 0:
			all[slog.TimeKey] = string(word)
		case !pair && all[slog.LevelKey] == nil:
			all[slog.LevelKey] = string(word)
		case !pair:
			all[slog.MessageKey] = string(word)
		default:
			within := all
			names := bytes.Split(key, []byte("."))
			for _, name := range names[:len(names)-1] {
				if within[string(name)] == nil {
					within[string(name)] = map[string]any{}
				}
				within = within[string(name)].(map[string]any)
			}
			within[string(names[len(names)-1])] = string(value)
		}
	}
	return all
}
