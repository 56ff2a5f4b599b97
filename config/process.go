package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Keys that say as whom and within which limits a process runs.

// account is a value of `user`.
type account struct{ user, group string }

// parseGroup reads a group's name or id; "" is none.
func parseGroup(s string) (string, error) {
	if s != "" && !validAccount(s) {
		return "", fmt.Errorf("%s is not a group: write its name or id", quote(s))
	}
	return s, nil
}

// parseUser reads NAME, NAME:GROUP or ids in their place; "" is nobody in
// particular. Whether there is such a user is seen when the program starts.
func parseUser(s string) (account, error) {
	if s == "" {
		return account{}, nil
	}
	user, group, hasGroup := strings.Cut(s, ":")
	if !validAccount(user) || hasGroup && !validAccount(group) {
		return account{}, fmt.Errorf("%s is not a user: write USER or USER:GROUP, each a name or an id", quote(s))
	}
	return account{user, group}, nil
}

// validAccount says whether s may be a name, or is an id. The largest uid_t
// is no id: chown(2) and setresuid(2) read it as "unchanged".
func validAccount(s string) bool {
	if strings.Trim(s, "0123456789") == "" {
		n, err := strconv.ParseUint(s, 10, 32)
		return err == nil && n < math.MaxUint32
	}
	return s[0] != '-' && s[0] != '+' && !strings.ContainsFunc(s, func(r rune) bool {
		return r == ':' || r == '/' || unicode.IsSpace(r) || !unicode.IsPrint(r)
	})
}

// ulimitNames are those that UlimitResource knows, to suggest one.
const ulimitNames = "as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack"

// ulimits reads a mapping of limits to a number or {soft, hard}. It is
// sorted, for its order means nothing.
func ulimits(v value) ([]Ulimit, bool) {
	var all []Ulimit
	before := len(v.d.problems)
	for _, e := range v.entries() {
		if _, known := UlimitResource(e.name); !known {
			e.keyProblem("unknown limit%s", didYouMean(e.name, strings.Fields(ulimitNames)))
			continue
		}
		all = append(all, readUlimit(e))
	}
	slices.SortFunc(all, func(a, b Ulimit) int { return strings.Compare(a.Name, b.Name) })
	return all, len(v.d.problems) == before
}

func readUlimit(e entry) Ulimit {
	u := Ulimit{Name: e.name}
	if !e.isMapping() {
		set(&u.Soft, text(parseLimit))(e.value)
		u.Hard = u.Soft
		return u
	}
	before := len(e.d.problems)
	given := e.keys(table{
		"soft": set(&u.Soft, text(parseLimit)),
		"hard": set(&u.Hard, text(parseLimit)),
	})
	switch {
	case len(e.d.problems) > before:
	case len(given) < 2:
		e.problem("needs soft and hard")
	case u.Soft > u.Hard:
		given["soft"].problem("is larger than hard")
	}
	return u
}

// parseLimit reads a limit; RLIM_INFINITY of the kernel is the largest number.
func parseLimit(s string) (uint64, error) {
	if s == "-1" || s == "unlimited" {
		return math.MaxUint64, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is not a limit: write a whole number from 0, or unlimited", quote(s))
	}
	return n, nil
}

// parseUmask reads permission bits in octal, as umask(1) does.
func parseUmask(s string) (uint32, error) {
	mode, err := parseMode(s)
	if err != nil {
		return 0, fmt.Errorf("%s is not a umask like \"022\"", quote(s))
	}
	return uint32(mode), nil
}

// pointer makes a reader of a value for which absence is not a zero.
func pointer[T any](read func(value) (T, bool)) func(value) (*T, bool) {
	return func(v value) (*T, bool) {
		got, ok := read(v)
		return &got, ok
	}
}

// allCapabilities stands for every one of them.
const allCapabilities = "ALL"

// droppedCapabilities reads ALL alone or a list of names.
func droppedCapabilities(v value) ([]string, bool) {
	names, ok := capabilityList(v)
	if ok && len(names) > 1 && slices.Contains(names, allCapabilities) {
		v.problem("ALL is every capability: name no other beside it")
		return nil, false
	}
	return names, ok
}

// addedCapabilities reads a list of names.
func addedCapabilities(v value) ([]string, bool) {
	names, ok := capabilityList(v)
	if ok && slices.Contains(names, allCapabilities) {
		v.problem("ALL cannot be added: name what the program needs")
		return nil, false
	}
	return names, ok
}

// capabilityList reads names, each once. They are sorted, for their order means
// nothing.
func capabilityList(v value) ([]string, bool) {
	names, ok := listOf(text(parseCapability))(v)
	slices.Sort(names)
	if len(names) == 0 {
		return nil, ok
	}
	return slices.Compact(names), ok
}

// parseCapability reads a name of capabilities(7), with or without CAP_ and in
// either case, or ALL.
func parseCapability(s string) (string, error) {
	name := strings.TrimPrefix(strings.ToUpper(s), "CAP_")
	if name == allCapabilities {
		return name, nil
	}
	if _, known := CapabilityNumber("CAP_" + name); !known {
		return "", fmt.Errorf("%s is not a capability: write a name of capabilities(7), such as NET_BIND_SERVICE", quote(s))
	}
	return "CAP_" + name, nil
}

// parseWatchdog reads how often a program promises to say that it is well;
// 0 is never.
func parseWatchdog(s string) (time.Duration, error) {
	d, err := ParseDuration(s, 0)
	if err == nil && 0 < d && d < shortestWatchdog {
		return 0, fmt.Errorf("%s is too short: at least %s, or 0s for none", s, shortestWatchdog)
	}
	return d, err
}

// shortestWatchdog: $WATCHDOG_USEC counts microseconds, but nobody is punctual
// to less than this.
const shortestWatchdog = time.Millisecond

// checkNotify finds what works with `notify` only.
func (p *program) checkNotify() {
	if p.Launch.Notify || p.badNotify {
		return
	}
	const needs = "needs notify: true, for only a program that says READY=1 can be late with it"
	if p.Policy.StartTimeout != DefaultStartTimeout {
		p.given["start_timeout"].keyProblem(needs)
	}
	if p.Launch.Watchdog != 0 {
		p.given["watchdog"].keyProblem(needs)
	}
}
