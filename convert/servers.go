package convert

import "strings"

// maxSocketPath is the longest path of a unix socket, see unix(7).
const maxSocketPath = 107

// server is where supervisorctl finds supervisord.
type server struct {
	socket string // "" for nowhere
}

// readServers reads the sections about who may talk to supervisord, and how.
func (c *converter) readServers() {
	for _, sec := range c.ini.sections {
		switch {
		case strings.HasPrefix(sec.name, "unix_http_server"):
			c.readUnixServer(sec)
		case strings.HasPrefix(sec.name, "inet_http_server"):
			c.noteSection(sec, "sidekick offers no control over TCP: use the unix socket, and control.metrics for monitoring")
		case sec.name == "rpcinterface:supervisor" && c.isMainInterface(sec):
			sec.find("supervisor.rpcinterface_factory").nothing()
		case strings.HasPrefix(sec.name, "rpcinterface:"):
			c.noteSection(sec, "a Python plug-in of supervisord")
		case sec.name == "supervisorctl":
			for name := range Meaningless["supervisorctl"] {
				sec.find(name).nothing()
			}
		}
	}
}

func (c *converter) isMainInterface(sec *section) bool {
	o := sec.find("supervisor.rpcinterface_factory")
	return o != nil && strip(o.value) == "supervisor.rpcinterface:make_main_rpcinterface"
}

func (c *converter) readUnixServer(sec *section) {
	s := &scope{c, sec, c.names.supervisord}
	path, o := s.get("file")
	switch {
	case o == nil:
		if sec.find("file") == nil {
			c.problem(Problem{File: sec.file, Line: sec.line, Message: "[" + oneLine(sec.name) + "] needs `file`"})
		}
		return
	case c.server.socket != "":
		c.noteSection(sec, "there is a socket for supervisorctl already")
		return
	}
	o.done()
	if path = c.expandUser(strip(path)); path == "" || len(path) > maxSocketPath {
		c.problem(o.problem("is not the path of a socket, which has 1 to %d bytes", maxSocketPath))
		return
	}
	c.server.socket = path
	c.relative(sec, o, path)
	for name, reason := range map[string]string{
		"chmod":    "only root, sidekick's own user and the members of control.group are let in; control.mode is the mode",
		"chown":    "only root, sidekick's own user and the members of control.group are let in",
		"username": "the kernel says who is calling; a password is not asked for",
		"password": "the kernel says who is calling; a password is not asked for",
	} {
		o := sec.find(name)
		switch mode, err := octal(value(o)); {
		case o == nil:
		case name == "chmod" && err == nil && mode&0o077 == 0:
			o.nothing()
		default:
			c.note(sec, o, "%s", reason)
		}
	}
}

func value(o *option) string {
	if o == nil {
		return ""
	}
	return o.value
}

// expandUser replaces a leading ~ as supervisor does, at run time.
func (c *converter) expandUser(path string) string {
	if path == "~" || strings.HasPrefix(path, "~/") {
		if home, err := c.names.mark("HOME"); err == nil {
			return home + path[1:]
		}
	}
	return path
}

// relative notes that a path starts from somewhere else now.
func (c *converter) relative(s *section, o *option, path string) {
	if !strings.HasPrefix(path, "/") && !hasMark(path[:min(len(path), 4)]) {
		c.remark(s, o, "the path starts from the folder of sidekick's file now, and did from where supervisord was started")
	}
}
