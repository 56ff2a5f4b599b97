// Package hub is what runs outside application containers: it reads the
// services that are registered in an etcd, whoever wrote them, and follows
// their changes.
package hub

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Service is one registered instance: a key /{directory…}/{host}:{port}.
type Service struct {
	// Key is the whole key.
	Key string
	// Directory is the key without its last segment, such as "/service".
	Directory string
	// Address is the last segment, "host:port" with IPv6 in brackets: what
	// a client dials.
	Address string
	Value   string
	// Lease is the id of the lease the key hangs on; 0: it stays until
	// somebody deletes it.
	Lease int64
	// TTL is what was left of the lease when it was read, and Granted its
	// whole length; both in whole seconds. TTL is -1 where it is not known
	// or there is no lease.
	TTL, Granted time.Duration
	// CreateRevision and ModRevision are etcd's: when the key appeared and
	// when it was last written. A larger one is later.
	CreateRevision, ModRevision int64
}

// ParseKey says whether key is one of a service, and splits it. Every other
// key (of a different format, or of somebody else's data) is none.
func ParseKey(key string) (directory, address string, ok bool) {
	slash := strings.LastIndexByte(key, '/')
	if slash < 2 || key[0] != '/' { // "/d" at the least
		return "", "", false
	}
	directory, address = key[:slash], key[slash+1:]
	return directory, address, isAddress(address)
}

// isAddress accepts IPv4:port, [IPv6]:port and hostname:port.
func isAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' {
		return false
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Is4() != strings.HasPrefix(s, "[")
	}
	return isHostname(host)
}

// isHostname obeys RFC 1123 section 2.1, and allows the underscore that
// container names may have. Digits and dots alone are a bad IPv4 address.
func isHostname(s string) bool {
	if len(s) == 0 || len(s) > 253 || strings.Trim(s, "0123456789.") == "" {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.ContainsFunc(label, func(r rune) bool { return !isHostnameRune(r) }) {
			return false
		}
	}
	return true
}

func isHostnameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

// byAddress orders services by directory, then by address with the numbers in
// it compared as numbers.
func byAddress(a, b Service) int {
	if c := cmp.Compare(a.Directory, b.Directory); c != 0 {
		return c
	}
	x, errX := netip.ParseAddrPort(a.Address)
	y, errY := netip.ParseAddrPort(b.Address)
	if errX != nil || errY != nil {
		return cmp.Compare(a.Address, b.Address)
	}
	return x.Compare(y)
}

// sorted is the services of a map in the order of a listing.
func sorted(known map[string]Service) []Service {
	out := make([]Service, 0, len(known))
	for _, s := range known {
		out = append(out, s)
	}
	slices.SortFunc(out, byAddress)
	return out
}
