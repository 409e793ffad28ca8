package delta

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// Log is the delta log of one dataset. Create, CreateFrom and Settle are for
// its one committer, one call at a time; everything else may be called beside
// them.
type Log struct {
	store store.Store
	table string

	mu struct {
		sync.Mutex
		last      int64 // the newest sequence that is there, before a gap
		gap       int64 // the newest beyond a gap, 0: there is none
		unsettled *attempt
		fenced    error
		paths     map[string]localFile // by key
	}
}

// attempt is a delta whose creation was tried, and may have gone in.
type attempt struct {
	sequence int64
	uuid     string
	create   func(context.Context) error // settles within itself
}

// New is the log of a table that was just made and has no delta. It cannot fail:
// who made the table has no way back.
func New(s store.Store, tableUUID string) *Log { return newLog(s, tableUUID, 0) }

func newLog(s store.Store, tableUUID string, last int64) *Log {
	l := &Log{store: s, table: tableUUID}
	l.mu.last = last
	l.mu.paths = map[string]localFile{}
	return l
}

// Key is where the delta of a sequence lies.
func (l *Log) Key(sequence int64) string { return Key(l.table, sequence) }

// Last is the newest sequence that is there, 0 before the first.
func (l *Log) Last() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.last
}

// Create commits a delta under the next sequence: body is its whole file, uuid
// the delta's own, as its footer has it. After nil it is durable.
//
// lake.CodeUnknownOutcome: it may or may not be there; call Settle. lake.CodeFenced:
// somebody else wrote that sequence, and nothing will be taken any more.
// lake.CodeUnavailable while an earlier delta is unsettled. Any other error: it is
// not there.
func (l *Log) Create(ctx context.Context, sequence int64, body []byte, uuid string) error {
	key := l.Key(sequence)
	return l.try(ctx, &attempt{sequence, uuid, func(ctx context.Context) error {
		return store.CreateSettled(ctx, l.store, key, body, func(existing []byte) bool {
			h, err := format.ReadDeltaHeader(key, bytes.NewReader(existing), int64(len(existing)))
			return err == nil && h.UUID == uuid
		})
	}})
}

// CreateFrom is Create with the file at path, which must stay until the outcome
// is known.
func (l *Log) CreateFrom(ctx context.Context, sequence int64, path, uuid string) error {
	key := l.Key(sequence)
	return l.try(ctx, &attempt{sequence, uuid, func(ctx context.Context) error {
		return store.CreateFromSettled(ctx, l.store, key, path, func(existing store.Object) (bool, error) {
			h, err := format.ReadDeltaHeader(key, existing, existing.Size())
			if err != nil && !errors.Is(err, lake.ErrDamaged) {
				return false, err // not read: it says nothing about whose it is
			}
			return err == nil && h.UUID == uuid, nil
		})
	}})
}

// Settle creates the unsettled delta again. nil: it is there, or there was none
// to settle. lake.CodeUnknownOutcome: still not known. lake.CodeFenced: somebody
// else's is there, so ours is not.
func (l *Log) Settle(ctx context.Context) error {
	l.mu.Lock()
	a, fenced := l.mu.unsettled, l.mu.fenced
	l.mu.Unlock()
	switch {
	case fenced != nil:
		return fenced
	case a == nil:
		return nil
	}
	return l.done(a, true, a.create(ctx))
}

// Unsettled gives the sequence whose outcome is unknown.
func (l *Log) Unsettled() (sequence int64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.unsettled == nil {
		return 0, false
	}
	return l.mu.unsettled.sequence, true
}

func (l *Log) try(ctx context.Context, a *attempt) error {
	l.mu.Lock()
	last, unsettled, fenced := l.mu.last, l.mu.unsettled, l.mu.fenced
	l.mu.Unlock()
	switch {
	case fenced != nil:
		return fenced
	case unsettled != nil:
		return lake.Errorf(lake.CodeUnavailable, "%s: whether %s went in is not known yet; nothing was tried", l.Key(a.sequence), l.Key(unsettled.sequence)).
			WithHint("try again in a moment")
	case a.sequence != last+1:
		return lake.Errorf(lake.CodeInternal, "create delta %d of %s after %d", a.sequence, l.table, last)
	}
	return l.done(a, false, a.create(ctx))
}

// done takes in how an attempt ended. again says that an earlier try of it may
// have gone in: then only its presence, or that of another delta in its place,
// makes the outcome known.
func (l *Log) done(a *attempt, again bool, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := l.Key(a.sequence)
	switch {
	case err == nil:
		l.mu.last, l.mu.unsettled = a.sequence, nil
		return nil
	case errors.Is(err, store.ErrExists):
		l.mu.unsettled = nil
		l.mu.fenced = lake.Errorf(lake.CodeFenced, "%s was written by another server: the lake was taken over", key).
			WithHint("stop this server; let one server at a time write a lake")
		return l.mu.fenced
	case again || errors.Is(err, lake.ErrUnknownOutcome):
		l.mu.unsettled = a
		return lake.Errorf(lake.CodeUnknownOutcome, "whether %s went in is not known: %w", key, err).
			WithHint("repeat the request with the same Idempotency-Key")
	default:
		return err
	}
}
