package job

import (
	"context"
	"fmt"

	"tarn/internal/format"
	"tarn/internal/lake"
)

// importedPlace stands above the place of every row of a delta: imported rows
// win over all of them.
const importedPlace = int64(1) << 62

// runFold folds changes into base files. A keyed fold makes the table changes,
// the latest change of each key in key order, cuts it where the groups begin,
// and writes each group as its base rows without the changed keys, united with
// the upserts.
func (s *session) runFold(ctx context.Context, f Fold) (Result, error) {
	s.expect(f.Base, f.Deltas, f.Imported)
	ds, err := s.openDeltas(ctx, f.Deltas)
	if err != nil {
		return Result{}, err
	}
	if !f.Schema.Keyed() {
		return s.foldInOrder(ctx, f, ds)
	}
	b, err := s.openBase(ctx, f.Base, f.Schema)
	if err != nil {
		return Result{}, err
	}
	if err := s.latestChanges(ctx, f, b, ds); err != nil {
		return Result{}, err
	}
	s.weighBase(b)
	upserts := fmt.Sprintf("SELECT %s FROM changes WHERE op = %d", list(cols(f.Schema)), format.OpUpsert)
	if err := s.weighChanged(ctx, upserts, f.Schema); err != nil {
		return Result{}, err
	}
	if f.Marking != nil {
		return s.foldMarking(ctx, f, b, ds)
	}
	groups, err := s.cut(ctx, f)
	if err != nil {
		return Result{}, err
	}
	res := Result{BaseRows: b.rows, DeltaRows: ds.rows, Outputs: []Output{}}
	for i, g := range groups {
		if err := s.foldGroup(ctx, f.Schema, b, i, g, &res); err != nil {
			return Result{}, err
		}
	}
	if err := s.checkIdentities(f.Base); err != nil {
		return Result{}, err
	}
	return res, nil
}

// latestChanges makes the table changes: the columns and op, sorted by key.
func (s *session) latestChanges(ctx context.Context, f Fold, b *base, ds *deltas) error {
	s.step("sort changes")
	fs := fields(f.Schema)
	keys := keyCols(f.Schema)
	all := ds.rowsSQL(fs)
	if len(f.Exclude) > 0 {
		links, err := s.linkAll(f.Exclude)
		if err != nil {
			return err
		}
		all = fmt.Sprintf("SELECT d.* FROM (%s) d ANTI JOIN (SELECT %s FROM %s) x ON %s",
			all, list(keys), readByID(links, keyFields(f.Schema)), equal("d", "x", keys))
	}
	if len(f.Imported) > 0 {
		links, err := s.linkAll(f.Imported)
		if err != nil {
			return err
		}
		imported := readByID(links, fs)
		if f.RefuseExisting {
			if err := s.refuseExisting(ctx, f, b, all, imported); err != nil {
				return err
			}
		}
		all += fmt.Sprintf(" UNION ALL SELECT %s, %d AS op, %d AS r FROM %s", list(cols(f.Schema)), format.OpUpsert, importedPlace, imported)
	}
	sorted := fmt.Sprintf("SELECT * FROM (%s) ORDER BY %s, r", all, list(keys))
	return s.c.Exec(ctx, fmt.Sprintf("CREATE TABLE changes AS SELECT %s, op FROM (%s)", list(cols(f.Schema)), lastOfRun(sorted, keys)))
}

// refuseExisting looks for imported keys that the dataset has: upserted by the
// deltas, or in the base and not changed by them.
func (s *session) refuseExisting(ctx context.Context, f Fold, b *base, changes, imported string) error {
	s.step("look for existing keys")
	keys := keyCols(f.Schema)
	names := list(keys)
	pending := fmt.Sprintf("CREATE TABLE pending AS SELECT %s, op FROM (%s)", names,
		lastOfRun(fmt.Sprintf("SELECT %s, op, r FROM (%s) ORDER BY %s, r", names, changes, names), keys))
	if err := s.c.Exec(ctx, pending); err != nil {
		return err
	}
	mine := each(keys, "i.%[1]s")
	existing := fmt.Sprintf(`SELECT %[1]s FROM %[2]s i JOIN pending p ON %[3]s WHERE p.op = %[4]d
		UNION ALL SELECT %[1]s FROM (%[5]s) b JOIN %[2]s i ON %[6]s ANTI JOIN pending p ON %[3]s`,
		list(mine), imported, equal("i", "p", keys), format.OpUpsert,
		b.rowsSQL(b.all(), keyFields(f.Schema), false), equal("i", "b", keys))
	if err := s.c.Exec(ctx, "CREATE TABLE existing AS "+existing); err != nil {
		return err
	}
	n, err := s.count(ctx, "SELECT count(*) FROM existing")
	if err != nil || n[0] == 0 {
		return err
	}
	first, err := s.texts(ctx, fmt.Sprintf("SELECT %s FROM existing ORDER BY %s LIMIT %d", list(each(keys, "%[1]s::VARCHAR")), names, namedKeys))
	if err != nil {
		return err
	}
	named := make([]string, len(first))
	for i, key := range first {
		named[i] = keyText(key)
	}
	return lake.Errorf(lake.CodeKeyConflict, "primary key (%s): %d imported keys exist already: %s", list(f.Schema.Key), n[0], list(named)).
		WithHint("import with on_duplicate=last to replace their rows")
}

func (b *base) all() []int {
	out := make([]int, len(b.files))
	for i := range out {
		out[i] = i
	}
	return out
}

// foldGroup writes one group and adds its counts to the result.
func (s *session) foldGroup(ctx context.Context, schema lake.Schema, b *base, n int, g cutGroup, res *Result) error {
	fs, keys := fields(schema), keyCols(schema)
	mine := fmt.Sprintf("rowid >= %d AND rowid < %d", g.from, g.to)
	s.step("count")
	found, err := s.count(ctx, fmt.Sprintf(`SELECT count(*) FILTER (op = %d), count(*) FILTER (op = %d)
		FROM (%s) b JOIN (SELECT %s, op FROM changes WHERE %s) x ON %s`,
		format.OpUpsert, format.OpDelete, b.rowsSQL(g.files, keyFields(schema), false), list(keys), mine, equal("b", "x", keys)))
	if err != nil {
		return err
	}
	updated, deleted := found[0], found[1]
	counts, err := s.count(ctx, fmt.Sprintf("SELECT (SELECT count(*) FROM changes WHERE %s AND op = %d), (SELECT count(*) FROM (%s))",
		mine, format.OpUpsert, b.rowsSQL(g.files, keyFields(schema), false)))
	if err != nil {
		return err
	}
	upserts, before := counts[0], counts[1]
	names := list(cols(schema))
	sorted := fmt.Sprintf(`SELECT %[1]s FROM (
		SELECT %[2]s FROM (%[3]s) b ANTI JOIN (SELECT %[4]s FROM changes WHERE %[5]s) x ON %[6]s
		UNION ALL SELECT %[1]s FROM changes WHERE %[5]s AND op = %[7]d) ORDER BY %[4]s`,
		names, list(each(cols(schema), "b.%[1]s")), b.rowsSQL(g.files, fs, false), list(keys), mine, equal("b", "x", keys), format.OpUpsert)
	sample := fmt.Sprintf("%s UNION ALL SELECT %s FROM changes WHERE %s AND op = %d", b.rowsSQL(g.files, fs, false), names, mine, format.OpUpsert)
	want := before - deleted - updated + upserts
	outs, err := s.copyData(ctx, content{name: fmt.Sprintf("group%d", n), rows: sorted, sample: sample, bytes: s.sizes.of(before-deleted-updated, upserts)}, schema)
	if err != nil {
		return err
	}
	after := rowsOf(outs)
	if after != want {
		return lake.Errorf(lake.CodeInternal, "group %d: %d rows were written where %d - %d deleted - %d updated + %d upserted = %d are right",
			n, after, before, deleted, updated, upserts, want)
	}
	if err := s.checkOrder(ctx, outs, schema); err != nil {
		return err
	}
	for _, o := range outs {
		o.Group = n
		res.Outputs = append(res.Outputs, o)
	}
	res.Updated += updated
	res.Deleted += deleted
	res.Inserted += upserts - updated
	res.FinalRows += after
	return nil
}

// foldInOrder makes files of the base's newest rows, where there are any to be
// merged, then of the deltas' and of the imported ones.
func (s *session) foldInOrder(ctx context.Context, f Fold, ds *deltas) (Result, error) {
	b, err := s.openBase(ctx, f.Base, f.Schema)
	if err != nil {
		return Result{}, err
	}
	s.weighBase(b)
	if err := s.weighChanged(ctx, ds.rowsSQL(fields(f.Schema)), f.Schema); err != nil {
		return Result{}, err
	}
	res := Result{BaseRows: b.rows, DeltaRows: ds.rows, Outputs: []Output{}}
	names := list(cols(f.Schema))
	var parts []string // each in order
	if b.rows > 0 {
		parts = append(parts, fmt.Sprintf("SELECT %s FROM (%s)", names, b.inOrderSQL(fields(f.Schema))))
	}
	if ds.rows > 0 {
		parts = append(parts, fmt.Sprintf("SELECT %s FROM (%s) WHERE op = %d", names, ds.rowsSQL(fields(f.Schema)), format.OpUpsert))
	}
	if len(parts) > 0 {
		all, err := s.united(ctx, parts, f.Schema)
		if err != nil {
			return Result{}, err
		}
		outs, err := s.copyData(ctx, content{name: "arrived", rows: all, sample: all, bytes: s.sizes.of(b.rows, ds.rows)}, f.Schema)
		if err != nil {
			return Result{}, err
		}
		res.Outputs = append(res.Outputs, outs...)
		if n := rowsOf(outs); n != b.rows+ds.rows {
			return Result{}, lake.Errorf(lake.CodeInternal, "%d rows of the base and %d of deltas were written as %d", b.rows, ds.rows, n)
		}
	}
	if len(f.Imported) > 0 {
		links, err := s.linkAll(f.Imported)
		if err != nil {
			return Result{}, err
		}
		imported := fmt.Sprintf("SELECT %s FROM %s", names, readByID(links, fields(f.Schema)))
		bytes := int64(0)
		for _, path := range f.Imported {
			bytes += fileBytes(path)
		}
		outs, err := s.copyData(ctx, content{name: "imported", rows: imported, sample: imported, bytes: bytes}, f.Schema)
		if err != nil {
			return Result{}, err
		}
		res.Outputs = append(res.Outputs, outs...)
	}
	if err := s.checkIdentities(f.Base); err != nil {
		return Result{}, err
	}
	res.FinalRows = rowsOf(res.Outputs)
	res.Inserted = res.FinalRows - b.rows
	return res, nil
}
