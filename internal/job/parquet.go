package job

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"tarn/internal/lake"
)

// checkParquet refuses a Parquet file of which DuckDB would not keep all: names
// that it would change, decimals that it reads as DOUBLE, and times that are no
// whole µs, which it cuts. Only times in nanoseconds are read for it.
func (s *session) checkParquet(ctx context.Context, f InputFile) (err error) {
	defer func() {
		if p := recover(); p != nil { // the library's, on a damaged file
			err = lake.Errorf(lake.CodeInvalidRequest, "%s: not Parquet that can be read: %v", f.Name, p)
		}
	}()
	r, err := file.OpenParquetFile(f.Path, false)
	if err != nil {
		return lake.Errorf(lake.CodeInvalidRequest, "%s: not Parquet that can be read: %w", f.Name, err)
	}
	defer r.Close()
	columns := r.MetaData().Schema
	if err := checkNodes(f, columns.Root(), ""); err != nil {
		return err
	}
	for i := range columns.NumColumns() {
		if inNanoseconds(columns.Column(i)) {
			if err := checkNanoseconds(ctx, f, r, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkNodes looks at the parts of a group of the schema.
func checkNodes(f InputFile, group *schema.GroupNode, path string) error {
	seen := input{file: f}
	for i := range group.NumFields() {
		node := group.Field(i)
		seen.columns = append(seen.columns, inputColumn{name: path + node.Name()})
		if node.Name() == "" {
			return lake.Errorf(lake.CodeInvalidRequest, "%s: column %d of %d has no name", f.Name, i+1, group.NumFields())
		}
		if d, ok := node.LogicalType().(schema.DecimalLogicalType); ok && d.Precision() > 38 {
			return lake.Errorf(lake.CodeUnsupported, "%s: column %q of type DECIMAL(%d,%d): a dataset's decimals have at most 38 digits", f.Name, path+node.Name(), d.Precision(), d.Scale()).
				WithHint("cast it first, for example to a string")
		}
		if g, ok := node.(*schema.GroupNode); ok {
			if err := checkNodes(f, g, path+node.Name()+"."); err != nil {
				return err
			}
		}
	}
	return seen.checkNames()
}

func inNanoseconds(c *schema.Column) bool {
	switch t := c.LogicalType().(type) {
	case schema.TimestampLogicalType:
		return t.TimeUnit() == schema.TimeUnitNanos
	case schema.TimeLogicalType:
		return t.TimeUnit() == schema.TimeUnitNanos
	}
	return c.PhysicalType() == parquet.Types.Int96
}

// nanosecondsBatch is how many values are looked at at once.
const nanosecondsBatch = 8192

// checkNanoseconds refuses a column of times in which a value is not whole µs,
// naming the first row.
func checkNanoseconds(ctx context.Context, f InputFile, r *file.Reader, column int) error {
	row := int64(0)
	for g := range r.NumRowGroups() {
		chunk, err := r.RowGroup(g).Column(column)
		if err != nil {
			return lake.Errorf(lake.CodeInvalidRequest, "%s: %w", f.Name, err)
		}
		values := valuesOf(chunk)
		for chunk.HasNext() {
			if ctx.Err() != nil {
				return lake.Step("look at "+f.Name, ctx.Err())
			}
			n, err := values.read()
			if err != nil {
				return lake.Errorf(lake.CodeInvalidRequest, "%s: %w", f.Name, err)
			}
			c := chunk.Descriptor()
			v := 0
			for i := range n {
				if c.MaxRepetitionLevel() == 0 || values.repetition[i] == 0 {
					row++
				}
				if c.MaxDefinitionLevel() > 0 && values.definition[i] < c.MaxDefinitionLevel() {
					continue
				}
				if values.nanos(v)%1000 != 0 {
					return lake.Errorf(lake.CodeRowsInvalid, "%s row %d: column %q: %s is not a whole microsecond, and Iceberg keeps no finer time",
						f.Name, row, c.Path(), values.text(v)).WithHint("round the column to microseconds")
				}
				v++
			}
		}
		if err := chunk.Err(); err != nil {
			return lake.Errorf(lake.CodeInvalidRequest, "%s: %w", f.Name, err)
		}
	}
	return nil
}

// columnValues reads the values of a column chunk, nulls left out, with the levels
// that say where they stand.
type columnValues struct {
	read                   func() (levels int64, err error)
	nanos                  func(i int) int64
	text                   func(i int) string
	definition, repetition []int16
}

func valuesOf(chunk file.ColumnChunkReader) *columnValues {
	v := &columnValues{definition: make([]int16, nanosecondsBatch), repetition: make([]int16, nanosecondsBatch)}
	switch chunk := chunk.(type) {
	case *file.Int64ColumnChunkReader:
		values := make([]int64, nanosecondsBatch)
		v.read = func() (int64, error) {
			n, _, err := chunk.ReadBatch(nanosecondsBatch, values, v.definition, v.repetition)
			return n, err
		}
		v.nanos = func(i int) int64 { return values[i] }
		v.text = func(i int) string {
			if _, ok := chunk.Descriptor().LogicalType().(schema.TimeLogicalType); ok {
				return time.Unix(0, values[i]).UTC().Format("15:04:05.000000000")
			}
			return time.Unix(0, values[i]).UTC().Format("2006-01-02 15:04:05.000000000")
		}
	case *file.Int96ColumnChunkReader:
		values := make([]parquet.Int96, nanosecondsBatch)
		v.read = func() (int64, error) {
			n, _, err := chunk.ReadBatch(nanosecondsBatch, values, v.definition, v.repetition)
			return n, err
		}
		v.nanos = func(i int) int64 { return int64(values[i].ToTime().Nanosecond()) }
		v.text = func(i int) string { return values[i].ToTime().Format("2006-01-02 15:04:05.000000000") }
	default:
		v.read = func() (int64, error) { return 0, fmt.Errorf("times in a column of %s", chunk.Type()) }
	}
	return v
}
