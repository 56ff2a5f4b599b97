package embed

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// clientURLs parses and checks the client URLs; none gives the default.
func clientURLs(texts []string) ([]url.URL, error) {
	if len(texts) == 0 {
		texts = []string{DefaultClientURL}
	}
	urls := make([]url.URL, 0, len(texts))
	for _, text := range texts {
		u, err := CheckClientURL(text)
		if err != nil {
			return nil, err
		}
		urls = append(urls, u)
	}
	return urls, nil
}

// CheckClientURL parses a URL to listen on: http://IP:PORT, the IP in brackets
// for IPv6, or http://localhost:PORT. Port 0 means any free one.
func CheckClientURL(text string) (url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return url.URL{}, fmt.Errorf("cannot listen on %q: it is not a URL", text)
	}
	switch _, portErr := strconv.ParseUint(u.Port(), 10, 16); {
	case u.Scheme != "http":
		return url.URL{}, fmt.Errorf("cannot listen on %q: only http://IP:PORT is served", text)
	case u.Hostname() != "localhost" && net.ParseIP(u.Hostname()) == nil:
		return url.URL{}, fmt.Errorf("cannot listen on %q: its host has to be an IP address of this machine or localhost", text)
	case portErr != nil:
		return url.URL{}, fmt.Errorf("cannot listen on %q: it needs a port from 0 to 65535, as in http://127.0.0.1:2379", text)
	case u.Path != "" && u.Path != "/", u.User != nil, u.RawQuery != "":
		return url.URL{}, fmt.Errorf("cannot listen on %q: nothing may follow the port", text)
	}
	return url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// pickPorts replaces port 0 by a free one. etcd would take ":0" too, but its
// JSON gateway and its member list would then name port 0.
func pickPorts(urls []url.URL) (chosen []url.URL, picked bool, err error) {
	chosen = slices.Clone(urls)
	for i, u := range chosen {
		if n, _ := strconv.Atoi(u.Port()); n != 0 {
			continue
		}
		l, err := net.Listen("tcp", u.Host)
		if err != nil {
			return nil, false, fmt.Errorf("cannot listen on %s: %w", u.Host, err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String()) // a TCP address has a port
		chosen[i].Host = net.JoinHostPort(u.Hostname(), port)
		picked = true
		if err := l.Close(); err != nil {
			return nil, false, err
		}
	}
	return chosen, picked, nil
}

// advertised is what the member list tells clients that ask for it. An
// unspecified address says nothing to them, so an address of this machine
// stands for it.
func advertised(urls []url.URL) []url.URL {
	out := slices.Clone(urls)
	for i, u := range out {
		if ip := net.ParseIP(u.Hostname()); ip != nil && ip.IsUnspecified() {
			out[i].Host = net.JoinHostPort(machineIP(), u.Port())
		}
	}
	return out
}

// machineIP is this machine's first global IPv4 address, else loopback.
func machineIP() string {
	addrs, _ := net.InterfaceAddrs() // without them loopback is left
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return "127.0.0.1"
}

// explain wraps an error of etcd's start so that errors.Is finds its cause.
func explain(err error, urls []url.URL) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("cannot start etcd: %w: %w", ErrAddressInUse, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("cannot start etcd: %s is not an address of this machine: %w", hosts(urls), err)
	}
	return fmt.Errorf("cannot start etcd: %w", err)
}

// hosts lists the host:port of urls for a message.
func hosts(urls []url.URL) string {
	var all []string
	for _, u := range urls {
		all = append(all, u.Host)
	}
	return strings.Join(all, ", ")
}
