package main

import (
	"fmt"
	"net/http"
	"sync"
)

// store keeps numbers by name, in memory: the part of an application that has
// to outlive the restarts of the others.
type store struct {
	mu     sync.Mutex
	values map[string]int // guarded by mu
}

func newStore() http.Handler {
	s := &store{values: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{name}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, s.add(r.PathValue("name"), 0))
	})
	mux.HandleFunc("POST /{name}/add", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, s.add(r.PathValue("name"), 1))
	})
	return mux
}

// add adds n to a number and returns it; a number begins at 0.
func (s *store) add(name string, n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[name] += n
	return s.values[name]
}
