package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tarn/internal/failpoint"
	"tarn/internal/fileid"
	"tarn/internal/lake"
)

// tempPrefix starts the name of a file that is not an object yet. Its dot keeps
// it out of every listing.
const tempPrefix = ".tarn-new-"

// copyChunk is how much of a file is copied between two looks at the context.
const copyChunk = 1 << 20 // bytes

// Create implements Store.
func (l *Local) Create(ctx context.Context, key string, body []byte) error {
	if err := begin(ctx, key, "create"); err != nil {
		return err
	}
	if !l.onDisk {
		body = bytes.Clone(body) // a vfs.File in memory may change what it is given
	}
	l.sweeping.RLock()
	defer l.sweeping.RUnlock()
	return l.put(ctx, key, func(f vfs.File) error {
		_, err := f.Write(body)
		return err
	})
}

// CreateFrom implements Store. On one disk the object is a hard link to the
// file; elsewhere, and where links to it are not allowed, it is a copy.
func (l *Local) CreateFrom(ctx context.Context, key string, from string) error {
	if err := begin(ctx, key, "create"); err != nil {
		return err
	}
	l.sweeping.RLock()
	defer l.sweeping.RUnlock()
	if l.onDisk {
		err := l.putLink(ctx, key, from)
		if !errors.Is(err, errCannotShare) {
			return err
		}
	}
	src, err := os.Open(from)
	if err != nil {
		return notCreated(key, "take in the file", err)
	}
	defer src.Close()
	return l.put(ctx, key, func(f vfs.File) error {
		buf := make([]byte, copyChunk)
		for {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := src.Read(buf)
			if _, werr := f.Write(buf[:n]); werr != nil {
				return werr
			}
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
}

// errCannotShare: the file cannot be linked into the lake, but copied.
var errCannotShare = errors.New("the file cannot be linked")

// putLink makes the object by a hard link to the file at from.
func (l *Local) putLink(ctx context.Context, key, from string) error {
	fi, err := os.Lstat(from)
	if err != nil {
		return notCreated(key, "take in the file", err)
	}
	if !fi.Mode().IsRegular() {
		return errCannotShare // a link to a symbolic link would be one too
	}
	if err := l.syncFile(from, fileid.OfInfo(fi)); err != nil {
		return notCreated(key, "sync the file", err)
	}
	if err := l.makeFolder(folderOf(key)); err != nil {
		return notCreated(key, "make its folder", err)
	}
	if err := ctx.Err(); err != nil {
		return lake.Step("create "+key, err)
	}
	err = l.fs.Link(from, l.path(key))
	failpoint.Hit("store.file-linked")
	for _, errno := range []syscall.Errno{syscall.EXDEV, syscall.EPERM, syscall.EACCES, syscall.EMLINK, syscall.ENOTSUP} {
		if errors.Is(err, errno) {
			return errCannotShare
		}
	}
	return l.linked(key, err)
}

// syncFile makes a caller's file durable, unless that failed before.
func (l *Local) syncFile(path, identity string) error {
	l.mu.Lock()
	untrusted := l.mu.untrusted[identity]
	l.mu.Unlock()
	if untrusted {
		return fmt.Errorf("%s could not be synced before and may have lost bytes: write it again", path)
	}
	f, err := l.fs.Open(path)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		l.mu.Lock()
		l.mu.untrusted[identity] = true
		l.mu.Unlock()
		return err
	}
	return f.Close()
}

// put makes the object by a temp file with what fill writes.
func (l *Local) put(ctx context.Context, key string, fill func(vfs.File) error) error {
	folder := folderOf(key)
	if err := l.makeFolder(folder); err != nil {
		return notCreated(key, "make its folder", err)
	}
	temp := filepath.Join(l.path(folder), fmt.Sprintf("%s%016x", tempPrefix, rand.Uint64()))
	err := l.writeTemp(temp, fill)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = l.fs.Remove(temp)
		if absent(err) {
			l.forgetFolders() // somebody removed the folder under us
		}
		if ctx.Err() != nil {
			return lake.Step("create "+key, ctx.Err())
		}
		return notCreated(key, "write", err)
	}
	failpoint.Hit("store.temp-written")
	err = l.fs.Link(temp, l.path(key))
	failpoint.Hit("store.linked")
	_ = l.fs.Remove(temp) // what stays is Sweep's
	return l.linked(key, err)
}

func (l *Local) writeTemp(temp string, fill func(vfs.File) error) error {
	f, err := l.fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// linked ends a Create after link(2) answered with err: it makes the folder
// durable and says what is known. On "exists" too: whoever created the object
// may not have come to that yet.
func (l *Local) linked(key string, err error) error {
	switch {
	case err == nil || errors.Is(err, fs.ErrExist):
	case linkRefused(err):
		return notCreated(key, "link", err)
	default:
		return unknown(key, "link", err)
	}
	if syncErr := l.syncPath(l.path(folderOf(key))); syncErr != nil {
		return unknown(key, "sync its folder", syncErr)
	}
	failpoint.Hit("store.folder-synced")
	if err != nil {
		return exists(key)
	}
	return nil
}

// folderOf is the key without its last segment, "" directly under the root.
func folderOf(key string) string {
	i := strings.LastIndexByte(key, '/')
	return key[:max(i, 0)]
}

// makeFolder makes a folder with those above it and makes their entries
// durable. Each caller does so until one has come through: to find the folder
// there says nothing of its safety.
func (l *Local) makeFolder(folder string) error {
	var fresh []string
	l.mu.Lock()
	for f := folder; !l.mu.safe[f]; f = folderOf(f) {
		fresh = append(fresh, f)
	}
	l.mu.Unlock()
	if len(fresh) == 0 {
		return nil
	}
	if err := l.fs.MkdirAll(l.path(folder), 0o755); err != nil {
		return err
	}
	for _, f := range fresh {
		if err := l.syncPath(l.path(folderOf(f))); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range fresh {
		l.mu.safe[f] = true
	}
	return nil
}

func (l *Local) forgetFolders() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.mu.safe)
	l.mu.safe[""] = true
}
