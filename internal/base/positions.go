package base

import (
	"bytes"
	"context"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"tarn/internal/lake"
)

// eachPosition goes through a position delete file in batches. No value is null.
func eachPosition(ctx context.Context, key string, body []byte, each func(paths *array.String, positions *array.Int64) error) error {
	pf, err := file.NewParquetReader(bytes.NewReader(body))
	if err != nil {
		return damaged(key, "not a Parquet file: %w", err)
	}
	defer pf.Close()
	in, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: 8192}, memory.DefaultAllocator)
	if err != nil {
		return damaged(key, "%w", err)
	}
	batches, err := in.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return damaged(key, "%w", err)
	}
	defer batches.Release()
	for {
		rec, err := batches.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return damaged(key, "%w", err)
		}
		path, at := rec.Schema().FieldIndices("file_path"), rec.Schema().FieldIndices("pos")
		if len(path) != 1 || len(at) != 1 {
			return damaged(key, "position deletes without file_path and pos")
		}
		paths, isText := rec.Column(path[0]).(*array.String)
		positions, isInt := rec.Column(at[0]).(*array.Int64)
		if !isText || !isInt || paths.NullN() > 0 || positions.NullN() > 0 {
			return damaged(key, "position deletes whose file_path or pos have another type, or are null")
		}
		if err := each(paths, positions); err != nil {
			return err
		}
	}
}

// positionsWriter writes a position delete file as Iceberg has them.
type positionsWriter struct {
	schema *arrow.Schema
	w      *pqarrow.FileWriter
}

func newPositionsWriter(out io.Writer) (*positionsWriter, error) {
	schema, err := table.SchemaToArrowSchema(iceberg.PositionalDeleteSchema, nil, true, false)
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "position deletes: %w", err)
	}
	w, err := pqarrow.NewFileWriter(schema, out, parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd)), pqarrow.DefaultWriterProps())
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "position deletes: %w", err)
	}
	return &positionsWriter{schema, w}, nil
}

// add appends rows; uri gives the location of each.
func (p *positionsWriter) add(positions []int64, uri func(i int) (string, error)) error {
	b := array.NewRecordBuilder(memory.DefaultAllocator, p.schema)
	defer b.Release()
	for i, pos := range positions {
		location, err := uri(i)
		if err != nil {
			return err
		}
		b.Field(0).(*array.StringBuilder).Append(location)
		b.Field(1).(*array.Int64Builder).Append(pos)
	}
	out := b.NewRecordBatch()
	defer out.Release()
	if err := p.w.WriteBuffered(out); err != nil {
		return lake.Errorf(lake.CodeInternal, "position deletes: %w", err)
	}
	return nil
}

func (p *positionsWriter) close() error {
	if err := p.w.Close(); err != nil {
		return lake.Errorf(lake.CodeInternal, "position deletes: %w", err)
	}
	return nil
}
