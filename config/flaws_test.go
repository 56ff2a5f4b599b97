package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What Load took has no flaw; what is wrong in a mixture is named.
func TestFlaws(t *testing.T) {
	on := func(name string, others ...string) Program {
		p := DefaultProgram(name)
		for _, other := range others {
			p.Policy.DependsOn = append(p.Policy.DependsOn, Dependency{other, Started})
		}
		return p
	}
	registered := on("api")
	registered.Policy.Register = make([]Registration, 1)
	for name, c := range map[string]struct {
		programs []Program
		want     []string
	}{
		"sound":       {[]Program{on("a", "b"), on("b")}, nil},
		"lacks":       {[]Program{on("a", "b", "c"), on("c")}, []string{"a depends on b, which is not there"}},
		"twice":       {[]Program{on("a"), on("a")}, []string{"there are two programs a"}},
		"cycle":       {[]Program{on("a", "b"), on("b", "a")}, []string{"dependency cycle: a -> b -> a"}},
		"no registry": {[]Program{registered}, []string{"api is registered, but there is no registry.etcd"}},
	} {
		var got []string
		for _, f := range (&Config{Programs: c.programs}).Flaws() {
			got = append(got, f.String())
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	c, err := Load("testdata/good/all.yaml", lookupIn(map[string]string{"HOST": "h", "PORT": "9000", "EMPTY": ""}))
	if err != nil {
		t.Fatal(err)
	}
	if flaws := c.Flaws(); flaws != nil {
		t.Error(flaws)
	}
}
