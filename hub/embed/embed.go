// Package embed runs one-member etcd inside this process: what a machine
// without an etcd of its own needs to try registration out, and what tests use
// in place of a cluster.
//
// The server takes clients over HTTP on the given URLs and nothing else: a
// cluster of one has no peers, so no peer port is opened at all.
package embed

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
)

// DefaultClientURL is where clients are taken unless Options say otherwise:
// etcd's usual port, on loopback only.
const DefaultClientURL = "http://127.0.0.1:2379"

// peerURL is only a name in the member list of the data directory. It is
// etcd's own default, so a stock etcd can go on with the directory; nobody
// listens there.
const peerURL = "http://localhost:2380"

// defaultReadyTimeout bounds the way from Start to the first answer. Electing
// oneself takes about 0.2 s; a large write-ahead log takes longer to read.
const defaultReadyTimeout = 30 * time.Second

// Options says how to run the server. The zero value is a server on
// DefaultClientURL whose data is thrown away.
type Options struct {
	// Dir keeps the data. It is made, with mode 0700, where it is missing.
	// "": a fresh temporary directory that Close removes.
	Dir string
	// ClientURLs are http://IP:PORT (or localhost); port 0 takes a free one.
	// Empty: DefaultClientURL.
	ClientURLs []string
	// Log gets etcd's warnings and errors. nil: nothing is logged.
	Log *slog.Logger
	// ReadyTimeout bounds Start; 0: 30 s.
	ReadyTimeout time.Duration
}

// Server is a running etcd. Close ends it.
type Server struct {
	etcd      *embed.Etcd
	log       *logCore
	dir       string
	temporary bool
	endpoints []string

	mu   sync.Mutex
	rpcs []*grpc.Server // guarded by mu: one for each client URL

	done chan struct{} // closed when etcd has ended, however that came
	err  error         // written before done is closed
	wg   sync.WaitGroup
}

// Start runs a server and returns when it answers. Its errors wrap
// ErrAddressInUse, ErrDir, ErrDirInUse, ErrDirContent or ErrNotReady where one
// of them is the cause, or ctx's error. Nothing is left running after an error.
func Start(ctx context.Context, o Options) (*Server, error) {
	urls, err := clientURLs(o.ClientURLs)
	if err != nil {
		return nil, err
	}
	dir, temporary, err := prepareDir(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, temporary: temporary, log: newLogCore(o.Log), done: make(chan struct{})}
	if err := s.launch(urls); err != nil {
		s.removeTemporary()
		return nil, err
	}
	if err := s.awaitReady(ctx, o.ReadyTimeout); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// launch starts etcd on urls, choosing again when a port that was picked for
// ":0" has been taken by somebody else meanwhile.
func (s *Server) launch(urls []url.URL) error {
	for attempt := 1; ; attempt++ {
		chosen, picked, err := pickPorts(urls)
		if err != nil {
			return err
		}
		s.etcd, err = s.startEtcd(s.config(chosen))
		if picked && attempt < 5 && errors.Is(err, ErrAddressInUse) {
			continue
		}
		if err != nil {
			return err
		}
		for _, u := range chosen {
			s.endpoints = append(s.endpoints, u.String())
		}
		s.wg.Go(s.watchEnd) // ends when Close, or etcd itself, stops the server
		return nil
	}
}

// config is etcd's configuration for a cluster of one.
func (s *Server) config(urls []url.URL) *embed.Config {
	c := embed.NewConfig()
	peer, _ := url.Parse(peerURL) // a constant
	c.Name = "sidekick-hub"
	c.Dir = s.dir
	c.ListenPeerUrls = nil
	c.AdvertisePeerUrls = []url.URL{*peer}
	// The cluster id comes from the token: clients can tell a fresh server from
	// the one whose data is gone.
	c.InitialClusterToken = "sidekick-hub-" + rand.Text()
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.ListenClientUrls = urls
	c.AdvertiseClientUrls = advertised(urls)
	c.AutoCompactionMode = embed.CompactorModePeriodic
	c.AutoCompactionRetention = "1h"
	c.UnsafeNoFsync = s.temporary // what is thrown away needs no disk
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(s.log.logger())
	c.ServiceRegister = s.registered
	return c
}

// registered keeps the RPC server of a client URL for Close.
func (s *Server) registered(rpc *grpc.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rpcs = append(s.rpcs, rpc)
}

// startEtcd turns etcd's three ways to fail (an error, a panic, a fatal log
// entry, which our log core makes a panic) into one.
func (s *Server) startEtcd(c *embed.Config) (e *embed.Etcd, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cannot use the data directory %s: %w: %s", s.dir, ErrDirContent, s.log.last(fmt.Sprint(p)))
		}
	}()
	e, err = embed.StartEtcd(c)
	return e, explain(err, c.ListenClientUrls)
}

// awaitReady waits until the member has elected itself and takes requests.
func (s *Server) awaitReady(ctx context.Context, timeout time.Duration) error {
	if timeout == 0 {
		timeout = defaultReadyTimeout
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("cannot start etcd: %w", err)
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-s.etcd.Server.ReadyNotify():
		return nil
	case <-s.done:
		return s.err
	case <-timer.C:
		return fmt.Errorf("cannot start etcd in %s: %w within %s", s.dir, ErrNotReady, timeout)
	case <-ctx.Done():
		return fmt.Errorf("cannot start etcd: %w", context.Cause(ctx))
	}
}

// watchEnd notices the end of the server, whoever caused it.
func (s *Server) watchEnd() {
	defer close(s.done)
	select {
	case err := <-s.etcd.Err():
		if !s.log.muted.Load() && err != nil {
			s.err = fmt.Errorf("cannot go on serving etcd: %w", err)
		}
	case <-s.etcd.Server.StopNotify():
		if !s.log.muted.Load() {
			s.err = errors.New("cannot go on serving etcd: it stopped by itself")
		}
	}
}

// Endpoints are the URLs that clients dial, with the ports that were taken.
func (s *Server) Endpoints() []string { return s.endpoints }

// Dir is the data directory, absolute.
func (s *Server) Dir() string { return s.dir }

// Temporary says whether Close removes Dir.
func (s *Server) Temporary() bool { return s.temporary }

// Done is closed when the server has ended; Err then says why.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err is nil until Done is closed, and after an end that Close brought about.
func (s *Server) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Close ends the server, waits for it and removes a temporary directory.
// Clients see their connections break: etcd's own graceful stop would wait up
// to 7 s for watches, which never end by themselves.
func (s *Server) Close() error {
	s.log.muted.Store(true)
	s.mu.Lock()
	rpcs := s.rpcs
	s.mu.Unlock()
	for _, rpc := range rpcs {
		rpc.Stop()
	}
	s.unblock()
	s.etcd.Close()
	s.wg.Wait()
	return s.removeTemporary()
}

// unblock stops a server that never became ready: etcd's Close waits for its
// client listeners, and they wait for that readiness or for the server's end.
func (s *Server) unblock() {
	select {
	case <-s.etcd.Server.ReadyNotify():
	default:
		s.etcd.Server.HardStop()
	}
}

// removeTemporary deletes the data where nobody asked to keep it.
func (s *Server) removeTemporary() error {
	if !s.temporary {
		return nil
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("cannot remove the temporary data directory: %w", err)
	}
	return nil
}
