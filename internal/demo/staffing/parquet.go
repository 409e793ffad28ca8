package staffing

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

const (
	batchRows    = 16_384
	rowGroupRows = 122_880
)

// Schema is the table's Arrow schema.
func (t Table) Schema() *arrow.Schema { return arrow.NewSchema(t.shape.fields, nil) }

// Record makes the rows with keys of [first, last] as one batch, which the
// caller releases.
func (s *Set) Record(t Table, first, last int64) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, t.Schema())
	defer b.Release()
	b.Reserve(int(last - first + 1))
	for id := first; id <= last; id++ {
		t.shape.fill(s, id, &line{record: b})
	}
	return b.NewRecordBatch()
}

// WriteParquet writes the table to dir/<name>.parquet and gives the path. It
// holds one row group at a time, whatever the scale. progress, where not nil,
// hears how many rows more were written.
func (s *Set) WriteParquet(ctx context.Context, t Table, dir string, progress func(rows int64)) (string, error) {
	path := filepath.Join(dir, t.Name+".parquet")
	if err := s.writeParquet(ctx, t, path, progress); err != nil {
		_ = os.Remove(path) // a part of a table is of no use to anybody
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	return path, nil
}

func (s *Set) writeParquet(ctx context.Context, t Table, path string, progress func(rows int64)) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	// The Parquet writer closes what it writes to if that can be closed; a
	// bufio.Writer cannot, so the file stays ours.
	out := bufio.NewWriterSize(f, 1<<20)
	w, err := pqarrow.NewFileWriter(t.Schema(), out, parquet.NewWriterProperties(
		parquet.WithCompression(compress.Codecs.Snappy),
		parquet.WithStoreDecimalAsInteger(true),
		parquet.WithMaxRowGroupLength(rowGroupRows),
		parquet.WithCreatedBy("tarn demo"),
	), pqarrow.DefaultWriterProps())
	if err != nil {
		return err
	}
	for first := int64(1); first <= t.Rows; first += batchRows {
		if err := ctx.Err(); err != nil {
			return err
		}
		last := min(first+batchRows-1, t.Rows)
		rec := s.Record(t, first, last)
		err := w.WriteBuffered(rec)
		rec.Release()
		if err != nil {
			return err
		}
		if progress != nil {
			progress(last - first + 1)
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return out.Flush()
}
