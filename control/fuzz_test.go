package control

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"sidekick/events"
)

// FuzzAPI sends whatever parses as a request. It gets an answer: a known status,
// JSON or a stream, in bounded time and size, and no panic.
func FuzzAPI(f *testing.F) {
	for _, r := range routes {
		for _, c := range calls(r) {
			f.Add(c.method+" "+c.path+" HTTP/1.1\r\nHost: x\r\n\r\n", c.body[:min(len(c.body), 100)])
		}
	}
	f.Add("POST /v1/drain HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\r\n", `{"program": [{"a": [1]}], "wait": 1e400}`)
	f.Add("GET /v1/events?since=18446744073709551615&follow=false HTTP/1.1\r\nHost: x\r\nLast-Event-ID: x\r\n\r\n", "")
	f.Add("GET * HTTP/1.1\r\nHost: x\r\n\r\n", "")
	f.Add("GET /v1/programs/%2e%2e/../web%00 HTTP/1.1\r\nHost: x\r\n\r\n", "")
	journal := events.NewJournal()
	journal.Append(events.Event{Type: events.State, Program: "web", Reason: "\x1b[2J\u2028"})
	s := newTestServer(newFake(running("web", 1)), &fakeRegistrar{}, journal)
	s.logs = newCollector(f)
	handler := admitted(s.handler())
	f.Fuzz(func(t *testing.T, head, body string) {
		q, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head + body)))
		if err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), accessKey{}, control), 5*time.Millisecond)
		defer cancel()
		w := &answer{header: http.Header{}, status: http.StatusOK}
		handler.ServeHTTP(w, q.WithContext(ctx))
		switch kind, _, _ := strings.Cut(w.header.Get("Content-Type"), ";"); kind {
		case "application/json":
			if !json.Valid([]byte(w.body.String())) {
				t.Errorf("%d: no JSON: %q", w.status, w.body.String())
			}
		case "text/event-stream", "text/plain", "application/x-ndjson":
		case "text/html", "": // a redirect of the multiplexer to the clean path
			if w.status/100 != 3 {
				t.Errorf("%d: %q", w.status, w.body.String())
			}
		default:
			t.Errorf("%d: Content-Type %q", w.status, kind)
		}
		if w.body.Len() > 1<<20 {
			t.Errorf("an answer of %d bytes", w.body.Len())
		}
	})
}
