// Command report reads the output of `go test -json` and prints what a person
// wants of it: the failures, the ten slowest tests, the totals. It fails when a
// test failed, when one was skipped, or when a test that a document names in a
// table did not pass.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// event is a line of `go test -json` (see `go doc test2json`).
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // in seconds
}

func (e event) name() string { return strings.TrimPrefix(e.Package, "sidekick/") + "." + e.Test }

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: report TEST.json… [DOCUMENT.md…]")
		os.Exit(2)
	}
	r := &report{ended: map[string]event{}, output: map[string][]string{}}
	for _, path := range os.Args[1:] {
		read := r.read
		if filepath.Ext(path) == ".md" {
			read = r.checkPromises
		}
		if err := read(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	r.print()
	if len(r.bad) > 0 || r.passed == 0 {
		os.Exit(1)
	}
}

type report struct {
	ended                   map[string]event // of each test
	output                  map[string][]string
	bad                     []string
	passed, failed, skipped int
}

func (r *report) read(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text()) // what make says
			continue
		}
		r.add(e)
	}
	return lines.Err()
}

func (r *report) add(e event) {
	switch e.Action {
	case "output", "build-output":
		r.output[e.name()] = append(r.output[e.name()], e.Output)
	case "fail", "build-fail":
		r.bad = append(r.bad, fmt.Sprintf("FAIL %s\n%s", e.name(), strings.Join(r.output[e.name()], "")))
	case "skip":
		if e.Test != "" {
			r.bad = append(r.bad, fmt.Sprintf("SKIPPED %s\n%s", e.name(), strings.Join(r.output[e.name()], "")))
		}
	}
	if e.Test == "" {
		return
	}
	switch e.Action {
	case "pass":
		r.passed++
	case "fail":
		r.failed++
	case "skip":
		r.skipped++
	default:
		return
	}
	r.ended[e.name()] = e
}

// checkPromises looks for the tests that the tables of a document name.
func (r *report) checkPromises(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for _, m := range regexp.MustCompile("`([a-z0-9/-]+\\.Test\\w+)`").FindAllSubmatch(text, -1) {
		if got := r.ended[string(m[1])].Action; got != "pass" {
			r.bad = append(r.bad, fmt.Sprintf("PROMISED in %s, but %q: %s", path, got, m[1]))
		}
	}
	return nil
}

func (r *report) print() {
	for _, b := range r.bad {
		fmt.Println(b)
	}
	tests := make([]event, 0, len(r.ended))
	for _, e := range r.ended {
		if !strings.Contains(e.Test, "/") {
			tests = append(tests, e)
		}
	}
	slices.SortFunc(tests, func(a, b event) int { return int(1000 * (b.Elapsed - a.Elapsed)) })
	fmt.Println("the ten slowest tests:")
	for _, e := range tests[:min(10, len(tests))] {
		fmt.Printf("  %8v  %s\n", time.Duration(e.Elapsed*float64(time.Second)).Round(10*time.Millisecond), e.name())
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
}
