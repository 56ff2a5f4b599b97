package supervisorctl

import (
	"cmp"
	"math"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"sidekick/config"
)

// priority is Supervisor's default: the order here comes from depends_on.
const priority = 999

// configInfo describes all processes of the file as it was read last.
func (s *Server) configInfo() []any {
	file := s.groups.asRead()
	active := map[string]bool{}
	for _, p := range s.everything() {
		active[p.group] = true
	}
	programs := slices.Clone(file.Programs)
	slices.SortStableFunc(programs, func(a, b config.Program) int { return cmp.Compare(a.Name, b.Name) })
	all := []any{}
	for i := range programs {
		all = append(all, configOf(&programs[i], active[programs[i].Group]))
	}
	return all
}

func configOf(p *config.Program, inUse bool) any {
	l, policy := &p.Launch, &p.Policy
	stdout, stderr := logFiles(p)
	codes := []any{}
	for _, code := range policy.SuccessExitCodes {
		codes = append(codes, code)
	}
	info := map[string]any{
		"name": p.Name, "group": p.Group, "inuse": inUse, "autostart": policy.Autostart,
		"process_prio": priority, "group_prio": priority,
		"command": joinWords(l.Command), "directory": orNone(l.WorkingDir), "uid": uid(l.User),
		"exitcodes": codes, "startsecs": seconds(policy.MinUptime), "startretries": retries(policy.Restart),
		"stopsignal": int(policy.StopSignal), "stopwaitsecs": seconds(policy.StopGracePeriod),
		"killasgroup": policy.KillMode != config.KillProcess, "redirect_stderr": false, "serverurl": "none",
	}
	for stream, path := range map[string]string{"stdout": stdout, "stderr": stderr} {
		info[stream+"_logfile"], info[stream+"_logfile_maxbytes"], info[stream+"_logfile_backups"] = orNone(path), 0, 0
		if policy.Logging.To == config.LogFile {
			info[stream+"_logfile_maxbytes"], info[stream+"_logfile_backups"] = int(policy.Logging.MaxSize), policy.Logging.MaxFiles
		}
		info[stream+"_capture_maxbytes"], info[stream+"_events_enabled"], info[stream+"_syslog"] = 0, false, false
	}
	return info
}

// orNone: Supervisor's word for what is not set.
func orNone(s string) string { return cmp.Or(s, "none") }

// seconds rounds up, for Supervisor counts in whole ones.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

func retries(r config.Restart) int {
	switch {
	case r.Mode == config.RestartNo:
		return 0
	case r.Mode == config.RestartOnFailure && r.Max > 0:
		return r.Max
	}
	return math.MaxInt32
}

// uid is a number, or "none": for sidekick's own, and for one that is not known.
func uid(name string) any {
	if n, err := strconv.Atoi(name); err == nil {
		return n
	}
	if u, err := user.Lookup(name); name != "" && err == nil {
		if n, err := strconv.Atoi(u.Uid); err == nil {
			return n
		}
	}
	return "none"
}

// joinWords writes an argv so that Supervisor would split it into the same.
func joinWords(words []string) string {
	quoted := make([]string, 0, len(words))
	for _, word := range words {
		if word == "" || strings.ContainsAny(word, " \t\n\\'\"") {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		quoted = append(quoted, word)
	}
	return strings.Join(quoted, " ")
}

// logFiles says where a program's output goes, as a path; "": nowhere that could
// be read.
func logFiles(p *config.Program) (stdout, stderr string) {
	switch l := p.Policy.Logging; l.To {
	case config.LogFile:
		return l.Path, l.Path
	case config.LogNone, config.LogInherit:
		return "", ""
	}
	return "/dev/stdout", "/dev/stderr"
}
