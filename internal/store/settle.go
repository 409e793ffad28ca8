package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"tarn/internal/lake"
)

// settleTries bounds how often one call creates the same bytes.
const settleTries = 4

// CreateSettled creates an object and settles an unknown outcome: it creates
// the same bytes again, at most 4 tries in all, and where something is there it
// reads that back and asks same whether it is ours (compare the identity
// inside, a UUID; equal bytes are not needed).
//
// nil: ours is there, durably. ErrExists: something else is there.
// lake.ErrUnknownOutcome: still not known. Any other error: this call did not
// put it there.
//
// After an unknown outcome call again, with the same bytes, until nil or
// ErrExists comes, and try no other key that depends on this one until then: any
// other error of a later call says nothing of the earlier one.
func CreateSettled(ctx context.Context, s Store, key string, body []byte, same func(existing []byte) bool) error {
	return settle(ctx, key,
		func() error { return s.Create(ctx, key, body) },
		func() (bool, error) {
			existing, err := s.Get(ctx, key)
			return err == nil && same(existing), err
		})
}

// CreateFromSettled is CreateSettled for the file at path. same reads as much of
// the object as it needs.
func CreateFromSettled(ctx context.Context, s Store, key, path string, same func(existing Object) (bool, error)) error {
	return settle(ctx, key,
		func() error { return s.CreateFrom(ctx, key, path) },
		func() (bool, error) {
			existing, err := s.Open(ctx, key)
			if err != nil {
				return false, err
			}
			ours, err := same(existing)
			return ours, errors.Join(err, existing.Close())
		})
}

func settle(ctx context.Context, key string, create func() error, ours func() (bool, error)) error {
	open := false // an earlier try may have gone in
	var last error
	for try := range settleTries {
		if err := settlePause(ctx, try); err != nil {
			break
		}
		err := create()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrExists):
			// It may be ours from an earlier try, or, on stores that retry by
			// themselves, from this one.
			is, readErr := ours()
			if readErr == nil && is {
				return nil
			}
			if readErr == nil {
				return err
			}
			open, err = true, readErr
		case errors.Is(err, lake.ErrUnknownOutcome):
			open = true
		case !open:
			return err
		}
		last = err
		if ctx.Err() != nil {
			break
		}
	}
	if errors.Is(last, lake.ErrUnknownOutcome) {
		return last
	}
	return unknown(key, "settle", last)
}

// settlePause waits between two tries, longer each time, half of it by chance: a
// store that is overwhelmed is not helped by those who come back together.
func settlePause(ctx context.Context, try int) error {
	if try < 2 { // mostly the answer alone was lost
		return nil
	}
	p := 20 * time.Millisecond << (try - 2)
	timer := time.NewTimer(p/2 + rand.N(p/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unknown says that key may or may not have been created.
func unknown(key, step string, cause error) error {
	e := lake.Errorf(lake.CodeUnknownOutcome, "%s: %s: whether it went in is not known: %w", key, step, cause)
	return e.WithHint("repeat the request with the same Idempotency-Key; if it stays so, look at the disk of the lake")
}
