package portmap

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"sidekick/config"
)

const (
	ownID    = "3f1c9e5b7d2a4860c1e3f5a7b9d0c2e4f6a8b0d1c3e5f7a9b1d3c5e7f9a0b2c4" // of the written fixtures
	randomID = "54fd1288797bb314099c14e96cbeb3eca50e0514eb2be1f4f33f6912b265d254" // of random.json
	joinedID = "248816c90d9324f7d42684d94f530d3cc5f975a4317e6ba8ce3bf6d7e518e556" // of joined.json
)

func TestParseMountinfo(t *testing.T) {
	for name, want := range map[string]string{
		"random":    randomID,
		"private":   "17ca02406745f7e5061dc0e4438f1d98215d8b8fe7b5d79d07f5569622e446e5",
		"joined":    randomID, // whose network and files it has
		"v2-docker": ownID,
		"v2-podman": ownID,
	} {
		if got := parseMountinfo(fixture(t, name+".mountinfo")); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := parseMountinfo([]byte("1 2 3\n\n7 6 0:1 /etc/hostname /etc/hostname rw - ext4 x rw\n")); got != "" {
		t.Errorf("no container: %q", got)
	}
}

func TestParseCgroup(t *testing.T) {
	for name, want := range map[string]string{
		"random":        randomID,
		"joined":        joinedID,
		"private":       "",
		"v2-host":       ownID,
		"v2-podman":     ownID,
		"v2-containerd": ownID,
		"v2-private":    "",
		"v1-nested":     ownID,
	} {
		if got := parseCgroup(fixture(t, name+".cgroup")); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// procWith makes a /proc of the two fixtures; "" leaves a file out.
func procWith(t *testing.T, mountinfo, cgroup string) string {
	t.Helper()
	proc := t.TempDir()
	if err := os.Mkdir(filepath.Join(proc, "self"), 0o700); err != nil {
		t.Fatal(err)
	}
	for file, name := range map[string]string{"mountinfo": mountinfo, "cgroup": cgroup} {
		if name == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(proc, "self", file), fixture(t, name+"."+file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return proc
}

func TestCandidates(t *testing.T) {
	for name, tc := range map[string]struct {
		container, mountinfo, cgroup, hostname string
		want                                   []candidate
	}{
		"configured":         {"abc", "random", "random", "54fd1288797b", []candidate{{"abc", false}}},
		"everywhere":         {"", "random", "random", "54fd1288797b", []candidate{{randomID, false}, {randomID, false}, {"54fd1288797b", true}}},
		"another's network":  {"", "joined", "joined", "54fd1288797b", []candidate{{randomID, false}, {joinedID, false}, {"54fd1288797b", true}}},
		"private cgroups":    {"", "", "v2-private", "54fd1288797b", []candidate{{"54fd1288797b", true}}},
		"a name is not one":  {"", "", "v2-private", "web-1", nil},
		"nor is a longer id": {"", "", "", "54fd1288797bb", nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := New(config.Docker{Host: "unix:///nowhere", Container: tc.container}, procWith(t, tc.mountinfo, tc.cgroup))
			m.hostname = func() string { return tc.hostname }
			if got := m.candidates(); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

var hexID = regexp.MustCompile(`^[0-9a-f]{64}$`)

func FuzzParseMountinfo(f *testing.F) {
	for _, name := range []string{"random", "joined", "v2-podman"} {
		f.Add(fixture(f, name+".mountinfo"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if id := parseMountinfo(data); id != "" && !hexID.MatchString(id) {
			t.Errorf("id %q", id)
		}
	})
}

func FuzzParseCgroup(f *testing.F) {
	for _, name := range []string{"random", "v2-host", "v2-podman", "v1-nested"} {
		f.Add(fixture(f, name+".cgroup"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if id := parseCgroup(data); id != "" && !hexID.MatchString(id) {
			t.Errorf("id %q", id)
		}
	})
}
