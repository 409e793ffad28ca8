package serving

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// publisher applies the stream to the serving database: the one writer, in one
// goroutine, on one connection. A failure of one dataset is that dataset's: the
// others go on, and it is built anew until that succeeds.
type publisher struct {
	conn       *duck.Conn
	ear        *ear
	log        *slog.Logger
	largeBytes int64
	// memoryBytes is DuckDB's limit, of which images have their budget; 0: not known.
	memoryBytes int64
	fatal       func(error)

	datasets map[string]*dataset
	holders  map[string]string // lake.Name.Key() → uuid of the dataset whose view has the name
	spaces   map[string]string // schemas that there are besides main, lower case → as written
	check    checkpointer

	ahead    ahead
	orders   *orders
	readers  *readers
	board    *board
	ledger   ledger
	tables   *imageTables
	noCodes  bool
	images   int64               // made so far
	noted    map[string]*dataset // those that the board may have something to say of
	loads    []*load             // the first is under way
	lookAt   time.Time           // when to measure though nothing happened; zero: never
	sortable time.Time           // from when images at rest may be sorted anew
	toPlace  []*dataset
	retired  []retired
	replayed bool
	end      int64 // the stream's number that is being brought to the database
}

// Entries that one transaction takes at most, and the bytes of deltas that it
// loads at most: both bound memory and how long a query waits for its own.
const (
	entriesAtOnce = 1024
	bytesAtOnce   = 32 << 20
)

// run applies until the ear is closed.
func (p *publisher) run(ctx context.Context) {
	defer p.orders.close()
	defer p.ahead.forget()
	for {
		wake, stop := p.alarm()
		entries, end, ok := p.ear.take(entriesAtOnce, p.loadAhead, wake, p.orders.ping)
		stop()
		if !ok || ctx.Err() != nil {
			return
		}
		if end >= 0 {
			p.end = end
		}
		for _, d := range p.declare(entries) {
			p.makeRoom(ctx, d)
			p.bring(ctx, d)
			p.keepBudget(ctx, d)
		}
		p.mend(ctx)
		if end >= 0 {
			p.check.stepped()
			if len(p.noted) > 0 {
				p.post() // before anybody who waits for it asks what is held
			}
			p.ahead.forget()
			p.ear.advance(end)
		}
		p.check.run(ctx, p)
		p.look(ctx)
		p.obey(ctx)
		p.tend(ctx)
		p.step(ctx)
		p.asked()
		p.placeNext(ctx)
		p.freeMasks()
	}
}

// alarm fires when a dataset is to be tried again or a checkpoint is due.
func (p *publisher) alarm() (<-chan struct{}, func()) {
	var at time.Time
	soonest := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	for _, d := range p.datasets {
		if d.err != nil {
			soonest(d.retryAt)
		}
	}
	if at, ok := p.check.at(); ok {
		soonest(at)
	}
	if !p.lookAt.IsZero() {
		soonest(p.lookAt)
	}
	if at := p.tendAt(time.Now()); !at.IsZero() {
		soonest(at)
	}
	if at, ok := p.placeAt(); ok {
		soonest(at)
	}
	if len(p.loads) > 0 {
		if p.loads[0].ready(time.Now()) {
			fired := make(chan struct{})
			close(fired)
			return fired, func() {}
		}
		soonest(p.loads[0].retryAt)
	}
	if at.IsZero() {
		return nil, func() {}
	}
	fired := make(chan struct{})
	timer := time.AfterFunc(time.Until(at), func() { close(fired) })
	return fired, func() { timer.Stop() }
}

// declare takes the entries into the datasets' declared state and gives the
// groups of datasets to bring to the database, each in a transaction of its own.
//
// What the entries say of several datasets at once has to show at once, or a
// query would see a later entry of one without an earlier one of another: all
// datasets of one call stand in one group. A replay is the exception, as all of
// it is of one instant: there each dataset goes alone and is ready early.
func (p *publisher) declare(entries []lake.Entry) [][]*dataset {
	var touched []*dataset
	seen := map[*dataset]bool{}
	for _, e := range entries {
		d := p.target(e)
		if d == nil {
			continue
		}
		if !seen[d] {
			seen[d] = true
			touched = append(touched, d)
		}
		switch {
		case e.Publish != nil:
			d.dropped = false
			d.publish(e.Publish)
		case e.Apply != nil:
			d.apply(e.Apply.Deltas)
		case e.Rename != nil:
			d.name = e.Rename.To
		case e.Drop != nil:
			d.dropped = true
			d.demote("")
			if d.load != nil {
				d.load.cancelled = lake.Errorf(lake.CodeDatasetNotFound, "dataset %s was dropped", d.name)
			}
		}
	}
	if replay := !p.replayed; replay {
		p.replayed = true
		out := make([][]*dataset, len(touched))
		for i, d := range touched {
			out[i] = []*dataset{d}
		}
		return out
	}
	if len(touched) == 0 {
		return nil
	}
	return [][]*dataset{touched}
}

// target is the dataset that an entry is about; nil for one that is not known.
func (p *publisher) target(e lake.Entry) *dataset {
	switch {
	case e.Publish != nil:
		d := p.datasets[e.Publish.TableUUID]
		if d == nil {
			d = &dataset{uuid: e.Publish.TableUUID, dirty: true}
			p.datasets[d.uuid] = d
		}
		return d
	case e.Apply != nil:
		return p.datasets[e.Apply.TableUUID]
	case e.Rename != nil:
		return p.datasets[e.Rename.TableUUID]
	case e.Drop != nil:
		return p.datasets[e.Drop.TableUUID]
	}
	return nil
}

// bring brings datasets to the database as declared, all in one transaction.
// Where that fails, each is built anew by itself, in the same step: what can be
// shown is shown as of now, what cannot is hidden.
func (p *publisher) bring(ctx context.Context, group []*dataset) {
	err := p.transact(ctx, group)
	if err == nil || ctx.Err() != nil {
		return
	}
	p.log.Warn("changes could not be applied in place: the datasets are built anew", "datasets", len(group), "error", err)
	for _, d := range group {
		d.dirty = d.dirty || d.image == nil
	}
	// One transaction again, or queries would see one dataset's changes without
	// another's: whoever fails alone is hidden in it.
	for _, d := range group {
		if d.dropped || d.err != nil {
			continue
		}
		err := p.attempt(ctx, d)
		if err != nil && d.image != nil {
			d.demote("demoted: " + err.Error())
			err = p.attempt(ctx, d)
		}
		if err != nil {
			p.fail(d, err)
		}
	}
	if err := p.transact(ctx, group); err != nil && ctx.Err() == nil {
		p.log.Error("no change could be applied", "error", err)
		for _, d := range group {
			p.fail(d, err)
		}
	}
}

// attempt tries a dataset alone, and takes it back.
func (p *publisher) attempt(ctx context.Context, d *dataset) error {
	if err := p.beginTransaction(ctx); err != nil {
		return err
	}
	_, _, err := p.fill(ctx, []*dataset{d})
	d.undo()
	p.keepMasks(d, d.shown.masks)
	p.rollback(ctx)
	return err
}

// fail notes that a dataset is behind: it answers why until it has caught up.
func (p *publisher) fail(d *dataset, err error) {
	d.failed(err, time.Now())
	p.log.Error("a dataset is behind", "dataset", d.name.String(), "tries", d.tries, "again_at", d.retryAt, "error", err)
	p.ear.serve(map[string]*served{d.uuid: {name: d.name, number: p.end, err: err}})
	p.broken(err)
}

// beginTransaction begins one, also where a statement that failed for want of memory
// left the connection within one.
func (p *publisher) beginTransaction(ctx context.Context) error {
	err := p.conn.Exec(ctx, "BEGIN")
	if err == nil || ctx.Err() != nil || duck.IsFatal(err) {
		return err
	}
	p.rollback(ctx)
	return p.conn.Exec(ctx, "BEGIN")
}

// A rollback is tried so often, with pauses: what a query asks for and will not get is
// counted against the memory for a moment, and DuckDB then fails in a ROLLBACK too.
const (
	rollbackTries = 20
	rollbackPause = 25 * time.Millisecond
)

// rollback ends a failed transaction. Where it stays, no change would ever be applied
// again: the worker is replaced.
func (p *publisher) rollback(ctx context.Context) {
	for try := 1; ; try++ {
		err := p.conn.Exec(context.WithoutCancel(ctx), "ROLLBACK")
		if err == nil || noTransaction(err) {
			return
		}
		if duck.IsFatal(err) || try == rollbackTries || ctx.Err() != nil {
			p.fatal(lake.Step("roll back", err))
			return
		}
		time.Sleep(rollbackPause)
	}
}

func (p *publisher) broken(err error) {
	if duck.IsFatal(err) {
		p.fatal(err)
	}
}

// mend tries the datasets that are behind and due again.
func (p *publisher) mend(ctx context.Context) {
	now := time.Now()
	for _, d := range p.datasets {
		if d.err == nil || now.Before(d.retryAt) || ctx.Err() != nil {
			continue
		}
		before := d.err
		d.err, d.dirty = nil, true
		if err := p.transact(ctx, []*dataset{d}); err != nil && ctx.Err() == nil {
			p.fail(d, err)
			continue
		}
		if d.err == nil {
			d.tries = 0
			p.log.Info("a dataset has caught up", "dataset", d.name.String(), "was", before)
		}
	}
}

// transact brings datasets to the database in one transaction and, once it is
// committed, to the board. Those that are behind are hidden.
func (p *publisher) transact(ctx context.Context, group []*dataset) (err error) {
	if err := p.beginTransaction(ctx); err != nil {
		p.broken(err)
		return err
	}
	defer func() {
		if err == nil {
			return
		}
		for _, d := range group {
			d.undo()
			p.keepMasks(d, d.shown.masks)
		}
		p.rollback(ctx)
	}()
	next, names, err := p.fill(ctx, group)
	if err != nil {
		return err
	}
	defer p.ear.committing()()
	if err := p.conn.Exec(ctx, "COMMIT"); err != nil {
		return err
	}
	p.committed(group, next, names)
	return nil
}

// fill does a transaction's work: tails, then what shows.
func (p *publisher) fill(ctx context.Context, group []*dataset) ([]shown, []nameMove, error) {
	next := make([]shown, len(group))
	for i, d := range group {
		if d.dropped || d.err != nil {
			d.tail.hide()
			continue
		}
		v, g, err := p.build(ctx, d)
		if err != nil {
			return nil, nil, lake.Step("apply changes of "+d.name.String(), err)
		}
		at := standing{name: d.name, sequence: d.last, snapshot: d.snapshot, hot: d.image != nil}
		next[i] = shown{on: true, name: d.name, at: at, guard: g, image: d.image}
		if d.image != nil {
			next[i].sql = d.image.view()
		} else {
			if next[i].sql, next[i].masks, err = v.sql(d.mask); err != nil {
				return nil, nil, lake.Step("show "+d.name.String(), err)
			}
		}
	}
	names, err := p.reshow(ctx, group, next)
	return next, names, err
}

// build brings one dataset's tail to what is declared.
func (p *publisher) build(ctx context.Context, d *dataset) (v coldView, g *guard, err error) {
	if err := d.incomplete(); err != nil {
		return v, nil, err
	}
	if d.image != nil {
		err := p.buildHot(ctx, d)
		if !errors.Is(err, errNoRoom) {
			return v, d.image.guard(), err
		}
		d.demote("demoted: " + err.Error())
	}
	if d.dirty {
		d.tail.reset(d.schema, d.files)
		d.todo = make([]step, 0, len(d.pending))
		for i := range d.pending {
			d.todo = append(d.todo, step{delta: &d.pending[i]})
		}
	}
	if err := p.steps(ctx, d); err != nil {
		return v, nil, err
	}
	g = d.shown.guard
	same := g != nil && g.version == d.guardVersion()
	if !same {
		if err := d.tail.forms.fill(d.files, d.tail.large); err != nil {
			return v, nil, err
		}
	}
	if v = d.tail.view(d.files); !same {
		g, err = newGuard(d.guardVersion(), v)
	}
	return v, g, err
}

// steps does what is to do for one dataset, small deltas that follow each other
// together.
func (p *publisher) steps(ctx context.Context, d *dataset) error {
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
		err := d.tail.add(ctx, p.conn, d.uuid, small)
		release()
		return err
	}
	for _, s := range d.todo {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case s.delta == nil:
			if err := flush(); err != nil {
				return err
			}
			if err := d.tail.drop(ctx, p.conn, s.folded); err != nil {
				return err
			}
			d.tail.setFiles(d.files)
		case s.delta.Sequence <= d.folded: // a later publish of this batch contains it
		case p.large(*s.delta):
			if err := flush(); err != nil {
				return err
			}
			if err := d.tail.addLarge(ctx, p.conn, d.uuid, *s.delta); err != nil {
				return err
			}
		default:
			l, err := p.load(*s.delta, d)
			if err != nil {
				return err
			}
			small, bytes = append(small, l), bytes+s.delta.Bytes
			for _, ch := range l.changes {
				p.ledger.other.append(arrowBytes(ch.Rows), d.tail.opened.open(d.schema.Columns, 2))
			}
			p.check.changed(s.delta.Rows)
			if bytes > bytesAtOnce {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

// large says whether a delta is read from its file.
func (p *publisher) large(d lake.Delta) bool { return d.Bytes > p.largeBytes && !d.Void }

// committed takes over what a transaction left.
func (p *publisher) committed(group []*dataset, next []shown, names []nameMove) {
	p.move(names)
	p.ledger.other.append(0, p.ledger.list.open(nil, datasetsColumns))
	news := make(map[string]*served, len(group))
	for i, d := range group {
		next[i].tables = slices.Clone(d.tail.exist)
		p.shownImage(d, next[i].image)
		p.keepMasks(d, next[i].masks)
		d.shown, d.todo = next[i], nil
		switch {
		case d.dropped:
			delete(p.datasets, d.uuid)
			news[d.uuid] = nil
		case d.err != nil: // said already
		default:
			d.dirty = false
			news[d.uuid] = &served{name: d.name, number: p.end, guard: next[i].guard, at: next[i].at, loose: d.image == nil && d.tail.loose()}
		}
	}
	p.ear.serve(news)
}
