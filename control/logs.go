package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"sidekick/logs"
)

// LogLine is one line of a program's output as the API shows it.
type LogLine struct {
	Time    time.Time   `json:"time"` // when sidekick read it
	Program string      `json:"program"`
	Stream  logs.Stream `json:"stream"`
	// Line is without the newline; what is no UTF-8 in it is U+FFFD, and Bytes
	// then has the line as it is, in base64.
	Line  string `json:"line"`
	Bytes []byte `json:"bytes,omitempty"`
	// Partial: the line was too long and goes on in the next one.
	Partial bool `json:"partial,omitempty"`
}

// Text is the line as the program wrote it.
func (l *LogLine) Text() []byte {
	if l.Bytes != nil {
		return l.Bytes
	}
	return []byte(l.Line)
}

func logLine(l logs.Line) LogLine {
	shown := LogLine{Time: l.Time, Program: l.Program, Stream: l.Stream, Line: string(l.Text), Partial: l.Partial}
	if !utf8.Valid(l.Text) {
		shown.Bytes = l.Text
	}
	return shown
}

// showLogs answers with the last ?lines= of a program, or of all copies, one
// object a line, and with ?follow=true with each line as it comes.
func (s *Server) showLogs(q *http.Request) (any, error) {
	return s.logsOf(q, q.PathValue("name"))
}

// showAllLogs is showLogs of each ?program=, of all where none is named, in the
// order in which they were printed.
func (s *Server) showAllLogs(q *http.Request) (any, error) {
	return s.logsOf(q, q.Form["program"]...)
}

func (s *Server) logsOf(q *http.Request, names ...string) (any, error) {
	follow, err := yesNo(q, "follow", false)
	if err != nil {
		return nil, err
	}
	lines, err := linesParameter(q)
	if err != nil {
		return nil, err
	}
	stream := logs.Stream(q.Form.Get("stream"))
	if stream != "" && stream != logs.Stdout && stream != logs.Stderr {
		return nil, badRequest("stream=%q is neither stdout nor stderr", string(stream))
	}
	programs, err := s.printers(names)
	if err != nil {
		return nil, err
	}
	return writer(func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Header().Set("Cache-Control", "no-store")
		if follow {
			s.followLogs(w, q, programs, stream, lines)
			return
		}
		encoder := newLogEncoder(w)
		for _, line := range s.logs.Last(programs, stream, lines) {
			extend(w)
			if encoder.Encode(logLine(line)) != nil {
				return
			}
		}
	}), nil
}

func newLogEncoder(w io.Writer) *json.Encoder {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder
}

// linesParameter is how many lines of the past are wanted; -1: all that are kept.
func linesParameter(q *http.Request) (int, error) {
	text := q.Form.Get("lines")
	if text == "" || text == "all" {
		return -1, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, badRequest("lines=%q is no number of lines", text)
	}
	return n, nil
}

// printers are the programs that the names address, each a program's own or that
// of all its copies. Each must be one whose output passes through here.
func (s *Server) printers(names []string) ([]string, error) {
	snapshot, _ := s.supervisor.Snapshot()
	var programs []string
	for _, st := range snapshot.Programs {
		if len(names) == 0 && !st.Config.Launch.Inherit {
			programs = append(programs, st.Name)
		}
	}
	for _, name := range names {
		known := false
		for _, st := range snapshot.Programs {
			if st.Name != name && st.Config.Group != name {
				continue
			}
			if known = true; st.Config.Launch.Inherit {
				return nil, errorf(http.StatusConflict, "not_kept",
					"the output of %s does not pass through sidekick: it has logging.to: inherit", st.Name)
			}
			programs = append(programs, st.Name)
		}
		if !known {
			return nil, unknown(name)
		}
	}
	return programs, nil
}

// followLogs writes until the client or sidekick goes, the programs are removed,
// or the client is too slow.
func (s *Server) followLogs(w http.ResponseWriter, q *http.Request, programs []string, stream logs.Stream, lines int) {
	follower := s.logs.Follow(programs, stream, lines)
	defer follower.Close()
	control := http.NewResponseController(w)
	encoder := newLogEncoder(w)
	extend(w)
	if control.Flush() != nil { // the header, before any line
		return
	}
	quiet := time.NewTicker(keepAlive)
	defer quiet.Stop()
	for {
		select {
		case line, more := <-follower.Lines():
			if extend(w); !more {
				if follower.Dropped() {
					_ = encoder.Encode(errorBody{errorf(http.StatusServiceUnavailable, "too_slow", "the reader is slower than the programs, and nobody waits for it")})
				}
				return
			}
			if encoder.Encode(logLine(line)) != nil {
				return
			}
			if !follower.More() && control.Flush() != nil {
				return
			}
		case <-quiet.C: // is the client there?
			extend(w)
			if _, err := io.WriteString(w, "\n"); err != nil || control.Flush() != nil {
				return
			}
		case <-s.supervisor.Done():
			return
		case <-q.Context().Done():
			return
		}
	}
}

// LogQuery says which lines are wanted.
type LogQuery struct {
	Programs []string
	Stream   logs.Stream // "": both
	Lines    int         // of the past; -1: all that are kept
	Follow   bool
}

// Logs calls fn with each line, in the order in which they were printed, until
// fn fails, ctx ends, or sidekick does. The error is an *Error with the code
// too_slow when fn is slower than the programs.
func (c *Client) Logs(ctx context.Context, query LogQuery, fn func(LogLine) error) error {
	values := url.Values{"program": query.Programs, "follow": {strconv.FormatBool(query.Follow)}}
	if query.Stream != "" {
		values.Set("stream", string(query.Stream))
	}
	if query.Lines >= 0 {
		values.Set("lines", strconv.Itoa(query.Lines))
	}
	response, err := c.request(ctx, http.MethodGet, "/v1/logs?"+values.Encode(), "")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return decode(response, nil)
	}
	decoder := json.NewDecoder(response.Body)
	for {
		var line struct {
			LogLine
			errorBody
		}
		err := decoder.Decode(&line)
		switch {
		case errors.Is(err, io.EOF) || query.Follow && errors.Is(err, io.ErrUnexpectedEOF):
			return nil // the end, of sidekick perhaps
		case err != nil:
			return fmt.Errorf("cannot read the lines: %w", err)
		case line.Error != nil:
			return line.Error
		}
		if err := fn(line.LogLine); err != nil {
			return err
		}
	}
}
