package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"tarn/internal/lake"
)

func newParquetSource(ctx context.Context, r io.Reader, o DecodeOptions, t *tally) (source, error) {
	s := newBatchSource(ctx, Parquet, r, o)
	at, err := s.randomAccess(r, o)
	if err != nil {
		return s.made(err)
	}
	err = s.guard(func() error {
		// The struct hides a Close: the file is not the library's to close.
		props := parquet.NewReaderProperties(s.mem)
		props.BufferedStreamEnabled = true // pages as they are needed, not whole column chunks
		f, err := file.NewParquetReader(struct{ parquet.ReaderAtSeeker }{at}, file.WithReadProps(props))
		if err != nil {
			return err
		}
		s.after = append(s.after, func() { _ = f.Close() }) // read only: nothing can be lost
		if err := checkChunks(f); err != nil {
			return err
		}
		fr, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{BatchSize: int64(o.BatchRows)}, s.mem)
		if err != nil {
			return err
		}
		columns, err := fr.Schema()
		if err != nil {
			return err
		}
		if err := s.connect(withoutInt96Zone(columns, fr), o, t); err != nil {
			return err
		}
		rr, err := fr.GetRecordReader(ctx, nil, nil)
		if err != nil {
			return err
		}
		s.after = append(s.after, rr.Release)
		s.read = func() (arrow.RecordBatch, error) {
			if err := ctx.Err(); err != nil {
				return nil, lake.Step("read the body", err)
			}
			if rr.Next() {
				return rr.RecordBatch(), nil
			}
			if err := rr.Err(); err != nil {
				return nil, err
			}
			return nil, io.EOF
		}
		return nil
	})
	return s.made(err)
}

// withoutInt96Zone gives the schema with timestamps of INT96 as what they are,
// without a zone: pqarrow calls them UTC. (Those that its nanoseconds cannot hold
// it refuses.)
func withoutInt96Zone(s *arrow.Schema, fr *pqarrow.FileReader) *arrow.Schema {
	leaves := fr.ParquetReader().MetaData().Schema
	has := false
	for i := range leaves.NumColumns() {
		has = has || leaves.Column(i).PhysicalType() == parquet.Types.Int96
	}
	if !has {
		return s
	}
	fields := s.Fields()
	for i := range fields {
		fields[i].Type = zoneless(fr.Manifest.Fields[i], fields[i].Type, leaves)
	}
	return arrow.NewSchema(fields, nil)
}

func zoneless(f pqarrow.SchemaField, dt arrow.DataType, leaves *schema.Schema) arrow.DataType {
	if f.IsLeaf() {
		if ts, ok := dt.(*arrow.TimestampType); ok && leaves.Column(f.ColIndex).PhysicalType() == parquet.Types.Int96 {
			return &arrow.TimestampType{Unit: ts.Unit}
		}
		return dt
	}
	switch t := dt.(type) {
	case *arrow.StructType:
		fields := t.Fields()
		for i := range fields {
			fields[i].Type = zoneless(f.Children[i], fields[i].Type, leaves)
		}
		return arrow.StructOf(fields...)
	case *arrow.MapType:
		pair := f.Children[0].Children
		return arrow.MapOf(zoneless(pair[0], t.KeyType(), leaves), zoneless(pair[1], t.ItemType(), leaves))
	case *arrow.ListType:
		return arrow.ListOf(zoneless(f.Children[0], t.Elem(), leaves))
	}
	return dt
}

// checkChunks looks at what a Parquet footer says of its column chunks before
// pqarrow does, which opens those within structs in goroutines of its own,
// where a panic cannot be recovered (arrow-go 18.8.0, FileReader.getReader).
func checkChunks(f *file.Reader) error {
	md := f.MetaData()
	size := md.GetSourceFileSize()
	for g := range f.NumRowGroups() {
		rg := f.RowGroup(g)
		if rg.NumRows() < 0 {
			return fmt.Errorf("row group %d claims %d rows", g+1, rg.NumRows())
		}
		for c := range md.Schema.NumColumns() {
			chunk, err := rg.MetaData().ColumnChunk(c)
			if err != nil {
				return err
			}
			start, n := chunk.DataPageOffset(), chunk.TotalCompressedSize()
			if chunk.HasDictionaryPage() && chunk.DictionaryPageOffset() > 0 {
				start = min(start, chunk.DictionaryPageOffset())
			}
			if start < 0 || n < 0 || start > size || n > size-start || chunk.NumValues() < 0 || chunk.TotalUncompressedSize() < 0 {
				return fmt.Errorf("row group %d, column chunk %d lies outside the file", g+1, c+1)
			}
			if g == 0 { // the ones that are opened there
				pages, err := rg.GetColumnPageReader(c)
				if err != nil {
					return err
				}
				if err := pages.Close(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// randomAccess gives the body as Parquet needs it: as it is where it can be
// read at random, else as a scratch file without a name.
func (s *batchSource) randomAccess(r io.Reader, o DecodeOptions) (parquet.ReaderAtSeeker, error) {
	if at, ok := r.(parquet.ReaderAtSeeker); ok {
		return at, nil
	}
	if o.ScratchDir == "" {
		return nil, lake.Errorf(lake.CodeInternal, "a Parquet body needs random access or a scratch folder")
	}
	f, err := os.CreateTemp(o.ScratchDir, "body-*.parquet")
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "spool the body: %w", err)
	}
	s.after = append(s.after, func() { _ = f.Close() })
	if err := os.Remove(f.Name()); err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "spool the body: %w", err)
	}
	if _, err := io.Copy(f, s.body); err != nil {
		if s.body.err != nil {
			return nil, readError(s.body.err)
		}
		return nil, spoolError(err)
	}
	return f, nil
}

// spoolError is a failed write of a scratch file.
func spoolError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return lake.Errorf(lake.CodeOutOfDisk, "spool the body: %w", err).WithHint("free disk space in the scratch folder")
	}
	return lake.Errorf(lake.CodeInternal, "spool the body: %w", err)
}
