package job

import (
	"context"
	"fmt"
	"slices"

	"tarn/internal/format"
)

// runOverlay reads what stands on top of a table of others, and writes it as a delta.
func (s *session) runOverlay(ctx context.Context, o Overlay) (Result, error) {
	all := slices.Concat(o.Own, o.Now, o.Before)
	s.expect(all, o.Deltas, nil)
	ds, err := s.openDeltas(ctx, o.Deltas)
	if err != nil {
		return Result{}, err
	}
	b, err := s.openBase(ctx, all, o.Schema)
	if err != nil {
		return Result{}, err
	}
	at := b.all()
	own, now, before := at[:len(o.Own)], at[len(o.Own):len(o.Own)+len(o.Now)], at[len(o.Own)+len(o.Now):]
	if err := s.createTable(ctx, "arrived", o.Schema, "op INTEGER"); err != nil {
		return Result{}, err
	}
	s.step("read what is on top")
	keys := keyCols(o.Schema)
	deleted := make([]string, len(o.Schema.Columns))
	for i := range deleted {
		deleted[i] = "NULL"
	}
	for _, i := range o.Schema.KeyIndexes() {
		deleted[i] = col(i)
	}
	for _, sql := range []string{
		fmt.Sprintf("CREATE TABLE pending AS SELECT DISTINCT %s FROM (%s)", list(keys), ds.rowsSQL(keyFields(o.Schema))),
		fmt.Sprintf("INSERT INTO arrived SELECT %s, %d FROM (%s) b ANTI JOIN pending p ON %s",
			list(each(cols(o.Schema), "b.%[1]s")), format.OpUpsert, b.rowsSQL(own, fields(o.Schema), false), equal("b", "p", keys)),
		fmt.Sprintf("CREATE TABLE gone_keys AS SELECT %s FROM (%s) EXCEPT SELECT %[1]s FROM (%[3]s)",
			list(keys), b.rowsSQL(before, keyFields(o.Schema), false), b.rowsSQL(now, keyFields(o.Schema), false)),
		fmt.Sprintf("INSERT INTO arrived SELECT %s, %d FROM gone_keys g ANTI JOIN pending p ON %s ANTI JOIN (%s) b ON %s",
			list(deleted), format.OpDelete, equal("g", "p", keys), b.rowsSQL(own, keyFields(o.Schema), false), equal("g", "b", keys)),
	} {
		if err := s.c.Exec(ctx, sql); err != nil {
			return Result{}, err
		}
	}
	out, err := s.writeChanges(ctx, Changes{Schema: o.Schema, Op: OpChanges})
	if err != nil {
		return Result{}, err
	}
	return Result{Rows: out.Rows, DeltaRows: out.Rows, BaseRows: b.rows, Outputs: []Output{out}}, s.checkIdentities(all)
}
