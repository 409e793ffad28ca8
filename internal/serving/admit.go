package serving

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// admit passes SQL through the gate and plans what to run for it.
func (s *Serving) admit(ctx context.Context, sess *session, req Request) (plan, error) {
	checked, err := s.check(ctx, sess, req)
	if err != nil {
		return plan{}, err
	}
	if req.Snapshot {
		return snapshotPlan(checked, req)
	}
	p := plan{sql: checked.SQL, params: req.Params, datasets: checked.Datasets}
	if p.instants, err = s.instants(ctx, sess, checked.Instants, req.Instants); err != nil {
		return plan{}, err
	}
	for n := range p.instants {
		p.views = append(p.views, duck.InstantView(n))
	}
	switch checked.Kind {
	case duck.Select:
		p.repeatable, p.grouped, p.first = !checked.Volatile && len(p.instants) == 0, checked.Grouped, checked.First
	case duck.Explain:
		p.text = func(text string, _ map[string]lake.Place) (string, error) { return s.withoutDirs(text), nil }
	case duck.Analyze:
		p.text = s.analyzedText
	case duck.ShowTables:
		return plan{sql: showTables(req.Visible), whole: true}, nil
	case duck.Describe:
		if checked.Describe != nil {
			return s.describe(*checked.Describe)
		}
	}
	return p, nil
}

// check passes SQL through the gate, unless it has passed before. A text that passed
// for somebody who sees other datasets means the same for whoever sees all those that
// it names.
func (s *Serving) check(ctx context.Context, sess *session, req Request) (duck.Checked, error) {
	names := s.ear.namesVersion() // before the names are read
	if checked, ok := s.gated.get(req.SQL, names); ok && !req.Snapshot && (req.MaxSQLBytes <= 0 || len(req.SQL) <= req.MaxSQLBytes) && req.Visible.HasAll(checked.Named()) {
		return checked, nil
	}
	var snapshot func(lake.Name) bool
	if req.Snapshot {
		snapshot = func(name lake.Name) bool { return broughtFor(req.Instants, name) >= 0 }
	}
	checked, err := sess.gate.Check(ctx, req.SQL, duck.GateEnv{
		MaxSQLBytes: req.MaxSQLBytes, Snapshot: snapshot, Placed: req.Placed,
		Dataset: func(namespace, name string) (lake.Name, bool) {
			_, d, ok := s.ear.find(lake.Name{Namespace: namespace, Dataset: name})
			if !ok || !req.Visible.Has(d.name) {
				return lake.Name{}, false
			}
			return d.name, true
		},
		Names: func() []lake.Name {
			return slices.DeleteFunc(s.ear.list(), func(n lake.Name) bool { return !req.Visible.Has(n) })
		},
	})
	if err == nil && !req.Snapshot && req.Placed == (lake.Name{}) { // what it may name another may not
		s.gated.put(req.SQL, names, checked)
	}
	return checked, err
}

// showTables lists the datasets as a query names them.
func showTables(visible *lake.NameSet) string {
	return "SELECT CASE WHEN lower(namespace) = '" + lake.DefaultNamespace + "' THEN name ELSE namespace || '.' || name END AS name FROM " +
		internal("datasets") + " WHERE " + visible.SQL("namespace", "name") + " ORDER BY lower(namespace) <> '" + lake.DefaultNamespace + "', lower(namespace), lower(name)"
}

// describe answers DESCRIBE of a dataset as DuckDB does of a table: the view
// that shows it does not know its key.
func (s *Serving) describe(name lake.Name) (plan, error) {
	_, d, ok := s.ear.find(name)
	if !ok {
		return plan{}, lake.Errorf(lake.CodeDatasetNotFound, "dataset %s does not exist", name)
	}
	values := make([]string, len(d.schema.Columns))
	inKey := map[int]bool{}
	for _, i := range d.schema.KeyIndexes() {
		inKey[i] = true
	}
	for i, c := range d.schema.Columns {
		null, key := "YES", "NULL"
		if !c.Nullable {
			null = "NO"
		}
		if inKey[i] {
			key = "'PRI'"
		}
		values[i] = fmt.Sprintf("(%s, %s, '%s', %s)", lake.QuoteString(c.Name), lake.QuoteString(c.Type.SQL()), null, key)
	}
	sql := `SELECT column_name, column_type, "null", CAST(key AS VARCHAR) AS key, CAST(NULL AS VARCHAR) AS "default", CAST(NULL AS VARCHAR) AS extra` +
		` FROM (VALUES ` + strings.Join(values, ", ") + `) t(column_name, column_type, "null", key)`
	return plan{sql: sql, datasets: []lake.Name{d.name}}, nil
}

// withoutDirs takes the lake's folders out of a text (a plan may name the files that it
// reads).
func (s *Serving) withoutDirs(text string) string {
	for _, dir := range s.dirs {
		text = strings.ReplaceAll(text, strings.TrimRight(dir, "/")+"/", "")
	}
	return text
}

// planText makes of what DuckDB says of a plan what the client may see of it. points are
// the query's datasets.
type planText func(text string, points map[string]lake.Place) (string, error)

// explained passes what a batch says of a plan, its last column, through a function. It
// releases the batch.
func explained(rec arrow.RecordBatch, points map[string]lake.Place, text planText) (arrow.RecordBatch, error) {
	defer rec.Release()
	last := int(rec.NumCols()) - 1
	in, ok := rec.Column(last).(*array.String)
	if !ok {
		return nil, lake.Errorf(lake.CodeInternal, "a plan comes as %s", rec.Column(last).DataType())
	}
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	for row := range in.Len() {
		if in.IsNull(row) {
			b.AppendNull()
			continue
		}
		out, err := text(in.Value(row), points)
		if err != nil {
			return nil, err
		}
		b.Append(out)
	}
	plan := b.NewArray()
	defer plan.Release()
	return array.NewRecordBatch(rec.Schema(), append(slices.Clone(rec.Columns()[:last]), plan), rec.NumRows()), nil
}
