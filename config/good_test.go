package config

import (
	"errors"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// parse parses text that must be good, as /etc/sidekick.yaml.
func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("/etc/sidekick.yaml", []byte(text), lookupIn(testEnv))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, []byte(text)); err != nil {
		t.Errorf("the schema refuses it: %v\n%s", err, text)
	}
	return c
}

func load(t *testing.T, path string) *Config {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(data))
}

func diff(want, got any) string {
	return cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}))
}

func TestDefaults(t *testing.T) {
	want := &Config{
		ShutdownTimeout: 8 * time.Second,
		Programs: []Program{{
			Name:   "web",
			Group:  "web",
			Launch: Launch{Command: []string{"node", "server.js"}},
			Policy: Policy{
				Autostart:        true,
				Restart:          Restart{Mode: RestartOnFailure, Max: 10},
				SuccessExitCodes: []int{0},
				Backoff: Backoff{
					Initial: 100 * time.Millisecond, Max: 30 * time.Second, ResetAfter: 10 * time.Second,
					Factor: 2, Jitter: 0.1,
				},
				MinUptime:       time.Second,
				Essential:       true,
				StopSignal:      syscall.SIGTERM,
				StopGracePeriod: 5 * time.Second,
				KillMode:        KillMixed,
				StartTimeout:    time.Minute,
				Logging:         Logging{To: LogStdout, Format: LogText, MaxSize: 10_000_000, MaxFiles: 5},
			},
		}},
		Registry: Registry{
			TTL:    20 * time.Second,
			Drain:  time.Second,
			Docker: Docker{Host: "unix:///var/run/docker.sock"},
			Format: []Format{FormatPlain},
			Domain: "cluster.local",
		},
		Control: Control{Mode: 0o600},
	}
	if d := diff(want, load(t, "testdata/good/defaults.yaml")); d != "" {
		t.Error(d)
	}
}

func TestEveryKey(t *testing.T) {
	web := DefaultProgram("web")
	web.Launch = Launch{
		Command:    []string{"node", "/srv/my app/server.js", "--port", "9000", "--name", "a b"},
		WorkingDir: "/srv",
		Environment: []string{
			"COST=$5 and $6", "DEBUG=no", "EMPTY=", "LEVEL=info", "OCTAL=0755", "PORT=9000",
		},
	}
	web.Policy = Policy{
		Autostart:        false,
		Restart:          Restart{Mode: RestartAlways},
		SuccessExitCodes: []int{0, 143},
		Backoff:          Backoff{Initial: time.Second, Max: 2 * time.Second, ResetAfter: time.Minute, Factor: 1.5},
		DependsOn:        []Dependency{{"db", Healthy}, {"migrate", Completed}, {"cache", Started}},
		StopSignal:       syscall.SIGHUP,
		StopGracePeriod:  10 * time.Second,
		KillMode:         KillGroup,
		StartTimeout:     time.Minute,
		Logging:          DefaultProgram("").Policy.Logging,
		Checks: []Check{{
			Kind: ProbeHTTP, URL: "http://:8000/healthz?full=1",
			Headers: map[string]string{"X-Probe": "1"}, Status: []int{200, 204},
			Interval: time.Second, Timeout: 500 * time.Millisecond, Retries: 3,
			StartPeriod: 20 * time.Second, StartInterval: 100 * time.Millisecond,
		}},
		Register: []Registration{
			{Port: Port{8000, "tcp"}, Key: "service"},
			{Port: Port{53, "udp"}, Key: "dns/udp", Advertise: Advertise{netip.MustParseAddr("2001:db8::1"), 5353}},
		},
	}
	db := DefaultProgram("db")
	db.Launch = Launch{Command: []string{"db", "--name=x y", ""}, Environment: []string{"A=1", "B=x=y"}}
	db.Policy.Restart = Restart{Mode: RestartNo}
	db.Policy.StopSignal = syscall.SIGKILL
	db.Policy.KillMode = KillProcess
	db.Policy.Checks = []Check{TCPCheck(5432)}
	db.Policy.Register = []Registration{{Port: Port{5432, "tcp"}, Key: "db/main"}}
	migrate := DefaultProgram("migrate")
	migrate.Launch.Command, migrate.Launch.Inherit = []string{"migrate"}, true
	migrate.Policy.Logging.To = LogInherit
	migrate.Policy.Restart = Restart{Mode: RestartOnFailure}
	migrate.Policy.DependsOn = []Dependency{{"db", Started}}
	cache := DefaultProgram("cache")
	cache.Launch.Command = []string{"cache", "--memory", "10"}
	cache.Policy.Restart = Restart{Mode: RestartOnFailure, Max: 3}
	cache.Policy.StopSignal = syscall.Signal(37)
	check := DefaultCheck()
	check.Kind, check.Address = ProbeTCP, "cache.local:6379"
	cache.Policy.Checks = []Check{check}

	want := &Config{
		ShutdownTimeout: 30 * time.Second,
		Programs:        []Program{web, db, migrate, cache, confined()},
		Registry: Registry{
			Etcd: &Etcd{
				Endpoints: []string{"http://10.1.0.101:2379", "https://[::1]:2379"},
				Username:  "u", PasswordFile: "/etc/secrets/p",
				TLS: &TLS{CAFile: "/etc/ca.pem", CertFile: "/c.pem", KeyFile: "/k.pem", ServerName: "etcd"},
			},
			TTL:    time.Minute,
			Drain:  5 * time.Second,
			Docker: Docker{Host: "tcp://proxy:2375", Container: "abc123"},
			Format: []Format{FormatPlain, FormatSkyDNS, FormatTraefik},
			Domain: "prod.example",
		},
		Control: Control{Socket: "/etc/run/s.sock", Mode: 0o660, Group: "adm", Metrics: ":9180", Supervisorctl: "/etc/run/supervisor.sock"},
	}
	if d := diff(want, load(t, "testdata/good/all.yaml")); d != "" {
		t.Error(d)
	}
}

// confined is the program of good/all.yaml with the keys about its process.
func confined() Program {
	p := DefaultProgram("confined")
	p.Launch = Launch{
		Command:     []string{"x"},
		EnvFromFile: []EnvFromFile{{"API_KEY", "/run/secrets/api"}, {"DB_PASS", "/etc/secrets/db"}},
		User:        "app", Group: "1000",
		Limits: Limits{
			Ulimits: []Ulimit{{"core", 0, 0}, {"memlock", 1 << 16, math.MaxUint64}, {"nofile", 1024, 65536}, {"nproc", math.MaxUint64, math.MaxUint64}},
			Umask:   new(uint32(0o027)), Nice: new(-5), OOMScoreAdj: new(500), NoNewPrivileges: true,
			CapDrop: []string{"ALL"}, CapAdd: []string{"CAP_CHOWN", "CAP_NET_BIND_SERVICE"},
		},
		Notify: true, Watchdog: 30 * time.Second,
	}
	p.Policy.StartTimeout = 5 * time.Minute
	p.Policy.Logging = Logging{To: LogFile, Format: LogJSON, Path: "/etc/log/confined.log", MaxSize: 512 << 20, MaxFiles: 3}
	p.Policy.RestartUnhealthy = true
	check := DefaultCheck()
	check.Kind, check.Command = ProbeExec, []string{"pg_isready", "-U", "my user"}
	p.Policy.Checks = []Check{check}
	return p
}

// A watchdog is health: it needs no probe beside it to be acted on or waited for.
func TestWatchdogWithoutProbe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.yaml")
	text := "programs:\n  a: {command: a, notify: true, watchdog: 1s, healthcheck: {on_failure: restart}}\n  b: {command: b, depends_on: {a: healthy}}\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if p := load(t, path).Programs[0].Policy; len(p.Checks) != 0 || !p.RestartUnhealthy {
		t.Errorf("%+v", p)
	}
}

// TestContractKeys wants every key of the public contract to be built.
func TestContractKeys(t *testing.T) {
	if _, err := Load("testdata/contract.yaml", lookupIn(nil)); err != nil {
		t.Error(err)
	}
}

// TestScalarForms wants what people write for one thing to be read alike.
func TestScalarForms(t *testing.T) {
	const head = "programs:\n  a:\n    command: a\n    "
	policy := func(f func(*Policy)) Policy {
		p := DefaultProgram("a").Policy
		f(&p)
		return p
	}
	for text, want := range map[string]Policy{
		`restart: "no"`:               policy(func(p *Policy) { p.Restart = Restart{Mode: RestartNo} }),
		`restart: false`:              policy(func(p *Policy) { p.Restart = Restart{Mode: RestartNo} }),
		`restart: on-failure:${PORT}`: policy(func(p *Policy) { p.Restart.Max = 9000 }),
		`essential: "False"`:          policy(func(p *Policy) { p.Essential = false }),
		`essential: ${FLAG:-off}`:     policy(func(p *Policy) { p.Essential = false }),
		`<<: [{restart: always}, {restart: no, essential: no}]`: policy(func(p *Policy) {
			p.Restart = Restart{Mode: RestartAlways} // the first source wins
			p.Essential = false
		}),
		`stop_signal: 15`:           policy(func(*Policy) {}),
		`stop_signal: "term"`:       policy(func(*Policy) {}),
		`stop_signal: STOP`:         policy(func(p *Policy) { p.StopSignal = syscall.SIGSTOP }),
		`stop_grace_period: 0`:      policy(func(p *Policy) { p.StopGracePeriod = 0 }),
		`success_exit_codes: []`:    policy(func(p *Policy) { p.SuccessExitCodes = []int{} }),
		`depends_on: []`:            policy(func(*Policy) {}),
		`healthcheck: {tcp: 80}`:    policy(func(p *Policy) { p.Checks = []Check{TCPCheck(80)} }),
		`healthcheck: {tcp: ":80"}`: policy(func(p *Policy) { p.Checks = []Check{TCPCheck(80)} }),
		`healthcheck: {http: "80"}`: policy(func(p *Policy) { p.Checks = []Check{HTTPCheck(80, "/")} }),
		`healthcheck: {grpc: 80}`: policy(func(p *Policy) {
			p.Checks = []Check{TCPCheck(80)}
			p.Checks[0].Kind = ProbeGRPC
		}),
		`healthcheck: {http: {port: 80, status: 204}}`: policy(func(p *Policy) {
			p.Checks = []Check{HTTPCheck(80, "/")}
			p.Checks[0].Status = []int{204}
		}),
		`healthcheck: {http: "https://host/x?y"}`: policy(func(p *Policy) {
			p.Checks = []Check{HTTPCheck(80, "/")}
			p.Checks[0].URL = "https://host/x?y"
		}),
	} {
		if d := diff(want, parse(t, head+text).Programs[0].Policy); d != "" {
			t.Errorf("%s: %s", text, d)
		}
	}
}

func TestCommandForms(t *testing.T) {
	for text, want := range map[string][]string{
		`a b`:                                {"a", "b"},
		`"run ${SPACED} x"`:                  {"run", "a", "b", "x"},
		`"run '${SPACED}' x"`:                {"run", "a  b", "x"},
		`[run, "${SPACED}"]`:                 {"run", "a  b"},
		`[run, 8000, no, ""]`:                {"run", "8000", "no", ""},
		`sh -c 'echo $$HOME $USER $${USER}'`: {"sh", "-c", "echo $HOME $USER ${USER}"},
		`>
      folded
      'x y'`: {"folded", "x y"},
	} {
		c := parse(t, "programs:\n  a:\n    command: "+text+"\n")
		if d := cmp.Diff(want, c.Programs[0].Launch.Command); d != "" {
			t.Errorf("%s: %s", text, d)
		}
	}
}

// TestGuards: which check guards which registration.
func TestGuards(t *testing.T) {
	const tail = "\nregistry: {etcd: {endpoints: [http://e:1]}}\n"
	for _, tc := range []struct {
		name, program string
		checks        []Check
		guards        []int
	}{
		{"default checks", "register: [{port: 1}, {port: 2/udp}, {port: 3}, {port: 1, key: other}]",
			[]Check{TCPCheck(1), TCPCheck(3)}, []int{0, -1, 1, 0}},
		{"healthcheck", "healthcheck: {tcp: 9}, register: [{port: 1}, {port: 2/udp}]",
			[]Check{TCPCheck(9)}, []int{0, 0}},
		{"udp alone", "register: {port: 2/udp}", nil, []int{-1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			policy := parse(t, "programs: {a: {command: a, "+tc.program+"}}"+tail).Programs[0].Policy
			var guards []int
			for _, r := range policy.Register {
				guards = append(guards, r.Check)
			}
			if !slices.Equal(guards, tc.guards) {
				t.Errorf("guards %v, want %v", guards, tc.guards)
			}
			if d := cmp.Diff(tc.checks, policy.Checks); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAdvertiseIsMerged(t *testing.T) {
	c := parse(t, `
programs:
  a: {command: a, register: {port: 1}}
  b: {command: b, register: {port: 2, advertise: {ip: "::ffff:10.0.0.2", port: 80}}}
registry: {etcd: {endpoints: "http://e:1, http://f:2"}, advertise: {ip: 10.0.0.1}}
`)
	var got []Advertise
	for _, p := range c.Programs {
		got = append(got, p.Policy.Register[0].Advertise)
	}
	want := []Advertise{{IP: netip.MustParseAddr("10.0.0.1")}, {IP: netip.MustParseAddr("10.0.0.2"), Port: 80}}
	if d := diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"http://e:1", "http://f:2"}, c.Registry.Etcd.Endpoints); d != "" {
		t.Error(d)
	}
}

func TestAdvertisedPortOfOne(t *testing.T) {
	c := parse(t, `
programs: {a: {command: a, register: {port: 1}}}
registry: {etcd: {endpoints: "http://e:1"}, advertise: {port: 80}}
`)
	if d := diff(Advertise{Port: 80}, c.Programs[0].Policy.Register[0].Advertise); d != "" {
		t.Error(d)
	}
}

func TestDockerHost(t *testing.T) {
	const head = "programs: {a: {command: a}}\nregistry: {docker: {host: \""
	env := lookupIn(map[string]string{"DOCKER_HOST": "tcp://env:2375"})
	for text, want := range map[string]string{"": "tcp://env:2375", "unix:///x.sock": "unix:///x.sock"} {
		c, err := Parse("f.yaml", []byte(head+text+"\"}}"), env)
		if err != nil {
			t.Fatal(err)
		}
		if c.Registry.Docker.Host != want {
			t.Errorf("host %q gives %q, want %q", text, c.Registry.Docker.Host, want)
		}
	}
}

// TestBadDockerHostOfEnvironment is no problem where Docker is never asked.
func TestBadDockerHostOfEnvironment(t *testing.T) {
	env := lookupIn(map[string]string{"DOCKER_HOST": "ssh://host"})
	for _, text := range []string{
		"programs: {a: {command: a}}",
		"programs: {a: {command: a}}\nregistry: {etcd: {endpoints: ['http://e:1']}}",
		"programs: {a: {command: a, register: {port: 80}}}\nregistry: {etcd: {endpoints: ['http://e:1']}, advertise: {ip: 10.0.0.1, port: 1}}",
		"programs: {a: {command: a, register: {port: 80, advertise: {port: 1}}}}\nregistry: {etcd: {endpoints: ['http://e:1']}, advertise: {ip: 10.0.0.1}}",
	} {
		if _, err := Parse("f.yaml", []byte(text), env); err != nil {
			t.Error(err)
		}
	}
}

// TestRelativePaths: they start at the directory of the file.
func TestRelativePaths(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Mkdir("conf", 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("conf", "s.yaml")
	if err := os.WriteFile(path, []byte("programs: {a: {command: ./a, working_dir: app}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, lookupIn(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := Launch{Command: []string{"./a"}, WorkingDir: filepath.Join(dir, "conf", "app")}
	if d := cmp.Diff(want, c.Programs[0].Launch); d != "" {
		t.Error(d)
	}
}

// TestDocumentedFile: what docs/file.md shows can be used.
func TestDocumentedFile(t *testing.T) {
	text, err := os.ReadFile("../docs/file.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```yaml\n")
	file, _, _ := strings.Cut(blocks[1], "```")
	path := writeFiles(t, map[string]string{"sidekick.yaml": file, "web.env": ""})
	if _, err := Load(path, lookupIn(nil)); err != nil {
		t.Error(err)
	}
	for key := range (&program{}).keys() {
		if !strings.Contains(file, "\n    "+key+":") {
			t.Errorf("docs/file.md does not name %s", key)
		}
	}
}

// TestMigrationPages: every file that the pages for newcomers show can be used,
// and is what the schema says.
func TestMigrationPages(t *testing.T) {
	pages, err := filepath.Glob("../docs/migrating-from-*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal("no pages", err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
			file, _, _ := strings.Cut(block, "```")
			if !strings.Contains(file, "\nprograms:") && !strings.HasPrefix(file, "programs:") {
				continue // a part of one
			}
			_, err := Parse("/etc/sidekick.yaml", []byte(file), lookupIn(map[string]string{"QUEUE": "jobs"}))
			if err := errors.Join(err, validate(t, []byte(file))); err != nil {
				t.Errorf("%s: %v\n%s", page, err, file)
			}
		}
	}
}
