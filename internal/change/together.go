package change

import (
	"context"
	"os"
	"slices"
	"strings"

	"tarn/internal/dataset"
	"tarn/internal/format"
	"tarn/internal/lake"
)

// PrepareTogether makes the parts of a transaction while all of its datasets stand still.
// It must end soon after ctx. What it gives is let go of by who asked; after an error it
// has let go of all itself.
type PrepareTogether func(ctx context.Context) ([]Part, []lake.TransactionStatement, error)

// Together is what became of a transaction: the acknowledgements of its parts, in their
// order, none where it changed nothing.
type Together struct {
	Parts []Acknowledged
	// Again is set for a transaction that was done before under its Idempotency-Key:
	// where that changed the first dataset.
	Again *Acknowledged
}

// SubmitTogether commits what prepare makes of several datasets, all of it or none: no
// other change of any of them comes between the two. r says what is known before: Name of
// the first dataset, in which the Key is looked up, Key and Hash.
//
// The end of bounded, a context within ctx, ends the waits for the turns and the making,
// with nothing changed. From then on the transaction waits as long as ctx; when that ends
// its outcome is unknown, and a retry with the same Key settles it.
func SubmitTogether(ctx, bounded context.Context, committers []*Committer, r Request, prepare PrepareTogether) (Together, error) {
	first := committers[0]
	if r.Key != "" {
		ack, known, leave, err := first.enter(bounded, r)
		if known || err != nil {
			return Together{Again: &ack}, err
		}
		defer leave()
	}
	for _, c := range committers {
		if err := c.awaitRoom(bounded, Request{Name: c.ds.State().Name}); err != nil {
			return Together{}, err
		}
	}
	t := &together{
		r: r, first: first, all: committers, bounded: bounded, prepare: prepare,
		done: make(chan outcome, 2), committing: make(chan struct{}),
	}
	sorted := inOrder(committers)
	begin := &exclusive{done: make(chan error, 1), run: func(held context.Context, _ *Held) error {
		return hold(bounded, held, sorted[1:], t.run)
	}}
	if err := sorted[0].enqueue(bounded, begin, r.Name); err != nil {
		return Together{}, err
	}
	return t.await(ctx, begin, sorted[0])
}

// inOrder gives committers in the order of their tables' uuids, in which everybody takes
// them who takes several, so that none waits for another in a circle.
func inOrder(committers []*Committer) []*Committer {
	return slices.SortedFunc(slices.Values(committers), func(a, b *Committer) int {
		return strings.Compare(a.ds.State().UUID, b.ds.State().UUID)
	})
}

// hold holds the rest of the committers that are inOrder, one after the other, and runs a
// step. It waits for each as long as ctx lives; held is the context of who is held last.
func hold(ctx, held context.Context, rest []*Committer, step func(held context.Context) error) error {
	if len(rest) == 0 {
		return step(held)
	}
	return rest[0].Exclusive(ctx, func(held context.Context, _ *Held) error {
		return hold(ctx, held, rest[1:], step)
	})
}

// together is a transaction under way. It runs on the goroutines of its committers.
type together struct {
	r          Request
	first      *Committer
	all        []*Committer
	bounded    context.Context
	prepare    PrepareTogether
	done       chan outcome // buffered: no committer waits for a client
	committing chan struct{}
}

type outcome struct {
	together Together
	err      error
}

// await gives a transaction its answer.
func (t *together) await(ctx context.Context, begin *exclusive, first *Committer) (Together, error) {
	bounded, stopped, committing := t.bounded.Done(), first.stopped, t.committing
	var gone <-chan struct{} // the client, from when it is being committed
	for {
		select {
		case o := <-t.done:
			return o.together, o.err
		case err := <-begin.done: // a turn did not come, or it is over
			select {
			case o := <-t.done:
				return o.together, o.err
			default:
				return Together{}, err
			}
		case <-committing:
			committing, gone = nil, ctx.Done()
		case <-gone:
			select { // an answer that came at the same instant
			case o := <-t.done:
				return o.together, o.err
			default:
			}
			return Together{}, lake.Errorf(lake.CodeUnknownOutcome, "the request ended while its changes were being committed").
				WithHint("send it again with the same Idempotency-Key")
		case <-bounded:
			if bounded = nil; begin.take() {
				return Together{}, lake.Step("wait for the committer", t.bounded.Err())
			}
		case <-stopped:
			if stopped = nil; begin.take() {
				return Together{}, first.gone(t.r.Name)
			}
		}
	}
}

// run makes and commits the transaction while all of its committers stand still.
func (t *together) run(held context.Context) error {
	out, err := t.commit(held)
	t.done <- outcome{out, err}
	return nil
}

func (t *together) commit(held context.Context) (Together, error) {
	if o, ok := t.first.ds.Find(t.r.Key); ok {
		ack, err := t.r.again(o)
		return Together{Again: &ack}, err
	}
	for _, c := range t.all {
		if o, ok := c.ds.Find(t.r.Key); ok && o.Hash != t.r.Hash {
			_, err := t.r.again(o)
			return Together{}, err
		}
	}
	making, stop := context.WithCancel(t.bounded)
	defer stop()
	defer context.AfterFunc(held, stop)()
	parts, statements, err := t.prepare(making)
	if err != nil {
		if held.Err() != nil && t.bounded.Err() == nil {
			err = t.first.gone(t.r.Name)
		}
		return Together{}, err
	}
	defer func() {
		for _, p := range parts {
			p.Request.letGo()
		}
	}()
	if err := making.Err(); err != nil {
		return Together{}, lake.Step("make the changes", err)
	}
	if len(parts) == 0 {
		return Together{}, nil
	}
	close(t.committing)
	acks, err := CommitTogether(held, parts, statements, func(err error) { t.done <- outcome{err: err} })
	return Together{Parts: acks}, err
}

// Stands says whether a committer's dataset is still the one that a name meant when it was
// looked up. It is for those who hold the committer.
func (c *Committer) Stands(name lake.Name, uuid string) (*dataset.State, error) {
	s := c.ds.State()
	if s.Dropped || s.UUID != uuid || s.Name.Key() != name.Key() {
		return s, lake.Errorf(lake.CodeDatasetNotFound, "dataset %s was dropped or renamed while the request waited", name)
	}
	return s, nil
}

// WriteDelta writes the changes of a request as a delta that is nobody's yet, at a path in
// scratch, and lets go of the request. h says what stands in its footer but for the rows.
func WriteDelta(path string, h format.DeltaHeader, s lake.Schema, r Request) (d lake.Delta, err error) {
	defer r.letGo()
	if r.File != "" {
		h.Rows = r.FileRows
		if err := format.FinishDelta(r.File, h, s); err != nil {
			return d, err
		}
		if err := os.Rename(r.File, path); err != nil {
			return d, err
		}
	} else {
		merged, err := merge(s, r.Changes)
		if err != nil {
			return d, err
		}
		for _, m := range merged {
			h.Rows += m.Rows.NumRows()
		}
		body, err := format.EncodeDelta(h, s, merged)
		if err != nil {
			return d, err
		}
		if err := os.WriteFile(path, body, 0o600); err != nil {
			return d, err
		}
	}
	fi, err := os.Stat(path)
	if err != nil {
		return d, err
	}
	d = h.Lake(path, fi.Size())
	d.Path = path
	return d, nil
}
