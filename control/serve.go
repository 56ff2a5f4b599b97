package control

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of a connection: a slow or silent client costs one goroutine for as
// long.
const (
	headerTimeout  = 5 * time.Second
	idleTimeout    = time.Minute
	maxHeaderBytes = 16 << 10
)

// Serve has the handler answer on a unix socket until ctx ends, but only those
// peers that the socket is for. The handler bounds the bodies it reads.
func Serve(ctx context.Context, l net.Listener, handler http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler:           admitted(handler),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			cred, err := peer(conn)
			return context.WithValue(ctx, peerKey{}, peerResult{cred, err})
		},
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type peerKey struct{}

type peerResult struct {
	cred *unix.Ucred
	err  error
}

// admitted checks the peer first.
func admitted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if p, ok := q.Context().Value(peerKey{}).(peerResult); !ok || p.err != nil || !admits(p.cred, uint32(os.Geteuid())) {
			fail(w, errorf(http.StatusForbidden, "forbidden", "only root and the user that sidekick runs as may ask"))
			return
		}
		next.ServeHTTP(w, q)
	})
}
