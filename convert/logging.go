package convert

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// stream is where one of the two streams of a program goes.
type stream struct {
	name  string // stdout or stderr
	kind  streamKind
	path  string // with toFile
	given *option
}

type streamKind int

const (
	toAuto      streamKind = iota // supervisord's own temporary file, for `supervisorctl tail`
	toContainer                   // the container's log
	toNone
	toFile
)

// containerPaths are what people write for the container's log.
var containerPaths = []string{
	"/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2", "/dev/tty", "/dev/console", "/dev/pts/0",
	"/proc/1/fd/1", "/proc/1/fd/2", "/proc/self/fd/1", "/proc/self/fd/2",
}

// logging writes where the output goes: in our file one target for both streams.
func (b *builder) logging(copied bool) {
	out, errs := b.stream("stdout"), b.stream("stderr")
	merged, o := read(b.scope, "redirect_stderr", false, boolean)
	if merged {
		errs.given.nothing() // supervisord ignores it
		errs = stream{name: "stderr", kind: out.kind, path: out.path}
		o.done()
	}
	o.nothing()
	for _, s := range []stream{out, errs} {
		s.given.done()
	}
	rotated := b.target(out, errs, copied)
	for _, s := range []stream{out, errs} {
		if s.name != rotated {
			b.checkRotation(s.name)
		}
		b.extras(s.name)
	}
}

// stream reads NAME_logfile, which supervisor expands twice.
func (b *builder) stream(name string) stream {
	s := stream{name: name}
	value, o := b.expandTwice(name+"_logfile", b.resolve, b.resolve)
	s.given = o
	if o == nil {
		return s
	}
	path := b.expandUser(value)
	switch strings.ToLower(value) {
	case "none", "off", "": // supervisor takes the empty path for no file
		s.kind = toNone
	case "auto":
	case "syslog":
		s.kind = toContainer
		b.note(b.section, o, "a container has no syslog: it goes to the container's log")
	default:
		s.kind, s.path = toFile, path
		switch clean := filepath.Clean(path); {
		case slices.Contains(containerPaths, clean) || strings.HasPrefix(clean, "/proc/self/fd/"):
			s.kind, s.path = toContainer, ""
		case clean == "/dev/null":
			s.kind, s.path = toNone, ""
		case strings.HasSuffix(path, "/"):
			b.problem(o.problem("%s is not the name of a file", quote(value)))
		}
	}
	return s
}

// target writes `logging` and returns the stream whose rotation it took, or "".
func (b *builder) target(out, errs stream, copied bool) string {
	file := out
	if out.kind != toFile {
		file = errs
	}
	switch {
	case out.kind == toAuto && errs.kind == toAuto:
		// Only `supervisorctl tail` shows it; here it is in the container's log,
		// each line with the program's name.
	case out.kind == toContainer || errs.kind == toContainer:
		b.toContainer(out, errs)
	case file.kind == toFile:
		b.toFile(file, out, errs, copied)
		return file.name
	default:
		b.out.add("logging", "{to: none}")
	}
	return ""
}

const oneTarget = "sidekick has one target for both streams: "

func (b *builder) toContainer(out, errs stream) {
	b.out.add("logging", "{to: stdout, format: raw}")
	for _, s := range []stream{out, errs} {
		if s.given != nil && (s.kind == toNone || s.kind == toFile) {
			b.note(b.section, s.given, "%sit goes to the container's log", oneTarget)
		}
	}
}

func (b *builder) toFile(file, out, errs stream, copied bool) {
	for _, s := range []stream{out, errs} {
		if s.given != nil && s.name != file.name && (s.kind != toFile || s.path != file.path) && s.kind != toAuto {
			b.note(b.section, s.given, "%sit goes to %s", oneTarget, oneLine(b.names.text(file.path)))
		}
	}
	path := b.logPath(file, copied)
	size, files := b.rotation(file.name)
	b.out.add("logging", "{to: file, format: raw, path: "+flowScalar(b.names.text(path))+", "+size+files+"}")
}

// logPath makes a path that no other program has.
func (b *builder) logPath(file stream, copied bool) string {
	path := file.path
	for _, r := range path {
		if r >= firstMark { // as many different files as there are variables
			b.sample(string(r), "/value/of/"+b.names.marks[r-firstMark])
		}
	}
	if r := []rune(path)[0]; r >= firstMark && b.names.marks[r-firstMark] != "HOME" {
		b.note(b.section, file.given, "taken for the path of a file; if the variable is /dev/stdout, write logging: {to: stdout, format: raw}")
	}
	b.relative(b.section, file.given, path)
	if copied && !strings.Contains(b.names.text(path), "${"+replicaVariable+"}") {
		if mark, err := b.names.mark(replicaVariable); err == nil {
			path = beforeExtension(path, "-"+mark)
		}
		b.note(b.section, file.given, "the copies cannot share a file: it becomes %s", oneLine(b.names.text(path)))
	}
	wanted := path
	for i := 0; b.logTaken(path); i++ {
		path = beforeExtension(wanted, "-"+b.out.name)
		if i > 0 {
			path = beforeExtension(wanted, "-"+b.out.name+"-"+strconv.Itoa(i+1))
		}
	}
	if path != wanted {
		b.note(b.section, file.given, "two programs cannot share a file: it becomes %s", oneLine(b.names.text(path)))
	}
	b.logs[filepath.Clean(path)] = true
	return path
}

// logTaken says whether a path is another program's log file, or one that is
// rotated to it or from it.
func (b *builder) logTaken(path string) bool {
	path = filepath.Clean(path)
	if b.logs[path] || b.logs[rotatedFrom(path)] {
		return true
	}
	for other := range b.logs {
		if rotatedFrom(other) == path {
			return true
		}
	}
	return false
}

// rotatedFrom is the path without the number of a rotation, or "".
func rotatedFrom(path string) string {
	base := strings.TrimRight(path, "0123456789")
	if base == path || !strings.HasSuffix(base, ".") {
		return ""
	}
	return strings.TrimSuffix(base, ".")
}

func beforeExtension(path, add string) string {
	ext := filepath.Ext(path)
	if ext == filepath.Base(path) { // a hidden file
		ext = ""
	}
	return strings.TrimSuffix(path, ext) + add + ext
}

// rotation reads maxbytes and backups of a file.
func (b *builder) rotation(name string) (size, files string) {
	bytes, bytesGiven := read(b.scope, name+"_logfile_maxbytes", 50<<20, byteSize)
	backups, backupsGiven := read(b.scope, name+"_logfile_backups", 10, integer)
	bytesGiven.done()
	if bytes == 0 {
		backupsGiven.nothing()
		return "max_size: 0", ""
	}
	backupsGiven.done()
	if bytes < 1000 {
		b.note(b.section, bytesGiven, "sidekick rotates at 1000 bytes at least")
		bytes = 1000
	}
	if backups < 1 || backups > 1000 {
		b.note(b.section, backupsGiven, "sidekick keeps 1 to 1000 old files")
		backups = min(max(backups, 1), 1000)
	}
	return "max_size: " + sizeText(bytes), fmt.Sprintf(", max_files: %d", backups)
}

// checkRotation reads options that have no file to rotate.
func (b *builder) checkRotation(name string) {
	_, bytes := read(b.scope, name+"_logfile_maxbytes", 0, byteSize)
	_, backups := read(b.scope, name+"_logfile_backups", 0, integer)
	bytes.nothing()
	backups.nothing()
}

func sizeText(bytes int64) string {
	for _, unit := range []struct {
		name string
		size int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if bytes >= unit.size && bytes%unit.size == 0 {
			return strconv.FormatInt(bytes/unit.size, 10) + unit.name
		}
	}
	return strconv.FormatInt(bytes, 10)
}

// extras are the options about events and syslog.
func (b *builder) extras(name string) {
	if bytes, o := read(b.scope, name+"_capture_maxbytes", 0, byteSize); bytes > 0 {
		b.note(b.section, o, "sidekick does not look for events in the output")
	} else {
		o.nothing()
	}
	events, o := read(b.scope, name+"_events_enabled", false, boolean)
	if events && b.listensToOutput() {
		b.note(b.section, o, "sidekick has no event listeners")
	}
	o.nothing()
	syslog, o := read(b.scope, name+"_syslog", false, boolean)
	if syslog {
		b.note(b.section, o, "a container has no syslog: see `logging`")
	}
	o.nothing()
}

// listensToOutput says whether an event listener asks for PROCESS_LOG events.
func (c *converter) listensToOutput() bool {
	return slices.ContainsFunc(c.ini.sections, func(s *section) bool {
		o := s.find("events")
		return strings.HasPrefix(s.name, "eventlistener:") && o != nil && strings.Contains(strings.ToUpper(o.value), "PROCESS_LOG")
	})
}
