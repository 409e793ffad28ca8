package job

import (
	"context"
	"fmt"

	"tarn/internal/format"
	"tarn/internal/lake"
)

// runDedupe finds the place of the last row of each value, and writes the rows
// that stand there in order of arrival.
func (s *session) runDedupe(ctx context.Context, d Dedupe) (Result, error) {
	if d.Schema.Keyed() {
		return Result{}, lake.Errorf(lake.CodeHasPrimaryKey, "a dataset with a primary key has no duplicates")
	}
	var by []string
	for _, name := range d.Columns {
		i, ok := d.Schema.Column(name)
		if !ok {
			return Result{}, lake.Errorf(lake.CodeInvalidRequest, "primary key column %q is not a column", name)
		}
		by = append(by, col(i))
	}
	if len(by) == 0 {
		return Result{}, lake.Errorf(lake.CodeInvalidRequest, "no column to find duplicates by")
	}
	s.expect(d.Base, d.Deltas, nil)
	ds, err := s.openDeltas(ctx, d.Deltas)
	if err != nil {
		return Result{}, err
	}
	b, err := s.openBase(ctx, d.Base, d.Schema)
	if err != nil {
		return Result{}, err
	}
	// The deltas came after the base.
	all := fmt.Sprintf("%s UNION ALL SELECT %s, r + %d AS r FROM (%s) WHERE op = %d",
		b.rowsSQL(b.all(), fields(d.Schema), true), list(cols(d.Schema)), int64(len(d.Base))<<rowBits, ds.rowsSQL(fields(d.Schema)), format.OpUpsert)
	s.step("find duplicates")
	if err := s.c.Exec(ctx, fmt.Sprintf("CREATE TABLE kept AS SELECT max(r) AS r FROM (%s) GROUP BY %s", all, list(by))); err != nil {
		return Result{}, err
	}
	kept, err := s.count(ctx, "SELECT count(*) FROM kept")
	if err != nil {
		return Result{}, err
	}
	s.weighBase(b)
	if err := s.weighChanged(ctx, ds.rowsSQL(fields(d.Schema)), d.Schema); err != nil {
		return Result{}, err
	}
	outs, err := s.copyData(ctx, content{
		name: "data", rows: fmt.Sprintf("SELECT a.* FROM (%s) a SEMI JOIN kept k ON a.r = k.r ORDER BY a.r", all), sample: all, bytes: s.sizes.of(b.rows, ds.rows),
	}, d.Schema)
	if err != nil {
		return Result{}, err
	}
	res := Result{Outputs: outs, BaseRows: b.rows, DeltaRows: ds.rows, FinalRows: rowsOf(outs)}
	if res.FinalRows != kept[0] {
		return Result{}, lake.Errorf(lake.CodeInternal, "%d rows are to be kept and %d were written", kept[0], res.FinalRows)
	}
	res.Deleted = b.rows + ds.rows - res.FinalRows
	return res, s.checkIdentities(d.Base)
}
