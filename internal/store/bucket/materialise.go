package bucket

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"

	"tarn/internal/lake"
)

// Local implements store.Store by a copy in scratch, one a call.
func (b *Bucket) Local(ctx context.Context, key string) (path string, release func(), err error) {
	src, err := b.Open(ctx, key)
	if err != nil {
		return "", nil, err
	}
	defer src.Close()
	dir, err := os.MkdirTemp(b.opts.Scratch, "object-")
	if err != nil {
		return "", nil, copyFailed(key, err)
	}
	path = filepath.Join(dir, filepath.Base(key))
	if err := writeFile(path, src); err != nil {
		_ = os.RemoveAll(dir)
		if lake.CodeOf(err) != lake.CodeInternal {
			return "", nil, err
		}
		return "", nil, copyFailed(key, err)
	}
	remove := sync.OnceFunc(func() { _ = os.RemoveAll(dir) })
	b.mu.Lock()
	b.mu.materialised[path] = remove
	b.mu.Unlock()
	return path, func() {
		b.mu.Lock()
		delete(b.mu.materialised, path)
		b.mu.Unlock()
		remove()
	}, nil
}

func copyFailed(key string, err error) error {
	return lake.Errorf(lake.CodeUnavailable, "%s: copy it to this machine: %w", key, err).
		WithHint("look at the disk of the state folder")
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
