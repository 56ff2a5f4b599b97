// Package sidekick_test checks the rules of ARCHITECTURE.md: each is a failing
// test with its reason.
package sidekick_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// goPackage is what `go list -json` says of one package.
type goPackage struct {
	ImportPath   string
	Dir          string
	Doc          string
	Name         string
	Imports      []string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
}

func list(t *testing.T, args ...string) []goPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-tags", "grpcnotrace,storm", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	decoder := json.NewDecoder(bytes.NewReader(out))
	for {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// arrows lists what each package may import of this module. Arrows point down:
// a package knows only what it is built on, so it can be read and tested alone.
var arrows = map[string][]string{
	"cmd/sidekick": {"cmd/sidekick/earlysignal", "config", "control", "control/supervisorctl", "convert", "events", "guard", "health", "logs", "procstat",
		"registrar", "registrar/etcd", "registrar/portmap", "supervisor", "supervisor/child", "supervisor/notify"},
	"cmd/sidekick/earlysignal": {}, // its init has to run before that of any library
	"cmd/sidekick-hub":         {"hub", "hub/embed"},
	"config":                   {},
	"control":                  {"config", "events", "health", "logs", "procstat", "registrar", "supervisor", "supervisor/child"},
	"convert":                  {"config"},
	"events":                   {},
	"control/supervisorctl":    {"config", "logs", "supervisor"},
	"guard":                    {},
	"health":                   {"config", "guard"},
	"hub":                      {},
	"hub/embed":                {},
	"logs":                     {"config"},
	"procstat":                 {},
	"registrar":                {"config", "events", "guard"}, // not supervisor: run.go carries the few facts across
	"registrar/etcd":           {"config", "registrar"},
	"registrar/etcd/etcdtest":  {"hub/embed"},
	"registrar/portmap":        {"config", "registrar"},
	"supervisor":               {"config", "events", "supervisor/child"},
	"supervisor/child":         {"supervisor/child/shim"},
	"supervisor/child/shim":    {}, // its init has to run before that of any library
	"supervisor/notify":        {},
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, "sidekick/")
		allowed, known := arrows[name]
		if !known {
			if !strings.HasPrefix(name, "examples/") && !strings.HasPrefix(name, "bench/") && !strings.HasPrefix(name, "e2e") && name != "sidekick" && len(p.GoFiles) > 0 {
				t.Errorf("%s has no place in the architecture: add it to arrows and to ARCHITECTURE.md", name)
			}
			continue
		}
		for _, path := range p.Imports {
			if own, ok := strings.CutPrefix(path, "sidekick/"); ok && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s: arrows point down only", name, own)
			}
		}
	}
}

// forbidden lists what must not be linked into something, with the reason.
var forbidden = []struct{ in, path, why string }{
	{"./cmd/sidekick", "html/template", "it keeps the linker from dropping unused methods: several MB; build with -tags grpcnotrace"},
	{"./cmd/sidekick", "database/sql", "the small binary has no business with databases"},
	{"./cmd/sidekick", "go.etcd.io/etcd/server/", "only the hub embeds etcd"},
	{"./cmd/sidekick", "sidekick/hub", "only the second binary may import the hub"},
	{"./cmd/sidekick", "github.com/prometheus/", "a metrics library is not worth its size in PID 1"},
	{"./cmd/sidekick", "testing", "test code has no place in a product"},
	{"./cmd/sidekick-hub", "testing", "test code has no place in a product"},
	{"./cmd/sidekick/earlysignal", "fmt", "its init has to run before that of any library"},
	{"./supervisor/child/shim", "fmt", "its init has to run before that of any library"},
	{"./supervisor", "go.etcd.io/", "the loop knows no registry"},
	{"./health", "os/exec", "only supervisor/child may create a process"},
	{"./registrar", "go.etcd.io/", "registrar/etcd is the only package that knows etcd"},
	{"./registrar/portmap", "go.etcd.io/", "registrar/etcd is the only package that knows etcd"},
	{"./control", "go.etcd.io/", "registrar/etcd is the only package that knows etcd"},
}

func TestForbiddenLinks(t *testing.T) {
	deps := map[string][]goPackage{}
	for _, rule := range forbidden {
		if deps[rule.in] == nil {
			deps[rule.in] = list(t, "-deps", rule.in)
		}
		for _, p := range deps[rule.in] {
			if p.ImportPath == rule.path || strings.HasSuffix(rule.path, "/") && strings.HasPrefix(p.ImportPath, rule.path) {
				t.Errorf("%s links %s: %s", rule.in, p.ImportPath, rule.why)
			}
		}
	}
}

// What the supervisor decides must not depend on what a network does.
func TestSupervisorKnowsNoNetwork(t *testing.T) {
	for _, p := range list(t, "./supervisor/...") {
		for _, path := range p.Imports {
			if path == "net" || strings.HasPrefix(path, "net/") {
				t.Errorf("%s imports %s", p.ImportPath, path)
			}
		}
	}
}

// Every process is created and reaped by supervisor/child: an os/exec beside its
// wait4(-1) loses exit statuses.
func TestNobodyElseCreatesProcesses(t *testing.T) {
	for _, p := range list(t, "./...") {
		if strings.Contains(p.ImportPath, "/examples/") || strings.Contains(p.ImportPath, "/bench/") || strings.HasSuffix(p.ImportPath, "/etcdtest") {
			continue // no part of sidekick
		}
		if slices.Contains(p.Imports, "os/exec") {
			t.Errorf("%s imports os/exec: start processes through supervisor/child", p.ImportPath)
		}
	}
}

// Only main exits: a library that exits takes every program with it.
func TestOnlyMainExits(t *testing.T) {
	exits := regexp.MustCompile(`\b(os\.Exit|log\.Fatal\w*|syscall\.Exit)\(`)
	for _, p := range list(t, "./...") {
		if p.Name == "main" || strings.HasSuffix(p.ImportPath, "/child/shim") {
			continue // the shim's init is the main of a process of its own
		}
		for _, name := range p.GoFiles {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if call := exits.Find(text); call != nil && !strings.HasSuffix(p.ImportPath, "/etcdtest") {
				t.Errorf("%s/%s calls %s…)", p.ImportPath, name, call)
			}
		}
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	for _, p := range list(t, "./...") {
		if p.Doc != "" || len(p.GoFiles) > 0 && p.Doc != "" {
			continue
		}
		if !hasTestComment(t, p) {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// hasTestComment looks at a package that consists of tests only.
func hasTestComment(t *testing.T, p goPackage) bool {
	if len(p.GoFiles) > 0 {
		return false
	}
	for _, name := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		if file.Doc != nil {
			return true
		}
	}
	return false
}

// Exported names are the seams between packages: each says what it is.
func TestExportedNamesHaveComments(t *testing.T) {
	for _, p := range list(t, "./...") {
		if p.Name == "main" {
			continue
		}
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			for _, undocumented := range undocumented(file) {
				t.Errorf("%s/%s: %s has no comment", p.ImportPath, name, undocumented)
			}
		}
	}
}

func undocumented(file *ast.File) (names []string) {
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || exportedReceiver(d)) && !conventional[d.Name.Name] {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				names = append(names, undocumentedSpec(d, spec)...)
			}
		}
	}
	return names
}

// conventional methods say by their name what they do.
var conventional = map[string]bool{"Error": true, "String": true, "Unwrap": true, "Write": true}

func exportedReceiver(d *ast.FuncDecl) bool {
	expr := d.Recv.List[0].Type
	if star, ok := expr.(*ast.StarExpr); ok {
		expr = star.X
	}
	ident, ok := expr.(*ast.Ident)
	return ok && ident.IsExported()
}

func undocumentedSpec(d *ast.GenDecl, spec ast.Spec) (names []string) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
			names = append(names, s.Name.Name)
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
				names = append(names, name.Name)
			}
		}
	}
	return names
}

// The tables of ARCHITECTURE.md and of docs/coverage.md name the test of each
// promise, known fault and key of the file: it must exist.
func TestPromisesHaveTests(t *testing.T) {
	have := map[string]bool{}
	for _, p := range list(t, "./...") {
		for _, name := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
			source, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(source, -1) {
				have[strings.TrimPrefix(p.ImportPath, "sidekick/")+"."+string(m[1])] = true
			}
		}
	}
	for _, path := range []string{"ARCHITECTURE.md", "docs/coverage.md"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		named := regexp.MustCompile("`([a-z0-9/-]+\\.Test\\w+)`").FindAllSubmatch(text, -1)
		if len(named) < 20 {
			t.Fatalf("%s names only %d tests", path, len(named))
		}
		for _, m := range named {
			if !have[string(m[1])] {
				t.Errorf("%s names %s, which does not exist", path, m[1])
			}
		}
	}
}

// A break that is listed for `make mutate` has to stand in the code as it is
// now, or it breaks nothing.
func TestMutationsStandInTheCode(t *testing.T) {
	list, err := os.ReadFile(".ci/mutations.txt")
	if err != nil {
		t.Fatal(err)
	}
	mutation := regexp.MustCompile(`(?m)^file: (.+)\nfrom: (.+)$`)
	found := mutation.FindAllStringSubmatch(string(list), -1)
	if blocks := strings.Count(string(list), "\nwhy: "); len(found) != blocks {
		t.Errorf("%d breaks of %d can be read", len(found), blocks)
	}
	for _, m := range found {
		source, err := os.ReadFile(m[1])
		if err != nil {
			t.Error(err)
			continue
		}
		if n := strings.Count(string(source), m[2]); n != 1 {
			t.Errorf("%s: %q stands %d times there", m[1], m[2], n)
		}
	}
}
