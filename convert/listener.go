package convert

import (
	"regexp"
	"slices"
	"strings"
)

// killer is an event listener that ends supervisord when a program ends: the
// usual way to make a container end with its program.
type killer struct {
	// exits: it acts on every exit, so that nothing is ever restarted.
	exits bool
	// seesExits: it is told of exits, not only of programs that become FATAL.
	seesExits bool
}

var (
	// killCommand finds what ends supervisord in a line of shell.
	killCommand = regexp.MustCompile(`\bkill\b[^;|&]*(\$\{?PPID|\s1\b|supervisord?\.pid|\b(pidof|pgrep)\b)|\b(pkill|killall)\b.*supervisord|supervisorctl\b.*\bshutdown\b`)
	// killScript finds scripts by their names.
	killScript = regexp.MustCompile(`(?i)(stop|kill|quit|exit|terminat|shut-?_?down|watchdog|fatal)[^/ ]*(\.(sh|py|pl|rb|php))?(["' ]|$)`)
	// looksAtEvent: it does not act on every event.
	looksAtEvent = regexp.MustCompile(`processname|groupname|expected|eventname|\b(grep|if|case|awk)\b`)
)

// ends are the events that tell of a program's end.
var ends = []string{"PROCESS_STATE_FATAL", "PROCESS_STATE_EXITED", "PROCESS_STATE_STOPPED", "PROCESS_STATE_UNKNOWN", "PROCESS_STATE", "EVENT"}

// readListeners looks at event listeners, which sidekick has none of.
func (c *converter) readListeners() {
	for _, sec := range c.ini.sections {
		if !strings.HasPrefix(sec.name, "eventlistener:") {
			continue
		}
		command, events := "", []string(nil)
		if o := c.ini.option(sec, "command"); o != nil {
			command = o.value
		}
		if o := c.ini.option(sec, "events"); o != nil {
			events = listOfStrings(strings.ToUpper(o.value))
		}
		c.readListener(sec, command, events)
	}
}

func (c *converter) readListener(sec *section, command string, events []string) {
	inline, script := killCommand.MatchString(command), killScript.MatchString(command)
	if !inline && !script || !slices.ContainsFunc(events, func(e string) bool { return slices.Contains(ends, e) }) {
		c.noteSection(sec, "sidekick has no event listeners: %s", insteadOf(command, events))
		return
	}
	if c.killer == nil {
		c.killer = &killer{}
	}
	everyExit := slices.ContainsFunc(events, func(e string) bool { return e == "PROCESS_STATE_EXITED" || e == "PROCESS_STATE" || e == "EVENT" })
	c.killer.seesExits = c.killer.seesExits || everyExit
	switch {
	case everyExit && inline && !looksAtEvent.MatchString(command):
		c.killer.exits = true
		c.noteSection(sec, "it ends supervisord when a program ends: programs are `essential` and not restarted, and any end counts as a failure; the container ends with the exit code of the program, with 1 where that is 0, and not when an operator stops one")
	case everyExit:
		c.noteSection(sec, "it ends supervisord when a program ends, by rules that cannot be seen here: programs are `essential`, so one that fails for good ends the container with its exit code")
	default:
		c.noteSection(sec, "it ends supervisord when a program fails for good: programs are `essential`, and the container ends with the program's exit code")
	}
}

// insteadOf says what to use in place of a well-known listener.
func insteadOf(command string, events []string) string {
	listensToOutput := slices.ContainsFunc(events, func(e string) bool { return strings.HasPrefix(e, "PROCESS_LOG") })
	for word, instead := range map[string]string{
		"httpok":    "use healthcheck with on_failure: restart",
		"memmon":    "use the container's memory limit",
		"crashmail": "use `sidekick events`",
		"fatalmail": "use `sidekick events`",
		"crashsms":  "use `sidekick events`",
		"dependent": "use depends_on",
	} {
		if strings.Contains(command, word) {
			return instead
		}
	}
	switch {
	case listensToOutput:
		return "output goes to the container's log with the program's name in front, see `logging`"
	case slices.ContainsFunc(events, func(e string) bool { return strings.HasPrefix(e, "TICK") }):
		return "what is to happen now and then needs a program of its own"
	}
	return "see `sidekick events`, `essential`, `restart` and `healthcheck`"
}
