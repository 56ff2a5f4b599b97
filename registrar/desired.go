package registrar

import (
	"net/netip"

	"sidekick/config"
)

// Service is one port of one program that wants a key. It is comparable, and
// two equal ones are the same service.
type Service struct {
	Program string
	Port    config.Port
	// Key is the directory of the key, without slashes around it.
	Key string
	// Advertise already is the registration's own or, where that is empty,
	// registry.advertise.
	Advertise config.Advertise
}

// Fact is what the supervisor knows of a service.
type Fact struct {
	Service
	// Up: the program is RUNNING, its check passes and nobody drains it.
	Up bool
	// Reason says in words for the user why Up is false ("" when it is true).
	Reason string
}

// fixed returns the address that the configuration gives completely; then
// Docker is not asked.
func (s Service) fixed() (Address, bool) {
	a := s.Advertise
	if !a.IP.IsValid() || a.Port == 0 {
		return Address{}, false
	}
	return Address{AddrPort: netip.AddrPortFrom(a.IP.Unmap(), a.Port)}, true
}

// wanted is what a key must say, and for which service.
type wanted struct {
	service Service
	value   string
}

// desired returns the keys that must exist now. The caller holds mu.
func (r *Registrar) desired() map[string]wanted { return desired(r.facts, r.layout, r.address) }

// desired returns the keys that must exist: those of each service that is up
// and whose address is known. Of two services with one key the first has it.
func desired(facts []Fact, layout Layout, address func(Service) (Address, error)) map[string]wanted {
	want := make(map[string]wanted, len(facts))
	for _, f := range facts {
		if !f.Up {
			continue
		}
		a, err := address(f.Service)
		if err != nil {
			continue
		}
		for _, e := range layout.entries(f.Service, a) {
			if _, taken := want[e.key]; !taken {
				want[e.key] = wanted{f.Service, e.value}
			}
		}
	}
	return want
}
