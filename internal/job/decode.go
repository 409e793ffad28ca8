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
func (s *session) decodeAll(ctx context.Context, files []InputFile, schema lake.Schema) (arrival, error) {
	var out arrival
	for _, f := range files {
		in, err := s.decodeOne(ctx, f, schema)
		if err != nil {
			return arrival{}, err
		}
		out.inputs = append(out.inputs, in)
	}
	return out, nil
}

// decodeOne reads one input into a table of its own.
func (s *session) decodeOne(ctx context.Context, f InputFile, schema lake.Schema) (arrived, error) {
	s.links++
	table := fmt.Sprintf("decoded%d", s.links)
	if err := s.createTable(ctx, table, schema, ""); err != nil {
		return arrived{}, err
	}
	body, err := s.openText(ctx, f)
	if err != nil {
		return arrived{}, err
	}
	defer body.Close()
	d, err := rows.Decode(ctx, f.Format, body.Reader, rows.DecodeOptions{Schema: schema, ScratchDir: filepath.Join(s.spec.Scratch, "in")})
	if err != nil {
		return arrived{}, lake.Step(f.Name, err)
	}
	defer d.Close()
	if _, err := s.fill(ctx, table, "read "+f.Name, func() (arrow.RecordBatch, error) { return d.Next() }); err != nil {
		return arrived{}, lake.Step(f.Name, err)
	}
	return arrived{file: f, rows: fromTable(table, schema)}, nil
}

// fill appends batches to a table in one transaction and gives their rows.
func (s *session) fill(ctx context.Context, table, step string, next func() (arrow.RecordBatch, error)) (n int64, err error) {
	if err := s.c.Exec(ctx, "BEGIN"); err != nil {
		return 0, err
	}
	s.step(step)
	reported := int64(0)
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
		if n-reported >= progressRows {
			reported = n
			s.report(Progress{Step: step, Done: n})
		}
	}
}

// progressRows is how often a decoder's progress is reported.
const progressRows = 100_000

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

// openText opens an input for a decoder of package rows: text unpacked, and CSV
// of another dialect (semicolons, tabs, …) written anew as RFC 4180.
func (s *session) openText(ctx context.Context, f InputFile) (*body, error) {
	path := f.Path
	if f.Format == rows.CSV {
		var err error
		if path, err = s.plainCSV(ctx, f); err != nil {
			return nil, err
		}
	}
	return unpack(path, f)
}

// unpack opens a file of the input, its own or one in scratch, and takes a
// compression away.
func unpack(path string, f InputFile) (*body, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, openError(f.Name, err)
	}
	b := &body{Reader: file, close: []func() error{file.Close}}
	compression := ""
	if path == f.Path {
		if compression, err = compressionOf(f); err != nil {
			b.Close()
			return nil, err
		}
	}
	switch compression {
	case ".gz":
		z, err := gzip.NewReader(bufio.NewReaderSize(file, 1<<16))
		if err != nil {
			b.Close()
			return nil, lake.Errorf(lake.CodeInvalidRequest, "%s: %w", f.Name, err)
		}
		b.Reader, b.close = z, append(b.close, z.Close)
	case ".zst":
		z, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1))
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

// plainCSV gives the path of the input as RFC 4180: its own, or that of a file
// in scratch. Where the dialect cannot be found the decoder is to say why.
func (s *session) plainCSV(ctx context.Context, f InputFile) (string, error) {
	link, err := s.textLink(f, ".csv")
	if err != nil {
		return "", err
	}
	d, err := s.sniff(ctx, f, link, false)
	if err != nil {
		if lake.CodeOf(err) == lake.CodeInvalidRequest {
			return f.Path, nil
		}
		return "", err
	}
	if d.plain() {
		return f.Path, nil
	}
	types := make([]string, len(d.columns))
	for i := range types {
		types[i] = "VARCHAR"
	}
	s.links++
	path := filepath.Join(s.spec.Scratch, "in", fmt.Sprintf("plain%d.csv", s.links))
	err = s.c.Exec(ctx, fmt.Sprintf("COPY (SELECT * FROM %s) TO %s (FORMAT csv, HEADER)",
		d.read(link, types), lake.QuoteString(path)))
	return path, s.readFailure(err)
}
