package e2e

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Docker asks `sidekick health`: healthy once the check has passed, unhealthy
// when the app hangs, and healthy again when it goes on.
func TestDockerHealthcheck(t *testing.T) {
	w := newEmptyWorld(t)
	c := w.run(`
programs:
  web:
    command: /app -refuse 3
    healthcheck: {http: 8000, interval: 200ms, timeout: 500ms}
`, "--health-interval=500ms", "--health-retries=1")
	says := func(want string) {
		t.Helper()
		eventually(t, "Docker says "+want, func() bool { return c.inspect("{{.State.Health.Status}}") == want })
	}
	says("healthy")
	c.signal(unix.SIGSTOP)
	says("unhealthy")
	c.signal(unix.SIGCONT)
	says("healthy")
}
