package hub

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Endpoints splits a comma-separated list of etcd URLs and checks each:
// http://HOST:PORT or https://HOST:PORT.
func Endpoints(list string) ([]string, error) {
	var out []string
	for text := range strings.SplitSeq(list, ",") {
		text = strings.TrimSuffix(strings.TrimSpace(text), "/")
		if err := checkEndpoint(text); err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, nil
}

// checkEndpoint says what is wrong with one URL.
func checkEndpoint(text string) error {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return fmt.Errorf("cannot use %q as an etcd URL: it has to look like http://10.1.0.101:2379", text)
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || n == 0 {
		return fmt.Errorf("cannot use %q as an etcd URL: it needs a port from 1 to 65535, as in http://%s:2379", text, u.Hostname())
	}
	if u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("cannot use %q as an etcd URL: only scheme, host and port are allowed", text)
	}
	return nil
}

// Dial makes a client of the given endpoints. Nothing is connected yet: an
// etcd that is away shows in the calls. https is verified with the system's
// roots.
func Dial(endpoints []string) (*clientv3.Client, error) {
	c := clientv3.Config{
		Endpoints: endpoints,
		// A connection that hangs is noticed only by these pings; gRPC
		// allows no shorter interval.
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
		Logger:               zap.NewNop(), // its default writes each retry to stderr
	}
	for _, e := range endpoints {
		if strings.HasPrefix(e, "https://") {
			c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
	client, err := clientv3.New(c)
	if err != nil {
		return nil, fmt.Errorf("cannot use the etcd at %s: %w", strings.Join(endpoints, ", "), err)
	}
	return client, nil
}
