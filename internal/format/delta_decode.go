package format

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"tarn/internal/lake"
)

const batchRows = 8192

// DecodeDelta verifies a delta in memory and gives its batches, whose rows have
// ChangesSchema(s). A delta of an older schema than s is read by field ids:
// columns that it lacks are null. The caller releases the batches.
func DecodeDelta(key string, b []byte, s lake.Schema) (DeltaHeader, []Changes, error) {
	h, meta, err := verifyBytes(key, b)
	if err != nil {
		return DeltaHeader{}, nil, err
	}
	var out []Changes
	props := parquet.NewReaderProperties(memory.DefaultAllocator)
	err = readBatches(context.Background(), key, bytes.NewReader(b), props, meta, h, s, func(c Changes) error {
		c.Rows.Retain()
		out = append(out, c)
		return nil
	})
	if err != nil {
		for _, c := range out {
			c.Rows.Release()
		}
		return DeltaHeader{}, nil, err
	}
	return h, out, nil
}

// OpenDelta verifies the delta at path as a stream, then calls fn with its
// batches as DecodeDelta gives them, in bounded memory. A batch is valid during
// the call unless fn retains its rows; an error of fn ends the reading and is
// returned as it is.
func OpenDelta(ctx context.Context, path string, s lake.Schema, fn func(Changes) error) (DeltaHeader, error) {
	f, err := os.Open(path)
	if err != nil {
		return DeltaHeader{}, lake.Errorf(lake.CodeNotFound, "delta: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return DeltaHeader{}, lake.Errorf(lake.CodeUnavailable, "delta: %w", err)
	}
	h, meta, err := verify(path, f, info.Size())
	if err != nil {
		return DeltaHeader{}, err
	}
	props := parquet.NewReaderProperties(memory.DefaultAllocator)
	props.BufferedStreamEnabled = true // not a whole column chunk at a time
	return h, readBatches(ctx, path, f, props, meta, h, s, fn)
}

func readBatches(ctx context.Context, key string, r parquet.ReaderAtSeeker, props *parquet.ReaderProperties, meta *metadata.FileMetaData, h DeltaHeader, s lake.Schema, fn func(Changes) error) error {
	if h.Rows == 0 {
		return nil
	}
	var rr pqarrow.RecordReader
	err := caught(func() error {
		pf, err := file.NewParquetReader(r, file.WithMetadata(meta), file.WithReadProps(props))
		if err != nil {
			return err
		}
		ar, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: batchRows}, memory.DefaultAllocator)
		if err != nil {
			return err
		}
		rr, err = ar.GetRecordReader(ctx, nil, nil)
		return err
	})
	if err != nil {
		return damaged(key, "%w", err)
	}
	defer rr.Release()
	f, err := newFitter(rr.Schema(), h, s)
	if err != nil {
		return lake.Step(key, err)
	}
	var rows int64
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var rec arrow.RecordBatch
		err := caught(func() (err error) {
			rec, err = rr.Read()
			return err
		})
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return damaged(key, "%w", err)
		}
		c, err := f.changes(rec)
		if err != nil {
			return lake.Step(key, err)
		}
		rows += int64(len(c.Ops))
		err = fn(c)
		c.Rows.Release()
		if err != nil {
			return err
		}
	}
	if rows != h.Rows {
		return damaged(key, "%d rows where the header says %d", rows, h.Rows)
	}
	return nil
}

// caught calls the Parquet library, which panics on some files that it did not write.
func caught(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the Parquet library fails on it: %v", p)
		}
	}()
	return call()
}

// fitter turns a file's batches into Changes of a schema.
type fitter struct {
	schema lake.Schema
	arrow  *arrow.Schema
	from   []int // position in the file of each column, -1: the file lacks it
	op     int
	keys   []int
}

func newFitter(fileSchema *arrow.Schema, h DeltaHeader, s lake.Schema) (*fitter, error) {
	f := &fitter{schema: s, arrow: ChangesSchema(s), op: -1, keys: s.KeyIndexes()}
	byID := map[int]int{}
	for i, field := range fileSchema.Fields() {
		id := fieldID(field)
		if id == OpFieldID {
			f.op = i
			continue
		}
		byID[id] = i
	}
	if f.op < 0 {
		return nil, lake.Errorf(lake.CodeDamaged, "no column %s", OpColumn)
	}
	for _, c := range s.Columns {
		i, ok := byID[c.ID]
		if !ok {
			if h.SchemaID == s.ID {
				return nil, lake.Errorf(lake.CodeDamaged, "no column with the field id %d (%q)", c.ID, c.Name)
			}
			i = -1
		}
		f.from = append(f.from, i)
	}
	for _, k := range f.keys {
		if f.from[k] < 0 {
			return nil, lake.Errorf(lake.CodeDamaged, "no key column %q", s.Columns[k].Name)
		}
	}
	return f, nil
}

func fieldID(f arrow.Field) int {
	v, ok := f.Metadata.GetValue(lake.FieldIDKey)
	if !ok {
		return -1
	}
	id, err := strconv.Atoi(v)
	if err != nil {
		return -1
	}
	return id
}

func (f *fitter) changes(rec arrow.RecordBatch) (Changes, error) {
	cols := make([]arrow.Array, 0, len(f.from))
	defer func() {
		for _, c := range cols {
			c.Release()
		}
	}()
	for i, from := range f.from {
		want := f.arrow.Field(i).Type
		if from < 0 {
			cols = append(cols, array.MakeArrayOfNull(memory.DefaultAllocator, want, int(rec.NumRows())))
			continue
		}
		col, err := fit(rec.Column(from), want)
		if err != nil {
			return Changes{}, lake.Errorf(lake.CodeDamaged, "column %q: %w", f.schema.Columns[i].Name, err)
		}
		cols = append(cols, col)
	}
	for _, k := range f.keys {
		if cols[k].NullN() > 0 {
			return Changes{}, lake.Errorf(lake.CodeDamaged, "null in key column %q", f.schema.Columns[k].Name)
		}
	}
	ops, err := readOps(rec.Column(f.op))
	if err != nil {
		return Changes{}, lake.Errorf(lake.CodeDamaged, "column %s: %w", OpColumn, err)
	}
	return Changes{Rows: array.NewRecordBatch(f.arrow, cols, rec.NumRows()), Ops: ops}, nil
}

func readOps(a arrow.Array) ([]uint8, error) {
	if a.NullN() > 0 {
		return nil, errors.New("null")
	}
	ints, ok := a.(*array.Int32)
	if !ok {
		return nil, fmt.Errorf("type %s where int32 is expected", a.DataType())
	}
	out := make([]uint8, ints.Len())
	for i := range out {
		v := ints.Value(i)
		if v != int32(OpUpsert) && v != int32(OpDelete) {
			return nil, fmt.Errorf("operation %d", v)
		}
		out[i] = uint8(v)
	}
	return out, nil
}
