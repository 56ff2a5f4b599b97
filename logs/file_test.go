package logs

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"sidekick/config"
)

func TestRawFileIsByteExact(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "er", "web.log")
	out := newCapture(t)
	c := NewCollector(out.File, out.File)
	c.Configure(logging("web", config.Logging{To: config.LogFile, Format: config.LogRaw, Path: path}))
	stdout, stderr := open(t, c, "web")
	const text = "one\n\x00\xff\n\ntwo, unfinished"
	io.WriteString(stdout, text)
	stdout.Close()
	stderr.Close()
	closeIn(t, c, end)
	if got, err := os.ReadFile(path); string(got) != text {
		t.Errorf("%q, %v", got, err)
	}
}
