package format

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"tarn/internal/lake"
)

// ReadColumns reads some columns of a Parquet file of rows that a job wrote, found
// by field id, in bounded memory: fn gets batches with exactly cols, in their
// order and Arrow types. A batch is valid during the call. Columns must not be
// nested.
func ReadColumns(ctx context.Context, path string, cols []lake.Column, fn func(arrow.RecordBatch) error) error {
	f, err := os.Open(path)
	if err != nil {
		return lake.Errorf(lake.CodeNotFound, "read columns: %w", err)
	}
	defer f.Close()
	props := parquet.NewReaderProperties(memory.DefaultAllocator)
	props.BufferedStreamEnabled = true
	pf, err := file.NewParquetReader(f, file.WithReadProps(props))
	if err != nil {
		return fmt.Errorf("read columns of %s: %w", path, err)
	}
	ar, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: batchRows}, memory.DefaultAllocator)
	if err != nil {
		return fmt.Errorf("read columns of %s: %w", path, err)
	}
	leaves, err := leavesOf(pf, cols)
	if err != nil {
		return fmt.Errorf("read columns of %s: %w", path, err)
	}
	rr, err := ar.GetRecordReader(ctx, leaves, nil)
	if err != nil {
		return fmt.Errorf("read columns of %s: %w", path, err)
	}
	defer rr.Release()
	want := lake.Schema{Columns: cols}.Arrow()
	from := make([]int, len(cols))
	for i, c := range cols {
		for at, field := range rr.Schema().Fields() {
			if fieldID(field) == c.ID {
				from[i] = at
			}
		}
	}
	for {
		rec, err := rr.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read columns of %s: %w", path, err)
		}
		out := make([]arrow.Array, len(cols))
		for i := range cols {
			if out[i], err = fit(rec.Column(from[i]), want.Field(i).Type); err != nil {
				return fmt.Errorf("read columns of %s: %w", path, err)
			}
		}
		if err := fn(array.NewRecordBatch(want, out, rec.NumRows())); err != nil {
			return err
		}
	}
}

// leavesOf finds the Parquet columns of flat columns by their field ids.
func leavesOf(pf *file.Reader, cols []lake.Column) ([]int, error) {
	schema := pf.MetaData().Schema
	var leaves []int
	for _, c := range cols {
		found := false
		for i := range schema.NumColumns() {
			if int(schema.Column(i).SchemaNode().FieldID()) == c.ID {
				leaves = append(leaves, i)
				found = true
			}
		}
		if !found {
			return nil, fmt.Errorf("no column with the field id %d (%q)", c.ID, c.Name)
		}
	}
	return leaves, nil
}
