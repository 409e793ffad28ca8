package backup

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// View is one backup of a folder as a store: it has the objects that the manifest
// lists, under the keys that they have in the lake, and takes no others.
type View struct {
	store store.Store
	files map[string]format.BackupFile
	keys  []string // in order
}

var _ store.Store = (*View)(nil)

// View gives a backup to read. It is of use as long as the folder is open.
func (f *Folder) View(b format.Backup) *View {
	v := &View{store: f.store, files: make(map[string]format.BackupFile, len(b.Files))}
	for _, one := range b.Files {
		v.files[one.Key] = one
	}
	v.keys = slices.Sorted(maps.Keys(v.files))
	return v
}

// has says whether the backup has an object.
func (v *View) has(key string) error {
	if _, ok := v.files[key]; !ok {
		return lake.Errorf(lake.CodeNotFound, "the backup has no %s", key)
	}
	return nil
}

// Get implements store.Store.
func (v *View) Get(ctx context.Context, key string) ([]byte, error) {
	if err := v.has(key); err != nil {
		return nil, err
	}
	return v.store.Get(ctx, FileKey(key))
}

// Open implements store.Store.
func (v *View) Open(ctx context.Context, key string) (store.Object, error) {
	if err := v.has(key); err != nil {
		return nil, err
	}
	return v.store.Open(ctx, FileKey(key))
}

// Stat implements store.Store.
func (v *View) Stat(ctx context.Context, key string) (store.Info, error) {
	if err := v.has(key); err != nil {
		return store.Info{}, err
	}
	info, err := v.store.Stat(ctx, FileKey(key))
	info.Key = key
	return info, err
}

// List implements store.Store: what the manifest lists, whether it is there or not.
func (v *View) List(_ context.Context, prefix, after string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		for _, key := range v.keys {
			if strings.HasPrefix(key, prefix) && key > after && !yield(store.Info{Key: key, Size: v.files[key].Bytes}, nil) {
				return
			}
		}
	}
}

// Local implements store.Store.
func (v *View) Local(ctx context.Context, key string) (string, func(), error) {
	if err := v.has(key); err != nil {
		return "", nil, err
	}
	return v.store.Local(ctx, FileKey(key))
}

// Root implements store.Store.
func (v *View) Root() string { return v.store.Root() + "/" + strings.TrimSuffix(filesPrefix, "/") }

// Close implements store.Store; the folder stays open.
func (v *View) Close() error { return nil }

// Create implements store.Store: it is refused.
func (v *View) Create(_ context.Context, key string, _ []byte) error { return refused(key) }

// CreateFrom implements store.Store: it is refused.
func (v *View) CreateFrom(_ context.Context, key, _ string) error { return refused(key) }

// Delete implements store.Store: it is refused.
func (v *View) Delete(_ context.Context, key string) error { return refused(key) }

func refused(key string) error {
	return lake.Errorf(lake.CodeInternal, "%s: a backup is never changed", key)
}
