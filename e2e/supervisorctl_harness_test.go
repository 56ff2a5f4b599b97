package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pair is the real supervisord and sidekick, each with the same programs, and for
// each a supervisorctl. Both are PID 1 of a pid namespace.
type pair struct {
	t        *testing.T
	theirs   side
	ours     side
	sidekick *instance
}

// side is a server and how supervisorctl runs against it.
type side struct {
	socket string
	conf   string // its file
	ctl    *ctl
}

// startPair starts both with the files given, as soon as each has its socket.
func startPair(t *testing.T, conf, yaml string) *pair {
	t.Helper()
	needRoot(t)
	supervisord, script := find(t, "supervisord"), find(t, "supervisorctl")
	dir := t.TempDir()
	p := &pair{t: t}
	p.theirs = side{socket: filepath.Join(dir, "d.sock"), conf: filepath.Join(dir, "supervisord.conf")}
	p.theirs.write(t, conf)
	p.theirs.runSupervisord(t, supervisord)

	ourSocket := filepath.Join(dir, "k.sock")
	p.sidekick = runPID1(t, yaml, "CTL="+ourSocket)
	p.ours = side{socket: ourSocket, conf: p.sidekick.config()}
	for _, s := range []*side{&p.theirs, &p.ours} {
		s.ctl = startCtl(t, script, s.socket)
		eventually(t, "it listens on "+s.socket, func() bool { _, err := s.states(); return err == nil })
	}
	return p
}

func find(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name+", of the package supervisor")
	}
	return path
}

// write replaces the file of a side.
func (s *side) write(t *testing.T, text string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(s.conf+"~", []byte(text), 0o644), os.Rename(s.conf+"~", s.conf)); err != nil {
		t.Fatal(err)
	}
}

// runSupervisord runs it until the end of the test, in a pid namespace that ends
// with it.
func (s *side) runSupervisord(t *testing.T, path string) {
	t.Helper()
	cmd := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--", path, "-n", "-c", s.conf)
	cmd.Dir = filepath.Dir(s.conf)
	var out bytes.Buffer // read when Wait has returned
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("supervisord:\n%s", out.String())
		}
	})
}

// forkServer is a Python that has loaded what supervisorctl needs, which takes it
// longer than anything else, and then forks for each line of arguments a child
// that runs the unmodified script.
const forkServer = `
import json, os, runpy, signal, sys, tempfile
import importlib.metadata, supervisor.supervisorctl, readline, xml.parsers.expat
script = sys.argv[1]
for line in sys.stdin:
    out = tempfile.TemporaryFile()
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
        sys.argv = [script] + json.loads(line)
        code = 0
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as e:
            code = e.code or 0
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    out.seek(0)
    print(json.dumps({"code": code, "out": out.read().decode()}), flush=True)
`

// ctl runs supervisorctl against one server.
type ctl struct {
	t      *testing.T
	socket string
	script string
	in     io.WriteCloser
	out    *bufio.Scanner
}

// transcript is what a supervisorctl printed, on both of its outputs, and its exit
// code.
type transcript struct {
	Code int
	Out  string
}

func startCtl(t *testing.T, script, socket string) *ctl {
	t.Helper()
	cmd := exec.Command(interpreter(t, script), "-c", forkServer, script)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // ends it
		_ = cmd.Wait()
	})
	c := &ctl{t, socket, script, in, bufio.NewScanner(out)}
	c.out.Buffer(nil, 4<<20)
	return c
}

// interpreter is the Python of a script, which has the modules that it needs.
func interpreter(t *testing.T, script string) string {
	t.Helper()
	text, err := os.ReadFile(script)
	line, _, _ := strings.Cut(string(text), "\n")
	words := strings.Fields(strings.TrimPrefix(line, "#!"))
	if err != nil || len(words) == 0 {
		t.Fatalf("%s is no script: %v", script, err)
	}
	return words[0]
}

// run runs one supervisorctl to its end.
func (c *ctl) run(args ...string) (got transcript) {
	line, _ := json.Marshal(append([]string{"-s", "unix://" + c.socket}, args...))
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		c.t.Error(err)
		return got
	}
	if !c.out.Scan() {
		c.t.Error("the fork server is gone")
		return got
	}
	if err := json.Unmarshal(c.out.Bytes(), &got); err != nil {
		c.t.Error(err)
	}
	return got
}

// watch starts a supervisorctl that goes on, and returns what it prints to stdout,
// a pipe to its stdin, and a function that interrupts it, if asked to, and waits
// for its exit code.
func (c *ctl) watch(args ...string) (out func() string, in io.WriteCloser, end func(interrupt bool) int) {
	c.t.Helper()
	cmd := exec.Command(c.script, append([]string{"-s", "unix://" + c.socket}, args...)...)
	var mu sync.Mutex
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = locked{&mu, &b}, os.Stderr
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	ended := sync.OnceFunc(func() { _ = cmd.Wait() })
	c.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		ended()
	})
	out = func() string {
		mu.Lock()
		defer mu.Unlock()
		return b.String()
	}
	return out, in, func(interrupt bool) int {
		if interrupt {
			_ = cmd.Process.Signal(os.Interrupt)
		}
		ended()
		return cmd.ProcessState.ExitCode()
	}
}

// masks is all that two transcripts may differ in.
var masks = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`pid [1-9]\d*, uptime \d+:\d\d:\d\d`), "pid N, uptime T"}, // status
	{regexp.MustCompile(`(?m)^[1-9]\d*$`), "PID"},                                 // pid
	{regexp.MustCompile(`(?m)[A-Z][a-z]{2} \d\d \d\d:\d\d [AP]M$`), "DATE"},       // status
	{regexp.MustCompile(`unix://\S+\.sock`), "SOCKET"},                            // error messages
}

// normal is a transcript without that. What is done to all of a group or to all
// programs is told in the order of their ends, so these lines are sorted.
func (s *side) normal(command string, got transcript) string {
	for _, m := range masks {
		got.Out = m.what.ReplaceAllString(got.Out, m.with)
	}
	lines := strings.Split(got.Out, "\n")
	if verb, what, _ := strings.Cut(command, " "); verb != "status" && (what == "all" || strings.HasSuffix(what, ":*")) {
		slices.Sort(lines)
	}
	return fmt.Sprintf("%s\nexit code %d", strings.Join(lines, "\n"), got.Code)
}

// same runs the commands, one after another but each on both sides at once, when
// both have come to rest in the same states, and compares the transcripts.
func (p *pair) same(commands ...string) {
	p.t.Helper()
	for _, command := range commands {
		p.settle()
		ours, theirs := p.both(command)
		if d := cmp.Diff(p.theirs.normal(command, theirs), p.ours.normal(command, ours)); d != "" {
			p.t.Errorf("supervisorctl %s: - supervisord, + sidekick\n%s", command, d)
		}
	}
}

func (p *pair) both(command string) (ours, theirs transcript) {
	args := strings.Fields(command)
	var both sync.WaitGroup
	both.Go(func() { ours = p.ours.ctl.run(args...) })
	both.Go(func() { theirs = p.theirs.ctl.run(args...) })
	both.Wait()
	return ours, theirs
}

// moving is what will be another state soon: once and bad end by themselves.
var moving = regexp.MustCompile("STARTING|STOPPING|BACKOFF|(once|bad) RUNNING")

// settle waits until nothing is on its way on either side and both are in the same
// states.
func (p *pair) settle() {
	p.t.Helper()
	var ours, theirs string
	defer func() {
		if p.t.Failed() && ours != theirs {
			p.t.Logf("supervisord: %s\nsidekick: %s", theirs, ours)
		}
	}()
	eventually(p.t, "both have come to rest alike", func() bool {
		ours, _ = p.ours.states()
		theirs, _ = p.theirs.states()
		return ours != "" && ours == theirs && !moving.MatchString(ours)
	})
}

// written waits until a program's outputs end in these texts, on both sides.
func (p *pair) written(program, stdout, stderr string) {
	p.t.Helper()
	for _, s := range []*side{&p.ours, &p.theirs} {
		for stream, text := range map[string]string{"Stdout": stdout, "Stderr": stderr} {
			eventually(p.t, program+" has written", func() bool {
				answer, _ := s.post(fmt.Sprintf("<methodCall><methodName>supervisor.readProcess%sLog</methodName><params><param><value>%s</value></param>"+
					"<param><value><int>-%d</int></value></param><param><value><int>0</int></value></param></params></methodCall>", stream, program, len(text)))
				return strings.Contains(strings.ReplaceAll(answer, "&#xA;", "\n"), text)
			})
		}
	}
}

var nameOrState = regexp.MustCompile(`<name>(name|group|statename)</name>\s*<value><string>([^<]*)`)

// states is what getAllProcessInfo says of states.
func (s *side) states() (string, error) {
	answer, err := s.post("<methodCall><methodName>supervisor.getAllProcessInfo</methodName></methodCall>")
	if err != nil {
		return "", err
	}
	var all []string
	for _, info := range strings.Split(answer, "<struct>")[1:] {
		fields := map[string]string{}
		for _, m := range nameOrState.FindAllStringSubmatch(info, -1) {
			fields[m[1]] = m[2]
		}
		all = append(all, fields["group"]+":"+fields["name"]+" "+fields["statename"])
	}
	return strings.Join(all, ", "), nil
}

// post makes an XML-RPC call and returns the answer as it came.
func (s *side) post(body string) (string, error) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
		}}}
	answer, err := client.Post("http://localhost/RPC2", "text/xml", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New(answer.Status)
	}
	return string(data), err
}
