// Package config turns the bytes of a configuration file into an immutable
// *Config, or into Problems that name file, line and column of everything
// that is wrong with it.
//
// The split of a Program into Launch and Policy is what makes a reload safe:
// a difference in Launch means that the process must be replaced, a difference
// in Policy is swapped in while the process lives.
package config

import (
	"io/fs"
	"net/netip"
	"reflect"
	"strconv"
	"syscall"
	"time"
)

// Config is one checked configuration file. It is never changed after Load
// returned it, so every goroutine may read it.
type Config struct {
	// ShutdownTimeout is the absolute deadline of a whole shutdown.
	ShutdownTimeout time.Duration
	// Programs stand in the order of the file.
	Programs []Program
	Registry Registry
	Control  Control
}

// Program is one entry of `programs`, or one copy of one.
type Program struct {
	// Name matches [A-Za-z0-9][A-Za-z0-9_.-]* and is not "all".
	Name string
	// Group is the name in the file: it addresses all copies. It is Name where
	// there are no replicas.
	Group  string
	Launch Launch
	Policy Policy
}

// Launch is what a process is made from: any change means a restart.
type Launch struct {
	// Command is the exact argv, never empty. A first word without a slash
	// is looked up in the PATH of the program's own environment.
	Command []string
	// WorkingDir is absolute, or "" for the directory sidekick started in.
	WorkingDir string
	// Environment holds "NAME=value": the contents of env_file, as they were
	// when the file was loaded, and over them `environment`; each name once, in
	// order, so that two equal environments are equal. It wins over sidekick's own.
	Environment []string
	// EnvFromFile is read at each start and wins over all. The values are never
	// shown anywhere.
	EnvFromFile []EnvFromFile
	// User and Group are names or ids, looked up at each start; "": sidekick's
	// own. With User, the group and the supplementary groups are the user's.
	User, Group string
	Limits      Limits
	// Notify: RUNNING only at READY=1 on $NOTIFY_SOCKET (sd_notify(3)).
	Notify bool
	// Watchdog: no WATCHDOG=1 for this long is failed health; 0: off. It needs
	// Notify.
	Watchdog time.Duration
	// Inherit: it has sidekick's own stdout and stderr (`logging.to: inherit`).
	Inherit bool
}

// EnvFromFile is one variable whose value is the content of a file, without a
// trailing newline.
type EnvFromFile struct{ Name, Path string }

// Limits are set in the child before its first instruction. The zero value
// changes nothing.
type Limits struct {
	Ulimits         []Ulimit
	Umask           *uint32 // 0..0777
	Nice            *int    // -20..19
	OOMScoreAdj     *int    // -1000..1000
	NoNewPrivileges bool
	// CapDrop and CapAdd hold names such as CAP_NET_BIND_SERVICE; CapDrop may
	// be ALL alone. Dropped first, then added.
	CapDrop, CapAdd []string
}

// Ulimit is one resource limit of setrlimit(2).
type Ulimit struct {
	Name       string // nofile, nproc, core, …, as in Compose
	Soft, Hard uint64 // ^uint64(0): unlimited
}

// Policy is how sidekick treats the process: swapped in place by a reload.
type Policy struct {
	Autostart        bool
	Restart          Restart
	SuccessExitCodes []int // each 0..255
	Backoff          Backoff
	// MinUptime is how long a process lives before it counts as RUNNING
	// (a first healthy answer counts earlier); 0: at exec.
	MinUptime time.Duration
	// Essential: failing for good ends the container.
	Essential bool
	DependsOn []Dependency
	// StopSignal asks the program to end.
	StopSignal syscall.Signal
	// StopGracePeriod is the time between StopSignal and SIGKILL.
	StopGracePeriod time.Duration
	KillMode        KillMode
	// Checks are probed while the process lives. A program is healthy when
	// all of them pass. `healthcheck` gives one; `register` without
	// `healthcheck` gives one tcp check for each registered TCP port.
	Checks   []Check
	Register []Registration
	// StartTimeout: with Launch.Notify, no READY=1 by then is a failed start.
	StartTimeout time.Duration
	// RestartUnhealthy is `healthcheck.on_failure: restart`.
	RestartUnhealthy bool
	Logging          Logging
}

// RestartMode says after which ends a program is started again.
type RestartMode string

// The values of `restart`; `unless-stopped` is read as RestartAlways.
const (
	RestartNo        RestartMode = "no"
	RestartAlways    RestartMode = "always"
	RestartOnFailure RestartMode = "on-failure"
)

// Restart is the value of `restart`.
type Restart struct {
	Mode RestartMode
	// Max is N of on-failure:N: restarts in a row without a run of
	// Backoff.ResetAfter; 0: for ever.
	Max int
}

// Backoff is the delay before a restart: Initial, then multiplied by Factor
// up to Max, each varied by plus or minus Jitter (0..1). A run of at least
// ResetAfter starts the count anew.
type Backoff struct {
	Initial, Max, ResetAfter time.Duration
	Factor, Jitter           float64
}

// Condition is what a dependant waits for.
type Condition string

// The conditions of `depends_on`, in their short form.
const (
	Started   Condition = "started"
	Healthy   Condition = "healthy"
	Completed Condition = "completed"
)

// Dependency is one entry of `depends_on`.
type Dependency struct {
	Program   string
	Condition Condition
}

// KillMode says whom the stop signal and SIGKILL reach.
type KillMode string

// The values of `kill_mode`: Mixed asks the leader and kills the group, Group
// does both to the group, Process touches the leader only.
const (
	KillMixed   KillMode = "mixed"
	KillGroup   KillMode = "group"
	KillProcess KillMode = "process"
)

// ProbeKind is the protocol of a check.
type ProbeKind string

// The probe kinds that are built.
const (
	ProbeTCP  ProbeKind = "tcp"
	ProbeHTTP ProbeKind = "http"
	ProbeExec ProbeKind = "exec"
	ProbeGRPC ProbeKind = "grpc"
)

// Check is one health check.
type Check struct {
	Kind ProbeKind
	// Address is "host:port", or ":port" for a bare port, which is dialled
	// at 127.0.0.1, then [::1]. Used by ProbeTCP and ProbeGRPC.
	Address string
	// URL is absolute with scheme http or https; its host is ":port" for a
	// bare port, dialled as above. Used by ProbeHTTP.
	URL     string
	Headers map[string]string
	// Status lists the statuses that pass; empty: 200 to 399.
	Status []int
	// Command is the exact argv of ProbeExec, run with the program's own
	// user, environment and working_dir; exit 0 passes.
	Command []string

	Interval time.Duration // between probes after the first success
	Timeout  time.Duration // of one probe
	// Retries is how many failures in a row make a program unhealthy.
	Retries int
	// StartPeriod: failures in here do not count.
	StartPeriod time.Duration
	// StartInterval is the time between probes until the first success.
	StartInterval time.Duration
}

// SameProbe reports whether the two ask the same question, however often.
func (c Check) SameProbe(other Check) bool {
	c.Interval, c.Timeout, c.Retries = other.Interval, other.Timeout, other.Retries
	c.StartPeriod, c.StartInterval = other.StartPeriod, other.StartInterval
	return reflect.DeepEqual(c, other)
}

// Registration is one key a program wants in etcd.
type Registration struct {
	Port      Port
	Key       string // directory of the key, without slashes around it
	Advertise Advertise
	// Check is the index into Policy.Checks that guards the key, or -1 when
	// RUNNING is enough (a UDP port without a healthcheck).
	Check int
}

// Port is a port of the container.
type Port struct {
	Number   uint16 // 1..65535
	Protocol string // "tcp" or "udp"
}

// String is the form of the Docker API: "8000/tcp".
func (p Port) String() string { return strconv.Itoa(int(p.Number)) + "/" + p.Protocol }

// Advertise overrides the address that the port mapping gives. The zero value
// of a field means: from the mapping.
type Advertise struct {
	IP   netip.Addr
	Port uint16
}

// Registry says where keys go.
type Registry struct {
	// Etcd is nil when the file has no `registry.etcd`; then no program
	// has registrations.
	Etcd  *Etcd
	TTL   time.Duration // of the lease, at least 5s
	Drain time.Duration // between deleting keys and the stop signal
	// Docker is asked for the port mapping.
	Docker Docker
	// Format lists the layouts of the keys, each once and in the order of
	// Formats; never empty.
	Format []Format
	// Domain is what the names of FormatSkyDNS end in, without dots around it.
	Domain string
}

// Format is a layout of keys.
type Format string

// The formats, each named after who reads it; plain is dockreg's.
const (
	FormatPlain   Format = "plain"
	FormatJSON    Format = "json"
	FormatSkyDNS  Format = "skydns"
	FormatTraefik Format = "traefik"
	FormatGRPC    Format = "grpc"
)

// Etcd is how to reach the cluster. Paths are absolute.
type Etcd struct {
	Endpoints    []string // http://HOST:PORT or https://HOST:PORT
	Username     string
	PasswordFile string
	TLS          *TLS // nil: the system's roots for https
}

// TLS names the files of a TLS client. Paths are absolute or "".
type TLS struct {
	CAFile, CertFile, KeyFile, ServerName string
}

// Docker is how to reach the Docker API.
type Docker struct {
	Host      string // unix:///path or tcp://HOST:PORT
	Container string // id of this container; "": found out
}

// Control is the control socket. A change needs a container restart.
type Control struct {
	Socket string // absolute, or "": the usual places
	Mode   fs.FileMode
	// Group is a name or id whose members are admitted; "": none. It is looked up
	// when sidekick starts.
	Group string
	// Metrics is the TCP address, HOST:PORT or :PORT, at which metrics are served;
	// "": none.
	Metrics string
	// Supervisorctl is where Supervisor's XML-RPC is served: absolute, not
	// Socket, or "": nowhere.
	Supervisorctl string
}
