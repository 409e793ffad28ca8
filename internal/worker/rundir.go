package worker

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// runDir is a supervisor's temporary folder for sockets, whose paths must be
// short. A lock on a file in it says that its server lives; what servers that
// were killed left behind is taken away by the next one.
type runDir struct {
	path string
	lock *os.File
}

const runDirPattern = "tarn-run-"

// newRunDir makes a folder and holds its lock.
func newRunDir() (runDir, error) {
	sweepRunDirs(os.TempDir())
	for range 10 {
		path, err := os.MkdirTemp("", runDirPattern)
		if err != nil {
			return runDir{}, err
		}
		lock, err := lockRunDir(path, os.O_CREATE)
		if err == nil {
			return runDir{path, lock}, nil
		}
		if err := os.RemoveAll(path); err != nil { // another's sweep came between
			return runDir{}, err
		}
	}
	return runDir{}, errors.New("no temporary folder for sockets stays")
}

func (d runDir) remove() error {
	err := os.RemoveAll(d.path)
	_ = d.lock.Close() // lets the lock go; a second time it is closed already
	return err
}

// lockRunDir locks a folder. It fails where somebody swept it away between the opening of
// the lock's file and its locking.
func lockRunDir(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	held, err := f.Stat()
	if err == nil {
		var there os.FileInfo
		if there, err = os.Stat(f.Name()); err == nil && !os.SameFile(held, there) {
			err = os.ErrNotExist
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sweepRunDirs takes away the folders whose server is gone. A folder that has no
// lock yet, or that belongs to somebody else, stays.
func sweepRunDirs(temp string) {
	paths, err := filepath.Glob(filepath.Join(temp, runDirPattern+"*"))
	if err != nil {
		return // the pattern is well formed
	}
	for _, path := range paths {
		lock, err := lockRunDir(path, 0)
		if err != nil {
			continue
		}
		_ = os.RemoveAll(path) // the next server tries again
		lock.Close()
	}
}
