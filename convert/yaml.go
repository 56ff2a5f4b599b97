package convert

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// The writer. The layout is written by hand, to be read by people.

// write makes the file.
func (c *converter) write() []byte {
	var out strings.Builder
	fmt.Fprintf(&out, "# Converted from %s by `sidekick convert`.\n", oneLine(strings.Join(c.shownFiles(), ", ")))
	out.WriteString("# Comments say what is not as it was; docs/migrating-from-supervisord.md explains each.\n\n")
	c.writeShutdown(&out)
	if c.server.socket != "" {
		fmt.Fprintf(&out, "control: {supervisorctl: %s}   # an unmodified supervisorctl works here\n", flowScalar(c.names.text(c.server.socket)))
	}
	out.WriteString("\n")
	c.writeDefaults(&out)
	if len(c.daemon.environment) > 0 {
		out.WriteString("# [supervisord] environment\nx-environment: &environment\n")
		for _, p := range c.daemon.environment {
			fmt.Fprintf(&out, "  %s: %s\n", scalar(p.name), scalarAt(c.names.text(p.value), "    "))
		}
		out.WriteString("\n")
	}
	out.WriteString("programs:\n")
	for i, p := range c.programs {
		if i > 0 {
			out.WriteString("\n")
		}
		p.write(&out)
	}
	return []byte(out.String())
}

// shownFiles names the files by their bases where there are folders above.
func (c *converter) shownFiles() []string {
	var all []string
	for _, file := range c.files {
		all = append(all, filepath.Base(file))
	}
	if len(all) > 8 {
		all = append(all[:8], fmt.Sprintf("and %d more files", len(c.files)-8))
	}
	return all
}

// writeShutdown gives every program the time that supervisord would give it.
func (c *converter) writeShutdown(out *strings.Builder) {
	longest := 0
	for _, p := range c.programs {
		if p.grace.mark == "" {
			longest = max(longest, p.grace.known)
		}
	}
	seconds := min(max(longest, 7), maxSeconds-1) + 1
	comment := ""
	if longest > 8 {
		comment = fmt.Sprintf("   # the longest stopwaitsecs and 1 s; `docker stop` kills after 10 s unless told otherwise (-t %d)", seconds+1)
	}
	fmt.Fprintf(out, "shutdown_timeout: %ds%s\n", seconds, comment)
}

// writeDefaults writes what every program begins with.
func (c *converter) writeDefaults(out *strings.Builder) {
	essential, why := "false", "supervisord stays up when a program fails for good"
	if c.killer != nil {
		essential, why = "true", "an event listener ended supervisord when a program failed for good"
	}
	out.WriteString("# What supervisord does with a program that says nothing else. Sidekick's own\n")
	out.WriteString("# defaults are what you get for each line that you remove.\n")
	out.WriteString("x-supervisord: &supervisord\n")
	for _, k := range []key{
		{"essential", essential, why},
		{"restart", "on-failure:3", "autorestart=unexpected, startretries=3"},
		{"backoff", "{initial: 1s, max: 3s, factor: 2, jitter: 0, reset_after: 1s}", "startsecs=1"},
		{"stop_grace_period", "10s", "stopwaitsecs=10"},
		{"kill_mode", "process", "stopasgroup=false, killasgroup=false"},
	} {
		fmt.Fprintf(out, "  %-24s   # %s\n", k.name+": "+k.value, k.comment)
	}
	out.WriteString("\n")
}

func (p *program) write(out *strings.Builder) {
	for _, comment := range p.comments {
		fmt.Fprintf(out, "  # %s\n", oneLine(comment))
	}
	fmt.Fprintf(out, "  %s:\n    <<: *supervisord\n", scalar(p.name))
	for _, k := range p.keys {
		separator := " "
		if strings.HasPrefix(k.value, "\n") {
			separator = ""
		}
		fmt.Fprintf(out, "    %s:%s%s", k.name, separator, k.value)
		if k.comment != "" {
			fmt.Fprintf(out, "   # %s", oneLine(k.comment))
		}
		out.WriteString("\n")
	}
}

// plain is what can stand without quotes wherever no , ] or } ends a value, and
// is not null. What could be a number or true is text all the same in our file.
var plain = regexp.MustCompile(`^[\p{L}\p{N}_/.$][^\x00-\x1f]*$`)

// scalar writes a value of a key of a program.
func scalar(s string) string { return scalarAt(s, "      ") }

// nested moves the further lines of a value one step in.
func nested(value string) string { return strings.ReplaceAll(value, "\n      ", "\n        ") }

func scalarAt(s, indent string) string {
	if isPlain(s) {
		return s
	}
	if strings.Contains(s, "\n") && isBlock(s) {
		lines := strings.ReplaceAll(s, "\n", "\n"+indent)
		return "|-\n" + indent + strings.ReplaceAll(lines, "\n"+indent+"\n", "\n\n")
	}
	return quoted(s)
}

func isPlain(s string) bool {
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		return false
	}
	return plain.MatchString(s) && printable(s) && !strings.HasSuffix(s, " ") && !strings.HasSuffix(s, ":") &&
		!strings.Contains(s, ": ") && !strings.Contains(s, " #") && !strings.HasPrefix(s, "---") && !strings.HasPrefix(s, "...")
}

// isBlock says whether the lines can stand in a literal block.
func isBlock(s string) bool {
	for line := range strings.SplitSeq(s, "\n") {
		if strings.TrimSpace(line) != line || !printable(line) {
			return false
		}
	}
	return s[0] != '\n' && s[len(s)-1] != '\n'
}

// printable says whether a value can be written as it is.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) })
}

// quoted writes a value in single quotes, or with escapes where it must.
func quoted(s string) string {
	if printable(s) {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out.WriteString(`\` + string(r))
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\t':
			out.WriteString(`\t`)
		case r == ' ' || unicode.IsPrint(r):
			out.WriteRune(r)
		default:
			fmt.Fprintf(&out, `\U%08X`, r)
		}
	}
	out.WriteByte('"')
	return out.String()
}

var flowPlain = regexp.MustCompile(`^[A-Za-z0-9_/.][A-Za-z0-9_/.@%+=-]*$`)

// flowScalar writes a value within […] or {…}.
func flowScalar(s string) string {
	if flowPlain.MatchString(s) && isPlain(s) {
		if _, err := strconv.ParseFloat(s, 64); err != nil {
			return s
		}
	}
	return quoted(s)
}
