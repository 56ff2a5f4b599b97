package control

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPeerRules(t *testing.T) {
	me := uint32(os.Geteuid())
	group := uint32(50)
	for _, c := range []struct {
		cred   unix.Ucred
		groups []uint32
		group  *uint32
		admits bool
	}{
		{unix.Ucred{Uid: 0, Pid: 5}, nil, nil, true},
		{unix.Ucred{Uid: me, Pid: 5}, nil, nil, true},
		{unix.Ucred{Uid: me + 1, Pid: 5}, nil, nil, false},
		{unix.Ucred{Uid: me + 1, Pid: 1}, nil, nil, false},
		{unix.Ucred{Uid: me + 1, Gid: group}, []uint32{group}, nil, false},
		{unix.Ucred{Uid: me + 1, Gid: group}, nil, &group, true},
		{unix.Ucred{Uid: me + 1, Gid: 7}, []uint32{8, group}, &group, true},
		{unix.Ucred{Uid: me + 1, Gid: 7}, []uint32{8}, &group, false},
		{unix.Ucred{Uid: me + 1}, nil, &group, false},
	} {
		if got := admits(&c.cred, c.groups, c.group, me); got != c.admits {
			t.Errorf("admits(%+v, %v, %v) = %v", c.cred, c.groups, c.group, got)
		}
	}
	const user = 1000
	for _, c := range []struct {
		cred   unix.Ucred
		uid    uint32
		trusts bool
	}{
		{unix.Ucred{Uid: 0, Pid: 5}, user, true},
		{unix.Ucred{Uid: user, Pid: 5}, user, true},
		{unix.Ucred{Uid: 7, Pid: 1}, user, true},
		{unix.Ucred{Uid: 7, Pid: 5}, user, false},
		{unix.Ucred{Uid: 0, Pid: 0}, user, false},
		{unix.Ucred{Uid: user, Pid: 0}, user, false},
		{unix.Ucred{Uid: 7, Pid: 0}, 0, true},
	} {
		if got := trusts(&c.cred, c.uid); got != c.trusts {
			t.Errorf("trusts(%+v) of uid %d = %v", c.cred, c.uid, got)
		}
	}
}

// The kernel tells the same of a peer that we know, ourselves, as of any other.
func TestPeerGroups(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	other, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cred, got, err := peerGroups(conn)
	if err != nil || cred.Pid != int32(os.Getpid()) || cred.Gid != uint32(os.Getegid()) {
		t.Errorf("%+v, %v", cred, err)
	}
	own, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	want := []uint32{}
	for _, g := range own {
		want = append(want, uint32(g))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("groups %v, want %v", got, want)
	}
}

// Every route for every class of peers: who may not is told so, and nothing
// happens.
func TestEveryRouteForEveryPeer(t *testing.T) {
	collector := newCollector(t)
	for _, r := range routes {
		for class, peer := range map[string]any{"nobody": nil, "stranger": nothing, "reader": read, "controller": control} {
			t.Run(class+" "+r.method+" "+r.pattern, func(t *testing.T) {
				f := newFake(running("web", 1))
				may, _ := peer.(access)
				s := newTestServer(f, &fakeRegistrar{}, nil)
				s.logs = collector
				w := ask(t, s, may, r.method, example(r), "")
				forbidden := w.status == http.StatusForbidden && strings.Contains(w.body.String(), `"forbidden"`)
				if forbidden != (may < r.access) {
					t.Errorf("%d %s", w.status, w.body.String())
				}
				if forbidden && len(f.acted) > 0 {
					t.Errorf("acted: %q", f.acted)
				}
			})
		}
	}
}

// example is a request of the route that succeeds.
func example(r route) string {
	path := strings.ReplaceAll(r.pattern, "{name}", "web")
	switch {
	case strings.HasSuffix(path, "/signal"):
		return path + "?signal=HUP"
	case strings.HasSuffix(path, "/events"):
		return path + "?follow=false"
	case strings.HasSuffix(path, "/reload"):
		return path + "?dry_run=true"
	}
	return path
}

// ask sends one request of a peer who may do so much.
func ask(t *testing.T, s *Server, may access, method, path, body string) *answer {
	t.Helper()
	q, err := http.NewRequestWithContext(context.WithValue(t.Context(), accessKey{}, may), method, path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	w := &answer{header: http.Header{}, status: http.StatusOK}
	admitted(s.handler()).ServeHTTP(w, q)
	return w
}

// answer is a ResponseWriter that keeps what it gets.
type answer struct {
	header http.Header
	status int
	body   strings.Builder
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
func (a *answer) Flush()                      {}

// net/http would answer this request by itself, whoever asks.
func TestStrangersGetNothing(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { // ends with ctx
		served <- serve(ctx, l, newTestServer(newFake(), &fakeRegistrar{}, nil).handler(), func(net.Conn) access { return nothing }, slog.New(slog.DiscardHandler))
	}()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 403 ") {
		t.Errorf("%q, %v", answer, err)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
