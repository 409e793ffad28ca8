package rows

import (
	"context"
	"io"

	"github.com/apache/arrow-go/v18/arrow"

	"tarn/internal/lake"
)

// The operations of changes, as deltas write them too.
const (
	OpUpsert uint8 = 0
	OpDelete uint8 = 1
)

// ChangeBatch is changes in the order of the body. Rows has ChangesSchema; of
// a delete only the key columns are set. Ops has one operation a row.
type ChangeBatch struct {
	Rows arrow.RecordBatch
	Ops  []uint8
}

// ChangesSchema is the schema of a ChangeBatch: that of the dataset with all
// columns outside the key nullable.
func ChangesSchema(s lake.Schema) *arrow.Schema {
	out := lake.Schema{ID: s.ID, Key: s.Key, Columns: append([]lake.Column(nil), s.Columns...)}
	inKey := keyColumns(s)
	for i := range out.Columns {
		out.Columns[i].Nullable = out.Columns[i].Nullable || !inKey[i]
	}
	return out.Arrow()
}

func keyColumns(s lake.Schema) []bool {
	in := make([]bool, len(s.Columns))
	for _, i := range s.KeyIndexes() {
		in[i] = true
	}
	return in
}

// Mixed gives batches of changes. It is used as Decoder is.
type Mixed interface {
	Next() (ChangeBatch, error)
	Rows() int64
	Close()
}

// DecodeMixed begins to decode a body of changes: NDJSON as clients send it, or an Arrow
// stream as SQL makes it.
func DecodeMixed(ctx context.Context, f Format, r io.Reader, o DecodeOptions) (Mixed, error) {
	switch f {
	case NDJSON:
		return DecodeChanges(ctx, r, o)
	case ArrowStream:
		return DecodeArrowChanges(ctx, r, o)
	}
	return nil, lake.Errorf(lake.CodeUnsupportedMedia, "changes come as NDJSON, not as %s", f).
		WithHint("Content-Type: application/x-ndjson")
}

// ChangesDecoder reads NDJSON of {"op":"upsert","row":{…}} and
// {"op":"delete","key":{…}}, in order. It is used as Decoder is.
type ChangesDecoder struct {
	src   *ndjsonSource
	key   *object // of the key columns' cells
	cells *cell   // the first of the cells that key was made of
	inKey []bool
	ops   []uint8
	tally *tally
	err   error
}

// DecodeChanges begins to decode a body of changes. It fails with
// CodeNoPrimaryKey where the dataset has no key.
func DecodeChanges(ctx context.Context, r io.Reader, o DecodeOptions) (*ChangesDecoder, error) {
	o = o.withDefaults()
	if !o.Schema.Keyed() {
		return nil, lake.Errorf(lake.CodeNoPrimaryKey, "changes need a dataset with a primary key").
			WithHint("append rows to a dataset without one")
	}
	d := &ChangesDecoder{tally: &tally{max: o.MaxErrors}, inKey: keyColumns(o.Schema)}
	tb, err := newTable(o.Schema.Columns, ChangesSchema(o.Schema), o, d.tally)
	if err != nil {
		tb.release()
		return nil, err
	}
	d.src = &ndjsonSource{lines: &lines{f: newFeed(ctx, r)}, o: o, tb: tb, read: d.readChange}
	return d, nil
}

// Next gives the next batch, whose Rows the caller releases; io.EOF after the
// last. Errors are those of Decoder.Next.
func (d *ChangesDecoder) Next() (ChangeBatch, error) {
	for d.err == nil {
		rec, err := d.src.next()
		ops := d.ops
		d.ops = nil
		switch {
		case err == io.EOF:
			if d.err = d.tally.err(); d.err == nil {
				d.err = io.EOF
			}
		case err != nil:
			d.err = err
		case rec == nil:
		case d.tally.bad > 0:
			rec.Release()
		default:
			return ChangeBatch{Rows: rec, Ops: ops}, nil
		}
	}
	return ChangeBatch{}, d.err
}

// Rows is the number of changes read so far, misfits included.
func (d *ChangesDecoder) Rows() int64 { return d.tally.rows }

// Close lets everything go. It can be called twice.
func (d *ChangesDecoder) Close() {
	d.src.close()
	if d.err == nil {
		d.err = io.EOF
	}
}

// change is the outer object of one line, its row or key still as written.
type change struct {
	op       string
	row, key []byte
	rowAt    int // of row in the line
	keyAt    int
}

// readChange reads one line.
func (d *ChangesDecoder) readChange(line []byte) error {
	tb, p := d.src.tb, &d.src.p
	p.b, p.i = line, 0
	var ch change
	if p.peek() != '{' {
		return tb.value(p, tb.row) // tallies that it is not an object
	}
	bad := d.tally.bad
	if err := tb.settle(p, ch.outer(p)); err != nil || d.tally.bad > bad {
		return err
	}
	var err error
	switch ch.op {
	case "upsert":
		d.ops = append(d.ops, OpUpsert)
		p.b, p.i = ch.row, 0
		err = rebase(ch.rowAt, tb.value(p, tb.row))
	case "delete":
		d.ops = append(d.ops, OpDelete)
		p.b, p.i = ch.key, 0
		err = rebase(ch.keyAt, tb.value(p, d.keyObject()))
		for i, c := range tb.cells {
			if !d.inKey[i] {
				c.b.AppendNull()
			}
		}
	}
	return err
}

// rebase moves a syntax error of a part of the line to its place in the line.
func rebase(at int, err error) error {
	if s, ok := err.(*syntaxError); ok {
		return &syntaxError{s.at + at, s.what}
	}
	return err
}

// keyObject reads keys into the key columns' cells, which change when the
// table renews them. A key always has all its columns.
func (d *ChangesDecoder) keyObject() *object {
	tb, s := d.src.tb, d.src.o.Schema
	if d.key == nil || d.cells != tb.cells[0] {
		d.cells = tb.cells[0]
		key := s.KeySchema()
		cells := make([]*cell, len(key.Columns))
		for k, i := range s.KeyIndexes() {
			cells[k] = tb.cells[i]
		}
		d.key = newObject(key.Columns, cells, MissingError)
	}
	return d.key
}

// outer reads the members of a change.
func (ch *change) outer(p *parser) error {
	p.i++
	for first := true; ; first = false {
		more, err := p.more(first, '}')
		if err != nil {
			return err
		}
		if !more {
			return ch.check()
		}
		name, err := p.key()
		if err != nil {
			return err
		}
		member := string(name)
		p.peek()
		at := p.i
		value, err := p.skip()
		if err != nil {
			return err
		}
		switch {
		case member == "op" && ch.op == "":
			ch.op = string(value)
			if ch.op == `"upsert"` || ch.op == `"delete"` {
				ch.op = ch.op[1 : len(ch.op)-1]
			}
		case member == "row" && ch.row == nil:
			ch.row, ch.rowAt = value, at
		case member == "key" && ch.key == nil:
			ch.key, ch.keyAt = value, at
		case member == "op" || member == "row" || member == "key":
			return misfitf("", "%q comes twice", member)
		default:
			return misfitf("", "%q is not a member of a change", clip(member, 100))
		}
	}
}

// check says whether the members make a change.
func (ch *change) check() error {
	switch ch.op {
	case "":
		return misfitf("", `"op" is missing`)
	case "upsert":
		switch {
		case ch.row == nil:
			return misfitf("", `"row" is missing, which an upsert needs`)
		case ch.key != nil:
			return misfitf("", `an upsert has a "key"; its key is part of "row"`)
		}
	case "delete":
		switch {
		case ch.key == nil:
			return misfitf("", `"key" is missing, which a delete needs`)
		case ch.row != nil:
			return misfitf("", `a delete has a "row"; give its "key" alone`)
		}
	default:
		return misfitf("", `"op" is %s, neither "upsert" nor "delete"`, clip(ch.op, 60))
	}
	return nil
}
