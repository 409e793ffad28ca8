package cli

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"tarn/internal/client"
	"tarn/internal/engine"
	"tarn/internal/rows"
	"tarn/internal/sqlcopy"
	"tarn/internal/sqlddl"
	"tarn/internal/sqlwrite"
)

// copied is what a COPY did.
type copied struct {
	Statement string `json:"statement"`
	Rows      int64  `json:"rows"`
	File      string `json:"file"`
}

// copy runs a COPY: the file is one of this machine, whoever has the lake.
func (s *sqlSession) copy(ctx context.Context, q question, c *sqlcopy.Statement) error {
	if q.options.IfMatch != "" {
		return usagef("--if-match is for INSERT, UPDATE and DELETE")
	}
	began := time.Now()
	done := copied{Statement: "copy", File: c.File}
	var err error
	if c.Query != "" {
		if q.options.IdempotencyKey != "" {
			return usagef("--idempotency-key is for what changes something")
		}
		done.Rows, err = s.copyTo(ctx, client.Query{SQL: c.Query, Params: q.params, Timeout: s.timeout, Engine: s.engine}, c.File, c.Format)
	} else if err = s.here(); err == nil {
		done.Rows, err = s.copyFrom(ctx, q, c)
	}
	if err != nil {
		return err
	}
	if s.output == "json" || s.output == "ndjson" {
		return json.NewEncoder(s.p.Stdout).Encode(done)
	}
	way := "from"
	if c.Query != "" {
		way = "to"
	}
	_, err = fmt.Fprintf(s.p.Stdout, "%s copied %s %s in %s\n", countOf(done.Rows, "row"), way, shown(done.File), elapsed(time.Since(began)))
	return err
}

// copyFrom imports files into a dataset: all rows or none, and no key that is there.
func (s *sqlSession) copyFrom(ctx context.Context, q question, c *sqlcopy.Statement) (int64, error) {
	if q.params != nil {
		return 0, usagef("COPY FROM has no parameters")
	}
	paths, err := expand([]string{c.File})
	if err != nil {
		return 0, err
	}
	files := make([]client.File, len(paths))
	for i, path := range paths {
		if files[i], err = importFile(path, c.Format); err != nil {
			return 0, err
		}
	}
	bar := newProgress(s.p.Stderr, "copy into "+c.Into.String())
	defer bar.done()
	r, err := s.d.Import(ctx, c.Into, files, client.ImportOptions{
		Mode: engine.ImportAppend, OnDuplicate: engine.DuplicateError, IdempotencyKey: q.options.IdempotencyKey,
		Sent:     func(bytes, total int64) { bar.bytes("reading files", bytes, total) },
		Progress: bar.job,
	})
	return r.Rows, err
}

// copyTo writes the answer of a query into a file and gives its rows. The file is there
// once it is whole; one that was there is replaced then, and stays where that fails.
func (s *sqlSession) copyTo(ctx context.Context, q client.Query, path, format string) (n int64, err error) {
	media, zipped, err := contentTypeOf(path, format)
	if err != nil {
		return 0, err
	}
	q.Format = map[string]rows.OutFormat{
		rows.MediaCSV: rows.OutCSV, rows.MediaNDJSON: rows.OutNDJSON, rows.MediaJSON: rows.OutNDJSON, rows.MediaArrow: rows.OutArrow, rows.MediaParquet: rows.OutParquet,
	}[media]
	if zipped && (q.Format == rows.OutArrow || q.Format == rows.OutParquet) {
		return 0, usagef("%s: arrow and parquet are not compressed by gzip", path).withHint("leave .gz out: Parquet compresses within")
	}
	a, err := s.d.SQL(ctx, q)
	if err != nil {
		return 0, err
	}
	defer a.Close() // of an answer that was read to its end; else the error is told already
	f, err := createWhole(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = f.end(err) }()
	out := io.Writer(f.File)
	var z *gzip.Writer
	if zipped {
		z = gzip.NewWriter(f.File)
		out = z
	}
	switch media {
	case rows.MediaCSV:
		_, err = io.Copy(&csvLines{w: out}, a)
	case rows.MediaJSON:
		err = writeArray(out, a)
	default:
		_, err = io.Copy(out, a)
	}
	if z != nil && err == nil {
		err = z.Close()
	}
	return a.Tail().RowCount, err
}

// writeFile writes the answer of a query into a file.
func (s *sqlSession) writeFile(ctx context.Context, q client.Query, path, format string) error {
	for _, parse := range []func(string) (bool, error){isTransaction, isStatement, isDefinition, isCopy} {
		if is, err := parse(q.SQL); is || err != nil {
			return usagef("--to takes the answer of one query")
		}
	}
	began := time.Now()
	n, err := s.copyTo(ctx, q, path, format)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.p.Stdout, "%s written to %s in %s\n", countOf(n, "row"), shown(path), elapsed(time.Since(began)))
	return err
}

func isTransaction(sql string) (bool, error) {
	t, err := sqlwrite.ParseTransaction(sql)
	return t != nil, err
}

func isStatement(sql string) (bool, error)  { s, err := sqlwrite.Parse(sql); return s != nil, err }
func isDefinition(sql string) (bool, error) { s, err := sqlddl.Parse(sql); return s != nil, err }
func isCopy(sql string) (bool, error)       { s, err := sqlcopy.Parse(sql); return s != nil, err }

// writeArray writes NDJSON as one array, which is how rows come as JSON.
func writeArray(w io.Writer, ndjson io.Reader) error {
	out := bufio.NewWriterSize(w, 256<<10)
	in := bufio.NewReaderSize(ndjson, 256<<10)
	before := "[\n"
	for begins := true; ; {
		part, err := in.ReadSlice('\n')
		if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		whole := len(part) > 0 && part[len(part)-1] == '\n'
		if begins && len(part) > 0 {
			_, _ = out.WriteString(before) // Flush gives the error
			before = ",\n"
		}
		if whole {
			part = part[:len(part)-1]
		}
		_, _ = out.Write(part)
		begins = whole
		if err == io.EOF {
			break
		}
	}
	if before == "[\n" {
		_, _ = out.WriteString("[")
	}
	_, _ = out.WriteString("\n]\n")
	return out.Flush()
}

// wholeFile is a file that takes its name once it is whole. What is no regular file,
// such as /dev/stdout, is written as it is.
type wholeFile struct {
	*os.File
	path string // "" for what is no regular file
}

func createWhole(path string) (*wholeFile, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		if info.IsDir() {
			return nil, usagef("%s is a folder", path)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		return &wholeFile{File: f}, err
	}
	f, err := os.OpenFile(fmt.Sprintf("%s.%d.part", path, os.Getpid()), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o666)
	return &wholeFile{File: f, path: path}, err
}

// end gives the file its name, or removes it where err says that it is not whole.
func (f *wholeFile) end(err error) error {
	if shut := f.Close(); err == nil {
		err = shut
	}
	switch {
	case f.path == "":
	case err == nil:
		err = os.Rename(f.Name(), f.path)
	default:
		err = joined(err, os.Remove(f.Name()))
	}
	return err
}

// joined is the first error, with the second where there is one: a lone error keeps its
// own line.
func joined(err, more error) error {
	if more == nil {
		return err
	}
	return errors.Join(err, more)
}
