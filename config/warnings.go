package config

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// finalKill is the part of shutdown_timeout that the last SIGKILL and the
// reaping need.
const finalKill = 500 * time.Millisecond

// orderEnds is how long before shutdown_timeout everybody is asked to stop,
// whatever the order.
const orderEnds = 2 * time.Second

// Warnings returns what is suspicious about a configuration and no error, one
// line each: it depends on the machine, or somebody may want it. It looks at
// the file system and at $PATH.
func Warnings(c *Config) []string {
	var all []string
	for i := range c.Programs {
		for _, w := range programWarnings(&c.Programs[i]) {
			if !slices.Contains(all, w) { // copies are alike
				all = append(all, w)
			}
		}
	}
	all = append(all, missingFiles(c.Registry.Etcd)...)
	if w := shutdownWarning(c); w != "" {
		all = append(all, w)
	}
	return all
}

func programWarnings(p *Program) []string {
	var all []string
	warn := func(key, format string, args ...any) {
		all = append(all, oneLine("programs."+p.Group+"."+key+": "+fmt.Sprintf(format, args...)))
	}
	if dir := p.Launch.WorkingDir; dir != "" && !isDir(dir) {
		warn("working_dir", "there is no directory %s", dir)
	}
	for _, file := range p.Launch.EnvFromFile {
		if problem := unreadable(file.Path); problem != "" {
			warn("env_from_file."+file.Name, "%s", problem)
		}
	}
	commandWarnings(&p.Launch, p.Launch.Command, func(format string, args ...any) { warn("command", format, args...) })
	if w := loggingWarning(p.Policy.Logging); w != "" {
		warn("logging.path", "%s", w)
	}
	for _, c := range p.Policy.Checks {
		if c.Kind == ProbeExec {
			commandWarnings(&p.Launch, c.Command, func(format string, args ...any) { warn("healthcheck.exec", format, args...) })
		}
	}
	return all
}

// commandWarnings looks at a command that is executed like that of a program.
func commandWarnings(l *Launch, command []string, warn func(format string, args ...any)) {
	as := Launch{Command: command, WorkingDir: l.WorkingDir, Environment: l.Environment}
	if err := as.ExecutableProblem(as.Env(os.Environ())); err != nil {
		warn("cannot execute %s", err)
	}
	if w := shellWord(command); w != "" {
		warn("%s is passed on as it is, for no shell is run; if you want one, write [sh, -c, …]", quote(w))
	}
}

// unreadable says why the content of a file cannot be had here and now, or "".
func unreadable(path string) string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "cannot find " + path
	case info.IsDir():
		return path + " is a directory"
	}
	return ""
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

var (
	shellOperators = []string{"|", "||", "&", "&&", ">", ">>", "<", "2>", "2>&1"}
	bareVariable   = regexp.MustCompile(`^\$[A-Za-z_][A-Za-z0-9_]*$`)
)

// shellWord returns the first word that only a shell would understand, or "".
// A command with -c most likely is a shell.
func shellWord(command []string) string {
	if slices.Contains(command, "-c") {
		return ""
	}
	for _, w := range command {
		if slices.Contains(shellOperators, w) || bareVariable.MatchString(w) {
			return w
		}
	}
	return ""
}

func missingFiles(e *Etcd) []string {
	if e == nil {
		return nil
	}
	type named struct{ key, path string }
	files := []named{{"password_file", e.PasswordFile}}
	if e.TLS != nil {
		files = append(files, named{"tls.ca_file", e.TLS.CAFile},
			named{"tls.cert_file", e.TLS.CertFile}, named{"tls.key_file", e.TLS.KeyFile})
	}
	var all []string
	for _, f := range files {
		if f.path == "" {
			continue
		}
		if _, err := os.Stat(f.path); err != nil {
			all = append(all, oneLine("registry.etcd."+f.key+": cannot find "+f.path))
		}
	}
	return all
}

// shutdownWarning compares what an orderly stop may take with its deadline.
func shutdownWarning(c *Config) string {
	chain, grace := longestStop(c)
	drain := time.Duration(0)
	if slices.ContainsFunc(c.Programs, func(p Program) bool { return len(p.Policy.Register) > 0 }) {
		drain = c.Registry.Drain
	}
	if drain+grace > c.ShutdownTimeout-finalKill {
		return fmt.Sprintf("shutdown_timeout: %s is too short for everyone's grace: drain %s, then %s in a row for %s, then %s for the final kill",
			c.ShutdownTimeout, drain, grace, strings.Join(chain, ", "), finalKill)
	}
	if len(chain) < 2 {
		return ""
	}
	last := c.Programs[slices.IndexFunc(c.Programs, func(p Program) bool { return p.Name == chain[len(chain)-1] })]
	if before := drain + grace - last.Policy.StopGracePeriod; before > c.ShutdownTimeout-orderEnds {
		return fmt.Sprintf("shutdown_timeout: %s is too short for the order: %s before its end %s is asked to stop, and the grace of %s may not be over",
			c.ShutdownTimeout, orderEnds, last.Name, strings.Join(chain[:len(chain)-1], ", "))
	}
	return ""
}

// longestStop returns the chain of programs that stop one after the other,
// dependants first, whose grace periods sum up to most, and that sum. What a
// program waited for to complete has ended before and takes no time.
func longestStop(c *Config) (chain []string, grace time.Duration) {
	index := map[string]int{}
	for i, p := range c.Programs {
		index[p.Name] = i
	}
	type stop struct {
		total time.Duration // of the chain from here on
		next  int           // what stops after this one, or -1
	}
	stops := make([]stop, len(c.Programs))
	first := -1
	for _, i := range c.Order() {
		s := stop{next: -1}
		for _, d := range c.Programs[i].Policy.DependsOn {
			on, known := index[d.Program]
			if known && d.Condition != Completed && stops[on].total > s.total {
				s = stop{total: stops[on].total, next: on}
			}
		}
		s.total += c.Programs[i].Policy.StopGracePeriod
		stops[i] = s
		if first < 0 || s.total > stops[first].total {
			first = i
		}
	}
	if first >= 0 {
		grace = stops[first].total
	}
	for i := first; i >= 0; i = stops[i].next {
		chain = append(chain, c.Programs[i].Name)
	}
	return chain, grace
}
