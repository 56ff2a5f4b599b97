package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Plan is what a reload does. Every program of the two configurations stands
// in exactly one of its lists, by name: Removed in the order of the old one,
// the others in that of the new one.
type Plan struct {
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
	// Relaunched programs need a new process: their Launch differs.
	Relaunched []string `json:"restarted,omitempty"`
	// Deferred programs would, but have none that is wanted: their next start,
	// whenever that is, shows the change. Diff knows of none.
	Deferred []string `json:"deferred,omitempty"`
	// Retuned programs keep their process: only what it is not made from
	// differs.
	Retuned []string `json:"retuned,omitempty"`
	Same    []string `json:"same,omitempty"`
	// Changes names what differs, by program, in the words
	// of the file. It has no values, for those may be secret.
	Changes map[string][]string `json:"changes,omitempty"`
	// Settings are the changed keys outside `programs` that are swapped in
	// place, such as registry.ttl.
	Settings []string `json:"settings,omitempty"`
	// ControlChanged: `control` differs, which needs a restart of the container.
	ControlChanged bool `json:"control_changed,omitempty"`
}

// Diff tells what it takes to get from one configuration to another. It is
// decided by comparing Launch and Policy as wholes, so no field can be forgotten.
func Diff(before, after *Config) Plan {
	plan := Plan{ControlChanged: before.Control != after.Control}
	was := byName(before.Programs)
	for i := range after.Programs {
		p := &after.Programs[i]
		if old := was[p.Name]; old != nil {
			plan.compare(old, p)
		} else {
			plan.Added = append(plan.Added, p.Name)
		}
	}
	is := byName(after.Programs)
	for _, p := range before.Programs {
		if is[p.Name] == nil {
			plan.Removed = append(plan.Removed, p.Name)
		}
	}
	if before.ShutdownTimeout != after.ShutdownTimeout {
		plan.Settings = append(plan.Settings, "shutdown_timeout")
	}
	for _, key := range changedKeys(reflect.ValueOf(before.Registry), reflect.ValueOf(after.Registry)) {
		plan.Settings = append(plan.Settings, "registry."+key)
	}
	return plan
}

func byName(programs []Program) map[string]*Program {
	all := make(map[string]*Program, len(programs))
	for i := range programs {
		all[programs[i].Name] = &programs[i]
	}
	return all
}

// compare puts a program that is in both configurations into a list.
func (plan *Plan) compare(before, after *Program) {
	switch {
	case !before.Launch.Equal(&after.Launch):
		plan.Relaunched = append(plan.Relaunched, after.Name)
	case !reflect.DeepEqual(before, after):
		plan.Retuned = append(plan.Retuned, after.Name)
	default:
		plan.Same = append(plan.Same, after.Name)
		return
	}
	if plan.Changes == nil {
		plan.Changes = map[string][]string{}
	}
	plan.Changes[after.Name] = changedKeys(reflect.ValueOf(*before), reflect.ValueOf(*after))
}

// Defer moves the relaunched programs that restart denies to Deferred.
func (plan *Plan) Defer(restarts func(name string) bool) {
	all := plan.Relaunched
	plan.Relaunched = nil
	for _, name := range all {
		if restarts(name) {
			plan.Relaunched = append(plan.Relaunched, name)
		} else {
			plan.Deferred = append(plan.Deferred, name)
		}
	}
}

// changedKeys names the fields of two structs of one type that differ, in the
// order of the fields and each once.
func changedKeys(a, b reflect.Value) []string {
	var keys []string
	for field, x := range a.Fields() {
		y := b.FieldByIndex(field.Index)
		if reflect.DeepEqual(x.Interface(), y.Interface()) {
			continue
		}
		found := []string{keyOf(a.Type(), field.Name)}
		switch x.Interface().(type) {
		case Launch, Policy, Limits: // have no key in the file, their fields have
			found = changedKeys(x, y)
		}
		for _, key := range found {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// wordEnd is where a word of a Go name ends: before a capital that follows a
// small letter, and before the last of several capitals.
var wordEnd = regexp.MustCompile(`([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])`)

// keyOf returns the key of the file that a field of a struct comes from.
func keyOf(in reflect.Type, field string) string {
	switch {
	case field == "Checks" || field == "RestartUnhealthy":
		return "healthcheck"
	case field == "Inherit":
		return "logging"
	case field == "Group" && in == reflect.TypeFor[Launch]():
		return "user"
	case field == "Group" && in == reflect.TypeFor[Program]():
		return "replicas"
	}
	return strings.ToLower(wordEnd.ReplaceAllString(field, "${1}${3}_${2}${4}"))
}

// Empty says whether the plan changes nothing.
func (plan Plan) Empty() bool { return len(plan.Lines()) == 0 }

// Lines describes the plan for people, a line for each program, setting and
// section that differs: + added, - removed, ~ restarted, . changed without a
// restart, ! not changed, for that needs a restart of the container.
func (plan Plan) Lines() []string {
	var lines []string
	for _, name := range plan.Added {
		lines = append(lines, "+ "+name)
	}
	for _, name := range plan.Removed {
		lines = append(lines, "- "+name)
	}
	for _, name := range plan.Relaunched {
		lines = append(lines, "~ "+name+" (restart: "+strings.Join(plan.Changes[name], ", ")+" changed)")
	}
	for _, name := range plan.Deferred {
		lines = append(lines, ". "+name+" (at its next start: "+strings.Join(plan.Changes[name], ", ")+" changed)")
	}
	for _, name := range plan.Retuned {
		lines = append(lines, ". "+name+" (retuned: "+strings.Join(plan.Changes[name], ", ")+")")
	}
	for _, key := range plan.Settings {
		lines = append(lines, ". "+key+" (retuned)")
	}
	if plan.ControlChanged {
		lines = append(lines, "! control (unchanged: it needs a restart of the container)")
	}
	return lines
}

// String is Lines, or says that there are none.
func (plan Plan) String() string {
	if plan.Empty() {
		return "nothing changed"
	}
	return strings.Join(plan.Lines(), "\n")
}
