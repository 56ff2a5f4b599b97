package logs

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sidekick/config"
)

// logFile is a program's file, which is rotated when it is full. Whatever
// happens to it costs lines, which are counted, and nothing else.
type logFile struct {
	path string
	log  func() *slog.Logger

	mu       sync.Mutex // owns what follows
	program  string
	owner    func() (uid, gid int, ok bool) // of what is created; !ok: ours
	maxSize  int64                          // 0: it is not rotated
	maxFiles int
	file     *os.File // nil: not open
	size     int64    // as of the last look
	midLine  bool     // the last byte written is no newline
	again    bool     // it is to be opened anew
	overdue  bool     // a rotation has failed

	told    bool      // the log says that something is wrong
	down    bool      // nothing can be written
	retry   time.Time // what failed is not tried again before
	dropped int       // lines, since told
}

// retryPace is how long what failed is left alone.
const retryPace = time.Second

// tune makes the file that of another program, or of the same one as it is now.
func (f *logFile) tune(program string, owner func() (uid, gid int, ok bool), l config.Logging) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.program, f.owner = program, owner
	f.maxSize, f.maxFiles = l.MaxSize, l.MaxFiles
}

// write appends lines, each of which is in one file whole.
func (f *logFile) write(lines []byte, _ time.Time) (lost int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down && time.Now().Before(f.retry) || !f.ready() {
		return f.drop(lines)
	}
	for len(lines) > 0 {
		n := f.fitting(lines)
		if n == 0 && f.rotate() {
			continue
		}
		if n == 0 {
			n = len(lines)
		}
		written, err := f.append(lines[:n])
		lines = lines[written:]
		if err != nil {
			f.trouble(err)
			return f.drop(lines)
		}
	}
	if f.told && !f.again && !f.overdue {
		f.well()
	}
	return 0
}

// ready opens the file if that is due, and says whether it can be written. A
// file that has no name any more is opened anew under its own.
func (f *logFile) ready() bool {
	var stat unix.Stat_t
	there := f.file != nil
	if there {
		onFD(f.file, func(fd int) { there = unix.Fstat(fd, &stat) == nil && stat.Nlink > 0 })
		f.size = stat.Size // somebody may have truncated it
	}
	if there && (!f.again || time.Now().Before(f.retry)) {
		return true
	}
	file, size, err := f.open()
	if err != nil {
		f.trouble(err)
		return there
	}
	f.release()
	f.file, f.size, f.midLine, f.again = file, size, false, false
	return true
}

// fitting is how many bytes of whole lines go into the file before it is to be
// rotated. Within a line it is not.
func (f *logFile) fitting(lines []byte) int {
	room := f.maxSize - f.size
	switch {
	case f.maxSize == 0 || int64(len(lines)) <= room:
		return len(lines)
	case f.midLine || f.size == 0 && bytes.IndexByte(lines[:max(0, room)], '\n') < 0:
		if end := bytes.IndexByte(lines, '\n') + 1; end > 0 {
			return end
		}
		return len(lines)
	case room <= 0:
		return 0
	}
	return bytes.LastIndexByte(lines[:room], '\n') + 1
}

// append writes lines. What an error leaves of a line is taken back.
func (f *logFile) append(lines []byte) (written int, err error) {
	n, err := f.file.Write(lines)
	if err != nil && n > 0 {
		whole := bytes.LastIndexByte(lines[:n], '\n') + 1
		if f.file.Truncate(f.size+int64(whole)) == nil {
			n = whole
		}
	}
	f.size += int64(n)
	if n > 0 {
		f.midLine = lines[n-1] != '\n'
	}
	return n, err
}

// drop counts lines that cannot be written.
func (f *logFile) drop(lines []byte) (lost int) {
	f.down = true
	lost = countLines(lines)
	f.dropped += lost
	return lost
}

// trouble says once what is wrong.
func (f *logFile) trouble(err error) {
	f.retry = time.Now().Add(retryPace)
	if !f.told {
		f.told = true
		f.log().Error("cannot write the log file: it is tried again each second", "program", f.program, "reason", explain(err))
	}
}

// explain adds what to do.
func explain(err error) string {
	switch {
	case errors.Is(err, unix.ELOOP):
		return err.Error() + " (a symbolic link is not followed: name its target)"
	case errors.Is(err, unix.ENXIO):
		return err.Error() + " (it is no regular file)"
	}
	return err.Error()
}

func (f *logFile) well() {
	f.log().Info("the log file is written again", "program", f.program, "path", f.path, "dropped", f.dropped)
	f.told, f.down, f.dropped, f.retry = false, false, 0, time.Time{}
}

// reopen is what SIGUSR1 asks for, when somebody has renamed the file.
func (f *logFile) reopen() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retry = time.Time{}
	if f.file != nil {
		f.again = true
		f.ready()
	}
}

func (f *logFile) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.release()
}

// release closes the file. Another write would open it again.
func (f *logFile) release() {
	if f.file != nil {
		_ = f.file.Close() // nothing is buffered
		f.file = nil
	}
}

// fileMode is that of a new log file: logs are nobody else's business.
const fileMode = 0o640

// open opens the file, and creates it with its folder where it is missing. Links
// are not followed and what is no regular file is refused: the folder may belong
// to the program, and we may be root.
func (f *logFile) open() (file *os.File, size int64, err error) {
	const flags = os.O_WRONLY | os.O_APPEND | unix.O_NOFOLLOW | unix.O_NONBLOCK // a FIFO would block
	file, err = os.OpenFile(f.path, flags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return f.create(flags | os.O_CREATE | os.O_EXCL)
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: f.path, Err: unix.ENXIO}
	}
	if err != nil {
		_ = file.Close()
		return nil, 0, err
	}
	return file, info.Size(), nil
}
