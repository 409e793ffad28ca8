package job

import (
	"context"
	"fmt"
	"slices"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// runImport reads the inputs into data files. The steps: open (and infer), for
// keyed datasets sort and write and then look at what was written for keys that
// are null or double, else write in order of arrival.
func (s *session) runImport(ctx context.Context, im Import) (Result, error) {
	if len(im.Files) == 0 {
		return Result{}, lake.Errorf(lake.CodeInvalidRequest, "there is no file to import")
	}
	if im.OnDuplicate != "" && im.OnDuplicate != OnDuplicateError && im.OnDuplicate != OnDuplicateLast {
		return Result{}, lake.Errorf(lake.CodeInvalidRequest, "on_duplicate %q", im.OnDuplicate).WithHint("say error or last")
	}
	if !slices.ContainsFunc(im.Files, func(f InputFile) bool { return f.Format != rows.Parquet }) {
		for _, f := range im.Files { // of text nothing is known
			s.expect(nil, nil, []string{f.Path})
		}
	}
	arrived, schema, err := s.arrive(ctx, im)
	if err != nil {
		return Result{}, err
	}
	n, err := s.count(ctx, "SELECT count(*) FROM ("+arrived.rows(false)+")")
	if err != nil {
		return Result{}, s.readFailure(err)
	}
	res := Result{Schema: &schema, Rows: n[0]}
	if schema.Keyed() {
		res.Outputs, err = s.importKeyed(ctx, arrived, res.Rows, schema, im.OnDuplicate == OnDuplicateLast)
	} else {
		res.Outputs, err = s.importInOrder(ctx, arrived, res.Rows, schema)
	}
	if err != nil {
		return Result{}, err
	}
	res.FinalRows = rowsOf(res.Outputs)
	exact := !schema.Keyed() || im.OnDuplicate != OnDuplicateLast
	if res.FinalRows > res.Rows || exact && res.FinalRows != res.Rows {
		return Result{}, lake.Errorf(lake.CodeInternal, "%d rows came in and %d were written", res.Rows, res.FinalRows)
	}
	res.Inserted = res.FinalRows
	return res, nil
}

// arrive opens the inputs as one relation of the dataset's columns.
func (s *session) arrive(ctx context.Context, im Import) (arrival, lake.Schema, error) {
	if im.Schema != nil {
		schema := *im.Schema
		a, err := s.decodeAll(ctx, im, schema)
		return a, schema, err
	}
	return s.infer(ctx, im)
}

func (s *session) importKeyed(ctx context.Context, a arrival, rows int64, schema lake.Schema, last bool) ([]Output, error) {
	keys := keyCols(schema)
	inOrder, err := s.arrivesInOrder(ctx, a, schema)
	if err != nil {
		return nil, s.readFailure(err)
	}
	var outs []Output
	if inOrder {
		outs, err = s.copyArrived(ctx, a, rows, schema)
	} else {
		sorted := fmt.Sprintf("SELECT %s FROM (%s) ORDER BY %s", list(cols(schema)), a.rows(false), list(keys))
		if last {
			sorted = lastOfRun(fmt.Sprintf("SELECT %s FROM (%s) ORDER BY %s, r", list(append(cols(schema), "r")), a.rows(true), list(keys)), keys)
		}
		outs, err = s.copySorted(ctx, a, sorted, rows, schema)
	}
	if err != nil || len(outs) == 0 {
		return nil, s.readFailure(err)
	}
	s.step("check keys")
	bad, err := s.texts(ctx, disordered(outs, schema)+fmt.Sprintf(" LIMIT %d", namedKeys))
	if err != nil {
		return nil, err
	}
	if len(bad) > 0 {
		return nil, s.keyConflict(ctx, a, schema, outs, bad)
	}
	return outs, nil
}

// arrivesInOrder says whether the rows come in the order of the key already, and no
// key twice. It looks at a Parquet file alone, of which it reads the key columns, up
// to the first that is out of order.
func (s *session) arrivesInOrder(ctx context.Context, a arrival, schema lake.Schema) (bool, error) {
	if len(a.inputs) != 1 || a.inputs[0].file.Format != rows.Parquet {
		return false, nil
	}
	s.step("look for order")
	bad, err := s.texts(ctx, disorder("("+a.rows(false)+")", schema)+" LIMIT 1")
	return len(bad) == 0, err
}

// importInOrder keeps the order of arrival.
func (s *session) importInOrder(ctx context.Context, a arrival, rows int64, schema lake.Schema) ([]Output, error) {
	outs, err := s.copyArrived(ctx, a, rows, schema)
	return outs, s.readFailure(err)
}

// united gives relations of c1…cn, each in its order, as one in which they
// follow each other. Several meet in a table first: a UNION ALL would mix them,
// and an INSERT keeps the order of its rows.
func (s *session) united(ctx context.Context, parts []string, schema lake.Schema) (string, error) {
	if len(parts) == 1 {
		return parts[0], nil
	}
	if err := s.createTable(ctx, "united", schema, ""); err != nil {
		return "", err
	}
	for i, part := range parts {
		s.report(Progress{Step: "unite", Done: int64(i), Total: int64(len(parts))})
		if err := s.c.Exec(ctx, "INSERT INTO united "+part); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("SELECT %s FROM united", list(cols(schema))), nil
}

// createTable makes a table in the job's database with the columns c1…cn, and
// more columns if given.
func (s *session) createTable(ctx context.Context, name string, schema lake.Schema, more string) error {
	defs := make([]string, 0, len(schema.Columns)+1)
	for i, c := range schema.Columns {
		defs = append(defs, col(i)+" "+c.Type.SQL())
	}
	if more != "" {
		defs = append(defs, more)
	}
	return s.c.Exec(ctx, fmt.Sprintf("CREATE TABLE %s (%s)", name, list(slices.Clip(defs))))
}
