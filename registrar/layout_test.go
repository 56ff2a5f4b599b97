package registrar

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekick/config"
)

// The keys and values are what others read: every byte of them counts.
func TestLayouts(t *testing.T) {
	four, six := "10.1.0.101:49155", "[fd00::5]:49156"
	const (
		dns4 = `{"host":"10.1.0.101","port":49155,"priority":10,"weight":100,"ttl":5}`
		dns6 = `{"host":"fd00::5","port":49156,"priority":10,"weight":100,"ttl":5}`
	)
	for _, tc := range []struct {
		format               config.Format
		key, protocol, reach string
		want                 []string
	}{
		{"plain", "service", "tcp", four, []string{"/service/10.1.0.101:49155 running"}},
		{"plain", "service/web", "tcp", six, []string{"/service/web/[fd00::5]:49156 running"}},
		{"json", "service/web", "tcp", four, []string{
			`/service/web/10.1.0.101:49155 {"host":"10.1.0.101","port":49155,"priority":10,"weight":100,"ttl":5,` +
				`"Op":0,"Addr":"10.1.0.101:49155","Metadata":null,"protocol":"tcp","program":"web"}`,
		}},
		{"json", "dns", "udp", six, []string{
			`/dns/[fd00::5]:49156 {"host":"fd00::5","port":49156,"priority":10,"weight":100,"ttl":5,` +
				`"Op":0,"Addr":"[fd00::5]:49156","Metadata":null,"protocol":"udp","program":"web"}`,
		}},
		{"skydns", "web", "tcp", four, []string{
			"/skydns/local/cluster/web/10-1-0-101-49155 " + dns4,
			"/skydns/local/cluster/_tcp/_web/10-1-0-101-49155 " + dns4,
		}},
		{"skydns", "prod/web", "udp", six, []string{
			"/skydns/local/cluster/prod/web/fd00-0000-0000-0000-0000-0000-0000-0005-49156 " + dns6,
			"/skydns/local/cluster/prod/_udp/_web/fd00-0000-0000-0000-0000-0000-0000-0005-49156 " + dns6,
		}},
		{"traefik", "web", "tcp", four, []string{
			"traefik/http/services/web/loadBalancer/servers/10.1.0.101:49155/url http://10.1.0.101:49155",
			"traefik/tcp/services/web/loadBalancer/servers/10.1.0.101:49155/address 10.1.0.101:49155",
		}},
		{"traefik", "prod/dns", "udp", six, []string{
			"traefik/udp/services/prod-dns/loadBalancer/servers/[fd00::5]:49156/address [fd00::5]:49156",
		}},
		{"grpc", "service/web", "tcp", four, []string{`service/web/10.1.0.101:49155 {"Op":0,"Addr":"10.1.0.101:49155","Metadata":null}`}},
		{"grpc", "web", "tcp", six, []string{`web/[fd00::5]:49156 {"Op":0,"Addr":"[fd00::5]:49156","Metadata":null}`}},
	} {
		t.Run(strings.Join([]string{string(tc.format), tc.key, tc.reach}, " "), func(t *testing.T) {
			s := Service{Program: "web", Key: tc.key, Port: config.Port{Number: 8000, Protocol: tc.protocol}}
			layout := Layout{Formats: []config.Format{tc.format}, Domain: "cluster.local"}
			var got []string
			for _, e := range layout.entries(s, Address{AddrPort: netip.MustParseAddrPort(tc.reach)}) {
				got = append(got, e.key+" "+e.value)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A service that did not fit a transaction with its keys would never be put.
func TestBatches(t *testing.T) {
	services := func(sizes ...int) (all []map[string]string) {
		for _, n := range sizes {
			s := map[string]string{}
			for i := range n {
				s[strings.Repeat("k", i+1)] = ""
			}
			all = append(all, s)
		}
		return all
	}
	for name, tc := range map[string]struct {
		sizes []int
		want  []int // services in each batch
	}{
		"none":     {nil, nil},
		"one":      {[]int{1}, []int{1}},
		"fit":      {[]int{50, 49, 1}, []int{3}},
		"too many": {[]int{60, 40, 1, 60, 60}, []int{2, 2, 1}},
		"too big":  {[]int{1, 101, 1}, []int{1, 1, 1}},
	} {
		var got []int
		for some := range batches(services(tc.sizes...)) {
			got = append(got, len(some))
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// allLayouts has every format that goes with the others.
var allLayouts = Layout{
	Formats: []config.Format{config.FormatJSON, config.FormatSkyDNS, config.FormatTraefik, config.FormatGRPC},
	Domain:  "cluster.local",
}

// layoutKeys are the keys of fixedWeb.
func layoutKeys(l Layout) (keys []string) {
	a, _ := fixedWeb.fixed()
	for _, e := range l.entries(fixedWeb, a) {
		keys = append(keys, e.key)
	}
	return keys
}

func TestEveryLayoutFollowsTheFacts(t *testing.T) {
	simulateLayout(t, allLayouts, func(t *testing.T, w *world) {
		keys := layoutKeys(allLayouts)
		sorted := slices.Sorted(slices.Values(keys))
		var puts, deletes []string
		for _, k := range sorted {
			puts, deletes = append(puts, "put "+k), append(deletes, "delete "+k)
		}
		w.update(true, fixedWeb)
		w.wantLog(puts...)
		if n := w.store.puts; n != 1 {
			t.Errorf("%d transactions, want 1", n)
		}
		reg := w.reg.Registrations()[0]
		if reg.Key != keys[0] || !slices.Equal(reg.Keys, keys) || reg.Reason != "" || reg.Since.IsZero() {
			t.Errorf("%+v", reg)
		}
		w.after(2 * verifyEvery)
		w.wantLog(puts...) // unchanged facts write nothing
		w.update(false, fixedWeb)
		w.wantLog(slices.Concat(puts, deletes)...)
	})
}

// One of several keys that goes away, or is changed, comes back alone.
func TestOneLayoutComesBack(t *testing.T) {
	for _, key := range layoutKeys(allLayouts) {
		for name, change := range map[string]func(*fakeStore){
			"deleted": func(s *fakeStore) { delete(s.keys, key) },
			"changed": func(s *fakeStore) { s.keys[key] = Entry{Value: running, Lease: s.lease} },
		} {
			t.Run(key+" "+name, func(t *testing.T) {
				simulateLayout(t, allLayouts, func(t *testing.T, w *world) {
					w.update(true, fixedWeb)
					before := len(w.store.log)
					w.store.do(func() { change(w.store) })
					w.after(verifyEvery)
					w.store.do(func() {
						if got := w.store.log[before:]; !slices.Equal(got, []string{"put " + key}) {
							t.Errorf("writes %q", got)
						}
					})
					w.wantReason("")
				})
			})
		}
	}
}

// The reason names the key that is missing, where it is not the one that is shown.
func TestReasonNamesTheLayout(t *testing.T) {
	simulateLayout(t, allLayouts, func(t *testing.T, w *world) {
		keys := layoutKeys(allLayouts)
		w.update(true, fixedWeb)
		w.store.do(func() { w.store.write(keys[2], 77) })
		w.after(verifyEvery)
		w.wantReason("another registrar (lease 4d) wrote the same key " + keys[2] + ": give each container an address of its own")
		w.store.do(func() { w.store.write(keys[2], 0) })
		w.after(verifyEvery)
		w.wantReason("somebody wrote the key " + keys[2] + " without a lease: delete it, and it is registered again")
		w.store.do(func() { delete(w.store.keys, keys[2]) })
		w.after(verifyEvery)
		w.wantReason("")
	})
}

// Leftovers of an earlier life are deleted in every layout, and nothing else is.
func TestLeftoversOfEveryLayout(t *testing.T) {
	simulateLayout(t, allLayouts, func(t *testing.T, w *world) {
		keys := layoutKeys(allLayouts)
		w.store.do(func() {
			for _, k := range append(keys, "/skydns/local/cluster/service/10-0-0-2-80") {
				w.store.write(k, 77)
			}
		})
		w.update(false, fixedWeb)
		w.reg.Prepare(t.Context(), "web")
		w.store.do(func() {
			if len(w.store.keys) != 1 || len(w.store.log) != len(keys) {
				t.Errorf("left: %v, writes %q", w.store.keys, w.store.log)
			}
		})
	})
}

// A key that etcd refuses costs its own service, not the others.
func TestRefusedKey(t *testing.T) {
	simulateLayout(t, Layout{}, func(t *testing.T, w *world) {
		other := fixedWeb
		other.Program, other.Key = "other", "forbidden"
		w.store.do(func() { w.store.forbid = "/forbidden/" })
		w.update(true, other, fixedWeb)
		w.wantLog("put " + fixedKey)
		w.wantReason("etcd refuses: permission denied")
		if got := w.reg.Registrations()[1].Reason; got != "" {
			t.Errorf("the other service: %q", got)
		}
	})
}
