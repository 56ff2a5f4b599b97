package convert

import (
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// everyOption is each option that supervisor 4.2.5 knows, by section, with a
// value that is not the default, or two.
var everyOption = map[string]map[string][]string{
	"supervisord": {
		"minfds": {"1024", "65536"}, "minprocs": {"300"}, "directory": {"/tmp"}, "user": {"root", "nobody"}, "umask": {"077"},
		"logfile": {"/tmp/x"}, "logfile_maxbytes": {"1MB"}, "logfile_backups": {"3"}, "loglevel": {"debug"}, "pidfile": {"/tmp/p"},
		"identifier": {"me"}, "nodaemon": {"true"}, "silent": {"true"}, "childlogdir": {"/tmp"}, "nocleanup": {"true"},
		"strip_ansi": {"false", "true"}, "environment": {"A=b"}, "profile_options": {"calls"},
	},
	"program:p": {
		"command": {"other"}, "process_name": {"%(program_name)s", "x"}, "numprocs": {"1", "0"}, "numprocs_start": {"0", "5"},
		"priority": {"1"}, "autostart": {"false"}, "startsecs": {"0", "5"}, "startretries": {"0", "9"},
		"autorestart": {"true", "false"}, "exitcodes": {"1", ""}, "stopsignal": {"INT"}, "stopwaitsecs": {"2"},
		"stopasgroup": {"false", "true"}, "killasgroup": {"false", "true"}, "user": {"nobody"}, "redirect_stderr": {"false", "true"},
		"stdout_logfile": {"NONE", "/tmp/l", "/dev/stdout"}, "stdout_logfile_maxbytes": {"1MB", "0"}, "stdout_logfile_backups": {"1"},
		"stdout_capture_maxbytes": {"0", "1MB"}, "stdout_events_enabled": {"false", "true"}, "stdout_syslog": {"false", "true"},
		"stderr_logfile": {"NONE", "/tmp/l", "/dev/stderr"}, "stderr_logfile_maxbytes": {"1MB", "0"}, "stderr_logfile_backups": {"1"},
		"stderr_capture_maxbytes": {"0", "1MB"}, "stderr_events_enabled": {"false", "true"}, "stderr_syslog": {"false", "true"},
		"environment": {"A=b"}, "directory": {"/tmp"}, "umask": {"022"}, "serverurl": {"AUTO", "http://x:1"},
	},
	"group:g":                 {"programs": {"p"}, "priority": {"999", "1"}},
	"fcgi-program:f":          {"socket": {"tcp://h:1"}, "socket_backlog": {"1"}, "socket_owner": {"a"}, "socket_mode": {"0700"}, "command": {"a"}},
	"eventlistener:l":         {"events": {"TICK_5", "PROCESS_STATE"}, "buffer_size": {"3"}, "result_handler": {"a:b"}, "command": {"kill 1"}},
	"unix_http_server":        {"file": {"/tmp/s"}, "chmod": {"0700", "0777"}, "chown": {"a:b"}, "username": {"u"}, "password": {"p"}},
	"inet_http_server":        {"port": {"1"}, "username": {"u"}, "password": {"p"}},
	"supervisorctl":           {"serverurl": {"x"}, "username": {"u"}, "password": {"p"}, "prompt": {"x"}, "history_file": {"x"}},
	"include":                 {"files": {"nothing/*"}},
	"rpcinterface:supervisor": {"supervisor.rpcinterface_factory": {"supervisor.rpcinterface:make_main_rpcinterface", "a:b"}},
	"rpcinterface:other":      {"supervisor.rpcinterface_factory": {"a:b"}, "an_extra": {"1"}},
	"ctlplugin:c":             {"supervisor.ctl_factory": {"a:b"}, "an_extra": {"1"}},
	"DEFAULT":                 {"autostart": {"false"}, "unknown": {"1"}},
	"unknown":                 {"anything": {"1"}},
}

// needed are the lines without which a section is refused.
var needed = map[string]string{
	"program:p": "command=a", "unix_http_server": "file=/tmp/s", "include": "files=nothing", "group:g": "programs=p",
}

// TestNoOptionIsDroppedInSilence walks through every option that supervisor
// knows: it changes the output, or a Note names it, or it is in the table of those
// that mean nothing.
func TestNoOptionIsDroppedInSilence(t *testing.T) {
	for _, sec := range slices.Sorted(maps.Keys(everyOption)) {
		for _, name := range slices.Sorted(maps.Keys(everyOption[sec])) {
			for _, value := range everyOption[sec][name] {
				checkFate(t, sec, name, value)
			}
		}
	}
}

func checkFate(t *testing.T, sec, name, value string) {
	base := "[supervisord]\n[program:p]\ncommand=a\n[program:q]\ncommand=b\n"
	own := needed[sec]
	if strings.HasPrefix(own, name+"=") {
		own = ""
	}
	without := base + "[" + sec + "]\n" + own + "\n"
	c := newConverter(t.TempDir(), nil)
	with, err := c.convert("test.conf", without+name+"="+value+"\n")
	if err != nil {
		t.Errorf("[%s] %s=%s: %s", sec, name, value, err)
		return
	}
	o := c.ini.defaults.find(name)
	if sec != "DEFAULT" {
		o = c.ini.section(sec).find(name)
	}
	kind, _, _ := strings.Cut(sec, ":")
	inTable := Meaningless[kind][name] != "" || Meaningless[sec][name] != ""
	mentioned := slices.ContainsFunc(with.Notes, func(n Note) bool {
		return n.Where == "["+sec+"]" || strings.HasPrefix(n.Where, "["+sec+"] "+name) && n.Reason != ""
	})
	switch {
	case o.fate == unread:
		t.Errorf("[%s] %s=%s is dropped in silence", sec, name, value)
	case o.fate == noted && !mentioned:
		t.Errorf("[%s] %s=%s has no note", sec, name, value)
	case o.fate == meaningless && !inTable:
		t.Errorf("[%s] %s=%s is not in the table of what means nothing", sec, name, value)
	case o.fate == inOutput && !mentioned && !changesOutput(t, without, with, name+"="+value):
		t.Errorf("[%s] %s=%s is nowhere in the output:\n%s", sec, name, value, with.YAML)
	}
}

// saysTheDefault are values that are in the output because nothing else is.
var saysTheDefault = []string{"user=root", "numprocs=1", "stopasgroup=false", "redirect_stderr=true"}

func changesOutput(t *testing.T, without string, with *Result, line string) bool {
	before, err := convertText(t, without)
	if err != nil {
		return true // it is needed
	}
	return string(before.YAML) != string(with.YAML) || slices.Contains(saysTheDefault, line)
}

// TestEveryOptionIsListed reads the names of options out of supervisor's source,
// so that everyOption is complete.
func TestEveryOptionIsListed(t *testing.T) {
	needSupervisor(t)
	out, err := exec.Command(python, "-I", "-c", "import supervisor.options as o; print(o.__file__)").Output()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, options := range everyOption {
		for name := range options {
			listed[name] = true
		}
	}
	found := 0
	for _, m := range regexp.MustCompile(`(?:get|getdefault|has_option)\((?:section, ?|'include', )?'([a-z_]+)'|_key = '%s(_[a-z]+)'|add\("[a-z_]+", "supervisord\.([a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		names := []string{m[1], m[3]}
		if m[2] != "" {
			names = []string{"stdout" + m[2], "stderr" + m[2]}
		}
		for _, name := range names {
			if name == "" || name == "expansions" { // an argument of get itself
				continue
			}
			found++
			if !listed[name] {
				t.Errorf("supervisor knows %s", name)
			}
		}
	}
	if found < 70 {
		t.Errorf("only %d options found in supervisor's source", found)
	}
}

// Every entry of the table is an option of supervisor.
func TestMeaninglessIsReal(t *testing.T) {
	for sec, options := range Meaningless {
		known := everyOption[sec]
		for full := range everyOption {
			if kind, _, _ := strings.Cut(full, ":"); kind == sec {
				known = everyOption[full]
			}
		}
		for name, why := range options {
			if known[name] == nil || why == "" {
				t.Errorf("[%s] %s: %q", sec, name, why)
			}
		}
	}
}

func TestDidYouMean(t *testing.T) {
	for name, want := range map[string]string{
		"startsec": "startsecs", "autorestrat": "autorestart", "comand": "command", "umaskk": "umask", "uzer": "user",
		"stdout_logfiles": "stdout_logfile", "colour": "", "x": "",
	} {
		if got := didYouMean(name, "program"); got != "" && got != " ("+want+"?)" || got == "" && want != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}
