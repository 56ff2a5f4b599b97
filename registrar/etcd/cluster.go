package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"sidekick/config"
	"sidekick/registrar"
)

// errSetup is an error of our own files, which no endpoint can help.
type errSetup struct{ error }

// Unwrap returns the error without the mark.
func (e errSetup) Unwrap() error { return e.error }

// Is makes it a registrar.ErrNotAsked.
func (e errSetup) Is(target error) bool { return target == registrar.ErrNotAsked }

// cluster holds one client for each endpoint. Its fields belong to the
// goroutine that calls; attempts only read members.
type cluster struct {
	config  config.Etcd
	login   *login
	members []*member
	first   int  // where the next call begins: who answered last, or should next
	redial  bool // the last call had no answer in time
	closed  bool
}

// member is one endpoint.
type member struct {
	url    string
	client *clientv3.Client
}

// newCluster makes two members of a single endpoint: an attempt that follows
// one that hangs must not share its connection.
func newCluster(c config.Etcd) *cluster {
	urls := c.Endpoints
	if len(urls) == 1 {
		urls = []string{urls[0], urls[0]}
	}
	cl := &cluster{config: c, login: newLogin(c.Username, c.PasswordFile)}
	for _, u := range urls {
		cl.members = append(cl.members, &member{url: u})
	}
	return cl
}

// connect makes the clients, or makes them anew after a call without an
// answer: a connection may be dead without either end knowing. It does not
// wait for the network.
func (c *cluster) connect() error {
	if c.closed {
		return errSetup{errors.New("the store is closed")}
	}
	if len(c.members) == 0 {
		return errSetup{errors.New("no etcd endpoints")}
	}
	if c.redial {
		c.disconnect()
		c.redial = false
	}
	for _, m := range c.members {
		if m.client != nil {
			continue
		}
		client, err := c.dial(m.url)
		if err != nil {
			return errSetup{err}
		}
		m.client = client
	}
	return nil
}

func (c *cluster) disconnect() {
	for _, m := range c.members {
		if m.client != nil {
			_ = m.client.Close() // it only says that it was closed
			m.client = nil
		}
	}
}

func (c *cluster) close() {
	c.closed = true
	c.disconnect()
}

// round returns the members in the order in which a call tries them.
func (c *cluster) round() []int {
	n := len(c.members)
	order := make([]int, n)
	for i := range order {
		order[i] = (c.first + i) % n
	}
	return order
}

// dial returns a client of one endpoint. It is given no user: logging in is
// done by login, when a call needs it.
func (c *cluster) dial(url string) (*clientv3.Client, error) {
	options := []grpc.DialOption{
		grpc.WithPerRPCCredentials(c.login),
		grpc.WithChainUnaryInterceptor(failFast),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 3 * time.Second,
		}),
	}
	var tlsConfig *tls.Config
	if t := c.config.TLS; t != nil {
		var err error
		if tlsConfig, err = loadTLS(*t); err != nil {
			return nil, err
		}
		if t.ServerName != "" {
			// gRPC overwrites tls.Config.ServerName with the endpoint's host.
			options = append(options, grpc.WithAuthority(t.ServerName))
		}
	}
	return clientv3.New(clientv3.Config{
		Endpoints:            []string{url},
		TLS:                  tlsConfig,
		Logger:               zap.NewNop(), // failures are reported by the registrar
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
		MaxUnaryRetries:      1, // repeating is done by call
		DialOptions:          options,
	})
}

// failFast makes a call on an endpoint that cannot be reached fail, with the
// reason. clientv3 would wait for the connection and lose the reason.
func failFast(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(ctx, method, req, reply, cc, append(opts, grpc.WaitForReady(false))...)
}

// maxCA bounds the file of the authorities, in bytes; a whole distribution's has
// some 250 KiB.
const maxCA = 4 << 20

// loadTLS reads the files. The client's certificate is read again at each
// handshake, since it may be renewed on disk.
func loadTLS(c config.TLS) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := config.ReadRegular(c.CAFile, maxCA)
		if err != nil {
			return nil, fmt.Errorf("cannot read registry.etcd.tls.ca_file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("registry.etcd.tls.ca_file %s holds no certificate in PEM form", c.CAFile)
		}
	}
	if c.CertFile == "" {
		return t, nil
	}
	if _, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile); err != nil {
		return nil, fmt.Errorf("cannot load registry.etcd.tls.cert_file and key_file: %w", err)
	}
	t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		return &pair, err
	}
	return t, nil
}
