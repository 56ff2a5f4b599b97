package portmap

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sidekick/config"
	"sidekick/registrar"
)

// mapping is what Docker said of the container whose network this one uses.
type mapping struct{ container container }

// Address implements registrar.Mapping.
func (m mapping) Address(port config.Port, advertise config.Advertise) (registrar.Address, error) {
	advertise.IP = advertise.IP.Unmap()
	switch m.container.HostConfig.NetworkMode {
	case "host":
		return hostNetwork(port, advertise)
	case "none":
		return registrar.Address{}, notMapped("the container has no network (--network none): nobody can reach port %s", port)
	}
	bindings := usable(m.container.NetworkSettings.Ports[port.String()])
	if len(bindings) == 0 {
		return registrar.Address{}, m.unpublished(port)
	}
	b, err := choose(bindings, advertise.IP)
	if err != nil {
		return registrar.Address{}, err
	}
	if advertise.IP.IsValid() {
		b = netip.AddrPortFrom(advertise.IP, b.Port())
	}
	if advertise.Port != 0 {
		b = netip.AddrPortFrom(b.Addr(), advertise.Port)
	}
	return registrar.Address{AddrPort: b, Published: true}, nil
}

// notMapped returns an error that withdraws a key.
func notMapped(format string, args ...any) error {
	return mappingError(fmt.Sprintf(format, args...))
}

// mappingError is a definite answer of Docker: there is no address.
type mappingError string

func (e mappingError) Error() string { return string(e) }

// Is makes it an ErrNotMapped.
func (mappingError) Is(target error) bool { return target == registrar.ErrNotMapped }

// hostNetwork: the port is the host's own. Docker does not know who has it.
func hostNetwork(port config.Port, advertise config.Advertise) (registrar.Address, error) {
	if !advertise.IP.IsValid() {
		return registrar.Address{}, notMapped("the container uses the host's network, which names no address: set registry.advertise.ip (or advertise.ip of the registration) to the host's address")
	}
	return registrar.Address{AddrPort: netip.AddrPortFrom(advertise.IP, cmp.Or(advertise.Port, port.Number))}, nil
}

// unpublished says which ports are published instead.
func (m mapping) unpublished(port config.Port) error {
	var others []string
	for _, name := range slices.Sorted(maps.Keys(m.container.NetworkSettings.Ports)) {
		if len(usable(m.container.NetworkSettings.Ports[name])) > 0 {
			others = append(others, name)
		}
	}
	option := strings.TrimSuffix(port.String(), "/tcp")
	return notMapped("the container publishes no port %s: start it with -p %s (published: %s)",
		port, option, cmp.Or(strings.Join(others, ", "), "none"))
}

// usable parses bindings and drops those without a port. An empty HostIp, as
// podman gives it, means every IPv4 address.
func usable(bindings []binding) []netip.AddrPort {
	var list []netip.AddrPort
	for _, b := range bindings {
		port, err := strconv.ParseUint(b.HostPort, 10, 16)
		if err != nil || port == 0 {
			continue
		}
		ip, err := netip.ParseAddr(cmp.Or(b.HostIP, "0.0.0.0"))
		if err != nil {
			continue
		}
		list = append(list, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return list
}

// choose returns the binding through which a client outside reaches the port
// at ip or, if that is not valid, at the binding's own address. Of several
// equally good ones it is the one with the lowest port, never the first one
// listed, whose place means nothing.
func choose(bindings []netip.AddrPort, ip netip.Addr) (netip.AddrPort, error) {
	best, rank := netip.AddrPort{}, 0
	for _, b := range bindings {
		r := fitness(b.Addr(), ip)
		if r > rank || r == rank && r > 0 && b.Port() < best.Port() {
			best, rank = b, r
		}
	}
	if rank == 0 {
		return best, unfit(bindings, ip)
	}
	return best, nil
}

// fitness is how well a binding to bound serves clients that dial ip; 0: not.
func fitness(bound, ip netip.Addr) int {
	if !ip.IsValid() {
		switch {
		case bound.IsUnspecified() || bound.IsLoopback():
			return 0
		case bound.Is4():
			return 2
		}
		return 1
	}
	switch {
	case bound.Is4() != ip.Is4():
		return 0
	case bound == ip:
		return 3
	case bound.IsUnspecified():
		return 2
	case bound.IsLoopback() || ip.IsLoopback():
		return 0
	}
	return 1 // ip may be translated to bound on the way
}

// unfit says why no binding serves ip.
func unfit(bindings []netip.AddrPort, ip netip.Addr) error {
	shown := bindings[0]
	for _, b := range bindings {
		if b.Addr().IsLoopback() {
			continue
		}
		if shown.Addr().IsLoopback() || b.Addr().Is4() && !shown.Addr().Is4() {
			shown = b
		}
	}
	switch {
	case shown.Addr().IsLoopback():
		return notMapped("mapping %s can only be reached from the host itself: publish the port without an address (-p PORT) or with one that clients can reach", shown)
	case !ip.IsValid():
		return notMapped("mapping %s names no address: set registry.advertise.ip (or advertise.ip of the registration) to the host's address", shown)
	}
	return notMapped("mapping %s does not serve the advertised address %s: publish the port for its address family, or set another advertise.ip", shown, ip)
}
