package serving

import (
	"context"
	"sync"
	"time"

	"tarn/internal/lake"
)

// LoadImage loads a dataset's image and waits until it is shown. It joins a load
// that is under way and answers at once for a hot dataset. after is a number of
// the stream that must be applied first. The end of ctx cancels the load unless
// somebody else waits for it. Errors: CodeDatasetNotFound; CodeOutOfMemory when
// it would exceed the budget, with Image.Projected filled in; CodeCancelled when
// a content commit or a drop came in between; CodeNotReady, CodeDamaged as
// queries of the dataset.
func (s *Serving) LoadImage(ctx context.Context, tableUUID string, after int64) (Image, error) {
	return s.order(ctx, loadOrder, tableUUID, after)
}

// ProjectImage says how many bytes a dataset's image will take, by loading a
// first slice of it aside and dropping that; of a hot one, how many it takes.
// It fails as LoadImage does.
func (s *Serving) ProjectImage(ctx context.Context, tableUUID string, after int64) (int64, error) {
	m, err := s.order(ctx, projectOrder, tableUUID, after)
	if m.State == ImageHot {
		return m.Bytes, err
	}
	return m.Projected, err
}

// DropImage makes a dataset cold; a load of it is cancelled. A cold one stays.
func (s *Serving) DropImage(ctx context.Context, tableUUID string, after int64) (Image, error) {
	return s.order(ctx, dropOrder, tableUUID, after)
}

func (s *Serving) order(ctx context.Context, kind orderKind, uuid string, after int64) (Image, error) {
	if err := s.ear.waitHeard(ctx, after); err != nil {
		return Image{}, err
	}
	if _, ok := s.ear.dataset(uuid); !ok {
		return Image{}, lake.Errorf(lake.CodeDatasetNotFound, "the dataset does not exist")
	}
	heard, _ := s.ear.positions()
	return s.orders.ask(ctx, orderKey{kind, uuid}, heard)
}

// Images is what the images take now. It never waits for the publisher.
func (s *Serving) Images() Images { return s.board.read(s.readers.oldestTicket()) }

// board is where the publisher says what the images are, after each of its
// steps.
type board struct {
	sync.Mutex
	images Images
	held   []heldImage
}

func (b *board) read(oldest int64) Images {
	b.Lock()
	defer b.Unlock()
	out := b.images
	for _, h := range b.held {
		if h.before <= oldest { // its last reader has ended since
			out.UsedBytes -= h.bytes
			out.HeldBytes -= h.bytes
		}
	}
	return out
}

// post writes the board.
func (p *publisher) post() {
	p.ledger.release(p.readers.oldestTicket())
	images := Images{BudgetBytes: p.ledger.budget, HeldBytes: p.ledger.heldBytes(), Images: []Image{}}
	images.UsedBytes = images.HeldBytes
	for uuid, d := range p.noted {
		m := p.imageOf(d)
		if m.State == ImageCold && d.load == nil && (d.dropped || m.Reason == "" && m.Projected == 0) {
			delete(p.noted, uuid)
			continue
		}
		images.Images = append(images.Images, m)
	}
	for _, m := range p.living() {
		images.UsedBytes += m.bytes()
		images.PassingBytes += m.sized.unsettled + m.sized.fresh
	}
	for _, l := range p.loads {
		if l.rebuild {
			images.PassingBytes += l.image.bytes()
		}
	}
	p.board.Lock()
	defer p.board.Unlock()
	p.board.images, p.board.held = images, append([]heldImage(nil), p.ledger.held...)
}

// imageOf is a dataset's entry on the board.
func (p *publisher) imageOf(d *dataset) Image {
	out := Image{TableUUID: d.uuid, State: ImageCold, Sequence: d.last, Reason: d.reason, Projected: d.projected, Guessed: d.measured == 0}
	fill := func(m *image) {
		out.Rows, out.Bytes, out.FilterBytes, out.Sequence = m.counts.rows, m.bytes(), m.filter.bytes(), m.sequence
	}
	switch m := d.shown.image; {
	case m != nil:
		out.State, out.LoadedAt = ImageHot, m.loadedAt
		fill(m)
	case d.load != nil && d.load.order != nil && d.load.order.kind == loadOrder:
		out.State = ImageLoading
		fill(d.load.image)
	}
	return out
}

// living are the images whose tables there are: those shown and those being
// loaded.
func (p *publisher) living() []*image {
	var out []*image
	for _, d := range p.noted {
		if d.shown.image != nil {
			out = append(out, d.shown.image)
		}
	}
	for _, l := range p.loads {
		if d := l.d; l.image != d.shown.image {
			out = append(out, l.image)
		}
	}
	return out
}

func (p *publisher) used() int64 {
	p.ledger.release(p.readers.oldestTicket())
	return p.ledger.used(p.living())
}

// measureEvery is how many bytes steps may add to an image by their own account
// before the publisher measures: less than the first append after a CHECKPOINT
// opens.
const measureEvery = 512 << 10

// account measures what the last step did, where that is due or now says so.
func (p *publisher) account(ctx context.Context, now bool) error {
	images := p.living()
	for _, m := range images {
		now = now || m.sized.fresh >= measureEvery
	}
	if !now {
		return nil
	}
	p.ledger.release(p.readers.oldestTicket())
	n, err := measureTables(ctx, p.conn)
	if err != nil {
		return err
	}
	p.ledger.settle(n, images, false)
	return nil
}

// look measures some time after a CHECKPOINT once more: DuckDB frees what old
// readers held when these end, and tells nobody.
func (p *publisher) look(ctx context.Context) {
	if p.lookAt.IsZero() || time.Now().Before(p.lookAt) || ctx.Err() != nil {
		return
	}
	p.lookAt = time.Time{}
	if err := p.account(ctx, true); err != nil {
		p.broken(err)
		return
	}
	p.post()
}

// obey takes the orders that came.
func (p *publisher) obey(ctx context.Context) {
	var later []*order
	for _, w := range p.orders.take() {
		switch d := p.datasets[w.uuid]; {
		case p.orders.isAbandoned(w):
		case w.after > p.end:
			later = append(later, w)
		case d == nil:
			p.orders.finish(w, Image{}, lake.Errorf(lake.CodeDatasetNotFound, "the dataset does not exist"))
		case d.err != nil && w.kind != dropOrder:
			p.orders.finish(w, p.imageOf(d), notReady(d.name, d.err))
		default:
			p.obeyOne(ctx, d, w)
		}
	}
	if len(later) > 0 {
		p.orders.putOff(later)
	}
}

func (p *publisher) obeyOne(ctx context.Context, d *dataset, w *order) {
	if w.kind == dropOrder {
		if l := d.load; l != nil {
			p.endLoad(ctx, l, lake.Errorf(lake.CodeCancelled, "cancelled: the image was dropped"))
		}
		if d.image != nil {
			d.demote("")
			p.bring(ctx, []*dataset{d})
			_ = p.check.force(ctx, p) // where a reader keeps it away it comes later
		}
		d.reason = ""
		p.post()
		p.orders.finish(w, p.imageOf(d), nil)
		return
	}
	if d.image != nil {
		p.orders.finish(w, p.imageOf(d), nil)
		return
	}
	if l := d.load; l != nil { // abandoned, of the other kind, or a rebuild of what is gone
		if l.order != nil && !p.orders.isAbandoned(l.order) {
			l.also = append(l.also, w)
			return
		}
		p.endLoad(ctx, l, lake.Errorf(lake.CodeCancelled, "cancelled: nobody waits for it"))
	}
	p.startLoad(d, w)
	p.post()
}

// inTransaction runs fn in a transaction.
func (p *publisher) inTransaction(ctx context.Context, fn func() error) error {
	if err := p.beginTransaction(ctx); err != nil {
		return err
	}
	err := fn()
	if err == nil {
		err = p.conn.Exec(ctx, "COMMIT")
	}
	if err != nil {
		p.rollback(ctx)
	}
	return err
}
