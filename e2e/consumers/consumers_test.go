// Package consumers_test registers a program with the built binaries and reads
// the keys with the code of those they are for: CoreDNS's etcd plugin and the
// decoder of Traefik's key-value providers. gRPC-Go's resolver is a part of
// etcd's client, so its test is in registrar/.
package consumers_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coredns/coredns/plugin/etcd"
	"github.com/coredns/coredns/plugin/pkg/dnstest"
	"github.com/coredns/coredns/plugin/pkg/upstream"
	"github.com/coredns/coredns/plugin/test"
	"github.com/kvtools/valkeyrie/store"
	"github.com/miekg/dns"
	"github.com/traefik/traefik/v3/pkg/config/kv"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const patience = 30 * time.Second

// start builds and runs a binary of the main module, and returns the process
// and the first line of its stderr or stdout that has the word.
func start(t *testing.T, bin, name, word string, args ...string) (*os.Process, string) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(bin, name), args...)
	cmd.Stdout, cmd.Stderr = write, write
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	lines := make(chan string, 1000)
	done := make(chan struct{})
	go func() { // ends with the process
		defer close(done)
		defer read.Close()
		for s := bufio.NewScanner(read); s.Scan(); {
			fmt.Fprintln(t.Output(), name+" | "+s.Text())
			select {
			case lines <- s.Text():
			default:
			}
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		<-done
	})
	timeout := time.After(patience)
	for {
		select {
		case line := <-lines:
			if strings.Contains(line, word) {
				return cmd.Process, line
			}
		case <-timeout:
			t.Fatalf("%s does not say %q", name, word)
		}
	}
}

// world is an etcd with a program registered in every format that goes with the
// others, at an address of each family, and UDP.
type world struct {
	client   *clientv3.Client
	sidekick *os.Process
}

func newWorld(t *testing.T) world {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-C", "../..", "-buildvcs=false", "-tags", "grpcnotrace", "-o", bin+"/", "./cmd/sidekick", "./cmd/sidekick-hub")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	endpoint := "http://127.0.0.1:" + freePort(t)
	start(t, bin, "sidekick-hub", "etcd is ready", "serve", "--data", t.TempDir(), "--listen-client-urls", endpoint)
	file := filepath.Join(bin, "sidekick.yaml")
	text := fmt.Sprintf(`
programs:
  web:
    command: sleep 1000
    healthcheck: {tcp: %d}
    register:
      - {port: 8000, key: web, advertise: {ip: 10.1.0.101, port: 49155}}
      - {port: 8001, key: prod/web, advertise: {ip: "fd00::5", port: 49156}}
      - {port: 53/udp, key: dns, advertise: {ip: 10.1.0.101, port: 53}}
registry:
  etcd: {endpoints: [%q]}
  format: [json, skydns, traefik, grpc]
control: {socket: %q}
`, l.Addr().(*net.TCPAddr).Port, endpoint, filepath.Join(bin, "s.sock"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	process, _ := start(t, bin, "sidekick", "dns/10.1.0.101:53", "run", "-c", file)
	w := world{client, process}
	w.wait(t, 17)
	return w
}

// freePort is one where nobody listens.
func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// wait waits until etcd has so many keys.
func (w world) wait(t *testing.T, keys int) {
	t.Helper()
	var got []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		got = nil
		resp, err := w.client.Get(t.Context(), "", clientv3.WithPrefix(), clientv3.WithKeysOnly())
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range resp.Kvs {
			got = append(got, string(kv.Key))
		}
		if len(got) == keys {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatalf("want %d keys, etcd has\n%s", keys, strings.Join(got, "\n"))
}

func TestConsumers(t *testing.T) {
	w := newWorld(t)
	t.Run("CoreDNS", w.coreDNS)
	t.Run("Traefik", w.traefik)
	w.sidekick.Signal(syscall.SIGTERM)
	w.wait(t, 0)
	t.Run("CoreDNS, stopped", func(t *testing.T) {
		if answer := w.ask(t, "web.cluster.local.", dns.TypeA); answer.Rcode != dns.RcodeNameError {
			t.Errorf("%v", answer)
		}
	})
}

// coreDNS asks the plugin what a client would.
func (w world) coreDNS(t *testing.T) {
	const full = "fd00-0000-0000-0000-0000-0000-0000-0005-49156"
	for _, tc := range []struct {
		name  string
		qtype uint16
		want  []string // answer, then additional
	}{
		{"web.cluster.local.", dns.TypeA, []string{"web.cluster.local. 5 IN A 10.1.0.101"}},
		{"web.prod.cluster.local.", dns.TypeAAAA, []string{"web.prod.cluster.local. 5 IN AAAA fd00::5"}},
		{"web.cluster.local.", dns.TypeSRV, []string{
			"web.cluster.local. 5 IN SRV 10 100 49155 10-1-0-101-49155.web.cluster.local.",
			"10-1-0-101-49155.web.cluster.local. 5 IN A 10.1.0.101",
		}},
		{"_web._tcp.cluster.local.", dns.TypeSRV, []string{
			"_web._tcp.cluster.local. 5 IN SRV 10 100 49155 10-1-0-101-49155._web._tcp.cluster.local.",
			"10-1-0-101-49155._web._tcp.cluster.local. 5 IN A 10.1.0.101",
		}},
		{"_web._tcp.prod.cluster.local.", dns.TypeSRV, []string{
			"_web._tcp.prod.cluster.local. 5 IN SRV 10 100 49156 " + full + "._web._tcp.prod.cluster.local.",
			full + "._web._tcp.prod.cluster.local. 5 IN AAAA fd00::5",
		}},
		{"_dns._udp.cluster.local.", dns.TypeSRV, []string{
			"_dns._udp.cluster.local. 5 IN SRV 10 100 53 10-1-0-101-53._dns._udp.cluster.local.",
			"10-1-0-101-53._dns._udp.cluster.local. 5 IN A 10.1.0.101",
		}},
		{"10-1-0-101-49155._web._tcp.cluster.local.", dns.TypeA, []string{"10-1-0-101-49155._web._tcp.cluster.local. 5 IN A 10.1.0.101"}},
	} {
		answer := w.ask(t, tc.name, tc.qtype)
		var got []string
		for _, rr := range slices.Concat(answer.Answer, answer.Extra) {
			got = append(got, strings.ReplaceAll(rr.String(), "\t", " "))
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s %s: %s\n%s\nwant\n%s", tc.name, dns.TypeToString[tc.qtype], dns.RcodeToString[answer.Rcode],
				strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
		}
	}
}

func (w world) ask(t *testing.T, name string, qtype uint16) *dns.Msg {
	plugin := &etcd.Etcd{Zones: []string{"cluster.local."}, PathPrefix: "skydns", Upstream: upstream.New(), Client: w.client}
	question := new(dns.Msg)
	question.SetQuestion(name, qtype)
	recorder := dnstest.NewRecorder(&test.ResponseWriter{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := plugin.ServeDNS(ctx, recorder, question); err != nil {
		t.Fatal(err)
	}
	return recorder.Msg
}

// dynamic is the part of Traefik's dynamic configuration that we write, with the
// neighbours that an operator writes, as Traefik documents them. Its own type has
// dependencies that not every Go proxy has.
type dynamic struct {
	HTTP struct {
		Routers  map[string]struct{ Rule, Service string }
		Services map[string]struct {
			LoadBalancer struct{ Servers []struct{ URL string } }
		}
	}
	TCP, UDP struct {
		Services map[string]struct {
			LoadBalancer struct{ Servers []struct{ Address string } }
		}
	}
}

// traefik decodes all pairs as the provider does, beside a router of the operator.
func (w world) traefik(t *testing.T) {
	const router = "traefik/http/routers/web/"
	for key, value := range map[string]string{"rule": "Host(`example.com`)", "service": "web"} {
		if _, err := w.client.Put(t.Context(), router+key, value); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := w.client.Get(t.Context(), "traefik/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.Delete(t.Context(), router, clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	var pairs []*store.KVPair
	for _, kv := range resp.Kvs {
		pairs = append(pairs, &store.KVPair{Key: string(kv.Key), Value: kv.Value})
	}
	var c dynamic
	if err := kv.Decode(pairs, &c, "traefik"); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(c.HTTP.Routers, c.HTTP.Services, c.TCP.Services, c.UDP.Services)
	const want = "map[web:{Host(`example.com`) web}]" +
		" map[prod-web:{{[{http://[fd00::5]:49156}]}} web:{{[{http://10.1.0.101:49155}]}}]" +
		" map[prod-web:{{[{[fd00::5]:49156}]}} web:{{[{10.1.0.101:49155}]}}]" +
		" map[dns:{{[{10.1.0.101:53}]}}]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
