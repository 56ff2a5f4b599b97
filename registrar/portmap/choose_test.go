package portmap

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"sidekick/config"
	"sidekick/registrar"
)

// load reads an answer of a real Docker Engine 20.10.
func load(t testing.TB, name string) container {
	t.Helper()
	c, err := parseContainer(fixture(t, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func port(number uint16, protocol string) config.Port {
	return config.Port{Number: number, Protocol: protocol}
}

var tcp8000 = port(8000, "tcp")

func TestAddress(t *testing.T) {
	const noAddress = "names no address: set registry.advertise.ip (or advertise.ip of the registration) to the host's address"
	for name, tc := range map[string]struct {
		fixture  string
		port     config.Port
		ip       string // advertised
		hostPort uint16 // advertised
		want     string
		err      string
	}{
		"random port":               {fixture: "random", port: tcp8000, ip: "10.1.0.101", want: "10.1.0.101:32768"},
		"random port, IPv6":         {fixture: "hostname", port: tcp8000, ip: "fd00::5", want: "[fd00::5]:32770"},
		"4 in 6":                    {fixture: "hostname", port: tcp8000, ip: "::ffff:10.1.0.101", want: "10.1.0.101:32772"},
		"random port, no ip":        {fixture: "random", port: tcp8000, err: "mapping 0.0.0.0:32768 " + noAddress},
		"advertised port":           {fixture: "specific", port: tcp8000, hostPort: 80, want: "172.17.0.1:80"},
		"the mapping's address":     {fixture: "specific", port: tcp8000, want: "172.17.0.1:18080"},
		"translated address":        {fixture: "specific", port: tcp8000, ip: "203.0.113.7", want: "203.0.113.7:18080"},
		"address of another family": {fixture: "specific", port: tcp8000, ip: "fd00::5", err: "mapping 172.17.0.1:18080 does not serve the advertised address fd00::5: publish the port for its address family, or set another advertise.ip"},
		"loopback only":             {fixture: "loopback", port: tcp8000, err: "mapping 127.0.0.1:32769 can only be reached from the host itself: publish the port without an address (-p PORT) or with one that clients can reach"},
		"loopback, advertised ip":   {fixture: "loopback", port: tcp8000, ip: "10.1.0.101", err: "mapping 127.0.0.1:32769 can only be reached from the host itself: publish the port without an address (-p PORT) or with one that clients can reach"},
		"loopback, advertised":      {fixture: "loopback", port: tcp8000, ip: "127.0.0.1", want: "127.0.0.1:32769"},
		"any, loopback advertised":  {fixture: "random", port: tcp8000, ip: "127.0.0.1", want: "127.0.0.1:32768"},
		"four bindings":             {fixture: "twice", port: tcp8000, ip: "10.1.0.101", want: "10.1.0.101:32770"},
		"four bindings, IPv6":       {fixture: "twice", port: tcp8000, ip: "fd00::5", want: "[fd00::5]:32769"},
		"four bindings, ::1":        {fixture: "twice", port: tcp8000, ip: "::1", want: "[::1]:18001"},
		"four bindings, no ip":      {fixture: "twice", port: tcp8000, err: "mapping 0.0.0.0:32770 " + noAddress},
		"UDP":                       {fixture: "udp", port: port(9000, "udp"), ip: "10.1.0.101", want: "10.1.0.101:32768"},
		"UDP is not TCP":            {fixture: "udp", port: port(9000, "tcp"), ip: "10.1.0.101", err: "the container publishes no port 9000/tcp: start it with -p 9000 (published: 9000/udp)"},
		"exposed only":              {fixture: "unpublished", port: port(9000, "udp"), ip: "10.1.0.101", err: "the container publishes no port 9000/udp: start it with -p 9000/udp (published: none)"},
		"disconnected":              {fixture: "disconnected", port: tcp8000, ip: "10.1.0.101", err: "the container publishes no port 8000/tcp: start it with -p 8000 (published: none)"},
		"own network":               {fixture: "usernet", port: tcp8000, ip: "10.1.0.101", want: "10.1.0.101:32773"},
		"host network":              {fixture: "host", port: tcp8000, ip: "10.1.0.101", want: "10.1.0.101:8000"},
		"host network, port":        {fixture: "host", port: tcp8000, ip: "10.1.0.101", hostPort: 80, want: "10.1.0.101:80"},
		"host network, no ip":       {fixture: "host", port: tcp8000, err: "the container uses the host's network, which " + noAddress},
		"no network":                {fixture: "none", port: tcp8000, ip: "10.1.0.101", err: "the container has no network (--network none): nobody can reach port 8000/tcp"},
	} {
		t.Run(name, func(t *testing.T) {
			advertise := config.Advertise{Port: tc.hostPort}
			if tc.ip != "" {
				advertise.IP = netip.MustParseAddr(tc.ip)
			}
			got, err := mapping{load(t, tc.fixture)}.Address(tc.port, advertise)
			if tc.err != "" {
				if err == nil || err.Error() != tc.err || !errors.Is(err, registrar.ErrNotMapped) {
					t.Fatalf("address %v, error %v\nwant error: %s", got, err, tc.err)
				}
				return
			}
			if err != nil || got.String() != tc.want {
				t.Fatalf("address %v, error %v; want %s", got, err, tc.want)
			}
			if got.Published != (tc.fixture != "host") {
				t.Errorf("published: %v", got.Published)
			}
		})
	}
}

// The answers of this machine hold no such bindings; the rules are the
// contract's.
func TestChoose(t *testing.T) {
	for name, tc := range map[string]struct {
		bindings []binding
		ip       string
		want     string // "": none fits
	}{
		"exact before any":             {[]binding{{"0.0.0.0", "1"}, {"10.0.0.1", "2"}}, "10.0.0.1", "10.0.0.1:2"},
		"any before another":           {[]binding{{"10.0.0.2", "1"}, {"0.0.0.0", "2"}}, "10.0.0.1", "0.0.0.0:2"},
		"IPv4 first":                   {[]binding{{"fd00::1", "1"}, {"10.0.0.1", "2"}}, "", "10.0.0.1:2"},
		"IPv6 if it is the only":       {[]binding{{"::1", "1"}, {"fd00::1", "2"}}, "", "[fd00::1]:2"},
		"lowest of equals":             {[]binding{{"0.0.0.0", "9"}, {"0.0.0.0", "3"}, {"0.0.0.0", "5"}}, "10.0.0.1", "0.0.0.0:3"},
		"podman's empty HostIp":        {[]binding{{"", "7"}}, "10.0.0.1", "0.0.0.0:7"},
		"without a port":               {[]binding{{"0.0.0.0", ""}, {"0.0.0.0", "0"}, {"x", "3"}, {"0.0.0.0", "70000"}}, "10.0.0.1", ""},
		"loopback beside another":      {[]binding{{"127.0.0.1", "1"}}, "10.0.0.1", ""},
		"public binding, own loopback": {[]binding{{"10.0.0.1", "1"}}, "127.0.0.1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var ip netip.Addr
			if tc.ip != "" {
				ip = netip.MustParseAddr(tc.ip)
			}
			list := usable(tc.bindings)
			if len(list) == 0 {
				if tc.want != "" {
					t.Fatal("no usable binding")
				}
				return
			}
			got, err := choose(list, ip)
			if (err != nil) != (tc.want == "") || err == nil && got.String() != tc.want {
				t.Errorf("got %v, error %v; want %q", got, err, tc.want)
			}
		})
	}
}

// Whatever Docker says, an address is one that can be dialled.
func FuzzAddress(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no fixtures", err)
	}
	for _, file := range files {
		f.Add(fixture(f, filepath.Base(file)), "10.1.0.101")
	}
	f.Add([]byte(`{"NetworkSettings":{"Ports":{"8000/tcp":[{"HostIp":"fe80::1%eth0","HostPort":"1"}]}}}`), "")
	f.Fuzz(func(t *testing.T, data []byte, ip string) {
		c, err := parseContainer(data)
		if err != nil {
			return
		}
		advertised, _ := netip.ParseAddr(ip)
		a, err := mapping{c}.Address(tcp8000, config.Advertise{IP: advertised})
		if err != nil {
			if !errors.Is(err, registrar.ErrNotMapped) {
				t.Errorf("error %v is not definite", err)
			}
			return
		}
		if !a.IsValid() || a.Port() == 0 {
			t.Errorf("address %v", a)
		}
		if !advertised.IsValid() && (a.Addr().IsUnspecified() || a.Addr().IsLoopback()) {
			t.Errorf("address %v, and nobody said so", a)
		}
	})
}
