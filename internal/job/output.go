package job

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/parquet/file"

	"tarn/internal/lake"
)

// Compression. Data files are read again and again: snappy reads 1.1 to 1.4 times as
// fast as zstd, which takes 0.5 to 0.8 of its bytes; Parquet's version 2 encodings
// would give both, but readers that are in use do not all know them. A delta is read
// a few times at most.
const (
	dataCompression  = "snappy"
	deltaCompression = "zstd"
)

// content is rows that are to be written as data files of a schema.
type content struct {
	name   string // of the folder below out
	rows   string // SELECT of c1…cn in the order of the files
	sample string // a relation with rows of that kind whose first ones come without a sort
	bytes  int64  // that the files will have, about; 0: not known
}

// copyData writes data files and gives those that have rows. What will be about one
// file is copied as one, whatever size it comes to have, by as many threads as there
// are; else, and where rows are too wide for several threads, the order gate lets
// DuckDB begin a file after the other.
func (s *session) copyData(ctx context.Context, c content, schema lake.Schema) ([]Output, error) {
	dir, err := s.outDir(c.name)
	if err != nil {
		return nil, err
	}
	if err := s.rowGroup(ctx, c.sample, schema); err != nil {
		return nil, err
	}
	to, option, relation := dir, "", inOrder(c.rows)
	files := (c.bytes + s.spec.TargetFileBytes/2) / s.spec.TargetFileBytes
	switch {
	case c.bytes > 0 && files <= 1 && !s.sizes.wide:
		to, relation = filepath.Join(dir, outputName(0)), c.rows
	case files > 0:
		option = fmt.Sprintf(", FILE_SIZE_BYTES %d", c.bytes/files)
	default:
		option = fmt.Sprintf(", FILE_SIZE_BYTES %d", s.spec.TargetFileBytes)
	}
	if err := s.copyTo(ctx, "write", to, option, relation, schema); err != nil {
		return nil, err
	}
	outs, err := outputs(dir)
	for _, o := range outs {
		s.done += o.Bytes
	}
	return outs, err
}

// copyTo writes a relation of c1…cn to a file, or to files in a folder that DuckDB
// names, as a step of the job.
func (s *session) copyTo(ctx context.Context, step, to, option, relation string, schema lake.Schema) error {
	named := make([]string, len(schema.Columns))
	for i, c := range schema.Columns {
		named[i] = col(i) + " AS " + lake.QuoteIdent(c.Name)
	}
	sql := fmt.Sprintf("COPY (SELECT %s FROM (%s)) TO %s (FORMAT parquet, COMPRESSION %s, ROW_GROUP_SIZE %d%s, FIELD_IDS %s)",
		list(named), relation, lake.QuoteString(to), dataCompression, s.sizes.group, option, fieldIDs(schema.Columns))
	return s.watched(ctx, step, to, sql)
}

// outputName is the name of an output by its number, as DuckDB gives them.
func outputName(n int) string { return fmt.Sprintf("data_%d.parquet", n) }

// watched runs a statement and reports meanwhile the bytes of what it writes to a path.
func (s *session) watched(ctx context.Context, step, to, sql string) error {
	done := make(chan error, 1)
	go func() { done <- s.c.Exec(ctx, sql) }()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	s.reportWritten(step, to)
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			s.reportWritten(step, to)
		}
	}
}

// reportWritten reports the bytes of data files, those at a path included.
func (s *session) reportWritten(step, to string) {
	p := Progress{Step: step, Done: s.done + bytesAt(to), Total: s.expected}
	if p.Total > 0 {
		p.Done = min(p.Done, p.Total)
	}
	s.report(p)
}

// bytesAt is the bytes of a file, or of those in a folder; it is for progress only.
func bytesAt(path string) (n int64) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fileBytes(path)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
	}
	return n
}

// outputs lists the files of a COPY in the order of their numbers, with rows
// from their footers, and removes the empty one that no rows make.
func outputs(dir string) ([]Output, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, diskError("list outputs", err)
	}
	type numbered struct {
		n   int
		out Output
	}
	var files []numbered
	for _, e := range entries {
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(e.Name(), "data_"), ".parquet"))
		if err != nil {
			return nil, lake.Errorf(lake.CodeInternal, "an output called %s", e.Name())
		}
		out, err := footer(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if out.Rows == 0 {
			if err := os.Remove(out.Path); err != nil {
				return nil, diskError("remove an empty output", err)
			}
			continue
		}
		files = append(files, numbered{n, out})
	}
	sort.Slice(files, func(i, j int) bool { return files[i].n < files[j].n })
	outs := make([]Output, len(files))
	for i, f := range files {
		outs[i] = f.out
	}
	return outs, nil
}

// footer reads back what was written.
func footer(path string) (Output, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Output{}, diskError("read an output", err)
	}
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		return Output{}, lake.Errorf(lake.CodeInternal, "read back an output: %w", err)
	}
	defer r.Close()
	return Output{Path: path, Rows: r.NumRows(), Bytes: info.Size()}, nil
}

func rowsOf(outs []Output) (n int64) {
	for _, o := range outs {
		n += o.Rows
	}
	return n
}

func bytesOf(outs []Output) (n int64) {
	for _, o := range outs {
		n += o.Bytes
	}
	return n
}

func pathsOf(outs []Output) []string {
	out := make([]string, len(outs))
	for i, o := range outs {
		out[i] = o.Path
	}
	return out
}

// disordered is a query over outputs, in their order, that gives the keys (as
// VARCHAR) with a null or not above the key before them.
func disordered(outs []Output, schema lake.Schema) string {
	return disorder(readByID(pathsOf(outs), keyFields(schema)), schema)
}

// disorder is disordered over a relation that has the key's columns.
func disorder(relation string, schema lake.Schema) string {
	keys := keyCols(schema)
	before := make([]string, len(keys))
	for i, k := range keys {
		before[i] = fmt.Sprintf("lag(%s) OVER () AS before%d", k, i)
	}
	return fmt.Sprintf("SELECT %s FROM (SELECT %s, %s FROM %s) WHERE %s OR %s",
		list(each(keys, "%[1]s::VARCHAR")), list(keys), list(before), relation,
		strings.Join(each(keys, "%[1]s IS NULL"), " OR "), notAbove(keys, 0))
}

// notAbove is the condition that the key from column i on is at or below the
// one before it.
func notAbove(keys []string, i int) string {
	k, p := keys[i], fmt.Sprintf("before%d", i)
	if i == len(keys)-1 {
		return fmt.Sprintf("%s <= %s", k, p)
	}
	return fmt.Sprintf("(%s < %s OR (%s = %s AND %s))", k, p, k, p, notAbove(keys, i+1))
}

// checkOrder makes sure that outputs are sorted by key and hold no key twice.
// It reads their key columns: what it would find is a defect, so it is worth it.
func (s *session) checkOrder(ctx context.Context, outs []Output, schema lake.Schema) error {
	if len(outs) == 0 || !schema.Keyed() {
		return nil
	}
	bad, err := s.texts(ctx, disordered(outs, schema)+" LIMIT 1")
	if err != nil {
		return err
	}
	if len(bad) > 0 {
		return lake.Errorf(lake.CodeInternal, "the outputs are not in key order at %s", keyText(bad[0]))
	}
	return nil
}

func keyText(key []string) string {
	if len(key) == 1 {
		return key[0]
	}
	return "(" + strings.Join(key, ", ") + ")"
}
