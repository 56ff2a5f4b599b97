// Package portmap finds out under which address the ports of this container
// can be reached from outside its host. It asks the Docker Engine API, with
// GET /_ping and GET /containers/{id}/json and nothing else.
//
// The container's own id comes from where the kernel shows it; a hostname is
// not an identity, since Docker also finds containers by name, and then shows
// a stranger's ports.
package portmap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"sidekick/config"
	"sidekick/registrar"
)

// maxHops is how many containers are followed from one whose network is
// another's.
const maxHops = 3

// Mapper implements registrar.Mapper. It keeps nothing between two calls.
type Mapper struct {
	docker    *docker
	setup     error  // of newDocker; every Inspect returns it
	container string // configured id, or ""
	proc      string // where /proc is
	hostname  func() string
	addresses func() map[string]bool // IP and MAC addresses of this network namespace
}

var _ registrar.Mapper = (*Mapper)(nil)

// New returns a Mapper that asks c.Host; it does not connect. proc is the
// mount point of the proc file system, "/proc" in production.
func New(c config.Docker, proc string) *Mapper {
	m := &Mapper{
		container: c.Container, proc: proc, addresses: localAddresses,
		hostname: func() string { name, _ := os.Hostname(); return name },
	}
	m.docker, m.setup = newDocker(c.Host)
	return m
}

// Inspect implements registrar.Mapper. It takes at most requestTimeout for
// each of its few requests.
func (m *Mapper) Inspect(ctx context.Context) (registrar.Mapping, error) {
	if m.setup != nil {
		return nil, m.setup
	}
	version, err := m.docker.version(ctx)
	if err != nil {
		return nil, err
	}
	c, err := m.self(ctx, version)
	for range maxHops {
		owner, isJoined := strings.CutPrefix(c.HostConfig.NetworkMode, "container:")
		if err != nil || !isJoined {
			break
		}
		if c, err = m.docker.inspect(ctx, version, owner); errors.Is(err, errNoContainer) {
			err = fmt.Errorf("cannot find container %.12s, whose network this container uses", owner)
		}
	}
	if err != nil {
		return nil, err
	}
	return mapping{c}, nil
}

// self returns this container, or the one whose network it uses.
func (m *Mapper) self(ctx context.Context, version string) (container, error) {
	var tried []string
	for _, candidate := range m.candidates() {
		c, err := m.docker.inspect(ctx, version, candidate.id)
		switch {
		case err == nil && (!candidate.weak || m.isHere(c)):
			return c, nil
		case err != nil && !errors.Is(err, errNoContainer):
			return container{}, err
		}
		tried = append(tried, fmt.Sprintf("%.12s", candidate.id))
	}
	if len(tried) == 0 {
		return container{}, errors.New("cannot find this container's id in /proc: set registry.docker.container to it, or advertise.ip and advertise.port")
	}
	return container{}, fmt.Errorf("cannot find this container: Docker at %s does not know this container (%s): set registry.docker.container to its id, or advertise.ip and advertise.port",
		m.docker.host, strings.Join(tried, ", "))
}

// isHere reports whether c has an address of this network namespace.
func (m *Mapper) isHere(c container) bool {
	local := m.addresses()
	for _, n := range c.NetworkSettings.Networks {
		for _, a := range []string{n.IPAddress, n.GlobalIPv6Address, strings.ToLower(n.MacAddress)} {
			if a != "" && local[a] {
				return true
			}
		}
	}
	return false
}

// localAddresses returns what the network interfaces have, loopback aside.
func localAddresses() map[string]bool {
	found := map[string]bool{}
	interfaces, _ := net.Interfaces() // none found: nothing is confirmed
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback != 0 {
			continue
		}
		found[i.HardwareAddr.String()] = true
		addresses, _ := i.Addrs()
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok {
				found[n.IP.String()] = true
			}
		}
	}
	return found
}
