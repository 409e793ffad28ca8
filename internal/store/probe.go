package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tarn/internal/lake"
)

// Probe tries on the lake's own disk what Create stands on: that link(2) makes a
// name, that it refuses one that exists, and that a folder can be synced. Where
// one fails: lake.CodeUnsupported, or lake.CodeUnavailable or
// lake.CodeOutOfDisk where not even a file could be written.
func (l *Local) Probe(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return lake.Step("probe the disk", err)
	}
	l.sweeping.RLock()
	defer l.sweeping.RUnlock()
	base := filepath.Join(l.dir, fmt.Sprintf("%sprobe-%016x", tempPrefix, rand.Uint64()))
	first, second, name := base+"-1", base+"-2", base+"-3"
	defer func() {
		for _, path := range []string{first, second, name} {
			_ = l.fs.Remove(path)
		}
	}()
	for _, path := range []string{first, second} {
		err := l.writeTemp(path, func(f vfs.File) error {
			_, err := f.Write([]byte(path[len(path)-1:]))
			return err
		})
		if err != nil {
			return notCreated(l.dir, "probe the disk", err)
		}
	}
	if err := l.fs.Link(first, name); err != nil {
		return l.unfit("it cannot make hard links: %w", err)
	}
	if err := l.fs.Link(second, name); err == nil {
		return l.unfit("link(2) replaces a file that exists")
	} else if !errors.Is(err, fs.ErrExist) {
		return l.unfit("link(2) does not say that a file exists: %w", err)
	}
	if err := l.syncPath(l.dir); err != nil {
		return l.unfit("a folder cannot be synced: %w", err)
	}
	return nil
}

func (l *Local) unfit(format string, args ...any) error {
	e := lake.Errorf(lake.CodeUnsupported, "the disk of %s cannot carry a lake: "+format, append([]any{l.dir}, args...)...)
	return e.WithHint("put the lake on a local file system such as ext4, xfs, btrfs, zfs or apfs")
}
