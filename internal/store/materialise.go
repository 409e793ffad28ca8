package store

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// Local implements Store: the object's own file on the machine's disk, and a
// copy in scratch, one a call, for any other file system.
func (l *Local) Local(ctx context.Context, key string) (path string, release func(), err error) {
	if l.onDisk {
		if _, err := l.Stat(ctx, key); err != nil {
			return "", nil, err
		}
		return l.path(key), func() {}, nil
	}
	src, err := l.Open(ctx, key)
	if err != nil {
		return "", nil, err
	}
	defer src.Close()
	dir, err := os.MkdirTemp(l.scratch, "object-")
	if err != nil {
		return "", nil, notCreated(key, "materialise", err)
	}
	path = filepath.Join(dir, filepath.Base(key))
	if err := writeFile(path, src); err != nil {
		_ = os.RemoveAll(dir)
		return "", nil, notCreated(key, "materialise", err)
	}
	remove := sync.OnceFunc(func() { _ = os.RemoveAll(dir) })
	l.mu.Lock()
	l.mu.materialised[path] = remove
	l.mu.Unlock()
	return path, func() {
		l.mu.Lock()
		delete(l.mu.materialised, path)
		l.mu.Unlock()
		remove()
	}, nil
}

func writeFile(path string, src io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, src); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
