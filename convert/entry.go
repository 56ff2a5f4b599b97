package convert

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"sidekick/config"
)

// start begins an entry.
func (b *builder) start(name string, copies int) {
	b.names.own = nil
	b.out = &program{name: b.claim(name, b.names.group, copies)}
	if b.out.name != name {
		b.out.comment("called %s in the original", quote(oneLine(name)))
	}
	if b.names.group != b.names.program {
		b.out.comment("in the group %s", oneLine(b.names.group))
	}
}

// finish fills the entry and keeps it.
func (b *builder) finish() {
	replicas := b.out.keys
	b.out.keys = nil
	environment := b.environment()
	if !b.command() {
		return
	}
	b.place()
	if environment != nil {
		b.out.keys = append(b.out.keys, *environment)
	}
	b.out.keys = append(b.out.keys, replicas...)
	b.policy()
	b.stop()
	b.logging(len(replicas) > 0)
	b.others()
	b.programs = append(b.programs, b.out)
}

// command writes the words of the command, as a string if ours are the same.
// Without words there is no entry.
func (b *builder) command() bool {
	value, o := b.get("command")
	if o == nil {
		return false
	}
	words, err := splitCommand(value)
	if err == nil && (len(words) == 0 || words[0] == "") {
		err = errEmptyCommand
	}
	if err != nil {
		hint := ""
		if strings.ContainsAny(o.value, `'"`) {
			hint = " (is the line cut at a ; or # behind a blank, which begins a comment?)"
		}
		b.noteSection(b.section, "left out, for supervisord can never start it: %s%s", err, hint)
		return false
	}
	o.done()
	if filepath.Base(words[0]) == "dockreg" {
		b.remark(b.section, o, "sidekick registers by itself: write `register` at the program that has the port, and leave this one out (docs/migrating-from-dockreg.md)")
	}
	ours, err := config.SplitWords(value)
	if err == nil && slices.Equal(ours, words) {
		b.out.add("command", scalar(b.names.text(value)))
		return true
	}
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = flowScalar(b.names.text(w))
	}
	b.out.add("command", "["+strings.Join(list, ", ")+"]")
	if hasMark(value) {
		b.note(b.section, o, "written as a list, in which a variable's value stays one word")
	}
	return true
}

// place writes where and as whom the program runs.
func (b *builder) place() {
	if dir, o := b.get("directory"); o != nil {
		o.done()
		b.out.add("working_dir", scalar(b.names.text(dir)))
		if dir == "" {
			b.note(b.section, o, "it is empty, with which supervisord cannot start the program: it runs where sidekick was started")
		} else {
			b.relative(b.section, o, dir)
		}
	}
	user, o := b.get("user")
	switch {
	case o != nil:
		o.done()
		b.sample(user, "1")
		user = b.user(o, user)
	default:
		user = b.daemon.user
	}
	if user != "" {
		b.out.add("user", scalar(b.names.text(user)))
	}
	mask, o := b.get("umask")
	switch {
	case o == nil:
	case hasMark(mask):
		o.done()
		b.sample(mask, "022")
		b.out.add("umask", scalar(b.names.text(mask)))
	default:
		o.done()
		bits, err := octal(mask)
		if err != nil {
			b.problem(o.problem("%s", err))
		}
		b.out.add("umask", fmt.Sprintf("%q", fmt.Sprintf("%03o", bits)))
	}
}

// environment reads what the program adds to that of [supervisord].
func (b *builder) environment() *key {
	common := len(b.daemon.environment) > 0
	o := b.ini.option(b.section, "environment")
	var own []pair
	if o != nil {
		o.done()
		value, err := expand(o.value, b.resolve)
		var pairs []pair
		if err == nil {
			pairs, err = parsePairs(value)
		}
		if err != nil {
			b.problem(o.problem("%s", err))
		}
		b.names.own = pairs
		own = b.usable(b.section, o, pairs)
	}
	switch {
	case len(own) == 0 && !common:
		return nil
	case len(own) == 0:
		return &key{name: "environment", value: "*environment"}
	}
	var lines strings.Builder
	if common {
		lines.WriteString("\n      <<: *environment")
	}
	for _, p := range own {
		lines.WriteString("\n      " + scalar(p.name) + ": " + nested(scalar(b.names.text(p.value))))
	}
	return &key{name: "environment", value: lines.String()}
}

// others says what has no place in an entry.
func (b *builder) others() {
	if o := b.ini.option(b.section, "command"); strings.Contains(o.value, "SUPERVISOR_") {
		b.remark(b.section, o, "programs get no SUPERVISOR_… variables: write those that are used into environment")
	}
	if priority, o := read(b.scope, "priority", 999, integer); o != nil {
		b.note(b.section, o, "%s", noOrder)
		b.out.comment("priority=%d: supervisord starts in this order, and does not wait", priority)
	}
	if url, o := b.get("serverurl"); o != nil && strings.ToUpper(strip(url)) != "AUTO" {
		b.note(b.section, o, "programs get no SUPERVISOR_SERVER_URL: write it into environment if it is used")
	}
	b.ini.option(b.section, "serverurl").nothing()
}
