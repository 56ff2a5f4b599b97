package health

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"sidekick/config"
)

func rpc(address string) config.Check {
	return config.Check{Kind: config.ProbeGRPC, Address: address, Timeout: 10 * time.Second}
}

// serveGRPC starts a gRPC server on l for the test, with what register adds.
func serveGRPC(t *testing.T, l net.Listener, register func(*grpc.Server)) {
	server := grpc.NewServer()
	register(server)
	go server.Serve(l) // ends with Stop
	t.Cleanup(server.Stop)
}

// says makes a server whose health, as a whole, is this.
func says(status grpc_health_v1.HealthCheckResponse_ServingStatus) func(*grpc.Server) {
	return func(s *grpc.Server) {
		h := health.NewServer()
		h.SetServingStatus("", status)
		grpc_health_v1.RegisterHealthServer(s, h)
	}
}

// answers is a health service with an answer of its own.
type answers struct {
	grpc_health_v1.UnimplementedHealthServer
	check func(context.Context) (*grpc_health_v1.HealthCheckResponse, error)
}

func (a answers) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	return a.check(ctx)
}

func TestProbeGRPC(t *testing.T) {
	for _, tc := range []struct {
		name     string
		register func(*grpc.Server)
		passes   bool
		output   string
	}{
		{"serving", says(grpc_health_v1.HealthCheckResponse_SERVING), true, "SERVING"},
		{"not serving", says(grpc_health_v1.HealthCheckResponse_NOT_SERVING), false, "NOT_SERVING"},
		{"unknown", says(grpc_health_v1.HealthCheckResponse_UNKNOWN), false, "UNKNOWN"},
		{"no health service", func(*grpc.Server) {}, false, "Unimplemented: the server has no grpc.health.v1.Health service"},
		{"refusal", func(s *grpc.Server) {
			grpc_health_v1.RegisterHealthServer(s, answers{check: func(context.Context) (*grpc_health_v1.HealthCheckResponse, error) {
				return nil, status.Error(codes.PermissionDenied, "who are you?")
			}})
		}, false, "PermissionDenied: who are you?"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := listen(t, "127.0.0.1:0")
			serveGRPC(t, l, tc.register)
			wantProbe(t, rpc(bare(l)), tc.passes, "grpc "+l.Addr().String()+": "+tc.output)
		})
	}
}

func TestProbeGRPCAddresses(t *testing.T) {
	six := listen6(t)
	serveGRPC(t, six, says(grpc_health_v1.HealthCheckResponse_SERVING))
	wantProbe(t, rpc(bare(six)), true, "grpc "+six.Addr().String()+": SERVING")
	wantProbe(t, rpc(six.Addr().String()), true, "grpc "+six.Addr().String()+": SERVING")
	none := unused(t)
	wantProbe(t, rpc(none), false, "connect 127.0.0.1"+none+": connection refused")
}

// What the server sees: nothing of the environment's proxy, and a host name that
// a server which looks at it accepts.
func TestProbeGRPCRequest(t *testing.T) {
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	t.Setenv("https_proxy", "http://127.0.0.1:1")
	l := listen(t, "127.0.0.1:0")
	serveGRPC(t, l, func(s *grpc.Server) {
		grpc_health_v1.RegisterHealthServer(s, answers{check: func(ctx context.Context) (*grpc_health_v1.HealthCheckResponse, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			return nil, status.Error(codes.Aborted, strings.Join(append(md[":authority"], md["user-agent"]...), " "))
		}})
	})
	for _, tc := range []struct{ address, authority string }{
		{bare(l), "localhost"},
		{l.Addr().String(), l.Addr().String()},
	} {
		output, _ := Probe(t.Context(), rpc(tc.address))
		if want := "grpc " + l.Addr().String() + ": Aborted: " + tc.authority + " sidekick "; !strings.HasPrefix(output, want) {
			t.Errorf("%q, want %q…", output, want)
		}
	}
}

func TestProbeGRPCOtherProtocol(t *testing.T) {
	const want = "the server does not speak HTTP/2 without TLS, which gRPC needs here"
	t.Run("HTTP/1.1", func(t *testing.T) {
		l := listen(t, "127.0.0.1:0")
		serve(t, l, func(http.ResponseWriter, *http.Request) {})
		wantProbe(t, rpc(bare(l)), false, "grpc "+l.Addr().String()+": "+want)
	})
	for name, answer := range map[string]string{
		"another protocol": "220 mail.example ESMTP\r\n",
		"a long answer":    strings.Repeat("a", 1<<20),
		"a TLS alert":      "\x15\x03\x01\x00\x02\x02\x46",
		"nothing":          "",
	} {
		t.Run(name, func(t *testing.T) {
			l := listen(t, "127.0.0.1:0")
			go answerRaw(l, func(conn net.Conn) { // ends when the listener is closed
				conn.Read(make([]byte, 4096))
				io.WriteString(conn, answer)
			})
			wantProbe(t, rpc(bare(l)), false, "grpc "+l.Addr().String()+": "+want)
		})
	}
}

// An HTTP/2 server that knows nothing of gRPC.
func TestProbeGRPCPlainHTTP2(t *testing.T) {
	for status, want := range map[int]string{404: "Unimplemented: the server has no grpc.health.v1.Health service", 503: "Unavailable: unexpected HTTP status"} {
		l := listen(t, "127.0.0.1:0")
		server := &http.Server{Protocols: new(http.Protocols)}
		server.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		server.Protocols.SetUnencryptedHTTP2(true)
		go server.Serve(l) // ends with Close
		t.Cleanup(func() { server.Close() })
		output, err := Probe(t.Context(), rpc(bare(l)))
		if want := "grpc " + l.Addr().String() + ": " + want; err == nil || !strings.HasPrefix(output, want) || strings.Contains(output, "\n") {
			t.Errorf("%q, %v; want %q in one line", output, err, want)
		}
	}
}

func TestProbeGRPCNoAnswer(t *testing.T) {
	for _, name := range []string{"before the preface", "to the call"} {
		t.Run(name, func(t *testing.T) {
			l := listen(t, "127.0.0.1:0") // the kernel accepts
			if name == "to the call" {
				hang := answers{check: func(ctx context.Context) (*grpc_health_v1.HealthCheckResponse, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}}
				serveGRPC(t, l, func(s *grpc.Server) { grpc_health_v1.RegisterHealthServer(s, hang) })
			}
			c := rpc(bare(l))
			c.Timeout = time.Second // connecting has half of it
			wantProbe(t, c, false, "grpc "+l.Addr().String()+": no answer within 1s")
		})
	}
}

func TestProbeGRPCCancelled(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := Probe(ctx, rpc(bare(l))); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

// A server that hangs makes the program unhealthy after each timeout, as with
// the other probes, and the monitor ends at once all the same.
func TestMonitorWithHangingGRPC(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	c := rpc(bare(l))
	c.Interval, c.StartInterval, c.Timeout, c.Retries = 50*time.Millisecond, 50*time.Millisecond, time.Second, 2 // connecting has half of it
	reports := make(chan Result, 10)
	m := NewMonitor(slog.New(slog.DiscardHandler), nil, func(r Result) { reports <- r })
	defer m.Close()
	m.Set([]Target{{Program: "web", Check: c}})
	for {
		select {
		case r := <-reports:
			if r.Status != Unhealthy {
				continue
			}
			if want := "grpc " + l.Addr().String() + ": no answer within 1s"; r.Output != want {
				t.Errorf("%q, want %q", r.Output, want)
			}
			return
		case <-time.After(20 * time.Second):
			t.Fatal("never unhealthy")
		}
	}
}

// Neither a connection nor a goroutine of gRPC survives a probe.
func TestProbeGRPCLeavesNothing(t *testing.T) {
	serving, hanging := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	closed := make(chan struct{}, 100)
	serveGRPC(t, &watched{serving, closed}, says(grpc_health_v1.HealthCheckResponse_SERVING))
	for range 20 {
		wantProbe(t, rpc(bare(serving)), true, "grpc "+serving.Addr().String()+": SERVING")
		c := rpc(bare(hanging))
		c.Timeout = 5 * time.Millisecond
		if _, err := Probe(t.Context(), c); err == nil {
			t.Error("a server that hangs passes")
		}
	}
	deadline := time.After(20 * time.Second)
	for range 20 {
		select {
		case <-closed:
		case <-deadline:
			t.Fatal("a connection is still open")
		}
	}
	for clientGoroutines() > 0 {
		select {
		case <-deadline:
			t.Fatalf("%d goroutines of gRPC clients are left", clientGoroutines())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// clientGoroutines counts the goroutines that a gRPC client started.
func clientGoroutines() int {
	buf := make([]byte, 1<<20)
	stacks := string(buf[:runtime.Stack(buf, true)])
	n := 0
	for stack := range strings.SplitSeq(stacks, "\n\n") {
		if strings.Contains(stack, "created by google.golang.org/grpc") && !strings.Contains(stack, "grpc.(*Server)") && !strings.Contains(stack, "http2Server") && !strings.Contains(stack, "NewServerTransport") {
			n++
		}
	}
	return n
}

// watched is a listener that tells which of its connections were closed.
type watched struct {
	net.Listener
	closed chan<- struct{}
}

func (w *watched) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &watchedConn{Conn: conn, closed: w.closed}, nil
}

type watchedConn struct {
	net.Conn
	closed chan<- struct{}
}

// Read tells of the end that the peer made.
func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.closed <- struct{}{}
	}
	return n, err
}
