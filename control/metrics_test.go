package control

import (
	"bytes"
	"context"
	stdflag "flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"

	"sidekick/config"
	"sidekick/health"
	"sidekick/procstat"
	"sidekick/registrar"
	"sidekick/supervisor"
	"sidekick/supervisor/child"
)

var updateMetrics = stdflag.Bool("update-metrics", false, "rewrite testdata/metrics.golden")

func instant(second int) time.Time { return time.Date(2030, 1, 2, 3, 4, second, 5e8, time.UTC) }

// sample has something of everything.
func sample() *gathered {
	checked := config.Policy{Checks: []config.Check{config.TCPCheck(8000)},
		Register: []config.Registration{{Port: config.Port{Number: 8000, Protocol: "tcp"}}, {Port: config.Port{Number: 8000, Protocol: "tcp"}, Key: "two"},
			{Port: config.Port{Number: 53, Protocol: "udp"}}}}
	renewals := &registrar.Renewals{}
	return &gathered{
		version: "1.2.3", goVersion: "go1.26",
		programs: []supervisor.ProgramStatus{
			{Name: "web", State: supervisor.Running, Pid: 7, Started: instant(1), Config: &config.Program{Policy: checked},
				Checks: []supervisor.CheckStatus{{Status: supervisor.Healthy}, {Status: supervisor.Unhealthy}},
				Tally: supervisor.Tally{Restarts: 3, FailedStarts: 1, Exits: map[child.Exit]uint64{{Code: 1}: 2, {}: 1, {Signal: unix.SIGKILL}: 4,
					{Signal: 40}: 1}}},
			{Name: "once", State: supervisor.Exited, Completed: true, Config: &config.Program{}},
			{Name: "db", State: supervisor.Fatal, Config: &config.Program{Policy: checked}},
		},
		stats:         map[int]procstat.Stat{7: {MemoryBytes: 123456789, Threads: 12, FDs: 34}},
		cpu:           map[string]float64{"web": 12.5},
		registered:    map[registeredPort]bool{{"web", "8000/tcp"}: true},
		etcdAnswers:   true,
		registersKeys: true,
		renewals:      renewals,
		probes: map[string]health.Latency{"web": {Buckets: [7]uint64{1, 2, 0, 0, 0, 0, 3}, Count: 7, Failed: 4,
			Sum: 21500 * time.Millisecond}},
		logs:    map[string]LogCounts{"web": {Lines: 10, Bytes: 1 << 31, Dropped: 1}},
		orphans: 5,
		self:    procstat.Stat{MemoryBytes: 9 << 20, Threads: 6, FDs: 15, Started: instant(0)},
		selfCPU: 0.25,
	}
}

func TestMetricsGolden(t *testing.T) {
	const path = "testdata/metrics.golden"
	got := sample().text()
	if *updateMetrics {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// Prometheus' own parser reads it, and `promtool check metrics` has nothing to
// say, which is promlint's word.
func TestMetricsAreWellFormed(t *testing.T) {
	text := sample().text()
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	parsed, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if got := parsed[f.name]; got == nil {
			t.Errorf("%s is not there", f.name)
		} else if kind(strings.ToLower(got.GetType().String())) != f.kind {
			t.Errorf("%s is a %s, want %s", f.name, got.GetType(), f.kind)
		}
	}
	if len(parsed) != len(families) {
		t.Errorf("%d families, want %d", len(parsed), len(families))
	}
}

// What stands in a label comes back as it was.
func TestMetricsEscape(t *testing.T) {
	var e exposition
	const nasty = "a\"b\\c\nd"
	e.begin("x", gauge, "Help with \\ and\na newline.")
	e.add(1, "label", nasty)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	parsed, err := parser.TextToMetricFamilies(&e.Buffer)
	if err != nil {
		t.Fatal(err)
	}
	if got := parsed["x"].GetMetric()[0].GetLabel()[0].GetValue(); got != nasty {
		t.Errorf("label %q, want %q", got, nasty)
	}
	if got := parsed["x"].GetHelp(); got != "Help with \\ and\na newline." {
		t.Errorf("help %q", got)
	}
}

// docs/metrics.md has a row for each metric, and for nothing else, in the order
// of their output, with type and meaning.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented, exported []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)`[^|]*\\| ([a-z]+) \\|").FindAllStringSubmatch(string(page), -1) {
		documented = append(documented, row[1]+" "+row[2])
	}
	for _, f := range families {
		exported = append(exported, f.name+" "+string(f.kind))
	}
	if d := cmp.Diff(exported, documented); d != "" {
		t.Errorf("-exported +documented:\n%s", d)
	}
	for _, name := range regexp.MustCompile(`\b(?:sidekick|process)_[a-z_]+`).FindAllString(string(page), -1) {
		if !slices.ContainsFunc(families, func(f family) bool { return f.name == name }) {
			t.Errorf("the page speaks of %s, which there is not", name)
		}
	}
}

// No label has a pid, a time or an address, so that there are as many series
// after a year as after an hour.
func TestMetricsCardinality(t *testing.T) {
	allowed := []string{"program", "state", "status", "code", "signal", "port", "le", "version", "goversion"}
	for _, label := range regexp.MustCompile(`[{,]([a-z_]+)="`).FindAllSubmatch(sample().text(), -1) {
		if !slices.Contains(allowed, string(label[1])) {
			t.Errorf("the label %s is new: can it have values without bound?", label[1])
		}
	}
}

func newTestMetrics(f *fakeSupervisor, r *fakeRegistrar) *Metrics {
	return NewMetrics(f, r, MetricsSources{Version: "1", Orphans: func() uint64 { return 2 }, Probes: &health.Latencies{}})
}

func TestGather(t *testing.T) {
	web := running("web", 1)
	web.Pid, web.Started, web.Tally.CPU = os.Getpid(), time.Now(), time.Second
	r := &fakeRegistrar{}
	one := registrar.Registration{Program: "web", Port: "8000/tcp"}
	missing := one
	missing.Reason = "not yet"
	r.set(true, one, missing, registrar.Registration{Program: "web", Port: "9000/tcp"})
	g := newTestMetrics(newFake(web), r).gather()
	if g.stats[web.Pid].MemoryBytes == 0 || g.cpu["web"] < 1 || g.self.MemoryBytes == 0 || g.selfCPU <= 0 || g.orphans != 2 {
		t.Errorf("gathered %+v", g)
	}
	if !g.registersKeys || !g.etcdAnswers || g.registered[registeredPort{"web", "8000/tcp"}] || !g.registered[registeredPort{"web", "9000/tcp"}] {
		t.Errorf("of keys: %+v", g)
	}
}

// A counter never goes back, whatever /proc and the supervisor know when; a
// program that was removed and came back is another one.
func TestCPUSecondsOnlyGrow(t *testing.T) {
	m := newTestMetrics(newFake(), &fakeRegistrar{})
	for i, step := range []struct {
		since    int
		finished time.Duration
		pid      int
		live     float64
		want     float64
	}{
		{0, 0, 7, 10, 10},
		{0, 0, 7, 12, 12},
		{0, 0, 7, 0, 12}, // it was reaped, and the loop does not know yet
		{0, 13 * time.Second, 0, 0, 13},
		{0, 13 * time.Second, 8, 1, 14},
		{0, 13 * time.Second, 8, 0.5, 14}, // a process left the tree
		{0, 15 * time.Second, 0, 0, 15},
		{1, 0, 9, 1, 1}, // removed, and there again
	} {
		p := supervisor.ProgramStatus{Name: "web", Pid: step.pid, Tally: supervisor.Tally{Since: instant(step.since), CPU: step.finished}}
		got := m.cpuSeconds(supervisor.NewSnapshot(1, []supervisor.ProgramStatus{p}), map[int]procstat.Stat{step.pid: {CPUSeconds: step.live}})
		if got["web"] != step.want {
			t.Errorf("step %d: %v, want %v", i, got["web"], step.want)
		}
	}
	m.cpuSeconds(supervisor.NewSnapshot(2, nil), nil)
	if len(m.cpu) != 0 {
		t.Error("programs that are gone are remembered")
	}
}

// Whoever asks, and how often: /proc is walked once a second.
func TestMetricsAreGatheredOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newTestMetrics(newFake(), &fakeRegistrar{})
		first := m.Text()
		time.Sleep(gatherEvery - time.Millisecond)
		if again := m.Text(); &again[0] != &first[0] {
			t.Error("gathered again within a second")
		}
		time.Sleep(time.Millisecond)
		if later := m.Text(); &later[0] == &first[0] {
			t.Error("not gathered again after a second")
		}
	})
}

// Scrapes and changes at the same time: the race detector has a look.
func TestMetricsWhileThingsChange(t *testing.T) {
	f := newFake(running("web", 1))
	m := newTestMetrics(f, &fakeRegistrar{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20 {
				m.Text()
				m.mu.Lock()
				m.text = nil
				m.mu.Unlock()
			}
		})
	}
	for launch := range uint64(50) {
		f.show(running("web", launch))
	}
	all.Wait()
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Over TCP there is one route, and nothing to change.
func TestMetricsOverTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	m := newTestMetrics(newFake(running("web", 1)), &fakeRegistrar{})
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := m.serveTCP(ctx, l, slog.New(slog.DiscardHandler)); err != nil {
			t.Error(err)
		}
	})
	defer serving.Wait()
	defer cancel()
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/metrics", 200}, {"HEAD", "/metrics", 200}, {"GET", "/metrics?x=1", 200},
		{"POST", "/metrics", 405}, {"GET", "/", 404}, {"GET", "/v1/programs", 404}, {"POST", "/v1/programs/web/stop", 404},
	} {
		q, err := http.NewRequest(c.method, "http://"+l.Addr().String()+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != c.status {
			t.Errorf("%s %s: %s, %v; want %d", c.method, c.path, response.Status, err, c.status)
		}
		if !response.Close {
			t.Errorf("%s %s keeps its connection, of which there are few", c.method, c.path)
		}
		if c.method == "GET" && c.status == 200 && (!bytes.Contains(body, []byte(`sidekick_program_state{program="web",state="RUNNING"} 1`)) ||
			response.Header.Get("Content-Type") != expositionType) {
			t.Errorf("%s: %s\n%s", c.path, response.Header.Get("Content-Type"), body)
		}
	}
}

// Nobody over TCP is recognised, so they have few connections together.
func TestMetricsConnectionsAreFew(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	counted := &countingListener{Listener: l}
	var serving sync.WaitGroup
	serving.Go(func() {
		_ = newTestMetrics(newFake(), &fakeRegistrar{}).serveTCP(ctx, counted, slog.New(slog.DiscardHandler))
	})
	defer serving.Wait()
	defer cancel()
	for range 2 * maxScrapers {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	for deadline := time.Now().Add(10 * time.Second); counted.most.Load() < maxScrapers && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond) // the pace of the poll
	}
	if most := counted.most.Load(); most > maxScrapers {
		t.Errorf("%d connections at a time, want %d at most", most, maxScrapers)
	}
}

// countingListener knows how many of its connections were open at a time.
type countingListener struct {
	net.Listener
	open, most atomic.Int32
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	n := l.open.Add(1)
	for most := l.most.Load(); n > most && !l.most.CompareAndSwap(most, n); most = l.most.Load() {
	}
	return &countedConn{Conn: conn, closed: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// A port in use is a warning and no end, and its release is noticed.
func TestMetricsPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var log lockedBuffer
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := newTestMetrics(newFake(), &fakeRegistrar{}).ServeTCP(ctx, taken.Addr().String(), slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Error(err)
		}
	})
	for limit := time.Now().Add(30 * time.Second); !strings.Contains(log.String(), "address already in use"); {
		if time.Now().After(limit) {
			t.Fatalf("the log says %q", log.String())
		}
		time.Sleep(time.Millisecond) // the pace of the poll
	}
	cancel()
	serving.Wait()
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("the log says %q", log.String())
	}
}
