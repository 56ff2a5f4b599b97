package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

var compiled = sync.OnceValues(func() (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("sidekick.json", document); err != nil {
		return nil, err
	}
	return compiler.Compile("sidekick.json") // also checks it against its meta-schema
})

// validate holds a YAML text against the schema, as an editor does.
func validate(t *testing.T, text []byte) error {
	t.Helper()
	schema, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := yaml.Unmarshal(text, &document); err != nil {
		return err
	}
	encoded, err := json.Marshal(document)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// What Load takes, the schema takes; parse, which most tests use, says the same
// of their texts.
func TestSchemaTakesGoodFiles(t *testing.T) {
	files := []string{"../examples/docker/sidekick.yaml", "../examples/quickstart/sidekick.yaml"}
	good, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(good) == 0 {
		t.Fatal("no files", err)
	}
	for _, name := range append(files, good...) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each is one mistake that an editor can show.
func TestSchemaRefuses(t *testing.T) {
	const head = "programs:\n  a:\n    command: a\n"
	for _, text := range []string{
		"{}", "[]", "program: {}", "programs: {}", "programs: {all: {command: a}}", "programs: {-a: {command: a}}",
		"programs: {a: {}}", "programs: {a: sleep}", "programs: {a: {command: []}}",
		head + "    comand: a", head + "    user: [a]", head + "    restart: sometimes", head + "    restart: on-failure:x",
		head + "    autostart: perhaps", head + "    min_uptime: 5", head + "    min_uptime: 5 s", head + "    nice: 20", head + "    nice: low",
		head + "    kill_mode: all", head + "    success_exit_codes: [256]", head + "    umask: 999", head + "    backoff: {factor: 0}",
		head + "    healthcheck: {}", head + "    healthcheck: {tcp: 1, http: 2}", head + "    healthcheck: {http: {path: /}}",
		head + "    healthcheck: {tcp: 1, interval: x}", head + "    register: {}", head + "    register: {port: 70000}",
		head + "    register: [{port: 53/ip}]", head + "    depends_on: {b: {condition: soon}}", head + "    ulimits: {nofiles: 1}",
		head + "    ulimits: {nofile: {soft: 1}}", head + "    environment: {A: [1]}", head + "    cap_drop: ALL",
		head + "registry: {etcd: {}}", head + "registry: {ttl: 20}", head + "registry: {format: xml}", head + "control: {port: 1}",
	} {
		if _, err := Parse("f.yaml", []byte(text), nil); err == nil {
			t.Errorf("Load takes it: %q", text)
		}
		if validate(t, []byte(text)) == nil {
			t.Errorf("the schema takes it: %q", text)
		}
	}
}

// Of the files that Load refuses, the schema lets those pass whose mistakes are
// between keys, in values of variables or in other files.
func TestSchemaAndBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	var passed []string
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if validate(t, data) == nil {
			passed = append(passed, strings.TrimSuffix(filepath.Base(name), ".yaml"))
		}
	}
	if d := cmp.Diff(strings.Fields("credentials formats formats_plain formats_together include password sockets"), passed); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// walkSchema visits every place of the schema; a list is the place of its items,
// and * stands for names that the user gives.
func walkSchema(root map[string]any, visit func(path string, node map[string]any)) {
	var walk func(path string, node any)
	walk = func(path string, n any) {
		node, ok := n.(map[string]any)
		if !ok {
			return
		}
		visit(path, node)
		if ref, ok := node["$ref"].(string); ok {
			walk(path, root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")])
		}
		if branches, ok := node["anyOf"].([]any); ok {
			for _, branch := range branches {
				walk(path, branch)
			}
		}
		walk(path, node["items"])
		walk(join(path, "*"), node["additionalProperties"])
		properties, _ := node["properties"].(map[string]any)
		for key, property := range properties {
			walk(join(path, key), property)
		}
	}
	walk("", root)
}

func schemaRoot(t *testing.T) map[string]any {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	return root
}

var (
	programNames = regexp.MustCompile(`^programs\.[^.]+`)
	userNames    = regexp.MustCompile(`^(programs\.\*\.(?:depends_on|ulimits))\.[^.]+`)
	listIndex    = regexp.MustCompile(`\[[0-9]+\]`)
)

// generic replaces the names that the user gave.
func generic(path string) string {
	path = programNames.ReplaceAllString(listIndex.ReplaceAllString(path, ""), "programs.*")
	return userNames.ReplaceAllString(path, "$1.*")
}

// The schema has exactly the keys of the tables, at every place. all.yaml leads to
// every table.
func TestSchemaHasTheKeysOfTheTables(t *testing.T) {
	data, err := os.ReadFile("testdata/good/all.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string][]string{}
	d := newDecoder("/etc/sidekick.yaml", "/etc/sidekick.yaml", lookupIn(testEnv))
	d.observe = func(path string, t table) { tables[generic(path)] = slices.Sorted(maps.Keys(t)) }
	d.root(data)
	inSchema := map[string][]string{}
	walkSchema(schemaRoot(t), func(path string, node map[string]any) {
		if properties, ok := node["properties"].(map[string]any); ok {
			inSchema[path] = slices.Sorted(maps.Keys(properties))
		}
	})
	if d := cmp.Diff(tables, inSchema); d != "" {
		t.Errorf("-tables +schema: what is in one belongs into the other, too; a new mapping belongs into all.yaml\n%s", d)
	}
}

// absent is no value: the place exists without it.
type absent struct{}

// with is a small file with a value at a place.
func with(t *testing.T, path string, value any) []byte {
	t.Helper()
	root := map[string]any{"programs": map[string]any{"a": map[string]any{"command": "a"}}}
	at, keys := root, strings.Split(strings.ReplaceAll(path, "programs.*", "programs.a"), ".")
	for i, key := range keys[:len(keys)-1] {
		below, ok := at[key].(map[string]any)
		if !ok {
			below = map[string]any{}
			at[key] = below
		}
		switch strings.Join(keys[2:max(i+1, 2)], ".") { // what else the place needs
		case "healthcheck":
			below["tcp"] = 1
		case "healthcheck.http":
			delete(at, "tcp")
			below["port"] = 1
		case "register":
			root["registry"] = map[string]any{"etcd": map[string]any{"endpoints": "http://h:1"}}
			below["port"] = 1
		}
		at = below
	}
	if _, none := value.(absent); !none {
		at[keys[len(keys)-1]] = value
	}
	text, err := yaml.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// problemAt is what Load says of a value at a place, "" for nothing.
func problemAt(t *testing.T, path string, value any) string {
	t.Helper()
	_, err := Parse("/etc/f.yaml", with(t, path, value), nil)
	problems, _ := errors.AsType[Problems](err)
	for _, p := range problems {
		if generic(p.Path) == path {
			return p.Message
		}
	}
	return ""
}

// A default of the schema, written into a file, changes nothing, and neither does
// a variable that stands for it.
func TestSchemaDefaults(t *testing.T) {
	defaults := 0
	walkSchema(schemaRoot(t), func(path string, node map[string]any) {
		value, ok := node["default"]
		if !ok {
			return
		}
		defaults++
		without, err := Parse("/etc/f.yaml", with(t, path, absent{}), nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		given, err := Parse("/etc/f.yaml", with(t, path, value), nil)
		if err != nil || !reflect.DeepEqual(given, without) {
			t.Errorf("%s: %v is not the default: %v\n%s", path, value, err, diff(without, given))
		}
		if _, list := value.([]any); list {
			return
		}
		variable := with(t, path, fmt.Sprintf("${UNSET:-%v}", value))
		given, err = Parse("/etc/f.yaml", variable, nil)
		if err := errors.Join(err, validate(t, variable)); err != nil || !reflect.DeepEqual(given, without) {
			t.Errorf("%s: a variable: %v\n%s", path, err, diff(without, given))
		}
	})
	if defaults < 40 {
		t.Errorf("%d defaults only", defaults)
	}
}

// alternativesOf takes the words out of `"x" is not a, b or c`.
var alternativesOf = regexp.MustCompile(`^"nonsense" is not ([a-z-]+(?:, [a-z-]+)*(?: or [a-z-]+)?)$`)

// The words that the schema lists are those that Load takes.
func TestSchemaWords(t *testing.T) {
	lists := 0
	walkSchema(schemaRoot(t), func(path string, node map[string]any) {
		list, ok := node["enum"].([]any)
		if !ok {
			return
		}
		lists++
		place := strings.TrimSuffix(path, ".condition") // it can be left out
		if strings.HasSuffix(place, "depends_on.*") {
			place = "programs.*.depends_on.b"
		}
		var words []string
		for _, word := range list {
			if message := problemAt(t, generic(place), word); message != "" && !strings.Contains(place, "depends_on") {
				t.Errorf("%s: %v: %s", path, word, message)
			}
			text, _ := word.(string)
			words = append(words, text)
		}
		m := alternativesOf.FindStringSubmatch(problemAt(t, path, "nonsense"))
		if m == nil {
			return
		}
		all := strings.FieldsFunc(strings.ReplaceAll(m[1], " or ", ","), func(r rune) bool { return r == ',' || r == ' ' })
		slices.Sort(all)
		slices.Sort(words)
		if d := cmp.Diff(all, words); d != "" {
			t.Errorf("%s: -Load +schema\n%s", path, d)
		}
	})
	if lists < 6 {
		t.Errorf("%d lists of words only", lists)
	}
	limits := schemaRoot(t)["$defs"].(map[string]any)["program"].(map[string]any)["properties"].(map[string]any)["ulimits"].(map[string]any)
	var names []string
	for _, name := range limits["propertyNames"].(map[string]any)["enum"].([]any) {
		names = append(names, name.(string))
	}
	if d := cmp.Diff(strings.Fields(ulimitNames), names); d != "" {
		t.Errorf("limits: -Load +schema\n%s", d)
	}
}

// Whoever hovers over a key is told what it is.
func TestSchemaDescribesEveryKey(t *testing.T) {
	walkSchema(schemaRoot(t), func(path string, node map[string]any) {
		properties, _ := node["properties"].(map[string]any)
		for key, property := range properties {
			if key == "soft" || key == "hard" || key == "condition" {
				continue
			}
			if text, _ := property.(map[string]any)["description"].(string); text == "" {
				t.Errorf("%s has no description", join(path, key))
			}
		}
	})
}
