package control

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of a connection: a slow or silent client costs one goroutine for as
// long.
const (
	headerTimeout  = 5 * time.Second
	bodyTimeout    = 5 * time.Second
	writeTimeout   = 10 * time.Second // of an answer, or of one piece of it
	idleTimeout    = time.Minute
	maxHeaderBytes = 16 << 10
	maxBody        = 64 << 10
)

// Serve has the handler answer on a unix socket until ctx ends, but only those
// peers that the socket is for: root, our own user, and the members of group,
// unless that is nil. The handler bounds the bodies it reads.
func Serve(ctx context.Context, l net.Listener, handler http.Handler, group *uint32, log *slog.Logger) error {
	return serve(ctx, l, handler, func(conn net.Conn) access { return accessOf(conn, group) }, log)
}

// serve is Serve with another rule of who may do what.
func serve(ctx context.Context, l net.Listener, handler http.Handler, rule func(net.Conn) access, log *slog.Logger) error {
	server := &http.Server{
		Handler:           admitted(handler),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		// The context of all requests: streams end with it.
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, accessKey{}, rule(conn))
		},
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// timedBody has a deadline until it is read to its end. net/http waits for the
// rest of a body that nobody reads; so this one is for all.
type timedBody struct {
	io.ReadCloser
	conn *http.ResponseController
}

func (b timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

// admitted keeps strangers out, and bounds the time of a body.
func admitted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.ContentLength != 0 {
			conn := http.NewResponseController(w)
			_ = conn.SetReadDeadline(time.Now().Add(bodyTimeout)) // a test's writer has none
			q.Body = timedBody{q.Body, conn}
		}
		if may(q) == nothing {
			fail(w, errorf(http.StatusForbidden, "forbidden",
				"only root, the user that sidekick runs as and the members of control.group may ask"))
			return
		}
		next.ServeHTTP(w, q)
	})
}
