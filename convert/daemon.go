package convert

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// daemon is what [supervisord] says about all programs.
type daemon struct {
	user        string // "" for its own
	environment []pair
}

// readDaemon reads [supervisord].
func (c *converter) readDaemon() {
	sec := c.ini.section("supervisord")
	if sec == nil {
		c.add(Note{File: c.files[0], Line: 1, Where: "[supervisord]",
			Reason: "the section is missing, so supervisord takes this file only where another one includes it"})
		return
	}
	s := &scope{c, sec, c.names.supervisord}
	c.readDaemonEnvironment(s)
	c.readDaemonUser(s)
	c.readDaemonChecks(s)
	for _, name := range []string{"umask", "directory"} {
		if _, o := s.get(name); o != nil {
			c.note(sec, o, "supervisord uses it only when it goes into the background: give it to the programs that want it")
		}
	}
	if minfds, o := read(s, "minfds", 1024, integer); o != nil && minfds > 1024 {
		c.note(sec, o, "sidekick leaves the limit as the container has it: use docker run --ulimit nofile=…, or ulimits of a program")
	}
	if strip, o := read(s, "strip_ansi", false, boolean); strip {
		c.note(sec, o, "sidekick passes output on as it is")
	}
	for name := range Meaningless["supervisord"] {
		sec.find(name).nothing()
	}
}

func (c *converter) readDaemonEnvironment(s *scope) {
	text, o := s.expandTwice("environment", c.names.supervisord, c.names.host)
	if o == nil {
		return
	}
	pairs, err := parsePairs(text)
	if err != nil {
		c.problem(o.problem("%s", err))
	}
	o.done()
	c.daemon.environment = c.usable(s.section, o, pairs)
	c.names.environment = pairs
}

// usable drops variables that have no name which our file could give.
func (c *converter) usable(s *section, o *option, pairs []pair) []pair {
	return slices.DeleteFunc(slices.Clone(pairs), func(p pair) bool {
		bad := p.name == "" || strings.ContainsAny(p.name, "= \t\r\n$") || hasMark(p.name) ||
			len(scalar(p.name)) > 1000 // of a key in YAML
		if bad {
			c.note(s, o, "%s is not the name of a variable: it is left out", quote(oneLine(p.name)))
		}
		return bad
	})
}

func (c *converter) readDaemonUser(s *scope) {
	user, o := s.get("user")
	switch {
	case o == nil:
	case user == "root" || user == "0":
		o.fate = inOutput // programs run as root where nothing else is said
	default:
		o.done()
		if c.daemon.user = c.user(o, user); c.daemon.user != "" {
			c.remark(s.section, o, "the programs get it; for sidekick itself write USER into the Dockerfile")
		}
	}
}

// user is a value of `user`, or "" after a problem.
func (c *converter) user(o *option, value string) string {
	name := strip(value)
	_, group, _ := strings.Cut(name, ":")
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return isSpace(r) || r == '/' || r < firstMark && !unicode.IsPrint(r) }) ||
		strings.ContainsAny(name[:1], "-+:") || strings.HasPrefix(group, "-") || strings.HasPrefix(group, "+") || strings.HasSuffix(name, ":") || strings.Contains(group, ":") || !validIDs(name) {
		c.problem(o.problem("%s is not a user", quote(value)))
		return ""
	}
	return name
}

// validIDs says whether the numbers in USER:GROUP are ids of Linux.
func validIDs(user string) bool {
	for word := range strings.SplitSeq(user, ":") {
		if strings.Trim(word, "0123456789") != "" {
			continue
		}
		if n, err := strconv.ParseUint(word, 10, 32); err != nil || n == 1<<32-1 {
			return false
		}
	}
	return true
}

// readDaemonChecks finds values that supervisord refuses, of options that mean
// nothing here.
func (c *converter) readDaemonChecks(s *scope) {
	for _, name := range []string{"nodaemon", "silent", "nocleanup"} {
		read(s, name, false, boolean)
	}
	for _, name := range []string{"minprocs", "logfile_backups"} {
		read(s, name, 0, integer)
	}
	read(s, "logfile_maxbytes", 0, byteSize)
}
