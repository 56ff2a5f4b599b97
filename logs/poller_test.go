package logs

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A pipe for which nobody waits is not in the set, where each write of the
// program would pay for it; and who asks twice gets an answer, too.
func TestPollerHoldsOnlyWhatIsWaitedFor(t *testing.T) {
	p, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	r, w := rawPipe(t)
	fd := int(r.Fd())
	ready := p.add(fd)
	held := func() bool {
		info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", p.fd())) // proc(5)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(info), "tfd:")
	}
	for range 3 {
		if held() {
			t.Error("the pipe is in the set although nobody waits")
		}
		for range 2 {
			if err := p.watch(fd); err != nil {
				t.Fatal(err)
			}
		}
		if !held() {
			t.Error("the pipe is not in the set")
		}
		if _, err := w.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ready:
		case <-time.After(end):
			t.Fatal("no token")
		}
		if _, err := unix.Read(fd, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
	}
}
