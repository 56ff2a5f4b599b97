// Package examples_test loads every example, runs the demo, and builds and
// runs Dockerfile.example, so that nothing a reader copies is broken.
package examples_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sidekick/config"
)

// root is the top of the tree.
const root = ".."

// missing skips a test for want of something, or fails it in CI, where nothing
// may be missing.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("missing in CI: %s", what)
	}
	t.Skipf("missing: %s", what)
}

// required are the variables that an example cannot do without.
var required = map[string]map[string]string{
	"docker/sidekick.yaml": {"ETCD": "http://10.1.0.101:2379"},
}

// configFiles lists every sidekick.yaml below this directory.
func configFiles(t *testing.T) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "sidekick.yaml" {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("found %v, error %v", found, err)
	}
	return found
}

func TestEveryExampleLoads(t *testing.T) {
	for _, path := range configFiles(t) {
		t.Run(path, func(t *testing.T) {
			c, err := config.Load(path, func(name string) (string, bool) {
				value, ok := required[path][name]
				return value, ok
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Programs) == 0 {
				t.Error("it has no programs")
			}
			for _, w := range config.Warnings(c) {
				if !strings.Contains(w, ".command: ") { // nothing is built here
					t.Error(w)
				}
			}
		})
	}
}

func TestMissingVariablesAreNamed(t *testing.T) {
	for path, variables := range required {
		_, err := config.Load(path, func(string) (string, bool) { return "", false })
		for name := range variables {
			if err == nil || !strings.Contains(err.Error(), name+"=") {
				t.Errorf("%s without %s: %v", path, name, err)
			}
		}
	}
}
