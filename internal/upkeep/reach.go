package upkeep

import (
	"context"
	"sync"

	"tarn/internal/base"
	"tarn/internal/lake"
)

// reach remembers which keys each metadata file reaches, and its folded-through.
// Metadata files are immutable, so it needs to be found out once for each.
type reach struct {
	mu struct {
		sync.Mutex
		byMetadata map[string]reached
	}
}

type reached struct {
	keys          []string
	foldedThrough int64
}

// of gives everything that the datasets of the versions reach in the base, and
// by table the lowest folded-through among them; it forgets the metadata files
// that none of them names any more.
func (r *reach) of(ctx context.Context, fs *base.FS, versions []retained) (keys map[string]bool, folded map[string]int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock() // one pass at a time, across its reads
	next := map[string]reached{}
	keys, folded = map[string]bool{}, map[string]int64{}
	for _, v := range versions {
		for _, e := range v.datasets {
			if _, done := next[e.Metadata]; done {
				continue
			}
			got, ok := r.mu.byMetadata[e.Metadata]
			if !ok {
				if got, err = load(ctx, fs, e.Metadata); err != nil {
					return nil, nil, lake.Step("find what "+e.LakeName().String()+" reaches", err)
				}
			}
			next[e.Metadata] = got
			for _, k := range got.keys {
				keys[k] = true
			}
			if low, ok := folded[e.TableUUID]; !ok || got.foldedThrough < low {
				folded[e.TableUUID] = got.foldedThrough
			}
		}
	}
	r.mu.byMetadata = next
	return keys, folded, nil
}

func load(ctx context.Context, fs *base.FS, metadataKey string) (reached, error) {
	t, err := base.Load(ctx, fs, metadataKey)
	if err != nil {
		return reached{}, err
	}
	keys, err := t.Reachable(ctx)
	return reached{keys, t.FoldedThrough()}, err
}
