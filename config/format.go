package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// allFormats is the order in which Registry.Format has them: status shows the
// key of the first.
var allFormats = []Format{FormatPlain, FormatJSON, FormatSkyDNS, FormatTraefik, FormatGRPC}

// formats reads a format or a list of them.
func formats(v value) ([]Format, bool) {
	word := oneOf(allFormats)
	given := map[Format]bool{}
	ok := true
	for _, item := range v.oneOrMany() {
		f, itemOK := word(item)
		ok = ok && itemOK
		given[f] = true
	}
	if len(given) == 0 && ok {
		v.problem("is empty: write plain")
	}
	for _, other := range []Format{FormatJSON, FormatGRPC} {
		if given[FormatPlain] && given[other] {
			// Both say what is there under one name, in different words, and
			// whoever reads the directory wants one kind of value.
			v.problem("plain and %s spoil each other's directory: leave one of them out (json is for everybody who does not need the value to be `running`)", other)
		}
	}
	var all []Format
	for _, f := range allFormats {
		if given[f] {
			all = append(all, f)
		}
	}
	return all, ok
}

// dnsLabel has small letters only, in which CoreDNS looks every name up.
var dnsLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$`)

// isDNSLabel leaves room for the _ before a service in an SRV name: a label has
// up to 63 bytes (RFC 1035, section 2.3.4).
func isDNSLabel(s string) bool { return len(s) <= 62 && dnsLabel.MatchString(s) }

// parseDomain reads the domain of the skydns format.
func parseDomain(s string) (string, error) {
	domain := strings.Trim(s, ".")
	for label := range strings.SplitSeq(domain, ".") {
		if !isDNSLabel(label) {
			return "", fmt.Errorf("%s is not a domain in lower case, such as cluster.local", quote(s))
		}
	}
	return domain, nil
}

// TraefikService returns the name of the service that the traefik format gives
// the directory key: a slash would begin another part of Traefik's configuration.
func TraefikService(key string) string { return strings.ReplaceAll(key, "/", "-") }

// directories returns what the formats make of key, each once, for comparison.
func (f *file) directories(key string) []string {
	name := TraefikService(key)
	if name == key || !slices.Contains(f.registry.Format, FormatTraefik) {
		return []string{key}
	}
	return []string{key, name}
}

// checkFormats finds keys that cannot be written in a format, or would spoil
// what another one reads.
func (f *file) checkFormats() {
	for _, r := range f.registrations() {
		for _, format := range f.registry.Format {
			if err := format.accepts(r.Key); err != nil {
				r.at.problem("key %s: %s", quote(r.Key), err)
			}
		}
	}
}

// traefikName has neither the @ that ends a name in Traefik nor what could
// be taken for an index.
var traefikName = regexp.MustCompile(`^[A-Za-z0-9_.-]*[A-Za-z_.-][A-Za-z0-9_.-]*$`)

// accepts says why the directory key cannot be used with the format.
func (format Format) accepts(key string) error {
	top, _, _ := strings.Cut(key, "/")
	switch {
	case format == FormatPlain && top == "skydns":
		// CoreDNS answers SERVFAIL for a whole name because of one value
		// under it that is not JSON.
		return errors.New("plain entries under /skydns break the names that CoreDNS serves from there")
	case format == FormatGRPC && top == "traefik":
		// One unknown field makes Traefik refuse all it finds.
		return errors.New("grpc entries under traefik break the configuration that Traefik reads from there")
	case format == FormatTraefik && !traefikName.MatchString(TraefikService(key)):
		return errors.New("is no name for a service of Traefik: use letters, digits, - and _, and not only digits")
	case format == FormatSkyDNS:
		for label := range strings.SplitSeq(key, "/") {
			if !isDNSLabel(label) {
				return fmt.Errorf("%s is no part of a DNS name, which format skydns needs: use small letters, digits and -", quote(label))
			}
		}
	}
	return nil
}
