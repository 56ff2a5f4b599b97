package main

import (
	"context"
	"log/slog"
	"os"

	"sidekick/logs"
)

// newMessages returns a logger for stderr that no reader can hold up: the
// registrar and the signals must not wait for somebody who has stopped to read.
// finish, the last call, writes what still waits, within closeTimeout.
func newMessages(format string) (log *slog.Logger, finish func()) {
	collector := logs.NewCollector(os.Stdout, os.Stderr)
	log = newLogger(collector.Messages(), format)
	collector.SetLog(log)
	return log, func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		collector.Close(ctx)
	}
}
