package job_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tarn/internal/duck"
	"tarn/internal/fileid"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// sql is a DuckDB of the test's own, beside those of the jobs.
type sql struct {
	t testing.TB
	c *duck.Conn
}

func openSQL(t testing.TB) sql {
	t.Helper()
	db, err := duck.Open(context.Background(), duck.Options{Scratch: t.TempDir(), Threads: 2, MemoryLimitBytes: 2 << 30})
	if err != nil {
		t.Fatal(err)
	}
	c, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); db.Close() })
	return sql{t, c}
}

func (s sql) exec(format string, args ...any) {
	s.t.Helper()
	text := fmt.Sprintf(format, args...)
	if err := s.c.Exec(context.Background(), text); err != nil {
		s.t.Fatalf("%s\n%v", text, err)
	}
}

// rows gives a query's rows, a line each, values separated by " | ".
func (s sql) rows(format string, args ...any) []string {
	s.t.Helper()
	text := fmt.Sprintf("SELECT COLUMNS(*)::VARCHAR FROM ("+format+")", args...)
	stream, err := s.c.Query(context.Background(), text, duck.Params{})
	if err != nil {
		s.t.Fatalf("%s\n%v", text, err)
	}
	defer stream.Close()
	var out []string
	for {
		rec, err := stream.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			s.t.Fatalf("%s\n%v", text, err)
		}
		for r := range int(rec.NumRows()) {
			var line []string
			for c := range int(rec.NumCols()) {
				if rec.Column(c).IsNull(r) {
					line = append(line, "NULL")
				} else {
					line = append(line, strings.Clone(rec.Column(c).ValueStr(r)))
				}
			}
			out = append(out, strings.Join(line, " | "))
		}
		rec.Release()
	}
}

// write puts text into a file and gives it as an input.
func write(t testing.TB, name string, format rows.Format, text string) job.InputFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return job.InputFile{Path: path, Name: name, Format: format}
}

// parquet writes a query's rows and gives the file as an input.
func (s sql) parquet(name, query string) job.InputFile {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), name)
	s.exec("COPY (%s) TO '%s' (FORMAT parquet)", query, path)
	return job.InputFile{Path: path, Name: name, Format: rows.Parquet}
}

func spec(t testing.TB) job.Spec {
	t.Helper()
	return job.Spec{Scratch: t.TempDir(), MemoryLimitBytes: 512 << 20, Threads: 2}
}

// importing runs an import.
func importing(t testing.TB, r job.Runner, im job.Import, change ...func(*job.Spec)) (job.Result, error) {
	t.Helper()
	s := spec(t)
	s.Kind, s.Import = job.KindImport, &im
	for _, f := range change {
		f(&s)
	}
	return r.Run(context.Background(), s, nil)
}

func must(t testing.TB) func(job.Result, error) job.Result {
	return func(r job.Result, err error) job.Result {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}

// files is the list of a result's outputs for read_parquet.
func files(outs []job.Output) string {
	if len(outs) == 0 {
		return "[]"
	}
	paths := make([]string, len(outs))
	for i, o := range outs {
		paths[i] = lake.QuoteString(o.Path)
	}
	return "[" + strings.Join(paths, ", ") + "]"
}

// baseOf makes base files of outputs.
func baseOf(t testing.TB, outs []job.Output) []lake.BaseFile {
	t.Helper()
	var out []lake.BaseFile
	for i, o := range outs {
		id, err := fileid.Of(o.Path)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, lake.BaseFile{Key: fmt.Sprintf("base/data/%d-%s", i, filepath.Base(o.Path)), Path: o.Path, Rows: o.Rows, Bytes: o.Bytes, Ordinal: int64(i), Identity: id})
	}
	return out
}

func wantCode(t testing.TB, err error, code lake.Code, parts ...string) {
	t.Helper()
	if lake.CodeOf(err) != code || err == nil {
		t.Fatalf("error %v (code %s) where %s is expected", err, lake.CodeOf(err), code)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("the error does not say %q: %v", p, err)
		}
	}
}
