package change

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"tarn/internal/dataset"
	"tarn/internal/failpoint"
	"tarn/internal/format"
	"tarn/internal/lake"
)

// Part is what a transaction changes in one dataset. Key and Hash of its Request are
// the transaction's.
type Part struct {
	Committer *Committer
	Request   Request
}

// CommitTogether commits the parts of a transaction, all of them or none; the caller
// holds their committers (Together). unknown is told, once, that the outcome is not
// known for longer than clients wait; CommitTogether goes on until it is.
func CommitTogether(ctx context.Context, parts []Part, statements []lake.TransactionStatement, unknown func(error)) ([]Acknowledged, error) {
	c := &commitTogether{shared: parts[0].Committer.shared}
	position, at := c.shared.Clock.Next() // one for all: an instant has all of them or none
	txn := &lake.Transaction{UUID: uuid.NewString(), Statements: statements}
	for _, p := range parts {
		s := p.Committer.ds.State()
		txn.Deltas = append(txn.Deltas, lake.TransactionDelta{TableUUID: s.UUID, Sequence: s.Sequence + 1})
		w := &waiting{Request: p.Request, ctx: ctx, done: make(chan answer, 1)}
		header := p.Committer.headerAt(position, at, s, []lake.Request{w.at(1)})
		header.Transaction = txn
		c.parts = append(c.parts, &togetherPart{c: p.Committer, w: w, s: s, header: header})
	}
	failpoint.Hit("transaction.begun")
	c.create(ctx, unknown)
	failpoint.Hit("transaction.created")
	for _, p := range c.parts {
		if p.err != nil {
			return nil, c.abort(ctx, p.err)
		}
	}
	return c.publish(), nil
}

// commitTogether is the deltas of a transaction under way.
type commitTogether struct {
	shared *Shared
	parts  []*togetherPart
}

type togetherPart struct {
	c      *Committer
	w      *waiting
	s      *dataset.State // before
	header format.DeltaHeader
	delta  lake.Delta
	err    error // nil: the delta is there
}

func (c *commitTogether) committers() []*Committer {
	out := make([]*Committer, len(c.parts))
	for i, p := range c.parts {
		out[i] = p.c
	}
	return out
}

// create creates all deltas at once, and settles what is unknown of them.
func (c *commitTogether) create(ctx context.Context, unknown func(error)) {
	var tell sync.Once
	var going sync.WaitGroup
	for _, p := range c.parts {
		going.Go(func() {
			stop := make(chan struct{})
			var told sync.WaitGroup
			told.Go(func() { // settle answers who waits too long
				select {
				case a := <-p.w.done:
					tell.Do(func() { unknown(a.err) })
					refuseBehind(c.committers(), p.c.ds.Log.Key(p.header.Sequence), stop)
				case <-stop:
				}
			})
			taken := []*waiting{p.w}
			d, err := p.c.create(ctx, p.header, p.s, taken)
			failpoint.Hit("transaction.one-created")
			p.delta, p.err = p.c.known(ctx, d, taken, err)
			close(stop)
			told.Wait()
		})
	}
	going.Wait()
	for _, p := range c.parts {
		if p.err == nil {
			p.c.removeFile(p.w)
		}
	}
}

// publish shows the transaction, all of it at once.
func (c *commitTogether) publish() []Acknowledged {
	keys := make([][]string, len(c.parts))
	for i, p := range c.parts {
		p.c.lastRows = p.w.Rows
		keys[i] = p.c.changed(p.s, []*waiting{p.w})
	}
	c.show(func(i int, p *togetherPart) lake.Entry { return p.c.show(p.s, p.delta, keys[i]) })
	failpoint.Hit("transaction.published")
	acks := make([]Acknowledged, len(c.parts))
	for i, p := range c.parts {
		acks[i] = p.w.acknowledged(p.s, p.header.Sequence, 1)
	}
	return acks
}

// show puts what took the sequences into the stream, as one group.
func (c *commitTogether) show(took func(i int, p *togetherPart) lake.Entry) {
	c.shared.Stream.Do(func() []lake.Entry {
		out := make([]lake.Entry, len(c.parts))
		for i, p := range c.parts {
			out[i] = took(i, p)
		}
		return oneGroup(out)
	})
}

// abort ends a transaction of which a delta could not be created. Where others are
// there, empty deltas take the places of those that are not, so that whoever reads the
// logs knows; before that none of the datasets takes a change.
func (c *commitTogether) abort(ctx context.Context, cause error) error {
	there := slices.ContainsFunc(c.parts, func(p *togetherPart) bool { return p.err == nil })
	if !there || isUnknown(cause) || ctx.Err() != nil {
		return cause // nobody has a sequence; or who opens the lake next finds out
	}
	for _, p := range c.parts {
		if p.err == nil {
			continue
		}
		d, err := c.fill(ctx, p)
		if err != nil {
			return errors.Join(cause, err)
		}
		p.delta = d
	}
	c.show(func(_ int, p *togetherPart) lake.Entry {
		d := p.delta
		if p.err == nil {
			d = d.Avoid()
		}
		p.c.ds.Append(d)
		return applied(p.s, d)
	})
	failpoint.Hit("transaction.aborted")
	return cause
}

// fill takes the place of a delta that did not come by an empty one, however long that
// takes.
func (c *commitTogether) fill(ctx context.Context, p *togetherPart) (lake.Delta, error) {
	header := p.c.header(p.s, nil)
	defer refuseLate(c.committers(), p.c.ds.Log.Key(header.Sequence))()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		d, err := p.c.createChanges(ctx, header, p.s, []format.Changes{})
		d, err = p.c.known(ctx, d, nil, err)
		if err == nil || lake.CodeOf(err) == lake.CodeFenced {
			return d, err
		}
		c.shared.Log.Warn("a transaction was undone, and the place of a delta of it cannot be filled yet; the datasets take no change until it is", "key", d.Key, "err", err)
		for _, held := range c.committers() {
			held.refuseWaiting(d)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return d, lake.Step("undo the transaction", ctx.Err())
		}
	}
}
