package registrar

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sidekick/config"
)

func TestDesired(t *testing.T) {
	web := Service{Program: "web", Key: "service", Port: config.Port{Number: 8000, Protocol: "tcp"}}
	admin := Service{Program: "web", Key: "admin", Port: config.Port{Number: 8001, Protocol: "tcp"}}
	dns := Service{Program: "dns", Key: "service", Port: config.Port{Number: 53, Protocol: "udp"}}
	addresses := map[Service]string{web: "10.0.0.1:80", admin: "[fd00::5]:81", dns: "10.0.0.1:80"}
	address := func(s Service) (Address, error) {
		if a, ok := addresses[s]; ok {
			return Address{AddrPort: netip.MustParseAddrPort(a)}, nil
		}
		return Address{}, errors.New("unknown")
	}
	nowhere := Service{Program: "x", Key: "service"}

	for name, tc := range map[string]struct {
		facts []Fact
		want  map[string]Service
	}{
		"nothing":         {nil, map[string]Service{}},
		"down":            {[]Fact{{Service: web}}, map[string]Service{}},
		"up":              {[]Fact{{Service: web, Up: true}}, map[string]Service{"/service/10.0.0.1:80": web}},
		"IPv6":            {[]Fact{{Service: admin, Up: true}}, map[string]Service{"/admin/[fd00::5]:81": admin}},
		"several":         {[]Fact{{Service: web, Up: true}, {Service: admin, Up: true}}, map[string]Service{"/service/10.0.0.1:80": web, "/admin/[fd00::5]:81": admin}},
		"unknown address": {[]Fact{{Service: nowhere, Up: true}, {Service: web, Up: true}}, map[string]Service{"/service/10.0.0.1:80": web}},
		"one key":         {[]Fact{{Service: dns, Up: true}, {Service: web, Up: true}}, map[string]Service{"/service/10.0.0.1:80": dns}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, keysOf(desired(tc.facts, Layout{}, address)), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// keysOf leaves the values out, which TestLayouts looks at.
func keysOf(want map[string]wanted) map[string]Service {
	keys := map[string]Service{}
	for key, w := range want {
		keys[key] = w.service
	}
	return keys
}

func TestFixed(t *testing.T) {
	ip := netip.MustParseAddr("::ffff:10.0.0.1")
	for _, tc := range []struct {
		advertise config.Advertise
		want      string
	}{
		{config.Advertise{}, ""},
		{config.Advertise{IP: ip}, ""},
		{config.Advertise{Port: 80}, ""},
		{config.Advertise{IP: ip, Port: 80}, "10.0.0.1:80"},
	} {
		a, ok := Service{Advertise: tc.advertise}.fixed()
		if ok != (tc.want != "") || ok && a.String() != tc.want {
			t.Errorf("%v: %v, %v", tc.advertise, a, ok)
		}
	}
}
