package logs

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"
	"unicode"
)

// NewHandler returns the handler of sidekick's own messages for people at a
// terminal, a line each: the time of the day, how grave it is, what, and key=value.
func NewHandler(out io.Writer, colour bool) slog.Handler {
	return &handler{out: &lockedWriter{to: out}, colour: colour}
}

// handler is never changed.
type handler struct {
	out    *lockedWriter
	colour bool
	attrs  []byte // those of WithAttrs, as text
	group  string // before the keys that follow, with a dot behind it
}

type lockedWriter struct {
	mu sync.Mutex
	to io.Writer
}

// Enabled: all but debug messages.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle writes a message in one piece.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	b := make([]byte, 0, 200)
	if !r.Time.IsZero() {
		b = append(r.Time.AppendFormat(b, time.TimeOnly), ' ')
	}
	level := r.Level.String()
	if h.colour {
		level = "\x1b[" + colourOf(r.Level) + "m" + level + "\x1b[0m"
	}
	b = append(b, level...)
	for n := len(r.Level.String()); n < len("ERROR"); n++ {
		b = append(b, ' ')
	}
	b = append(append(b, ' '), oneLine(r.Message)...)
	b = append(b, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		b = appendAttr(b, h.group, a)
		return true
	})
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := h.out.to.Write(append(b, '\n'))
	return err
}

func colourOf(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "1;31" // red
	case level >= slog.LevelWarn:
		return "33" // yellow
	}
	return "2" // dim
}

// WithAttrs adds attributes to every message.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	more := *h
	more.attrs = append([]byte(nil), h.attrs...)
	for _, a := range attrs {
		more.attrs = appendAttr(more.attrs, h.group, a)
	}
	return &more
}

// WithGroup puts a name before the keys that follow.
func (h *handler) WithGroup(name string) slog.Handler {
	more := *h
	if name != "" {
		more.group += name + "."
	}
	return &more
}

// appendAttr appends " key=value". Lists and what is no plain word are quoted,
// so that a value never looks like another key.
func appendAttr(b []byte, group string, a slog.Attr) []byte {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range value.Group() {
			b = appendAttr(b, group, inner)
		}
		return b
	}
	if a.Equal(slog.Attr{}) {
		return b
	}
	b = append(append(append(append(b, ' '), group...), a.Key...), '=')
	text := value.String()
	if value.Kind() == slog.KindTime {
		text = value.Time().UTC().Format(time.RFC3339Nano)
	}
	if isWord(text) {
		return append(b, text...)
	}
	return strconv.AppendQuote(b, text)
}

func isWord(text string) bool {
	for _, r := range text {
		if r <= ' ' || r == '"' || r == '=' || !unicode.IsPrint(r) {
			return false
		}
	}
	return text != ""
}

// oneLine keeps a message in its line, and the cursor where it is.
func oneLine(text string) string {
	for _, r := range text {
		if !unicode.IsPrint(r) {
			quoted := strconv.Quote(text)
			return quoted[1 : len(quoted)-1]
		}
	}
	return text
}
