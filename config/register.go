package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
)

// readRegister reads one registration or a list of them.
func (p *program) readRegister(v value) {
	before := len(v.d.problems)
	for _, item := range v.oneOrMany() {
		if r, ok := registration(item); ok {
			p.Policy.Register = append(p.Policy.Register, r)
			p.register = append(p.register, item)
		}
	}
	p.badRegister = len(v.d.problems) > before
}

func registration(v value) (Registration, bool) {
	r := Registration{Key: DefaultKey}
	before := len(v.d.problems)
	given := v.keys(table{
		"port":      set(&r.Port, text(ParsePort)),
		"key":       set(&r.Key, text(ParseKey)),
		"advertise": func(v value) { readAdvertise(v, &r.Advertise) },
	})
	if _, there := given["port"]; !there && len(v.d.problems) == before {
		v.atKey().problem("needs a port")
	}
	return r, len(v.d.problems) == before
}

// readAdvertise returns the keys that were given.
func readAdvertise(v value, a *Advertise) map[string]value {
	return v.keys(table{
		"ip":   set(&a.IP, text(ParseAdvertiseIP)),
		"port": set(&a.Port, advertisePort),
	})
}

func advertisePort(v value) (uint16, bool) {
	n, ok := integer(0, 65535)(v)
	return uint16(n), ok
}

// ParsePort reads a port of the container: 8000, 8000/tcp or 53/udp. The
// error says that it is none.
func ParsePort(s string) (Port, error) {
	number, protocol, found := strings.Cut(s, "/")
	if !found {
		protocol = "tcp"
	}
	n, err := parsePortNumber(number)
	if err != nil || protocol != "tcp" && protocol != "udp" {
		return Port{}, fmt.Errorf("%s is not a port: write a number from 1 to 65535, with /udp for UDP", quote(s))
	}
	return Port{Number: n, Protocol: protocol}, nil
}

func parsePortNumber(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%s is not a port from 1 to 65535", quote(s))
	}
	return uint16(n), nil
}

// ParseKey reads the directory of keys, such as service or web/blue, and
// removes slashes around it. The error says what a key must not be.
func ParseKey(s string) (string, error) {
	key := strings.Trim(s, "/")
	if key == "" {
		return "", errors.New("must not be empty: the key is the directory of the entries, like service")
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return "", fmt.Errorf("%s has an empty, . or .. part", quote(s))
		}
	}
	if strings.ContainsFunc(key, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return "", fmt.Errorf("%s must not contain blanks or control characters", quote(s))
	}
	return key, nil
}

// ParseAdvertiseIP reads an address that clients can dial; "" is the zero
// Addr. The error says that it is none.
func ParseAdvertiseIP(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	ip, err := netip.ParseAddr(s)
	ip = ip.Unmap()
	switch {
	case err != nil || ip.Zone() != "":
		return netip.Addr{}, fmt.Errorf("%s is not an IP address", quote(s))
	case ip.IsUnspecified() || ip.IsMulticast():
		return netip.Addr{}, fmt.Errorf("%s is not an address that a client can dial", quote(s))
	}
	return ip, nil
}
