package health

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"sidekick/config"
)

// grpcLimit bounds the header and the message of an answer, in bytes: a health
// answer has two bytes, and a faulty server is no reason for PID 1 to grow.
const grpcLimit = 16 << 10

// probeGRPC asks the standard health service, grpc.health.v1.Health, about the
// server as a whole (the empty service name), without TLS. SERVING passes.
func probeGRPC(ctx context.Context, c config.Check) (string, error) {
	conn, err := dial(ctx, c.Address, c.Timeout)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	step := "grpc " + conn.RemoteAddr().String()
	client, err := newGRPCClient(c.Address, conn)
	if err != nil {
		return "", fmt.Errorf("cannot probe: %w", err)
	}
	defer client.Close()
	answer, err := grpc_health_v1.NewHealthClient(client).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	switch {
	case ctx.Err() != nil:
		return "", &probeError{step, c.Timeout, ctx.Err()}
	case status.Code(err) == codes.DeadlineExceeded: // the server knows our deadline and was faster
		return "", &probeError{step, c.Timeout, context.DeadlineExceeded}
	case err != nil:
		return "", fmt.Errorf("%s: %s", step, grpcReason(err))
	case answer.Status != grpc_health_v1.HealthCheckResponse_SERVING:
		return "", fmt.Errorf("%s: %s", step, answer.Status)
	}
	return step + ": " + answer.Status.String(), nil
}

// newGRPCClient returns a client that has conn and no way to another
// connection: gRPC's own would resolve, use the proxy of the environment, and
// dial again and again.
func newGRPCClient(address string, conn net.Conn) (*grpc.ClientConn, error) {
	authority := address
	if _, bare := barePort(address); bare {
		authority = "localhost"
	}
	var once sync.Once
	dialer := func(context.Context, string) (got net.Conn, err error) {
		err = errClosed
		once.Do(func() { got, err = conn, nil })
		return got, err
	}
	return grpc.NewClient("passthrough:///"+authority,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(dialer),
		grpc.WithAuthority(authority),
		grpc.WithNoProxy(),
		grpc.WithUserAgent("sidekick"),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
		grpc.WithReadBufferSize(4<<10),
		grpc.WithWriteBufferSize(4<<10),
		grpc.WithMaxHeaderListSize(grpcLimit),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(grpcLimit)),
	)
}

// errClosed is what a second connection is refused with.
var errClosed = fmt.Errorf("the server closed the connection: %w", io.EOF)

// grpcReason says for people why the call failed. gRPC has no other sign than
// its text for a server that speaks another protocol.
func grpcReason(err error) string {
	s := status.Convert(err)
	switch {
	case s.Code() == codes.Unimplemented:
		return "Unimplemented: the server has no grpc.health.v1.Health service"
	case s.Code() == codes.Unavailable && strings.Contains(s.Message(), "server preface"):
		return "the server does not speak HTTP/2 without TLS, which gRPC needs here"
	}
	return clip(s.Code().String() + ": " + s.Message())
}
