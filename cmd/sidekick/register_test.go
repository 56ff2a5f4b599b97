package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"sidekick/config"
)

// What the flags say is what a file would have said.
func TestRegisterFlags(t *testing.T) {
	t.Setenv("DOCKER_HOST", "")
	parse := func(t *testing.T, line string) (config.Program, config.Registry) {
		t.Helper()
		var f registerFlags
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		f.add(flags)
		if err := flags.Parse(strings.Fields(line)); err != nil {
			t.Fatal(err)
		}
		program, registry, err := f.config()
		if err != nil {
			t.Fatal(err)
		}
		return program, registry
	}
	const etcd = " --etcd http://a:1,http://b:2"
	t.Run("defaults", func(t *testing.T) {
		p, r := parse(t, "--port 8000"+etcd)
		if got := p.Policy.Register[0]; got.Port.String() != "8000/tcp" || got.Key != config.DefaultKey || got.Advertise.IP.IsValid() || got.Check != 0 {
			t.Errorf("%+v", got)
		}
		if c := p.Policy.Checks; len(c) != 1 || c[0].Kind != config.ProbeTCP || !strings.HasSuffix(c[0].Address, "8000") {
			t.Errorf("checks %+v", c)
		}
		if r.TTL != config.DefaultTTL || len(r.Etcd.Endpoints) != 2 || r.Docker.Host != "unix:///var/run/docker.sock" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("all", func(t *testing.T) {
		p, r := parse(t, "--port 53/udp --key /a/b/ --ip 10.0.0.1 --docker /x/d.sock --ttl 7s"+etcd)
		if got := p.Policy.Register[0]; got.Port.String() != "53/udp" || got.Key != "a/b" || got.Advertise.IP.String() != "10.0.0.1" || got.Check != -1 {
			t.Errorf("%+v", got)
		}
		if len(p.Policy.Checks) != 0 || r.TTL != 7*time.Second || r.Docker.Host != "unix:///x/d.sock" {
			t.Errorf("%+v %+v", p.Policy.Checks, r)
		}
	})
	for flag, want := range map[string]string{"http": "/", "http:/healthz": "/healthz"} {
		p, _ := parse(t, "--port 80 --check "+flag+etcd)
		if c := p.Policy.Checks; len(c) != 1 || c[0].Kind != config.ProbeHTTP || !strings.HasSuffix(c[0].URL, want) || p.Policy.Register[0].Check != 0 {
			t.Errorf("--check %s: %+v", flag, c)
		}
	}
	if _, r := parse(t, "--port 80 --docker tcp://h:1"+etcd); r.Docker.Host != "tcp://h:1" {
		t.Errorf("%+v", r.Docker)
	}
}
