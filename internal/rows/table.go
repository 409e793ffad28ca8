package rows

import (
	"errors"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/lake"
)

// table collects rows that are read one by one into the next batch.
type table struct {
	cols    []lake.Column
	schema  *arrow.Schema
	missing MissingPolicy
	anyText bool
	alloc   memory.Allocator
	tally   *tally

	cells []*cell
	row   *object   // of all cells
	look  *lookedAt // set: rows are looked at, and none is taken
	maps  mapChecks
	given *given // of MissingKeep
	rows  int    // in the batch
	bytes int    // of text in the batch
	first int64  // row number of the batch's first row
	dirty bool   // a misfit left the builders uneven
}

// newTable makes a table of columns; schema is the batches' and has the types
// of cols.
func newTable(cols []lake.Column, schema *arrow.Schema, o DecodeOptions, t *tally) (*table, error) {
	maps, err := newMapChecks(cols)
	if err != nil {
		return nil, err
	}
	tb := &table{cols: cols, schema: schema, missing: o.Missing, anyText: o.AnyText, alloc: o.Alloc, tally: t, maps: maps}
	if o.Missing == MissingKeep {
		tb.schema, tb.given = GivenSchema(o.Schema), newGiven(o)
	}
	return tb, tb.renew()
}

// renew makes new builders.
func (t *table) renew() error {
	t.release()
	t.rows, t.bytes, t.dirty = 0, 0, false
	t.cells = make([]*cell, len(t.cols))
	for i, c := range t.cols {
		b := array.NewBuilder(t.alloc, t.schema.Field(i).Type)
		x, err := newCell(c, c.Name, b, t.missing.nested())
		if err != nil {
			b.Release()
			t.cells = t.cells[:i]
			return err
		}
		if t.anyText {
			x.takeAnyText()
		}
		t.cells[i] = x
	}
	t.row = newObject(t.cols, t.cells, t.missing)
	if t.given != nil {
		t.row.must = t.given.inKey
		t.given.renew()
	}
	return nil
}

func (t *table) release() {
	for _, c := range t.cells {
		c.b.Release()
	}
	t.cells = nil
}

// begin counts a row of so many bytes.
func (t *table) begin(bytes int) {
	t.tally.rows++
	if t.rows == 0 {
		t.first = t.tally.rows
	}
	t.rows++
	t.bytes += bytes
}

// misfit notes that the row begun last does not fit.
func (t *table) misfit(err error) {
	t.tally.add(t.tally.rows, err)
	t.dirty = true
}

// ended is the error of JSON rows that have come to an end: io.EOF, where none
// of them had to have a column that they all lack.
func (t *table) ended() error {
	if t.missing == MissingInSome && t.tally.bad == 0 && t.tally.rows > 0 && t.look == nil {
		for i, c := range t.cols {
			if t.row.seen[i] == 0 {
				return unfit(misfitf(c.Name, "it is missing"))
			}
		}
	}
	return io.EOF
}

// full says whether the batch is to be given out.
func (t *table) full(o *DecodeOptions) bool { return t.rows >= o.BatchRows || t.bytes >= o.BatchBytes }

// batch gives the rows collected; nil when there are misfits among them.
func (t *table) batch() (arrow.RecordBatch, error) {
	if t.dirty {
		return nil, t.renew()
	}
	arrays := make([]arrow.Array, len(t.cells))
	for i, c := range t.cells {
		arrays[i] = c.b.NewArray()
	}
	if t.given != nil {
		arrays = append(arrays, t.given.b.NewArray())
	}
	rec := array.NewRecordBatch(t.schema, arrays, int64(t.rows))
	for _, a := range arrays {
		a.Release()
	}
	t.rows, t.bytes = 0, 0
	if t.maps.tally(rec, t.first, t.tally) {
		rec.Release()
		return nil, nil
	}
	return rec, nil
}

// reader is what reads the rows' objects.
func (t *table) reader() objectReader {
	if t.look != nil {
		return t.look
	}
	return t.row
}

// objectReader reads the object that a parser is at the '{' of.
type objectReader interface{ json(p *parser) error }

// value reads a row's JSON object by o, and gives a syntax error apart from a
// misfit, which is tallied.
func (t *table) value(p *parser, o objectReader) error {
	if p.peek() == '{' {
		err := o.json(p)
		if err == nil && t.given != nil && o == objectReader(t.row) {
			t.given.add(func(i int) bool { return t.row.seen[i] == t.row.count })
		}
		return t.settle(p, err)
	}
	_, err := p.skip()
	if err == nil {
		err = misfitf("", "the row is not an object")
	}
	return t.settle(p, err)
}

// settle ends a row that was read from JSON with err. Where it is a misfit,
// the rest of the row must still be JSON.
func (t *table) settle(p *parser, err error) error {
	if err == nil {
		return p.end()
	}
	var m *misfit
	if errors.As(err, &m) {
		p.i = 0
		if _, err := p.skip(); err != nil {
			return err
		}
		t.misfit(m)
		return p.end()
	}
	return err
}

// tooLong notes a row of more bytes than the limit.
func (t *table) tooLong(limit int) {
	t.begin(0)
	t.tally.addLong(t.tally.rows, limit)
	t.dirty = true
}

// syntaxAt is the error of a body that does not parse at a row.
func syntaxAt(row, place int64, what string) error {
	return lake.Errorf(lake.CodeInvalidRequest, "the body does not parse: row %d, byte %d: %s", row, place+1, what)
}

// parseError turns a parser's error into one that names the place in the
// body; base is the place of the parser's first byte.
func parseError(row, base int64, err error) error {
	if err == nil {
		return nil
	}
	var s *syntaxError
	if errors.As(err, &s) {
		return syntaxAt(row, base+int64(s.at), s.what)
	}
	return err
}
