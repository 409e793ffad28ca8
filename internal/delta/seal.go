package delta

import (
	"bytes"
	"context"
	"errors"

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

// Newest is the highest sequence that is there now, also of a former server, and the
// one up to which all are there: less where somebody else is sealing the log.
func (l *Log) Newest(ctx context.Context) (newest, whole int64, err error) {
	newest = l.Last()
	whole = newest
	found, err := l.listed(ctx, newest)
	for _, info := range found {
		_, newest, _ = ParseKey(info.Key)
		if newest == whole+1 {
			whole = newest
		}
	}
	return newest, whole, err
}

// Extend takes in the deltas after the last one that the log knows, as Open does, and
// gives them in order with the highest epoch among them.
func (l *Log) Extend(ctx context.Context) (deltas []lake.Delta, epoch int64, err error) {
	found, err := l.listed(ctx, l.Last())
	if err != nil {
		return nil, 0, err
	}
	if deltas, err = l.verifyAll(ctx, found); err != nil {
		return nil, 0, err
	}
	for i, d := range deltas {
		if deltas[i].Path, err = l.Local(ctx, d.Key); err != nil {
			return nil, 0, err
		}
		epoch = max(epoch, d.Epoch)
	}
	deltas, err = l.takeIn(deltas)
	return deltas, epoch, err
}
