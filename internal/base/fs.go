package base

import (
	"context"
	"sync"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// cacheBytes bounds what an FS keeps of metadata that it has verified.
const cacheBytes = 64 << 20

// FS is how tables reach the store: one for a lake, shared by its tables. It
// verifies what it reads of their metadata and keeps it, as these files never
// change.
type FS struct {
	store    store.Store
	verifier *Verifier

	mu struct {
		sync.Mutex
		cache recent
	}
}

// NewFS makes the FS of a lake. A verifier, if not nil, learns of the data files
// that tables take in.
func NewFS(s store.Store, v *Verifier) *FS {
	f := &FS{store: s, verifier: v}
	f.mu.cache.init(cacheBytes)
	return f
}

// read gives a metadata file whole, verified by the hash in its name. The bytes
// are shared: nobody changes them.
func (f *FS) read(ctx context.Context, key string) ([]byte, error) {
	f.mu.Lock()
	b, ok := f.mu.cache.get(key)
	f.mu.Unlock()
	if ok {
		return b, nil
	}
	b, err := f.store.Get(ctx, key)
	if err != nil {
		return nil, missing(key, err)
	}
	if err := checkHash(key, store.HashBytes(b)); err != nil {
		return nil, err
	}
	f.remember(key, b)
	return b, nil
}

// create writes a metadata file whose name holds its hash. Nothing refers to it
// yet, so an outcome that stays unknown is a failure that changed nothing.
func (f *FS) create(ctx context.Context, key string, body []byte) error {
	err := store.CreateSettled(ctx, f.store, key, body, func(existing []byte) bool { return string(existing) == string(body) })
	if err != nil {
		return notWritten(key, err)
	}
	f.remember(key, body)
	return nil
}

// notWritten is the error of a file that nothing refers to: whether it is there
// or not, nothing has changed.
func notWritten(key string, err error) error {
	if code := lake.CodeOf(err); code != lake.CodeUnknownOutcome && code != store.CodeExists {
		return lake.Step("write "+key, err)
	}
	return lake.Errorf(lake.CodeUnavailable, "write %s: %w", key, err).
		WithHint("look at the disk of the lake; nothing was changed")
}

// missing turns the absence of a file that metadata refers to into damage.
func missing(key string, err error) error {
	if lake.CodeOf(err) == lake.CodeNotFound {
		return damaged(key, "the file is missing: %w", err)
	}
	return err
}

func (f *FS) remember(key string, b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.cache.add(key, b)
}
