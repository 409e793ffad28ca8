package engine

import (
	"context"
	"path/filepath"

	"tarn/internal/cache"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// openCache opens the policy over the worker's images.
func (e *Engine) openCache() (err error) {
	images, _ := e.set.cacheShares()
	e.cache, err = cache.New(cache.Options{
		BudgetBytes: images, Worker: e.imageWorker(), Datasets: e.cachable,
		PinsPath: filepath.Join(e.opts.State, "pins.json"), Log: e.log,
	})
	return err
}

// cachable lists the datasets for the policy.
func (e *Engine) cachable() []cache.Dataset {
	members := e.members()
	out := make([]cache.Dataset, len(members))
	for i, m := range members {
		s := m.ds.State()
		_, pendingRows, pendingBytes := s.PendingSize()
		rows, bytes := s.BaseSize()
		out[i] = cache.Dataset{UUID: s.UUID, Name: s.Name, Rows: rows + pendingRows, Bytes: bytes + pendingBytes}
	}
	return out
}

// used tells the policy which datasets an answer named, and where it came from.
func (e *Engine) used(head rows.Head) {
	for name, at := range head.ReadPoints {
		if _, err := lake.ParseName(name); err != nil {
			continue // as it was: no image could have served it
		}
		if e.remote != nil {
			e.remote.here.touch(at.TableUUID)
		}
		e.cache.Used(at.TableUUID, head.ServedFrom[name] == lake.ServedFromImage)
	}
}

// CachePin makes a dataset hot and keeps it so; it answers when the image is
// loaded. CodeCacheFull: it does not fit beside the other pins.
func (e *Engine) CachePin(ctx context.Context, name lake.Name) (CacheEntry, error) {
	return e.cached(ctx, name, e.cache.Pin)
}

// CacheUnpin lets a dataset's image go when others need its room.
func (e *Engine) CacheUnpin(ctx context.Context, name lake.Name) (CacheEntry, error) {
	return e.cached(ctx, name, e.cache.Unpin)
}

// CacheEvict makes a dataset cold and unpins it; answers about it go too.
func (e *Engine) CacheEvict(ctx context.Context, name lake.Name) (CacheEntry, error) {
	return e.cached(ctx, name, func(ctx context.Context, uuid string) (cache.Entry, error) {
		defer e.results.Forget(uuid)
		return e.cache.Evict(ctx, uuid)
	})
}

func (e *Engine) cached(ctx context.Context, name lake.Name, do func(context.Context, string) (cache.Entry, error)) (CacheEntry, error) {
	m, err := e.member(name)
	if err != nil {
		return CacheEntry{}, err
	}
	entry, err := do(ctx, m.ds.State().UUID)
	return CacheEntry(entry), err
}

// CacheEvictAll makes all datasets cold that are not pinned, or all, and gives
// the entries of all.
func (e *Engine) CacheEvictAll(ctx context.Context, pinnedToo bool) ([]CacheEntry, error) {
	entries, err := e.cache.EvictAll(ctx, pinnedToo)
	for _, d := range e.cachable() {
		if !e.cache.Hot(d.UUID) {
			e.results.Forget(d.UUID)
		}
	}
	return cacheEntries(entries), err
}

// CacheStats says how the cache stands.
func (e *Engine) CacheStats(ctx context.Context) (CacheStats, error) {
	s, err := e.cache.Stats(ctx)
	if err != nil {
		return CacheStats{}, err
	}
	r := e.results.Stats()
	return CacheStats{
		BudgetBytes: s.BudgetBytes + r.BudgetBytes, UsedBytes: s.UsedBytes + r.UsedBytes,
		Hits: s.Hits, Misses: s.Misses, Loads: s.Loads, Evictions: s.Evictions,
		Datasets: cacheEntries(s.Datasets), Results: CacheResults(r), Disk: e.diskStats(),
	}, nil
}

func cacheEntries(entries []cache.Entry) []CacheEntry {
	out := make([]CacheEntry, len(entries))
	for i, entry := range entries {
		out[i] = CacheEntry(entry)
	}
	return out
}
