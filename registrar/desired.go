package registrar

import (
	"net/netip"

	"sidekick/config"
)

// value is what a key of the plain format says.
const value = "running"

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

// path is the key of a service that is reached at a.
func (s Service) path(a Address) string { return "/" + s.Key + "/" + a.String() }

// desired returns the keys that must exist, each with the service it is for:
// one for each service that is up and whose address is known. Of two services
// with one key the first has it.
func desired(facts []Fact, address func(Service) (Address, error)) map[string]Service {
	want := make(map[string]Service, len(facts))
	for _, f := range facts {
		if !f.Up {
			continue
		}
		a, err := address(f.Service)
		if err != nil {
			continue
		}
		if _, taken := want[f.path(a)]; !taken {
			want[f.path(a)] = f.Service
		}
	}
	return want
}
