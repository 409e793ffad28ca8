package serving

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"tarn/internal/duck"
	"tarn/internal/keys"
	"tarn/internal/lake"
)

// load builds an image aside, step by step: the base files as of its begin in
// slices, each followed by a CHECKPOINT, then the pending changes and what came
// meanwhile, as a hot image takes them; last it is shown. The publisher serves
// the stream between two steps. A fold's publish does not touch a load, since
// the load has that content and its files stay pinned; a content commit cancels
// it.
//
// A rebuild is a load of a hot dataset's next image whose slices read the image
// itself, in the order of the key.
type load struct {
	d       *dataset
	order   *order   // nil for a rebuild
	also    []*order // of the other kind: asked again when this one ends
	image   *image
	slices  []slice
	next    int
	deltas  []lake.Delta // committed and not in the image yet, in order
	total   int64        // rows of all slices
	pin     int64        // the stream's number as of which files must stay
	rebuild bool

	cancelled error     // why it must not go on
	loose     bool      // the last slice waits for its CHECKPOINT
	looseTill time.Time // how long it does
	// A reader with a lower ticket is older than the table, and keeps CHECKPOINT away.
	ticket      int64
	readersTill time.Time // how long a slice waits for such
	owedTill    time.Time // and for what readers hold of the last CHECKPOINT
	retryAt     time.Time
	wait        time.Duration
}

// loosePatience is how long a load waits for a CHECKPOINT that readers keep
// away before it goes on with an uncompressed slice, where that fits.
const loosePatience = 2 * time.Second

// How long a slice waits for blocks that readers still hold, and how often it looks.
const (
	owedPatience = 500 * time.Millisecond
	owedLook     = 2 * time.Millisecond
	lateLook     = 10 * time.Millisecond // for a CHECKPOINT of what was written beside
)

// deltasAtOnce is how many deltas a load takes in before the stream has its turn.
const deltasAtOnce = 256

// startLoad begins a load for an order.
func (p *publisher) startLoad(d *dataset, w *order) {
	l := &load{d: d, order: w, image: p.newImage(d.uuid, d.schema), pin: p.end, deltas: slices.Clone(d.pending)}
	l.image.sequence = d.folded
	if err := d.tail.forms.fill(d.files, d.tail.large); err != nil {
		l.cancelled = err
	}
	l.slices = baseSlices(d.schema, d.tail.forms, d.files, d.shown.guard)
	for _, s := range l.slices {
		l.total += s.rows
	}
	p.readers.pin(l.pin)
	d.load = l
	p.noted[d.uuid] = d
	p.loads = append(p.loads, l)
}

// step does the next piece of the first load.
func (p *publisher) step(ctx context.Context) {
	if len(p.loads) == 0 || ctx.Err() != nil {
		return
	}
	l := p.loads[0]
	if !l.ready(time.Now()) && l.cancelled == nil && (l.order == nil || !p.orders.isAbandoned(l.order)) {
		return
	}
	if err := p.stepOf(ctx, l); err != nil {
		if errors.Is(err, errNoRoom) {
			err = p.tooLarge(l)
		}
		p.endLoad(ctx, l, err)
	}
}

// started says whether it has taken rows.
func (l *load) started() bool { return l.image.counts.rows > 0 }

func (l *load) ready(now time.Time) bool { return !now.Before(l.retryAt) }

// errLoaded ends a load that is done.
var errLoaded = errors.New("loaded")

func (p *publisher) stepOf(ctx context.Context, l *load) error {
	switch {
	case l.cancelled != nil:
		return l.cancelled
	case l.order != nil && p.orders.isAbandoned(l.order):
		return lake.Errorf(lake.CodeCancelled, "cancelled: nobody waits for it")
	case l.d.err != nil:
		return notReady(l.d.name, l.d.err)
	case l.loose:
		return p.tighten(ctx, l)
	case l.image.loadedAt.IsZero():
		// What is left of others goes first, so that it is not counted with this
		// image. Where readers keep the CHECKPOINT away it stays theirs.
		_ = p.check.force(ctx, p)
		if len(l.slices) > 0 && !l.rebuild {
			if err := p.begin(ctx, l); err != nil {
				return err
			}
		}
		if err := l.image.create(ctx, p.conn); err != nil {
			return err
		}
		l.image.loadedAt = time.Now()
		l.ticket = p.readers.ticket()
	}
	if l.next < len(l.slices) {
		return p.loadSlice(ctx, l)
	}
	if l.order != nil && l.order.kind == projectOrder {
		return errLoaded
	}
	return p.catchUp(ctx, l)
}

// begin looks at the first slice before there is a table.
func (p *publisher) begin(ctx context.Context, l *load) error {
	first := l.slices[0]
	if first.guard != nil {
		if err := first.guard.check(); err != nil {
			return err
		}
	}
	return p.chooseCodes(ctx, l.image, first)
}

// loadSlice takes the next slice in, where its projection fits.
func (p *publisher) loadSlice(ctx context.Context, l *load) error {
	s := l.slices[l.next]
	if s.guard != nil {
		if err := s.guard.check(); err != nil {
			return err
		}
	}
	// What was written beside goes first, so that what the slice's CHECKPOINT
	// compresses is the slice.
	late := p.writtenBeside(l.image) && p.check.force(ctx, p) != nil
	if late || p.ledger.owed > 0 { // or what a reader gives back would be taken off the slice
		if l.owedTill.IsZero() {
			l.owedTill = time.Now().Add(owedPatience)
		}
		if time.Now().Before(l.owedTill) {
			l.retryAt = time.Now().Add(owedLook)
			if late {
				l.retryAt = time.Now().Add(lateLook)
			}
			return p.account(ctx, true)
		}
	}
	l.owedTill = time.Time{}
	if wait, err := p.fits(l, s); wait || err != nil {
		return err
	}
	if err := p.account(ctx, true); err != nil {
		return err
	}
	p.check.stepped() // where its own CHECKPOINT is kept away, one stays due
	before := l.image.counts.rows
	sql := s.sql
	if !l.rebuild { // whose rows have their numbers
		var err error
		if sql, err = p.codedSlice(ctx, l.image, sql); err != nil {
			return err
		}
	}
	rows, err := p.conn.Rows(ctx, "INSERT INTO "+internal(l.image.table)+" "+sql)
	if err != nil {
		return err
	}
	n, _ := rows[0][0].(int64)
	l.image.counts.rows += n
	l.image.sized.fresh += max(n*64, s.bytes*2)
	l.image.sized.guess = true
	if err := p.note(ctx, l.image, before); err != nil {
		return err
	}
	l.next++
	l.loose, l.looseTill, l.wait = true, time.Now().Add(loosePatience), 0
	return p.tighten(ctx, l)
}

// writtenBeside says whether a CHECKPOINT would compress anything but an image.
func (p *publisher) writtenBeside(m *image) bool {
	waiting := func(s size) bool { return s.unsettled+s.fresh > 0 }
	for _, other := range p.living() {
		if other != m && waiting(other.sized) {
			return true
		}
	}
	return waiting(p.ledger.other)
}

// note adds the keys of the rows from a row number on to the image's filter.
func (p *publisher) note(ctx context.Context, m *image, from int64) error {
	if m.key == nil {
		return nil
	}
	stream, err := p.conn.Query(ctx, fmt.Sprintf("SELECT %s FROM %s WHERE rowid >= %d", keyList(m.schema), internal(m.table), from), duck.Params{})
	if err != nil {
		return err
	}
	defer stream.Close()
	at := make([]int, len(m.schema.Key))
	for i := range at {
		at[i] = i
	}
	enc := keys.NewEncoder(m.schema.KeySchema(), at)
	var key []byte
	for {
		rec, err := stream.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := enc.Check(rec); err != nil {
			rec.Release()
			return err
		}
		for row := range int(rec.NumRows()) {
			key = enc.Append(key[:0], rec, row)
			m.filter.add(key)
		}
		rec.Release()
	}
}

// tighten compresses what the last slice brought. Readers that began before the
// image's table was made keep it waiting.
func (p *publisher) tighten(ctx context.Context, l *load) error {
	err := p.check.force(ctx, p)
	if err != nil && p.used() <= p.ledger.budget && time.Now().Before(l.looseTill) {
		l.wait = min(max(2*l.wait, 2*time.Millisecond), checkpointRetry)
		l.retryAt = time.Now().Add(l.wait)
		return nil
	}
	l.loose = false
	if p.used() > p.ledger.budget {
		return p.tooLarge(l)
	}
	if l.order != nil && l.order.kind == projectOrder {
		l.next = len(l.slices)
	}
	p.post()
	return nil
}

// catchUp brings the changes that the slices lack; the last of them together
// with showing the image.
func (p *publisher) catchUp(ctx context.Context, l *load) error {
	var bytes int64
	n := 0
	for n < min(len(l.deltas), deltasAtOnce) && (n == 0 || bytes+l.deltas[n].Bytes <= bytesAtOnce) {
		bytes += l.deltas[n].Bytes
		n++
	}
	if n < len(l.deltas) || bytes > bytesAtOnce {
		err := p.inTransaction(ctx, func() error { return p.applyTo(ctx, l.image, l.d, l.deltas[:n]) })
		if err != nil {
			l.image.undo()
			return err
		}
		l.image.commit()
		l.deltas = l.deltas[n:]
		if err := p.account(ctx, true); err != nil {
			return err
		}
		if p.used() > p.ledger.budget && (p.check.force(ctx, p) != nil || p.used() > p.ledger.budget) {
			return p.tooLarge(l)
		}
		p.post()
		return nil
	}
	return p.show(ctx, l)
}

// show swaps the image in.
func (p *publisher) show(ctx context.Context, l *load) error {
	d := l.d
	was := d.image
	d.image, d.todo = l.image, nil
	for i := range l.deltas {
		d.todo = append(d.todo, step{delta: &l.deltas[i]})
	}
	d.projected = max(l.projected(), 1)
	d.measured = d.projected
	now := time.Now()
	if l.rebuild {
		p.sortable = now.Add(restingParts * now.Sub(l.image.loadedAt))
	}
	l.image.loadedAt = now
	p.tables.add(l.image) // before anybody can see it
	if err := p.transact(ctx, []*dataset{d}); err != nil {
		d.image, d.todo = was, nil
		if was == nil {
			d.dirty = true
			p.bring(ctx, []*dataset{d})
		}
		return err
	}
	if d.image == l.image { // its last changes may have taken more than they were thought to
		p.keepBudget(ctx, []*dataset{d})
	}
	if d.image != l.image {
		return p.tooLarge(l)
	}
	d.reason = ""
	return errLoaded
}

// endLoad takes a load off the list and answers its order. What is not shown
// goes.
func (p *publisher) endLoad(ctx context.Context, l *load, err error) {
	p.loads = slices.DeleteFunc(p.loads, func(x *load) bool { return x == l })
	p.readers.unpin(l.pin)
	l.d.load = nil
	p.check.stepped()
	shown := l.d.shown.image == l.image
	if l.image.loadedAt.IsZero() || shown {
		// never made, or in use
	} else {
		l.note()
		l.image.loadedAt = time.Time{}
		p.tables.remove(l.image)
		if e := p.conn.Exec(context.WithoutCancel(ctx), "DROP TABLE IF EXISTS "+internal(l.image.table)); e != nil {
			p.broken(e)
		}
		p.ledger.drop(l.image, p.readers.ticket())
	}
	if e := p.account(ctx, true); e != nil {
		p.broken(e)
	}
	if errors.Is(err, errLoaded) {
		err = nil
	} else {
		switch {
		case !l.rebuild:
			l.d.reason = err.Error()
		case l.d.image != nil:
			l.d.reason = "not sorted anew: " + err.Error()
		}
		p.broken(err)
	}
	p.post()
	if l.order != nil {
		p.orders.finish(l.order, p.imageOf(l.d), err)
	}
	p.orders.putOff(l.also)
	p.orders.wake()
	p.log.Info("image", "dataset", l.d.name.String(), "rebuild", l.rebuild, "hot", shown, "rows", l.image.counts.rows,
		"bytes", l.image.bytes(), "error", err)
}
