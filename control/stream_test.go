package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sidekick/events"
)

var errEnough = errors.New("enough")

// A client that follows gets what is kept and what comes, and one that comes
// back gets what it missed.
func TestEventsFollow(t *testing.T) {
	journal := events.NewJournal()
	c := connect(t, newTestServer(newFake(), &fakeRegistrar{}, journal))
	journal.Append(events.Event{Type: events.State, Program: "0"})
	var seen []events.Event
	err := c.Events(t.Context(), 0, true, func(e events.Event) error {
		seen = append(seen, e)
		if len(seen) == 3 {
			return errEnough
		}
		journal.Append(events.Event{Type: events.Health, Program: fmt.Sprint(len(seen))})
		return nil
	})
	if !errors.Is(err, errEnough) || len(seen) != 3 || seen[2].Program != "2" || seen[2].ID != seen[0].ID+2 {
		t.Fatalf("%v: %+v", err, seen)
	}
	q, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://sidekick/v1/events?follow=false&since=0", nil)
	q.Header.Set("Last-Event-ID", fmt.Sprint(seen[1].ID))
	response, err := c.http.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || strings.Count(string(body), "id: ") != 1 || !strings.Contains(string(body), fmt.Sprintf("id: %d\n", seen[2].ID)) {
		t.Errorf("%v: %s", err, body)
	}
}

// What the journal has no longer is counted.
func TestEventsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		journal := events.NewJournal()
		for range 2000 {
			journal.Append(events.Event{Type: events.State})
		}
		first := uint64(time.Now().UnixMicro()) + 1
		w := ask(t, newTestServer(newFake(), &fakeRegistrar{}, journal), read, http.MethodGet, fmt.Sprintf("/v1/events?follow=false&since=%d", first), "")
		if !strings.HasPrefix(w.body.String(), ": 975 events are lost\n\n") {
			t.Errorf("%.80s", w.body.String())
		}
	})
}

// pipes listens in memory, where time can stand still.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// dial connects. What is written by the other side has to be read.
func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// overPipes serves to peers that may do everything.
func overPipes(t *testing.T, s *Server) *pipes {
	t.Helper()
	l := newPipes()
	ctx, cancel := context.WithCancel(t.Context())
	var ends sync.WaitGroup
	ends.Go(func() { // ends with ctx
		err := serve(ctx, l, s.handler(), func(net.Conn) access { return control }, slog.New(slog.DiscardHandler))
		if err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); ends.Wait() })
	return l
}

// closedAfter is how long it takes the other side to close.
func closedAfter(t *testing.T, conn net.Conn) time.Duration {
	t.Helper()
	begun := time.Now()
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Error(err)
	}
	return time.Since(begun)
}

// A client that says nothing, or not all, is left after its time.
func TestSilentClients(t *testing.T) {
	for name, c := range map[string]struct {
		says  string
		after time.Duration
	}{
		"nothing":         {"", headerTimeout},
		"half a header":   {"GET /v1/programs HTTP/1.1\r\nHost: x\r\n", headerTimeout},
		"half a body":     {"POST /v1/drain HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nwait=", bodyTimeout},
		"half, nowhere":   {"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nwait=", bodyTimeout},
		"half, unwanted":  {"DELETE /v1/drain HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwait=\r\n", bodyTimeout},
		"no next request": {"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n", idleTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := overPipes(t, newTestServer(newFake(), &fakeRegistrar{}, nil)).dial()
				defer conn.Close()
				if _, err := io.WriteString(conn, c.says); err != nil {
					t.Fatal(err)
				}
				// A little more: the server may linger before it closes.
				if got := closedAfter(t, conn); got < c.after || got > c.after+time.Second {
					t.Errorf("closed after %v, want %v", got, c.after)
				}
			})
		})
	}
}

// A body costs the time that the answer takes nothing.
func TestLongAnswerToABody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := newFake(running("web", 1)), &fakeRegistrar{hangs: true}
		conn := overPipes(t, newTestServer(f, r, nil)).dial()
		defer conn.Close()
		body := `{"wait": "20s"}`
		if _, err := fmt.Fprintf(conn, "POST /v1/drain HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		line, err := bufio.NewReader(conn).ReadString('\n')
		if took := time.Since(begun); err != nil || took != 20*time.Second || !strings.Contains(line, "504") {
			t.Errorf("%q after %v, %v", line, took, err)
		}
	})
}

// A follower that does not read any more is dropped, and costs no more than what
// the journal keeps anyway.
func TestFollowerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		journal := events.NewJournal()
		conn := overPipes(t, newTestServer(newFake(), &fakeRegistrar{}, journal)).dial()
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReaderSize(conn, 16).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		for range 5000 {
			journal.Append(events.Event{Type: events.State, Program: "web"})
		}
		time.Sleep(writeTimeout + time.Second) // it has had its time now
		synctest.Wait()
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > writeTimeout+2*time.Second {
			t.Errorf("the connection was open for %v", took)
		}
	})
}

// A quiet stream says now and then that it lives.
func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := overPipes(t, newTestServer(newFake(), &fakeRegistrar{}, nil)).dial()
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		begun, lines := time.Now(), bufio.NewScanner(conn)
		for n := 0; n < 3 && lines.Scan(); {
			if lines.Text() == ":" {
				n++
			}
		}
		if took := time.Since(begun); took != 3*keepAlive {
			t.Errorf("three signs of life in %v", took)
		}
	})
}

// Connections that do nothing are no hindrance for others.
func TestIdleConnections(t *testing.T) {
	c := connect(t, newTestServer(newFake(running("web", 1)), &fakeRegistrar{}, nil))
	for range 1000 {
		conn, err := net.Dial("unix", c.Socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if programs, err := c.Programs(t.Context(), false); err != nil || len(programs) != 1 {
		t.Errorf("%v, %v", programs, err)
	}
}
