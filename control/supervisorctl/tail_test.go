package supervisorctl

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"strings"
	"testing"
	"time"

	"sidekick/config"
	"sidekick/logs"
)

// tailing is a server with a real collector, and what it takes to follow it.
type tailing struct {
	*world
	*logs.Collector
	stdout  *os.File // of web
	stderr  *os.File
	address string
	over    chan struct{} // one for each request that has been served
}

// Bytes and its like are the collector's.
func (f *tailing) Bytes(program string, stream logs.Stream) ([]byte, uint64) {
	return f.Collector.Bytes(program, stream)
}
func (f *tailing) Clear(program string, stream logs.Stream) { f.Collector.Clear(program, stream) }
func (f *tailing) Follow(programs []string, stream logs.Stream, n int) *logs.Follower {
	return f.Collector.Follow(programs, stream, n)
}

func startTailing(t *testing.T) *tailing {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := &tailing{world: newWorld(running("web")), Collector: logs.NewCollector(null, null), over: make(chan struct{}, 10)}
	f.Configure([]config.Program{*f.programs[0].Config})
	stdout, stderr, err := f.Open("web")
	if err != nil {
		t.Fatal(err)
	}
	f.stdout, f.stderr = stdout, stderr
	s := f.server()
	s.Logs = f
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		s.Handler().ServeHTTP(w, q)
		f.over <- struct{}{}
	}))
	f.address = server.Listener.Addr().String()
	t.Cleanup(func() {
		server.Close()
		stdout.Close()
		stderr.Close()
		f.Collector.Close(context.Background())
		null.Close()
	})
	return f
}

// write has the program write, and waits until that has been read.
func (f *tailing) write(t *testing.T, text string) {
	t.Helper()
	_, before := f.Bytes("web", logs.Stdout)
	if _, err := io.WriteString(f.stdout, text); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // the pace of the poll
		if _, end := f.Bytes("web", logs.Stdout); end == before+uint64(len(text)) {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("%d bytes are read, want %d more than %d", end, len(text), before)
		}
	}
}

// request is what supervisorctl sends, with the line end too many.
const request = "GET /logtail/web/stdout HTTP/1.1\r\nHost: \r\nAccept-Encoding: chunked\r\nAccept: */*\r\nUser-agent: Supervisor HTTP Client\r\n\r\n\r\n"

// follow sends the request, and returns the connection and the body.
func (f *tailing) follow(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", f.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	var head strings.Builder
	for !strings.HasSuffix(head.String(), "\r\n\r\n") {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("%q: %v", head.String(), err)
		}
		head.WriteString(line)
	}
	if want := "HTTP/1.1 200 OK\r\nContent-Type: text/plain;charset=utf-8\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"; head.String() != want {
		t.Errorf("%q", head.String())
	}
	return conn, bufio.NewReader(httputil.NewChunkedReader(in))
}

func expect(t *testing.T, in io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(in, got); err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got[:n], err, want)
	}
}

// The last 1024 bytes, then what comes; the end when sidekick ends.
func TestTail(t *testing.T) {
	f := startTailing(t)
	var text strings.Builder
	for i := range 500 {
		fmt.Fprintf(&text, "line %d\n", i)
	}
	f.write(t, text.String())
	_, in := f.follow(t)
	expect(t, in, text.String()[text.Len()-1024:])
	f.write(t, "more\n")
	expect(t, in, "more\n")
	f.write(t, strings.Repeat("much\n", 20_000))
	expect(t, in, strings.Repeat("much\n", 20_000))
	close(f.done)
	if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
		t.Errorf("at the end: %q, %v", rest, err)
	}
	<-f.over
}

// A client that goes away is noticed, also while nothing is written.
func TestTailEndsWithItsClient(t *testing.T) {
	f := startTailing(t)
	conn, _ := f.follow(t)
	select {
	case <-f.over:
		t.Fatal("over while the client is there")
	default:
	}
	_ = conn.Close()
	select {
	case <-f.over:
	case <-time.After(10 * time.Second):
		t.Error("the tail goes on without a client")
	}
}

// A program that a reload removes ends its tails.
func TestTailEndsWithItsProgram(t *testing.T) {
	f := startTailing(t)
	_, in := f.follow(t)
	_ = f.stdout.Close() // as at its end
	_ = f.stderr.Close()
	f.Configure(nil)
	if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	<-f.over
}
