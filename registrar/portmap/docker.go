package portmap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	requestTimeout = 3 * time.Second
	maxAnswer      = 4 << 20 // bytes of one answer
	// newest is the newest version of the Engine API this package was
	// written for; fallback is taken where a proxy hides the engine's own,
	// and is the oldest that all supported engines speak.
	newest   = 47 // 1.47
	fallback = 44 // 1.44
)

// errNoContainer: Docker knows no container with this id.
var errNoContainer = errors.New("no such container")

// errStatus is an answer with another status than 200.
type errStatus struct {
	code int
	text string
}

func (e errStatus) Error() string { return e.text }

// container is the part of GET /containers/{id}/json that is used.
type container struct {
	ID              string `json:"Id"`
	HostnamePath    string
	HostConfig      struct{ NetworkMode string }
	NetworkSettings struct {
		Ports    map[string][]binding
		Networks map[string]network
	}
}

// binding is one port of the host that leads to a port of the container.
type binding struct {
	HostIP   string `json:"HostIp"`
	HostPort string
}

// network is a network that the container is in.
type network struct{ IPAddress, GlobalIPv6Address, MacAddress string }

// docker asks one Docker Engine.
type docker struct {
	host   string // as configured
	base   string // URL without a path
	client *http.Client
}

// newDocker takes unix:///PATH or tcp://HOST:PORT. Each request has its own
// connection: one that is kept would outlive a restart of Docker.
func newDocker(host string) (*docker, error) {
	u, err := url.Parse(host)
	if err != nil {
		return nil, fmt.Errorf("cannot use registry.docker.host %q: %w", host, err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	d := &docker{host: host, client: &http.Client{Transport: transport, CheckRedirect: noRedirect}}
	switch {
	case u.Scheme == "unix" && u.Path != "":
		d.base = "http://docker"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", u.Path)
		}
	case (u.Scheme == "tcp" || u.Scheme == "http") && u.Host != "":
		d.base = "http://" + u.Host
	default:
		return nil, fmt.Errorf("cannot use registry.docker.host %q: it must be unix:///PATH or tcp://HOST:PORT", host)
	}
	return d, nil
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// version returns the API version to speak, as "1.41".
func (d *docker) version(ctx context.Context) (string, error) {
	header, _, err := d.get(ctx, "/_ping")
	if err != nil {
		return "", err
	}
	minor := fallback
	if text, ok := strings.CutPrefix(header.Get("Api-Version"), "1."); ok {
		if n, err := strconv.Atoi(text); err == nil {
			minor = min(n, newest)
		}
	}
	return "1." + strconv.Itoa(minor), nil
}

// inspect returns the container with an id that begins with id. Docker also
// finds containers by name; such an answer is refused with errNoContainer.
func (d *docker) inspect(ctx context.Context, version, id string) (container, error) {
	_, body, err := d.get(ctx, "/v"+version+"/containers/"+url.PathEscape(id)+"/json")
	if e, ok := errors.AsType[errStatus](err); ok && e.code == http.StatusNotFound {
		err = errNoContainer
	}
	if err != nil {
		return container{}, err
	}
	c, err := parseContainer(body)
	if err == nil && !strings.HasPrefix(c.ID, id) {
		err = errNoContainer
	}
	return c, err
}

func parseContainer(body []byte) (container, error) {
	var c container
	if err := json.Unmarshal(body, &c); err != nil {
		return container{}, fmt.Errorf("cannot understand Docker's answer: %w", err)
	}
	return c, nil
}

// get returns the answer to one request, if its status is 200.
func (d *docker) get(ctx context.Context, path string) (http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.base+path, nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := d.client.Do(request)
	if err != nil {
		return nil, nil, d.unreachable(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, nil, d.unreachable(err)
	}
	if resp.StatusCode != http.StatusOK {
		text := fmt.Sprintf("Docker at %s refuses GET %s: %s %s", d.host, path, resp.Status, oneLine(body))
		return nil, nil, errStatus{resp.StatusCode, text}
	}
	return resp.Header, body, nil
}

// oneLine is the beginning of an error's body.
func oneLine(body []byte) string {
	return strings.Join(strings.Fields(string(body[:min(len(body), 200)])), " ")
}

// unreachable says what can be done about a Docker that cannot be asked.
func (d *docker) unreachable(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	socket, isSocket := strings.CutPrefix(d.host, "unix://")
	const orElse = "or set advertise.ip and advertise.port"
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("cannot ask Docker at %s: it does not answer: wait for it, %s", d.host, orElse)
	case isSocket && errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("cannot reach Docker at %s: %w: mount it with -v %s:%s, %s", d.host, err, socket, socket, orElse)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("cannot reach Docker at %s: %w: run sidekick as root or as a member of the socket's group, %s", d.host, err, orElse)
	case isSocket && errors.Is(err, syscall.ECONNREFUSED) && isDir(socket):
		// What -v makes of a path that is not there.
		return fmt.Errorf("cannot reach Docker at %s: it is a folder, since the host has no socket at the mounted path: name its own path in -v HOSTPATH:%s, %s", d.host, socket, orElse)
	case isSocket && errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("cannot reach Docker at %s: %w: Docker is not running, or was restarted after its socket was mounted: mount the socket's folder instead, %s", d.host, err, orElse)
	}
	return fmt.Errorf("cannot reach Docker at %s: %w: check registry.docker.host, %s", d.host, err, orElse)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
