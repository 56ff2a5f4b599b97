package examples_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"sidekick/hub"
	"sidekick/hub/embed"
)

const dockerSocket = "/var/run/docker.sock"

// TestDockerfileExample builds Dockerfile.example as it stands, runs the image
// as its first lines say, and finds the application at the address in the key.
func TestDockerfileExample(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("missing: time, with -short: the image compiles sidekick from scratch")
	}
	if err := exec.Command("docker", "version").Run(); err != nil {
		missing(t, fmt.Sprint("a Docker Engine: docker version: ", err))
	}
	if _, err := os.Stat(dockerSocket); err != nil {
		missing(t, fmt.Sprint("the socket of the Docker Engine: ", err))
	}
	image := buildExample(t, goImage(t))
	ip := bridgeIP(t)
	etcd, client := bridgeEtcd(t, ip)

	container := strings.TrimSpace(docker(t, "run", "--detach", "-p", "8000", "-v", dockerSocket+":"+dockerSocket,
		"-e", "ETCD="+etcd, "-e", "IP="+ip, image))
	t.Cleanup(func() { docker(t, "rm", "--force", "--volumes", container) })

	key := awaitKey(t, client, container)
	if want := "/service/" + net.JoinHostPort(ip, hostPort(t, container)); key != want {
		t.Errorf("the key is %s, want %s", key, want)
	}
	if page := get(t, "http://"+strings.TrimPrefix(key, "/service/")+"/"); !strings.Contains(page, "visitor number 1") {
		t.Errorf("the address in the key says %q", page)
	}
	if status := docker(t, "exec", container, "sidekick", "status"); !strings.Contains(status, "RUNNING") {
		t.Errorf("sidekick status says:\n%s", status)
	}
	stopsWell(t, client, container)
}

// stopsWell stops the container and looks for what is left.
func stopsWell(t *testing.T, client *clientv3.Client, container string) {
	t.Helper()
	docker(t, "stop", container)
	if code := strings.TrimSpace(docker(t, "inspect", "--format", "{{.State.ExitCode}}", container)); code != "0" {
		t.Errorf("exit code %s after docker stop; log:\n%s", code, docker(t, "logs", container))
	}
	left, err := hub.List(t.Context(), client)
	if err != nil || len(left) != 0 {
		t.Errorf("after docker stop etcd has %v, error %v", left, err)
	}
}

// docker runs one docker command and returns its output.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// buildExample builds the image, and removes all that the build left when the
// test ends.
func buildExample(t *testing.T, goImage string) string {
	t.Helper()
	source := exampleSource(t)
	tag := fmt.Sprintf("sidekick-test/example:%d", os.Getpid())
	// The first stage gets a name too, so that its layers can be removed.
	for _, args := range [][]string{{"--target", "build", "--tag", tag + "-build"}, {"--tag", tag}} {
		args = append([]string{"build", "--file", filepath.Join(source, "Dockerfile.example"), "--build-arg", "GO_IMAGE=" + goImage}, args...)
		build := exec.Command("docker", append(args, source)...)
		build.Env = append(os.Environ(), "DOCKER_BUILDKIT=0") // needs nothing but the engine
		t.Cleanup(func() { _ = exec.Command("docker", "image", "rm", args[len(args)-1]).Run() })
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("docker build: %v\n%s", err, out)
		}
	}
	return tag
}

// exampleSource is a copy of the tree with its modules in vendor/, since the
// build has no network. Nothing else is different from a fresh clone.
func exampleSource(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	files, err := exec.Command("git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard", "-z").Output()
	if err != nil {
		missing(t, fmt.Sprint("a git work tree: git ls-files: ", err))
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(files), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // removed, and not yet committed
		}
		target := filepath.Join(dir, name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(target), 0o755)
		}
		if err == nil {
			err = os.WriteFile(target, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	vendor := exec.Command("go", "mod", "vendor", "-o", filepath.Join(dir, "vendor"))
	vendor.Dir = root
	if out, err := vendor.CombinedOutput(); err != nil {
		t.Fatalf("go mod vendor: %v\n%s", err, out)
	}
	return dir
}

// bridgeIP is this machine's address on Docker's default bridge: containers
// reach the machine there.
func bridgeIP(t *testing.T) string {
	t.Helper()
	subnet, err := netip.ParsePrefix(strings.TrimSpace(docker(t, "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}")))
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && subnet.Contains(p.Addr()) {
			return p.Addr().String()
		}
	}
	missing(t, "an address of this machine in Docker's bridge network "+subnet.String())
	return ""
}

// bridgeEtcd runs an etcd that containers reach.
func bridgeEtcd(t *testing.T, ip string) (url string, client *clientv3.Client) {
	t.Helper()
	server, err := embed.Start(t.Context(), embed.Options{
		ClientURLs: []string{"http://" + net.JoinHostPort(ip, "0")},
		Log:        slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	if client, err = hub.Dial(server.Endpoints()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return server.Endpoints()[0], client
}

// awaitKey waits for the one key that the container writes.
func awaitKey(t *testing.T, client *clientv3.Client, container string) string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		services, err := hub.List(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		if len(services) == 1 && services[0].Value == "running" {
			return services[0].Key
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
	t.Fatalf("no key appeared; log of the container:\n%s", docker(t, "logs", container))
	return ""
}

// hostPort is the port that Docker gave the container's port 8000.
func hostPort(t *testing.T, container string) string {
	t.Helper()
	var bindings []struct{ HostIp, HostPort string }
	text := docker(t, "inspect", "--format", `{{json (index .NetworkSettings.Ports "8000/tcp")}}`, container)
	if err := json.Unmarshal([]byte(text), &bindings); err != nil {
		t.Fatalf("bindings %q: %v", text, err)
	}
	for _, b := range bindings {
		if b.HostIp == "0.0.0.0" {
			return b.HostPort
		}
	}
	t.Fatalf("no binding for IPv4 in %s", text)
	return ""
}

// get fetches a page.
func get(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, error %v", url, resp.Status, err)
	}
	return string(body)
}
