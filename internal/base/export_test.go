package base

import (
	"context"
	"time"
)

// Ahead gives the table as a server with a clock that is ahead would have written it:
// all its times are later by d. makeCurrent is told of it.
func (t *Table) Ahead(ctx context.Context, d time.Duration, makeCurrent func(context.Context, string) error) (*Table, error) {
	meta, err := retimed(t.meta, func(ms int64) int64 { return ms + d.Milliseconds() })
	if err != nil {
		return nil, err
	}
	next, body, err := newTable(t.fs, t.folder, t.number+1, meta)
	if err != nil {
		return nil, err
	}
	if err := t.fs.create(ctx, next.key, body); err != nil {
		return nil, err
	}
	return next, makeCurrent(ctx, next.key)
}

// Latest is the latest time in the table's metadata.
func (t *Table) Latest() time.Time {
	latest := t.meta.LastUpdatedMillis()
	for _, s := range t.meta.Snapshots() {
		latest = max(latest, s.TimestampMs)
	}
	return time.UnixMilli(latest)
}

// RowIDs gives the id of the first row of each live data file, and the next one that is free.
func (t *Table) RowIDs(ctx context.Context) (first map[string]int64, next int64, err error) {
	c, err := t.content(ctx)
	if err != nil {
		return nil, 0, err
	}
	first = map[string]int64{}
	for _, f := range c.files {
		if id := f.ice.FirstRowID(); id != nil {
			first[f.base.Key] = *id
		}
	}
	return first, t.meta.NextRowID(), nil
}
