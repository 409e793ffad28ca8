package diskcache

import (
	"context"
	"os"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// Store is a store.Store whose files on this machine are those of a Cache.
type Store struct {
	store.Store
	cache *Cache
}

var _ store.Elsewhere = (*Store)(nil)

// NewStore puts a cache before the store that it was made over.
func NewStore(c *Cache) *Store { return &Store{c.source, c} }

// Path implements store.Elsewhere.
func (s *Store) Path(key string) string { return s.cache.Path(key) }

// Get implements store.Store: of the objects whose files are kept, from the file
// where it is here, and it is kept where it was not. Whoever gets it checks it.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	if s.cache.o.Keep == nil || !s.cache.o.Keep(key) {
		return s.Store.Get(ctx, key)
	}
	if s.cache.Has([]string{key}) {
		if path, release, err := s.Local(ctx, key); err == nil {
			body, err := os.ReadFile(path)
			release()
			if err == nil {
				return body, nil
			}
		}
	}
	body, err := s.Store.Get(ctx, key)
	if err == nil && !s.cache.Has([]string{key}) {
		s.cache.keep(key, int64(len(body)), func(path string) error { return writeFile(path, body) })
	}
	return body, err
}

// Cache is the store's cache.
func (s *Store) Cache() *Cache { return s.cache }

// Create implements store.Store; the file is kept if it is one of those.
func (s *Store) Create(ctx context.Context, key string, body []byte) error {
	err := s.Store.Create(ctx, key, body)
	if err == nil {
		s.cache.keep(key, int64(len(body)), func(path string) error { return writeFile(path, body) })
	}
	return err
}

// CreateFrom implements store.Store; the file is kept by a link.
func (s *Store) CreateFrom(ctx context.Context, key string, path string) error {
	err := s.Store.CreateFrom(ctx, key, path)
	if err != nil {
		return err
	}
	if fi, err := os.Stat(path); err == nil {
		s.cache.keep(key, fi.Size(), func(to string) error { return linkFile(path, to) })
	}
	return nil
}

// Open implements store.Store: from the file where it is here, else from the store.
func (s *Store) Open(ctx context.Context, key string) (store.Object, error) {
	if err := store.CheckKey(key); err != nil {
		return nil, err
	}
	if s.cache.Has([]string{key}) {
		if path, release, err := s.Local(ctx, key); err == nil {
			o, err := openFile(key, path, release)
			if err == nil {
				return o, nil
			}
			release()
		}
	}
	return s.Store.Open(ctx, key)
}

// Local implements store.Store: the file in the cache, filled where it is not here.
func (s *Store) Local(ctx context.Context, key string) (path string, release func(), err error) {
	if err := store.CheckKey(key); err != nil {
		return "", nil, err
	}
	if err := ctx.Err(); err != nil {
		return "", nil, lake.Step("bring "+key+" to this machine", err)
	}
	need := Need{Key: key}
	if size, ok := s.cache.sizeOf(key); ok {
		need.Size = size
	} else {
		info, err := s.Stat(ctx, key)
		if err != nil {
			return "", nil, err
		}
		need.Size = info.Size
	}
	held, err := s.cache.Hold(ctx, []Need{need})
	if err != nil {
		return "", nil, err
	}
	return held[0].Path, held[0].Release, nil
}

// sizeOf is the size of an object whose file is known to be whole.
func (c *Cache) sizeOf(key string) (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.mu.entries[key]
	if e == nil || !e.checked {
		return 0, false
	}
	return e.size, true
}

// Delete implements store.Store; the file goes too.
func (s *Store) Delete(ctx context.Context, key string) error {
	err := s.Store.Delete(ctx, key)
	if err == nil {
		s.cache.Discard(key)
	}
	return err
}

// Close ends fills and closes the store.
func (s *Store) Close() error {
	s.cache.Close()
	return s.Store.Close()
}

// file is an object's file, held while it is open.
type file struct {
	*os.File
	info    store.Info
	release func()
}

func openFile(key, path string, release func()) (store.Object, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &file{f, store.Info{Key: key, Size: fi.Size(), ModTime: fi.ModTime().UTC()}, release}, nil
}

func (f *file) Size() int64      { return f.info.Size }
func (f *file) Info() store.Info { return f.info }

func (f *file) Close() error {
	defer f.release()
	if err := f.File.Close(); err != nil && !isClosed(err) {
		return err
	}
	return nil
}
