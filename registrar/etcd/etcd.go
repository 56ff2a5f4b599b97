// Package etcd is the registrar's Store on etcd's clientv3.
//
// It differs from clientv3's own ways where those lose keys:
//
//   - There is one client for each endpoint, and a call that is not answered
//     at once is started on the next one as well; the first answer counts. In
//     clientv3 a member that hangs, with a healthy quorum around it, costs
//     leases, since a call stays on its connection until its deadline.
//   - The lease is renewed by single requests, not by clientv3's KeepAlive,
//     which gives up for good after one TTL without an answer.
//   - Tokens of a password login are kept here. clientv3 sends a stale token
//     along with the login that is to replace it, which etcd before 3.4.28
//     refuses for ever, and logs in anew for each renewal, which costs the
//     server a bcrypt each time.
//
// A call that was started twice may also take effect twice, the second time
// much later, when the member that hung goes on. Deletes therefore carry the
// revision they are about and do nothing to a newer key.
//
// A leader that hangs for longer than a lease lives revokes the lease when it
// goes on, before it learns that another member leads and has renewed the
// lease all along (measured with etcd 3.7.3; etcd-io/etcd#15247 is the same
// with a shorter hang). So after a change of the leader the keys move to a new
// lease, of which the old leader knows nothing. This is the only write that
// does not come from a change of the keys.
package etcd

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"sidekick/config"
	"sidekick/registrar"
)

// maxFormer is how many former leases are remembered: a late put can bring a
// key back onto one as long as it lives.
const maxFormer = 4

// Store implements registrar.Store. It is used by one goroutine at a time.
type Store struct {
	ttl      time.Duration
	cluster  *cluster
	lease    clientv3.LeaseID   // 0: none
	term     uint64             // of the leader when lease was taken
	former   []clientv3.LeaseID // the last maxFormer leases before it
	values   map[string]string  // what we put and did not delete
	revision int64              // the highest that an answer named
}

var _ registrar.Store = (*Store)(nil)

// New returns a Store for the cluster; it connects at the first call, so it
// neither blocks nor fails. ttl is the lease's, rounded up to whole seconds;
// etcd may grant more.
func New(c config.Etcd, ttl time.Duration) *Store {
	return &Store{ttl: ttl, cluster: newCluster(c), values: map[string]string{}}
}

// Renew implements registrar.Store.
func (s *Store) Renew(ctx context.Context) error {
	if s.lease == 0 {
		return s.replace(ctx)
	}
	term, err := s.keepAlive(ctx)
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return s.replace(ctx)
	case err == nil && term > s.term:
		return s.move(ctx)
	}
	return err
}

// lease is what a grant is answered with.
type lease struct {
	id   clientv3.LeaseID
	term uint64
}

// grant takes a lease. If the answer to an earlier attempt was lost, that
// attempt's lease has no keys and expires.
func (s *Store) grant(ctx context.Context) (lease, error) {
	seconds := int64((s.ttl + time.Second - 1) / time.Second)
	resp, err := call(ctx, s.cluster, func(ctx context.Context, c *clientv3.Client) (*clientv3.LeaseGrantResponse, error) {
		return c.Grant(ctx, seconds)
	})
	if err != nil {
		return lease{}, err
	}
	return lease{resp.ID, resp.RaftTerm}, nil
}

// replace takes a new lease instead of one that is gone, with its keys.
func (s *Store) replace(ctx context.Context) error {
	l, err := s.grant(ctx)
	if err == nil {
		s.use(l)
	}
	return err
}

// use makes l the lease for all puts from now on.
func (s *Store) use(l lease) {
	if s.lease != 0 {
		s.former = append(s.former, s.lease)
		s.former = s.former[max(0, len(s.former)-maxFormer):]
	}
	s.lease, s.term = l.id, l.term
}

// move takes a new lease and moves the keys of the present one to it. If that
// fails half way, those left behind count as absent from now on, and are put
// again before they expire.
func (s *Store) move(ctx context.Context) error {
	l, err := s.grant(ctx)
	if err != nil {
		return err
	}
	old := s.lease
	s.use(l)
	for some := range slices.Chunk(slices.Sorted(maps.Keys(s.values)), registrar.MaxPut) {
		ops := make([]clientv3.Op, len(some))
		for i, k := range some {
			ops[i] = clientv3.OpTxn(
				[]clientv3.Cmp{clientv3.Compare(clientv3.LeaseValue(k), "=", old)},
				[]clientv3.Op{clientv3.OpPut(k, s.values[k], clientv3.WithLease(l.id))}, nil)
		}
		if _, err := s.commit(ctx, nil, ops); err != nil {
			return err
		}
	}
	return nil
}

// keepAlive sends one renewal, waits for its answer and returns the term of
// the cluster's leader. clientv3's KeepAliveOnce would repeat it without a
// pause while a member answers Unavailable.
func (s *Store) keepAlive(ctx context.Context) (term uint64, err error) {
	request := &etcdserverpb.LeaseKeepAliveRequest{ID: int64(s.lease)}
	return call(ctx, s.cluster, func(ctx context.Context, c *clientv3.Client) (uint64, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // ends the stream
		stream, err := etcdserverpb.NewLeaseClient(c.ActiveConnection()).LeaseKeepAlive(ctx)
		if err != nil {
			return 0, err
		}
		if err := stream.Send(request); err != nil {
			return 0, err
		}
		resp, err := stream.Recv()
		if err != nil {
			return 0, err
		}
		if resp.TTL <= 0 {
			return 0, rpctypes.ErrLeaseNotFound
		}
		return resp.Header.RaftTerm, nil
	})
}

// Read implements registrar.Store. A key on a former lease of ours is on the
// point of expiring, and counts as absent.
func (s *Store) Read(ctx context.Context, keys []string) (map[string]registrar.Entry, error) {
	entries := make(map[string]registrar.Entry, len(keys))
	for some := range slices.Chunk(keys, registrar.MaxPut) {
		resp, err := s.commit(ctx, nil, gets(some))
		if err != nil {
			return nil, err
		}
		for _, r := range resp.Responses {
			for _, kv := range r.GetResponseRange().Kvs {
				if slices.Contains(s.former, clientv3.LeaseID(kv.Lease)) {
					continue
				}
				entries[string(kv.Key)] = registrar.Entry{
					Value:       string(kv.Value),
					Ours:        s.lease != 0 && kv.Lease == int64(s.lease),
					Lease:       kv.Lease,
					ModRevision: kv.ModRevision,
				}
			}
		}
	}
	return entries, nil
}

func gets(keys []string) []clientv3.Op {
	ops := make([]clientv3.Op, len(keys))
	for i, k := range keys {
		ops[i] = clientv3.OpGet(k)
	}
	return ops
}

// commit runs one transaction and remembers the revision it is answered with.
func (s *Store) commit(ctx context.Context, cmps []clientv3.Cmp, then []clientv3.Op) (*clientv3.TxnResponse, error) {
	resp, err := call(ctx, s.cluster, func(ctx context.Context, c *clientv3.Client) (*clientv3.TxnResponse, error) {
		return c.Txn(ctx).If(cmps...).Then(then...).Commit()
	})
	if err != nil {
		return nil, err
	}
	s.revision = max(s.revision, resp.Header.Revision)
	return resp, nil
}

// Put implements registrar.Store.
func (s *Store) Put(ctx context.Context, values map[string]string) error {
	keys := slices.Sorted(maps.Keys(values))
	if s.lease == 0 {
		if err := s.replace(ctx); err != nil {
			return err
		}
	}
	_, err := s.commit(ctx, nil, s.puts(keys, values))
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		if err := s.replace(ctx); err != nil {
			return err
		}
		_, err = s.commit(ctx, nil, s.puts(keys, values))
	}
	if err == nil || errors.Is(err, registrar.ErrNoAnswer) {
		for _, k := range keys {
			s.values[k] = values[k]
		}
	}
	return err
}

func (s *Store) puts(keys []string, values map[string]string) []clientv3.Op {
	ops := make([]clientv3.Op, len(keys))
	for i, k := range keys {
		ops[i] = clientv3.OpPut(k, values[k], clientv3.WithLease(s.lease))
	}
	return ops
}

// Delete implements registrar.Store.
func (s *Store) Delete(ctx context.Context, keys []string) (gone []string, err error) {
	if s.lease == 0 {
		return nil, nil // we never put anything
	}
	for some := range slices.Chunk(keys, registrar.MaxPut) {
		guards := make(map[string][]clientv3.Cmp, len(some))
		for _, k := range some {
			guards[k] = s.unchangedOurs(k)
		}
		for len(guards) > 0 {
			away, again, err := s.deleteSome(ctx, guards)
			gone = append(gone, away...)
			if err != nil {
				return gone, err
			}
			guards = again
		}
	}
	for _, k := range keys {
		delete(s.values, k)
	}
	return gone, nil
}

// unchangedOurs is true of a key that hangs on our lease and was not written
// after the last answer we had. The second half keeps a delete that takes
// effect late from removing a key that was put again meanwhile.
func (s *Store) unchangedOurs(key string) []clientv3.Cmp {
	return []clientv3.Cmp{
		clientv3.Compare(clientv3.LeaseValue(key), "=", s.lease),
		clientv3.Compare(clientv3.ModRevision(key), "<", s.revision+1),
	}
}

// deleteSome deletes each key for which its guard is true, all in one
// transaction. gone are those that do not exist now; again are those that are
// ours all the same, with a guard that fits what was seen: a put whose answer
// was lost, or one that took effect so late that it is on a former lease.
func (s *Store) deleteSome(ctx context.Context, guards map[string][]clientv3.Cmp) (gone []string, again map[string][]clientv3.Cmp, err error) {
	keys := slices.Sorted(maps.Keys(guards))
	ops := make([]clientv3.Op, len(keys))
	for i, k := range keys {
		ops[i] = clientv3.OpTxn(guards[k], []clientv3.Op{clientv3.OpDelete(k)}, []clientv3.Op{clientv3.OpGet(k)})
	}
	resp, err := s.commit(ctx, nil, ops)
	if err != nil {
		return nil, nil, err
	}
	again = map[string][]clientv3.Cmp{}
	for i, r := range resp.Responses {
		txn := r.GetResponseTxn()
		if txn.Succeeded {
			gone = append(gone, keys[i])
			continue
		}
		kvs := txn.Responses[0].GetResponseRange().Kvs
		if len(kvs) == 0 {
			gone = append(gone, keys[i])
		} else if l := clientv3.LeaseID(kvs[0].Lease); l == s.lease || slices.Contains(s.former, l) {
			again[keys[i]] = []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(keys[i]), "=", kvs[0].ModRevision)}
		}
	}
	return gone, again, nil
}

// DeleteUnchanged implements registrar.Store.
func (s *Store) DeleteUnchanged(ctx context.Context, key string, modRevision int64) (bool, error) {
	unchanged := clientv3.Compare(clientv3.ModRevision(key), "=", modRevision)
	resp, err := s.commit(ctx, []clientv3.Cmp{unchanged}, []clientv3.Op{clientv3.OpDelete(key)})
	return err == nil && resp.Succeeded, err
}

// Close implements registrar.Store.
func (s *Store) Close(ctx context.Context) error {
	defer s.cluster.close()
	var errs []error
	for _, l := range slices.Backward(append(s.former, s.lease)) {
		if l != 0 {
			errs = append(errs, s.revoke(ctx, l))
		}
	}
	return errors.Join(errs...)
}

func (s *Store) revoke(ctx context.Context, id clientv3.LeaseID) error {
	_, err := call(ctx, s.cluster, func(ctx context.Context, c *clientv3.Client) (*clientv3.LeaseRevokeResponse, error) {
		return c.Revoke(ctx, id)
	})
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return err
}
