package child

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	bind   = 10 // CAP_NET_BIND_SERVICE
	kill   = 5  // CAP_KILL
	nobody = 65534
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: it changes the user")
	}
}

// cat is what a process that was set up reads in a file of /proc/self.
func cat(t *testing.T, setup *Setup, file string) string {
	t.Helper()
	s := start(t, Spec{Path: "/bin/cat", Args: []string{"cat", "/proc/self/" + file}, Setup: setup})
	if got := s.exit(); got != (Exit{}) {
		t.Fatalf("cat ended with %s", got)
	}
	said, err := io.ReadAll(s.out)
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}

// status is /proc/self/status by name, with single blanks.
func status(t *testing.T, setup *Setup) map[string]string {
	t.Helper()
	values := map[string]string{}
	for line := range strings.Lines(cat(t, setup, "status")) {
		name, value, _ := strings.Cut(line, ":")
		values[name] = strings.Join(strings.Fields(value), " ")
	}
	return values
}

func bits(numbers ...uint) string {
	set := uint64(0)
	for _, n := range numbers {
		set |= 1 << n
	}
	return fmt.Sprintf("%016x", set)
}

func TestSetup(t *testing.T) {
	needRoot(t)
	inherited := status(t, nil)
	bounding, err := strconv.ParseUint(inherited["CapBnd"], 16, 64)
	if err != nil || bounding&(1<<bind) == 0 || bounding&(1<<kill) == 0 {
		t.Skipf("needs CAP_NET_BIND_SERVICE and CAP_KILL in the bounding set %s", inherited["CapBnd"])
	}
	all := inherited["CapBnd"]
	allButKill := fmt.Sprintf("%016x", bounding&^(1<<kill))
	user := Setup{UID: new(uint32(nobody)), GID: new(uint32(1234)), Groups: []uint32{7, 1234}}
	withCaps := func(s Setup, c *Caps) *Setup { s.Caps = c; return &s }
	only := &Caps{DropAll: true, Add: []Cap{{Number: bind}}}

	for name, c := range map[string]struct {
		setup *Setup
		want  map[string]string
	}{
		"nothing": {&Setup{}, map[string]string{"Uid": "0 0 0 0", "Umask": inherited["Umask"], "NoNewPrivs": "0",
			"Groups": inherited["Groups"], "CapBnd": all, "CapEff": inherited["CapEff"]}},
		"signals": {&Setup{}, map[string]string{"SigBlk": bits(), "SigIgn": bits(), "SigCgt": bits(), "Threads": "1"}},
		"user": {&user, map[string]string{"Uid": "65534 65534 65534 65534", "Gid": "1234 1234 1234 1234", "Groups": "7 1234",
			"CapEff": bits(), "CapPrm": bits(), "CapAmb": bits(), "CapBnd": all}},
		"group alone":       {&Setup{GID: new(uint32(1234)), Groups: []uint32{1234}}, map[string]string{"Uid": "0 0 0 0", "Gid": "1234 1234 1234 1234", "Groups": "1234"}},
		"no groups":         {&Setup{UID: new(uint32(nobody))}, map[string]string{"Groups": ""}},
		"umask":             {&Setup{Umask: new(uint32(0o027))}, map[string]string{"Umask": "0027"}},
		"no new privileges": {&Setup{NoNewPrivileges: true}, map[string]string{"NoNewPrivs": "1"}},
		"drop, root": {&Setup{Caps: &Caps{Drop: []Cap{{Number: kill}}}}, map[string]string{"CapBnd": allButKill,
			"CapPrm": allButKill, "CapEff": allButKill, "CapInh": bits(), "CapAmb": bits()}},
		"all but one, root": {&Setup{Caps: only}, map[string]string{"CapBnd": bits(bind), "CapPrm": bits(bind),
			"CapEff": bits(bind), "CapInh": bits(), "CapAmb": bits()}},
		"all but one, user": {withCaps(user, only), map[string]string{"CapBnd": bits(bind), "CapPrm": bits(bind),
			"CapEff": bits(bind), "CapInh": bits(bind), "CapAmb": bits(bind), "Uid": "65534 65534 65534 65534"}},
		"add, user": {withCaps(user, &Caps{Add: []Cap{{Number: bind}, {Number: kill}}}), map[string]string{"CapBnd": all,
			"CapPrm": bits(bind, kill), "CapEff": bits(bind, kill), "CapInh": bits(bind, kill), "CapAmb": bits(bind, kill)}},
		"drop all, user": {withCaps(user, &Caps{DropAll: true}), map[string]string{"CapBnd": bits(), "CapPrm": bits(), "CapEff": bits(), "CapAmb": bits()}},
		"everything": {&Setup{UID: user.UID, GID: user.GID, Groups: user.Groups, Umask: new(uint32(0o77)), Nice: new(3),
			OOMScoreAdj: new(9), NoNewPrivileges: true, Caps: only, Rlimits: []Rlimit{{Resource: unix.RLIMIT_NPROC, Soft: 99, Hard: 99}}},
			map[string]string{"Umask": "0077", "NoNewPrivs": "1", "CapEff": bits(bind), "CapAmb": bits(bind), "Gid": "1234 1234 1234 1234"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := status(t, c.setup)
			for name, want := range c.want {
				if got[name] != want {
					t.Errorf("%s is %q, want %q", name, got[name], want)
				}
			}
		})
	}
}

func TestSetupNice(t *testing.T) {
	fields := strings.Fields(cat(t, &Setup{Nice: new(7)}, "stat"))
	if got := fields[18]; got != "7" { // proc_pid_stat(5)
		t.Errorf("nice is %s", got)
	}
}

func TestSetupOOMScoreAdj(t *testing.T) {
	if got := cat(t, &Setup{OOMScoreAdj: new(456)}, "oom_score_adj"); got != "456\n" {
		t.Errorf("got %q", got)
	}
}

func TestSetupRlimits(t *testing.T) {
	setup := &Setup{}
	rows := map[string]Rlimit{
		"Max address space":     {Resource: unix.RLIMIT_AS, Soft: 1 << 26, Hard: 1 << 27},
		"Max core file size":    {Resource: unix.RLIMIT_CORE, Soft: 0, Hard: 0},
		"Max cpu time":          {Resource: unix.RLIMIT_CPU, Soft: 100, Hard: 101},
		"Max data size":         {Resource: unix.RLIMIT_DATA, Soft: 1 << 25, Hard: 1 << 26},
		"Max file size":         {Resource: unix.RLIMIT_FSIZE, Soft: 1 << 20, Hard: 1 << 21},
		"Max file locks":        {Resource: unix.RLIMIT_LOCKS, Soft: 10, Hard: 11},
		"Max locked memory":     {Resource: unix.RLIMIT_MEMLOCK, Soft: 4096, Hard: 8192},
		"Max msgqueue size":     {Resource: unix.RLIMIT_MSGQUEUE, Soft: 12, Hard: 13},
		"Max nice priority":     {Resource: unix.RLIMIT_NICE, Soft: 0, Hard: 0},
		"Max open files":        {Resource: unix.RLIMIT_NOFILE, Soft: 77, Hard: 88},
		"Max processes":         {Resource: unix.RLIMIT_NPROC, Soft: 1000, Hard: 2000},
		"Max resident set":      {Resource: unix.RLIMIT_RSS, Soft: 1 << 30, Hard: 1 << 31},
		"Max realtime priority": {Resource: unix.RLIMIT_RTPRIO, Soft: 0, Hard: 0},
		"Max realtime timeout":  {Resource: unix.RLIMIT_RTTIME, Soft: 5000, Hard: 6000},
		"Max pending signals":   {Resource: unix.RLIMIT_SIGPENDING, Soft: 20, Hard: 30},
		"Max stack size":        {Resource: unix.RLIMIT_STACK, Soft: 1 << 20, Hard: Unlimited},
	}
	for _, l := range rows {
		setup.Rlimits = append(setup.Rlimits, l)
	}
	number := func(n uint64) string {
		if n == Unlimited {
			return "unlimited"
		}
		return strconv.FormatUint(n, 10)
	}
	got := cat(t, setup, "limits")
	for name, l := range rows {
		row := regexp.MustCompile(regexp.QuoteMeta(name) + ` +` + number(l.Soft) + ` +` + number(l.Hard) + ` `)
		if !row.MatchString(got) {
			t.Errorf("no %s in\n%s", row, got)
		}
	}
}

// A Go process raises its own limit of open files; the program gets what the
// container was given, through the shim as well, and exactly what is configured.
func TestOpenFilesLimit(t *testing.T) {
	print := Spec{Path: "/bin/sh", Args: []string{"sh", "-c", "ulimit -Sn; ulimit -Hn"}}
	limit := func(soft, hard uint64) *Setup {
		return &Setup{Rlimits: []Rlimit{{Resource: unix.RLIMIT_NOFILE, Soft: soft, Hard: hard}}}
	}
	for name, c := range map[string]struct {
		setup *Setup
		want  string
	}{
		"directly":         {nil, "123\n456\n"},
		"through the shim": {&Setup{}, "123\n456\n"},
		"soft configured":  {limit(50, 456), "50\n456\n"},
		"both configured":  {limit(50, 60), "50\n60\n"},
	} {
		t.Run(name, func(t *testing.T) {
			print.Setup = c.setup
			if got := asked(t, limit(123, 456), print); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// The environment is the program's own, and no limit of it lets the shim fail.
func TestSetupKeepsTheEnvironment(t *testing.T) {
	huge := "HUGE=" + strings.Repeat("x", 100_000)
	env := []string{"GODEBUG=inittrace=1", "GOMAXPROCS=0", "=odd", "EMPTY=", huge}
	for range 8 {
		env = append(env, huge) // more than a socket holds at once
	}
	got := cat(t, nil, "environ")
	s := start(t, Spec{Path: "/bin/cat", Args: []string{"cat", "/proc/self/environ"}, Env: env, Setup: &Setup{}})
	said, _ := io.ReadAll(s.out)
	if want := strings.Join(env, "\x00") + "\x00"; got != "" || string(said) != want {
		t.Errorf("got %.200q… of %d bytes, want %d", said, len(said), len(want))
	}
}

func TestSetupErrors(t *testing.T) {
	for name, c := range map[string]struct {
		setup Setup
		want  string
		errno error
	}{
		"oom_score_adj":   {Setup{OOMScoreAdj: new(5000)}, "cannot set oom_score_adj 5000: invalid argument", unix.EINVAL},
		"no such limit":   {Setup{Rlimits: []Rlimit{{Resource: 1}, {Resource: 99}}}, "cannot set ulimit 99 to 0: invalid argument", unix.EINVAL},
		"soft above hard": {Setup{Rlimits: []Rlimit{{Name: "core", Resource: unix.RLIMIT_CORE, Soft: 2, Hard: 1}}}, "cannot set ulimit core to soft 2, hard 1: invalid argument", unix.EINVAL},
		"no such cap": {Setup{Caps: &Caps{Add: []Cap{{Name: "CAP_OF_THE_FUTURE", Number: 63}}}},
			"cannot add CAP_OF_THE_FUTURE: operation not permitted (sidekick itself does not have it)", unix.EPERM},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := reaper.Start(Spec{Path: "/bin/true", Args: []string{"x"}, Stdout: os.Stdout, Stderr: os.Stderr, Setup: &c.setup})
			if _, ok := errors.AsType[*SetupError](err); !ok || err.Error() != c.want || !errors.Is(err, c.errno) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	eventually(t, "failed shims are reaped", reaper.Childless)
}

// What an unprivileged sidekick cannot do is a failed start that says why.
func TestSetupUnprivileged(t *testing.T) {
	needRoot(t)
	limit := func(soft, hard uint64) []Rlimit {
		return []Rlimit{{Name: "nofile", Resource: unix.RLIMIT_NOFILE, Soft: soft, Hard: hard}}
	}
	for name, c := range map[string]struct {
		setup Setup
		want  string
	}{
		"nice":               {Setup{Nice: new(-5)}, "cannot set nice -5: permission denied (a lower value needs CAP_SYS_NICE)"},
		"oom_score_adj":      {Setup{OOMScoreAdj: new(-500)}, "cannot set oom_score_adj -500: permission denied (a lower value needs CAP_SYS_RESOURCE)"},
		"above hard":         {Setup{Rlimits: limit(100, 1000)}, "cannot set ulimit nofile to soft 100, hard 1000: operation not permitted (a higher hard limit needs CAP_SYS_RESOURCE, and nofile ends at fs.nr_open)"},
		"groups":             {Setup{UID: new(uint32(0)), GID: new(uint32(0)), Groups: []uint32{0}}, "cannot set the supplementary groups [0]: operation not permitted (it needs CAP_SETGID)"},
		"group":              {Setup{UID: new(uint32(nobody)), GID: new(uint32(0)), Groups: []uint32{nobody}}, "cannot become group 0: operation not permitted (it needs CAP_SETGID)"},
		"user":               {Setup{UID: new(uint32(0)), GID: new(uint32(nobody)), Groups: []uint32{nobody}}, "cannot become user 0: operation not permitted (it needs CAP_SETUID)"},
		"drop":               {Setup{Caps: &Caps{Drop: []Cap{{Name: "CAP_KILL", Number: kill}}}}, "cannot drop CAP_KILL: operation not permitted (it needs CAP_SETPCAP)"},
		"drop all":           {Setup{Caps: &Caps{DropAll: true}}, "cannot drop all capabilities: operation not permitted (it needs CAP_SETPCAP)"},
		"add":                {Setup{Caps: &Caps{Add: []Cap{{Number: bind}}}}, "cannot add capability 10: operation not permitted (sidekick itself does not have it)"},
		"itself":             {Setup{UID: new(uint32(nobody)), GID: new(uint32(nobody)), Groups: []uint32{nobody}}, ""},
		"what needs nothing": {Setup{Umask: new(uint32(0)), Nice: new(5), OOMScoreAdj: new(5), NoNewPrivileges: true, Rlimits: limit(10, 20)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			given := &Setup{UID: new(uint32(nobody)), GID: new(uint32(nobody)), Groups: []uint32{nobody}, Rlimits: limit(456, 456)}
			if got := asked(t, given, Spec{Path: "/bin/true", Args: []string{"true"}, Setup: &c.setup}); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// What holds for a program that is started directly holds for one through the
// shim: no status is lost, and a failed exec gives its bare errno.
func TestShimIsInvisible(t *testing.T) {
	t.Run("exec fails", func(t *testing.T) { startErrors(t, &Setup{}) })
	t.Run("statuses", func(t *testing.T) { noStatusIsLost(t, &Setup{}) })
	t.Run("state", func(t *testing.T) { childState(t, &Setup{}) })
}

func shimmed(t *testing.T) (*Process, *os.File, Spec) {
	t.Helper()
	spec := Spec{Path: "/bin/true", Args: []string{"true"}, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Setup: &Setup{}}
	p, conn, err := reaper.forkShim(&spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return p, conn, spec
}

// A shim that takes its time, here for want of work, holds up no other start.
func TestSlowShimBlocksNobody(t *testing.T) {
	p, conn, spec := shimmed(t)
	for _, setup := range []*Setup{nil, {}} {
		s := start(t, Spec{Path: "/bin/sh", Args: []string{"sh", "-c", "exit 3"}, Setup: setup})
		if got := s.exit(); got.Code != 3 {
			t.Errorf("got %s", got)
		}
	}
	if err := converse(conn, &spec); err != nil {
		t.Error(err)
	}
	if exit, err := p.wait(); exit != (Exit{}) || err != nil {
		t.Errorf("got %s, %v", exit, err)
	}
}

// A shim that is killed is a failed start, however far it came.
func TestKilledShim(t *testing.T) {
	for name, sig := range map[string]syscall.Signal{"KILL": unix.SIGKILL, "TERM": unix.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			p, conn, spec := shimmed(t)
			if err := p.Signal(sig, true); err != nil {
				t.Fatal(err)
			}
			err := p.silent(converse(conn, &spec))
			if !errors.Is(err, errSilent) || !strings.Contains(err.Error(), "(SIG"+name+")") {
				t.Errorf("got %v", err)
			}
		})
	}
	eventually(t, "killed shims are reaped", reaper.Childless)
}

// Nobody asks a shim whose parent is gone.
func TestAbandonedShimEnds(t *testing.T) {
	p, conn, _ := shimmed(t)
	conn.Close()
	if exit, err := p.wait(); err != nil || exit.Code != 127 {
		t.Errorf("got %s, %v", exit, err)
	}
}

// asking is a process that was given a setup and starts another, as sidekick
// would.
func asking(t *testing.T, spec Spec, given *Setup, stdin *os.File) Spec {
	t.Helper()
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	return Spec{Path: "/proc/self/exe", Args: []string{"child.test"}, Setup: given, Stdin: stdin,
		Env: []string{"CHILD_TEST_START=" + string(data)}}
}

// asked returns what the other process says, or why it was not started.
func asked(t *testing.T, given *Setup, spec Spec) string {
	t.Helper()
	s := start(t, asking(t, spec, given, nil))
	said, err := io.ReadAll(s.out)
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}

// startAsAsked is the life of such a process.
func startAsAsked(request string) {
	var spec Spec
	if err := json.Unmarshal([]byte(request), &spec); err != nil {
		panic(err)
	}
	spec.Stdin, spec.Stdout, spec.Stderr = os.Stdin, os.Stdout, os.Stderr
	if spec.Terminal {
		_ = unix.IoctlSetInt(0, unix.TIOCSCTTY, 0) // ENOTTY: stdin is none
	}
	r := NewReaper()
	p, err := r.Start(spec)
	if err != nil {
		fmt.Print(err)
		return
	}
	_, _ = unix.Wait4(p.Pid(), nil, 0, nil)
}

func TestExitReads(t *testing.T) {
	if got := fmt.Sprint(Exit{Code: 3}, Exit{Signal: unix.SIGTERM}); got != "exit code 3 SIGTERM" {
		t.Error(got)
	}
}
