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
	l := newLog(s, tableUUID, after)
	found, err := l.listed(ctx, after)
	if err != nil {
		return nil, nil, lake.Step("list deltas", err)
	}
	deltas, err := l.verifyAll(ctx, found)
	if err != nil {
		return nil, nil, lake.Step("open the delta log", err)
	}
	if deltas, err = l.takeIn(deltas); err != nil {
		return nil, nil, err
	}
	for i := range deltas {
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

// listed gives the deltas after a sequence that are there now, in order.
func (l *Log) listed(ctx context.Context, after int64) ([]store.Info, error) {
	var found []store.Info
	for info, err := range l.store.List(ctx, Prefix(l.table), l.Key(after)) {
		if err != nil {
			return nil, err
		}
		if _, _, ok := ParseKey(info.Key); ok {
			found = append(found, info)
		}
	}
	return found, nil
}

// verifyAll verifies deltas, some at a time.
func (l *Log) verifyAll(ctx context.Context, found []store.Info) ([]lake.Delta, error) {
	deltas := make([]lake.Delta, len(found))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(verifiers)
	for i, info := range found {
		g.Go(func() (err error) {
			deltas[i], err = l.verify(gctx, info)
			return err
		})
	}
	return deltas, g.Wait()
}

// takeIn moves the log's end over deltas, which come after it in order. Where some are
// missing that a take-over left out, it stops before them, and Gap says where they end;
// what else is missing is lake.CodeDamaged.
func (l *Log) takeIn(deltas []lake.Delta) (whole []lake.Delta, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.gap = 0
	last := l.mu.last
	for i, d := range deltas {
		if d.First == last+1 {
			last = d.Sequence
			if l.mu.gap == 0 {
				l.mu.last, whole = last, deltas[:i+1:i+1]
			}
			continue
		}
		if d.First <= last || !leftOut(last, deltas[i:]) {
			return nil, missing(l.table, last+1, d)
		}
		last, l.mu.gap = d.Sequence, d.Sequence
	}
	if l.mu.gap > 0 {
		l.mu.gap = last
	}
	return whole, nil
}

// leftOut says whether what is missing after a sequence was not there yet when the seals
// beyond it were put. The server that put them fills the place up before it takes any
// change; if it ended before, whoever opens the lake next does. So a gap with anything
// but seals beyond it, or with a seal that found it whole, is damage.
func leftOut(last int64, beyond []lake.Delta) bool {
	for _, d := range beyond {
		if d.Seal == nil || d.Seal.After > last {
			return false
		}
	}
	return true
}

// Gap is the newest sequence that is there where some before it are not, as a take-over
// ended between its seals; 0 where none is missing. The log ends before them until they
// were put (Put), and it was extended (Extend).
func (l *Log) Gap() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.gap
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
