package supervisorctl

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"sidekick/logs"
)

// tailBytes is how much of the past a tail begins with.
const tailBytes = 1024

// programTail is GET /logtail/SPEC/STREAM, for `tail -f` and `fg`.
func (s *Server) programTail(w http.ResponseWriter, q *http.Request) {
	spec, stream, _ := strings.Cut(q.PathValue("path"), "/")
	if stream == "" {
		stream = string(logs.Stdout)
	}
	from, err := s.source(spec, logs.Stream(stream))
	if err != nil || stream != string(logs.Stdout) && stream != string(logs.Stderr) {
		refuse(w, http.StatusNotFound)
		return
	}
	s.follow(w, q, from)
}

// mainTail is GET /mainlogtail, for `maintail -f`.
func (s *Server) mainTail(w http.ResponseWriter, q *http.Request) { s.follow(w, q, ownMessages) }

// follow sends the end of a stream and then what comes, until the client or the
// program is gone or sidekick ends. supervisorctl sends a line end too many behind
// its request, in which net/http would not see the client go; so the connection is
// taken over.
func (s *Server) follow(w http.ResponseWriter, q *http.Request, from source) {
	if q.Method != http.MethodGet {
		refuse(w, http.StatusBadRequest)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		refuse(w, http.StatusInternalServerError)
		return
	}
	_ = conn.SetDeadline(time.Time{})
	gone := make(chan struct{})
	go func() { // ends when the client closes, or with the Close below
		defer close(gone)
		_, _ = io.Copy(io.Discard, buffered)
	}()
	defer func() {
		_ = conn.Close()
		<-gone
	}()
	s.copyTail(chunks{conn}, from, gone)
}

// copyTail writes until there is nothing left to write or nobody to read it.
func (s *Server) copyTail(to chunks, from source, gone <-chan struct{}) {
	lines, skip := lastLines(s.file(from).kept)
	follower := s.Logs.Follow([]string{from.program}, from.stream, lines)
	defer follower.Close()
	if to.begin() != nil {
		return
	}
	for {
		select {
		case line, ok := <-follower.Lines():
			if !ok {
				_ = to.end()
				return
			}
			text := textOf(line)
			text, skip = text[min(skip, len(text)):], 0
			if to.send(more(text, follower.Lines())) != nil {
				return
			}
		case <-s.Supervisor.Done():
			_ = to.end()
			return
		case <-gone:
			return
		}
	}
}

// lastLines says how many lines of data the last tailBytes reach into, and how
// many bytes of the first of these are before them.
func lastLines(data []byte) (lines, skip int) {
	from := max(0, len(data)-tailBytes)
	begin := bytes.LastIndexByte(data[:from], '\n') + 1
	return bytes.Count(data[begin:], []byte("\n")), from - begin
}

func textOf(line logs.Line) []byte {
	if line.Partial {
		return line.Text
	}
	return append(line.Text[:len(line.Text):len(line.Text)], '\n')
}

// more appends the lines that are there already.
func more(text []byte, lines <-chan logs.Line) []byte {
	for len(text) < 32<<10 {
		select {
		case line, ok := <-lines:
			if !ok {
				return text
			}
			text = append(text[:len(text):len(text)], textOf(line)...)
		default:
			return text
		}
	}
	return text
}

// chunks writes an answer of unknown length (RFC 9112, 7.1). Its end is told by
// closing the connection as well: supervisorctl does not know the last chunk.
type chunks struct{ conn net.Conn }

func (c chunks) begin() error {
	return c.write("HTTP/1.1 200 OK\r\nContent-Type: text/plain;charset=utf-8\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
}

func (c chunks) send(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	return c.write(fmt.Sprintf("%x\r\n%s\r\n", len(data), data))
}

func (c chunks) end() error { return c.write("0\r\n\r\n") }

func (c chunks) write(text string) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, err := io.WriteString(c.conn, text)
	return err
}
