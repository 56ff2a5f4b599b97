package control

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// maxScrapers bounds the connections to the TCP address: nobody there is
// recognised, and each costs a descriptor that a program's start may need.
const maxScrapers = 16

// metricsRetry is how often a port is tried again that somebody else has.
const metricsRetry = 10 * time.Second

// ServeTCP answers GET /metrics, and nothing else, at a TCP address until ctx
// ends. A port that is in use is a warning, and tried again: under host
// networking a predecessor may still have it.
func (m *Metrics) ServeTCP(ctx context.Context, address string, log *slog.Logger) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		log.Warn("cannot serve metrics; it is tried again", "address", address, "error", err)
	}
	for ; err != nil; l, err = net.Listen("tcp", address) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(metricsRetry):
		}
	}
	log.Info("serving metrics", "address", l.Addr().String())
	return m.serveTCP(ctx, l, log)
}

func (m *Metrics) serveTCP(ctx context.Context, l net.Listener, log *slog.Logger) error {
	server := &http.Server{
		Handler:           m.handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout,
		WriteTimeout:      writeTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	server.SetKeepAlivesEnabled(false) // or who has asked once keeps a place
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(netutil.LimitListener(l, maxScrapers)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (m *Metrics) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { m.write(w) })
	return mux
}

// showMetrics answers with the same text on the control socket.
func (s *Server) showMetrics(*http.Request) (any, error) { return writer(s.metrics.write), nil }

func (m *Metrics) write(w http.ResponseWriter) {
	text := m.Text()
	extend(w)
	w.Header().Set("Content-Type", expositionType)
	_, _ = w.Write(text) // the client is gone
}
