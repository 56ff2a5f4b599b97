package config

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCapabilityNumber(t *testing.T) {
	for name, want := range map[string]uint{
		"CAP_CHOWN": unix.CAP_CHOWN, "CAP_NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE, "net_raw": unix.CAP_NET_RAW,
		"CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "cap_sys_resource": unix.CAP_SYS_RESOURCE, "SETFCAP": unix.CAP_SETFCAP,
		"CAP_PERFMON": unix.CAP_PERFMON, "CAP_CHECKPOINT_RESTORE": unix.CAP_LAST_CAP,
	} {
		if got, ok := CapabilityNumber(name); !ok || got != want {
			t.Errorf("%s is %d, %v, want %d", name, got, ok, want)
		}
	}
	if n := len(strings.Fields(capabilities)); n != unix.CAP_LAST_CAP+1 {
		t.Errorf("%d capabilities, Linux has %d", n, unix.CAP_LAST_CAP+1)
	}
	for _, name := range []string{"", "ALL", "CAP_", "CAP_NOTHING", "CAP_CAP_CHOWN"} {
		if _, ok := CapabilityNumber(name); ok {
			t.Errorf("%q is a capability", name)
		}
	}
}

func TestUlimitResource(t *testing.T) {
	seen := map[int]string{}
	for name := range strings.FieldsSeq("as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack") {
		resource, ok := UlimitResource(name)
		if !ok || seen[resource] != "" {
			t.Errorf("%s is %d like %q, %v", name, resource, seen[resource], ok)
		}
		seen[resource] = name
	}
	if got, _ := UlimitResource("nofile"); got != unix.RLIMIT_NOFILE {
		t.Errorf("nofile is %d", got)
	}
	if _, ok := UlimitResource("NOFILE"); ok {
		t.Error("names are lower case, as in Compose")
	}
}
