package job

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// rowGroupRows is DuckDB's own default, and what its scans divide work by. Wide
// rows get smaller groups: each thread that writes has one in memory whole.
const (
	rowGroupRows      = 122_880
	leastRowGroupRows = 2_048
	sampledRows       = 4_096
)

// sizes is what a session knows of the sizes of the rows that it writes.
type sizes struct {
	group   int64   // rows of a row group of data files; 0: not known yet
	wide    bool    // not even the smallest group has room for each thread
	base    float64 // bytes of a row of the base in data files
	changed float64 // at most, about, of a changed row
}

// of is about how many bytes rows of the base and changed ones have in data files.
func (z sizes) of(base, changed int64) int64 {
	return int64(z.base*float64(base) + z.changed*float64(changed))
}

// weighBase learns the size of rows from the files that have them.
func (s *session) weighBase(b *base) {
	bytes, rows := int64(0), int64(0)
	for _, f := range b.files {
		bytes += f.Bytes
		rows += f.Rows
	}
	s.sizes.base = float64(bytes) / float64(max(rows, 1))
}

// weighChanged learns the size of changed rows from the first of a relation.
func (s *session) weighChanged(ctx context.Context, relation string, schema lake.Schema) (err error) {
	s.sizes.changed, err = s.width(ctx, relation, schema)
	return err
}

// rowGroup learns how many rows a row group has, by the width of the first rows of a
// relation, or of changed ones if they are wider: as many as fit in an eighth of the memory for each thread, and in a data
// file, within bounds.
func (s *session) rowGroup(ctx context.Context, sample string, schema lake.Schema) error {
	if s.sizes.group > 0 {
		return nil
	}
	width, err := s.width(ctx, sample, schema)
	if err != nil {
		return err
	}
	width = max(width, s.sizes.changed)
	fit := func(bytes int64) int64 { return bytes / max(1, int64(width)) }
	room := s.spec.MemoryLimitBytes / 8
	s.sizes.wide = fit(room/int64(s.mostThreads())) < leastRowGroupRows
	if !s.sizes.wide { // else there is one thread, with all the room
		room /= int64(s.mostThreads())
	}
	s.sizes.group = max(leastRowGroupRows, min(rowGroupRows, fit(room), fit(s.spec.TargetFileBytes)))
	return nil
}

// mostThreads is how many threads the job may come to have.
func (s *session) mostThreads() int {
	if s.pacer == nil {
		return s.spec.Threads
	}
	return s.spec.bounded(runtime.NumCPU())
}

// width is the bytes that the first rows of a relation of c1…cn have on average, as
// they are in memory.
func (s *session) width(ctx context.Context, relation string, schema lake.Schema) (float64, error) {
	fixed := 0
	var widths []string // summed up as a list: an expression nests 1,000 deep at most
	for i, c := range schema.Columns {
		switch {
		case c.Type.Kind == lake.Varchar:
			widths = append(widths, fmt.Sprintf("coalesce(strlen(%s), 0)", col(i)))
		case c.Type.Kind == lake.Blob:
			widths = append(widths, fmt.Sprintf("coalesce(octet_length(%s), 0)", col(i)))
		case c.Type.Nested():
			widths = append(widths, fmt.Sprintf("coalesce(strlen(%s::VARCHAR), 0)", col(i)))
		default:
			fixed += 8
		}
	}
	n, err := s.count(ctx, fmt.Sprintf("SELECT coalesce(avg(width), 0)::BIGINT FROM (SELECT list_sum([%s]::BIGINT[]) AS width FROM (%s) LIMIT %d)",
		strings.Join(append(widths, fmt.Sprint(fixed)), ", "), relation, sampledRows))
	if err != nil {
		return 0, err
	}
	return float64(n[0]), nil
}

// written is how many bytes a row of a relation has in a data file, by the first of
// them: they are written to a file that nobody keeps.
func (s *session) written(ctx context.Context, relation string, schema lake.Schema) (float64, error) {
	if err := s.rowGroup(ctx, relation, schema); err != nil {
		return 0, err
	}
	dir, err := s.outDir("sample")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	first := fmt.Sprintf("SELECT * FROM (%s) LIMIT %d", relation, s.sizes.group)
	if err := s.copyTo(ctx, "write a sample", filepath.Join(dir, outputName(0)), "", first, schema); err != nil {
		return 0, err
	}
	out, err := footer(filepath.Join(dir, outputName(0)))
	return float64(out.Bytes) / float64(max(out.Rows, 1)), err
}

// arrivedBytes is about how many bytes inputs have as data files: as many as they
// have, if they are Parquet of the same compression, and else by the first rows.
func (s *session) arrivedBytes(ctx context.Context, inputs []arrived, rows int64, relation string, schema lake.Schema) (int64, error) {
	total, alike := int64(0), true
	for _, in := range inputs {
		total += fileBytes(in.file.Path)
		same, err := s.compressedAlike(ctx, in)
		if err != nil {
			return 0, err
		}
		alike = alike && same
	}
	if err := s.rowGroup(ctx, relation, schema); err != nil {
		return 0, err
	}
	if alike || rows <= s.sizes.group {
		return max(total, 1), nil
	}
	perRow, err := s.written(ctx, relation, schema)
	return int64(perRow * float64(rows)), err
}

// compressedAlike says whether an input is Parquet that is compressed as data files are.
func (s *session) compressedAlike(ctx context.Context, in arrived) (bool, error) {
	if in.file.Format != rows.Parquet || in.link == "" {
		return false, nil
	}
	n, err := s.count(ctx, fmt.Sprintf("SELECT count(*) FROM parquet_metadata(%s) WHERE lower(compression) <> %s",
		lake.QuoteString(in.link), lake.QuoteString(dataCompression)))
	if err != nil {
		return false, err
	}
	return n[0] == 0, nil
}

// fileBytes is the size of a file; of one that is not there 0, as whoever reads it
// says so.
func fileBytes(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
