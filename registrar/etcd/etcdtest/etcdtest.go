// Package etcdtest runs real etcd clusters for tests, and is for tests only.
//
// Each member is the test binary itself, started again, so that it can be
// frozen, killed and restarted on its own. A test binary that uses it must
// call RunMember first thing in TestMain:
//
//	func TestMain(m *testing.M) {
//		etcdtest.RunMember()
//		os.Exit(m.Run())
//	}
package etcdtest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// startTimeout is how long a member may take until it serves.
const startTimeout = 60 * time.Second

// Cluster is a running etcd cluster on 127.0.0.1 with random ports. Its
// members end with the test.
type Cluster struct {
	// Endpoints are the client URLs, in the order of the members.
	Endpoints []string

	t       testing.TB
	members []*member
	tls     *tls.Config
}

// member is one process.
type member struct {
	config  memberConfig
	process *os.Process
}

// TLS are the files of a cluster that speaks https with its clients.
type TLS struct {
	CertFile, KeyFile string // of the server
	ClientCAFile      string // "": clients need no certificate
	Client            *tls.Config
}

// Start runs a cluster of n members and returns when all of them serve.
func Start(t testing.TB, n int) *Cluster {
	t.Helper()
	return start(t, n, nil)
}

// StartTLS runs one member that serves https.
func StartTLS(t testing.TB, files TLS) *Cluster {
	t.Helper()
	return start(t, 1, &files)
}

func start(t testing.TB, n int, files *TLS) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	configs := layOut(t, n, files)
	if files != nil {
		c.tls = files.Client
	}
	for _, config := range configs {
		c.Endpoints = append(c.Endpoints, config.Client)
		c.members = append(c.members, &member{config: config})
	}
	t.Cleanup(c.stopAll)
	for i := range n {
		c.run(i)
	}
	for i := range n {
		c.waitServing(i)
	}
	return c
}

// layOut gives the members their names, folders and ports.
func layOut(t testing.TB, n int, files *TLS) []memberConfig {
	dir := t.TempDir()
	ports := freePorts(t, 2*n)
	var configs []memberConfig
	var peers []string
	for i := range n {
		c := memberConfig{
			Name:   fmt.Sprintf("m%d", i),
			Dir:    filepath.Join(dir, fmt.Sprintf("m%d", i)),
			Client: fmt.Sprintf("http://127.0.0.1:%d", ports[2*i]),
			Peer:   fmt.Sprintf("http://127.0.0.1:%d", ports[2*i+1]),
		}
		if files != nil {
			c.Client = strings.Replace(c.Client, "http:", "https:", 1)
			c.CertFile, c.KeyFile, c.ClientCAFile = files.CertFile, files.KeyFile, files.ClientCAFile
		}
		peers = append(peers, c.Name+"="+c.Peer)
		configs = append(configs, c)
	}
	for i := range configs {
		configs[i].Cluster = strings.Join(peers, ",")
	}
	return configs
}

// freePorts returns n ports nobody listens on. They are all taken at once, so
// that they differ.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// run starts the process of member i.
func (c *Cluster) run(i int) {
	c.t.Helper()
	m := c.members[i]
	config, err := json.Marshal(m.config)
	if err != nil {
		c.t.Fatal(err)
	}
	log, err := os.OpenFile(m.config.Dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		c.t.Fatal(err)
	}
	defer null.Close()
	m.process, err = os.StartProcess("/proc/self/exe", []string{"etcd-" + m.config.Name}, &os.ProcAttr{
		Env:   append(os.Environ(), memberEnv+"="+string(config)),
		Files: []*os.File{null, log, log},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		c.t.Fatalf("cannot start an etcd member: %v", err)
	}
}

// waitServing polls member i until it answers a linearizable read.
func (c *Cluster) waitServing(i int) {
	c.t.Helper()
	client := c.Client(c.t, i)
	defer client.Close()
	deadline := time.Now().Add(startTimeout)
	for {
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		_, err := client.Get(ctx, "etcdtest")
		cancel()
		if err == nil || strings.Contains(err.Error(), "user name is empty") {
			return
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(c.members[i].config.Dir + ".log")
			c.t.Fatalf("etcd member %d does not serve: %v\n%s", i, err, log)
		}
	}
}

// Freeze stops member i with SIGSTOP: its sockets stay open and nobody answers.
func (c *Cluster) Freeze(i int) { c.signal(i, syscall.SIGSTOP) }

// Thaw lets a frozen member go on.
func (c *Cluster) Thaw(i int) { c.signal(i, syscall.SIGCONT) }

func (c *Cluster) signal(i int, sig syscall.Signal) {
	c.t.Helper()
	if err := c.members[i].process.Signal(sig); err != nil {
		c.t.Fatalf("cannot signal etcd member %d: %v", i, err)
	}
}

// Kill ends member i at once and waits for its end; its data stay.
func (c *Cluster) Kill(i int) {
	m := c.members[i]
	if m.process == nil {
		return
	}
	_ = m.process.Kill() // it may have ended by itself
	_, _ = m.process.Wait()
	m.process = nil
}

// Restart runs killed members again, on their data and ports, and waits until
// they serve.
func (c *Cluster) Restart(members ...int) {
	c.t.Helper()
	for _, i := range members {
		c.run(i)
	}
	for _, i := range members {
		c.waitServing(i)
	}
}

func (c *Cluster) stopAll() {
	for i := range c.members {
		c.Kill(i)
	}
}

// Leader returns the index of the leading member.
func (c *Cluster) Leader() int {
	c.t.Helper()
	for i := range c.members {
		client := c.Client(c.t, i)
		s, err := client.Status(c.t.Context(), c.Endpoints[i])
		client.Close()
		if err == nil && s.Leader == s.Header.MemberId {
			return i
		}
	}
	c.t.Fatal("the etcd cluster has no leader")
	return -1
}

// Client returns a plain client of the given members, or of all if none is
// named. It is closed with the test.
func (c *Cluster) Client(t testing.TB, members ...int) *clientv3.Client {
	t.Helper()
	endpoints := c.Endpoints
	if len(members) > 0 {
		endpoints = nil
		for _, i := range members {
			endpoints = append(endpoints, c.Endpoints[i])
		}
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints, TLS: c.tls, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: time.Second}, // members are just starting
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}
