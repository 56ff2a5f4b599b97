package logs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// create makes the file, which must not exist, and its folders.
func (f *logFile) create(flags int) (*os.File, int64, error) {
	if err := f.makeFolder(filepath.Dir(f.path)); err != nil {
		return nil, 0, err
	}
	file, err := os.OpenFile(f.path, flags, fileMode)
	if err != nil {
		return nil, 0, err
	}
	_ = file.Chmod(fileMode) // whatever our umask is
	if uid, gid, ok := f.owner(); ok {
		_ = file.Chown(uid, gid) // who is not root has no other owners
	}
	return file, 0, nil
}

// makeFolder makes the folder of the file, for the program's user, and those
// above it, which stay ours: who owns one of those could put a link to another
// place where the folder was, and we, who may be root, would write there.
func (f *logFile) makeFolder(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	err := os.Mkdir(path, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if uid, gid, ok := f.owner(); err == nil && ok {
		_ = os.Lchown(path, uid, gid)
	}
	return err
}

// rotate renames the files, path to path.1 and so on, and begins a new one. When
// that fails, the present one grows on.
func (f *logFile) rotate() bool {
	if time.Now().Before(f.retry) {
		return false
	}
	err := f.shift()
	var file *os.File
	var size int64
	if err == nil {
		if file, size, err = f.open(); err != nil {
			_ = os.Rename(f.rotated(1), f.path)
		}
	}
	if f.overdue = err != nil; f.overdue {
		f.trouble(err)
		return false
	}
	f.release()
	f.file, f.size, f.midLine = file, size, false
	return true
}

// shift makes room for path.1 and fills it. It begins at the first number that
// is free, so that a rotation that fails half-way and is repeated loses nothing.
func (f *logFile) shift() error {
	last := 1
	for last < f.maxFiles && exists(f.rotated(last)) {
		last++
	}
	for n := last; n > 1; n-- {
		if err := os.Rename(f.rotated(n-1), f.rotated(n)); err != nil {
			return err
		}
	}
	if err := os.Rename(f.path, f.rotated(1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for n := f.maxFiles + 1; os.Remove(f.rotated(n)) == nil; n++ { // max_files was larger once
	}
	return nil
}

func (f *logFile) rotated(n int) string { return f.path + "." + strconv.Itoa(n) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
