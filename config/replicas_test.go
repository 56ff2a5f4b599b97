package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReplicas(t *testing.T) {
	path := writeFiles(t, map[string]string{
		"sidekick.yaml": `
x-base: &base {replicas: 2}
programs:
  web:
    <<: *base
    command: run --port 800${REPLICA} ${REPLICA}
    working_dir: /srv/${REPLICA}
    environment: [REPLICA, "N=${REPLICA}"]
    env_file: ${REPLICA}.env
    register: {port: "800${REPLICA}"}
    depends_on: {db: started, db-1: started}
  db: {command: x, replicas: 2}
  one: {command: "x ${REPLICA}", replicas: 1, depends_on: [web]}
  top: {command: x, depends_on: ["db-0", "web-1"]}
registry: {etcd: {endpoints: "http://e:1", username: "${REPLICA}", password_file: x}}
`,
		"0.env": "FILE=zero-${REPLICA}\n",
		"1.env": "FILE=one-${REPLICA}\n",
	})
	c, err := Load(path, lookupIn(map[string]string{"REPLICA": "outer"}))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"web-0", "web-1", "db-0", "db-1", "one", "top"}, names(c)); d != "" {
		t.Fatal(d)
	}
	web1, one := c.Programs[1], c.Programs[4]
	if web1.Group != "web" || one.Group != "one" {
		t.Errorf("groups %q, %q", web1.Group, one.Group)
	}
	want := Launch{
		Command:     []string{"run", "--port", "8001", "1"},
		WorkingDir:  "/srv/1",
		Environment: []string{"FILE=one-1", "N=1", "REPLICA=1"},
	}
	if d := cmp.Diff(want, web1.Launch); d != "" {
		t.Error(d)
	}
	if got := web1.Policy.Register[0].Port.Number; got != 8001 {
		t.Errorf("port %d", got)
	}
	if d := cmp.Diff([]Dependency{{"db-0", Started}, {"db-1", Started}}, web1.Policy.DependsOn); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Dependency{{"web-0", Started}, {"web-1", Started}}, one.Policy.DependsOn); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Dependency{{"db-0", Started}, {"web-1", Started}}, c.Programs[5].Policy.DependsOn); d != "" {
		t.Error(d)
	}
	if one.Launch.Command[1] != "0" || c.Registry.Etcd.Username != "outer" {
		t.Errorf("REPLICA is %s in one copy and %s outside", one.Launch.Command[1], c.Registry.Etcd.Username)
	}
}

func TestManyReplicas(t *testing.T) {
	c := parse(t, "programs: {web: {command: x, replicas: 1000}, a: {command: x, depends_on: [web]}}")
	if len(c.Programs) != 1001 || c.Programs[999].Name != "web-999" || len(c.Programs[1000].Policy.DependsOn) != 1000 {
		t.Errorf("%d programs, %v", len(c.Programs), names(c)[990:])
	}
	if order := c.Order(); order[1000] != 1000 {
		t.Errorf("a starts before its dependencies: %v", order[990:])
	}
}

// TestTangledCycle: a cycle that only exists through two copies of one program
// is found, too.
func TestTangledCycle(t *testing.T) {
	c := &Config{}
	for _, name := range []string{"a-0", "b-0", "a-1", "b-1"} {
		p := DefaultProgram(name)
		p.Group, _, _ = strings.Cut(name, "-")
		c.Programs = append(c.Programs, p)
	}
	for i := range c.Programs {
		c.Programs[i].Policy.DependsOn = []Dependency{{c.Programs[(i+1)%4].Name, Started}}
	}
	found := walk(c.Programs).found()
	if len(found) != 1 || !slices.Equal(found[0].names, []string{"a-0", "b-0", "a-1", "b-1", "a-0"}) {
		t.Errorf("got %+v", found)
	}
}
