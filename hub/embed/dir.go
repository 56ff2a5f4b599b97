package embed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The causes of a failed Start, for errors.Is.
var (
	// ErrAddressInUse: somebody else listens on a client URL.
	ErrAddressInUse = errors.New("address already in use")
	// ErrDir: the data directory cannot be made or written.
	ErrDir = errors.New("data directory is not usable")
	// ErrDirInUse: another etcd has the data directory open.
	ErrDirInUse = errors.New("another etcd is using it")
	// ErrDirContent: etcd refused what is in the data directory, such as
	// data of a newer version, or damaged data.
	ErrDirContent = errors.New("etcd does not accept the data directory")
	// ErrNotReady: the server started and did not come to answer in time.
	ErrNotReady = errors.New("it did not become ready")
)

// prepareDir makes the data directory and finds out early what etcd would
// only say by waiting or panicking. With "" it makes a temporary one.
func prepareDir(dir string) (abs string, temporary bool, err error) {
	if dir == "" {
		abs, err = os.MkdirTemp("", "sidekick-hub-")
		if err != nil {
			return "", false, fmt.Errorf("cannot make a temporary data directory: %w: %w", ErrDir, err)
		}
		return abs, true, nil
	}
	if abs, err = filepath.Abs(dir); err != nil {
		return "", false, fmt.Errorf("cannot use the data directory %s: %w: %w", dir, ErrDir, err)
	}
	if err := checkWritable(abs); err != nil {
		return "", false, fmt.Errorf("cannot use the data directory %s: %w: %w", abs, ErrDir, err)
	}
	if err := checkUnlocked(filepath.Join(abs, "member", "snap", "db")); err != nil {
		return "", false, fmt.Errorf("cannot use the data directory %s: %w", abs, err)
	}
	return abs, false, nil
}

// checkWritable makes dir if need be and writes a file into it.
func checkWritable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".writable-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// checkUnlocked asks whether a database file is open in another etcd. bbolt
// holds a flock(2) on it while it is open and waits for it without end, so
// two servers on one directory would look like one that hangs.
func checkUnlocked(db string) error {
	f, err := os.OpenFile(db, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDir, err)
	}
	defer f.Close() // gives the lock back as well
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrDirInUse
	}
	return err
}
