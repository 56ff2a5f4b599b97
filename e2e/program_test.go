package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Every setting of a process, read from /proc of the real one.
func TestProcessSettings(t *testing.T) {
	t.Parallel()
	needRoot(t)
	i := how{cwd: "/usr"}.launch(t, `
x-still: &still {command: sleep 1000, min_uptime: 0s}
programs:
  plain: {<<: *still}
  numeric: {<<: *still, user: 54321}
  pair: {<<: *still, user: "54321:54322"}
  limits: {<<: *still, ulimits: {nofile: {soft: 111, hard: 222}, core: 0, nproc: "4096"}}
  mask: {<<: *still, umask: "027"}
  nice: {<<: *still, nice: 7, oom_score_adj: 321}
  bare: {<<: *still, cap_drop: [ALL], no_new_privileges: true}
  some: {<<: *still, cap_drop: [ALL], cap_add: [NET_BIND_SERVICE]}
  less: {<<: *still, cap_drop: [CAP_SYS_ADMIN]}
  web: {<<: *still, user: 54321, cap_drop: [ALL], cap_add: [net_bind_service]}
  there: {<<: *still, working_dir: /tmp}
`)
	pid := i.allAlive()
	own := field(t, i.pid, "CapEff")
	all, err := strconv.ParseUint(own, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ program, field, want string }{
		{"plain", "Uid", "0 0 0 0"},
		{"plain", "CapEff", own},
		{"plain", "NoNewPrivs", "0"},
		{"plain", "Umask", field(t, i.pid, "Umask")},
		{"numeric", "Uid", "54321 54321 54321 54321"},
		{"numeric", "Gid", "0 0 0 0"},
		{"numeric", "Groups", "0"},
		{"numeric", "CapEff", "0000000000000000"},
		{"numeric", "CapPrm", "0000000000000000"},
		{"pair", "Gid", "54322 54322 54322 54322"},
		{"pair", "Groups", "54322"},
		{"mask", "Umask", "0027"},
		{"mask", "Uid", "0 0 0 0"},
		{"bare", "CapEff", "0000000000000000"},
		{"bare", "CapPrm", "0000000000000000"},
		{"bare", "CapBnd", "0000000000000000"},
		{"bare", "CapInh", "0000000000000000"},
		{"bare", "NoNewPrivs", "1"},
		{"some", "CapEff", "0000000000000400"},
		{"some", "CapBnd", "0000000000000400"},
		{"less", "CapEff", fmt.Sprintf("%016x", all&^(1<<unix.CAP_SYS_ADMIN))},
		{"web", "CapEff", "0000000000000400"},
		{"web", "CapPrm", "0000000000000400"},
		{"web", "Uid", "54321 54321 54321 54321"},
	} {
		if got := field(t, pid[c.program], c.field); got != c.want {
			t.Errorf("%s: %s is %s, want %s", c.program, c.field, got, c.want)
		}
	}
	for _, c := range []struct{ program, limit, want string }{
		{"limits", "Max open files", "111 222"},
		{"limits", "Max core file size", "0 0"},
		{"limits", "Max processes", "4096 4096"},
	} {
		if got := limit(t, pid[c.program], c.limit); got != c.want {
			t.Errorf("%s: %s is %s, want %s", c.program, c.limit, got, c.want)
		}
	}
	for name, want := range map[string]string{"plain": "0", "nice": "7"} {
		if got := statField(t, pid[name], 19); got != want {
			t.Errorf("%s has nice %s, want %s", name, got, want)
		}
	}
	if data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid["nice"])); strings.TrimSpace(string(data)) != "321" {
		t.Errorf("oom_score_adj is %s", data)
	}
	if data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", i.pid)); !bytes.Equal(data, ownFile(t, "oom_score_adj")) {
		t.Errorf("sidekick's own oom_score_adj became %s", data)
	}
	for who, want := range map[int]string{i.pid: "/", pid["plain"]: "/usr", pid["numeric"]: "/usr", pid["there"]: "/tmp"} {
		if got := link(t, who, "cwd"); got != want {
			t.Errorf("%s has its working directory in %s, want %s", link(t, who, "exe"), got, want)
		}
	}
	for name, p := range pid {
		inGroupAndSession(t, name, p)
		cleanSignals(t, name, p)
	}
	i.stops()
}

func ownFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("/proc/self/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// statField is a field of /proc/PID/stat, counted from 1 as in proc(5).
func statField(t *testing.T, pid, n int) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))[n-3]
}

func inGroupAndSession(t *testing.T, name string, pid int) {
	t.Helper()
	for n, what := range map[int]string{5: "process group", 6: "session"} {
		if got := statField(t, pid, n); got != strconv.Itoa(pid) {
			t.Errorf("%s, pid %d, is in %s %s", name, pid, what, got)
		}
	}
}

// cleanSignals: nothing is blocked, ignored or caught, whatever sidekick does
// for itself. sleep catches nothing.
func cleanSignals(t *testing.T, name string, pid int) {
	t.Helper()
	for _, set := range []string{"SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"} {
		if got := field(t, pid, set); strings.Trim(got, "0") != "" {
			t.Errorf("%s has %s %s", name, set, got)
		}
	}
}

// Under sidekick as PID 1, which was started with a lower limit, an ignored
// signal and descriptors of its own, a program knows of none of it.
func TestProgramStartsClean(t *testing.T) {
	t.Parallel()
	h := pid1(`exec 5</etc/passwd 6>/dev/null 9</etc/passwd; trap "" HUP USR1 PIPE; ulimit -Sn 512; ulimit -Hn 4096; umask 011`)
	needRoot(t)
	i := h.launch(t, `
programs:
  direct: {command: sleep 1000, min_uptime: 0s}
  shim: {command: sleep 1000, min_uptime: 0s, user: nobody}
`)
	i.allAlive()
	programs := processes(i.pid)
	if len(programs) != 2 {
		t.Fatalf("below sidekick are %+v", programs)
	}
	for _, p := range programs {
		fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.pid))
		if err != nil || len(fds) != 3 {
			t.Errorf("descriptors %v, %v", fds, err)
		}
		if got := link(t, p.pid, "fd/0"); got != "/dev/null" {
			t.Errorf("stdin is %s", got)
		}
		if got := limit(t, p.pid, "Max open files"); got != "512 4096" {
			t.Errorf("open files: %s", got)
		}
		if got := field(t, p.pid, "Umask"); got != "0011" {
			t.Errorf("umask %s", got)
		}
		cleanSignals(t, p.command, p.pid)
		if got := statField(t, p.pid, 5); got == "0" {
			t.Error("it is in the process group of the outside")
		}
	}
	if got := limit(t, i.pid, "Max open files"); !strings.HasSuffix(got, " 4096") {
		t.Errorf("sidekick's own open files: %s", got)
	}
	i.stops()
}

// A user with a name, a home and groups comes out of files that only this
// sidekick sees.
func TestProgramRunsAsUser(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h := pid1(`
printf 'root:x:0:0::/root:/bin/sh\napp:x:4001:4002::/home/app:/bin/sh\n' > "$DIR/passwd"
printf 'root:x:0:\napp:x:4002:\nextra:x:4003:app\nother:x:4004:bob\nmore:x:4005:bob,app\n' > "$DIR/group"
mount --bind "$DIR/passwd" /etc/passwd && mount --bind "$DIR/group" /etc/group`)
	h.env = []string{"HOME=/of/sidekick", "USER=sidekick", "LOGNAME=sidekick"}
	i := h.launch(t, `
x-who: &who
  command: [sh, -c, 'echo $(id -u) $(id -g) $(id -G) home=$HOME user=$USER logname=$LOGNAME']
  restart: no
  essential: false
  environment: []
programs:
  named: {<<: *who, user: app}
  group: {<<: *who, user: "app:other"}
  number: {<<: *who, user: 4001}
  nobody: {<<: *who, user: "7777:8888"}
  home: {<<: *who, user: app, environment: {HOME: /elsewhere, USER: mine}}
  absent: {<<: *who, user: nosuch}
  nogroup: {<<: *who, user: "app:nosuch"}
  steady: {command: sleep 1000}
`)
	for _, want := range []string{
		"named   | 4001 4002 4002 4003 4005 home=/home/app user=app logname=app",
		"group   | 4001 4004 4004 4003 4005 home=/home/app user=app logname=app",
		"number  | 4001 4002 4002 4003 4005 home=/home/app user=app logname=app",
		"nobody  | 7777 8888 8888 home=/ ",
		"home    | 4001 4002 4002 4003 4005 home=/elsewhere user=mine logname=app",
	} {
		i.says(want)
	}
	for name, want := range map[string]string{"absent": "cannot find user nosuch in /etc/passwd", "nogroup": "cannot find group nosuch in /etc/group"} {
		i.reaches(name, "FATAL")
		if got := i.status(name).Reason; !strings.Contains(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	i.stops()
}

// Where sidekick may not do what the file says, the start fails and says why.
func TestImpossibleSettingsAreFailedStarts(t *testing.T) {
	t.Parallel()
	h := how{uid: 54321, cwd: "/"}
	i := h.launch(t, `
x-still: &still {command: sleep 1000, min_uptime: 0s, restart: no, essential: false}
programs:
  steady: {command: sleep 1000, min_uptime: 0s}
  nice: {<<: *still, nice: -5}
  oom: {<<: *still, oom_score_adj: -999}
  root: {<<: *still, user: root}
  limit: {<<: *still, ulimits: {nofile: 99999999}}
  add: {<<: *still, cap_add: [NET_ADMIN]}
  group: {<<: *still, user: "54321:7"}
  lower: {<<: *still, nice: 5, umask: "077", ulimits: {nofile: 64}, no_new_privileges: true, oom_score_adj: 900}
`)
	for name, want := range map[string]string{
		"nice":  "cannot set nice -5: ",
		"oom":   "cannot set oom_score_adj -999: ",
		"root":  "operation not permitted",
		"limit": "cannot set ulimit nofile to 99999999: operation not permitted",
		"add":   "cannot add CAP_NET_ADMIN: operation not permitted",
		"group": "operation not permitted",
	} {
		i.reaches(name, "FATAL")
		if got := i.status(name).Reason; !strings.Contains(got, want) {
			t.Errorf("%s: reason %q, want %q in it", name, got, want)
		}
	}
	pid := i.alive("lower")
	if got := field(t, pid, "Umask") + " " + limit(t, pid, "Max open files") + " " + statField(t, pid, 19); got != "0077 64 64 5" {
		t.Errorf("lower has %s", got)
	}
	i.alive("steady")
	i.stops()
}

// own < env_file < environment < env_from_file.
func TestEnvironmentPrecedence(t *testing.T) {
	t.Parallel()
	h := how{env: []string{"A=own", "B=own", "C=own", "D=own", "EQ=a=b=c", "EMPTY="}}
	dir := t.TempDir()
	write(t, dir, "web.env", "# a comment\nB=env_file\nC=env_file\nD=env_file\nQUOTED=\"two words\"\nURL=x=y=z\n")
	write(t, dir, "secret", "from_file\n")
	write(t, dir, "padded", " two\nlines \n\n")
	i := h.launch(t, `
programs:
  web:
    command: sleep 1000
    min_uptime: 0s
    env_file: [`+dir+`/web.env]
    environment: {C: environment, D: environment, FROM: "${EQ}", COST: "5$$"}
    env_from_file: {D: `+dir+`/secret, PADDED: `+dir+`/padded}
`)
	env := environ(t, i.alive("web"))
	for _, want := range []string{"A=own", "B=env_file", "C=environment", "D=from_file", "QUOTED=two words", "URL=x=y=z",
		"EQ=a=b=c", "FROM=a=b=c", "EMPTY=", "COST=5$", "PADDED= two\nlines \n"} {
		name, _, _ := strings.Cut(want, "=")
		got := slices.DeleteFunc(slices.Clone(env), func(s string) bool { return !strings.HasPrefix(s, name+"=") })
		if !slices.Equal(got, []string{want}) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	i.stops()
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A secret is read at each start, and shown nowhere.
func TestSecretIsReadAtEachStartAndNeverShown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := `
programs:
  web:
    command: sleep 1000
    min_uptime: 0s
    restart: always
    backoff: {initial: 20ms, max: 20ms}
    env_from_file: {PASS: ` + dir + `/pass}
`
	i := runPlain(t, file)
	i.logs(dir + "/pass") // is missing
	eventually(t, "web is BACKOFF and says why", func() bool {
		s := i.status("web")
		return s.State == "BACKOFF" && strings.Contains(s.Reason, "env_from_file PASS: open "+dir+"/pass: no such file or directory")
	})
	var shown strings.Builder
	for n, secret := range []string{"hunter2-first", "hunter2-second"} {
		write(t, dir, "pass", secret+"\n")
		if n > 0 {
			if _, errs, code := i.sidekick("restart", "web"); code != 0 {
				t.Fatal(errs)
			}
		}
		if env := environ(t, i.alive("web")); !slices.Contains(env, "PASS="+secret) {
			t.Errorf("start %d: the environment lacks %q", n, secret)
		}
		for _, args := range [][]string{{"status"}, {"status", "-o", "json"}, {"reload", "--dry-run"}, {"check", "-c", i.config()}} {
			out, errs, _ := i.sidekick(args...)
			shown.WriteString(out + errs)
		}
		for _, path := range []string{"/v1/programs", "/v1/programs/web", "/v1/registrations", "/v1/health"} {
			shown.WriteString(i.get(path))
		}
	}
	i.rewrite(strings.Replace(file, "PASS:", "PASS2:", 1))
	out, errs, _ := i.sidekick("reload")
	shown.WriteString(out + errs)
	i.alive("web")
	i.stops()
	for _, text := range []string{shown.String(), i.log(), i.out()} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the secret is shown:\n%s", text)
		}
	}
	if cmdline, err := exec.Command("grep", "-rl", "hunter2", i.dir).Output(); err == nil {
		t.Errorf("the secret is in %s", cmdline)
	}
}

// get asks the control API.
func (i *instance) get(path string) string {
	i.t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", i.socket)
	}}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Get("http://sidekick" + path)
	if err != nil {
		i.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		i.t.Fatal(err)
	}
	return string(body)
}
