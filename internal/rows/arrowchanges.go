package rows

import (
	"context"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/lake"
)

// OpColumn is the column of operations in an Arrow stream of changes.
const OpColumn = lake.ReservedColumnPrefix + "op"

// The operations in OpColumn. Above OpDelete are those of SQL: the key that a row had
// before its own changed, which is deleted, and a row that was deleted and whose key
// another change has, which is passed over.
const (
	opMoved uint8 = 2
	opGone  uint8 = 3
)

// ArrowChanges reads an Arrow stream of changes: the columns of the dataset and behind
// them OpColumn, an INTEGER. It is used as ChangesDecoder is.
type ArrowChanges struct {
	rows  *Decoder
	out   *arrow.Schema
	inKey []bool
	count int64
}

// DecodeArrowChanges begins to decode an Arrow stream of changes. It fails as Decode
// does.
func DecodeArrowChanges(ctx context.Context, r io.Reader, o DecodeOptions) (*ArrowChanges, error) {
	d := &ArrowChanges{out: ChangesSchema(o.Schema), inKey: keyColumns(o.Schema)}
	o.Schema.Columns = append(slices.Clone(o.Schema.Columns), lake.Column{Name: OpColumn, Type: lake.Type{Kind: lake.Integer}})
	var err error
	d.rows, err = Decode(ctx, ArrowStream, r, o)
	return d, err
}

// Next gives the next batch, whose Rows the caller releases; io.EOF after the last.
// Errors are those of Decoder.Next.
func (d *ArrowChanges) Next() (ChangeBatch, error) {
	for {
		rec, err := d.rows.Next()
		if err != nil {
			return ChangeBatch{}, err
		}
		b, err := d.changes(rec)
		rec.Release()
		if err != nil || len(b.Ops) > 0 {
			return b, err
		}
	}
}

// changes takes the operations off a batch.
func (d *ArrowChanges) changes(rec arrow.RecordBatch) (ChangeBatch, error) {
	last := int(rec.NumCols()) - 1
	ops := rec.Column(last).(*array.Int32) // as its schema says
	b := ChangeBatch{}
	for i := range ops.Len() {
		switch op := ops.Value(i); {
		case op < 0 || op > int32(opGone):
			return b, lake.Errorf(lake.CodeInvalidRequest, "row %d has the operation %d", d.rows.Rows()-rec.NumRows()+int64(i)+1, op)
		case op == int32(opGone):
			d.count++
		case op == int32(opMoved):
			b.Ops = append(b.Ops, OpDelete)
		default:
			d.count++
			b.Ops = append(b.Ops, uint8(op))
		}
	}
	cols := make([]arrow.Array, last)
	defer func() {
		for _, c := range cols {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i := range cols {
		var err error
		if cols[i], err = only(rec.Column(i), ops, d.inKey[i]); err != nil {
			return b, err
		}
	}
	b.Rows = array.NewRecordBatch(d.out, cols, int64(len(b.Ops)))
	return b, nil
}

// only is a column of changes without the rows that are gone; outside of the key the
// values of deletes are null.
func only(col arrow.Array, ops *array.Int32, key bool) (arrow.Array, error) {
	kind := func(i int) uint8 {
		switch op := uint8(ops.Value(i)); {
		case op == opGone:
			return opGone
		case key || op == OpUpsert:
			return OpUpsert // it stays as it is
		}
		return OpDelete
	}
	var parts []arrow.Array
	defer func() {
		for _, p := range parts {
			p.Release()
		}
	}()
	for from, n := 0, ops.Len(); from < n; {
		to := from + 1
		for to < n && kind(to) == kind(from) {
			to++
		}
		switch kind(from) {
		case OpUpsert:
			parts = append(parts, array.NewSlice(col, int64(from), int64(to)))
		case OpDelete:
			parts = append(parts, array.MakeArrayOfNull(memory.DefaultAllocator, col.DataType(), to-from))
		}
		from = to
	}
	if len(parts) == 0 {
		return array.NewSlice(col, 0, 0), nil
	}
	if len(parts) == 1 {
		parts[0].Retain()
		return parts[0], nil
	}
	return array.Concatenate(parts, memory.DefaultAllocator)
}

// Rows is the number of rows that the statement counts, of those read so far.
func (d *ArrowChanges) Rows() int64 { return d.count }

// Close lets everything go. It can be called twice.
func (d *ArrowChanges) Close() { d.rows.Close() }
