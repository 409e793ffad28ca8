package serving

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// A base row is *dead* when a pending change replaces or deletes it, or when a
// delete file names it. A dataset's keys are *placed* once it is known at which
// row of which file each one's dead row is: then the cold view passes over these
// rows by their numbers, instead of reading the key of every row to compare it.
//
// Placing is work of the background, begun by the first query that pays for keys
// that are not placed. Keys that come meanwhile and later stay with the anti join
// until the next one. New files end it: row numbers are of a file.
type places struct {
	on      bool  // dead holds the rows of all delete files, and of the keys up to through
	through int64 // keys that the tail first knew at or before this sequence
	dead    [][]uint64
	work    *placing
}

// placing is one under way.
type placing struct {
	through int64 // what the tail held when it began
	dead    [][]uint64
	own     []bool // dead's words that no mask has yet
	slices  []placeSlice
}

// placeSlice is one read: whole files, or a range of one file's rows.
type placeSlice struct {
	files    []int
	from, to int64 // row numbers, where there is one file
	deletes  bool  // of the one file's delete files, instead of its keys
}

const (
	// placeRows is how many rows of base files one step reads the keys of: some
	// 10 ms, for which an apply waits.
	placeRows = 1 << 20
	// placeShare keeps placing to one part in so many of the time, where writers
	// bring new keys all the time.
	placeShare = 8
	// placeRetry is how long a placing that failed is put off.
	placeRetry = 10 * time.Second
)

// loose says whether queries pay for keys or delete files that are not placed.
func (t *tail) loose() bool {
	if !placeable(t.schema) {
		return false
	}
	return t.touched.count > 0 || !t.places.on && t.deletes
}

// placeable says whether the rows of the dataset's files have numbers that a
// query can name: a column of the same name would hide them.
func placeable(s lake.Schema) bool {
	_, row := s.Column("file_row_number")
	_, file := s.Column("file_index")
	return !row && !file
}

// startPlacing plans the reads.
func (t *tail) startPlacing(files []lake.BaseFile, through int64) {
	w := &placing{through: through, dead: make([][]uint64, len(files)), own: make([]bool, len(files))}
	copy(w.dead, t.places.dead)
	var small placeSlice
	var rows int64
	flush := func() {
		if len(small.files) > 0 {
			w.slices = append(w.slices, small)
		}
		small, rows = placeSlice{}, 0
	}
	for i, f := range files {
		if !t.places.on && len(f.Deletes) > 0 {
			w.slices = append(w.slices, placeSlice{files: []int{i}, deletes: true})
		}
		if t.touched.count == 0 || !t.touched.files[i] {
			continue
		}
		if f.Rows > placeRows {
			for from := int64(0); from < f.Rows; from += placeRows {
				w.slices = append(w.slices, placeSlice{files: []int{i}, from: from, to: min(from+placeRows, f.Rows)})
			}
			continue
		}
		if rows+f.Rows > placeRows || len(small.files) > 0 && !t.forms.alike(files[small.files[0]].Path, f.Path) {
			flush()
		}
		small.files, rows = append(small.files, i), rows+f.Rows
	}
	flush()
	t.places.work = w
}

// place does the next read; done says that it was the last.
func (t *tail) place(ctx context.Context, c *duck.Conn, files []lake.BaseFile) (done bool, err error) {
	w := t.places.work
	if len(w.slices) > 0 {
		if err := w.read(ctx, c, w.slices[0].sql(t, files), files); err != nil {
			return false, err
		}
		w.slices = w.slices[1:]
	}
	return len(w.slices) == 0, nil
}

// sql gives the file (as a position in the slice's files) and the row number of
// each dead row. It looks for all keys that are not placed, also those that came
// since the placing began: one that was there then may have another sequence now.
func (s placeSlice) sql(t *tail, files []lake.BaseFile) string {
	if s.deletes {
		return "SELECT 0::UBIGINT, pos::BIGINT FROM " + deletedRows(files[s.files[0]])
	}
	paths := make([]string, len(s.files))
	for i, f := range s.files {
		paths[i] = files[f].Path
	}
	where := ""
	if s.to > 0 {
		where = fmt.Sprintf(" WHERE file_row_number >= %d AND file_row_number < %d", s.from, s.to)
	}
	key := coldView{schema: t.schema.KeySchema(), forms: t.forms}
	var changed []string
	for _, table := range t.tables() {
		changed = append(changed, fmt.Sprintf("SELECT %s FROM %s WHERE %s > %d", key.names(""), internal(table), sequenceColumn, t.places.through))
	}
	return "SELECT b.file_index::UBIGINT, b.file_row_number::BIGINT FROM (SELECT " + key.columns(paths[0]) + ", file_index, file_row_number FROM " +
		readParquet(paths, "") + where + ") b SEMI JOIN (" + strings.Join(changed, " UNION ALL ") + ") k ON " + key.sameKey("b", "k")
}

// read marks the rows that a query names.
func (w *placing) read(ctx context.Context, c *duck.Conn, sql string, files []lake.BaseFile) error {
	in := w.slices[0].files
	stream, err := c.Query(ctx, sql, duck.Params{})
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		rec, err := stream.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		file, row := rec.Column(0).(*array.Uint64), rec.Column(1).(*array.Int64)
		for i := range int(rec.NumRows()) {
			f, n := in[file.Value(i)], row.Value(i)
			if n < 0 || n >= files[f].Rows {
				rec.Release()
				return lake.Errorf(lake.CodeDamaged, "base file %s has a row %d where its table says that it has %d rows", files[f].Key, n, files[f].Rows)
			}
			if !w.own[f] {
				w.own[f] = true
				words := make([]uint64, (files[f].Rows+63)/64)
				copy(words, w.dead[f])
				w.dead[f] = words
			}
			w.dead[f][n/64] |= 1 << (n % 64)
		}
		rec.Release()
	}
}

// placed takes over what a placing found. Files are touched from now on by the
// keys that came after it.
func (t *tail) placed(files []lake.BaseFile) {
	w := t.places.work
	t.places = places{on: true, through: w.through, dead: w.dead}
	t.touched = newTouchedSet(len(files))
	t.news = slices.DeleteFunc(t.news, func(k newKey) bool { return k.since <= w.through })
	for _, k := range t.news {
		t.touch([]byte(k.first), []byte(k.first))
	}
	for _, d := range t.large {
		if d.delta.Sequence > w.through {
			t.touch(d.low, d.high)
		}
	}
}

// asked notes the cold datasets whose queries pay for keys that are not placed.
func (p *publisher) asked() {
	for _, uuid := range p.ear.takeAsked() {
		if d := p.datasets[uuid]; d != nil && !slices.Contains(p.toPlace, d) {
			p.toPlace = append(p.toPlace, d)
			if d.placeAt.IsZero() {
				d.placeAt = time.Now()
			}
		}
	}
}

// placeAt says when there is placing to do; ok is false when there is none. A
// dataset that is being loaded will need none.
func (p *publisher) placeAt() (at time.Time, ok bool) {
	for _, d := range p.toPlace {
		if d.load == nil && (!ok || d.placeAt.Before(at)) {
			at, ok = d.placeAt, true
		}
	}
	return at, ok
}

// placeNext does the next step of placing.
func (p *publisher) placeNext(ctx context.Context) {
	p.toPlace = slices.DeleteFunc(p.toPlace, func(d *dataset) bool {
		return d.dropped || d.image != nil || d.err != nil || d.dirty || !d.shown.on || !d.tail.loose()
	})
	now := time.Now()
	i := slices.IndexFunc(p.toPlace, func(d *dataset) bool { return d.load == nil && !now.Before(d.placeAt) })
	if i < 0 || ctx.Err() != nil {
		return
	}
	d := p.toPlace[i]
	if d.shown.guard != nil && d.shown.guard.absent { // the next query asks again
		d.tail.places.work = nil
		p.toPlace = slices.Delete(p.toPlace, i, i+1)
		return
	}
	done, err := p.placeStep(ctx, d)
	d.placeTook += time.Since(now)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		p.log.Info("the places of changed keys were not found", "dataset", d.name.String(), "error", err)
		p.broken(err)
		d.tail.places.work = nil
		d.placeAt = time.Now().Add(placeRetry)
	case done:
		d.placeAt, d.placeTook = time.Now().Add(placeShare*d.placeTook), 0
		p.toPlace = slices.Delete(p.toPlace, i, i+1)
	}
}

func (p *publisher) placeStep(ctx context.Context, d *dataset) (done bool, err error) {
	if d.tail.places.work == nil {
		d.tail.startPlacing(d.files, d.last)
	}
	if err := d.shown.guard.check(); err != nil {
		return false, err
	}
	if done, err = d.tail.place(ctx, p.conn, d.files); err != nil || !done {
		return false, err
	}
	d.tail.placed(d.files)
	if err := p.transact(ctx, []*dataset{d}); err != nil {
		p.bring(ctx, []*dataset{d})
		return false, err
	}
	return true, nil
}

// shownMask is a mask with what it was made from.
type shownMask struct {
	*duck.RowMask
	files []duck.MaskedFile
}

// mask gives a mask of some of the dataset's files, in that order; nil where none
// has a dead row. One that was made from the same is used again, so that a view
// changes only when its rows do.
func (d *dataset) mask(files []int) (*shownMask, error) {
	if !d.tail.places.on || !slices.ContainsFunc(files, func(f int) bool { return d.tail.places.dead[f] != nil }) {
		return nil, nil
	}
	want := make([]duck.MaskedFile, len(files))
	for i, f := range files {
		want[i] = duck.MaskedFile{Rows: d.files[f].Rows, Dead: d.tail.places.dead[f]}
	}
	for _, m := range d.masks {
		if slices.EqualFunc(m.files, want, sameMasked) {
			return m, nil
		}
	}
	made, err := duck.NewRowMask(want)
	if err != nil {
		return nil, err
	}
	m := &shownMask{made, want}
	d.masks = append(d.masks, m)
	return m, nil
}

func sameMasked(a, b duck.MaskedFile) bool {
	if a.Rows != b.Rows || len(a.Dead) != len(b.Dead) {
		return false
	}
	return len(a.Dead) == 0 || &a.Dead[0] == &b.Dead[0]
}

// retired is a mask of a view that was replaced: queries that began before may
// read it.
type retired struct {
	mask   *shownMask
	before int64 // readers with a lower ticket
}

// keepMasks ends the masks of a dataset that are not among those to keep: at once
// where no committed view had them, else when the last reader has ended.
func (p *publisher) keepMasks(d *dataset, keep []*shownMask) {
	d.masks = slices.DeleteFunc(d.masks, func(m *shownMask) bool {
		switch {
		case slices.Contains(keep, m):
			return false
		case slices.Contains(d.shown.masks, m):
			p.retired = append(p.retired, retired{m, p.readers.ticket()})
		default:
			m.Free()
		}
		return true
	})
}

// freeMasks frees the retired masks that nobody reads any more.
func (p *publisher) freeMasks() {
	if len(p.retired) == 0 {
		return
	}
	oldest := p.readers.oldestTicket()
	p.retired = slices.DeleteFunc(p.retired, func(r retired) bool {
		if r.before > oldest {
			return false
		}
		r.mask.Free()
		return true
	})
}

// endMasks frees all masks; nobody reads any more.
func (p *publisher) endMasks() {
	for _, d := range p.datasets {
		for _, m := range d.masks {
			m.Free()
		}
	}
	for _, r := range p.retired {
		r.mask.Free()
	}
}
