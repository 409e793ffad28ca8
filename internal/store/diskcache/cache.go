package diskcache

import (
	"container/list"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// Options are what a Cache works with.
type Options struct {
	Dir         string // absolute; this cache's own
	BudgetBytes int64
	// Check reads the file at path whole and holds it against what is known of the
	// object: lake.CodeDamaged where it is not that.
	Check func(ctx context.Context, key, path string) error
	// Keep says which objects are kept as they are created. nil: none.
	Keep func(key string) bool
	// Reuse says of which objects files of an earlier server can be used: those whose
	// key is bound to their bytes. Of the others another lake, or this one restored
	// from a backup, may have one with the same key. nil: of none.
	Reuse func(key string) bool
	// MakeRoom is asked to release files with so many bytes, where those that nobody
	// holds are not enough: nil once some may have been, an error where none can be.
	// It may wait for readers. nil: there is nobody to ask.
	MakeRoom func(ctx context.Context, bytes int64) error
	Log      *slog.Logger // nil: slog.Default()
}

// Cache is the files that are here. An entry is in one of three states: filling
// (done is open), here, or gone (it failed, was evicted or deleted); gone entries
// are out of the map and stay only with those who hold them.
type Cache struct {
	o      Options
	source store.Store

	ctx    context.Context // of fills; ends in Close
	cancel context.CancelFunc
	fills  sync.WaitGroup

	// room holds an element while somebody who needs room gets it: whoever waits
	// for it holds nothing.
	room chan struct{}

	mu struct {
		sync.Mutex
		closed  bool
		entries map[string]*entry
		unheld  *list.List // of *entry that are here; the least recently used in front
		used    int64      // bytes of entries, filling ones included
		held    int64      // bytes of those that are held
		freed   chan struct{}
		counts  Counts
	}
}

// entry is one file. All fields but key, size and path are guarded by Cache.mu.
type entry struct {
	key  string
	size int64
	path string

	done    chan struct{} // closed when it is no longer filling
	err     error         // why it is not here
	checked bool
	refs    int
	waiting int // who wait for done
	cancel  context.CancelFunc
	at      *list.Element // in unheld
	gone    bool
}

// Counts are what happened since New.
type Counts struct {
	Hits        int64 // files that were asked for and were here
	Misses      int64 // and were not
	Fills       int64 // files brought here
	FilledBytes int64
	Kept        int64 // files that were linked in as they were written
	Evictions   int64
	Refilled    int64 // files that were not as they should be, and were brought anew
}

// fillingName is the folder of files that are not whole; its dot keeps it apart
// from every key.
const fillingName = ".filling"

// New makes a Cache over a store, with what is in its folder already.
func New(source store.Store, o Options) (*Cache, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	c := &Cache{o: o, source: source, room: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.mu.entries, c.mu.unheld, c.mu.freed = map[string]*entry{}, list.New(), make(chan struct{})
	if err := os.RemoveAll(c.filling()); err != nil {
		return nil, diskFailed(o.Dir, err)
	}
	if err := os.MkdirAll(c.filling(), 0o755); err != nil {
		return nil, diskFailed(o.Dir, err)
	}
	if err := c.scan(); err != nil {
		return nil, diskFailed(o.Dir, err)
	}
	return c, nil
}

func (c *Cache) filling() string { return filepath.Join(c.o.Dir, fillingName) }

// Path is where the file of a key is when it is here.
func (c *Cache) Path(key string) string { return filepath.Join(c.o.Dir, filepath.FromSlash(key)) }

// Close ends fills. Files stay for the next server.
func (c *Cache) Close() {
	c.mu.Lock()
	c.mu.closed = true
	c.mu.Unlock()
	c.cancel()
	c.fills.Wait()
}

// Stats is how the cache stands.
type Stats struct {
	Counts
	BudgetBytes int64
	UsedBytes   int64
	HeldBytes   int64 // of them, that cannot be evicted now
	Files       int
}

// Stats says how the cache stands.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{Counts: c.mu.counts, BudgetBytes: c.o.BudgetBytes, UsedBytes: c.mu.used, HeldBytes: c.mu.held, Files: len(c.mu.entries)}
}

// Has says whether all of some files are here, without a use of them.
func (c *Cache) Has(keys []string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range keys {
		if e := c.mu.entries[k]; e == nil || !e.here() {
			return false
		}
	}
	return true
}

// here says whether the file is whole; Cache.mu is held.
func (e *entry) here() bool {
	select {
	case <-e.done:
		return e.err == nil && !e.gone
	default:
		return false
	}
}

func diskFailed(where string, err error) error {
	if noSpace(err) {
		return lake.Errorf(lake.CodeOutOfDisk, "disk cache: %s: %w", where, err).
			WithHint("free space on the disk of the state folder, or lower disk_cache_bytes")
	}
	return lake.Errorf(lake.CodeUnavailable, "disk cache: %s: %w", where, err).
		WithHint("look at the state folder, its disk and its permissions")
}

// Size is the bytes of a file that is here, 0 of one that is not.
func (c *Cache) Size(key string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.mu.entries[key]; e != nil {
		return e.size
	}
	return 0
}
