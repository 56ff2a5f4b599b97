package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// metricsAddress is nobody's but this test's.
const metricsAddress = "127.9.180.1:9180"

const measured = `
shutdown_timeout: 8s
control: {metrics: "` + metricsAddress + `"}
programs:
  crashes:
    # It leaves an orphan behind and computes in a child that it waits for.
    command: [sh, -c, "(sleep 0 &); echo hello; (i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done); exit 7"]
    restart: on-failure:2
    essential: false
    backoff: {initial: 1ms, max: 2ms}
  web: {command: sleep 1000, min_uptime: 0s, healthcheck: {exec: "true", start_interval: 10ms}}
`

// metricsOver asks over the connections that dial makes.
func metricsOver(t *testing.T, dial func(context.Context) (net.Conn, error)) func() string {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }, DisableKeepAlives: true}
	return func() string {
		t.Helper()
		response, err := (&http.Client{Transport: transport, Timeout: patience}).Get("http://sidekick/metrics")
		if err != nil {
			return ""
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatal(response.Status, err)
		}
		return string(body)
	}
}

// series is the value of one, -1 if it is not there.
func series(text, name string) float64 {
	m := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(name) + " (.*)$").FindStringSubmatch(text)
	if m == nil {
		return -1
	}
	value, _ := strconv.ParseFloat(m[1], 64)
	return value
}

// The socket and the TCP port tell what happened. Where the port is taken, all
// but the port works.
func TestMetrics(t *testing.T) {
	t.Parallel()
	var dialer net.Dialer
	first := runPlain(t, measured)
	overTCP := metricsOver(t, func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", metricsAddress) })
	first.logs("serving metrics")
	second := runPlain(t, measured)
	second.logs("cannot serve metrics")
	overSocket := metricsOver(t, func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "unix", second.socket) })
	for where, read := range map[string]func() string{"TCP": overTCP, "the socket": overSocket} {
		for name, want := range map[string]float64{
			`sidekick_program_state{program="crashes",state="FATAL"}`:            1,
			`sidekick_program_restarts_total{program="crashes"}`:                 2,
			`sidekick_program_exits_total{program="crashes",code="7",signal=""}`: 3,
			`sidekick_program_state{program="web",state="RUNNING"}`:              1,
			`sidekick_program_health{program="web",status="healthy"}`:            1,
			`sidekick_program_log_lines_total{program="crashes"}`:                3,
			`sidekick_program_log_bytes_total{program="crashes"}`:                18,
			`sidekick_program_log_dropped_lines_total{program="web"}`:            0,
			`sidekick_orphans_reaped_total`:                                      3,
		} {
			eventually(t, where+" says "+name+" "+strconv.Itoa(int(want)), func() bool { return series(read(), name) == want })
		}
		text := read()
		for _, name := range []string{`sidekick_program_cpu_seconds_total{program="crashes"}`, `sidekick_program_resident_memory_bytes{program="web"}`,
			`sidekick_program_probe_duration_seconds_count{program="web"}`, `process_resident_memory_bytes`} {
			if series(text, name) <= 0 {
				t.Errorf("%s: %s is %v", where, name, series(text, name))
			}
		}
		if started := series(text, "process_start_time_seconds"); time.Since(time.Unix(int64(started), 0)).Abs() > time.Hour {
			t.Errorf("%s: started at %v", where, started)
		}
	}
	first.stops()
	second.stops()
}
