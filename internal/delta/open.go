package delta

import (
	"bytes"
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"tarn/internal/failpoint"
	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// verifiers is how many deltas Open reads at a time.
const verifiers = 4

// Open opens the log of a table and gives its deltas after `after`, the
// trimmed-through that the catalog records, in order, each verified whole. Those
// after `folded` have their path on this machine: nobody reads the others. What
// lies at or below `after` is not looked at.
//
// lake.CodeDamaged, naming the key: a delta that is not as it was written, that
// belongs to another table or sequence, or one that is missing between after and
// the newest. That the newest is missing cannot be seen.
func Open(ctx context.Context, s store.Store, tableUUID string, after, folded int64) (*Log, []lake.Delta, error) {
	var found []store.Info
	for info, err := range s.List(ctx, Prefix(tableUUID), Key(tableUUID, after)) {
		if err != nil {
			return nil, nil, lake.Step("list deltas", err)
		}
		if _, _, ok := ParseKey(info.Key); ok {
			found = append(found, info)
		}
	}
	deltas := make([]lake.Delta, len(found))
	l := newLog(s, tableUUID, after)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(verifiers)
	for i, info := range found {
		g.Go(func() (err error) {
			deltas[i], err = l.verify(gctx, info)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, lake.Step("open the delta log", err)
	}
	for _, d := range deltas {
		if d.First != l.mu.last+1 {
			return nil, nil, missing(tableUUID, l.mu.last+1, d)
		}
		l.mu.last = d.Sequence
	}
	for i := range deltas {
		var err error
		if deltas[i].Sequence <= folded {
			continue
		}
		if deltas[i].Path, err = l.Local(ctx, deltas[i].Key); err != nil {
			l.Close()
			return nil, nil, lake.Step("open the delta log", err)
		}
	}
	return l, deltas, nil
}

// verify reads a delta whole and holds it against its name.
func (l *Log) verify(ctx context.Context, info store.Info) (lake.Delta, error) {
	h, err := l.header(ctx, info)
	if err != nil {
		return lake.Delta{}, err
	}
	return h.Lake(info.Key, info.Size), nil
}

// smallDelta is up to which size a delta is read by one call.
const smallDelta = 1 << 20

// header reads a delta whole and gives its footer, which has to be of its name.
func (l *Log) header(ctx context.Context, info store.Info) (h format.DeltaHeader, err error) {
	key := info.Key
	if err := ctx.Err(); err != nil {
		return h, err
	}
	if info.Size <= smallDelta {
		body, err := l.store.Get(ctx, key)
		if err != nil {
			return h, err
		}
		h, err = format.ReadDeltaHeader(key, bytes.NewReader(body), int64(len(body)))
		if err != nil {
			return h, err
		}
	} else {
		o, err := l.store.Open(ctx, key)
		if err != nil {
			return h, err
		}
		defer o.Close()
		if h, err = format.ReadDeltaHeader(key, o, o.Size()); err != nil {
			return h, err
		}
	}
	if _, sequence, _ := ParseKey(key); h.TableUUID != l.table || h.Sequence != sequence {
		e := lake.Errorf(lake.CodeDamaged, "it holds delta %d of table %s", h.Sequence, h.TableUUID)
		e.Step = key
		return h, e.WithHint("the file was renamed or copied over; restore it from a backup")
	}
	return h, nil
}

func missing(tableUUID string, sequence int64, next lake.Delta) error {
	key := Key(tableUUID, sequence)
	if next.First <= sequence-1 {
		e := lake.Errorf(lake.CodeDamaged, "it starts at sequence %d, which another delta holds", next.First)
		e.Step = next.Key
		return e.WithHint("restore the lake from a backup")
	}
	e := lake.Errorf(lake.CodeDamaged, "the delta is missing, and %s is there", next.Key)
	e.Step = key
	return e.WithHint("restore %s from a backup or a copy of the lake", key)
}

// Trim deletes the deltas up to a sequence, oldest first. The newest is never
// deleted. The caller has recorded trimmed-through in the catalog before, and
// nobody reads them any more.
func (l *Log) Trim(ctx context.Context, through int64) error {
	through = min(through, l.Last()-1)
	var keys []string
	for info, err := range l.store.List(ctx, Prefix(l.table), "") {
		if err != nil {
			return lake.Step("trim the delta log", err)
		}
		_, sequence, ok := ParseKey(info.Key)
		if ok && sequence > through {
			break
		}
		if ok {
			keys = append(keys, info.Key)
		}
	}
	for _, key := range slices.Sorted(slices.Values(keys)) {
		if err := l.store.Delete(ctx, key); err != nil {
			return lake.Step("trim the delta log", err)
		}
		failpoint.Hit("trim.deleted")
		l.forget(key)
	}
	return nil
}
