package config

import (
	"strconv"
	"syscall"
	"time"
)

// The defaults of the file; every one of them may be relied upon.
const (
	DefaultShutdownTimeout = 8 * time.Second
	DefaultTTL             = 20 * time.Second
	DefaultDrain           = 1 * time.Second
	DefaultStartTimeout    = 60 * time.Second
	DefaultKey             = "service"
	DefaultDockerHost      = "unix:///var/run/docker.sock"
	DefaultDomain          = "cluster.local"
)

// EnvDockerHost is the environment variable that the Docker API is looked
// for in when the file does not say where it is.
const EnvDockerHost = "DOCKER_HOST"

// DefaultProgram returns a program that has only its name and every default.
func DefaultProgram(name string) Program {
	return Program{Name: name, Group: name, Policy: Policy{
		Autostart:        true,
		Restart:          Restart{Mode: RestartOnFailure, Max: 10},
		SuccessExitCodes: []int{0},
		Backoff: Backoff{
			Initial:    100 * time.Millisecond,
			Max:        30 * time.Second,
			ResetAfter: 10 * time.Second,
			Factor:     2,
			Jitter:     0.1,
		},
		MinUptime:       1 * time.Second,
		Essential:       true,
		StopSignal:      syscall.SIGTERM,
		StopGracePeriod: 5 * time.Second,
		KillMode:        KillMixed,
		StartTimeout:    DefaultStartTimeout,
		Logging:         Logging{To: LogStdout, Format: LogText, MaxSize: 10_000_000, MaxFiles: 5},
	}}
}

// DefaultCheck returns the timing of a check that does not say it, without a
// kind and a target.
func DefaultCheck() Check {
	return Check{
		Interval:      5 * time.Second,
		Timeout:       3 * time.Second,
		Retries:       1,
		StartInterval: 200 * time.Millisecond,
	}
}

// TCPCheck returns the default check of a TCP port of the container.
func TCPCheck(port uint16) Check {
	c := DefaultCheck()
	c.Kind, c.Address = ProbeTCP, barePort(port)
	return c
}

// HTTPCheck returns the default check of a path, which begins with a slash
// and may have a query, on a port of the container.
func HTTPCheck(port uint16, path string) Check {
	c := DefaultCheck()
	c.Kind, c.URL = ProbeHTTP, "http://"+barePort(port)+path
	return c
}

// DefaultRegistry returns a registry without etcd. lookup, os.LookupEnv or
// like it, gives $DOCKER_HOST.
func DefaultRegistry(lookup func(string) (string, bool)) Registry {
	r := Registry{
		TTL: DefaultTTL, Drain: DefaultDrain, Docker: Docker{Host: DefaultDockerHost},
		Format: []Format{FormatPlain}, Domain: DefaultDomain,
	}
	if lookup == nil {
		return r
	}
	if host, _ := lookup(EnvDockerHost); host != "" {
		r.Docker.Host = host
	}
	return r
}

func barePort(port uint16) string { return ":" + strconv.Itoa(int(port)) }

// GuardRegistrations sets the check that guards each registration. With no
// checks there, it adds a default one for each registered TCP port; else all
// registrations hang on the first, which `healthcheck` gave.
func (p *Policy) GuardRegistrations() {
	if len(p.Checks) > 0 {
		for i := range p.Register {
			p.Register[i].Check = 0
		}
		return
	}
	ofPort := map[uint16]int{}
	for i := range p.Register {
		r := &p.Register[i]
		if r.Port.Protocol != "tcp" {
			r.Check = -1
			continue
		}
		if _, there := ofPort[r.Port.Number]; !there {
			ofPort[r.Port.Number] = len(p.Checks)
			p.Checks = append(p.Checks, TCPCheck(r.Port.Number))
		}
		r.Check = ofPort[r.Port.Number]
	}
}
