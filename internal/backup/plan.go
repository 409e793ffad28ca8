package backup

import (
	"context"
	"time"

	"tarn/internal/base"
	"tarn/internal/catalog"
	"tarn/internal/delta"
	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// Instant is the lake at one instant: a catalog version, and by table the newest
// sequence that was acknowledged. A base may contain more than that by a commit
// that is being made known; then the deltas up to there belong to it too.
type Instant struct {
	Time      time.Time
	Version   format.Version
	Body      []byte // the version's whole file
	Sequences map[string]int64
}

// file is one that belongs to a backup.
type file struct {
	key   string
	bytes int64
	table string // of a delta; else empty
	after int64  // of a delta: the sequence before its first
	last  int64  // of a delta: its sequence
}

// plan lists the files of an instant with their sizes: the catalog version, everything that the metadata of its datasets reaches, which includes the
// snapshots that it retains, and the deltas after trimmed-through, which hold what
// is pending, the Idempotency-Keys and the place of the ETag.
func plan(ctx context.Context, from store.Store, fs *base.FS, at Instant) ([]file, error) {
	info, err := from.Stat(ctx, catalog.Key(at.Version.Number))
	if err != nil {
		return nil, absent(catalog.Key(at.Version.Number), err)
	}
	out := []file{{key: info.Key, bytes: info.Size}}
	seen := map[string]bool{}
	for _, e := range at.Version.Datasets {
		t, err := base.Load(ctx, fs, e.Metadata)
		if err != nil {
			return nil, lake.Step("dataset "+e.LakeName().String(), err)
		}
		keys, err := t.Reachable(ctx)
		if err != nil {
			return nil, lake.Step("dataset "+e.LakeName().String(), err)
		}
		for _, key := range keys {
			if seen[key] {
				continue
			}
			seen[key] = true
			info, err := from.Stat(ctx, key)
			if err != nil {
				return nil, absent(key, err)
			}
			out = append(out, file{key: key, bytes: info.Size})
		}
		deltas, err := planDeltas(ctx, from, e, max(at.Sequences[e.TableUUID], t.Through()))
		if err != nil {
			return nil, lake.Step("dataset "+e.LakeName().String(), err)
		}
		out = append(out, deltas...)
	}
	return out, nil
}

// planDeltas lists the deltas after trimmed-through up to a sequence.
func planDeltas(ctx context.Context, from store.Store, e format.DatasetEntry, through int64) ([]file, error) {
	var out []file
	for info, err := range from.List(ctx, delta.Prefix(e.TableUUID), delta.Key(e.TableUUID, e.TrimmedThrough)) {
		if err != nil {
			return nil, lake.Step("list deltas", err)
		}
		_, sequence, ok := delta.ParseKey(info.Key)
		if ok && sequence <= through {
			out = append(out, file{key: info.Key, bytes: info.Size, table: e.TableUUID, last: sequence})
		}
	}
	last := e.TrimmedThrough
	for i := range out {
		out[i].after, last = last, out[i].last
	}
	if last != through && through > e.TrimmedThrough {
		return nil, absent(delta.Key(e.TableUUID, through), lake.ErrNotFound)
	}
	return out, nil
}

// absent is the error of a file that the catalog version reaches and that is gone.
func absent(key string, err error) error {
	if lake.CodeOf(err) != lake.CodeNotFound {
		return err
	}
	e := lake.Errorf(lake.CodeDamaged, "the file is missing")
	e.Step = key
	return e.WithHint("tarn verify says what else is wrong; restore the file from an earlier backup")
}
