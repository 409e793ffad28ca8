package serving

import (
	"slices"
	"time"

	"tarn/internal/lake"
)

// dataset is the publisher's knowledge of one dataset. It has three layers:
//
//   - what the stream declared, which is always up to the last entry processed;
//   - the tail as it is built in the database, with what Go knows of its keys;
//   - what is shown, as of the last committed transaction.
//
// A transaction that fails leaves the tail in doubt: it is then dirty, and built
// anew from what is declared. Only the publisher's goroutine touches it.
type dataset struct {
	uuid    string
	dropped bool

	// declared
	name     lake.Name
	schema   lake.Schema
	files    []lake.BaseFile
	filesAt  int64 // version of the set of files; moves with every change of it
	folded   int64 // everything up to it is in the files
	last     int64 // highest sequence of folded and pending
	newest   int64 // highest sequence that the stream spoke of
	snapshot *string
	pending  []lake.Delta

	// built
	tail  tail
	dirty bool
	todo  []step // declared and not built

	// image is the one to show, nil while cold; the shown one stays in the
	// database until a transaction is committed that shows another or none. load
	// is one under way.
	image     *image
	load      *load
	reason    string // why the last load or image ended
	projected int64  // bytes of the whole image by the last load, 0: unknown
	measured  int64  // the same where rows told, 0 where files did

	// shown
	shown shown
	masks []*shownMask // of the shown view, and of one that is being made

	placeAt   time.Time // not before
	placeTook time.Duration

	// behind
	err     error
	tries   int
	retryAt time.Time
}

// step is one thing to bring to the tail, in order: a delta to apply, or, where
// delta is nil, new files with everything up to folded in them.
type step struct {
	delta  *lake.Delta
	folded int64
}

// shown is what a committed transaction left in the database for a dataset.
type shown struct {
	on     bool
	name   lake.Name
	sql    string
	tables []string // of the tail
	masks  []*shownMask
	image  *image // nil: the cold view
	guard  *guard
	at     standing // as lake._tarn.datasets has it
}

// publish declares new files. A fold leaves an image as it is; whatever else
// changes the content ends it, and a load.
func (d *dataset) publish(p *lake.Publish) {
	switch {
	case d.tail.schemaChanges(p.Schema):
		d.dirty = true
		d.content("the schema changed")
	case p.Content:
		d.content("content commit")
	case p.FoldedThrough > d.last:
		d.content("new files hold changes that have not arrived")
	}
	d.name, d.schema, d.files, d.snapshot = p.Name, p.Schema, p.Files, p.Snapshot
	d.filesAt++
	if p.Evolved && d.tail.forms == nil {
		d.tail.forms = forms{}
	}
	d.folded = max(d.folded, p.FoldedThrough)
	d.last = max(d.last, d.folded)
	d.newest = max(d.newest, p.Sequence, d.last)
	d.pending = slices.DeleteFunc(slices.Clone(d.pending), func(x lake.Delta) bool { return x.Sequence <= d.folded })
	d.todo = append(d.todo, step{folded: d.folded})
	if d.err != nil { // new files may mend what is behind
		d.err, d.dirty, d.tries = nil, true, 0
	}
}

// apply declares deltas; those known already are passed over.
func (d *dataset) apply(deltas []lake.Delta) {
	for _, x := range deltas {
		if x.Sequence <= d.last {
			continue
		}
		d.newest = max(d.newest, x.Sequence)
		if x.First > d.last+1 {
			return // incomplete says so until new files contain what is missing
		}
		d.last = x.Sequence
		d.pending = append(d.pending, x)
		if d.load != nil {
			d.load.deltas = append(d.load.deltas, x)
		}
		d.todo = append(d.todo, step{delta: &x})
	}
}

// incomplete says why the dataset cannot be shown at all, nil when it can.
func (d *dataset) incomplete() error {
	if d.last < d.newest {
		return lake.Errorf(lake.CodeNotReady, "changes %d to %d of %s have not arrived", d.last+1, d.newest, d.name)
	}
	return nil
}

// failed notes that the dataset is behind, and when to try again.
func (d *dataset) failed(err error, now time.Time) {
	d.demote("demoted: " + err.Error())
	d.err, d.dirty = err, true
	d.retryAt = now.Add(min(100*time.Millisecond<<min(d.tries, 12), 30*time.Second))
	d.tries++
}

// undo takes back what a failed transaction began: the tables are as the last
// one left them, and the tail is to be built anew.
func (d *dataset) undo() {
	if d.image != nil {
		d.image.undo()
	}
	d.tail.exist = append([]string(nil), d.shown.tables...)
	d.dirty = true
}

// guardVersion moves whenever the set of files that the view reads does.
func (d *dataset) guardVersion() int64 { return d.filesAt<<20 + int64(len(d.tail.large)) }

// content ends image and load, as the content changed by other than deltas.
func (d *dataset) content(why string) {
	if d.load != nil {
		d.load.cancelled = lake.Errorf(lake.CodeCancelled, "cancelled: %s", why)
	}
	d.demote("dropped: " + why)
}

// demote makes the dataset cold with the next transaction, which builds its tail
// from the pending deltas and takes the image away.
func (d *dataset) demote(why string) {
	if d.image == nil {
		return
	}
	d.image, d.dirty, d.reason = nil, true, why
	if d.load != nil && d.load.rebuild {
		d.load.cancelled = lake.Errorf(lake.CodeCancelled, "cancelled: %s", why)
	}
}
