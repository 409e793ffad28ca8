package job

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"tarn/internal/format"
	"tarn/internal/lake"
)

// mostDeletes is how many delete files a base file has before the next fold of its
// rows rewrites it: whoever reads it reads them all.
const mostDeletes = 16

// foldMarking finds the base rows of the changed keys and writes their positions,
// a file for each base file, and the upserts.
func (s *session) foldMarking(ctx context.Context, f Fold, b *base, ds *deltas) (Result, error) {
	if len(f.Marking.Locations) != len(f.Base) {
		return Result{}, lake.Errorf(lake.CodeInternal, "fold: %d locations of %d base files", len(f.Marking.Locations), len(f.Base))
	}
	res := Result{BaseRows: b.rows, DeltaRows: ds.rows}
	dead, err := s.findDead(ctx, f, b, &res)
	if err != nil {
		return Result{}, err
	}
	if err := s.writeUpserts(ctx, f.Schema, &res); err != nil {
		return Result{}, err
	}
	gone, err := s.countByFile(ctx, "gone", len(f.Base))
	if err != nil {
		return Result{}, err
	}
	for i, n := range dead {
		if n == 0 {
			continue
		}
		if f.Marking.Whole {
			n += gone[i]
		}
		out, err := s.writeDeletes(ctx, i, *f.Marking)
		if err != nil {
			return Result{}, err
		}
		if out.Rows != n {
			return Result{}, lake.Errorf(lake.CodeInternal, "%d positions of %s were written where %d are dead", out.Rows, f.Base[i].Key, n)
		}
		res.Deletes = append(res.Deletes, Deletes{Base: i, Output: out})
	}
	live := int64(0)
	for i, file := range f.Base {
		all := gone[i] + dead[i]
		worn := dead[i] > 0 && (float64(all) > f.Marking.DeadShare*float64(file.Rows) || all == file.Rows || len(file.Deletes) >= mostDeletes)
		if worn && !slices.Contains(f.Marking.Fixed, i) || slices.Contains(f.Marking.Rewrite, i) {
			res.Rewritten = append(res.Rewritten, i)
			live += file.Rows - all
		}
	}
	if len(res.Rewritten) > 0 {
		if err := s.rewrite(ctx, f.Schema, b, live, &res); err != nil {
			return Result{}, err
		}
	}
	return res, s.checkIdentities(f.Base)
}

// findDead makes the table dead (f: position in files, pos, op) and counts it by
// file.
func (s *session) findDead(ctx context.Context, f Fold, b *base, res *Result) ([]int64, error) {
	s.step("find changed rows")
	keys := keyCols(f.Schema)
	err := s.c.Exec(ctx, fmt.Sprintf("CREATE TABLE dead AS SELECT (b.r >> %d)::BIGINT AS f, b.r & %d AS pos, x.op FROM (%s) b JOIN (SELECT %s, op FROM changes) x ON %s",
		rowBits, int64(1)<<rowBits-1, b.rowsSQL(b.all(), keyFields(f.Schema), true), list(keys), equal("b", "x", keys)))
	if err != nil {
		return nil, err
	}
	n, err := s.count(ctx, fmt.Sprintf("SELECT count(*) FILTER (op = %d), count(*) FILTER (op = %d) FROM dead", format.OpUpsert, format.OpDelete))
	if err != nil {
		return nil, err
	}
	res.Updated, res.Deleted = n[0], n[1]
	return s.countByFile(ctx, "dead", len(f.Base))
}

// countByFile counts the rows of a table by its column f.
func (s *session) countByFile(ctx context.Context, table string, files int) ([]int64, error) {
	rows, err := s.c.Rows(ctx, "SELECT f::BIGINT, count(*) FROM "+table+" GROUP BY f")
	if err != nil {
		return nil, err
	}
	out := make([]int64, files)
	for _, row := range rows {
		out[row[0].(int64)] = row[1].(int64)
	}
	return out, nil
}

// writeUpserts writes the changes that upsert.
func (s *session) writeUpserts(ctx context.Context, schema lake.Schema, res *Result) error {
	upserts := fmt.Sprintf("SELECT %s FROM changes WHERE op = %d", list(cols(schema)), format.OpUpsert)
	n, err := s.count(ctx, fmt.Sprintf("SELECT count(*) FROM changes WHERE op = %d", format.OpUpsert))
	if err != nil {
		return err
	}
	outs, err := s.copyData(ctx, content{
		name: "upserts", rows: upserts + " ORDER BY " + list(keyCols(schema)), sample: upserts, bytes: s.sizes.of(0, n[0]),
	}, schema)
	if err != nil {
		return err
	}
	if res.Outputs, res.FinalRows = outs, rowsOf(outs); res.FinalRows != n[0] {
		return lake.Errorf(lake.CodeInternal, "%d of %d upserts were written", res.FinalRows, n[0])
	}
	res.Inserted = res.FinalRows - res.Updated
	return s.checkOrder(ctx, outs, schema)
}

// writeDeletes writes the dead rows of one base file as Iceberg has them: in the
// order of their positions.
func (s *session) writeDeletes(ctx context.Context, f int, m Marking) (Output, error) {
	dir, err := s.outDir(fmt.Sprintf("deletes%d", f))
	if err != nil {
		return Output{}, err
	}
	from := fmt.Sprintf("dead WHERE f = %d", f)
	if m.Whole {
		from = fmt.Sprintf("(SELECT f, pos FROM dead UNION ALL SELECT f, pos FROM gone) WHERE f = %d", f)
	}
	return s.copyPositions(ctx, filepath.Join(dir, "data_0.parquet"), m.Locations[f], from)
}

// copyPositions writes a position delete file of the column pos of a relation.
func (s *session) copyPositions(ctx context.Context, path, location, from string) (Output, error) {
	err := s.c.Exec(ctx, fmt.Sprintf("COPY (SELECT %s AS file_path, pos FROM %s ORDER BY pos) TO %s (FORMAT parquet, COMPRESSION %s, FIELD_IDS {file_path: %d, pos: %d})",
		lake.QuoteString(location), from, lake.QuoteString(path), dataCompression, deletePathID, deletePosID))
	if err != nil {
		return Output{}, err
	}
	return footer(path)
}

// rewrite writes the live rows of the files that are too worn.
func (s *session) rewrite(ctx context.Context, schema lake.Schema, b *base, live int64, res *Result) error {
	keys := keyCols(schema)
	rows := b.rowsSQL(res.Rewritten, fields(schema), false)
	kept := fmt.Sprintf("SELECT %s FROM (%s) b ANTI JOIN (SELECT %s FROM changes) x ON %s ORDER BY %s",
		list(each(cols(schema), "b.%[1]s")), rows, list(keys), equal("b", "x", keys), list(keys))
	outs, err := s.copyData(ctx, content{name: "rewritten", rows: kept, sample: rows, bytes: s.sizes.of(live, 0)}, schema)
	if err != nil {
		return err
	}
	if n := rowsOf(outs); n != live {
		return lake.Errorf(lake.CodeInternal, "%d rows were written where %d are live", n, live)
	}
	res.Rewrites = outs
	return s.checkOrder(ctx, outs, schema)
}
