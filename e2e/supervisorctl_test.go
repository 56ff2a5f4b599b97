package e2e

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The same programs, as supervisord and as sidekick know them. Those that end do
// so late enough to be seen running: what supervisord says of others depends on
// whether it or they were faster.
const (
	supervisordPrograms = `
[supervisord]
nodaemon=true
logfile=%(here)s/main.log
pidfile=%(here)s/main.pid
childlogdir=%(here)s
[unix_http_server]
file=%(here)s/d.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[program:web]
command=sleep 1000
[program:once]
command=sleep 0.5
startsecs=0
autorestart=false
[program:bad]
command=sh -c "sleep 0.5; exit 4"
startsecs=0
autorestart=false
[program:crash]
command=sh -c "exit 3"
startsecs=5
startretries=0
[program:manual]
command=sleep 1000
autostart=false
startsecs=0
autorestart=false
[program:grp]
command=sleep 1000
process_name=%(program_name)s-%(process_num)d
numprocs=2
startsecs=0
[program:lines]
command=sh -c "for i in $(seq 300); do echo line $i; echo err $i >&2; done; exec sleep 1000"
startsecs=0
[program:talk]
command=sh -c "trap 'echo more; echo oops >&2' USR1; trap 'i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo much $i; done' USR2; echo ready; echo err ready >&2; while :; do sleep 0.05; done"
startsecs=0
[program:stubborn]
command=sh -c "trap '' TERM; while :; do sleep 0.1; done"
startsecs=0
stopwaitsecs=1
[program:nolog]
command=sleep 1000
startsecs=0
stdout_logfile=NONE
stderr_logfile=NONE
`
	supervisordBroken = `
[program:nofile]
command=/no/such/file
autostart=false
[program:noexec]
command=/etc/passwd
autostart=false
`
	sidekickPrograms = `
x-p: &p {essential: false, restart: "no", min_uptime: 0s}
control: {supervisorctl: "${CTL}"}
programs:
  web: {<<: *p, command: sleep 1000, min_uptime: 1s}
  once: {<<: *p, command: sleep 0.5}
  bad: {<<: *p, command: sh -c "sleep 0.5; exit 4"}
  crash: {<<: *p, command: sh -c "exit 3", min_uptime: 5s, restart: "on-failure:1", backoff: {initial: 10ms}}
  manual: {<<: *p, command: sleep 1000, autostart: false}
  grp: {<<: *p, command: sleep 1000, replicas: 2}
  lines: {<<: *p, command: 'sh -c "for i in $(seq 300); do echo line $i; echo err $i >&2; done; exec sleep 1000"'}
  talk:
    <<: *p
    command: sh -c "trap 'echo more; echo oops >&2' USR1; trap 'i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo much $i; done' USR2; echo ready; echo err ready >&2; while :; do sleep 0.05; done"
  stubborn: {<<: *p, command: "sh -c \"trap '' TERM; while :; do sleep 0.1; done\"", stop_grace_period: 1s}
  nolog: {<<: *p, command: sleep 1000, logging: {to: inherit}}
`
	sidekickBroken = `
  nofile: {<<: *p, command: /no/such/file, autostart: false}
  noexec: {<<: *p, command: /etc/passwd, autostart: false}
`
)

// An unmodified supervisorctl prints against sidekick what it prints against
// supervisord, and exits with the same code. Each list has servers of its own,
// since supervisord takes its time.
func TestSupervisorctl(t *testing.T) {
	t.Parallel()
	for name, commands := range map[string][]string{
		"show": {"status", "status all", "status web once", "status grp:*", "status grp:grp-1 crash", "status nosuch", "status no:*",
			"status web:web grp:no", "version", "pid", "pid web", "pid all", "pid manual", "pid nosuch web",
			"reread", "avail", "update", "update all", "update nosuch", "add web", "add nosuch", "remove web", "remove nosuch",
			"fg", "fg nosuch", "fg manual", "fg a b", "start", "stop", "restart", "signal", "signal CONT", "tail", "tail -5", "tail -x lines",
			"tail a b c d", "maintail x", "maintail -x", "maintail a b", "clear",
			"reread x", "avail x", "version x", "shutdown x", "reload x", "open x", "bogus", "help", "help stop"},
		"start and stop": {"start web", "start manual", "start manual", "status manual", "start nosuch", "start no:*", "start grp", "start once", "start bad",
			"start crash", "start nofile", "start noexec", "status", "stop manual", "stop manual", "status manual", "stop once", "stop crash",
			"stop nosuch no:* grp:no", "stop manual web", "status web", "start web manual", "restart nosuch", "restart manual crash"},
		"groups": {"stop grp:grp-0", "start grp:grp-0", "start grp:grp-0", "stop grp:*", "stop grp:*", "status grp:*", "start grp:*", "start grp:*",
			"restart grp:grp-0", "restart grp:*", "stop grp:grp-1 web", "start grp:* web:*"},
		"all": {"stop stubborn", "status stubborn", "start stubborn", "stop all", "status", "stop all", "start all", "status", "restart all"},
		"signal": {"signal CONT web", "signal sigcont grp:grp-1 manual", "signal 18 grp:*", "signal CONT all", "signal 0 web", "signal NOPE web",
			"signal NOPE all", "signal 99 web", "signal CONT once", "signal CONT nosuch no:*", "signal KILL bad", "start manual", "signal KILL manual", "status manual"},
		"logs": {"tail lines", "tail lines stderr", "tail lines STDERR", "tail -100 lines", "tail -7 lines stderr", "tail -100000 lines", "tail -0 lines",
			"tail lines:lines", "tail web", "tail grp:grp-0", "tail nofile", "tail nolog", "tail nolog stderr", "tail -f nolog", "tail nosuch", "tail -f nosuch",
			"tail lines stdin", "clear lines", "tail lines", "tail lines stderr", "clear nosuch", "clear grp:grp-0 web", "clear all"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conf, yaml := supervisordPrograms+supervisordBroken, sidekickPrograms+sidekickBroken
			if name == "all" { // the last that fails makes the exit code: there is only one
				conf, yaml = supervisordPrograms, sidekickPrograms
			}
			p := startPair(t, conf, yaml)
			p.written("lines", "line 300\n", "err 300\n")
			p.same(commands...)
		})
	}
}

// tail -f and fg show the end of a log, byte by byte, and what comes.
func TestSupervisorctlFollow(t *testing.T) {
	t.Parallel()
	p := startPair(t, supervisordPrograms, sidekickPrograms)
	p.written("lines", "line 300\n", "err 300\n")
	p.written("talk", "ready\n", "err ready\n")
	// watch runs it on both sides until it says all of that.
	watch := func(waitFor string, end func(out func() string, in io.Closer, end func(bool) int), args ...string) (ours, theirs string) {
		t.Helper()
		for i, s := range []*side{&p.ours, &p.theirs} {
			out, in, stop := s.ctl.watch(args...)
			for text := range strings.SplitSeq(waitFor, "|") {
				eventually(t, fmt.Sprintf("supervisorctl %v says %q", args, text), func() bool { return strings.Contains(out(), text) })
			}
			end(out, in, stop)
			*[]*string{&ours, &theirs}[i] = out()
		}
		return ours, theirs
	}
	interrupt := func(_ func() string, _ io.Closer, end func(bool) int) {
		if code := end(true); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	for _, args := range [][]string{{"tail", "-f", "lines"}, {"tail", "-f", "lines:lines", "stderr"}} {
		if ours, theirs := watch(" 300\n", interrupt, args...); ours != theirs || len(ours) < 1024 {
			t.Errorf("%v: - supervisord, + sidekick\n%s", args, cmp.Diff(theirs, ours))
		}
	}
	// The end of fg is awaited in its words: the process notices 30 s later.
	closeInput := func(out func() string, in io.Closer, _ func(bool) int) {
		_ = in.Close()
		eventually(t, "fg ends", func() bool { return strings.HasSuffix(out(), "Exiting foreground\n") })
	}
	// Two threads write to one terminal: the order is not told.
	sorted := func(s string) string { return strings.Join(slices.Sorted(strings.SplitSeq(s, "\n")), "\n") }
	if ours, theirs := watch("ready\n|err ready\n", closeInput, "fg", "talk"); sorted(ours) != sorted(theirs) {
		t.Errorf("fg: - supervisord, + sidekick\n%s", cmp.Diff(theirs, ours))
	}

	var outs []func() string
	var ends []func(bool) int
	for _, s := range []*side{&p.ours, &p.theirs} {
		out, _, end := s.ctl.watch("tail", "-f", "talk")
		eventually(t, "tail -f begins", func() bool { return strings.Contains(out(), "ready\n") })
		outs, ends = append(outs, out), append(ends, end)
	}
	p.same("signal USR1 talk", "signal USR2 talk")
	for i, out := range outs {
		eventually(t, "tail -f goes on", func() bool { return strings.Contains(out(), "more\n") && strings.Contains(out(), "much 200\n") })
		if code := ends[i](true); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	if d := cmp.Diff(outs[1](), outs[0]()); d != "" {
		t.Errorf("tail -f: - supervisord, + sidekick\n%s", d)
	}

	out, in, _ := p.ours.ctl.watch("fg", "talk")
	eventually(t, "fg shows the output", func() bool { return strings.Contains(out(), "much 200\n") })
	_, _ = io.WriteString(in, "hello\n")
	eventually(t, "fg refuses input", func() bool {
		return strings.HasSuffix(out(), "ERROR: <Fault 20: 'NO_FILE: talk'>\nExiting foreground\n")
	})
	out, _, end := p.ours.ctl.watch("maintail", "-f")
	eventually(t, "maintail -f shows our own messages", func() bool { return strings.Contains(out(), "program=talk") })
	p.ours.ctl.run("shutdown")
	if code := end(false); code != 0 {
		t.Errorf("maintail -f, when sidekick ends: exit code %d", code)
	}
}

// A changed file, group by group and as a whole.
func TestSupervisorctlUpdate(t *testing.T) {
	t.Parallel()
	const head = `
[supervisord]
nodaemon=true
logfile=%(here)s/main.log
pidfile=%(here)s/main.pid
childlogdir=%(here)s
[unix_http_server]
file=%(here)s/d.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
`
	// A program is its name, its command and how many there are of it.
	type program struct {
		name, command string
		copies        int
	}
	files := func(programs ...program) (conf, yaml string) {
		conf, yaml = head, "control: {supervisorctl: \"${CTL}\"}\nprograms:\n"
		for _, q := range programs {
			conf += fmt.Sprintf("[program:%s]\ncommand=%s\nnumprocs=%d\nstartsecs=0\nautorestart=false\n", q.name, q.command, q.copies)
			if q.copies > 1 {
				conf += "process_name=%(program_name)s-%(process_num)d\n"
			}
			yaml += fmt.Sprintf("  %s: {command: %s, replicas: %d, min_uptime: 0s, essential: false}\n", q.name, q.command, q.copies)
		}
		return conf, yaml
	}
	conf, yaml := files(program{"same", "sleep 1000", 1}, program{"changed", "sleep 1000", 1}, program{"gone", "sleep 1000", 2}, program{"grows", "sleep 1000", 2})
	p := startPair(t, conf, yaml)
	rewrite := func(programs ...program) {
		t.Helper()
		conf, yaml := files(programs...)
		p.theirs.write(t, conf)
		p.ours.write(t, yaml)
	}
	changed := []program{{"same", "sleep 1000", 1}, {"changed", "sleep 2000", 1}, {"grows", "sleep 1000", 3}, {"new", "sleep 1000", 1}, {"also", "sleep 1000", 2}}

	p.same("reread", "avail")
	rewrite(changed...)
	p.same("reread", "reread", "avail", "status", "update same", "update nosuch", "update also", "status", "reread", "update changed gone", "status", "avail",
		"add new", "add new", "status", "update", "status", "reread", "update all", "avail")

	p.same("stop same", "remove same", "status", "status same", "reread", "avail", "add same", "status same", "reread",
		"remove same", "stop all", "remove grows", "update", "status", "start all")

	rewrite(program{"other", "sleep 1000", 1}) // nothing that ran before
	p.same("update", "status", "reread")

	rewrite(changed...)
	p.same("stop all", "reload")
	p.same("status", "reread", "avail")

	p.theirs.write(t, "[supervisord]\nlogfile_maxbytes=x\n")
	p.ours.write(t, "programs: {web: {command: x, bogus: 1}}\n")
	for _, command := range []string{"reread", "update"} {
		ours, theirs := p.both(command)
		fault := regexp.MustCompile(`.CANT_REREAD: .*`) // which tells what is wrong with the file
		want, got := fault.ReplaceAllString(theirs.Out, "CANT_REREAD"), fault.ReplaceAllString(ours.Out, "CANT_REREAD")
		if got != want || ours.Code != theirs.Code || !strings.Contains(ours.Out, "programs.web.bogus: unknown key") {
			t.Errorf("%s: %+v, want %+v", command, ours, theirs)
		}
	}

	p.same("shutdown")
	if code := p.sidekick.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	eventually(t, "supervisord has ended", func() bool { _, err := p.theirs.states(); return err != nil })
	for _, command := range []string{"status", "start web", "pid", "reread", "shutdown"} {
		ours, theirs := p.both(command)
		if want, got := p.theirs.normal(command, theirs), p.ours.normal(command, ours); got != want {
			t.Errorf("%s without a server: %s, want %s", command, got, want)
		}
	}
}
