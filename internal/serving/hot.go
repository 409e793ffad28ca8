package serving

import (
	"context"
	"errors"

	"tarn/internal/lake"
)

// errNoRoom says that an apply would exceed the budget.
var errNoRoom = errors.New("its changes would exceed the budget of images")

// buildHot brings a hot dataset's image to what is declared. The tail, where it
// was cold before, goes with the same transaction.
func (p *publisher) buildHot(ctx context.Context, d *dataset) error {
	if d.shown.image == nil || len(d.tail.exist) > 0 {
		d.tail.reset(d.schema, d.files)
	}
	var deltas []lake.Delta
	for _, s := range d.todo {
		if s.delta != nil && s.delta.Sequence > d.image.sequence {
			deltas = append(deltas, *s.delta)
		}
	}
	return p.applyTo(ctx, d.image, d, deltas)
}

// applyTo brings deltas, in order, to an image in the open transaction; small
// ones that follow each other together. It fails with errNoRoom before a part
// that would exceed the budget.
func (p *publisher) applyTo(ctx context.Context, m *image, d *dataset, deltas []lake.Delta) error {
	var small []loaded
	var bytes int64
	release := func() {
		for _, l := range small {
			l.release()
		}
		small, bytes = nil, 0
	}
	defer release()
	flush := func() error {
		if len(small) == 0 {
			return nil
		}
		if err := p.room(m, bytes); err != nil {
			return err
		}
		err := m.apply(ctx, p.conn, small)
		release()
		return err
	}
	for _, x := range deltas {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.check.changed(x.Rows)
		if p.large(x) {
			if err := flush(); err != nil {
				return err
			}
			if err := p.room(m, 2*x.Bytes); err != nil {
				return err
			}
			if err := m.applyLarge(ctx, p.conn, d.uuid, x); err != nil {
				return err
			}
			continue
		}
		l, err := p.load(x, d)
		if err != nil {
			return err
		}
		small = append(small, l)
		for _, ch := range l.changes {
			bytes += arrowBytes(ch.Rows)
		}
		if bytes > bytesAtOnce {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// room says whether so many bytes of rows, not compressed yet, fit.
func (p *publisher) room(m *image, bytes int64) error {
	if !m.opened {
		bytes += openBytes(m.schema.Columns, len(m.codes))
	}
	if p.used()+m.change.bytes+bytes+slackBytes > p.ledger.budget {
		return errNoRoom
	}
	return nil
}

// shownImage books that a committed transaction shows an image, or none.
func (p *publisher) shownImage(d *dataset, next *image) {
	was := d.shown.image
	if next != nil {
		next.commit()
		p.noted[d.uuid] = d
	}
	if was != nil && was != next {
		p.ledger.drop(was, p.readers.ticket())
		p.tables.remove(was)
	}
}
