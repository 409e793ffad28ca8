package upkeep

import (
	"context"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tarn/internal/catalog"
	"tarn/internal/format"
)

// history remembers what the retained catalog versions say. They are immutable, so
// that each is read once.
type history struct {
	mu struct {
		sync.Mutex
		known map[int64]retained
	}
}

// retained is what is of use in a catalog version. Versions share the entries that
// are the same in them, as most are.
type retained struct {
	number   int64
	time     time.Time
	datasets []*format.DatasetEntry
}

// versions gives the retained catalog versions, oldest first.
func (h *history) versions(ctx context.Context, c *catalog.Catalog) ([]retained, error) {
	h.mu.Lock()
	defer h.mu.Unlock() // one reads, the others find it read
	var out []retained
	shared := entries{}
	var unread []int
	for n, err := range c.Versions(ctx) {
		if err != nil {
			return nil, err
		}
		v, ok := h.mu.known[n]
		if !ok {
			v.number = n
			unread = append(unread, len(out))
		}
		out = append(out, v)
	}
	if len(unread) > 0 && unread[0] > 0 {
		for _, e := range out[unread[0]-1].datasets {
			shared[*e] = e
		}
	}
	var mu sync.Mutex // of shared
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, i := range unread {
		g.Go(func() error {
			v, err := c.Read(gctx, out[i].number)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			out[i].time, out[i].datasets = v.Time, shared.of(v.Datasets)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	h.mu.known = make(map[int64]retained, len(out))
	for _, v := range out {
		h.mu.known[v.number] = v
	}
	return out, nil
}

// entries holds one of each.
type entries map[format.DatasetEntry]*format.DatasetEntry

func (s entries) of(list []format.DatasetEntry) []*format.DatasetEntry {
	out := make([]*format.DatasetEntry, len(list))
	for i, e := range list {
		if s[e] == nil {
			s[e] = &e
		}
		out[i] = s[e]
	}
	return out
}
