package registrar_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/client/v3/naming/resolver"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"sidekick/config"
	"sidekick/registrar"
	"sidekick/registrar/etcd"
	"sidekick/registrar/etcd/etcdtest"
)

// grpcServer serves on the loopback and is registered at where it listens.
func grpcServer(t *testing.T, host, program string) registrar.Service {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, serving{})
	go server.Serve(l) // ends with Stop
	t.Cleanup(server.Stop)
	at := netip.MustParseAddrPort(l.Addr().String())
	return registrar.Service{Program: program, Port: config.Port{Number: at.Port(), Protocol: "tcp"}, Key: "service/greeter",
		Advertise: config.Advertise{IP: at.Addr(), Port: at.Port()}}
}

type serving struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (serving) Check(context.Context, *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
}

// dialed is a gRPC client that finds its servers in etcd, and takes turns.
type dialed struct{ *grpc.ClientConn }

func dialEtcd(t *testing.T, c *etcdtest.Cluster, target string) dialed {
	t.Helper()
	builder, err := resolver.NewBuilder(c.Client(t))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(target, grpc.WithResolvers(builder), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return dialed{conn}
}

// reaches calls until the calls go to exactly these addresses.
func (d dialed) reaches(t *testing.T, want ...registrar.Service) {
	t.Helper()
	addresses := map[string]bool{}
	for _, s := range want {
		addresses[netip.AddrPortFrom(s.Advertise.IP, s.Advertise.Port).String()] = true
	}
	deadline := time.Now().Add(20 * time.Second)
	var got map[string]bool
	for time.Now().Before(deadline) {
		got = map[string]bool{}
		for range 2 * (len(want) + 1) {
			got[d.call(t)] = true
		}
		if len(got) == len(addresses) && isSubset(got, addresses) {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatalf("calls go to %v, want %v", got, addresses)
}

func isSubset(a, b map[string]bool) bool {
	for k := range a {
		if !b[k] {
			return false
		}
	}
	return true
}

// call returns the address of the server that answers, or the error.
func (d dialed) call(t *testing.T) string {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var p peer.Peer
	_, err := grpc_health_v1.NewHealthClient(d).Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.Peer(&p))
	if err != nil {
		return status.Code(err).String()
	}
	return p.Addr.String()
}

func newLayoutRegistrar(t *testing.T, endpoints []string, formats ...config.Format) *registrar.Registrar {
	t.Helper()
	r := registrar.New(registrar.Options{
		Store:  etcd.New(config.Etcd{Endpoints: endpoints}, 20*time.Second),
		Log:    slog.New(slog.NewTextHandler(t.Output(), nil)),
		Layout: registrar.Layout{Formats: formats, Domain: "cluster.local"},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) }) // ends with ctx
	t.Cleanup(func() { cancel(); running.Wait() })
	return r
}

// gRPC-Go's own resolver finds what the grpc and json formats write, and follows
// what comes and goes.
func TestGRPCResolverFindsUs(t *testing.T) {
	t.Parallel()
	for format, target := range map[config.Format]string{
		config.FormatGRPC: "etcd:///service/greeter",
		config.FormatJSON: "etcd:////service/greeter", // the key begins with a slash
	} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, 1)
			one, two := grpcServer(t, "127.0.0.1", "one"), grpcServer(t, "127.0.0.2", "two")
			r := newLayoutRegistrar(t, c.Endpoints, config.FormatSkyDNS, format)
			r.Update([]registrar.Fact{fact(one, true)})
			waitReason(t, r, 20*time.Second, registered)
			client := dialEtcd(t, c, target)
			client.reaches(t, one)
			r.Update([]registrar.Fact{fact(one, true), fact(two, true)})
			client.reaches(t, one, two)
			r.Update([]registrar.Fact{fact(one, false), fact(two, true)})
			client.reaches(t, two)
			r.Update([]registrar.Fact{fact(one, false), fact(two, false)})
			for client.call(t) != codes.Unavailable.String() {
				select {
				case <-t.Context().Done():
					t.Fatal("the client still finds a server")
				case <-time.After(20 * time.Millisecond):
				}
			}
		})
	}
}

// All layouts come, come back and go with their service, in a real etcd.
func TestLayoutsInEtcd(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	client := c.Client(t)
	w := c.Watch(t, "")
	r := newLayoutRegistrar(t, c.Endpoints, config.FormatPlain, config.FormatSkyDNS, config.FormatTraefik)
	keys := []string{
		webKey,
		"/skydns/local/cluster/service/10-1-0-101-49155",
		"/skydns/local/cluster/_tcp/_service/10-1-0-101-49155",
		"traefik/http/services/service/loadBalancer/servers/10.1.0.101:49155/url",
		"traefik/tcp/services/service/loadBalancer/servers/10.1.0.101:49155/address",
	}
	for _, k := range keys[1:] { // an earlier life's, and a neighbour's
		if _, err := client.Put(t.Context(), k, "old"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Put(t.Context(), "/skydns/local/cluster/service/10-1-0-102-1", "{}"); err != nil {
		t.Fatal(err)
	}
	r.Update([]registrar.Fact{fact(web, false)})
	r.Prepare(t.Context(), "web")
	var last int64
	for _, k := range keys[1:] {
		last = max(last, w.WaitDelete(0, 20*time.Second, k).Revision)
	}
	r.Update([]registrar.Fact{fact(web, true)})
	put := w.WaitPut(last, 20*time.Second, keys[0])
	for _, k := range keys {
		if e := w.WaitPut(last, 20*time.Second, k); e.Revision != put.Revision || e.Lease != put.Lease {
			t.Errorf("not one transaction on one lease: %v, %v", put, e)
		}
	}
	for _, k := range keys[3:4] { // TestOneLayoutComesBack has the others
		gone, err := client.Delete(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		back := w.WaitPut(gone.Header.Revision, 20*time.Second, k)
		for _, e := range w.Events() {
			if e.Revision > gone.Header.Revision && e.Revision <= back.Revision && e.Key != k {
				t.Errorf("%s was deleted: %v", k, e)
			}
		}
		last = back.Revision
		waitReason(t, r, 20*time.Second, registered) // so that it knows of its own put
	}
	r.Update([]registrar.Fact{fact(web, false)})
	gone := w.WaitDelete(last, 20*time.Second, keys[0])
	for _, k := range keys {
		if e := w.WaitDelete(last, 20*time.Second, k); e.Revision != gone.Revision {
			t.Errorf("not one transaction: %v, %v", gone, e)
		}
	}
	for _, e := range w.Events() {
		if !e.Put && strings.Contains(e.Key, "10-1-0-102") {
			t.Error("the neighbour's key was deleted")
		}
	}
}
