package main

import (
	"context"
	"log/slog"

	"sidekick/control"
)

// startMetrics serves metrics over TCP where an address is given.
func startMetrics(start func(string, func(context.Context) error), address string, log *slog.Logger,
	s control.Supervisor, r control.Registrar, sources control.MetricsSources) *control.Metrics {
	metrics := control.NewMetrics(s, r, sources)
	if address != "" {
		start("metrics", func(ctx context.Context) error { return metrics.ServeTCP(ctx, address, log) })
	}
	return metrics
}
