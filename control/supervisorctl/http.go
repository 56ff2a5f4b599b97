package supervisorctl

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Bounds of a request and of its answer. control.Serve bounds the time that a
// request takes.
const (
	maxBody     = 256 << 10 // bytes; the largest that people send is a multicall
	maxAnswer   = 16 << 20  // bytes, of a multicall
	sendTimeout = 30 * time.Second
)

// Handler answers over HTTP. A call that waits for a program does so until the
// outcome is there or the client is gone.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/RPC2", s.rpc)
	mux.HandleFunc("/RPC2/", s.rpc)
	mux.HandleFunc("/logtail/{path...}", s.programTail)
	mux.HandleFunc("/mainlogtail", s.mainTail)
	return mux
}

func refuse(w http.ResponseWriter, status int) { http.Error(w, http.StatusText(status), status) }

// rpc answers a call. As Supervisor does it answers what is no call with 400.
func (s *Server) rpc(w http.ResponseWriter, q *http.Request) {
	if q.Method != http.MethodPost {
		refuse(w, http.StatusBadRequest)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		refuse(w, http.StatusRequestEntityTooLarge)
		return
	}
	c, decodeErr := decodeCall(bytes.NewReader(body))
	if err != nil || decodeErr != nil {
		s.Log.Warn("supervisorctl: bad request", "error", errors.Join(err, decodeErr))
		refuse(w, http.StatusBadRequest)
		return
	}
	answer := s.answer(q.Context(), c)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sendTimeout)) // of a test's writer: none
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = w.Write(answer) // the client is gone
}

// answer makes the call and encodes what came of it.
func (s *Server) answer(ctx context.Context, c call) []byte {
	v, err := s.call(ctx, c)
	if err != nil {
		return encodeFault(asFault(err))
	}
	return encodeResult(v)
}

// asFault makes a fault of any error.
func asFault(err error) *fault {
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	return &fault{failed, err.Error()}
}
