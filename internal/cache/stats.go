package cache

import (
	"cmp"
	"context"
	"slices"
	"time"

	"tarn/internal/lake"
	"tarn/internal/worker"
)

// The states of a dataset in the cache.
const (
	StateCold      = "cold"
	StateLoading   = "loading"
	StateHot       = "hot"
	StateNotLoaded = "not_loaded" // pinned, and not hot: Reason says why
)

// Entry is what is said of one dataset.
type Entry struct {
	Dataset   string
	State     string
	Reason    string // of StateNotLoaded
	Pinned    bool
	Rows      int64 // of the image
	Bytes     int64 // of the image, measured
	Hits      int64
	LoadedAt  *time.Time      // nil unless hot
	LastUsed  *time.Time      // nil: not since the server started
	ReadPoint *lake.ReadPoint // of the image, nil unless hot
}

// Stats is what is said of the cache.
type Stats struct {
	BudgetBytes int64
	UsedBytes   int64 // all that the budget counts, as the worker measured it
	Counts
	Datasets []Entry // all datasets, by name
}

// Stats looks at the worker and says how things stand.
func (c *Cache) Stats(ctx context.Context) (Stats, error) {
	if err := c.look(ctx); err != nil {
		return Stats{}, lake.Step("look at the images", err)
	}
	return c.Snapshot(), nil
}

// Snapshot is Stats as of the last look, at most an interval ago.
func (c *Cache) Snapshot() Stats {
	datasets := c.o.Datasets()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{BudgetBytes: c.o.BudgetBytes, UsedBytes: c.mu.used, Counts: c.mu.counts, Datasets: []Entry{}}
	for _, d := range datasets {
		s.Datasets = append(s.Datasets, c.entry(d))
	}
	slices.SortFunc(s.Datasets, func(a, b Entry) int { return cmp.Compare(a.Dataset, b.Dataset) })
	return s
}

// Entry looks at the worker and says how one dataset stands.
func (c *Cache) Entry(ctx context.Context, uuid string) (Entry, error) {
	if err := c.look(ctx); err != nil {
		return Entry{}, lake.Step("look at the images", err)
	}
	d, err := c.dataset(uuid)
	if err != nil {
		return Entry{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entry(d), nil
}

// entry is the entry of a dataset; mu is held.
func (c *Cache) entry(d Dataset) Entry {
	e := Entry{Dataset: d.Name.String(), State: StateCold}
	k := c.mu.known[d.UUID]
	if k == nil {
		return e
	}
	e.Pinned, e.Hits = k.pinned, k.hits
	if !k.lastUsed.IsZero() {
		at := k.lastUsed.UTC()
		e.LastUsed = &at
	}
	loading := k.image.State == worker.ImageLoading || c.mu.current != nil && c.mu.current.uuid == d.UUID
	switch {
	case k.hot():
		e.State, e.Rows, e.Bytes = StateHot, k.image.Rows, k.image.Bytes
		at := k.image.LoadedAt.UTC()
		e.LoadedAt = &at
		e.ReadPoint = &lake.ReadPoint{TableUUID: d.UUID, Sequence: k.image.Sequence}
	case loading:
		e.State, e.Bytes = StateLoading, k.image.Bytes
	case k.pinned:
		e.State, e.Reason = StateNotLoaded, cmp.Or(k.reason, k.image.Reason, "it waits to be loaded")
	}
	return e
}
