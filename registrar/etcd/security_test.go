package etcd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"sidekick/config"
	"sidekick/registrar"
	"sidekick/registrar/etcd/etcdtest"
)

// enableAuth makes a user "sk" with the password "secret" who may write below
// /service/ only.
func enableAuth(t *testing.T, c *etcdtest.Cluster) {
	t.Helper()
	client := c.Client(t)
	steps := []func(context.Context) error{
		func(ctx context.Context) error { _, err := client.RoleAdd(ctx, "root"); return err },
		func(ctx context.Context) error { _, err := client.UserAdd(ctx, "root", "r"); return err },
		func(ctx context.Context) error { _, err := client.UserGrantRole(ctx, "root", "root"); return err },
		func(ctx context.Context) error { _, err := client.RoleAdd(ctx, "service"); return err },
		func(ctx context.Context) error {
			_, err := client.RoleGrantPermission(ctx, "service", "/service/", clientv3.GetPrefixRangeEnd("/service/"),
				clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func(ctx context.Context) error { _, err := client.UserAdd(ctx, "sk", "secret"); return err },
		func(ctx context.Context) error { _, err := client.UserGrantRole(ctx, "sk", "service"); return err },
		func(ctx context.Context) error { _, err := client.AuthEnable(ctx); return err },
	}
	for _, step := range steps {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPassword(t *testing.T) {
	c := etcdtest.Start(t, 1)
	enableAuth(t, c)
	s := newStore(t, config.Etcd{Endpoints: c.Endpoints, Username: "sk", PasswordFile: writeFile(t, "pw", "secret\n")})
	mustPut(t, s, "/service/k")
	if err := s.Renew(t.Context()); err != nil {
		t.Errorf("renew: %v", err)
	}
	if err := s.Put(t.Context(), map[string]string{"/other/k": "running"}); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("a key without permission: error %v, want permission denied", err)
	}

	// A restarted etcd has forgotten all tokens.
	c.Kill(0)
	c.Restart(0)
	if err := s.Renew(t.Context()); err != nil {
		t.Errorf("renew after a restart of etcd: %v", err)
	}
	s.cluster.login.set("stale.1")
	deleted, err := s.Delete(t.Context(), []string{"/service/k"})
	if err != nil || len(deleted) != 1 {
		t.Errorf("delete with a stale token: deleted %v, error %v", deleted, err)
	}
}

func TestWrongPasswordIsARefusal(t *testing.T) {
	c := etcdtest.Start(t, 1)
	enableAuth(t, c)
	file := writeFile(t, "pw", "wrong")
	s := newStore(t, config.Etcd{Endpoints: c.Endpoints, Username: "sk", PasswordFile: file})
	err := s.Renew(t.Context())
	if err == nil || errors.Is(err, registrar.ErrNoAnswer) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("error %v, want etcd's refusal, without the password", err)
	}
	if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Renew(t.Context()); err != nil {
		t.Errorf("after the file was corrected: %v", err)
	}
}

// oldServer is an etcd before 3.4.28: it refuses a stale token even with the
// login that is to replace it.
type oldServer struct {
	etcdserverpb.UnimplementedAuthServer
	etcdserverpb.UnimplementedLeaseServer
}

func (oldServer) check(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if token := md.Get(rpctypes.TokenFieldNameGRPC); len(token) > 0 && token[0] != "fresh" {
		return rpctypes.ErrGRPCInvalidAuthToken
	}
	return nil
}

func (s oldServer) Authenticate(ctx context.Context, _ *etcdserverpb.AuthenticateRequest) (*etcdserverpb.AuthenticateResponse, error) {
	return &etcdserverpb.AuthenticateResponse{Token: "fresh"}, s.check(ctx)
}

func (s oldServer) LeaseGrant(ctx context.Context, _ *etcdserverpb.LeaseGrantRequest) (*etcdserverpb.LeaseGrantResponse, error) {
	return &etcdserverpb.LeaseGrantResponse{Header: &etcdserverpb.ResponseHeader{}, ID: 7}, s.check(ctx)
}

func TestLoginCarriesNoStaleToken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	etcdserverpb.RegisterAuthServer(server, oldServer{})
	etcdserverpb.RegisterLeaseServer(server, oldServer{})
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) }) // ends with Stop
	t.Cleanup(func() { server.Stop(); serving.Wait() })

	s := newStore(t, config.Etcd{
		Endpoints: []string{"http://" + l.Addr().String()}, Username: "sk", PasswordFile: writeFile(t, "pw", "secret"),
	})
	s.cluster.login.set("stale")
	if err := s.Renew(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPasswordWhereNoneIsWanted(t *testing.T) {
	c := etcdtest.Start(t, 1)
	s := newStore(t, config.Etcd{Endpoints: c.Endpoints, Username: "sk", PasswordFile: writeFile(t, "pw", "secret")})
	mustPut(t, s, "/service/k")
}

// authority signs certificates for 127.0.0.1.
type authority struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.key = newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.file = a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// issue returns the files of a certificate for server and client use.
func (a *authority) issue(name string) (certFile, keyFile string) {
	a.t.Helper()
	key := newKey(a.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(name+".pem", "CERTIFICATE", der), a.write(name+"-key.pem", "EC PRIVATE KEY", keyDER)
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	serverCert, serverKey := ca.issue("etcd.test")
	clientCert, clientKey := ca.issue("sidekick.test")
	pair, err := tls.LoadX509KeyPair(clientCert, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	c := etcdtest.StartTLS(t, etcdtest.TLS{
		CertFile: serverCert, KeyFile: serverKey, ClientCAFile: ca.file,
		Client: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}},
	})

	for name, tc := range map[string]struct {
		tls   config.TLS
		wants string // in the error; "": it works
	}{
		"by address":     {config.TLS{CAFile: ca.file, CertFile: clientCert, KeyFile: clientKey}, ""},
		"by name":        {config.TLS{CAFile: ca.file, CertFile: clientCert, KeyFile: clientKey, ServerName: "etcd.test"}, ""},
		"other name":     {config.TLS{CAFile: ca.file, CertFile: clientCert, KeyFile: clientKey, ServerName: "other.test"}, "certificate is valid for etcd.test"},
		"unknown CA":     {config.TLS{CertFile: clientCert, KeyFile: clientKey}, "unknown authority"},
		"no certificate": {config.TLS{CAFile: ca.file}, "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, config.Etcd{Endpoints: c.Endpoints, TLS: &tc.tls})
			err := s.Put(t.Context(), map[string]string{"/service/k": "running"})
			switch {
			case tc.wants == "" && err != nil:
				t.Errorf("error %v", err)
			case tc.wants != "" && (err == nil || !strings.Contains(err.Error(), tc.wants)):
				t.Errorf("error %v, want one with %q", err, tc.wants)
			}
		})
	}
}

// A FIFO would keep the registrar waiting for a writer.
func TestPasswordIsARegularFile(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	c := etcdtest.Start(t, 1)
	enableAuth(t, c)
	s := newStore(t, config.Etcd{Endpoints: c.Endpoints, Username: "sk", PasswordFile: fifo})
	err := s.Renew(t.Context())
	if !errors.Is(err, registrar.ErrNotAsked) || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("got %v", err)
	}
}
