package registrar

import (
	"encoding/json"
	"path"
	"slices"
	"strconv"
	"strings"

	"sidekick/config"
)

// Layout says which keys a service has. The zero value is one key in the plain
// format.
type Layout struct {
	Formats []config.Format
	// Domain is what the names of the skydns format end in.
	Domain string
}

// entry is a key with its value.
type entry struct{ key, value string }

// entries are all keys of a service that is reached at a; the first is the one
// that people are shown.
func (l Layout) entries(s Service, a Address) []entry {
	formats := l.Formats
	if len(formats) == 0 {
		formats = []config.Format{config.FormatPlain}
	}
	var all []entry
	for _, f := range formats {
		switch f {
		case config.FormatPlain:
			all = append(all, entry{s.path(a), running})
		case config.FormatJSON:
			all = append(all, entry{s.path(a), richValue(s, a)})
		case config.FormatSkyDNS:
			all = append(all, l.skydns(s, a)...)
		case config.FormatTraefik:
			all = append(all, traefik(s, a)...)
		case config.FormatGRPC:
			// gRPC's target etcd:///service looks for service/, without a
			// slash before it.
			all = append(all, entry{strings.TrimPrefix(s.path(a), "/"), inJSON(grpcValue{Addr: a.String()})})
		}
	}
	return all
}

// running is what a key of the plain format says.
const running = "running"

// path is the key of a service that is reached at a, in the formats that say
// the address in it.
func (s Service) path(a Address) string { return "/" + s.Key + "/" + a.String() }

// dnsValue is what CoreDNS's etcd plugin reads (msg.Service).
type dnsValue struct {
	Host     string `json:"host"`
	Port     uint16 `json:"port"`
	Priority int    `json:"priority"`
	Weight   int    `json:"weight"`
	// TTL, in seconds, is written since CoreDNS would take that of the lease,
	// which some of its versions misread.
	TTL int `json:"ttl"`
}

func newDNSValue(a Address) dnsValue {
	return dnsValue{Host: a.Addr().String(), Port: a.Port(), Priority: 10, Weight: 100, TTL: 5}
}

// grpcValue is what gRPC-Go's etcd resolver reads (naming/endpoints); an Op of 0
// adds the address.
type grpcValue struct {
	Op       int
	Addr     string
	Metadata any
}

// richValue serves everybody who reads JSON: CoreDNS and gRPC-Go as well, for
// they ignore what they do not know.
func richValue(s Service, a Address) string {
	return inJSON(struct {
		dnsValue
		grpcValue
		Protocol string `json:"protocol"`
		Program  string `json:"program"`
	}{newDNSValue(a), grpcValue{Addr: a.String()}, s.Port.Protocol, s.Program})
}

// inJSON cannot fail for the types above.
func inJSON(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// skydns has an entry under the service's name, which answers A, AAAA and SRV
// queries, and one under the name that SRV clients such as HAProxy ask for:
// web.cluster.local and _web._tcp.cluster.local.
func (l Layout) skydns(s Service, a Address) []entry {
	value := inJSON(newDNSValue(a))
	labels := strings.Split(l.Domain, ".")
	slices.Reverse(labels)
	root := "/skydns/" + strings.Join(labels, "/")
	directory, name := path.Split("/" + s.Key)
	leaf := "/" + dnsLeaf(a)
	return []entry{
		{root + "/" + s.Key + leaf, value},
		{root + directory + "_" + s.Port.Protocol + "/_" + name + leaf, value},
	}
}

// dnsLeaf names an address by one label of DNS, for it becomes the first one
// of an SRV target: 10-1-0-101-49155. An IPv6 address is written in full, or it
// could begin with a hyphen.
func dnsLeaf(a Address) string {
	text := a.Addr().StringExpanded()
	return strings.NewReplacer(".", "-", ":", "-").Replace(text) + "-" + strconv.Itoa(int(a.Port()))
}

// traefik has the address as a server of the service in each kind of service
// that the port can be for: what no router names costs Traefik nothing. Traefik
// takes any name for an element of a list, so nobody has to count; but one field
// that it does not know makes it refuse all it finds, so there is no more than
// every version knows.
func traefik(s Service, a Address) []entry {
	server := func(kind, field, value string) entry {
		return entry{"traefik/" + kind + "/services/" + config.TraefikService(s.Key) + "/loadBalancer/servers/" + a.String() + "/" + field, value}
	}
	if s.Port.Protocol == "udp" {
		return []entry{server("udp", "address", a.String())}
	}
	return []entry{server("http", "url", "http://"+a.String()), server("tcp", "address", a.String())}
}
