package supervisorctl

import (
	"slices"

	"sidekick/config"
)

// mixture is a configuration in the making: of what runs, and of groups that are
// taken from the file.
type mixture struct {
	current, file *config.Config
	was, is       map[string][]config.Program // by group
	names         []string                    // of all groups, each once
	keep, take    map[string]bool
}

func newMixture(current, file *config.Config, take []string) *mixture {
	m := &mixture{current: current, file: file, was: byGroup(current), is: byGroup(file),
		keep: map[string]bool{}, take: map[string]bool{}}
	for _, p := range slices.Concat(file.Programs, current.Programs) {
		if !slices.Contains(m.names, p.Group) {
			m.names = append(m.names, p.Group)
		}
	}
	for name := range m.was {
		m.keep[name] = true
	}
	for _, name := range take {
		m.take[name] = true
	}
	return m
}

// starts: something that is taken starts by itself.
func (m *mixture) starts() bool {
	for name := range m.take {
		if m.was[name] == nil && slices.ContainsFunc(m.is[name], func(p config.Program) bool { return p.Policy.Autostart }) {
			return true
		}
	}
	return false
}

// drop leaves out what is gone, but for what the file still has.
func (m *mixture) drop(gone map[string]bool) {
	for name := range gone {
		m.keep[name] = m.is[name] != nil
	}
}

// mix makes the configuration. It takes more from the file, which is sound as a
// whole, until nothing is wrong with the mixture or that does not help.
func (m *mixture) mix() *config.Config {
	for {
		c := m.config()
		helped := false
		for _, flaw := range c.Flaws() {
			helped = m.mend(flaw) || helped
		}
		if !helped {
			return c
		}
	}
}

func (m *mixture) config() *config.Config {
	c := &config.Config{ShutdownTimeout: m.file.ShutdownTimeout, Registry: m.file.Registry, Control: m.current.Control}
	registers := false
	for _, name := range m.names {
		switch {
		case m.take[name]:
			c.Programs = append(c.Programs, m.is[name]...)
		case m.keep[name]:
			c.Programs = append(c.Programs, m.was[name]...)
		}
	}
	for _, p := range c.Programs {
		registers = registers || len(p.Policy.Register) > 0
	}
	if registers && c.Registry.Etcd == nil {
		c.Registry = m.current.Registry // until the last that is registered has gone
	}
	return c
}

// mend brings what a program depends on, or else what the file has of the
// program itself. It reports whether that changed anything.
func (m *mixture) mend(flaw config.Flaw) bool {
	if flaw.Lacks != "" {
		if group := groupOf(m.current, flaw.Lacks); group != "" && !m.keep[group] && !m.take[group] {
			m.keep[group] = true
			return true
		}
		if m.takeGroupOf(flaw.Lacks) {
			return true
		}
	}
	helped := false
	for _, name := range flaw.Programs {
		helped = m.takeGroupOf(name) || helped
	}
	return helped
}

func (m *mixture) takeGroupOf(program string) bool {
	group := groupOf(m.file, program)
	if group == "" || m.take[group] {
		return false
	}
	m.take[group] = true
	return true
}

// groupOf is the group of a program, "" if it is not there.
func groupOf(c *config.Config, program string) string {
	i := slices.IndexFunc(c.Programs, func(p config.Program) bool { return p.Name == program })
	if i < 0 {
		return ""
	}
	return c.Programs[i].Group
}
