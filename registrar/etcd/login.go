package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/credentials"

	"sidekick/config"
)

// authenticate is the one method that must not carry a token: etcd before
// 3.4.28 checks a stale one even there.
const authenticate = "/etcdserverpb.Auth/Authenticate"

// login gives each request the token of a user. It implements gRPC's
// credentials.PerRPCCredentials and is used by several goroutines.
type login struct {
	username, passwordFile string

	mu    sync.Mutex // guards token
	token string     // "": not logged in, or etcd wants no login
}

var _ credentials.PerRPCCredentials = (*login)(nil)

func newLogin(username, passwordFile string) *login {
	return &login{username: username, passwordFile: passwordFile}
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (l *login) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token := l.current()
	if info, ok := credentials.RequestInfoFromContext(ctx); token == "" || ok && info.Method == authenticate {
		return nil, nil
	}
	return map[string]string{rpctypes.TokenFieldNameGRPC: token}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: whether
// http is good enough is for the user to say, in the endpoints.
func (l *login) RequireTransportSecurity() bool { return false }

func (l *login) current() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.token
}

func (l *login) set(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.token = token
}

// loggedIn runs op, after a login when there is none, and again after a new
// one when etcd no longer knows the token: tokens expire after 5 minutes
// without use, and with a restart of etcd.
func loggedIn[T any](ctx context.Context, l *login, c *clientv3.Client, op func(context.Context, *clientv3.Client) (T, error)) (T, error) {
	if l.username == "" {
		return op(ctx, c)
	}
	var none T
	if l.current() == "" {
		if err := l.renew(ctx, c); err != nil {
			return none, err
		}
	}
	v, err := op(ctx, c)
	if !wantsLogin(err) {
		return v, err
	}
	if err := l.renew(ctx, c); err != nil {
		return none, err
	}
	return op(ctx, c)
}

func wantsLogin(err error) bool {
	err = rpctypes.Error(err)
	return errors.Is(err, rpctypes.ErrInvalidAuthToken) ||
		errors.Is(err, rpctypes.ErrUserEmpty) ||
		errors.Is(err, rpctypes.ErrAuthOldRevision)
}

// renew logs in with the password as its file has it now.
func (l *login) renew(ctx context.Context, c *clientv3.Client) error {
	password, err := l.password()
	if err != nil {
		return errSetup{err}
	}
	resp, err := c.Authenticate(ctx, l.username, password)
	if errors.Is(err, rpctypes.ErrAuthNotEnabled) {
		l.set("")
		return nil
	}
	if err != nil {
		return err
	}
	l.set(resp.Token)
	return nil
}

// maxPassword bounds the file, in bytes; etcd hashes the first 72 (bcrypt).
const maxPassword = 64 << 10

func (l *login) password() (string, error) {
	if l.passwordFile == "" {
		return "", errors.New("registry.etcd.username needs a password_file")
	}
	data, err := config.ReadRegular(l.passwordFile, maxPassword)
	if err != nil {
		return "", fmt.Errorf("cannot read registry.etcd.password_file: %w", err)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}
