package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// program is a Program and where what is checked later stands.
type program struct {
	Program
	at       value // the program's name
	given    map[string]value
	depends  []value // parallel to Policy.DependsOn
	register []value // parallel to Policy.Register
	logging  map[string]value
	// badRegister: not all of `register` could be read, so nobody knows
	// what would be checked. badNotify: nor whether `notify` is meant.
	badRegister, badNotify bool
	forWatchdog            bool // `healthcheck` has on_failure alone

	replicas  int
	fromFiles []string // the variables of env_file
}

// readProgram reads one entry of `programs`, or one copy of one.
func readProgram(e entry) *program {
	p := &program{Program: DefaultProgram(e.name), at: e.value, replicas: 1}
	p.given = e.keys(p.keys())
	p.Launch.Environment = normalise(slices.Concat(p.fromFiles, p.Launch.Environment))
	return p
}

// keys is the table in which every key of a program stands.
func (p *program) keys() table {
	launch, policy := &p.Launch, &p.Policy
	return table{
		"command":       set(&launch.Command, command),
		"working_dir":   set(&launch.WorkingDir, value.absolute),
		"user":          p.readUser,
		"environment":   set(&launch.Environment, environment),
		"env_file":      p.readEnvFile,
		"env_from_file": set(&launch.EnvFromFile, envFromFile),
		"replicas":      set(&p.replicas, integer(1, maxReplicas)),
		"notify":        p.readNotify,
		"watchdog":      set(&launch.Watchdog, text(parseWatchdog)),

		"ulimits":           set(&launch.Limits.Ulimits, ulimits),
		"umask":             set(&launch.Limits.Umask, pointer(text(parseUmask))),
		"nice":              set(&launch.Limits.Nice, pointer(integer(-20, 19))),
		"oom_score_adj":     set(&launch.Limits.OOMScoreAdj, pointer(integer(-1000, 1000))),
		"no_new_privileges": set(&launch.Limits.NoNewPrivileges, boolean),
		"cap_drop":          set(&launch.Limits.CapDrop, droppedCapabilities),
		"cap_add":           set(&launch.Limits.CapAdd, addedCapabilities),

		"autostart":          set(&policy.Autostart, boolean),
		"restart":            set(&policy.Restart, text(ParseRestart)),
		"success_exit_codes": set(&policy.SuccessExitCodes, listOf(integer(0, 255))),
		"backoff":            func(v value) { readBackoff(v, &policy.Backoff) },
		"min_uptime":         set(&policy.MinUptime, duration(0)),
		"start_timeout":      set(&policy.StartTimeout, duration(time.Millisecond)),
		"essential":          set(&policy.Essential, boolean),
		"depends_on":         p.readDependsOn,
		"stop_signal":        set(&policy.StopSignal, text(ParseSignal)),
		"stop_grace_period":  set(&policy.StopGracePeriod, duration(0)),
		"kill_mode":          set(&policy.KillMode, oneOf([]KillMode{KillMixed, KillGroup, KillProcess})),
		"healthcheck":        p.readHealthcheck,
		"register":           p.readRegister,
		"logging":            p.readLogging,
	}
}

func (p *program) readUser(v value) {
	if a, ok := text(parseUser)(v); ok {
		p.Launch.User, p.Launch.Group = a.user, a.group
	}
}

func (p *program) readNotify(v value) {
	notify, ok := boolean(v)
	p.Launch.Notify, p.badNotify = notify, !ok
}

// has says whether a key was given, well or badly.
func (p *program) has(key string) bool {
	_, given := p.given[key]
	return given
}

// command reads an argv: a string is split into words after its variables
// were replaced, so a variable with blanks gives several words; a list is
// taken word by word.
func command(v value) ([]string, bool) {
	read := text(splitCommand)
	if v.isList() {
		read = listOf(plainText)
	}
	argv, ok := read(v)
	if ok && (len(argv) == 0 || argv[0] == "") {
		v.problem("is empty: name the program to execute")
		return nil, false
	}
	return argv, ok
}

func splitCommand(s string) ([]string, error) {
	if _, err := noNUL(s); err != nil {
		return nil, err
	}
	words, err := SplitWords(s)
	if err != nil {
		return nil, fmt.Errorf("cannot split the command into words: %w", err)
	}
	return words, nil
}

// ParseRestart reads a value of `restart`: no, always, unless-stopped,
// on-failure or on-failure:N with N from 1. The error says that it is none.
func ParseRestart(s string) (Restart, error) {
	switch s {
	case "no", "false": // `false` is what YAML 1.1 tools make of a bare `no`
		return Restart{Mode: RestartNo}, nil
	case "always", "unless-stopped":
		return Restart{Mode: RestartAlways}, nil
	case "on-failure":
		return Restart{Mode: RestartOnFailure}, nil
	}
	count, limited := strings.CutPrefix(s, "on-failure:")
	if !limited {
		return Restart{}, fmt.Errorf("%s is not no, always, on-failure or on-failure:N", quote(s))
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > math.MaxInt32 {
		return Restart{}, fmt.Errorf("%s: N of on-failure:N must be a whole number from 1", quote(s))
	}
	return Restart{Mode: RestartOnFailure, Max: n}, nil
}

func readBackoff(v value, b *Backoff) {
	// Delays of nothing would be a busy loop of restarts.
	const shortest = time.Millisecond
	given := v.keys(table{
		"initial":     set(&b.Initial, duration(shortest)),
		"max":         set(&b.Max, duration(shortest)),
		"factor":      set(&b.Factor, number(1, 1000)),
		"jitter":      set(&b.Jitter, number(0, 1)),
		"reset_after": set(&b.ResetAfter, duration(shortest)),
	})
	if b.Initial <= b.Max {
		return
	}
	at, ok := given["max"]
	if !ok {
		at = given["initial"]
	}
	at.problem("initial %s is longer than max %s", b.Initial, b.Max)
}

// readDependsOn reads a list of programs, or a mapping of programs to a
// condition in its long or short form.
func (p *program) readDependsOn(v value) {
	if !v.isList() {
		// A mapping has each name only once.
		for _, e := range v.entries() {
			if c, ok := condition(e.value); ok {
				p.dependOn(e.atKey(), e.name, c)
			}
		}
		return
	}
	items, _ := v.items()
	listed := map[string]bool{}
	for _, item := range items {
		name, ok := plainText(item)
		switch {
		case !ok:
		case listed[name]:
			item.problem("%s is listed twice", quote(name))
		default:
			p.dependOn(item, name, Started)
		}
		listed[name] = true
	}
}

func (p *program) dependOn(at value, name string, c Condition) {
	p.Policy.DependsOn = append(p.Policy.DependsOn, Dependency{Program: name, Condition: c})
	p.depends = append(p.depends, at)
}

// condition reads `{condition: …}` or the condition itself.
func condition(v value) (c Condition, ok bool) {
	if !v.isMapping() {
		return text(parseCondition)(v)
	}
	before := len(v.d.problems)
	given := v.keys(table{"condition": set(&c, text(parseCondition))})
	if _, there := given["condition"]; !there && len(v.d.problems) == before {
		v.problem("needs a condition: %s", conditionWords)
	}
	return c, c != ""
}

const conditionWords = "service_started, service_healthy or service_completed_successfully (short: started, healthy, completed)"

func parseCondition(s string) (Condition, error) {
	switch s {
	case "started", "service_started":
		return Started, nil
	case "healthy", "service_healthy":
		return Healthy, nil
	case "completed", "service_completed_successfully":
		return Completed, nil
	}
	return "", errors.New(quote(s) + " is not " + conditionWords)
}
