package embed

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// advice holds warnings of etcd about choices that were made here on purpose;
// they would greet every user at every start.
var advice = []string{
	"Running http and grpc server on single port. This is not recommended for production.",
	"simple token is not cryptographically signed",
}

// logCore hands etcd's log entries, from warnings up, to a slog.Logger.
type logCore struct {
	zapcore.LevelEnabler
	out    *slog.Logger
	muted  atomic.Bool // set by Close: what breaks then breaks on purpose
	mu     sync.Mutex
	latest string // guarded by mu: the last entry that ended the program
}

func newLogCore(out *slog.Logger) *logCore {
	if out == nil {
		out = slog.New(slog.DiscardHandler)
	}
	return &logCore{LevelEnabler: zapcore.WarnLevel, out: out}
}

// logger is the zap logger for etcd. Fatal entries panic instead of ending
// the process, so that Start can return an error.
func (c *logCore) logger() *zap.Logger {
	return zap.New(c, zap.WithFatalHook(zapcore.WriteThenPanic))
}

// With adds fields to all entries of a child logger.
func (c *logCore) With(fields []zapcore.Field) zapcore.Core {
	return &childCore{logCore: c, fields: fields}
}

// Check decides whether Write is called.
func (c *logCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write passes one entry on.
func (c *logCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	text := describe(e.Message, fields)
	if e.Level > zapcore.ErrorLevel {
		c.mu.Lock()
		c.latest = text
		c.mu.Unlock()
		return nil // Start reports it; later the panic prints it
	}
	if c.muted.Load() || slices.Contains(advice, e.Message) {
		return nil
	}
	level := slog.LevelWarn
	if e.Level >= zapcore.ErrorLevel {
		level = slog.LevelError
	}
	c.out.Log(context.Background(), level, "etcd: "+text)
	return nil
}

// Sync does nothing: slog has no buffer.
func (c *logCore) Sync() error { return nil }

// last is the entry that caused a panic, with its fields, else the panic's
// own text.
func (c *logCore) last(panicked string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.latest == "" {
		return panicked
	}
	return c.latest
}

// childCore is a logCore with fields that every entry carries.
type childCore struct {
	*logCore
	fields []zapcore.Field
}

// With, Check and Write are those of logCore with the child's fields.
func (c *childCore) With(fields []zapcore.Field) zapcore.Core {
	return &childCore{logCore: c.logCore, fields: slices.Concat(c.fields, fields)}
}

func (c *childCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *childCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	return c.logCore.Write(e, slices.Concat(c.fields, fields))
}

// describe is one line of text: the message and its fields in their order.
func describe(message string, fields []zapcore.Field) string {
	var b strings.Builder
	b.WriteString(message)
	for _, f := range fields {
		enc := zapcore.NewMapObjectEncoder()
		f.AddTo(enc)
		if v, ok := enc.Fields[f.Key]; ok {
			fmt.Fprintf(&b, " %s=%v", f.Key, v)
		}
	}
	return b.String()
}
