package backup

import (
	"context"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"tarn/internal/catalog"
	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// Restore copies a backup into an empty lake, every byte held against the manifest,
// the catalog version last: until it is there, the lake does not open. scratch is a
// folder on the same disk. progress is told of bytes, and may be nil.
//
// lake.CodeDamaged names a file of the folder that is not what was written.
func (f *Folder) Restore(ctx context.Context, b format.Backup, to store.Store, scratch string, progress func(done, total int64)) error {
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return diskError("make the scratch folder", err)
	}
	files := slices.Clone(b.Files)
	at := slices.IndexFunc(files, func(one format.BackupFile) bool { return one.Key == catalog.Key(b.CatalogVersion) })
	if at < 0 {
		return damaged(Key(b.Number), "it lists no catalog version %d", b.CatalogVersion)
	}
	last := files[at]
	files = slices.Delete(files, at, at+1)
	r := &restorer{view: f.View(b), to: to, scratch: scratch, total: b.Size(), progress: progress}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(copiers)
	for _, one := range files {
		g.Go(func() error { return r.copy(gctx, one) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return r.copy(ctx, last)
}

type restorer struct {
	view    *View
	to      store.Store
	scratch string

	progress func(done, total int64)
	telling  sync.Mutex
	total    int64
	done     atomic.Int64
}

func (r *restorer) tell(bytes int64) {
	done := r.done.Add(bytes)
	if r.progress != nil {
		r.telling.Lock()
		r.progress(done, r.total)
		r.telling.Unlock()
	}
}

func (r *restorer) copy(ctx context.Context, one format.BackupFile) error {
	if err := ctx.Err(); err != nil {
		return lake.Step("restore "+one.Key, err)
	}
	c, err := copyTo(ctx, r.view, one.Key, r.scratch, r.tell)
	if err != nil {
		return err
	}
	if c.hash != one.Hash || c.size != one.Bytes {
		_ = os.Remove(c.path)
		return damaged(one.Key, "its %d bytes have the hash %s, where the manifest says %d and %s", c.size, c.hash, one.Bytes, one.Hash)
	}
	return lake.Step("restore "+one.Key, takeIn(ctx, r.to, one.Key, c))
}

// Check reads every file that a backup of the folder needs, once, and tells of those
// that are not what their manifests say. An error means that it could not go on.
func (f *Folder) Check(ctx context.Context, all []format.Backup, found func(key string, err error)) (files int, bytes int64, err error) {
	seen := map[format.BackupFile]bool{}
	for _, b := range all {
		v := f.View(b)
		for _, one := range b.Files {
			if seen[one] {
				continue
			}
			seen[one] = true
			hash, size, err := hashed(ctx, v, one.Key, io.Discard, nil)
			if ctx.Err() != nil {
				return files, bytes, lake.Step("verify", ctx.Err())
			}
			files, bytes = files+1, bytes+size
			if err == nil && (hash != one.Hash || size != one.Bytes) {
				err = damaged(one.Key, "its %d bytes have the hash %s, where the manifest of backup %d says %d and %s", size, hash, b.Number, one.Bytes, one.Hash)
			}
			if err != nil {
				found(one.Key, err)
			}
		}
	}
	return files, bytes, nil
}
