package rows

import (
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"tarn/internal/lake"
)

// A row group of an answer ends at the first of these: a row group is held in memory
// until it ends, as Parquet has it column by column.
const (
	answerGroupRows  = 122_880
	answerGroupBytes = 16 << 20 // of values, before they are encoded
)

// parquetFraming writes a Parquet file, a row group at a time. Names that come twice
// are made unique as DuckDB does: a, a_1. Nothing that is written before its end is a
// file: the footer comes last.
type parquetFraming struct {
	w      *pqarrow.FileWriter
	schema *arrow.Schema
	bytes  int64 // in the present row group
}

func (f *parquetFraming) begin(o *out, cols []Column, s *arrow.Schema, _ Head) error {
	props := parquet.NewWriterProperties(
		parquet.WithCreatedBy("tarn"),
		parquet.WithVersion(parquet.V2_LATEST),
		parquet.WithStoreDecimalAsInteger(true),
		parquet.WithMaxRowGroupLength(answerGroupRows),
		parquet.WithCompression(compress.Codecs.Zstd),
	)
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = c.Name
	}
	fields := s.Fields()
	for i, name := range uniqueNames(names) {
		fields[i].Name, fields[i].Type = name, listedType(fields[i].Type)
		if _, err := pqarrow.ToParquet(arrow.NewSchema(fields[i:i+1], nil), props, pqarrow.DefaultWriterProps()); err != nil {
			return lake.Errorf(lake.CodeUnsupported, "column %s: Parquet cannot hold a value of type %s", strconv.Quote(name), cols[i].Type).
				WithHint("cast it, for example to VARCHAR, or ask for another format")
		}
	}
	f.schema = arrow.NewSchema(fields, nil)
	var err error
	f.w, err = pqarrow.NewFileWriter(f.schema, o, props, pqarrow.DefaultWriterProps())
	return err
}

func (f *parquetFraming) write(_ *out, rec arrow.RecordBatch) error {
	if f.bytes >= answerGroupBytes {
		if err := f.w.NewBufferedRowGroupChecked(); err != nil {
			return err
		}
		f.bytes = 0
	}
	columns := make([]arrow.Array, rec.NumCols())
	for i, c := range rec.Columns() {
		f.bytes += int64(c.Data().SizeInBytes())
		columns[i] = listed(c)
		defer columns[i].Release()
	}
	named := array.NewRecordBatch(f.schema, columns, rec.NumRows())
	defer named.Release()
	return f.w.WriteBuffered(named)
}

func (f *parquetFraming) end(*out, Tail) error { return f.w.Close() }
