package delta

import (
	"bytes"
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// Put creates a delta under any sequence of a log that a former server may still be
// writing, before the log is used: ours says whether it is there now, and not one of
// the other's. The log does not know of it until Extend.
func (l *Log) Put(ctx context.Context, sequence int64, body []byte, uuid string) (ours bool, err error) {
	key := l.Key(sequence)
	err = store.CreateSettled(ctx, l.store, key, body, func(existing []byte) bool {
		h, err := format.ReadDeltaHeader(key, bytes.NewReader(existing), int64(len(existing)))
		return err == nil && h.UUID == uuid
	})
	if errors.Is(err, store.ErrExists) {
		return false, nil
	}
	return err == nil, err
}

// Newest is the highest sequence that is there now, also of a former server.
func (l *Log) Newest(ctx context.Context) (int64, error) {
	newest := l.Last()
	for info, err := range l.store.List(ctx, Prefix(l.table), l.Key(newest)) {
		if err != nil {
			return 0, err
		}
		if _, sequence, ok := ParseKey(info.Key); ok {
			newest = sequence
		}
	}
	return newest, nil
}

// Extend takes in the deltas after the last one that the log knows, as Open does, and
// gives them in order with the highest epoch among them.
func (l *Log) Extend(ctx context.Context) (deltas []lake.Delta, epoch int64, err error) {
	var found []store.Info
	for info, err := range l.store.List(ctx, Prefix(l.table), l.Key(l.Last())) {
		if err != nil {
			return nil, 0, err
		}
		if _, _, ok := ParseKey(info.Key); ok {
			found = append(found, info)
		}
	}
	headers := make([]format.DeltaHeader, len(found))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(verifiers)
	for i, info := range found {
		g.Go(func() (err error) {
			headers[i], err = l.header(gctx, info)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, 0, err
	}
	last := l.Last()
	for i, h := range headers {
		d := h.Lake(found[i].Key, found[i].Size)
		if h.First != last+1 {
			return nil, 0, missing(l.table, last+1, d)
		}
		if d.Path, err = l.Local(ctx, d.Key); err != nil {
			return nil, 0, err
		}
		last, epoch = h.Sequence, max(epoch, h.Epoch)
		deltas = append(deltas, d)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.last = last
	return deltas, epoch, nil
}
