package change

import (
	"context"

	"tarn/internal/dataset"
	"tarn/internal/lake"
)

// Prepare makes a request at the state that its dataset has when its turn came: the
// committer stands still until it returns. The request has the Name, UUID, IfMatch, Key
// and Hash that it was submitted with; one of no changes and without a Key makes no
// delta, one with Content a content commit. It must end soon after ctx.
type Prepare func(ctx context.Context, s *dataset.State) (Request, error)

// prepared is a request in the committer's queue whose changes are made when its turn
// comes.
type prepared struct {
	*waiting
	prepare Prepare
}

// SubmitPrepared commits what prepare makes of the dataset's newest state: no other
// change of the dataset comes between the two. It shares no delta. r says what is known
// before: Name, UUID, IfMatch, Key and Hash.
//
// The end of bounded, a context within ctx, ends the wait for the turn and the making,
// with nothing changed. From then on the request is as one of Submit, and waits as long
// as ctx.
func (c *Committer) SubmitPrepared(ctx, bounded context.Context, r Request, prepare Prepare) (Acknowledged, error) {
	if r.Key != "" {
		ack, known, leave, err := c.enter(bounded, r)
		if known || err != nil {
			return ack, err
		}
		defer leave()
	}
	if !r.Folds {
		if err := c.awaitRoom(bounded, r); err != nil {
			return Acknowledged{}, err
		}
	}
	w := &waiting{Request: r, ctx: bounded, done: make(chan answer, 1)}
	if err := c.enqueue(bounded, &prepared{w, prepare}, r.Name); err != nil {
		return Acknowledged{}, err
	}
	return c.await(ctx, w)
}

// prepared makes a request and commits it. Whatever happens, it gets its answer, unless
// its client has given up.
func (c *Committer) prepared(ctx context.Context, it *prepared) {
	s := c.ds.State()
	answer := func(ack Acknowledged, err error) {
		if it.take() {
			it.answer(ack, err)
		}
	}
	if o, ok := c.ds.Find(it.Key); ok {
		answer(it.again(o))
		return
	}
	now := &waiting{Request: it.Request, ctx: it.ctx, done: it.done}
	now.SchemaID = s.Schema.ID
	if err := now.check(s, s.ETag()); err != nil {
		answer(Acknowledged{}, err)
		return
	}
	making, stop := context.WithCancel(it.ctx)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	r, err := it.prepare(making, s)
	if err != nil {
		if ctx.Err() != nil && it.ctx.Err() == nil {
			err = c.gone(it.Name)
		}
		answer(Acknowledged{}, err)
		return
	}
	if !it.take() {
		r.letGo()
		return
	}
	if r.Rows == 0 && r.Key == "" {
		r.letGo()
		it.answer(Acknowledged{ReadPoint: lake.ReadPoint{TableUUID: s.UUID, Sequence: s.Sequence}, ETag: s.ETag()}, nil)
		return
	}
	if r.Content != nil {
		ack, err := r.Content(ctx, &Held{c: c})
		r.letGo()
		it.answer(ack, err)
		return
	}
	now.Request = r
	c.commit(ctx, []*waiting{now})
}
