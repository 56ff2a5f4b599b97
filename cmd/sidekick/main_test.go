package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sidekick/registrar/etcd/etcdtest"
)

// asSidekick in the environment makes the test binary be sidekick.
const asSidekick = "SIDEKICK_TEST_IS_SIDEKICK"

func TestMain(m *testing.M) {
	etcdtest.RunMember()
	if os.Getenv(asSidekick) != "" {
		os.Exit(execute(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// sidekick runs a command line in a process of its own.
func sidekick(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asSidekick+"=1", "SIDEKICK_CONFIG=", "SIDEKICK_SOCKET=")
	cmd.Dir = t.TempDir()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// A wrong command line ends with 2, says what is wrong and what to try, and
// starts nothing.
func TestUsageErrors(t *testing.T) {
	const etcd = "http://127.0.0.1:1"
	for line, want := range map[string]string{
		"nonsense":                       "unknown command",
		"run --nonsense":                 "unknown flag",
		"run true":                       `cannot run "true"`,
		"run true -- true":               `cannot run "true"`,
		"run --":                         "no command after --",
		"run -c FILE -- true":            "cannot use --config",
		"run --port 8000 --etcd " + etcd: "cannot use --port",
		"run --drain 2s":                 "cannot use --drain",
		"run --ip 10.0.0.1 -- true":      "cannot register without --port and --etcd",
		"run --drain 2s -- true":         "cannot register without --port and --etcd",
		"run --port 1 --drain -1s --etcd " + etcd + " -- true":  "--drain: ",
		"run --log-format xml -- true":                          "cannot log as xml",
		"run --port 8000 -- true":                               "cannot register without --port and --etcd",
		"run --etcd " + etcd + " -- true":                       "cannot register without --port and --etcd",
		"register":                                              "cannot register without --port and --etcd",
		"register extra":                                        `unexpected argument "extra"`,
		"register --port 8000":                                  "cannot register without --port and --etcd",
		"register --port x --etcd " + etcd:                      "--port: ",
		"register --port 0 --etcd " + etcd:                      "--port: ",
		"register --port 1 --etcd ftp://h":                      "etcd",
		"register --port 1 --etcd h:1,":                         "etcd",
		"register --key / --port 1 --etcd " + etcd:              "--key: ",
		"register --ip nowhere --port 1 --etcd " + etcd:         "--ip: ",
		"register --docker pigeon://x --port 1 --etcd " + etcd:  "pigeon",
		"register --ttl 1s --port 1 --etcd " + etcd:             "--ttl: ",
		"register --ttl 5500ms --port 1 --etcd " + etcd:         "--ttl: ",
		"register --ttl soon --port 1 --etcd " + etcd:           "--ttl",
		"register --check ping --port 1 --etcd " + etcd:         "--check: ",
		"register --check http:healthz --port 1 --etcd " + etcd: "--check: ",
		"register --check tcp --port 53/udp --etcd " + etcd:     "--check: ",
		"register --check http:/x --port 53/udp --etcd " + etcd: "--check: ",
		"status -o xml":                                         `cannot print "xml"`,
		"start":                                                 "too few arguments: write sidekick start NAME…|all",
		"statu":                                                 `unknown command "statu", did you mean "status"?`,
		"convert a b":                                           `unexpected argument "b"`,
		"status --nonsense":                                     "try: sidekick status --help",
		"signal HUP":                                            "try: sidekick signal --help",
		"signal FOO web":                                        "cannot send that: ",
		"start --timeout 5 web":                                 "cannot read the command line: ",
		"restart web --timeout 0s":                              "--timeout",
		"schema extra":                                          `unexpected argument "extra"`,
		"completion":                                            "too few arguments",
		"completion tcsh":                                       "invalid argument \"tcsh\"",
		"check extra":                                           `unexpected argument "extra"`,
		"exec":                                                  "cannot be run by hand",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, code := sidekick(t, strings.Fields(line)...)
			if code != exitUsage || stdout != "" {
				t.Errorf("exit code %d, stdout %q", code, stdout)
			}
			if !strings.HasPrefix(stderr, "error: ") || !strings.Contains(stderr, want) {
				t.Errorf("it says %q, not %q", stderr, want)
			}
			if line != "restart web --timeout 0s" && !strings.Contains(stderr, "\ntry: ") {
				t.Errorf("no hint: %q", stderr)
			}
		})
	}
}

// Who did not get the answer sees that in the exit code.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	file := filepath.Join(t.TempDir(), "sidekick.yaml")
	if err := os.WriteFile(file, []byte("programs: {a: {command: 'true'}}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"schema", "completion bash", "version", "--help", "check -c " + file} {
		cmd := exec.Command(os.Args[0], strings.Fields(line)...)
		var errs bytes.Buffer
		cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), asSidekick+"=1"), full, &errs
		_ = cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != exitFailed || !strings.HasPrefix(errs.String(), "error: cannot write the output: ") {
			t.Errorf("%s: exit code %d, %s", line, code, errs.String())
		}
	}
}

// Whoever reads the help of a command learns how it is used and how it ends.
func TestHelp(t *testing.T) {
	root := newRootCommand()
	for _, c := range append(root.Commands(), root) {
		if c.Hidden {
			continue
		}
		if c.Example == "" || !strings.Contains(c.Long, "Exit code") {
			t.Errorf("%s has no example or does not tell its exit codes", c.CommandPath())
		}
	}
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.yaml", "programs: {a: {command: /no/such/file, restart: no}}\n")
	users := file("users.yaml", "programs: {a: {command: 'true', user: nosuch, replicas: 2}, b: {command: 'true', user: '0:nosuch'}, c: {command: 'true', user: '54321:54321'}}\n")
	bad := file("bad.yaml", "programs:\n  a: {comand: x}\n  b: {command: y, nice: no}\n")
	for _, c := range []struct {
		line           string
		code           int
		stdout, stderr string
	}{
		{"", 0, "Usage:", ""},
		{"--help", 0, "Usage:", ""},
		{"run --help", 0, "Exit code: 0 when stopped", ""},
		{"version", 0, "sidekick " + version, ""},
		{"schema", 0, `"$schema": "https://json-schema.org/draft/2020-12/schema"`, ""},
		{"check -c " + good, 0, "ok, 1 program(s)", "warning: "},
		{"check -c " + users, 0, "ok, 4 program(s)", users + ": warning: programs.a.user: cannot find user nosuch in /etc/passwd: add it or give its id\n" +
			users + ": warning: programs.b.user: cannot find group nosuch in /etc/group: add it or give its id\n"},
		{"check -c " + bad, exitConfig, "", bad + ":2:7: programs.a.comand: "},
		{"check -c " + bad, exitConfig, "", "nothing was started"},
		{"run -c " + bad, exitConfig, "", bad + ":3:"},
		{"check", exitConfig, "", "try: name it: -c FILE"},
		{"run -c /no/such/file", exitConfig, "", "/no/such/file"},
		{"run -c no-such-file", exitConfig, "", "relative paths start at /"},
		{"run -- /no/such/file", 127, "", "cannot execute /no/such/file"},
		{"run -- " + good, 126, "", "is it executable?"},
		{"run -- " + dir, 126, "", "it is a directory"},
		{"run --log-format json -- /no/such/file", 127, "", `{"time":`},
		{"status --socket " + dir + "/s", exitNobody, "", "error: cannot reach sidekick"},
		{"start web --socket " + dir + "/s", exitNobody, "", "try: "},
		{"reload --socket " + dir + "/s", exitNobody, "", "try: "},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, code := sidekick(t, strings.Fields(c.line)...)
			if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
				t.Errorf("exit code %d, want %d\nstdout, which must have %q:\n%s\nstderr, which must have %q:\n%s",
					code, c.code, c.stdout, stdout, c.stderr, stderr)
			}
		})
	}
}
