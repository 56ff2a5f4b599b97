package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// keysOf lists the keys that the fields of a type come from, behind a prefix.
func keysOf(t reflect.Type, prefix string) (keys []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	for field := range t.Fields() {
		in := field.Type
		for in.Kind() == reflect.Pointer || in.Kind() == reflect.Slice {
			in = in.Elem()
		}
		key := prefix + keyOf(t, field.Name)
		switch in {
		case reflect.TypeFor[Launch](), reflect.TypeFor[Policy](), reflect.TypeFor[Limits](), reflect.TypeFor[Program]():
			keys = append(keys, keysOf(in, prefix)...)
		case reflect.TypeFor[Backoff](), reflect.TypeFor[Check](), reflect.TypeFor[Registration](), reflect.TypeFor[Logging](),
			reflect.TypeFor[Advertise](), reflect.TypeFor[Registry](), reflect.TypeFor[Etcd](), reflect.TypeFor[TLS](),
			reflect.TypeFor[Docker](), reflect.TypeFor[Control]():
			keys = append(keys, keysOf(in, key+".")...)
		default:
			keys = append(keys, key)
		}
	}
	return keys
}

// Every field of the configuration has a test of its effect: docs/coverage.md
// names it beside the key, and the architecture tests want it to exist.
func TestEveryKeyHasATest(t *testing.T) {
	text, err := os.ReadFile("../docs/coverage.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Keys of the file\n")
	if !found {
		t.Fatal("docs/coverage.md has no section about the keys of the file")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var covered []string
	for line := range strings.Lines(section) {
		cells := strings.Split(line, " | ")
		if len(cells) == 2 && strings.Contains(cells[1], ".Test") {
			for _, m := range regexp.MustCompile("`([a-z_.]+)`").FindAllStringSubmatch(cells[0], -1) {
				covered = append(covered, m[1])
			}
		}
	}
	for _, key := range slices.Compact(slices.Sorted(slices.Values(keysOf(reflect.TypeFor[Config](), "")))) {
		if !slices.Contains(covered, key) {
			t.Errorf("docs/coverage.md names no test for the effect of %s", key)
		}
	}
}
