package job

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/klauspost/compress/zstd"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// catalog is DuckDB's name of the job's own database, after its file.
const catalog = "job"

// decodeAll reads inputs by the decoders of package rows into tables.
func (s *session) decodeAll(ctx context.Context, im Import, schema lake.Schema) (arrival, error) {
	var out arrival
	for _, f := range im.Files {
		in, err := s.decodeOne(ctx, f, im, schema)
		if err != nil {
			return arrival{}, err
		}
		out.inputs = append(out.inputs, in)
	}
	return out, nil
}

// decodeOne reads one input into a table of its own.
func (s *session) decodeOne(ctx context.Context, f InputFile, im Import, schema lake.Schema) (arrived, error) {
	s.links++
	table := fmt.Sprintf("decoded%d", s.links)
	if err := s.createTable(ctx, table, schema, ""); err != nil {
		return arrived{}, err
	}
	body, o, err := s.openInput(f, im, "read ")
	if err != nil {
		return arrived{}, err
	}
	defer body.Close()
	o.Schema = schema
	d, err := rows.Decode(ctx, f.Format, body.Reader, o)
	if err != nil {
		return arrived{}, lake.Step(f.Name, err)
	}
	defer d.Close()
	if _, err := s.fill(ctx, table, d.Next); err != nil {
		return arrived{}, lake.Step(f.Name, err)
	}
	return arrived{file: f, rows: fromTable(table, schema)}, nil
}

// openInput opens an input of an import, with the options by which it is looked at
// and read. In JSON a row may lack a column, and a text column may hold anything.
func (s *session) openInput(f InputFile, im Import, step string) (*body, rows.DecodeOptions, error) {
	o := rows.DecodeOptions{AnyText: true, MaxRowBytes: im.MaxRowBytes, ScratchDir: filepath.Join(s.spec.Scratch, "in")}
	if f.Format == rows.JSON || f.Format == rows.NDJSON {
		o.Missing = rows.MissingInSome
	}
	var err error
	if o.Comma, err = delimiterOf(f); err != nil {
		return nil, o, err
	}
	body, err := unpack(f, s.meter(step+f.Name))
	return body, o, err
}

// fill appends batches to a table in one transaction and gives their rows.
func (s *session) fill(ctx context.Context, table string, next func() (arrow.RecordBatch, error)) (n int64, err error) {
	if err := s.c.Exec(ctx, "BEGIN"); err != nil {
		return 0, err
	}
	for {
		batch, err := next()
		if errors.Is(err, io.EOF) {
			return n, s.c.Exec(ctx, "COMMIT")
		}
		if err != nil {
			return n, err // the session ends: nothing of it is kept
		}
		n += batch.NumRows()
		err = s.c.Append(ctx, catalog, "main", table, []arrow.RecordBatch{batch})
		batch.Release()
		if err != nil {
			return n, err
		}
	}
}

// body is an opened input.
type body struct {
	io.Reader
	close []func() error
}

func (b *body) Close() {
	for i := len(b.close) - 1; i >= 0; i-- {
		_ = b.close[i]() // it was read only
	}
}

// unpack opens an input and takes a compression away. What is read of the file is
// told to the meter, if there is one.
func unpack(f InputFile, m *meter) (*body, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, openError(f.Name, err)
	}
	b := &body{Reader: file, close: []func() error{file.Close}}
	if m != nil {
		b.Reader = m.over(file)
	}
	compression, err := compressionOf(f)
	if err != nil {
		b.Close()
		return nil, err
	}
	switch compression {
	case ".gz":
		z, err := gzip.NewReader(bufio.NewReaderSize(b.Reader, 1<<16))
		if err != nil {
			b.Close()
			return nil, lake.Errorf(lake.CodeInvalidRequest, "%s: %w", f.Name, err)
		}
		b.Reader, b.close = z, append(b.close, z.Close)
	case ".zst":
		z, err := zstd.NewReader(b.Reader, zstd.WithDecoderConcurrency(1))
		if err != nil {
			b.Close()
			return nil, lake.Errorf(lake.CodeInvalidRequest, "%s: %w", f.Name, err)
		}
		b.Reader, b.close = z, append(b.close, func() error { z.Close(); return nil })
	}
	return b, nil
}

// compressionOf looks at the first bytes of a text file.
func compressionOf(f InputFile) (string, error) {
	if f.Format != rows.CSV && f.Format != rows.JSON && f.Format != rows.NDJSON {
		return "", nil
	}
	file, err := os.Open(f.Path)
	if err != nil {
		return "", openError(f.Name, err)
	}
	defer file.Close()
	var magic [4]byte
	n, err := io.ReadFull(file, magic[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", openError(f.Name, err)
	}
	switch head := magic[:n]; {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return ".gz", nil
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return ".zst", nil
	}
	return "", nil
}
