package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sidekick/config"
)

const (
	// What of the body is read before the connection is closed, so that a
	// program with a short answer sees no reset connection.
	drainBytes = 64 << 10
	drainTime  = 100 * time.Millisecond
	// More header than this is a fault, and no reason for PID 1 to grow.
	maxHeaderBytes = 256 << 10
)

// probeHTTP sends one GET. The timeout of ctx covers the connect and the answer
// up to the end of its header.
func probeHTTP(ctx context.Context, c config.Check) (string, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return "", fmt.Errorf("cannot probe: %w", err)
	}
	conn, err := dial(ctx, dialAddress(u), c.Timeout)
	if err != nil {
		return "", err
	}
	defer conn.Close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req := newRequest(ctx, c, u, conn)
	client := newClient(u, conn)
	resp, err := client.Do(req)
	if err != nil {
		return "", &probeError{describe(req), c.Timeout, withoutURL(err)}
	}
	defer resp.Body.Close()
	defer time.AfterFunc(drainTime, cancel).Stop() // a body may go on for ever
	_, _ = io.CopyN(io.Discard, resp.Body, drainBytes)
	return judge(c, describe(req), resp.StatusCode)
}

// dialAddress is where u is served: "host:port", or ":port" for a bare port.
func dialAddress(u *url.URL) string {
	switch port := u.Port(); {
	case port != "":
		return net.JoinHostPort(u.Hostname(), port)
	case u.Scheme == "https":
		return net.JoinHostPort(u.Hostname(), "443")
	default:
		return net.JoinHostPort(u.Hostname(), "80")
	}
}

// newRequest makes the GET. For a bare port it names the address that conn
// reached, which is what the output then shows, and asks for localhost. The
// Host header is no header to net/http (RFC 9110, section 7.2), so one that the
// check sets needs a branch of its own.
func newRequest(ctx context.Context, c config.Check, u *url.URL, conn net.Conn) *http.Request {
	shown := *u
	req := (&http.Request{Method: http.MethodGet, URL: &shown, Host: u.Host, Header: http.Header{}}).WithContext(ctx)
	if u.Hostname() == "" {
		shown.Host, req.Host = conn.RemoteAddr().String(), "localhost"
	}
	req.Header.Set("User-Agent", "sidekick")
	for name, value := range c.Headers {
		if http.CanonicalHeaderKey(name) == "Host" {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	return req
}

// newClient returns a client for one request over conn. It ignores the proxy
// variables of the environment, which are meant for the programs, and keeps
// nothing for a next request.
func newClient(u *url.URL, conn net.Conn) *http.Client {
	transport := &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
	if u.Hostname() == "" {
		transport.TLSClientConfig = &tls.Config{ServerName: "localhost"}
	}
	asIs := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: transport, CheckRedirect: asIs}
}

// describe is the request in an output. The blank keeps the colon behind it
// out of a URL that somebody clicks on or copies.
func describe(req *http.Request) string {
	return "GET " + req.URL.Redacted() + " "
}

// judge says whether an answer with this status passes.
func judge(c config.Check, step string, status int) (string, error) {
	output := strings.TrimRight(step+": "+strconv.Itoa(status)+" "+http.StatusText(status), " ")
	passes := status >= 200 && status <= 399
	if len(c.Status) > 0 {
		passes = slices.Contains(c.Status, status)
	}
	if !passes {
		return "", errors.New(output)
	}
	return output, nil
}

// withoutURL strips the method and URL that http.Client puts before a cause.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
