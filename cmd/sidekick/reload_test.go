package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sidekick/config"
)

// A file that is wrong changes nothing, and the error lists all that is wrong.
// The reloader here could not change anything: it has no supervisor.
func TestReloadOfBadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sidekick.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var log strings.Builder
	r := &reloader{path: path, log: slog.New(slog.NewTextHandler(&log, nil))}
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"syntax":         {"programs: {", []string{path + ":1"}},
		"two problems":   {"programs: {web: {comand: x, nice: fast}}\n", []string{"programs.web.comand", "programs.web.nice"}},
		"unset variable": {"programs: {web: {command: 'sleep ${NOT_SET_ANYWHERE}'}}\n", []string{"NOT_SET_ANYWHERE"}},
		"cycle":          {"programs: {a: {command: x, depends_on: [b]}, b: {command: x, depends_on: [a]}}\n", []string{"a", "b"}},
		"empty":          {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			write(c.text)
			for _, dryRun := range []bool{true, false} {
				plan, err := r.Reload(t.Context(), dryRun)
				if err == nil || !strings.HasPrefix(err.Error(), "cannot reload, nothing was changed:") {
					t.Fatalf("%v, %v", plan, err)
				}
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%q is not in: %v", want, err)
					}
				}
			}
			log.Reset()
			r.hangup(t.Context())
			if text := log.String(); !strings.Contains(text, "level=ERROR") || strings.Count(text, "\n") != 1 || !strings.Contains(text, "file="+path) {
				t.Errorf("SIGHUP logs %q", text)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Reload(t.Context(), false); err == nil || !strings.Contains(err.Error(), "cannot reload, nothing was changed:") {
			t.Error(err)
		}
	})
}

// supervisorctl takes the file over step by step: not when somebody else reloads it
// in between.
func TestSwapOfWhatRunsNoLonger(t *testing.T) {
	r := &reloader{current: &config.Config{}}
	if _, err := r.Swap(t.Context(), &config.Config{}, &config.Config{}); err == nil || !strings.Contains(err.Error(), "reloaded in the meantime") {
		t.Error(err)
	}
}

// A reload that nobody waits for any more has either not begun or is carried out.
func TestSwapIsNotBegunForWhoIsGone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := &reloader{} // with nothing that could be changed
	if _, err := r.swap(ctx, &config.Config{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
