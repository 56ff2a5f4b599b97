package convert

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxCopies is how many copies of a program config takes.
const maxCopies = 1000

// program is one entry of `programs`.
type program struct {
	name     string
	comments []string
	keys     []key
	grace    number // stopwaitsecs
}

// key is one line of a program, its value as YAML.
type key struct{ name, value, comment string }

// add appends a key with an optional comment.
func (p *program) add(name, value string, comment ...string) {
	p.keys = append(p.keys, key{name, value, strings.Join(comment, "; ")})
}

func (p *program) comment(format string, args ...any) {
	p.comments = append(p.comments, fmt.Sprintf(format, args...))
}

// readPrograms reads all [program:x] in the order of the file, each as often as
// there are groups that name it.
func (c *converter) readPrograms() {
	groups := c.readGroups()
	for _, sec := range c.ini.sections {
		kind, after, _ := strings.Cut(sec.name, ":")
		switch kind {
		case "fcgi-program":
			c.noteSection(sec, "sidekick passes no listening socket to a program: let it listen itself, or use spawn-fcgi")
		case "program":
			name, err := processName(after)
			if err != nil {
				c.problem(Problem{File: sec.file, Line: sec.line, Message: err.Error()})
				continue
			}
			in := groups[name]
			if len(in) == 0 {
				in = []string{name}
			}
			for _, group := range in {
				c.readProgram(sec, name, group)
			}
		}
	}
}

// readGroups returns the groups that name each program.
func (c *converter) readGroups() map[string][]string {
	groups := map[string][]string{}
	for _, sec := range c.ini.sections {
		if !strings.HasPrefix(sec.name, "group:") {
			continue
		}
		name, err := processName(strings.TrimPrefix(sec.name, "group:"))
		if err != nil {
			c.problem(Problem{File: sec.file, Line: sec.line, Message: err.Error()})
			continue
		}
		s := &scope{c, sec, c.names.supervisord}
		value, o := s.get("programs")
		for _, member := range listOfStrings(value) {
			if c.ini.section("program:"+member) == nil && c.ini.section("fcgi-program:"+member) == nil {
				c.problem(o.problem("there is no [program:%s]", oneLine(member)))
			}
			groups[member] = append(groups[member], name)
		}
		if o != nil {
			c.note(sec, o, "sidekick has no groups: name the programs in a command, or use a pattern like web-*")
		}
		if priority, o := read(s, "priority", 999, integer); o != nil && priority != 999 {
			c.note(sec, o, "%s", noOrder)
		}
		sec.find("priority").nothing()
	}
	return groups
}

const noOrder = "programs start side by side: write depends_on where one has to wait for another"

// builder makes entries of one section.
type builder struct {
	*scope
	names *programNames
	out   *program
}

// readProgram reads one section for one group.
func (c *converter) readProgram(sec *section, name, group string) {
	n := &programNames{names: c.names, program: name, group: group, copies: 1, number: 0}
	b := &builder{scope: &scope{c, sec, n.resolve}, names: n}
	if c.ini.option(sec, "command") == nil {
		c.problem(Problem{File: sec.file, Line: sec.line, Message: "[" + oneLine(sec.name) + "] needs `command`"})
		return
	}
	b.resolve = n.host // the number of a copy is not known to these two
	copies, start := b.number("numprocs", 1), b.number("numprocs_start", 0)
	b.resolve = n.resolve
	if !b.checkCopies(copies, start) {
		return
	}
	n.copies, n.number = copies.known, start.known
	if copies.mark == "" && copies.known == 1 {
		b.one(name)
		copies.given.done()
		if b.numbered() {
			start.given.done()
		}
		start.given.nothing()
		return
	}
	b.many(copies, start)
}

// checkCopies says whether there is anything to write.
func (b *builder) checkCopies(copies, start number) bool {
	switch {
	case start.mark != "":
		b.problem(start.given.problem("known at run time only: write the number out"))
	case copies.known > maxCopies:
		b.problem(copies.given.problem("sidekick has at most %d copies of a program", maxCopies))
	case copies.known < 1:
		b.noteSection(b.section, "numprocs=%d: nothing of it ever runs", copies.known)
	case start.known < -1<<31 || start.known > 1<<31:
		b.problem(start.given.problem("%d is out of range", start.known))
	default:
		return b.checkProcessName(copies)
	}
	return false
}

// checkProcessName is supervisor's own rule.
func (b *builder) checkProcessName(copies number) bool {
	o := b.ini.option(b.section, "process_name")
	if copies.known > 1 && (o == nil || !strings.Contains(o.value, "%(process_num)")) {
		at := copies.given
		if o != nil {
			at = o
		}
		b.problem(at.problem("with numprocs above 1, process_name must have %%(process_num)"))
		return false
	}
	if o == nil {
		return true
	}
	if _, err := processName(o.value); err != nil {
		o.done()
		b.problem(o.problem("%s", err))
		return false
	}
	return true
}

// numbered says whether the number of a process is used.
func (b *builder) numbered() bool {
	return slices.ContainsFunc(b.section.options, func(o *option) bool { return strings.Contains(o.raw, "%(process_num)") })
}

// one writes an entry for the one process that the names stand for.
func (b *builder) one(name string) {
	b.start(name, 1)
	if called := b.processName(); called != name || b.names.group != b.names.program {
		b.out.comment("supervisord's name of it is %s", namespec(b.names.group, called))
		b.ini.option(b.section, "process_name").done()
	}
	b.ini.option(b.section, "process_name").nothing()
	b.finish()
}

// many writes the copies of a program: one entry with `replicas` where
// ${REPLICA} can say everything that differs, else one entry for each.
func (b *builder) many(copies, start number) {
	b.ini.option(b.section, "process_name").done()
	copies.given.done()
	start.given.done()
	count := copies.known
	if copies.mark != "" {
		count = 0
		b.names.copies = copies.mark
	}
	b.names.number = sequence{b.names.names, start.known, count}
	if err := b.differences(); err == nil {
		b.start(b.names.program, max(count, 1))
		b.commentNames(count, start.known)
		replicas := strconv.Itoa(count)
		if copies.mark != "" {
			replicas = scalar(b.names.text(copies.mark))
		}
		b.out.add("replicas", replicas)
		b.finish()
		return
	}
	if copies.mark != "" {
		b.problem(copies.given.problem("known at run time only, while process_num is written in a form that ${%s} cannot take: write the number out", replicaVariable))
		return
	}
	for i := range count {
		b.names.number = start.known + i
		b.start(b.processName(), 1)
		b.out.comment("process_num=%d of [%s], which ${%s} cannot say", start.known+i, oneLine(b.section.name), replicaVariable)
		b.finish()
	}
}

// differences expands what may differ between copies. The error is
// errNotSequence or nil: other mistakes are found when it is written.
func (b *builder) differences() error {
	defer func(own []pair) { b.names.own = own }(b.names.own)
	b.names.own = nil
	if o := b.ini.option(b.section, "environment"); o != nil {
		value, err := expand(o.value, b.names.resolve)
		if err == errNotSequence {
			return err
		}
		b.names.own, _ = parsePairs(value)
	}
	for _, name := range []string{"command", "directory", "stdout_logfile", "stderr_logfile", "priority", "user", "umask"} {
		if o := b.ini.option(b.section, name); o != nil {
			if _, err := expand(o.value, b.names.resolve); err == errNotSequence {
				return err
			}
		}
	}
	return nil
}

// commentNames says what supervisord called the copies.
func (b *builder) commentNames(count, start int) {
	first := b.names.number
	defer func() { b.names.number = first }()
	b.names.number = start
	from := b.processName()
	if count == 0 {
		b.out.comment("supervisord's name of the first copy is %s", namespec(b.names.group, from))
		return
	}
	b.names.number = start + count - 1
	b.out.comment("supervisord's names are %s to %s", namespec(b.names.group, from), b.processName())
}

// processName expands process_name for the current number.
func (b *builder) processName() string {
	o := b.ini.option(b.section, "process_name")
	if o == nil {
		return b.names.program
	}
	value, err := expand(strip(o.value), b.names.resolve)
	if err != nil {
		o.done()
		b.problem(o.problem("%s", err))
		return b.names.program
	}
	return b.names.text(value)
}

// namespec is what supervisorctl prints.
func namespec(group, process string) string {
	if group == process {
		return oneLine(process)
	}
	return oneLine(group + ":" + process)
}
