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
	"tarn/internal/store"
)

// deletes stages a position delete file with the locations of its data files under
// the new root, and gives its key and bytes. It is as small as what it marks dead.
func (r *rerooter) deletes(ctx context.Context, key string) (string, int64, error) {
	if err := VerifyFile(ctx, r.table.fs.store, key); err != nil {
		return "", 0, err
	}
	old, err := r.table.fs.store.Get(ctx, key)
	if err != nil {
		return "", 0, missing(key, err)
	}
	schema, err := table.SchemaToArrowSchema(iceberg.PositionalDeleteSchema, nil, true, false)
	if err != nil {
		return "", 0, lake.Errorf(lake.CodeInternal, "position deletes: %w", err)
	}
	var body bytes.Buffer
	w, err := pqarrow.NewFileWriter(schema, &body, parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd)), pqarrow.DefaultWriterProps())
	if err != nil {
		return "", 0, lake.Errorf(lake.CodeInternal, "position deletes: %w", err)
	}
	if err := r.copyDeletes(ctx, key, old, schema, w); err != nil {
		return "", 0, err
	}
	if err := w.Close(); err != nil {
		return "", 0, lake.Errorf(lake.CodeInternal, "position deletes: %w", err)
	}
	named := r.table.folder + "/data/" + deletesName(store.HashBytes(body.Bytes()))
	r.to.file(named, body.Bytes())
	return named, int64(body.Len()), nil
}

func (r *rerooter) copyDeletes(ctx context.Context, key string, old []byte, schema *arrow.Schema, w *pqarrow.FileWriter) error {
	pf, err := file.NewParquetReader(bytes.NewReader(old))
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
		if err := r.copyBatch(key, rec, schema, w); err != nil {
			return err
		}
	}
}

func (r *rerooter) copyBatch(key string, rec arrow.RecordBatch, schema *arrow.Schema, w *pqarrow.FileWriter) error {
	path, at := rec.Schema().FieldIndices("file_path"), rec.Schema().FieldIndices("pos")
	if len(path) != 1 || len(at) != 1 {
		return damaged(key, "position deletes without file_path and pos")
	}
	paths, isText := rec.Column(path[0]).(*array.String)
	positions, isInt := rec.Column(at[0]).(*array.Int64)
	if !isText || !isInt || paths.NullN() > 0 || positions.NullN() > 0 {
		return damaged(key, "position deletes whose file_path or pos have another type, or are null")
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i := range int(rec.NumRows()) {
		uri, err := r.moved(paths.Value(i))
		if err != nil {
			return err
		}
		b.Field(0).(*array.StringBuilder).Append(uri)
		b.Field(1).(*array.Int64Builder).Append(positions.Value(i))
	}
	out := b.NewRecordBatch()
	defer out.Release()
	if err := w.WriteBuffered(out); err != nil {
		return lake.Errorf(lake.CodeInternal, "position deletes: %w", err)
	}
	return nil
}
