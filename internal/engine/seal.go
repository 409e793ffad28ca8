package engine

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// seal ends every dataset's log for a former server that may still be writing, as
// nobody can tell from a bucket whether it is: an empty delta of the new epoch takes
// the next sequence of each. Where the former one was faster its delta is taken in
// and the sequence after it is tried; so all that it acknowledged is there, and its
// next put to any log fails on ours.
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
	e.remote.fence.checked.Store(began.UnixNano())
	e.log.Info("the lake is ours", "epoch", e.shared.Epoch, "datasets", len(e.mu.byUUID), "sealed_in_ms", time.Since(began).Milliseconds())
	return nil
}

func (e *Engine) sealOne(ctx context.Context, m *member) error {
	for {
		s := m.ds.State()
		position, at := e.shared.Clock.Next()
		h := format.DeltaHeader{
			TableUUID: s.UUID, First: s.Sequence + 1, Sequence: s.Sequence + 1, SchemaID: s.Schema.ID,
			UUID: uuid.NewString(), Epoch: e.shared.Epoch, LakePosition: position, Time: at,
		}
		encoder, err := format.NewDeltaEncoder(s.Schema)
		if err != nil {
			return err
		}
		body, err := encoder.Encode(h, nil)
		if err != nil {
			return err
		}
		err = m.ds.Log.Seal(ctx, h.Sequence, body, h.UUID)
		for pause := 20 * time.Millisecond; errors.Is(err, lake.ErrUnknownOutcome) && pause < 5*time.Second; pause *= 2 {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return ctx.Err()
			}
			err = m.ds.Log.Seal(ctx, h.Sequence, body, h.UUID)
		}
		switch {
		case err == nil:
			d := h.Lake(m.ds.Log.Key(h.Sequence), int64(len(body)))
			if d.Path, err = m.ds.Log.Local(ctx, d.Key); err != nil {
				return err
			}
			e.take(m, d)
			return nil
		case !errors.Is(err, store.ErrExists):
			return err
		}
		if err := e.takeFound(ctx, m, h.Sequence); err != nil {
			return err
		}
	}
}

// takeFound takes in the delta that another server put where our seal was to go.
func (e *Engine) takeFound(ctx context.Context, m *member, sequence int64) error {
	d, epoch, err := m.ds.Log.Found(ctx, sequence)
	if err != nil {
		return err
	}
	if epoch >= e.shared.Epoch {
		return lake.Errorf(lake.CodeFenced, "%s is of epoch %d, and ours is %d: another server took the lake over", d.Key, epoch, e.shared.Epoch)
	}
	e.shared.Clock.Observe(d.LakePosition, d.Time)
	e.take(m, d)
	return nil
}

func (e *Engine) take(m *member, d lake.Delta) {
	e.stream.Do(func() []lake.Entry {
		m.ds.Append(d)
		return nil // no worker is there yet: its replay will have it
	})
}
