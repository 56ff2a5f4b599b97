package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// pageSize bounds one answer of etcd, whose messages end at 2 MiB.
	pageSize = 1000
	// ttlCalls is how many leases are asked about at a time.
	ttlCalls = 16
	// root is where every key of a service is.
	root = "/"
)

// List reads all services, in the order of their addresses, with what is left
// of their leases. It does not wait for an etcd that is away longer than ctx.
func List(ctx context.Context, client *clientv3.Client) ([]Service, error) {
	found, err := read(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("cannot read the services from %s: %w", strings.Join(client.Endpoints(), ", "), plain(err))
	}
	services := sorted(found.services)
	if err := ReadTTLs(ctx, client, services); err != nil {
		return nil, fmt.Errorf("cannot read the leases from %s: %w", strings.Join(client.Endpoints(), ", "), plain(err))
	}
	return services, nil
}

// errNoAnswer is what a person understands by a deadline that passed.
var errNoAnswer = errors.New("no answer in time")

// plain replaces the deadline error, which says nothing about etcd.
func plain(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errNoAnswer
	}
	return err
}

// state is the services at one revision of one cluster.
type state struct {
	cluster  uint64
	revision int64
	services map[string]Service // by key
}

// read takes all services at one revision, page by page.
func read(ctx context.Context, client *clientv3.Client) (state, error) {
	st := state{services: map[string]Service{}}
	for from := root; ; {
		resp, err := client.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(root)),
			clientv3.WithLimit(pageSize), clientv3.WithRev(st.revision))
		if err != nil {
			return state{}, err
		}
		if st.revision == 0 {
			st.cluster, st.revision = resp.Header.ClusterId, resp.Header.Revision
		}
		for _, kv := range resp.Kvs {
			if s, ok := fromKV(kv); ok {
				st.services[s.Key] = s
			}
		}
		if !resp.More {
			return st, nil
		}
		from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}

// fromKV makes a Service of a key, where it is one of a service.
func fromKV(kv *mvccpb.KeyValue) (Service, bool) {
	key := string(kv.Key)
	directory, address, ok := ParseKey(key)
	return Service{
		Key: key, Directory: directory, Address: address, Value: string(kv.Value),
		Lease: kv.Lease, TTL: -1, CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision,
	}, ok
}

// lease is the answer about one lease.
type lease struct {
	ttl, granted time.Duration
}

// ReadTTLs asks for what is left of the leases and fills TTL and Granted in.
// What etcd does not tell stays -1.
func ReadTTLs(ctx context.Context, client *clientv3.Client, services []Service) error {
	var (
		mu     sync.Mutex // guards leases and errs
		leases = map[int64]lease{}
		errs   []error
		wg     sync.WaitGroup
		slots  = make(chan struct{}, ttlCalls)
	)
	for _, s := range services {
		if _, asked := leases[s.Lease]; asked || s.Lease == 0 {
			continue
		}
		leases[s.Lease] = lease{ttl: -1}
	}
	for _, id := range keys(leases) {
		slots <- struct{}{}
		wg.Go(func() { // ends with its call, which obeys ctx
			defer func() { <-slots }()
			l, err := readLease(ctx, client, id)
			mu.Lock()
			defer mu.Unlock()
			leases[id] = l
			if err != nil {
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	for i, s := range services {
		if l, ok := leases[s.Lease]; ok {
			services[i].TTL, services[i].Granted = l.ttl, l.granted
		}
	}
	return errors.Join(errs...)
}

// keys are the keys of m, taken before other goroutines write to it.
func keys(m map[int64]lease) []int64 {
	out := make([]int64, 0, len(m))
	for id := range m {
		out = append(out, id)
	}
	return out
}

// readLease asks what is left of one lease. One that has just ended has -1 s.
func readLease(ctx context.Context, client *clientv3.Client, id int64) (lease, error) {
	resp, err := client.TimeToLive(ctx, clientv3.LeaseID(id))
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return lease{ttl: -1}, nil
	}
	if err != nil {
		return lease{ttl: -1}, err
	}
	return lease{
		ttl:     time.Duration(resp.TTL) * time.Second,
		granted: time.Duration(resp.GrantedTTL) * time.Second,
	}, nil
}
