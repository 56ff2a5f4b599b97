package supervisorctl

import (
	"cmp"
	"slices"
	"strings"

	"sidekick/supervisor"
)

// process is a program in Supervisor's words.
type process struct {
	group, name string
	*supervisor.ProgramStatus
}

// spec is how people write it.
func (p process) spec() string {
	if p.group == p.name {
		return p.name
	}
	return p.group + ":" + p.name
}

// splitSpec splits group:name. A lone name stands for both; the name is "" for
// the whole group (supervisor/options.py, split_namespec).
func splitSpec(spec string) (group, name string) {
	group, name, both := strings.Cut(spec, ":")
	switch {
	case !both:
		return spec, spec
	case name == "*":
		return group, ""
	}
	return group, name
}

// processes lists what is in an active group, by group and name.
func (s *Server) processes(snapshot *supervisor.Snapshot) []process {
	all := make([]process, 0, len(snapshot.Programs))
	for i := range snapshot.Programs {
		st := &snapshot.Programs[i]
		if !s.groups.removed(st.Config.Group) {
			all = append(all, process{st.Config.Group, st.Name, s.groups.seen(st)})
		}
	}
	slices.SortFunc(all, func(a, b process) int {
		return cmp.Or(strings.Compare(a.group, b.group), strings.Compare(a.name, b.name))
	})
	return all
}

// inGroup lists the processes of an active group; the fault is BAD_NAME.
func (s *Server) inGroup(group string) ([]process, error) {
	snapshot, _ := s.Supervisor.Snapshot()
	all := slices.DeleteFunc(s.processes(snapshot), func(p process) bool { return p.group != group })
	if len(all) == 0 {
		return nil, faultf(badName, "%s", group)
	}
	return all, nil
}

// find finds one process; the fault is BAD_NAME.
func (s *Server) find(spec string) (process, error) {
	group, name := splitSpec(spec)
	all, err := s.inGroup(group)
	if err == nil {
		if i := slices.IndexFunc(all, func(p process) bool { return p.name == name }); i >= 0 {
			return all[i], nil
		}
	}
	return process{}, faultf(badName, "%s", spec)
}

// everything lists all processes.
func (s *Server) everything() []process {
	snapshot, _ := s.Supervisor.Snapshot()
	return s.processes(snapshot)
}
