package convert

import (
	"os"
	"strings"
	"testing"
)

// TestDocs: the example of the documentation is a case, and its table of what
// means nothing is complete.
func TestDocs(t *testing.T) {
	doc := readFile(t, "../docs/migrating-from-supervisord.md")
	golden := strings.NewReplacer("testdata/cases/", "", "example.conf", "supervisord.conf").Replace(readFile(t, "testdata/cases/example.golden"))
	notes, yaml, _ := strings.Cut(golden, "---\n")
	for _, block := range []string{
		"```ini\n" + readFile(t, "testdata/cases/example.conf") + "```", "```\n" + notes + "```", "```yaml\n" + yaml + "```",
	} {
		if !strings.Contains(doc, block) {
			t.Errorf("the documentation does not have\n%s", block)
		}
	}
	for sec, options := range Meaningless {
		for name, why := range options {
			if !strings.Contains(doc, "`"+name+"` ("+why+")") {
				t.Errorf("the documentation does not have [%s] %s (%s)", sec, name, why)
			}
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
