package config

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// readHealthcheck reads the one check that a program may name.
func (p *program) readHealthcheck(v value) {
	const shortest = time.Millisecond // none at all would be a busy loop
	c := DefaultCheck()
	var onFailure string
	before := len(v.d.problems)
	given := v.keys(table{
		"tcp":  func(v value) { c.Kind = ProbeTCP; set(&c.Address, text(parseDialAddress))(v) },
		"http": func(v value) { c.Kind = ProbeHTTP; readHTTP(v, &c) },
		"exec": func(v value) { c.Kind = ProbeExec; set(&c.Command, command)(v) },
		"grpc": func(v value) { c.Kind = ProbeGRPC; set(&c.Address, text(parseDialAddress))(v) },

		"interval":       set(&c.Interval, duration(shortest)),
		"timeout":        set(&c.Timeout, duration(shortest)),
		"retries":        set(&c.Retries, integer(1, 1_000_000)),
		"start_period":   set(&c.StartPeriod, duration(0)),
		"start_interval": set(&c.StartInterval, duration(shortest)),
		"on_failure":     set(&onFailure, oneOf([]string{"none", restartOnFailure})),
	})
	var probes []string
	for _, probe := range []string{"tcp", "http", "exec", "grpc"} {
		if _, there := given[probe]; there {
			probes = append(probes, probe)
		}
	}
	p.Policy.RestartUnhealthy = onFailure == restartOnFailure
	_, acts := given["on_failure"]
	switch {
	case len(probes) > 1:
		v.keyProblem("has %s: give exactly one", strings.Join(probes, " and "))
	case len(probes) == 0 && acts && len(given) == 1:
		p.forWatchdog = true
		return
	case len(probes) == 0 && len(v.d.problems) == before:
		v.keyProblem(needsProbe)
	}
	p.Policy.Checks = []Check{c}
}

const needsProbe = "needs a probe: tcp, http, exec or grpc"

// checkProbe wants a probe, or a watchdog that on_failure acts on.
func (p *program) checkProbe() {
	if p.forWatchdog && p.Launch.Watchdog == 0 {
		p.given["healthcheck"].keyProblem(needsProbe + ", or a watchdog beside it")
	}
}

// restartOnFailure is a value of healthcheck.on_failure.
const restartOnFailure = "restart"

// parseDialAddress reads PORT or HOST:PORT as Check.Address wants it.
func parseDialAddress(s string) (string, error) {
	if n, err := parsePortNumber(s); err == nil {
		return barePort(n), nil
	}
	host, port, err := net.SplitHostPort(s)
	n, portErr := parsePortNumber(port)
	if err != nil || portErr != nil || strings.ContainsFunc(host, notInHost) {
		return "", fmt.Errorf("%s is neither PORT nor HOST:PORT with a port from 1 to 65535", quote(s))
	}
	return net.JoinHostPort(host, strconv.Itoa(int(n))), nil
}

func notInHost(r rune) bool { return r == '/' || unicode.IsSpace(r) || !unicode.IsPrint(r) }

// readHTTP reads PORT, a URL or a mapping.
func readHTTP(v value, c *Check) {
	if !v.isMapping() {
		set(&c.URL, text(parseHTTPTarget))(v)
		return
	}
	port, path := uint16(0), "/"
	given := v.keys(table{
		"port":    set(&port, text(parsePortNumber)),
		"path":    set(&path, text(parseHTTPPath)),
		"headers": set(&c.Headers, headers),
		"status":  set(&c.Status, statuses),
	})
	if _, there := given["port"]; !there {
		v.atKey().problem("needs a port")
	}
	c.URL = HTTPCheck(port, path).URL
}

func parseHTTPTarget(s string) (string, error) {
	if n, err := parsePortNumber(s); err == nil {
		return HTTPCheck(n, "/").URL, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || !validHost(u) {
		return "", fmt.Errorf("%s is neither a port from 1 to 65535 nor a URL like http://HOST:PORT/PATH", quote(s))
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u.String(), nil
}

// validHost says whether a URL names a host or a port of this one. url.Parse
// lets ports pass that are none.
func validHost(u *url.URL) bool {
	if u.Port() == "" {
		return u.Hostname() != "" && !strings.HasSuffix(u.Host, ":")
	}
	_, err := parsePortNumber(u.Port())
	return err == nil
}

func parseHTTPPath(s string) (string, error) {
	if !strings.HasPrefix(s, "/") {
		return "", fmt.Errorf("%s is not a path: it must begin with /", quote(s))
	}
	if _, err := url.Parse("http://:1" + s); err != nil || strings.ContainsAny(s, " #") {
		return "", fmt.Errorf("%s cannot be part of a URL: escape its special characters as %%XX", quote(s))
	}
	return s, nil
}

// headerName is a token of RFC 9110, section 5.6.2.
var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

func headers(v value) (map[string]string, bool) {
	all := map[string]string{}
	for _, e := range v.entries() {
		if !headerName.MatchString(e.name) {
			e.keyProblem("%s is not the name of a header", quote(e.name))
			continue
		}
		if s, ok := text(headerValue)(e.value); ok {
			all[e.name] = s
		}
	}
	if len(all) == 0 {
		all = nil // none, which is no other configuration than not to say it
	}
	return all, v.isMapping()
}

func headerValue(s string) (string, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return "", fmt.Errorf("%s has control characters, which a header must not have", quote(s))
	}
	return s, nil
}

// statuses reads a status or a list of them, each once.
func statuses(v value) ([]int, bool) {
	status := integer(100, 599)
	all, ok := map[int]bool{}, true
	for _, item := range v.oneOrMany() {
		n, itemOK := status(item)
		ok = ok && itemOK
		all[n] = true
	}
	return slices.Sorted(maps.Keys(all)), ok
}
