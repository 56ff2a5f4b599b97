package config

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
)

// LogTarget says where a program's output goes.
type LogTarget string

// The values of `logging.to`.
const (
	LogStdout  LogTarget = "stdout"  // the container's own stdout and stderr
	LogFile    LogTarget = "file"    // Logging.Path
	LogNone    LogTarget = "none"    // to the lines kept in memory only
	LogInherit LogTarget = "inherit" // the program has sidekick's own descriptors
)

// LogFormat says what a line looks like where it goes.
type LogFormat string

// The values of `logging.format`.
const (
	LogRaw  LogFormat = "raw"  // as it is
	LogText LogFormat = "text" // "web | line"
	LogJSON LogFormat = "json" // an object a line
)

// Logging is the value of `logging`.
type Logging struct {
	// To is LogInherit exactly where Launch.Inherit is true.
	To     LogTarget
	Format LogFormat
	// Path is absolute; "" without LogFile, unless the file gives one all the same.
	Path string
	// MaxSize is how large the file grows before it is rotated, in bytes; 0: it
	// is never rotated.
	MaxSize int64
	// MaxFiles is how many rotated files there are: Path.1, the newest, to
	// Path.N.
	MaxFiles int
}

const (
	// maxLogFiles keeps a rotation, which renames them all, short.
	maxLogFiles = 1000
	// minLogSize: smaller files would be nothing but rotations.
	minLogSize = 1000
)

func (p *program) readLogging(v value) {
	l := &p.Policy.Logging
	before := len(v.d.problems)
	p.logging = v.keys(table{
		"to":        set(&l.To, oneOf([]LogTarget{LogStdout, LogFile, LogNone, LogInherit})),
		"format":    set(&l.Format, oneOf([]LogFormat{LogRaw, LogText, LogJSON})),
		"path":      set(&l.Path, logPath),
		"max_size":  set(&l.MaxSize, text(parseLogSize)),
		"max_files": set(&l.MaxFiles, integer(1, maxLogFiles)),
	})
	p.Launch.Inherit = l.To == LogInherit
	if _, given := p.logging["path"]; l.To == LogFile && l.Path == "" && len(v.d.problems) == before {
		if given {
			v = p.logging["path"]
		}
		v.keyProblem("needs a path with to: file")
	}
}

// logPath reads the path of a log file.
func logPath(v value) (string, bool) {
	path, ok := v.absolute()
	switch {
	case !ok || path == "":
		return path, ok
	case strings.HasSuffix(path, "/"):
		v.problem("%s is a directory: name a file", quote(path))
		return "", false
	}
	path = filepath.Clean(path)
	if path == "/dev/stdout" || path == "/dev/stderr" || strings.HasPrefix(path, "/proc/self/fd/") {
		v.problem("%s is the container's own output: write to: stdout", path)
		return "", false
	}
	return path, true
}

func parseLogSize(s string) (int64, error) {
	n, err := ParseSize(s)
	if err == nil && 0 < n && n < minLogSize {
		return 0, fmt.Errorf("%s is too small: at least %d bytes, or 0 for no rotation", quote(s), minLogSize)
	}
	return n, err
}

// ParseSize reads a number of bytes: 10MB, 10MiB, 512k, 1.5GiB or a bare number.
// kB, MB and GB are powers of 1000; KiB, MiB and GiB, and k, m and g as in
// Compose, powers of 1024. Neither case nor a blank before the unit counts. The
// error says that it is none, or above 2^62.
func ParseSize(s string) (int64, error) {
	number := strings.TrimRight(s, "kKmMgGiIbB")
	unit, known := sizeUnits[strings.ToLower(s[len(number):])]
	n, err := strconv.ParseFloat(strings.TrimRight(number, " "), 64)
	switch {
	case err != nil || !known || strings.Trim(number, "0123456789. ") != "":
		return 0, fmt.Errorf("%s is not a size: write a number with a unit, like 10MB or 10MiB", quote(s))
	case n*unit > math.MaxInt64/2:
		return 0, errors.New(quote(s) + " is too large")
	}
	return int64(n * unit), nil
}

var sizeUnits = map[string]float64{
	"": 1, "b": 1,
	"k": 1 << 10, "kb": 1e3, "kib": 1 << 10,
	"m": 1 << 20, "mb": 1e6, "mib": 1 << 20,
	"g": 1 << 30, "gb": 1e9, "gib": 1 << 30,
}

// checkLogFiles finds programs that would write, or rotate, one file.
func (f *file) checkLogFiles() {
	owner := map[string]*program{}
	for _, p := range f.programs {
		l := p.Policy.Logging
		if l.To != LogFile || l.Path == "" {
			continue
		}
		switch first := owner[l.Path]; {
		case first == nil:
			owner[l.Path] = p
		case first.Group == p.Group:
			p.logging["path"].problem("the copies of %s would share a log file: give each its own with ${%s}", p.Group, replicaVariable)
		default:
			p.logging["path"].problem("is the log file of %s already", first.Name)
		}
	}
	for _, p := range f.programs {
		path := p.Policy.Logging.Path
		if first := owner[rotatedFrom(path)]; first != nil && owner[path] == p {
			p.logging["path"].problem("is where the log file of %s is rotated to", first.Name)
		}
	}
}

// rotatedFrom is the path without the number that a rotation puts behind it, ""
// where there is none.
func rotatedFrom(path string) string {
	base := strings.TrimRight(path, "0123456789")
	if base == path || !strings.HasSuffix(base, ".") {
		return ""
	}
	return strings.TrimSuffix(base, ".")
}

// loggingWarning says which keys have no effect, or "".
func loggingWarning(l Logging) string {
	if l.To != LogFile && l.Path != "" {
		return "a path has no effect with to: " + string(l.To) + "; write to: file"
	}
	return ""
}
