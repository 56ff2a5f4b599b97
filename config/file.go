package config

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// file is what was read, and where what is checked later stands.
type file struct {
	at              value // the root
	given           map[string]value
	shutdownTimeout time.Duration
	programs        []*program
	registry        registry
	control         Control

	named map[string]value // by the programs' keys: where they stand
	// included holds the absolute paths of what was included; incomplete: some
	// of it could not be read, so nobody knows which programs there are.
	included   map[string]bool
	incomplete bool
}

func newFile(lookup func(string) (string, bool)) *file {
	return &file{
		shutdownTimeout: DefaultShutdownTimeout,
		registry:        registry{Registry: DefaultRegistry(lookup)},
		control:         Control{Mode: 0o600},
		named:           map[string]value{},
		included:        map[string]bool{},
	}
}

// config returns the result once everything was read and found good.
func (f *file) config() *Config {
	c := &Config{ShutdownTimeout: f.shutdownTimeout, Registry: f.registry.Registry, Control: f.control}
	for _, p := range f.programs {
		c.Programs = append(c.Programs, p.Program)
	}
	return c
}

// read reads the top level of the file, then what it includes.
func (f *file) read(root value) {
	f.at = root
	f.given = root.dispatch(withoutExtensions(root.entries()), f.keys())
	f.readIncludes()
}

// keys is the table of the top level.
func (f *file) keys() table {
	return table{
		// At least a second: its last half belongs to the final kill.
		"shutdown_timeout": set(&f.shutdownTimeout, duration(time.Second)),
		"programs":         f.readPrograms,
		"registry":         f.registry.read,
		"control":          f.readControl,
		"include":          func(value) {}, // last, so that the order of keys does not matter
	}
}

// withoutExtensions drops the keys that are left to the user.
func withoutExtensions(all []entry) []entry {
	var ours []entry
	for _, e := range all {
		if !strings.HasPrefix(e.name, "x-") {
			ours = append(ours, e)
		}
	}
	return ours
}

var programName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

func (f *file) readPrograms(v value) {
	if isNull(v.node) {
		v.problem(noPrograms)
		return
	}
	for _, e := range v.entries() {
		checkName(e)
		programs := readCopies(e)
		if f.claim(e) {
			f.programs = append(f.programs, programs...)
		}
	}
}

const noPrograms = "is empty: a configuration needs at least one program"

func checkName(e entry) {
	switch {
	case e.name == "all":
		e.keyProblem("a program cannot be called all: commands use the word for every program")
	case !programName.MatchString(e.name):
		e.keyProblem("%s is not a program name: use letters, digits, _ . and -, with a letter or digit first", quote(e.name))
	}
}

// maxSocketPath is the longest path of a unix socket in bytes: sun_path of
// unix(7) has 108, the last is a NUL.
const maxSocketPath = 107

// groupMode is the socket's mode where a group is given and no mode: one that
// shuts the group out cannot be meant.
const groupMode = 0o660

func (f *file) readControl(v value) {
	given := v.keys(table{
		"socket":        set(&f.control.Socket, socketPath),
		"mode":          set(&f.control.Mode, text(parseMode)),
		"group":         set(&f.control.Group, text(parseGroup)),
		"supervisorctl": set(&f.control.Supervisorctl, socketPath),
		"metrics":       set(&f.control.Metrics, text(parseListenAddress)),
	})
	if f.control.Supervisorctl != "" && f.control.Supervisorctl == f.control.Socket {
		given["supervisorctl"].problem("is control.socket already: give each protocol a socket of its own")
	}
	if _, ok := given["mode"]; !ok && f.control.Group != "" {
		f.control.Mode = groupMode
	}
}

// parseListenAddress reads HOST:PORT or, for every address of the machine,
// :PORT; "" is none.
func parseListenAddress(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	host, port, err := net.SplitHostPort(s)
	n, portErr := parsePortNumber(port)
	if err != nil || portErr != nil || strings.ContainsFunc(host, notInHost) {
		return "", fmt.Errorf("%s is not an address to listen at: write HOST:PORT, such as 127.0.0.1:9180, or :9180 for every address", quote(s))
	}
	return net.JoinHostPort(host, strconv.Itoa(int(n))), nil
}

// socketPath reads the path of a unix socket, "" for none.
func socketPath(v value) (string, bool) {
	path, ok := v.absolute()
	if ok && len(path) > maxSocketPath {
		v.problem("is too long for a socket: at most %d bytes", maxSocketPath)
		return "", false
	}
	return path, ok
}
