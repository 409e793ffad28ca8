package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tarn/internal/lake"
)

// Holder is who holds a lake, as its lock file says.
type Holder struct {
	PID int    `json:"pid"`
	URL string `json:"url,omitempty"` // where it serves; empty while it does not
}

// LockFile is a held lock on a local lake: flock(2) on <lake>/lock, for as long
// as the process lives. The kernel gives it back when the process dies, however
// it dies; children do not inherit it. The file itself stays for good.
type LockFile struct {
	mu struct {
		sync.Mutex // held across the few writes to the file, which must not mix
		file       *os.File
		holder     Holder
	}
}

// Whoever looks with ReadHolder takes the lock shared for an instant, and whoever
// has just taken it has not yet written who it is. Both are over in well under a
// millisecond.
const (
	lockTries = 20
	lockPause = 5 * time.Millisecond
)

// Lock takes the lock of the lake in dir, which is made if need be. A lake that
// is held is lake.CodeLocked, naming the holder's pid and URL.
func Lock(dir string, holder Holder) (*LockFile, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, notCreated(dir, "make the folder", err)
	}
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, notCreated(path, "open the lock", err)
	}
	for try := 0; ; try++ {
		err = flock(f, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || try == lockTries {
			break
		}
		time.Sleep(lockPause)
	}
	if err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, heldBy(dir, f)
		}
		return nil, lake.Errorf(lake.CodeUnsupported, "%s: flock: %w", path, err).
			WithHint("put the lake on a local file system")
	}
	l := &LockFile{}
	l.mu.file, l.mu.holder = f, holder
	if err := writeHolder(f, holder); err != nil {
		_ = f.Close()
		return nil, notCreated(path, "write the holder", err)
	}
	return l, nil
}

func heldBy(dir string, f *os.File) error {
	h, ok := readHolder(f)
	switch {
	case !ok:
		return lake.Errorf(lake.CodeLocked, "the lake %s is held by another process", dir).
			WithHint("wait until that process has ended, or stop it")
	case h.URL == "":
		return lake.Errorf(lake.CodeLocked, "the lake %s is held by process %d, which serves no URL", dir, h.PID).
			WithHint("wait until process %d has ended, or stop it", h.PID)
	default:
		return lake.Errorf(lake.CodeLocked, "the lake %s is held by process %d, which serves it at %s", dir, h.PID, h.URL).
			WithHint("talk to that server (--server %s), or stop process %d", h.URL, h.PID)
	}
}

// SetURL writes where the holder serves, for those who come to the lake.
func (l *LockFile) SetURL(url string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.file == nil {
		return lake.Errorf(lake.CodeInternal, "the lock was given back")
	}
	l.mu.holder.URL = url
	if err := writeHolder(l.mu.file, l.mu.holder); err != nil {
		return notCreated(l.mu.file.Name(), "write the holder", err)
	}
	return nil
}

// Close gives the lock back and empties the file. It may be called twice.
func (l *LockFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.file == nil {
		return nil
	}
	err := errors.Join(l.mu.file.Truncate(0), l.mu.file.Close())
	l.mu.file = nil
	if err != nil {
		return lake.Errorf(lake.CodeUnavailable, "give the lake's lock back: %w", err)
	}
	return nil
}

// ReadHolder says who holds the lake in dir, if anybody. held may be true with
// an empty Holder, where the file could not be read as one.
func ReadHolder(dir string) (h Holder, held bool, err error) {
	path := filepath.Join(dir, lockName)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return Holder{}, false, nil
	}
	if err != nil {
		return Holder{}, false, readError(path, "open the lock", err)
	}
	defer f.Close() // gives a shared lock back too
	err = flock(f, unix.LOCK_SH|unix.LOCK_NB)
	switch {
	case err == nil:
		return Holder{}, false, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		h, _ = readHolder(f)
		return h, true, nil
	default:
		return Holder{}, false, readError(path, "flock", err)
	}
}

// readHolder reads the file of another process, which may be writing it.
func readHolder(f *os.File) (Holder, bool) {
	for range lockTries {
		var h Holder
		b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<16))
		if err == nil && json.Unmarshal(b, &h) == nil && h.PID != 0 {
			return h, true
		}
		time.Sleep(lockPause)
	}
	return Holder{}, false
}

func writeHolder(f *os.File, h Holder) error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// flock takes or tries the lock, again where a signal came between.
func flock(f *os.File, how int) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	err = raw.Control(func(fd uintptr) {
		for {
			if lockErr = unix.Flock(int(fd), how); lockErr != unix.EINTR {
				return
			}
		}
	})
	return errors.Join(err, lockErr)
}
