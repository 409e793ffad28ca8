package delta

import (
	"context"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// Follow gives the log of a table that another process writes, from after a
// sequence on; Next reads it. Nothing can be created in it.
func Follow(s store.Store, tableUUID string, after int64) *Log {
	l := newLog(s, tableUUID, after)
	l.mu.fenced = lake.Errorf(lake.CodeReadOnly, "the lake is open to be read only")
	return l
}

// Next gives the deltas that came since the last call, each verified, without a path, up
// to the first that is missing: a listing may show a delta without the one before it,
// which was created before it, or is being filled in by a server that takes over. One
// caller at a time.
//
// lake.CodeDamaged: a delta that is not as it was written, or in the wrong place.
func (l *Log) Next(ctx context.Context) ([]lake.Delta, error) {
	last := l.Last()
	found, err := l.listed(ctx, last)
	if err != nil {
		return nil, lake.Step("list deltas", err)
	}
	deltas, err := l.verifyAll(ctx, found)
	if err != nil {
		return nil, err
	}
	n := 0
	for n < len(deltas) && deltas[n].First == last+1 {
		last = deltas[n].Sequence
		n++
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.last = last
	return deltas[:n:n], nil
}

// Forget lets go of the paths of deltas that nobody reads any more.
func (l *Log) Forget(keys ...string) {
	for _, k := range keys {
		l.forget(k)
	}
}
