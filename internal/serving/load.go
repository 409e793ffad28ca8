package serving

import (
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/format"
	"tarn/internal/lake"
)

// loaded is a delta in memory, verified.
type loaded struct {
	sequence int64
	changes  []format.Changes
}

func (l loaded) release() {
	for _, c := range l.changes {
		c.Rows.Release()
	}
}

// loadDelta reads and verifies a delta. Its errors name the key, never the path.
func loadDelta(d lake.Delta, s lake.Schema, uuid string) (loaded, error) {
	if d.Void {
		return loaded{sequence: d.Sequence}, nil
	}
	b, err := os.ReadFile(d.Path)
	if err != nil {
		return loaded{}, guardedFile{kind: "delta", key: d.Key}.missing(err)
	}
	h, changes, err := format.DecodeDelta(d.Key, b, s)
	if err != nil {
		return loaded{}, err
	}
	l := loaded{d.Sequence, changes}
	if err := sameDelta(d, h, uuid); err != nil {
		l.release()
		return loaded{}, err
	}
	return l, nil
}

func sameDelta(d lake.Delta, h format.DeltaHeader, uuid string) error {
	if h.TableUUID != uuid || h.First != d.First || h.Sequence != d.Sequence {
		return lake.Errorf(lake.CodeDamaged, "delta %s holds changes %d to %d of table %s", d.Key, h.First, h.Sequence, h.TableUUID)
	}
	return nil
}

// withChangeColumns adds operation and sequence to rows.
func withChangeColumns(rows arrow.RecordBatch, ops []uint8, sequence int64) arrow.RecordBatch {
	n := int(rows.NumRows())
	op := array.NewUint8Builder(memory.DefaultAllocator)
	op.AppendValues(ops, nil)
	seq := array.NewInt64Builder(memory.DefaultAllocator)
	seq.Reserve(n)
	for range n {
		seq.UnsafeAppend(sequence)
	}
	opArray, seqArray := op.NewArray(), seq.NewArray()
	defer opArray.Release()
	defer seqArray.Release()
	fields := append(rows.Schema().Fields(), // a copy
		arrow.Field{Name: opColumn, Type: arrow.PrimitiveTypes.Uint8},
		arrow.Field{Name: sequenceColumn, Type: arrow.PrimitiveTypes.Int64})
	columns := append(append([]arrow.Array{}, rows.Columns()...), opArray, seqArray)
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(n))
}

// only gives some columns of rows.
func only(rows arrow.RecordBatch, columns []int) arrow.RecordBatch {
	fields, arrays := make([]arrow.Field, len(columns)), make([]arrow.Array, len(columns))
	for i, c := range columns {
		fields[i], arrays[i] = rows.Schema().Field(c), rows.Column(c)
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, rows.NumRows())
}
