package cache

import (
	"context"
	"errors"

	"tarn/internal/lake"
)

// Pin makes a dataset hot and keeps it so: it answers when the image is loaded
// and the pin is durable. Images that are not pinned go for it. It is idempotent.
//
// lake.CodeCacheFull: it does not fit beside the other pins. Then no pin has
// changed, and what was displaced is loaded again in the background.
func (c *Cache) Pin(ctx context.Context, uuid string) (Entry, error) {
	d, err := c.dataset(uuid)
	if err != nil {
		return Entry{}, err
	}
	c.mu.Lock()
	c.of(uuid)
	c.mu.Unlock()
	for try := 0; ; try++ {
		err := c.pinOnce(ctx, uuid)
		switch lake.CodeOf(err) {
		case lake.CodeWorkerDied, lake.CodeNotReady, lake.CodeCancelled:
			// The worker died under the load, or a content commit gave the dataset
			// other rows.
			if err != nil && try < pinTries && ctx.Err() == nil && !errors.Is(err, errEvicted) {
				continue
			}
		}
		if errors.Is(err, errNoRoom) || err != nil && lake.CodeOf(err) == lake.CodeOutOfMemory {
			return Entry{}, lake.Errorf(lake.CodeCacheFull, "%s cannot be pinned: %w", d.Name, err).
				WithHint("unpin another dataset, or raise cache_size; GET /query/cache/stats shows what is held")
		}
		if err != nil {
			return Entry{}, lake.Step("pin "+d.Name.String(), err)
		}
		return c.Entry(ctx, uuid)
	}
}

// pinTries is how often a pin's load is tried again when the worker died or the
// content changed under it.
const pinTries = 3

func (c *Cache) pinOnce(ctx context.Context, uuid string) (err error) {
	a, err := c.begin(ctx, uuid, false)
	if err != nil {
		return err
	}
	defer func() { c.end(a, err) }()
	if err := c.load(a.ctx, a, true); err != nil {
		return err
	}
	if cause := context.Cause(a.ctx); cause != nil {
		return cause
	}
	return c.setPinned(uuid, true)
}

// Unpin lets a dataset's image go when others need its room. It stays hot until
// then. It is idempotent.
func (c *Cache) Unpin(ctx context.Context, uuid string) (Entry, error) {
	d, err := c.dataset(uuid)
	if err != nil {
		return Entry{}, err
	}
	if err := c.setPinned(uuid, false); err != nil {
		return Entry{}, lake.Step("unpin "+d.Name.String(), err)
	}
	c.ping()
	return c.Entry(ctx, uuid)
}

// Evict makes a dataset cold, and unpins it first. Its next use may load it
// again. It is idempotent.
func (c *Cache) Evict(ctx context.Context, uuid string) (Entry, error) {
	d, err := c.dataset(uuid)
	if err != nil {
		return Entry{}, err
	}
	if err := c.evict(ctx, uuid); err != nil {
		return Entry{}, lake.Step("evict "+d.Name.String(), err)
	}
	return c.Entry(ctx, uuid)
}

// EvictAll makes all datasets cold that are not pinned, with pinnedToo those as
// well, and gives the entries of all datasets.
func (c *Cache) EvictAll(ctx context.Context, pinnedToo bool) ([]Entry, error) {
	for _, d := range c.o.Datasets() {
		c.mu.Lock()
		k := c.mu.known[d.UUID]
		skip := k != nil && k.pinned && !pinnedToo
		c.mu.Unlock()
		if skip {
			continue
		}
		if err := c.evict(ctx, d.UUID); err != nil {
			return nil, lake.Step("evict "+d.Name.String(), err)
		}
	}
	s, err := c.Stats(ctx)
	return s.Datasets, err
}

func (c *Cache) evict(ctx context.Context, uuid string) error {
	if err := c.setPinned(uuid, false); err != nil {
		return err
	}
	c.mu.Lock()
	if k := c.mu.known[uuid]; k != nil {
		k.wanted, k.reason = false, ""
	}
	var loading *action
	if a := c.mu.current; a != nil {
		delete(a.displaced, uuid)
		if a.uuid == uuid {
			loading = a
			a.cancel(errEvicted)
		}
	}
	c.mu.Unlock()
	if loading != nil {
		select {
		case <-loading.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := c.setPinned(uuid, false); err != nil { // a pin that was through already
			return err
		}
	}
	if err := c.drop(ctx, uuid); err != nil {
		return err
	}
	c.ping()
	return nil
}
