package client

import (
	"context"
	"net/http"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// CachePin makes a dataset hot and keeps it so; it answers when the dataset is
// loaded. CodeCacheFull: it does not fit beside the other pins.
func (c *Client) CachePin(ctx context.Context, name lake.Name) (engine.CacheEntry, error) {
	return c.cacheCall(ctx, "pin", name)
}

// CacheUnpin lets a dataset leave memory when others need its room.
func (c *Client) CacheUnpin(ctx context.Context, name lake.Name) (engine.CacheEntry, error) {
	return c.cacheCall(ctx, "unpin", name)
}

// CacheEvict takes a dataset out of memory and unpins it.
func (c *Client) CacheEvict(ctx context.Context, name lake.Name) (engine.CacheEntry, error) {
	return c.cacheCall(ctx, "evict", name)
}

func (c *Client) cacheCall(ctx context.Context, verb string, name lake.Name) (engine.CacheEntry, error) {
	var out engine.CacheEntry
	q, err := newRequest(http.MethodPost, "/query/cache/"+verb).json(map[string]string{"dataset": name.String()})
	if err != nil {
		return out, err
	}
	q.changes = true
	_, err = c.call(ctx, q, &out)
	return out, err
}

// CacheEvictAll takes all datasets out of memory that are not pinned, with
// pinnedToo all, and gives how every dataset stands.
func (c *Client) CacheEvictAll(ctx context.Context, pinnedToo bool) ([]engine.CacheEntry, error) {
	var out struct {
		Datasets []engine.CacheEntry `json:"datasets"`
	}
	q, err := newRequest(http.MethodPost, "/query/cache/evict").json(map[string]bool{"all": true, "pinned": pinnedToo})
	if err != nil {
		return nil, err
	}
	q.changes = true
	_, err = c.call(ctx, q, &out)
	return out.Datasets, err
}

// CacheStats says what is in memory.
func (c *Client) CacheStats(ctx context.Context) (engine.CacheStats, error) {
	var out engine.CacheStats
	_, err := c.call(ctx, newRequest(http.MethodGet, "/query/cache/stats"), &out)
	return out, err
}
