package config

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"
)

// registry is a Registry and what is merged or checked later.
type registry struct {
	Registry
	at          value
	given       map[string]value
	hostGiven   bool // docker.host, well or badly
	advertise   Advertise
	advertiseAt map[string]value // the given keys of advertise
}

func (r *registry) read(v value) {
	r.at = v
	r.given = v.keys(table{
		"etcd": r.readEtcd,
		// etcd counts leases in seconds; one that is shorter than a few
		// keepalives expires whenever the network hiccups.
		"ttl":       set(&r.TTL, wholeSeconds(5*time.Second)),
		"drain":     set(&r.Drain, duration(0)),
		"advertise": func(v value) { r.advertiseAt = readAdvertise(v, &r.advertise) },
		"docker":    func(v value) { r.hostGiven = readDocker(v, &r.Docker) },
		"format":    set(&r.Format, formats),
		"domain":    set(&r.Domain, text(parseDomain)),
	})
}

// checkHost is for when Docker will be asked: the shell of a developer often has
// a $DOCKER_HOST that is none of ours, such as ssh://.
func (r *registry) checkHost() {
	if r.hostGiven {
		return
	}
	if _, err := ParseDockerHost(r.Docker.Host); err != nil {
		r.at.keyProblem("$%s: %s: set registry.docker.host", EnvDockerHost, err)
	}
}

// has says whether a key was given, well or badly.
func (r *registry) has(key string) bool {
	_, given := r.given[key]
	return given
}

func (r *registry) readEtcd(v value) {
	e := &Etcd{}
	before := len(v.d.problems)
	given := v.keys(table{
		"endpoints":     set(&e.Endpoints, endpoints),
		"username":      set(&e.Username, plainText),
		"password_file": set(&e.PasswordFile, value.absolute),
		"tls":           func(v value) { e.TLS = readTLS(v) },
	})
	_, there := given["endpoints"]
	switch {
	case len(v.d.problems) > before:
	case !there:
		v.keyProblem("needs endpoints, such as [\"http://10.1.0.101:2379\"]")
	case e.Username != "" && e.PasswordFile == "":
		given["username"].keyProblem("needs password_file as well")
	case e.Username == "" && e.PasswordFile != "":
		given["password_file"].keyProblem("needs username as well")
	}
	r.Etcd = e
}

func readTLS(v value) *TLS {
	t := &TLS{}
	given := v.keys(table{
		"ca_file":     set(&t.CAFile, value.absolute),
		"cert_file":   set(&t.CertFile, value.absolute),
		"key_file":    set(&t.KeyFile, value.absolute),
		"server_name": set(&t.ServerName, plainText),
	})
	cert, hasCert := given["cert_file"]
	key, hasKey := given["key_file"]
	switch {
	case hasCert && !hasKey:
		cert.keyProblem("needs key_file as well")
	case hasKey && !hasCert:
		key.keyProblem("needs cert_file as well")
	}
	return t
}

// endpoints reads a list of URLs, or one string with commas between them.
func endpoints(v value) ([]string, bool) {
	if !v.isList() {
		return text(ParseEndpoints)(v)
	}
	all, ok := listOf(text(parseEndpoint))(v)
	if ok && len(all) == 0 {
		v.problem("is empty: name at least one, such as http://10.1.0.101:2379")
	}
	return all, ok
}

// ParseEndpoints reads URLs of etcd with commas between them. The error says
// which is none.
func ParseEndpoints(s string) ([]string, error) {
	var all []string
	for part := range strings.SplitSeq(s, ",") {
		endpoint, err := parseEndpoint(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		all = append(all, endpoint)
	}
	return all, nil
}

// parseEndpoint reads http://HOST:PORT or https://HOST:PORT.
func parseEndpoint(s string) (string, error) {
	u, err := url.Parse(s)
	if err == nil && u.User != nil {
		// Not quoted: it has the password.
		return "", errors.New("must not contain a user: use username and password_file")
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" || !validHost(u) {
		return "", fmt.Errorf("%s is not the URL of an etcd server: write http://HOST:PORT or https://HOST:PORT", quote(s))
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return "", fmt.Errorf("%s must end after the port", quote(s))
	}
	return u.Scheme + "://" + u.Host, nil
}

// readDocker says whether it found a host.
func readDocker(v value, d *Docker) (hostGiven bool) {
	v.keys(table{
		"host": func(v value) {
			host, ok := text(parseOptionalDockerHost)(v)
			hostGiven = !ok || host != ""
			if hostGiven {
				d.Host = host
			}
		},
		"container": set(&d.Container, text(parseContainer)),
	})
	return hostGiven
}

func parseOptionalDockerHost(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	return ParseDockerHost(s)
}

// ParseDockerHost reads unix:///PATH or tcp://HOST:PORT. The error says that
// it is neither.
func ParseDockerHost(s string) (string, error) {
	if socket, ok := strings.CutPrefix(s, "unix://"); ok && path.IsAbs(socket) && !strings.ContainsRune(s, 0) {
		return s, nil
	}
	u, err := url.Parse(s)
	if err == nil && u.Scheme == "tcp" && u.Hostname() != "" && u.Port() != "" && validHost(u) &&
		strings.TrimSuffix(s, "/") == "tcp://"+u.Host {
		return "tcp://" + u.Host, nil
	}
	return "", fmt.Errorf("%s is not a Docker host: write unix:///PATH or tcp://HOST:PORT", quote(s))
}

// parseContainer reads the id or name of a container: it becomes a part of a
// URL's path.
func parseContainer(s string) (string, error) {
	if s != "" && !programName.MatchString(s) {
		return "", fmt.Errorf("%s is not the id of a container", quote(s))
	}
	return s, nil
}
