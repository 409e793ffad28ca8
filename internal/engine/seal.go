package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"tarn/internal/failpoint"
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
	e.looked(looked)
	e.log.Info("the lake is ours", "epoch", e.shared.Epoch, "datasets", len(e.mu.byUUID), "sealed_in_ms", e.remote.sealedIn.Milliseconds())
	return nil
}

// fillGaps does so for a lake that has a lock, and was copied from a bucket.
func (e *Engine) fillGaps(ctx context.Context) error {
	for _, m := range e.mu.byUUID {
		if m.ds.Log.Gap() == 0 {
			continue
		}
		s, err := e.newSealer(m)
		if err != nil {
			return err
		}
		if err := s.fillGaps(ctx); err != nil {
			return lake.Step("seal the log of "+m.ds.State().Name.String(), err)
		}
	}
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
	s, err := e.newSealer(m)
	if err != nil {
		return err
	}
	if err := s.fillGaps(ctx); err != nil {
		return err
	}
	newest := m.ds.State().Sequence
	whole := newest
	ours, err := s.put(ctx, newest+1, whole)
	failpoint.Hit("seal.put")
	for far := int64(ahead); err == nil && !ours; far *= 2 {
		// A newer server than this one must not find our barrier in its way.
		if err = e.shop.Catalog.Overtaken(ctx); err != nil {
			break
		}
		if newest, whole, err = m.ds.Log.Newest(ctx); err != nil {
			break
		}
		if ours, err = s.put(ctx, newest+far, whole); ours {
			failpoint.Hit("seal.barrier-put")
			err = s.fill(ctx, newest+1, newest+far-1, whole)
		}
	}
	if err != nil {
		return err
	}
	if err := s.extend(ctx); err != nil {
		return err
	}
	return s.fillGaps(ctx) // of one that opened the lake just before us, and went on for a moment
}

// sealer puts empty deltas of our epoch into one log.
type sealer struct {
	e       *Engine
	m       *member
	mu      sync.Mutex // of encoder
	encoder *format.DeltaEncoder
}

func (e *Engine) newSealer(m *member) (*sealer, error) {
	encoder, err := format.NewDeltaEncoder(m.ds.State().Schema)
	return &sealer{e: e, m: m, encoder: encoder}, err
}

// fillGaps ends what another server's take-over left, which ended between its seals.
func (s *sealer) fillGaps(ctx context.Context) error {
	for through := s.m.ds.Log.Gap(); through > 0; through = s.m.ds.Log.Gap() {
		now := s.m.ds.State()
		s.e.log.Warn("a take-over of the lake ended half way; its seals are filled up", "dataset", now.Name.String(), "after", now.Sequence, "through", through)
		if err := s.fill(ctx, now.Sequence+1, through-1, now.Sequence); err != nil {
			return err
		}
		failpoint.Hit("seal.gap-filled")
		if err := s.extend(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fillTo takes the places after the newest delta up to one.
func (s *sealer) fillTo(ctx context.Context, through int64) error {
	newest := s.m.ds.State().Sequence
	if err := s.fill(ctx, newest+1, through, newest); err != nil {
		return err
	}
	return s.extend(ctx)
}

// extend takes the deltas in that are there now.
func (s *sealer) extend(ctx context.Context) error {
	deltas, epoch, err := s.m.ds.Log.Extend(ctx)
	if err != nil {
		return err
	}
	if epoch > s.e.shared.Epoch {
		return lake.Errorf(lake.CodeFenced, "its newest delta is of epoch %d, and ours is %d: another server took the lake over", epoch, s.e.shared.Epoch)
	}
	failpoint.Hit("seal.extended")
	s.e.stream.Do(func() []lake.Entry {
		for _, d := range deltas {
			s.e.shared.Clock.Observe(d.LakePosition, d.Time)
			s.m.ds.Append(d)
		}
		return nil // no worker is there yet: its replay will have them
	})
	return nil
}

// put puts one under a sequence until its outcome is known. after is a sequence up to
// which all are there.
func (s *sealer) put(ctx context.Context, sequence, after int64) (ours bool, err error) {
	state := s.m.ds.State()
	position, at := s.e.shared.Clock.Next()
	h := format.DeltaHeader{
		TableUUID: state.UUID, First: sequence, Sequence: sequence, SchemaID: state.Schema.ID,
		UUID: uuid.NewString(), Epoch: s.e.shared.Epoch, LakePosition: position, Time: at,
		Seal: &lake.Seal{After: after},
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
func (s *sealer) fill(ctx context.Context, from, through, after int64) error {
	g, gctx := errgroup.WithContext(ctx)
	for sequence := from; sequence <= through; sequence++ {
		g.Go(func() error {
			_, err := s.put(gctx, sequence, after)
			failpoint.Hit("seal.filled")
			return err
		})
	}
	return g.Wait()
}
