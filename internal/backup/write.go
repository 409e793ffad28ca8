package backup

import (
	"context"
	"io"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"tarn/internal/base"
	"tarn/internal/catalog"
	"tarn/internal/delta"
	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// copiers is how many files are copied at a time: enough to hide the syncs of small
// ones.
const copiers = 16

// Written says what a backup took.
type Written struct {
	Manifest    format.Backup
	CopiedFiles int
	CopiedBytes int64
	Removed     int // files that only backups which were let go of needed
}

// Write copies an instant of a lake into the folder. What is there already, from an
// earlier backup, is not copied again. keep is how many backups stay, this one
// included; 0 keeps all. progress is told of bytes, and may be nil.
//
// Nothing counts until the manifest is there; after an error the folder's backups
// are as they were. lake.CodeDamaged names a file of the lake that is not what was
// written.
func (f *Folder) Write(ctx context.Context, from store.Store, fs *base.FS, at Instant, keep int, progress func(done, total int64)) (Written, error) {
	before, err := f.All(ctx)
	if err != nil {
		return Written{}, lake.Step("read the earlier backups", err)
	}
	from = pinned{from, catalog.Key(at.Version.Number), at.Body}
	w := &writer{folder: f, from: from, recorded: map[string]string{}, version: at.Version.UUID, progress: progress}
	m := format.Backup{
		Number: 1, UUID: uuid.NewString(), LakeUUID: at.Version.LakeUUID, Root: from.Root(),
		CatalogVersion: at.Version.Number, Time: at.Time,
	}
	for _, b := range before {
		if b.LakeUUID != m.LakeUUID {
			return Written{}, lake.Errorf(lake.CodeInvalidRequest, "the folder holds backups of another lake (%s, %s)", b.LakeUUID, b.Root).
				WithHint("back up into a folder of its own; nothing was written")
		}
		m.Number = b.Number + 1
		for _, one := range b.Files {
			w.recorded[one.Key] = one.Hash
		}
	}
	files, err := plan(ctx, from, fs, at)
	if err != nil {
		return Written{}, err
	}
	for _, one := range files {
		w.total += one.bytes
	}
	if m.Files, err = w.copyAll(ctx, files); err != nil {
		return Written{}, err
	}
	if err := f.create(ctx, m); err != nil {
		return Written{}, err
	}
	out := Written{Manifest: m, CopiedFiles: int(w.copied.Load()), CopiedBytes: w.copiedBytes.Load()}
	if keep > 0 {
		out.Removed, err = f.prune(ctx, append(before, m), keep)
	}
	return out, err
}

// create commits a backup.
func (f *Folder) create(ctx context.Context, m format.Backup) error {
	body, err := format.EncodeBackup(m)
	if err != nil {
		return err
	}
	key := Key(m.Number)
	err = store.CreateSettled(ctx, f.store, key, body, func(existing []byte) bool {
		there, err := format.DecodeBackup(key, existing)
		return err == nil && there.UUID == m.UUID
	})
	return lake.Step("write the manifest", err)
}

// writer copies the files of one backup.
type writer struct {
	folder   *Folder
	from     store.Store
	recorded map[string]string // hashes by key, of the earlier backups
	version  string            // UUID of the catalog version

	progress    func(done, total int64)
	telling     sync.Mutex
	total       int64
	done        atomic.Int64
	copied      atomic.Int64
	copiedBytes atomic.Int64
}

func (w *writer) copyAll(ctx context.Context, files []file) ([]format.BackupFile, error) {
	out := make([]format.BackupFile, len(files))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(copiers)
	for i, one := range files {
		g.Go(func() (err error) {
			if err := gctx.Err(); err != nil {
				return lake.Step("copy "+one.key, err)
			}
			out[i], err = w.copy(gctx, one)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// tell says how far the copying is.
func (w *writer) tell(bytes int64) {
	done := w.done.Add(bytes)
	if w.progress != nil {
		w.telling.Lock()
		w.progress(done, w.total)
		w.telling.Unlock()
	}
}

// copy brings one file into the folder, unless it is there as it should be.
func (w *writer) copy(ctx context.Context, one file) (format.BackupFile, error) {
	is, err := w.there(ctx, one)
	if err != nil || is.Key != "" {
		w.tell(one.bytes)
		return is, err
	}
	c, err := copyTo(ctx, w.from, one.key, w.folder.scratch, w.tell)
	if err != nil {
		return is, err
	}
	if err := takeIn(ctx, w.folder.store, FileKey(one.key), c); err != nil {
		return is, lake.Step("copy "+one.key, err)
	}
	w.copied.Add(1)
	w.copiedBytes.Add(c.size)
	return format.BackupFile{Key: one.key, Bytes: c.size, Hash: c.hash}, w.check(ctx, one)
}

// there gives a file that the folder has already, whole and the same; its key is
// empty where it has not. One that is damaged is taken away, to be copied anew. A
// file whose name has its hash is read when it is not the one that was read last;
// any other is compared.
func (w *writer) there(ctx context.Context, one file) (is format.BackupFile, err error) {
	key := FileKey(one.key)
	info, err := w.folder.store.Stat(ctx, key)
	if lake.CodeOf(err) == lake.CodeNotFound {
		return is, nil
	}
	if err != nil {
		return is, err
	}
	if hash, ok := base.HashInName(one.key); ok {
		_, _, err := w.folder.verifier.Verify(ctx, key)
		switch {
		case err == nil:
			return format.BackupFile{Key: one.key, Bytes: info.Size, Hash: hash}, nil
		case lake.CodeOf(err) == lake.CodeDamaged:
			return is, w.replace(ctx, key)
		}
		return is, err
	}
	have, _, err := hashed(ctx, w.folder.store, key, io.Discard, nil)
	if err != nil {
		return is, err
	}
	want, _, err := hashed(ctx, w.from, one.key, io.Discard, nil)
	switch {
	case err != nil:
		return is, err
	case have == want:
		return format.BackupFile{Key: one.key, Bytes: info.Size, Hash: want}, w.check(ctx, one)
	case w.recorded[one.key] == have:
		return is, lake.Errorf(lake.CodeInvalidRequest, "the lake and the folder have different files %s", one.key).
			WithHint("the folder holds backups of another history of this lake, as after a restore: back up into another folder; or the file was damaged: tarn verify says so")
	}
	return is, w.replace(ctx, key)
}

// check holds the folder's copy of a file that has no hash in its name against what
// is due there.
func (w *writer) check(ctx context.Context, one file) error {
	if _, sequenced, ok := delta.ParseKey(one.key); ok {
		o, err := w.folder.store.Open(ctx, FileKey(one.key))
		if err != nil {
			return err
		}
		defer o.Close()
		h, err := format.ReadDeltaHeader(one.key, o, o.Size())
		if err == nil && (h.TableUUID != one.table || h.Sequence != sequenced || h.First != one.after+1) {
			err = damaged(one.key, "it holds the deltas %d to %d of table %s, where %d to %d of %s are due",
				h.First, h.Sequence, h.TableUUID, one.after+1, sequenced, one.table)
		}
		return err
	}
	if number, ok := catalog.Number(one.key); ok {
		body, err := w.folder.store.Get(ctx, FileKey(one.key))
		if err != nil {
			return err
		}
		v, err := format.DecodeVersion(one.key, body)
		if err == nil && (v.Number != number || v.UUID != w.version) {
			err = damaged(one.key, "it holds version %d with the UUID %s, where %s is due", v.Number, v.UUID, w.version)
		}
		return err
	}
	return nil
}

// replace takes a damaged copy away. Backups that need the file are damaged until
// it is copied anew, which is next.
func (w *writer) replace(ctx context.Context, key string) error {
	w.folder.verifier.Forget(key)
	return lake.Step("replace the damaged "+key, w.folder.store.Delete(ctx, key))
}
