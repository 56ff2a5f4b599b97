package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// everything is a configuration in which no list and no pointer is empty. Each
// call makes it anew.
func everything(t *testing.T) *Config {
	c := load(t, "testdata/good/all.yaml")
	p, web := confined(), c.Programs[0]
	p.Launch.WorkingDir, p.Launch.Environment = "/srv", []string{"A=1"}
	p.Policy.Register, p.Policy.DependsOn = web.Policy.Register[1:], web.Policy.DependsOn
	p.Policy.MinUptime, p.Policy.Restart.Max = 1, 5
	check := &p.Policy.Checks[0]
	check.Address, check.URL, check.Headers, check.Status, check.StartPeriod = ":1", "http://:1", map[string]string{"A": "b"}, []int{200}, 1
	c.Programs = []Program{p}
	c.Registry.Drain = 1
	return c
}

// eachChange changes everything that v consists of, one thing at a time, and
// changes it back.
func eachChange(t *testing.T, v reflect.Value, path string, changed func(path string)) {
	t.Helper()
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if v.IsZero() {
			t.Errorf("%s is empty: give it a value in everything", path)
			return
		}
	}
	try := func(path string, other reflect.Value) {
		was := reflect.New(v.Type()).Elem()
		was.Set(v)
		v.Set(other)
		changed(path)
		v.Set(was)
	}
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[netip.Addr]() {
			try(path, reflect.ValueOf(netip.MustParseAddr("192.0.2.1")))
			return
		}
		for field, x := range v.Fields() {
			eachChange(t, x, path+"."+field.Name, changed)
		}
	case reflect.Pointer:
		try(path+" without a value", reflect.Zero(v.Type()))
		eachChange(t, v.Elem(), path, changed)
	case reflect.Slice:
		try(path+" emptied", reflect.Zero(v.Type()))
		try(path+" with one more", reflect.Append(v.Slice3(0, v.Len(), v.Len()), v.Index(0)))
		eachChange(t, v.Index(0), path+"[0]", changed)
	case reflect.Map:
		try(path+" emptied", reflect.Zero(v.Type()))
		try(path+" with another value", reflect.ValueOf(map[string]string{"A": "other"}))
	default:
		try(path, otherScalar(t, v))
	}
}

// otherScalar returns a value that differs from v.
func otherScalar(t *testing.T, v reflect.Value) reflect.Value {
	other := reflect.New(v.Type()).Elem()
	switch {
	case v.Kind() == reflect.Bool:
		other.SetBool(!v.Bool())
	case v.CanInt():
		other.SetInt(v.Int() + 1)
	case v.CanUint():
		other.SetUint(v.Uint() + 1)
	case v.CanFloat():
		other.SetFloat(v.Float() + 1)
	case v.Kind() == reflect.String:
		other.SetString(v.String() + "x")
	default:
		t.Fatalf("eachChange does not know %s", v.Type())
	}
	return other
}

// TestEveryFieldIsCompared: whatever changes in Launch needs a new process,
// whatever changes in Policy does not, and the change has the name of a key.
func TestEveryFieldIsCompared(t *testing.T) {
	before, after := everything(t), everything(t)
	p := &after.Programs[0]
	keys := (&program{}).keys()
	check := func(path string, of func(Plan) []string) {
		plan := Diff(before, after)
		if !slices.Equal(of(plan), []string{p.Name}) || plan.Empty() {
			t.Errorf("%s changed: got %+v", path, plan)
		}
		for _, key := range plan.Changes[p.Name] {
			if keys[key] == nil {
				t.Errorf("%s is called %s, which is no key", path, key)
			}
		}
		if len(plan.Changes[p.Name]) != 1 {
			t.Errorf("%s changed: called %q", path, plan.Changes[p.Name])
		}
	}
	eachChange(t, reflect.ValueOf(&p.Launch).Elem(), "Launch", func(path string) {
		check(path, func(plan Plan) []string { return plan.Relaunched })
	})
	retuned := func(plan Plan) []string { return plan.Retuned }
	eachChange(t, reflect.ValueOf(&p.Policy).Elem(), "Policy", func(path string) { check(path, retuned) })
	eachChange(t, reflect.ValueOf(&p.Group).Elem(), "Group", func(path string) { check(path, retuned) })
	if plan := Diff(before, after); !plan.Empty() {
		t.Errorf("not changed back: %s", plan)
	}
}

// TestEverySettingIsCompared: no part of Config can change unseen, and only
// control cannot be swapped in.
func TestEverySettingIsCompared(t *testing.T) {
	before, after := everything(t), everything(t)
	eachChange(t, reflect.ValueOf(after).Elem(), "Config", func(path string) {
		plan := Diff(before, after)
		if path == "Config.Programs with one more" {
			return // of the same name, which no file gives
		}
		if plan.Empty() {
			t.Errorf("%s changed: nothing is seen", path)
		}
		if want := strings.HasPrefix(path, "Config.Control"); plan.ControlChanged != want {
			t.Errorf("%s changed: control %v", path, plan.ControlChanged)
		}
		if setting := strings.HasPrefix(path, "Config.Registry") || strings.HasPrefix(path, "Config.Shutdown"); setting != (len(plan.Settings) == 1) {
			t.Errorf("%s changed: settings %q", path, plan.Settings)
		}
	})
}

// TestUnchangedFiles: a file that is read twice, or says the same in other
// words, changes nothing.
func TestUnchangedFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, name := range files {
		if plan := Diff(load(t, name), load(t, name)); !plan.Empty() || len(plan.Same) == 0 {
			t.Errorf("%s: %s", name, plan)
		}
	}
	const head = "programs: {a: {command: a b, healthcheck: {http: {port: 1"
	for before, after := range map[string]string{
		"}}}}": ", headers: {}, status: []}}, cap_drop: [], cap_add: [], ulimits: {}, env_file: [], environment: {}, env_from_file: {}, depends_on: {}, register: [], replicas: 1, user: ''}}",
		"}}, ulimits: {nofile: 1, core: 0}, cap_drop: [chown, KILL], env_from_file: {A: /a, B: /b}}}":                                  "}}, ulimits: {core: 0, nofile: {soft: 1, hard: 1}}, cap_drop: [CAP_KILL, CHOWN], env_from_file: {B: /b, A: /a}}}",
		"}}, start_timeout: 60s, success_exit_codes: [0], notify: no, watchdog: 0s, no_new_privileges: off, logging: {to: stdout}}}\n": "}}}}\nx-other: 1\nregistry: {}\ncontrol: {}\nshutdown_timeout: 8s\n",
	} {
		if plan := Diff(parse(t, head+before), parse(t, head+after)); !plan.Empty() {
			t.Errorf("%s and %s: %s %v", before, after, plan, plan.Changes)
		}
	}
}

func TestPlan(t *testing.T) {
	const etcd = "registry: {etcd: {endpoints: 'http://e:1'}"
	before := parse(t, `
programs:
  db: {command: db}
  worker: {command: work}
  api: {command: api}
  web: {command: web, replicas: 2}
  same: {command: same}
`+etcd+"}")
	after := parse(t, `
shutdown_timeout: 9s
programs:
  zero: {command: zero}
  same: {command: same}
  worker: {command: work hard, environment: {A: 1}, essential: no, user: app:app}
  api: {command: api, restart: always, healthcheck: {tcp: 1, on_failure: restart}}
  web: {command: web, replicas: 3}
control: {socket: /x}
`+etcd+", ttl: 30s, drain: 2s}")
	plan := Diff(before, after)
	want := `+ zero
+ web-2
- db
~ worker (restart: command, environment, user, essential changed)
. api (retuned: restart, healthcheck)
. shutdown_timeout (retuned)
. registry.ttl (retuned)
. registry.drain (retuned)
! control (unchanged: it needs a restart of the container)`
	if d := cmp.Diff(want, plan.String()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"same", "web-0", "web-1"}, plan.Same); d != "" {
		t.Error(d)
	}
	if got := Diff(after, after).String(); got != "nothing changed" {
		t.Errorf("got %q", got)
	}
}

// TestEnvFileIsCompared: its contents are, comments and secret files are not.
func TestEnvFileIsCompared(t *testing.T) {
	path := writeFiles(t, map[string]string{
		"sidekick.yaml": "programs: {a: {command: a, env_file: a.env, env_from_file: {S: secret}}, b: {command: b}}",
		"a.env":         "A=1\n", "secret": "1",
	})
	read := func() *Config {
		c, err := Load(path, lookupIn(nil))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := read()
	for _, step := range []struct{ name, text, want string }{
		{"secret", "2", "nothing changed"},
		{"a.env", "# comment\nexport A='1'\n", "nothing changed"},
		{"a.env", "A=2\n", "~ a (restart: environment changed)"},
	} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), step.name), []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := Diff(first, read()).String(); got != step.want {
			t.Errorf("%s is %q: got %q, want %q", step.name, step.text, got, step.want)
		}
	}
}

// TestEveryFieldIsRead: a field that no good file sets is one that TestEveryKey
// does not know.
func TestEveryFieldIsRead(t *testing.T) {
	set, all := map[string]bool{}, map[string]bool{}
	var visit func(v reflect.Value)
	visit = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				visit(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				visit(v.Index(i))
			}
		case reflect.Struct:
			if v.Type().PkgPath() != reflect.TypeFor[Config]().PkgPath() {
				return
			}
			for field, x := range v.Fields() {
				name := v.Type().Name() + "." + field.Name
				all[name], set[name] = true, set[name] || !x.IsZero()
				visit(x)
			}
		}
	}
	visit(reflect.ValueOf(load(t, "testdata/good/all.yaml")))
	for name := range all {
		// Check is no key of the file: see TestGuards.
		if !set[name] && name != "Registration.Check" {
			t.Errorf("%s is not set by testdata/good/all.yaml", name)
		}
	}
	if len(all) < 70 {
		t.Errorf("only %d fields were seen", len(all))
	}
}

// TestEveryKeyIsInContract: the tables have no key that the public contract does
// not name.
func TestEveryKeyIsInContract(t *testing.T) {
	contract, err := os.ReadFile("testdata/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range []table{(&program{}).keys(), newFile(nil).keys()} {
		for key := range keys {
			if !strings.Contains(string(contract), key+":") {
				t.Errorf("%s is not in testdata/contract.yaml", key)
			}
		}
	}
}

// TestUlimitNames: a suggestion is taken.
func TestUlimitNames(t *testing.T) {
	for name := range strings.FieldsSeq(ulimitNames) {
		if _, known := UlimitResource(name); !known {
			t.Errorf("%s is suggested and not known", name)
		}
	}
}
