package control

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"sidekick/events"
)

// keepAlive is how often a quiet stream says that it lives, and finds out
// whether its client does.
const keepAlive = 15 * time.Second

// events streams the journal as server-sent events: what is kept of the events
// after ?since= or, for a client that comes back, after the header
// Last-Event-ID; then each as it comes, unless ?follow=false.
func (s *Server) events(q *http.Request) (any, error) {
	follow, err := yesNo(q, "follow", true)
	if err != nil {
		return nil, err
	}
	since, err := sinceParameter(q)
	if err != nil {
		return nil, err
	}
	return writer(func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		s.stream(w, q, since, follow)
	}), nil
}

// sinceParameter: the header is newer than the address that a browser's
// EventSource reconnects to.
func sinceParameter(q *http.Request) (uint64, error) {
	text := q.Header.Get("Last-Event-ID")
	if text == "" {
		text = q.Form.Get("since")
	}
	if text == "" {
		return 0, nil
	}
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, badRequest("since=%q is not the id of an event", text)
	}
	return id, nil
}

// stream writes until the client or sidekick goes. A client that reads slowly
// holds up nothing and loses what the journal no longer has.
func (s *Server) stream(w http.ResponseWriter, q *http.Request, since uint64, follow bool) {
	control := http.NewResponseController(w)
	quiet := time.NewTicker(keepAlive)
	defer quiet.Stop()
	for {
		all, lost, newer := s.journal.Since(since)
		extend(w)
		if lost > 0 {
			fmt.Fprintf(w, ": %d events are lost\n\n", lost)
		}
		for _, e := range all {
			if writeEvent(w, e) != nil {
				return
			}
			since = e.ID
		}
		if control.Flush() != nil || !follow {
			return
		}
		select {
		case <-newer:
		case <-quiet.C:
			fmt.Fprint(w, ":\n\n")
		case <-q.Context().Done():
			return
		}
	}
}

// writeEvent writes one event; JSON has no line breaks of its own.
func writeEvent(w io.Writer, e events.Event) error {
	data, err := json.Marshal(e)
	if err == nil {
		_, err = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", e.ID, e.Type, data)
	}
	return err
}
