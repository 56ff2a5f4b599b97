package convert

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// grammars are what we read as supervisor does, each with pieces to make texts of.
var grammars = map[string]struct {
	read   func(string) (any, error)
	pieces []string
}{
	"ini": {readINI, []string{"[a]\n", "[b]", "[DEFAULT]\n", "x=1", "x = ", "Y: ", " ", "\t", "\n", "\r\n", "\r", ";", "#", " ; c", " #c",
		"a;b", "word", "=", ":", "]", "[", "\u00a0", "\x1c", "ü", "\n  more", "\n\n"}},
	"split": {func(s string) (any, error) { return splitCommand(s) }, []string{"a", "b", " ", "\t", "\n", "'", `"`, `\`, "#", ";", "ü", "$"}},
	"pairs": {func(s string) (any, error) { return parsePairs(s) }, []string{"A", "B", "=", "=", ",", ",", "x", "1", "'", `"`, " ", "\n", "#", "/", "-", ":", "@", "ü", `\`,
		`A="b,c"`, "K=v,"}},
	"expand": {func(s string) (any, error) { return expand(s, resolveForTest) }, []string{"%", "%%", "%(program_name)s", "%(process_num)d", "%(process_num)", "02d",
		"%(ENV_A)s", "%(nobody)s", "%(here)", "%(a(b))s", "s", "d", "-", "5", ".1", "x", "(", ")", "%(program_name)", "+", "i", "lh", " "}},
	"integer": {func(s string) (any, error) { return integer(s) }, []string{"1", "0", "9", " ", "_", "-", "+", "x", ".", "\n"}},
	"boolean": {func(s string) (any, error) { return boolean(s) }, []string{"true", "YES", "on", "1", "false", "No", "off", "0", " ", "x"}},
	"size":    {func(s string) (any, error) { return byteSize(s) }, []string{"1", "50", "0", "kb", "MB", "Gb", "b", "k", " ", "."}},
	"codes":   {func(s string) (any, error) { return exitCodes(s) }, []string{"0", "2", "25", "5", ",", " ", "-", "x"}},
	"strings": {func(s string) (any, error) { return listOfStrings(s), nil }, []string{"a", "b", ",", " ", "\n"}},
	"name":    {func(s string) (any, error) { return processName(s) }, []string{"a", "b", ":", "/", " ", "\t", "-", "_"}},
}

func resolveForTest(name string) (any, error) {
	value, known := map[string]any{"program_name": "web", "process_num": 7, "ENV_A": "x%y", "here": "/here", "a(b)": "nested"}[name]
	if !known {
		return nil, errUnknownName
	}
	return value, nil
}

func readINI(text string) (any, error) {
	p := newINI()
	if err := p.parse("f", text); err != nil {
		return nil, err
	}
	sections := [][]any{}
	for _, s := range p.sections {
		options := [][]string{}
		for _, o := range s.options {
			options = append(options, []string{o.name, o.value})
		}
		sections = append(sections, []any{s.name, options})
	}
	return sections, nil
}

func (p pair) MarshalJSON() ([]byte, error) { return json.Marshal([]string{p.name, p.value}) }

// TestGrammars compares our readers with supervisor's own on texts made at random
// from the pieces that matter.
func TestGrammars(t *testing.T) {
	needSupervisor(t)
	random := rand.New(rand.NewPCG(1, 2))
	var questions bytes.Buffer
	var asked [][2]string
	for kind, g := range grammars {
		for range 800 {
			var text strings.Builder
			for range random.IntN(10) {
				text.WriteString(g.pieces[random.IntN(len(g.pieces))])
			}
			q := [2]string{kind, text.String()}
			asked = append(asked, q)
			line, _ := json.Marshal(q)
			fmt.Fprintf(&questions, "%s\n", line)
		}
	}
	cmd := exec.Command(python, "-I", "testdata/grammar.py")
	cmd.Env = []string{"PATH=/bin:/usr/bin", "LANG=C.UTF-8", "TMPDIR=" + t.TempDir()}
	cmd.Stdin, cmd.Stderr = &questions, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewScanner(bytes.NewReader(out))
	accepted := 0
	for _, q := range asked {
		if !answers.Scan() {
			t.Fatal("too few answers")
		}
		if answers.Text() != "null" {
			accepted++
		}
		if want, got := answers.Text(), ourAnswer(t, q); !sameAnswer(q, want, got) {
			t.Errorf("%s %q:\nsupervisor %s\nwe         %s", q[0], q[1], want, got)
		}
	}
	if accepted < len(asked)/4 {
		t.Errorf("supervisor accepts only %d of %d texts: the pieces are no good", accepted, len(asked))
	}
}

func ourAnswer(t *testing.T, q [2]string) string {
	t.Helper()
	got, err := grammars[q[0]].read(q[1])
	if err != nil {
		return "null"
	}
	text, err := json.Marshal([]any{got})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sameAnswer knows where we differ on purpose.
func sameAnswer(q [2]string, want, got string) bool {
	var a, b any
	if json.Unmarshal([]byte(want), &a) != nil || json.Unmarshal([]byte(got), &b) != nil {
		return false
	}
	switch {
	case cmp.Equal(a, b) || fmt.Sprint(a) == fmt.Sprint(b):
		return true
	case q[0] == "expand" && got == "null" && regexp.MustCompile(`%[^(%]`).MatchString(q[1]):
		// %s without a name is the whole table of names in Python.
		return true
	case q[0] == "size" && strings.HasPrefix(want, "[-"), want == "[[]]" && got == "[null]":
		return true
	}
	return false
}
