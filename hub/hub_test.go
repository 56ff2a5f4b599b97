package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	clientv3 "go.etcd.io/etcd/client/v3"

	"sidekick/hub/embed"
)

func TestParseKey(t *testing.T) {
	tests := []struct {
		key, directory, address string
		ok                      bool
	}{
		{"/service/10.1.0.101:49155", "/service", "10.1.0.101:49155", true},
		{"/service/web/10.1.0.101:80", "/service/web", "10.1.0.101:80", true},
		{"/service/[fd00::5]:49156", "/service", "[fd00::5]:49156", true},
		{"/service/host-1.example.com:8000", "/service", "host-1.example.com:8000", true},
		{"/service/my_host:8000", "/service", "my_host:8000", true},
		{"/s/h:65535", "/s", "h:65535", true},
		{key: "/10.1.0.101:80"},
		{key: "//10.1.0.101:80"},
		{key: "service/10.1.0.101:80"},
		{key: "/service/10.1.0.101"},
		{key: "/service/10.1.0.101:"},
		{key: "/service/10.1.0.101:0"},
		{key: "/service/10.1.0.101:080"},
		{key: "/service/10.1.0.101:65536"},
		{key: "/service/10.1.0.256:80"},
		{key: "/service/10.1.0.101:http"},
		{key: "/service/fd00::5:80"},
		{key: "/service/[10.1.0.101]:80"},
		{key: "/service/:80"},
		{key: "/service/host1:web.1:8000"},
		{key: "/service/-h:80"},
		{key: "/service/a..b:80"},
		{key: "/service/a b:80"},
		{key: "/skydns/local/cluster/web/10-1-0-101-49155"},
		{key: "traefik/http/services/web/loadBalancer/servers/10.1.0.101:49155/url"},
		{key: ""},
		{key: "/"},
	}
	for _, tt := range tests {
		directory, address, ok := ParseKey(tt.key)
		if ok != tt.ok || ok && (directory != tt.directory || address != tt.address) {
			t.Errorf("ParseKey(%q) = %q, %q, %v", tt.key, directory, address, ok)
		}
	}
}

func TestEndpoints(t *testing.T) {
	got, err := Endpoints("http://10.1.0.101:2379, https://[fd00::5]:2379/")
	if err != nil || !cmp.Equal(got, []string{"http://10.1.0.101:2379", "https://[fd00::5]:2379"}) {
		t.Errorf("Endpoints = %q, %v", got, err)
	}
	for _, bad := range []string{"", "10.1.0.101:2379", "http://", "http://h", "http://h:0", "http://h:70000", "ftp://h:1", "http://h:1/v3", "http://u:p@h:1", "http://h:1,"} {
		if got, err := Endpoints(bad); err == nil {
			t.Errorf("Endpoints(%q) = %q", bad, got)
		}
	}
}

// startEtcd runs an etcd until the test ends or the returned server is closed.
func startEtcd(t *testing.T, dir, url string) *embed.Server {
	t.Helper()
	s, err := embed.Start(t.Context(), embed.Options{
		Dir: dir, ClientURLs: []string{url}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func dial(t *testing.T, s *embed.Server) *clientv3.Client {
	t.Helper()
	c, err := Dial(s.Endpoints())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func put(t *testing.T, c *clientv3.Client, key, value string, opts ...clientv3.OpOption) {
	t.Helper()
	if _, err := c.Put(t.Context(), key, value, opts...); err != nil {
		t.Fatal(err)
	}
}

func closeServer(t *testing.T, s *embed.Server) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestList(t *testing.T) {
	s := startEtcd(t, "", "http://127.0.0.1:0")
	defer closeServer(t, s)
	c := dial(t, s)
	l, err := c.Grant(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	put(t, c, "/service/10.0.0.10:8000", "running")
	put(t, c, "/service/10.0.0.9:8000", "running", clientv3.WithLease(l.ID))
	put(t, c, "/service/10.0.0.9:900", "running", clientv3.WithLease(l.ID))
	put(t, c, "/other/data", "x")
	put(t, c, "service/10.0.0.1:1", "of another format")
	put(t, c, "/api/[fd00::5]:80", "running")

	got, err := List(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for _, s := range got {
		addresses = append(addresses, s.Directory+" "+s.Address)
	}
	want := []string{"/api [fd00::5]:80", "/service 10.0.0.9:900", "/service 10.0.0.9:8000", "/service 10.0.0.10:8000"}
	if diff := cmp.Diff(want, addresses); diff != "" {
		t.Error(diff)
	}
	leased, forever := got[1], got[3]
	if leased.TTL < 50*time.Second || leased.TTL > 60*time.Second || leased.Granted != 60*time.Second || leased.Lease != int64(l.ID) {
		t.Errorf("with a lease of 60 s: %+v", leased)
	}
	if forever.Lease != 0 || forever.TTL != -1 || forever.CreateRevision >= leased.CreateRevision {
		t.Errorf("without a lease: %+v", forever)
	}
}

func TestListReadsAllPages(t *testing.T) {
	s := startEtcd(t, "", "http://127.0.0.1:0")
	defer closeServer(t, s)
	c := dial(t, s)
	const services = 2*pageSize + 1
	var puts []clientv3.Op
	for i := range services {
		puts = append(puts, clientv3.OpPut(fmt.Sprintf("/service/10.0.%d.%d:80", i/250, i%250), "running"))
	}
	for len(puts) > 0 {
		n := min(100, len(puts)) // etcd takes 128 operations in a transaction
		if _, err := c.Txn(t.Context()).Then(puts[:n]...).Commit(); err != nil {
			t.Fatal(err)
		}
		puts = puts[n:]
	}
	got, err := List(t.Context(), c)
	if err != nil || len(got) != services {
		t.Fatalf("%d services, error %v", len(got), err)
	}
}

func TestListOfNothing(t *testing.T) {
	s := startEtcd(t, "", "http://127.0.0.1:0")
	c := dial(t, s)
	if got, err := List(t.Context(), c); err != nil || len(got) != 0 {
		t.Errorf("empty etcd: %v, %v", got, err)
	}
	closeServer(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := List(ctx, c); err == nil || !strings.Contains(err.Error(), s.Endpoints()[0]) {
		t.Errorf("etcd is away: %v", err)
	}
}

// observed is what a watch told, as text, in its order.
type observed struct {
	t     *testing.T
	lines chan string
}

// watch follows c until the test ends.
func watch(t *testing.T, c *clientv3.Client) *observed {
	t.Helper()
	o := &observed{t: t, lines: make(chan string, 100)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Watch(ctx, c, o.observer()) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch returned %v", err)
		}
	})
	return o
}

func (o *observed) observer() Observer {
	return Observer{
		Listed: func(s []Service) { o.lines <- fmt.Sprint("listed ", len(s)) },
		Changed: func(c Change) {
			o.lines <- fmt.Sprintf("%s %s %s", c.Kind, c.Service.Address, c.Service.Value)
		},
		Trouble: func(err error) {
			if err == nil {
				o.lines <- "well"
			} else {
				o.lines <- "trouble"
			}
		},
	}
}

// expect reads exactly these lines.
func (o *observed) expect(want ...string) {
	o.t.Helper()
	for _, w := range want {
		select {
		case got := <-o.lines:
			if got != w {
				o.t.Fatalf("watch said %q, want %q", got, w)
			}
		case <-time.After(20 * time.Second):
			o.t.Fatalf("watch never said %q", w)
		}
	}
}

func TestWatchFollowsChanges(t *testing.T) {
	s := startEtcd(t, "", "http://127.0.0.1:0")
	defer closeServer(t, s)
	c := dial(t, s)
	put(t, c, "/service/10.0.0.1:1", "running")
	o := watch(t, c)
	o.expect("listed 1")
	put(t, c, "/service/10.0.0.2:2", "running")
	put(t, c, "/service/10.0.0.2:2", "running") // says nothing new
	put(t, c, "/somebody/elses", "data")
	put(t, c, "/service/10.0.0.2:2", "draining")
	for _, key := range []string{"/somebody/elses", "/service/10.0.0.2:2", "/service/10.0.0.1:1"} {
		if _, err := c.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	o.expect("added 10.0.0.2:2 running", "changed 10.0.0.2:2 draining", "removed 10.0.0.2:2 draining", "removed 10.0.0.1:1 running")
}

func TestWatchSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	s := startEtcd(t, dir, "http://127.0.0.1:0")
	c := dial(t, s)
	put(t, c, "/service/10.0.0.1:1", "running")
	o := watch(t, c)
	o.expect("listed 1")
	closeServer(t, s)
	o.expect("trouble")
	s = startEtcd(t, dir, s.Endpoints()[0])
	defer closeServer(t, s)
	put(t, c, "/service/10.0.0.2:2", "running")
	o.expect("well", "added 10.0.0.2:2 running")
	if _, err := c.Delete(t.Context(), "/service/10.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	o.expect("removed 10.0.0.1:1 running")
}

// A fresh server under the old address knows nothing of the revision that the
// watch waits for, so an unaided watch would be silent for ever.
func TestWatchNoticesAnotherEtcdUnderTheAddress(t *testing.T) {
	s := startEtcd(t, "", "http://127.0.0.1:0")
	c := dial(t, s)
	for i := range 50 {
		put(t, c, "/service/10.0.0.1:1", fmt.Sprint(i))
	}
	o := watch(t, c)
	o.expect("listed 1")
	closeServer(t, s)
	s = startEtcd(t, "", s.Endpoints()[0])
	defer closeServer(t, s)
	put(t, c, "/service/10.0.0.3:3", "running")
	o.expect("trouble", "well", "removed 10.0.0.1:1 49", "added 10.0.0.3:3 running")
}

func TestWatchReadsAgainAfterCompaction(t *testing.T) {
	s := startEtcd(t, "", "http://127.0.0.1:0")
	defer closeServer(t, s)
	c := dial(t, s)
	put(t, c, "/service/10.0.0.1:1", "running")
	old, err := read(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	put(t, c, "/service/10.0.0.2:2", "running")
	latest, err := c.Delete(t.Context(), "/service/10.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Compact(t.Context(), latest.Header.Revision); err != nil {
		t.Fatal(err)
	}
	o := &observed{t: t, lines: make(chan string, 10)}
	w := &watcher{client: c, observer: o.observer(), known: old.services}
	if err := w.follow(t.Context(), old); err == nil || !strings.Contains(err.Error(), "compacted") {
		t.Fatalf("following a compacted revision: %v", err)
	}
	now, err := read(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	w.adopt(now, time.Now())
	o.expect("removed 10.0.0.1:1 running", "added 10.0.0.2:2 running")
}

// samples are services with everything that a rendering shows.
func samples() []Service {
	return []Service{
		{Key: "/service/10.0.0.1:8000", Directory: "/service", Address: "10.0.0.1:8000", Value: "running", Lease: 0x7f, TTL: 17 * time.Second, Granted: 20 * time.Second, CreateRevision: 3, ModRevision: 4},
		{Key: "/api/[fd00::5]:80", Directory: "/api", Address: "[fd00::5]:80", Value: "a\nb", TTL: -1, CreateRevision: 5, ModRevision: 5},
		{Key: "/api/h:80", Directory: "/api", Address: "h:80", Value: strings.Repeat("x", 100), Lease: 1, TTL: -1, CreateRevision: 6, ModRevision: 6},
	}
}

func TestWriteTable(t *testing.T) {
	var b bytes.Buffer
	if err := WriteTable(&b, samples()); err != nil {
		t.Fatal(err)
	}
	want := `SERVICE    ADDRESS         VALUE                                                          TTL          SINCE REVISION
/service   10.0.0.1:8000   running                                                        17s of 20s   3
/api       [fd00::5]:80    "a\nb"                                                         no lease     5
/api       h:80            ` + strings.Repeat("x", 59) + `…   ended        6
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	b.Reset()
	if err := WriteTable(&b, nil); err != nil || b.String() != "no services\n" {
		t.Errorf("no services: %q, %v", b.String(), err)
	}
}

func TestWriteJSON(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, samples()[:2]); err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{
		{
			"key": "/service/10.0.0.1:8000", "service": "/service", "address": "10.0.0.1:8000", "value": "running", "lease": "7f",
			"ttl_seconds": 17.0, "granted_ttl_seconds": 20.0, "create_revision": 3.0, "mod_revision": 4.0,
		},
		{
			"key": "/api/[fd00::5]:80", "service": "/api", "address": "[fd00::5]:80", "value": "a\nb",
			"create_revision": 5.0, "mod_revision": 5.0,
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	b.Reset()
	if err := WriteJSON(&b, nil); err != nil || b.String() != "[]\n" {
		t.Errorf("no services: %q, %v", b.String(), err)
	}
}

func TestChangeLines(t *testing.T) {
	at := time.Date(2031, 2, 3, 4, 5, 6, 7_000_000, time.UTC)
	s := samples()[0]
	tests := []struct {
		kind       Kind
		text, json string
	}{
		{Added, "04:05:06.007 + /service/10.0.0.1:8000 running", `"change":"added"`},
		{Changed, "04:05:06.007 ~ /service/10.0.0.1:8000 running", `"change":"changed"`},
		{Removed, "04:05:06.007 - /service/10.0.0.1:8000", `"change":"removed"`},
	}
	for _, tt := range tests {
		c := Change{Kind: tt.kind, Service: s, Time: at}
		if got := ChangeLine(c, Paint{}); got != tt.text {
			t.Errorf("got %q, want %q", got, tt.text)
		}
		if got := ChangeLine(c, Paint{on: true}); !strings.Contains(got, "\x1b[") {
			t.Errorf("no colour in %q", got)
		}
		var b bytes.Buffer
		if err := WriteJSONLine(&b, c); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, tt.json) || !strings.Contains(got, `"time":"2031-02-03T04:05:06.007Z"`) {
			t.Errorf("JSON line %q", got)
		}
	}
}
