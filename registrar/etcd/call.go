package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sidekick/registrar"
)

// patience is how long an attempt may stay without an answer before the next
// endpoint is tried as well. After a round over all endpoints it is doubled
// with every attempt, so that a slow etcd is not flooded.
const patience = 400 * time.Millisecond

// attempt is how one attempt of a call ended.
type attempt[T any] struct {
	endpoint int
	value    T
	err      error
}

// call runs op on the endpoint that answered last and, as long as nobody
// answers, on the next ones as well. It returns the first answer, be it a
// refusal, and waits until the other attempts, cancelled, have ended. Without
// an answer the error wraps registrar.ErrNoAnswer. ctx limits the whole call.
func call[T any](ctx context.Context, c *cluster, op func(context.Context, *clientv3.Client) (T, error)) (T, error) {
	var none T
	if err := c.connect(); err != nil {
		return none, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()

	results := make(chan attempt[T]) // a result that nobody takes ends with ctx
	round := c.round()
	start := func(n int) {
		e := round[n%len(round)]
		running.Go(func() {
			v, err := run(ctx, c, e, op)
			select {
			case results <- attempt[T]{e, v, err}:
			case <-ctx.Done():
			}
		})
	}
	a, err := collect(ctx, len(round), start, results)
	switch {
	case err == nil:
		c.first = a.endpoint
		return a.value, a.err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		c.first, c.redial = round[1], true
	default:
		c.first = round[1]
	}
	return none, fmt.Errorf("%w: %w", registrar.ErrNoAnswer, err)
}

// joined is all failures in one line, each once.
func joined(failures []error) error {
	var texts []string
	for _, f := range failures {
		if !slices.Contains(texts, f.Error()) {
			texts = append(texts, f.Error())
		}
	}
	return errors.New(strings.Join(texts, "; "))
}

// collect starts attempts and waits for the first answer. It gives up when
// ctx ends or every one of so many endpoints failed, and says why.
func collect[T any](ctx context.Context, endpoints int, start func(n int), results <-chan attempt[T]) (attempt[T], error) {
	var failures []error
	started, pending := 0, 0
	next := func() {
		start(started)
		started++
		pending++
	}
	next()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return attempt[T]{}, joined(append(failures, errors.New("no answer in time")))
		case <-timer.C:
			next()
			timer.Reset(patience << max(0, started-endpoints))
		case a := <-results:
			if isAnswer(a.err) {
				return a, nil
			}
			failures = append(failures, a.err)
			pending--
			if started < endpoints {
				next()
			} else if pending == 0 {
				return attempt[T]{}, joined(failures)
			}
		}
	}
}

// run makes one attempt, logging in when etcd wants that. A failure names the
// endpoint.
func run[T any](ctx context.Context, c *cluster, endpoint int, op func(context.Context, *clientv3.Client) (T, error)) (T, error) {
	m := c.members[endpoint]
	v, err := loggedIn(ctx, c.login, m.client, op)
	if isAnswer(err) {
		return v, rpctypes.Error(err)
	}
	return v, errFailed{fmt.Errorf("%s: %s", m.url, status.Convert(err).Message())}
}

// errFailed marks an attempt without an answer.
type errFailed struct{ error }

// isAnswer reports whether err, which may be nil, is what etcd answered, as
// opposed to a member that cannot be reached, hangs, or knows no leader.
func isAnswer(err error) bool {
	if err == nil {
		return true
	}
	if _, ok := errors.AsType[errFailed](err); ok {
		return false
	}
	if _, ok := errors.AsType[errSetup](err); ok {
		return true // no endpoint can do better
	}
	var code codes.Code
	if e, ok := errors.AsType[rpctypes.EtcdError](rpctypes.Error(err)); ok {
		code = e.Code()
	} else {
		code = status.Code(err)
	}
	switch code {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Internal, codes.Unknown:
		return false
	}
	return true
}
