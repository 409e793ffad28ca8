package bench

import (
	"context"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// State is what a section's answers come from.
type State string

// Cold is Parquet with pending changes merged in; hot is images in memory.
const (
	Cold State = "cold"
	Hot  State = "hot"
)

func (s State) servedFrom() string {
	if s == Hot {
		return "image"
	}
	return "parquet"
}

// setCache gives images no room in a cold lake, so that none is loaded behind
// the bench's back, and the default budget in a hot one.
func setCache(set engine.Settings, state State) engine.Settings {
	if state == Cold {
		set.CacheBytes = engine.NoCache
	}
	return set
}

// pin makes a dataset hot, and gives how long that took and the bytes that the
// cache counts for it; one that is hot already takes no time to speak of.
func (d *door) pin(ctx context.Context, dataset lake.Name) (took time.Duration, bytes int64, err error) {
	began := time.Now()
	entry, err := d.CachePin(ctx, dataset)
	return time.Since(began), entry.Bytes, err
}

// evict makes a dataset cold.
func (d *door) evict(ctx context.Context, dataset lake.Name) error {
	_, err := d.CacheEvict(ctx, dataset)
	return err
}
