package convert

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"sidekick/config"
)

func seeds(f *testing.F) {
	for _, pattern := range []string{"testdata/cases/*.conf", "testdata/bad/*.conf"} {
		files, _ := filepath.Glob(pattern)
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(data))
		}
	}
	const a = "[program:a]\ncommand=a\n"
	for _, options := range []string{"user=a:-b", "user=%(process_num)2d", "stopwaitsecs=9223372036854775807", "environment=" + strings.Repeat("A", 1025) + "=b"} {
		f.Add(a + options + "\n")
	}
}

// FuzzINI: no text panics, and what was read is in order: every option has its
// line, and a name that nobody else in its section has.
func FuzzINI(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		p := newINI()
		err := p.parse("f", text)
		if problems, ok := errors.AsType[Problems](err); err != nil && (!ok || len(problems) == 0) {
			t.Fatal(err)
		}
		lines := strings.Count(newlines.Replace(text), "\n") + 1
		for _, s := range append(p.sections, p.defaults) {
			for _, o := range s.options {
				if o.line < 1 || o.line > lines || s.find(o.name) != o || o.name == "" || strings.ContainsAny(o.value, "\r") {
					t.Errorf("[%s] %+v", s.name, o)
				}
			}
		}
	})
}

// FuzzConvert: whatever comes in gives an error about it or a configuration that
// is accepted, and no option is lost on the way. Only where a variable is part of
// a value may the error be that of our own check of the result: it takes a sample
// for the variable, and none makes %(ENV_X)sEN a signal.
func FuzzConvert(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || strings.Contains(text, "include") {
			return // File refuses the first; the second reads files of this machine
		}
		c := newConverter("/here", func(string) (string, bool) { return "", false })
		result, err := c.convert("f.conf", text)
		if errors.Is(err, errRefused) && len(c.names.marks) == 0 {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		for _, n := range result.Notes {
			if n.Line < 1 || n.Reason == "" || strings.ContainsAny(n.String(), "\n\x00") {
				t.Errorf("%+v", n)
			}
		}
		for _, s := range append(c.ini.sections, c.ini.defaults) {
			for _, o := range s.options {
				if o.fate == unread {
					t.Errorf("[%s] %s is dropped in silence", s.name, o.name)
				}
			}
		}
		var problems config.Problems
		if _, err := config.Parse("f.yaml", result.YAML, nil); err != nil && !errors.As(err, &problems) {
			t.Error(err)
		}
	})
}
