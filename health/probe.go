package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"sidekick/config"
)

// Probe does one probe of c, within c.Timeout. The output says in one line what
// was seen; if the probe failed, err carries the same text.
//
// A tcp probe connects and closes. An http probe sends GET and passes if the
// status is one of c.Status, or 200 to 399 where that is empty; redirects are
// not followed and no proxy is used. A grpc probe asks grpc.health.v1.Health and
// passes if the answer is SERVING.
func Probe(ctx context.Context, c config.Check) (output string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	switch c.Kind {
	case config.ProbeTCP:
		output, err = probeTCP(ctx, c)
	case config.ProbeHTTP:
		output, err = probeHTTP(ctx, c)
	case config.ProbeGRPC:
		output, err = probeGRPC(ctx, c)
	default:
		err = fmt.Errorf("cannot probe: there is no check of kind %q", c.Kind)
	}
	if err != nil {
		return err.Error(), err
	}
	return output, nil
}

func probeTCP(ctx context.Context, c config.Check) (string, error) {
	conn, err := dial(ctx, c.Address, c.Timeout)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return "connect " + conn.RemoteAddr().String() + ": connected", nil
}

// dial connects to address, which is "host:port" or, for a port of this
// container, ":port". Then it is 127.0.0.1, and [::1] only if that failed. A
// refusal on the loopback comes at once; a first connect that hangs, for
// instance because the listener's backlog is full, gets half of the timeout so
// that the second has the other half.
func dial(ctx context.Context, address string, timeout time.Duration) (net.Conn, error) {
	port, bare := barePort(address)
	if !bare {
		return connect(ctx, address, timeout)
	}
	half, cancel := context.WithTimeout(ctx, timeout/2)
	defer cancel()
	conn, err := connect(half, net.JoinHostPort("127.0.0.1", port), timeout/2)
	if err == nil {
		return conn, nil
	}
	if conn, err6 := connect(ctx, net.JoinHostPort("::1", port), timeout); err6 == nil {
		return conn, nil
	}
	return nil, err // what 127.0.0.1 said is what most people look for
}

// barePort returns the port of ":port".
func barePort(address string) (port string, bare bool) {
	return strings.CutPrefix(address, ":")
}

// connect makes one TCP connection; timeout is the one of ctx, for the text.
func connect(ctx context.Context, address string, timeout time.Duration) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, &probeError{"connect " + address, timeout, err}
	}
	return conn, nil
}

// probeError is a failed step of a probe, with a text for people.
type probeError struct {
	step    string // what was tried
	timeout time.Duration
	cause   error
}

func (e *probeError) Unwrap() error { return e.cause }

func (e *probeError) Error() string { return e.step + ": " + e.reason() }

// reason shortens the cause: the net package wraps an errno in the operation
// and both addresses, which the step already names.
func (e *probeError) reason() string {
	if errors.Is(e.cause, os.ErrDeadlineExceeded) || errors.Is(e.cause, context.DeadlineExceeded) {
		return "no answer within " + e.timeout.String()
	}
	if errno, ok := errors.AsType[syscall.Errno](e.cause); ok {
		return errno.Error()
	}
	if op, ok := errors.AsType[*net.OpError](e.cause); ok {
		return op.Err.Error()
	}
	return clip(e.cause.Error())
}

// clip bounds a text that may quote what the peer sent.
func clip(s string) string {
	const most = 300 // bytes
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
