package convert

import (
	"slices"
	"strings"
)

// fate says what became of an option.
type fate int

const (
	unread fate = iota
	inOutput
	noted       // a Note says why it is not in the output
	meaningless // it is in the table below
)

// Meaningless lists, by section, the options that mean nothing in a container
// that sidekick runs, each with the reason. They are dropped without a Note.
var Meaningless = map[string]map[string]string{
	"supervisord": {
		"nodaemon":         "sidekick is always in the foreground",
		"silent":           "sidekick's own messages are few and go to stderr",
		"logfile":          "sidekick's own messages go to stderr",
		"logfile_maxbytes": "sidekick has no log file of its own",
		"logfile_backups":  "sidekick has no log file of its own",
		"loglevel":         "sidekick has no levels",
		"pidfile":          "its pid is 1",
		"minfds":           "1024 or less is what a container has anyway",
		"strip_ansi":       "false is the default",
		"minprocs":         "the limit of a container is its pids cgroup",
		"nocleanup":        "there are no AUTO log files",
		"childlogdir":      "there are no AUTO log files",
		"identifier":       "a name for event listeners",
		"profile_options":  "Python's profiler",
	},
	"program": {
		"stdout_logfile_maxbytes": "no file of the program is rotated",
		"stdout_logfile_backups":  "no file of the program is rotated",
		"stderr_logfile_maxbytes": "no file of the program is rotated",
		"stderr_logfile_backups":  "no file of the program is rotated",
		"stdout_capture_maxbytes": "0 is none",
		"stderr_capture_maxbytes": "0 is none",
		"stdout_events_enabled":   "false, or nobody listens",
		"stderr_events_enabled":   "false, or nobody listens",
		"stdout_syslog":           "false is none",
		"stderr_syslog":           "false is none",
		"stderr_logfile":          "with redirect_stderr=true supervisord ignores it",
		"redirect_stderr":         "false is what a program has by itself",
		"process_name":            "it says the same as the name here",
		"exitcodes":               "they do not count with this autorestart",
		"startretries":            "with startsecs=0 no start fails",
		"serverurl":               "AUTO is the default",
		"killasgroup":             "it follows from stopasgroup",
		"numprocs_start":          "nothing of the one process has its number",
	},
	"group": {
		"priority": "999 is the default",
	},
	"supervisorctl": {
		"serverurl":    "a setting of the client",
		"username":     "a setting of the client",
		"password":     "a setting of the client",
		"prompt":       "a setting of the client",
		"history_file": "a setting of the client",
	},
	"unix_http_server": {
		"chmod": "modes for the owner alone are like ours",
	},
	"rpcinterface:supervisor": {
		"supervisor.rpcinterface_factory": "control.supervisorctl speaks the protocol",
	},
}

// nothing marks an option of the table. It is nil where it was not given.
func (o *option) nothing() {
	if o != nil && o.fate == unread {
		o.fate = meaningless
	}
}

// done marks an option that is in the output.
func (o *option) done() {
	if o != nil && o.fate != noted {
		o.fate = inOutput
	}
}

// readRest speaks of sections and options that nobody has asked for.
func (c *converter) readRest() {
	for _, s := range c.ini.sections {
		kind, _, _ := strings.Cut(s.name, ":")
		if !slices.Contains(knownSections, kind) {
			c.noteSection(s, "supervisord knows no such section and ignores it")
			continue
		}
		if kind == "ctlplugin" {
			c.noteSection(s, "a Python plug-in of supervisorctl")
			continue
		}
		for _, o := range s.options {
			switch {
			case o.fate != unread:
			case o.name == "depends_on" && kind == "program":
				c.note(s, o, "supervisord knows no such option and ignores it; sidekick does what it says: write depends_on")
			default:
				c.note(s, o, "supervisord knows no such option%s and ignores it", didYouMean(o.name, kind))
			}
		}
	}
	for _, o := range c.ini.defaults.options {
		if o.fate == unread {
			c.note(c.ini.defaults, o, "no section has such an option")
		}
	}
}

// noteExpansions says, once for each file, what became of names that stand for
// something else where the file is converted than where it is used.
func (c *converter) noteExpansions() {
	for _, e := range []struct{ name, became string }{
		{"%(here)s", "became the folder of the file: convert it where it will live"},
		{"%(host_node_name)", "became ${HOSTNAME}, which Docker sets"},
	} {
		said := map[string]bool{}
		for _, s := range c.ini.sections {
			for _, o := range s.options {
				if o.fate == inOutput && s.name != "include" && strings.Contains(o.raw, e.name) && !said[o.file] {
					said[o.file] = true
					c.remark(s, o, "%s %s", e.name, e.became)
				}
			}
		}
	}
}

var knownSections = []string{"supervisord", "supervisorctl", "unix_http_server", "inet_http_server", "include",
	"program", "group", "eventlistener", "fcgi-program", "rpcinterface", "ctlplugin"}

// programOptions are all that a [program:x] can have.
var programOptions = strings.Fields(`command process_name numprocs numprocs_start priority autostart startsecs
	startretries autorestart exitcodes stopsignal stopwaitsecs stopasgroup killasgroup user redirect_stderr
	stdout_logfile stdout_logfile_maxbytes stdout_logfile_backups stdout_capture_maxbytes stdout_events_enabled stdout_syslog
	stderr_logfile stderr_logfile_maxbytes stderr_logfile_backups stderr_capture_maxbytes stderr_events_enabled stderr_syslog
	environment directory umask serverurl`)

// didYouMean names the option that was meant, if it is near: one of the same
// letters but for one that is missing, too many, wrong or swapped.
func didYouMean(name, kind string) string {
	if kind != "program" {
		return ""
	}
	for _, known := range programOptions {
		if near(name, known) {
			return " (" + known + "?)"
		}
	}
	return ""
}

// near says whether two words differ by one letter, or by two that are swapped.
func near(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	switch a, b := a[i:], b[i:]; {
	case len(b)-len(a) == 1:
		return a == b[1:]
	case len(a) != len(b) || a == "":
		return false
	default:
		swapped := len(a) > 1 && a[0] == b[1] && a[1] == b[0] && a[2:] == b[2:]
		return a[1:] == b[1:] || swapped
	}
}
