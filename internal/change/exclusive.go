package change

import (
	"context"

	"tarn/internal/base"
	"tarn/internal/dataset"
	"tarn/internal/failpoint"
	"tarn/internal/format"
	"tarn/internal/lake"
)

// exclusive is a step that runs on the committer's goroutine, between deltas.
type exclusive struct {
	turn
	run  func(ctx context.Context, h *Held) error
	done chan error
}

func (e *exclusive) finish(err error) { e.done <- err }

// Held is the committer standing still: while a step has it, no sequence of the
// dataset is given out to anybody else.
type Held struct{ c *Committer }

// Exclusive runs a step in the dataset's order: drop, rename, content commits.
// It waits for its turn as long as ctx lives, and then has not run; once begun,
// the step runs to its end whatever happens to ctx.
func (c *Committer) Exclusive(ctx context.Context, run func(ctx context.Context, h *Held) error) error {
	e := &exclusive{run: run, done: make(chan error, 1)}
	select {
	case c.queue <- e:
	case <-ctx.Done():
		return lake.Step("wait for the committer", ctx.Err())
	case <-c.stopped:
		return c.gone(c.ds.State().Name)
	}
	select {
	case err := <-e.done:
		return err
	case <-ctx.Done():
		if e.take() {
			return lake.Step("wait for the committer", ctx.Err())
		}
	case <-c.stopped:
		if e.take() {
			return c.gone(c.ds.State().Name)
		}
	}
	return <-e.done
}

// State is the dataset while nobody else can change its sequence.
func (h *Held) State() *dataset.State { return h.c.ds.State() }

// NewBase is a base that a commit made current.
type NewBase struct {
	Table         *base.Table
	Files         []lake.BaseFile
	FoldedThrough int64
}

// apply puts a new base into a state.
func (n NewBase) apply(s *dataset.State) {
	s.Table, s.Files, s.FoldedThrough = n.Table, n.Files, n.FoldedThrough
	s.Schema = n.Table.Schema()
}

// ContentCommit takes the next sequence n by an empty delta and lets commit make
// a base current that contains everything up to n, with folded-through n; or one that is
// to be read with the changes that are pending on top, with folded-through as it was. The
// empty delta enters the stream with the publish, as one entry, or alone once
// the commit has failed for certain. commit settles an unknown outcome of what makes
// the base current itself, for as long as ctx lives.
func (h *Held) ContentCommit(ctx context.Context, commit func(ctx context.Context, n int64) (NewBase, error)) (*dataset.State, error) {
	return h.commitAt(ctx, ShownContent, commit)
}

// SchemaCommit is ContentCommit for a base under another schema, with folded-through
// as it was: what is pending stays, and is read by field ids.
func (h *Held) SchemaCommit(ctx context.Context, commit func(ctx context.Context, n int64) (NewBase, error)) (*dataset.State, error) {
	return h.commitAt(ctx, ShownSchema, commit)
}

// commitAt takes a sequence by an empty delta and commits.
func (h *Held) commitAt(ctx context.Context, shown Shown, commit func(ctx context.Context, n int64) (NewBase, error)) (*dataset.State, error) {
	c := h.c
	s := c.ds.State()
	header := c.header(s, nil)
	d, err := c.createChanges(ctx, header, s, []format.Changes{})
	d, err = c.known(ctx, d, nil, err)
	if err != nil {
		return nil, lake.Step("take a sequence", err)
	}
	failpoint.Hit("content.sequence-taken")
	made, err := commit(ctx, d.Sequence)
	failpoint.Hit("content.committed")
	states, err := conclude(ctx, []AtOnce{{h, shown}}, []*lake.Delta{&d}, []NewBase{made}, err, func() { failpoint.Hit("content.published") })
	if err != nil {
		return nil, err
	}
	return states[0], nil
}

// PublishFold makes a folded base current for readers. It needs no turn in the
// dataset's order: the content stays the same. It does nothing to a dataset
// that was dropped meanwhile.
func (c *Committer) PublishFold(made NewBase) *dataset.State {
	var next *dataset.State
	c.shared.Stream.Do(func() []lake.Entry {
		if c.ds.State().Dropped {
			return nil
		}
		next = c.ds.Update(made.apply)
		return []lake.Entry{next.Publish(false)}
	})
	c.Room()
	return next
}

// Rename gives the dataset another name for all that come later; also runs in
// the same step.
func (h *Held) Rename(to lake.Name, also func()) *dataset.State {
	var next *dataset.State
	h.c.shared.Stream.Do(func() []lake.Entry {
		also()
		next = h.c.ds.Update(func(s *dataset.State) { s.Name = to })
		return []lake.Entry{{Rename: &lake.Rename{TableUUID: next.UUID, To: to}}}
	})
	return next
}

// Drop ends the dataset: what waits is answered 404 and the committer stops; also
// runs in the same step.
func (h *Held) Drop(also func()) {
	h.c.shared.Stream.Do(func() []lake.Entry {
		also()
		s := h.c.ds.Update(func(s *dataset.State) { s.Dropped = true })
		return []lake.Entry{{Drop: &lake.Drop{TableUUID: s.UUID}}}
	})
}
