package compaction

import (
	"context"

	"tarn/internal/change"
	"tarn/internal/dataset"
	"tarn/internal/lake"
)

// rounds is how often a content commit catches up with what came while its job
// ran, before changes wait for it.
const rounds = 3

// CatchUp does the work of a content commit. round works on a state, as long as it
// takes; when changes came meanwhile it is run again on the newer state, a few
// times while they go on, then with the committer held. commit runs with the
// committer held, on exactly the state of the last round.
//
// ctx ends the rounds, also the one that holds the committer, and not the commit.
func CatchUp(ctx context.Context, ds *dataset.Dataset, c *change.Committer,
	round func(ctx context.Context, s *dataset.State) error,
	commit func(ctx context.Context, h *change.Held) error) error {
	first := ds.State()
	through := int64(-1)
	work := func(s *dataset.State) error {
		switch {
		case s.Dropped:
			return lake.Errorf(lake.CodeDatasetNotFound, "dataset %s was dropped meanwhile", first.Name)
		case s.Schema.ID != first.Schema.ID:
			return lake.Errorf(lake.CodeSchemaChanged, "the schema of %s changed meanwhile", first.Name).WithHint("try again")
		case s.Sequence == through:
			return nil
		}
		through = s.Sequence
		return round(ctx, s)
	}
	for range rounds {
		if err := work(ds.State()); err != nil {
			return err
		}
		if ds.State().Sequence == through {
			break
		}
	}
	return c.Exclusive(ctx, func(held context.Context, h *change.Held) error {
		if err := work(h.State()); err != nil {
			return err
		}
		return commit(held, h)
	})
}
