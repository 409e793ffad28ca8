package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"tarn/internal/format"
	"tarn/internal/lake"
)

// seal ends every dataset's log for a former server that may still be writing, as
// nobody can tell from a bucket whether it is: an empty delta of the new epoch takes
// the next sequence of each, after all that the former one acknowledged, and its next
// put to any log fails on ours.
func (e *Engine) seal(ctx context.Context) error {
	began := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(e.openLimit())
	for _, m := range e.mu.byUUID {
		g.Go(func() error {
			return lake.Step("seal the log of "+m.ds.State().Name.String(), e.sealOne(gctx, m))
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	e.remote.sealedIn = time.Since(began)
	looked := time.Now()
	if err := e.shop.Catalog.Overtaken(ctx); err != nil { // by one that opened it meanwhile
		return err
	}
	e.remote.fence.checked.Store(looked.UnixNano())
	e.log.Info("the lake is ours", "epoch", e.shared.Epoch, "datasets", len(e.mu.byUUID), "sealed_in_ms", e.remote.sealedIn.Milliseconds())
	return nil
}

// SealedIn is how long the sealing of all logs took as the lake was opened; 0 for a
// lake on this machine, which has a lock.
func (e *Engine) SealedIn() time.Duration {
	if e.remote == nil {
		return 0
	}
	return e.remote.sealedIn
}

// ahead is how many sequences beyond the newest of a log that is being written its
// barrier is put: more than a writer can take in the time of one call.
const ahead = 32

// sealOne seals a log. Mostly nobody writes it, and the next sequence is free. Where
// somebody does, he is as fast as we are, and the race for the next one could go on
// for good: then a barrier is put so far ahead that he cannot be past it, and all
// sequences before it are filled up, at once. He stops at the first that is ours.
func (e *Engine) sealOne(ctx context.Context, m *member) error {
	encoder, err := format.NewDeltaEncoder(m.ds.State().Schema)
	if err != nil {
		return err
	}
	s := sealer{e: e, m: m, encoder: encoder}
	ours, err := s.put(ctx, m.ds.State().Sequence+1)
	for far := int64(ahead); err == nil && !ours; far *= 2 {
		// A newer server than this one must not find our barrier in its way.
		if err = e.shop.Catalog.Overtaken(ctx); err != nil {
			break
		}
		var newest int64
		if newest, err = m.ds.Log.Newest(ctx); err != nil {
			break
		}
		if ours, err = s.put(ctx, newest+far); ours {
			err = s.fill(ctx, newest+1, newest+far-1)
		}
	}
	if err != nil {
		return err
	}
	deltas, epoch, err := m.ds.Log.Extend(ctx)
	if err != nil {
		return err
	}
	if epoch > e.shared.Epoch {
		return lake.Errorf(lake.CodeFenced, "its newest delta is of epoch %d, and ours is %d: another server took the lake over", epoch, e.shared.Epoch)
	}
	e.stream.Do(func() []lake.Entry {
		for _, d := range deltas {
			e.shared.Clock.Observe(d.LakePosition, d.Time)
			m.ds.Append(d)
		}
		return nil // no worker is there yet: its replay will have them
	})
	return nil
}

// sealer puts empty deltas of our epoch into one log.
type sealer struct {
	e       *Engine
	m       *member
	mu      sync.Mutex // of encoder
	encoder *format.DeltaEncoder
}

// put puts one under a sequence until its outcome is known.
func (s *sealer) put(ctx context.Context, sequence int64) (ours bool, err error) {
	state := s.m.ds.State()
	position, at := s.e.shared.Clock.Next()
	h := format.DeltaHeader{
		TableUUID: state.UUID, First: sequence, Sequence: sequence, SchemaID: state.Schema.ID,
		UUID: uuid.NewString(), Epoch: s.e.shared.Epoch, LakePosition: position, Time: at,
	}
	s.mu.Lock()
	body, err := s.encoder.Encode(h, nil)
	s.mu.Unlock()
	if err != nil {
		return false, err
	}
	for pause := 20 * time.Millisecond; ; pause *= 2 {
		ours, err = s.m.ds.Log.Put(ctx, sequence, body, h.UUID)
		if !errors.Is(err, lake.ErrUnknownOutcome) || pause > 5*time.Second {
			return ours, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// fill takes what is free of some sequences, all at once.
func (s *sealer) fill(ctx context.Context, from, through int64) error {
	g, gctx := errgroup.WithContext(ctx)
	for sequence := from; sequence <= through; sequence++ {
		g.Go(func() error {
			_, err := s.put(gctx, sequence)
			return err
		})
	}
	return g.Wait()
}
