package control

import (
	"context"
	"errors"
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
		// Otherwise `OPTIONS *` is answered before anybody is looked at.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
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

// admitted keeps strangers out, and bounds the time of a body: also of one that
// no handler reads, for net/http waits for the rest. It forgets the deadline when
// the body has come.
func admitted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // a test's writer has none
		}
		if may(q) == nothing {
			fail(w, errorf(http.StatusForbidden, "forbidden",
				"only root, the user that sidekick runs as and the members of control.group may ask"))
			return
		}
		if q.RequestURI == "*" { // the multiplexer's answer is no JSON
			fail(w, errorf(http.StatusBadRequest, "bad_request", "* is no path"))
			return
		}
		next.ServeHTTP(w, q)
	})
}
