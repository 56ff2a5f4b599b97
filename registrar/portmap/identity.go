package portmap

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// These have large programs, for they count, and are made when they are needed:
// not where nothing is registered.
var (
	// ownFiles matches the folder of a container's own files in the source of
	// a bind mount: Docker's, and podman's. Layers of overlay file systems
	// have names of the same form, in other folders.
	ownFiles = onceRegexp(`/(?:containers|overlay-containers)/([0-9a-f]{64})/`)
	// cgroupID matches a container's cgroup: docker/ID, docker-ID.scope,
	// libpod-ID.scope, cri-containerd-ID.scope.
	cgroupID = onceRegexp(`[/-]([0-9a-f]{64})(?:\.scope)?(?:/|$)`)
	// hostnameID matches a hostname that Docker may have made from an id.
	hostnameID = onceRegexp(`^(?:[0-9a-f]{12}|[0-9a-f]{64})$`)
)

// onceRegexp compiles at the first call.
func onceRegexp(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// candidate is what may be this container's id, or the beginning of it.
type candidate struct {
	id string
	// weak: anybody could have chosen it, so the container that Docker shows
	// for it must prove to be this one.
	weak bool
}

// candidates returns the ids this container may have, the most reliable first.
func (m *Mapper) candidates() []candidate {
	if m.container != "" {
		return []candidate{{id: m.container}}
	}
	var found []candidate
	if id := parseMountinfo(read(filepath.Join(m.proc, "self/mountinfo"))); id != "" {
		found = append(found, candidate{id: id})
	}
	if id := parseCgroup(read(filepath.Join(m.proc, "self/cgroup"))); id != "" {
		found = append(found, candidate{id: id})
	}
	if name := m.hostname(); hostnameID().MatchString(name) {
		found = append(found, candidate{id: name, weak: true})
	}
	return found
}

// read returns the contents of a file, nothing if it cannot be read: then the
// next source is asked.
func read(path string) []byte {
	data, _ := os.ReadFile(path)
	return data
}

// parseMountinfo returns the id in the source of /etc/hostname, or else of
// /etc/hosts or /etc/resolv.conf, which the container engine mounts, or "".
// Under --network container:X it is X's. The format is that of
// proc_pid_mountinfo(5): the 4th field is the source, the 5th the target.
func parseMountinfo(data []byte) string {
	ids := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		if id := ownFiles().FindStringSubmatch(fields[3]); id != nil {
			ids[fields[4]] = id[1]
		}
	}
	for _, target := range []string{"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"} {
		if ids[target] != "" {
			return ids[target]
		}
	}
	return ""
}

// parseCgroup returns the id of the innermost container in /proc/self/cgroup,
// or "". With a private cgroup namespace, the default under cgroup v2, there
// is none. The format is that of cgroups(7): hierarchy:controllers:path.
func parseCgroup(data []byte) string {
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		_, path, _ := strings.Cut(lines.Text(), ":")
		_, path, _ = strings.Cut(path, ":")
		if id := lastID(path); id != "" {
			return id
		}
	}
	return ""
}

// lastID returns the last id in a cgroup's path: a container in a container
// shows both.
func lastID(path string) (id string) {
	for part := range strings.SplitSeq(path, "/") {
		if match := cgroupID().FindStringSubmatch("/" + part); match != nil {
			id = match[1]
		}
	}
	return id
}
