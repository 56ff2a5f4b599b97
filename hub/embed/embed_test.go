package embed_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"sidekick/hub/embed"
)

// start runs a server for one test on a free loopback port.
func start(t *testing.T, o embed.Options) *embed.Server {
	t.Helper()
	if len(o.ClientURLs) == 0 {
		o.ClientURLs = []string{"http://127.0.0.1:0"}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := embed.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func client(t *testing.T, s *embed.Server) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: s.Endpoints(), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestServesClientsAndNothingElse(t *testing.T) {
	before := listening(t)
	s := start(t, embed.Options{})
	c := client(t, s)
	if _, err := c.Put(t.Context(), "/service/10.0.0.1:8000", "running"); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(s.Endpoints()[0], "http://")
	for address := range listening(t) {
		if !before[address] && address != host {
			t.Errorf("etcd listens on %s besides %s", address, host)
		}
	}
	status, err := c.Status(t.Context(), s.Endpoints()[0])
	if err != nil || status.Leader == 0 {
		t.Fatalf("status %+v, error %v", status, err)
	}
	members, err := c.MemberList(t.Context())
	if err != nil || members.Members[0].ClientURLs[0] != s.Endpoints()[0] {
		t.Fatalf("members %v, error %v", members, err)
	}
}

func TestJSONGatewayWorksOnAPickedPort(t *testing.T) {
	s := start(t, embed.Options{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Endpoints()[0]+"/v3/kv/range", strings.NewReader(`{"key":"Lw=="}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "revision") {
		t.Fatalf("%s: %s", resp.Status, body)
	}
}

func TestKeepsDataInItsDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by etcd")
	o := embed.Options{Dir: dir, ClientURLs: []string{"http://127.0.0.1:0"}}
	s, err := embed.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Temporary() {
		t.Error("a named directory is not temporary")
	}
	if _, err := client(t, s).Put(t.Context(), "k", "kept"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := client(t, start(t, o)).Get(t.Context(), "k")
	if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "kept" {
		t.Fatalf("after a restart: %v, error %v", got, err)
	}
}

func TestTemporaryDirectoryIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s, err := embed.Start(t.Context(), embed.Options{ClientURLs: []string{"http://127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Dir()); err != nil || !s.Temporary() {
		t.Fatalf("temporary %v, error %v", s.Temporary(), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A watch never ends by itself: a graceful stop would wait 7 s for it.
func TestCloseDoesNotWaitForWatches(t *testing.T) {
	var log strings.Builder
	s, err := embed.Start(t.Context(), embed.Options{
		ClientURLs: []string{"http://127.0.0.1:0"},
		Log:        slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	watch := client(t, s).Watch(t.Context(), "/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	if first := <-watch; !first.Created {
		t.Fatalf("watch was not created: %+v", first)
	}
	began := time.Now()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("Close took %s", took)
	}
	if <-s.Done(); s.Err() != nil {
		t.Errorf("an asked-for end is no error: %v", s.Err())
	}
	if log.Len() != 0 {
		t.Errorf("a quiet life was logged:\n%s", log.String())
	}
}

func TestStartErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	used := start(t, embed.Options{Dir: t.TempDir()})

	tests := []struct {
		name    string
		options embed.Options
		want    error
		text    string
	}{
		{"port taken", embed.Options{ClientURLs: []string{"http://" + taken.Addr().String()}}, embed.ErrAddressInUse, taken.Addr().String()},
		{"directory under a file", embed.Options{Dir: filepath.Join(file, "data")}, embed.ErrDir, "not a directory"},
		{"directory of a running etcd", embed.Options{Dir: used.Dir()}, embed.ErrDirInUse, used.Dir()},
		{"data of a newer etcd", embed.Options{Dir: newerData(t)}, embed.ErrDirContent, "determined-cluster-version=3.99"},
		{"no address of this machine", embed.Options{ClientURLs: []string{"http://192.0.2.1:2379"}}, nil, "not an address of this machine"},
		{"not an address", embed.Options{ClientURLs: []string{"http://example.com:2379"}}, nil, "IP address"},
		{"no port", embed.Options{ClientURLs: []string{"http://127.0.0.1"}}, nil, "port"},
		{"TLS", embed.Options{ClientURLs: []string{"https://127.0.0.1:2379"}}, nil, "only http://"},
		{"a path", embed.Options{ClientURLs: []string{"http://127.0.0.1:2379/v3"}}, nil, "nothing may follow"},
		{"no URL", embed.Options{ClientURLs: []string{"http://127.0.0.1:x"}}, nil, "not a URL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if len(tt.options.ClientURLs) == 0 {
				tt.options.ClientURLs = []string{"http://127.0.0.1:0"}
			}
			s, err := embed.Start(t.Context(), tt.options)
			if err == nil {
				s.Close()
				t.Fatal("it started")
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("error %q is not %q", err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %q does not say %q", err, tt.text)
			}
		})
	}
}

// newerData is a directory whose cluster version no release has reached.
func newerData(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s, err := embed.Start(t.Context(), embed.Options{Dir: dir, ClientURLs: []string{"http://127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	editBucket(t, dir, "cluster", func(b *bolt.Bucket) error {
		return b.Put([]byte("clusterVersion"), []byte("3.99.0"))
	})
	return dir
}

// editBucket changes a bucket of a stopped etcd's database.
func editBucket(t *testing.T, dir, bucket string, edit func(*bolt.Bucket) error) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, "member", "snap", "db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bolt.Tx) error { return edit(tx.Bucket([]byte(bucket))) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStartObeysItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	t.Setenv("TMPDIR", t.TempDir())
	s, err := embed.Start(ctx, embed.Options{ClientURLs: []string{"http://127.0.0.1:0"}})
	if err == nil {
		s.Close()
		t.Fatal("it started")
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// listening is the set of TCP addresses on which this process listens.
func listening(t *testing.T) map[string]bool {
	t.Helper()
	inodes := ownSockets(t)
	found := map[string]bool{}
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // no IPv6 here
		}
		for line := range strings.Lines(string(data)) {
			// proc_pid_net(5): local address, remote, state (0A is LISTEN), …, inode
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && inodes[f[9]] {
				found[decodeAddress(t, f[1])] = true
			}
		}
	}
	return found
}

// ownSockets are the inodes of this process's sockets.
func ownSockets(t *testing.T) map[string]bool {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	inodes := map[string]bool{}
	for _, fd := range fds {
		target, _ := os.Readlink(fd) // it may have been closed meanwhile
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return inodes
}

// decodeAddress reads the kernel's hexadecimal address: little-endian words,
// then the port.
func decodeAddress(t *testing.T, text string) string {
	t.Helper()
	hexIP, hexPort, _ := strings.Cut(text, ":")
	ip := make(net.IP, 0, 16)
	for ; len(hexIP) >= 8; hexIP = hexIP[8:] {
		ip = binary.LittleEndian.AppendUint32(ip, parseHex(t, hexIP[:8]))
	}
	return net.TCPAddrFromAddrPort((&net.TCPAddr{IP: ip, Port: int(parseHex(t, hexPort))}).AddrPort()).String()
}

func parseHex(t *testing.T, text string) uint32 {
	t.Helper()
	n, err := strconv.ParseUint(text, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

// A directory of a larger cluster starts, and waits for members that nobody
// will bring.
func TestDataOfALargerClusterIsNotReady(t *testing.T) {
	o := embed.Options{Dir: t.TempDir(), ClientURLs: []string{"http://127.0.0.1:0"}}
	s, err := embed.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client(t, s).MemberAdd(t.Context(), []string{"http://127.0.0.1:1"})
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	o.ReadyTimeout = 300 * time.Millisecond
	s, err = embed.Start(t.Context(), o)
	if err == nil {
		s.Close()
		t.Fatal("it started")
	}
	if !errors.Is(err, embed.ErrNotReady) || !strings.Contains(err.Error(), o.Dir) {
		t.Errorf("error %v", err)
	}
}
