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
	"golang.org/x/sys/unix"

	"sidekick/config"
	"sidekick/guard"
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
the registrar alone, without supervision. SIGTERM takes the key out and ends it
with exit code 0.`,
		Example: `  sidekick register --port 8000 --etcd http://10.1.0.101:2379
  sidekick register --port 8000 --etcd http://10.1.0.101:2379 --ip 10.1.0.101 --check http:/healthz`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			program, registry, err := f.config()
			if err != nil {
				return &exitError{code: exitUsage, err: err, hint: "sidekick register --help"}
			}
			ctx, stop := signal.NotifyContext(c.Context(), unix.SIGTERM, unix.SIGINT, unix.SIGQUIT)
			defer stop()
			log := slog.New(slog.NewTextHandler(os.Stderr, nil))
			register(ctx, &config.Config{Programs: []config.Program{program}, Registry: registry}, log)
			return nil
		},
	}
	flags := command.Flags()
	flags.StringVar(&f.port, "port", "", "port of the container: 8000, or 53/udp")
	flags.StringVar(&f.etcd, "etcd", "", "URLs of etcd, separated by commas")
	flags.StringVar(&f.key, "key", config.DefaultKey, "directory of the key")
	flags.StringVar(&f.ip, "ip", "", "the host's address (default: from the port mapping)")
	flags.StringVar(&f.docker, "docker", "", "Docker's socket: a path, unix:///PATH or tcp://HOST:PORT (default $DOCKER_HOST, /var/run/docker.sock)")
	flags.DurationVar(&f.ttl, "ttl", config.DefaultTTL, "TTL of the lease")
	flags.StringVar(&f.check, "check", "", "tcp, or http[:PATH] (default: tcp; none for UDP)")
	return command
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
	keys := newRegistrar(c, log)
	var state verdict
	update := func() { keys.Update(state.facts(c)) }
	update()

	var parts sync.WaitGroup
	partsCtx, cancel := context.WithCancel(context.Background())
	parts.Go(func() { guard.Run(partsCtx, log, "registrar", keys.Run) })
	prepare, done := context.WithTimeout(ctx, time.Second)
	keys.Prepare(prepare, appName)
	done()

	monitor := health.NewMonitor(log, func(r health.Result) {
		log.Info("health", "status", string(r.Status), "output", r.Output)
		state.set(r)
		update()
	})
	for i, check := range c.Programs[0].Policy.Checks {
		monitor.Set([]health.Target{{Program: appName, Index: i, Check: check}})
	}
	<-ctx.Done()

	monitor.Close()
	goodbye, done := context.WithTimeout(context.Background(), time.Second)
	defer done()
	keys.Withdraw(goodbye, appName)
	keys.Close(goodbye)
	cancel()
	parts.Wait()
}

// verdict is the last word of the one check.
type verdict struct {
	mu     sync.Mutex
	result health.Result
}

func (v *verdict) set(r health.Result) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.result = r
}

func (v *verdict) facts(c *config.Config) []registrar.Fact {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := c.Programs[0].Policy.Register[0]
	f := registrar.Fact{Service: registrar.Service{Program: appName, Port: r.Port, Key: r.Key, Advertise: r.Advertise}}
	f.Up = r.Check < 0 || v.result.Status == health.Healthy
	if !f.Up {
		f.Reason = "the check fails: " + v.result.Output
	}
	return []registrar.Fact{f}
}
