// Command mutate breaks one line at a time, as .ci/mutations.txt lists, and runs
// the tests of that package, or those that the list names: each break has to
// turn them red. The tree is not touched; the broken file is laid over it for the
// run, and for the builds that the tests make. An argument is a regular
// expression: only the breaks that it finds in the list are made.
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	text, err := os.ReadFile(".ci/mutations.txt")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	only := regexp.MustCompile(strings.Join(os.Args[1:], "|"))
	survived := 0
	for number, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		if !only.MatchString(block) {
			continue
		}
		m, err := parse(block)
		if err == nil {
			err = m.run()
		}
		if err != nil {
			survived++
			fmt.Printf("%2d FAIL %s: %v\n", number+1, m.why, err)
			continue
		}
		fmt.Printf("%2d ok   %s\n", number+1, m.why)
	}
	if survived > 0 {
		fmt.Printf("%d breaks went unnoticed\n", survived)
		os.Exit(1)
	}
}

// mutation is one block of the list.
type mutation struct {
	why, file, from, to string
	// test is a package and, behind a blank, the pattern of its tests; "": all
	// those of the file's package.
	test string
}

func parse(block string) (m mutation, err error) {
	fields := map[string]*string{"why": &m.why, "file": &m.file, "from": &m.from, "to": &m.to, "test": &m.test}
	for line := range strings.Lines(block) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		field := fields[strings.TrimSuffix(name, ":")]
		if field == nil {
			return m, fmt.Errorf("cannot read %q", line)
		}
		*field = value
	}
	return m, nil
}

// run returns nil when the tests turned red.
func (m mutation) run() error {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return err
	}
	if n := strings.Count(string(source), m.from); n != 1 {
		return fmt.Errorf("%q stands %d times in %s", m.from, n, m.file)
	}
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	broken := filepath.Join(dir, "broken.go")
	if err := os.WriteFile(broken, []byte(strings.Replace(string(source), m.from, m.to, 1)), 0o644); err != nil {
		return err
	}
	file, err := filepath.Abs(m.file)
	if err != nil {
		return err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{file: broken}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o644); err != nil {
		return err
	}
	return m.turnsRed(filepath.Join(dir, "overlay.json"))
}

func (m mutation) turnsRed(overlay string) error {
	folder := "./" + filepath.Dir(m.file)
	if out, err := goTool(overlay, "build", folder); err != nil {
		return fmt.Errorf("does not build: %s", out)
	}
	tested, pattern, _ := strings.Cut(m.test, " ")
	out, err := goTool(overlay, "test", "-timeout", "90s", "-run", pattern, cmp.Or(tested, folder))
	if err == nil {
		return fmt.Errorf("the tests stay green: %s", out)
	}
	return nil
}

// goTool runs go with the overlay, which $GOFLAGS hands on to what tests build.
func goTool(overlay, command string, args ...string) ([]byte, error) {
	tool := exec.Command("go", append([]string{command, "-tags", "grpcnotrace"}, args...)...)
	tool.Env = append(os.Environ(), "GOFLAGS=-overlay="+overlay)
	return tool.CombinedOutput()
}
