package supervisorctl

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sidekick/supervisor"
)

// method is one entry of the API.
type method struct {
	result string // its type in XML-RPC's words
	params []param
	help   string // one line
	call   func(*Server, context.Context, []any) (any, error)
}

// param is a parameter of a method. Those with a default may be left out.
type param struct {
	name, kind string
	otherwise  any
}

// The parameters that occur.
var (
	namedProcess = param{name: "name", kind: "string"}
	namedSignal  = param{name: "signal", kind: "string"}
	waitParam    = param{name: "wait", kind: "boolean", otherwise: true}
	offset       = param{name: "offset", kind: "int"}
	length       = param{name: "length", kind: "int"}
)

// methods is everything that 4.2.5 has, under the same names.
func methods() map[string]method {
	all := map[string]method{}
	for _, group := range []map[string]method{systemMethods, daemonMethods, processMethods, groupMethods, logMethods} {
		maps.Copy(all, group)
	}
	for alias, name := range map[string]string{
		"getVersion": "getAPIVersion", "readMainLog": "readLog", "readProcessLog": "readProcessStdoutLog",
		"tailProcessLog": "tailProcessStdoutLog", "clearProcessLog": "clearProcessLogs",
	} {
		all["supervisor."+alias] = all["supervisor."+name]
	}
	return all
}

var daemonMethods = map[string]method{
	"supervisor.getAPIVersion": {"string", nil, "Return the version of the API.",
		func(*Server, context.Context, []any) (any, error) { return "3.0", nil }},
	"supervisor.getSupervisorVersion": {"string", nil, "Return the version of Supervisor that is spoken.",
		func(*Server, context.Context, []any) (any, error) { return "4.2.5", nil }},
	"supervisor.getIdentification": {"string", nil, "Return the identifier, which is Supervisor's default.",
		func(*Server, context.Context, []any) (any, error) { return "supervisor", nil }},
	"supervisor.getState": {"struct", nil, "Return the state: a struct with statecode and statename.",
		func(*Server, context.Context, []any) (any, error) {
			return map[string]any{"statecode": 1, "statename": "RUNNING"}, nil // any other is a fault
		}},
	"supervisor.getPID": {"int", nil, "Return sidekick's pid.",
		func(s *Server, _ context.Context, _ []any) (any, error) { return s.Pid, nil }},
	"supervisor.shutdown": {"boolean", nil, "End all programs and the container.",
		func(s *Server, _ context.Context, _ []any) (any, error) {
			if !s.shutdown.CompareAndSwap(false, true) {
				return nil, faultf(shutdownState, "") // a second request would be without grace
			}
			s.Supervisor.Shutdown("supervisorctl shutdown")
			return true, nil
		}},
	"supervisor.restart": {"boolean", nil, "Read the file, and start everything anew by it.",
		func(s *Server, ctx context.Context, _ []any) (any, error) { return true, s.restart(ctx) }},
	"supervisor.sendRemoteCommEvent": {"boolean", []param{{"type", "string", nil}, {"data", "string", nil}},
		"Send an event to listeners, of which there are none.",
		func(*Server, context.Context, []any) (any, error) { return true, nil }},
}

var processMethods = map[string]method{
	"supervisor.getProcessInfo": {"struct", []param{namedProcess}, "Return what is known of a process.",
		func(s *Server, _ context.Context, args []any) (any, error) {
			p, err := s.find(args[0].(string))
			if err != nil {
				return nil, err
			}
			return s.info(p, time.Now()), nil
		}},
	"supervisor.getAllProcessInfo": {"array", nil, "Return what is known of all processes.",
		func(s *Server, _ context.Context, _ []any) (any, error) {
			all, now := []any{}, time.Now()
			for _, p := range s.everything() {
				all = append(all, s.info(p, now))
			}
			return all, nil
		}},
	"supervisor.startProcess": {"boolean", []param{namedProcess, waitParam}, "Start a process, or group:*.",
		func(s *Server, ctx context.Context, args []any) (any, error) {
			return s.oneOrGroup(ctx, args[0].(string), notRunningNow, s.start, args[1].(bool))
		}},
	"supervisor.startProcessGroup": {"array", []param{namedProcess, waitParam}, "Start what does not run of a group.",
		func(s *Server, ctx context.Context, args []any) (any, error) {
			return s.group(ctx, args[0].(string), notRunningNow, s.start, args[1].(bool))
		}},
	"supervisor.startAllProcesses": {"array", []param{waitParam}, "Start everything that does not run.",
		func(s *Server, ctx context.Context, args []any) (any, error) {
			return s.each(ctx, only(s.everything(), notRunningNow), s.start, args[0].(bool))
		}},
	"supervisor.stopProcess": {"boolean", []param{namedProcess, waitParam}, "Stop a process, or group:*.",
		func(s *Server, ctx context.Context, args []any) (any, error) {
			return s.oneOrGroup(ctx, args[0].(string), process.isRunning, s.stop, args[1].(bool))
		}},
	"supervisor.stopProcessGroup": {"array", []param{namedProcess, waitParam}, "Stop what runs of a group.",
		func(s *Server, ctx context.Context, args []any) (any, error) {
			return s.group(ctx, args[0].(string), process.isRunning, s.stop, args[1].(bool))
		}},
	"supervisor.stopAllProcesses": {"array", []param{waitParam}, "Stop everything that runs.",
		func(s *Server, ctx context.Context, args []any) (any, error) {
			return s.each(ctx, only(s.everything(), process.isRunning), s.stop, args[0].(bool))
		}},
	"supervisor.signalProcess": {"boolean", []param{namedProcess, namedSignal}, "Send a signal to a process, or group:*.",
		func(s *Server, ctx context.Context, args []any) (any, error) {
			return s.oneOrGroup(ctx, args[0].(string), process.isSignallable, s.sending(args[1].(string)), false)
		}},
	"supervisor.signalProcessGroup": {"array", []param{namedProcess, namedSignal}, "Send a signal to what lives of a group.",
		func(s *Server, ctx context.Context, args []any) (any, error) {
			return s.group(ctx, args[0].(string), process.isSignallable, s.sending(args[1].(string)), false)
		}},
	"supervisor.signalAllProcesses": {"array", []param{namedSignal}, "Send a signal to everything that lives.",
		func(s *Server, ctx context.Context, args []any) (any, error) {
			return s.each(ctx, only(s.everything(), process.isSignallable), s.sending(args[0].(string)), false)
		}},
	"supervisor.sendProcessStdin": {"boolean", []param{namedProcess, {"chars", "string", nil}},
		"Refused: programs have no stdin that could be written to.",
		func(s *Server, _ context.Context, args []any) (any, error) {
			p, err := s.find(args[0].(string))
			switch {
			case err != nil:
				return nil, err
			case p.Pid == 0 || p.State == supervisor.Stopping:
				return nil, faultf(notRunning, "%s", args[0])
			}
			return nil, faultf(noFile, "%s", args[0])
		}},
}

var groupMethods = map[string]method{
	"supervisor.reloadConfig": {"array", nil, "Read the file; return the groups that are added, changed and removed.",
		func(s *Server, ctx context.Context, _ []any) (any, error) {
			d, err := s.groups.reread(ctx)
			if err != nil {
				return nil, err
			}
			return []any{[]any{strs(d.added), strs(d.changed), strs(d.removed)}}, nil
		}},
	"supervisor.addProcessGroup": {"boolean", []param{namedProcess}, "Make a group of the file active.",
		func(s *Server, ctx context.Context, args []any) (any, error) {
			start, err := s.groups.add(ctx, args[0].(string))
			if err != nil {
				return nil, err
			}
			for _, name := range start {
				if _, err := s.Supervisor.Do(ctx, supervisor.Start, name); err != nil {
					return nil, faultf(failed, "%s: %v", name, err)
				}
			}
			return true, nil
		}},
	"supervisor.removeProcessGroup": {"boolean", []param{namedProcess}, "Take a stopped group out.",
		func(s *Server, ctx context.Context, args []any) (any, error) {
			name := args[0].(string)
			members, _ := s.inGroup(name)
			stopped := !slices.ContainsFunc(members, func(p process) bool { return !isStopped(p.State) || p.waits() })
			return true, s.groups.remove(ctx, name, stopped)
		}},
	"supervisor.getAllConfigInfo": {"array", nil, "Return how all processes of the file are configured.",
		func(s *Server, _ context.Context, _ []any) (any, error) { return s.configInfo(), nil }},
}

func strs(all []string) []any {
	list := []any{}
	for _, s := range all {
		list = append(list, s)
	}
	return list
}

func notRunningNow(p process) bool { return !p.isRunning() }

func only(all []process, want func(process) bool) []process {
	return slices.DeleteFunc(all, func(p process) bool { return !want(p) })
}

// oneOrGroup acts on a process, or on those of group:* that are wanted.
func (s *Server) oneOrGroup(ctx context.Context, spec string, want func(process) bool, begin begin, wait bool) (any, error) {
	if group, name := splitSpec(spec); name == "" {
		return s.group(ctx, group, want, begin, wait)
	}
	p, err := s.find(spec)
	if err != nil {
		return nil, err
	}
	return s.one(ctx, p, begin, wait)
}

func (s *Server) group(ctx context.Context, name string, want func(process) bool, begin begin, wait bool) (any, error) {
	all, err := s.inGroup(name)
	if err != nil {
		return nil, err
	}
	return s.each(ctx, only(all, want), begin, wait)
}

func (s *Server) sending(signal string) begin {
	return func(ctx context.Context, p process) (outcome, error) { return nil, s.signal(ctx, p, signal) }
}

// call finds the method and checks the arguments. The error is a fault, or tells
// that the client is gone.
func (s *Server) call(ctx context.Context, c call) (any, error) {
	m, ok := s.methods[c.method]
	if !ok {
		return nil, faultf(unknownMethod, "")
	}
	args, err := m.arguments(c.args)
	if err != nil {
		return nil, err
	}
	if snapshot, _ := s.Supervisor.Snapshot(); snapshot.ShuttingDown && strings.HasPrefix(c.method, "supervisor.") {
		return nil, faultf(shutdownState, "")
	}
	return m.call(s, ctx, args)
}

// arguments checks the arguments and adds the defaults.
func (m method) arguments(given []any) ([]any, error) {
	if len(given) > len(m.params) {
		return nil, faultf(incorrectParameters, "")
	}
	args := slices.Clone(given)
	for i, p := range m.params {
		if i == len(given) {
			given = append(given, p.otherwise)
			args = append(args, p.otherwise)
		}
		if n, isInt := args[i].(int); isInt && p.kind == "boolean" {
			args[i] = n != 0 // Python takes it for one
		}
		if kindOf(args[i]) != p.kind {
			return nil, faultf(incorrectParameters, "")
		}
	}
	return args, nil
}

func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case int:
		return "int"
	case bool:
		return "boolean"
	case []any:
		return "array"
	}
	return fmt.Sprintf("%T", v)
}
