package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// web is the page. It keeps nothing itself, so it may be killed at any time.
type web struct {
	store  string // URL
	client *http.Client
}

func newWeb(store string) http.Handler {
	w := &web{store: store, client: &http.Client{Timeout: 2 * time.Second}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", w.page)
	mux.HandleFunc("GET /healthz", w.health)
	return mux
}

// page counts one visitor and tells them their number.
func (w *web) page(rw http.ResponseWriter, r *http.Request) {
	count, err := w.ask(r.Context(), http.MethodPost, "/visits/add")
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprintf(rw, "Hello, you are visitor number %s. Process %d served you.\n", count, os.Getpid())
}

// health is good while the store answers, since the page needs it.
func (w *web) health(rw http.ResponseWriter, r *http.Request) {
	if _, err := w.ask(r.Context(), http.MethodGet, "/visits"); err != nil {
		http.Error(rw, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(rw, "ok")
}

// ask sends one request to the store and returns its answer.
func (w *web) ask(ctx context.Context, method, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.store+path, nil)
	if err != nil {
		return "", fmt.Errorf("cannot ask the store: %w", err)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return "", fmt.Errorf("cannot ask the store: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 100))
	if err != nil || resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("cannot ask the store: it answered %s", resp.Status)
	}
	return string(body), nil
}
