package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"sidekick/config"
	"sidekick/health"
	"sidekick/registrar"
)

// registerFlags are dockreg's flags and what came to them.
type registerFlags struct {
	port, etcd, key, ip, docker, check string
	ttl                                time.Duration
}

func newRegisterCommand() *cobra.Command {
	var f registerFlags
	command := &cobra.Command{
		Use:   "register --port PORT --etcd URL[,URL…]",
		Short: "Register one port in etcd, for images that keep another supervisor",
		Long: `Register one port of this container in etcd for as long as the check passes:
the registrar alone, without supervision. SIGTERM, SIGINT, SIGQUIT and SIGHUP
take the key out and end it.

Exit code 0: ended by a signal; 2: wrong usage. etcd and Docker being away, or a
check that fails, never end it.`,
		Example: `  sidekick register --port 8000 --etcd http://10.1.0.101:2379
  sidekick register --port 8000 --etcd http://10.1.0.101:2379 --ip 10.1.0.101 --check http:/healthz`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			program, registry, err := f.config()
			if err != nil {
				return &exitError{code: exitUsage, err: err, hint: "sidekick register --help"}
			}
			ctx, stop := signal.NotifyContext(c.Context(), unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGHUP)
			defer stop()
			// A write to a log that nobody reads any more must not end it.
			signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
			log, finish := newMessages("text")
			defer finish()
			register(ctx, &config.Config{Programs: []config.Program{program}, Registry: registry}, log)
			return nil
		},
	}
	f.add(command.Flags())
	return command
}

// add defines the flags, which `run -- COMMAND` has as well.
func (f *registerFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.port, "port", "", "port of the container: 8000, or 53/udp")
	flags.StringVar(&f.etcd, "etcd", "", "URLs of etcd, separated by commas")
	flags.StringVar(&f.key, "key", config.DefaultKey, "directory of the key")
	flags.StringVar(&f.ip, "ip", "", "the host's address (default: from the port mapping)")
	flags.StringVar(&f.docker, "docker", "", "Docker's socket: a path, unix:///PATH or tcp://HOST:PORT (default $DOCKER_HOST, /var/run/docker.sock)")
	flags.DurationVar(&f.ttl, "ttl", config.DefaultTTL, "TTL of the lease")
	flags.StringVar(&f.check, "check", "", "tcp, or http[:PATH] (default: tcp; none for UDP)")
}

// appName is the program's name where there is no supervisor to give one.
const appName = "app"

// config checks the flags and makes of them what a file would have given.
func (f *registerFlags) config() (config.Program, config.Registry, error) {
	program, registry := config.DefaultProgram(appName), config.DefaultRegistry(os.LookupEnv)
	registration, err := f.registration()
	if err == nil {
		program.Policy.Checks, err = f.checks(registration.Port)
	}
	if err == nil {
		registry.Etcd = &config.Etcd{}
		registry.Etcd.Endpoints, err = config.ParseEndpoints(f.etcd)
	}
	if err == nil && f.docker != "" {
		host := f.docker
		if strings.HasPrefix(host, "/") {
			host = "unix://" + host
		}
		registry.Docker.Host, err = config.ParseDockerHost(host)
	}
	if registry.TTL = f.ttl; err == nil && (f.ttl < 5*time.Second || f.ttl%time.Second != 0) {
		err = errors.New("--ttl: must be whole seconds, at least 5s")
	}
	program.Policy.Register = []config.Registration{registration}
	program.Policy.GuardRegistrations()
	return program, registry, err
}

func (f *registerFlags) registration() (r config.Registration, err error) {
	if f.port == "" || f.etcd == "" {
		return r, errors.New("cannot register without --port and --etcd")
	}
	if r.Port, err = config.ParsePort(f.port); err != nil {
		return r, fmt.Errorf("--port: %w", err)
	}
	if r.Key, err = config.ParseKey(f.key); err != nil {
		return r, fmt.Errorf("--key: %w", err)
	}
	if r.Advertise.IP, err = config.ParseAdvertiseIP(f.ip); err != nil {
		return r, fmt.Errorf("--ip: %w", err)
	}
	return r, nil
}

func (f *registerFlags) checks(port config.Port) ([]config.Check, error) {
	kind, path, hasPath := strings.Cut(f.check, ":")
	if !hasPath {
		path = "/"
	}
	switch {
	case f.check == "":
		return nil, nil // GuardRegistrations gives the default
	case f.check == "tcp" && port.Protocol == "tcp":
		return []config.Check{config.TCPCheck(port.Number)}, nil
	case kind == "http" && port.Protocol == "tcp" && strings.HasPrefix(path, "/"):
		return []config.Check{config.HTTPCheck(port.Number, path)}, nil
	}
	return nil, fmt.Errorf("--check: %q is none of tcp and http[:/PATH] on a TCP port", f.check)
}

// register keeps the key until ctx ends.
func register(ctx context.Context, c *config.Config, log *slog.Logger) {
	k := newOneKey(c, log)
	k.prepare(ctx)
	k.begin()
	<-ctx.Done()
	k.withdraw()
	k.close()
}

// oneKey is the registration of one port where there is no supervisor: it is up
// between begin and withdraw, while the check passes.
type oneKey struct {
	keys         *keys
	program      *config.Program
	registration config.Registration
	log          *slog.Logger
	monitor      *health.Monitor

	mu     sync.Mutex // guards what follows
	begun  bool
	result health.Result
}

func newOneKey(c *config.Config, log *slog.Logger) *oneKey {
	k := &oneKey{keys: newKeys(c, log, nil), program: &c.Programs[0], registration: c.Programs[0].Policy.Register[0], log: log}
	k.monitor = health.NewMonitor(log, nil, k.checked)
	k.update()
	return k
}

// prepare looks the address up and deletes a leftover key, for a second at most.
func (k *oneKey) prepare(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	k.keys.Prepare(ctx, appName)
}

// begin tells that the application has been started.
func (k *oneKey) begin() {
	k.set(func() { k.begun = true })
	if r := k.registration; r.Check >= 0 {
		k.monitor.Set([]health.Target{{Program: appName, Index: r.Check, Check: k.program.Policy.Checks[r.Check]}})
	}
}

func (k *oneKey) checked(r health.Result) {
	if r.Status == health.Starting {
		return // a failure that does not count yet
	}
	k.log.Info("program health", "program", appName, "status", string(r.Status), "output", r.Output)
	k.set(func() { k.result = r })
}

func (k *oneKey) set(change func()) {
	k.mu.Lock()
	change()
	k.mu.Unlock()
	k.update()
}

func (k *oneKey) update() {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.registration
	f := registrar.Fact{Service: registrar.Service{Program: appName, Port: r.Port, Key: r.Key, Advertise: r.Advertise}}
	switch {
	case !k.begun:
		f.Reason = "the program is not running"
	case r.Check >= 0 && k.result.Status == "":
		f.Reason = "the check has not passed yet"
	case r.Check >= 0 && k.result.Status != health.Healthy:
		f.Reason = "the check fails: " + k.result.Output
	default:
		f.Up = true
	}
	k.keys.update([]registrar.Fact{f})
}

// withdraw takes the key away for good, within a second, and says whether there
// was one. The monitor goes first: no later verdict brings the key back.
func (k *oneKey) withdraw() (deleted bool) {
	k.monitor.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return k.keys.Withdraw(ctx, appName)
}

func (k *oneKey) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	k.keys.close(ctx)
}
