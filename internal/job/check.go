package job

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"tarn/internal/duck"
	"tarn/internal/keys"
	"tarn/internal/lake"
)

// checkFiles are the files of a check as positions in what openBase opened.
type checkFiles struct {
	kept, removed, added, marked []int
}

// runCheck reads what a commit of another program would do: first the new files by
// themselves, then beside those that stay, then beside the changes that are pending.
func (s *session) runCheck(ctx context.Context, c Check) (Result, error) {
	var all []lake.BaseFile
	var at checkFiles
	for _, part := range []struct {
		to    *[]int
		files []lake.BaseFile
	}{{&at.kept, c.Kept}, {&at.removed, c.Removed}, {&at.added, c.Added}, {&at.marked, c.Marked}} {
		for _, f := range part.files {
			*part.to = append(*part.to, len(all))
			all = append(all, f)
		}
	}
	ds, err := s.openDeltas(ctx, c.Deltas)
	if err != nil {
		return Result{}, err
	}
	b, err := s.openBase(ctx, all, c.Schema)
	if err != nil {
		return Result{}, err
	}
	if err := s.checkRequired(ctx, c.Schema, b, at.added); err != nil {
		return Result{}, err
	}
	if c.Schema.Keyed() {
		if err := s.checkBounds(ctx, c.Schema, b, at.added); err != nil {
			return Result{}, err
		}
		if err := s.checkKeys(ctx, c.Schema, b, at); err != nil {
			return Result{}, err
		}
		if err := s.checkPending(ctx, c.Schema, b, at, ds); err != nil {
			return Result{}, err
		}
	}
	return Result{BaseRows: b.rows, DeltaRows: ds.rows}, s.checkIdentities(all)
}

// checkRequired looks for nulls in columns that have none.
func (s *session) checkRequired(ctx context.Context, schema lake.Schema, b *base, added []int) error {
	s.step("look for nulls")
	var required []field
	var names, tests []string
	for i, f := range fields(schema) {
		if !schema.Columns[i].Nullable {
			required = append(required, f)
			names = append(names, schema.Columns[i].Name)
			tests = append(tests, f.name+" IS NULL")
		}
	}
	if len(required) == 0 || len(added) == 0 {
		return nil
	}
	n, err := s.count(ctx, fmt.Sprintf("SELECT count(*) FROM (%s) WHERE %s", b.rowsSQL(added, required, false), strings.Join(tests, " OR ")))
	if err != nil || n[0] == 0 {
		return err
	}
	return lake.Errorf(lake.CodeRowsInvalid, "%d of the new rows have a null in a required column (%s)", n[0], list(names))
}

// checkBounds makes sure that the first key column of each new file lies within what its
// manifest says, by which files are passed over.
func (s *session) checkBounds(ctx context.Context, schema lake.Schema, b *base, added []int) error {
	first := keyFields(schema)[:1]
	column := schema.KeySchema().Columns[:1]
	enc := keys.NewEncoder(lake.Schema{Columns: column, Key: []string{column[0].Name}}, []int{0})
	for _, i := range added {
		f := b.files[i]
		for _, bound := range []struct {
			of    string
			value []byte
			wrong func(least int) bool
		}{{"min", f.Lower, func(c int) bool { return c < 0 }}, {"max", f.Upper, func(c int) bool { return c > 0 }}} {
			if bound.value == nil {
				continue
			}
			got, err := s.firstEncoded(ctx, enc, fmt.Sprintf("SELECT %s(%s) AS %[2]s FROM (%s)", bound.of, first[0].name, b.rowsSQL([]int{i}, first, false)))
			if err != nil {
				return err
			}
			if got != nil && bound.wrong(bytes.Compare(got, bound.value)) {
				return lake.Errorf(lake.CodeRowsInvalid, "%s: its manifest bounds the column %q, and its rows are beyond that", f.Key, column[0].Name)
			}
		}
	}
	return nil
}

// firstEncoded encodes the first key column of a query's one row; nil of a null.
func (s *session) firstEncoded(ctx context.Context, enc *keys.Encoder, sql string) ([]byte, error) {
	stream, err := s.c.Query(ctx, sql, duck.Params{})
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	rec, err := stream.Next(ctx)
	if err != nil {
		return nil, lake.Step("read a bound", err)
	}
	defer rec.Release()
	if rec.NumRows() == 0 || rec.Column(0).IsNull(0) {
		return nil, nil
	}
	return enc.First(nil, rec, 0), nil
}

// checkKeys looks for keys that are twice among the new rows, or in them and in those that
// stay.
func (s *session) checkKeys(ctx context.Context, schema lake.Schema, b *base, at checkFiles) error {
	s.step("look for double keys")
	if len(at.added) == 0 {
		return nil
	}
	cols, names := keyCols(schema), list(keyCols(schema))
	if err := s.c.Exec(ctx, fmt.Sprintf("CREATE TABLE added AS SELECT %s FROM (%s)", names, b.rowsSQL(at.added, keyFields(schema), false))); err != nil {
		return err
	}
	if err := s.noKeys(ctx, schema, fmt.Sprintf("SELECT %s FROM added GROUP BY %[1]s HAVING count(*) > 1", names), "are several times among the new rows"); err != nil {
		return err
	}
	return s.noKeys(ctx, schema, fmt.Sprintf("SELECT %s FROM (%s) k SEMI JOIN added a ON %s",
		list(each(cols, "k.%[1]s")), b.rowsSQL(at.kept, keyFields(schema), false), equal("k", "a", cols)), "are in the table already, in files that stay")
}

// noKeys fails with the keys that a query finds.
func (s *session) noKeys(ctx context.Context, schema lake.Schema, query, what string) error {
	n, err := s.count(ctx, "SELECT count(*) FROM ("+query+")")
	if err != nil || n[0] == 0 {
		return err
	}
	named, err := s.nameKeys(ctx, schema, query)
	if err != nil {
		return err
	}
	return lake.Errorf(lake.CodeKeyConflict, "primary key (%s): %d keys %s: %s", list(schema.Key), n[0], what, named)
}

func (s *session) nameKeys(ctx context.Context, schema lake.Schema, query string) (string, error) {
	found, err := s.texts(ctx, fmt.Sprintf("SELECT %s FROM (%s) ORDER BY %s LIMIT %d",
		list(each(keyCols(schema), "%[1]s::VARCHAR")), query, list(keyCols(schema)), namedKeys))
	if err != nil {
		return "", err
	}
	named := make([]string, len(found))
	for i, key := range found {
		named[i] = keyText(key)
	}
	return list(named), nil
}

// checkPending looks for pending changes of keys whose rows the commit changes. That a
// file was written anew around a row does not change it.
func (s *session) checkPending(ctx context.Context, schema lake.Schema, b *base, at checkFiles, ds *deltas) error {
	s.step("look for changed keys")
	if ds.rows == 0 || len(at.added)+len(at.removed)+len(at.marked) == 0 {
		return nil
	}
	names := keyCols(schema)
	if err := s.c.Exec(ctx, fmt.Sprintf("CREATE TABLE pending AS SELECT DISTINCT %s FROM (%s)", list(names), ds.rowsSQL(keyFields(schema)))); err != nil {
		return err
	}
	for table, which := range map[string][]int{"before": at.removed, "after": slices.Concat(at.added, at.marked)} {
		mine := fmt.Sprintf("SELECT %s FROM (%s) f SEMI JOIN pending p ON %s",
			list(each(cols(schema), "f.%[1]s")), b.rowsSQL(which, fields(schema), false), equal("f", "p", names))
		if err := s.c.Exec(ctx, fmt.Sprintf("CREATE TABLE %s AS %s", table, mine)); err != nil {
			return err
		}
	}
	changed := fmt.Sprintf("SELECT DISTINCT %s FROM ((FROM before EXCEPT ALL FROM after) UNION ALL (FROM after EXCEPT ALL FROM before))", list(names))
	n, err := s.count(ctx, "SELECT count(*) FROM ("+changed+")")
	if err != nil || n[0] == 0 {
		return err
	}
	named, err := s.nameKeys(ctx, schema, changed)
	if err != nil {
		return err
	}
	return lake.Errorf(lake.CodePreconditionFailed, "%d rows that the commit changes were changed since the table was loaded: %s", n[0], named).
		WithHint("load the table again, which then has these changes, and commit to what it is now")
}
