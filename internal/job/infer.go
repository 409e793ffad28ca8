package job

import (
	"context"
	"fmt"
	"strings"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// input is a file whose columns are found out.
type input struct {
	file    InputFile
	columns []inputColumn
	// from is the FROM clause, with other types than those found for some
	// columns (by position) where the format is text. nil: rows are decoded in
	// Go, once the schema is known.
	from     func(as map[int]lake.Type) string
	retyping bool // from can give columns other types
}

// inputColumn is a column of an input.
type inputColumn struct {
	name  string
	found string    // DuckDB's spelling of the type found
	typ   lake.Type // what it becomes
	empty bool      // holds nothing but nulls, so that any type fits
}

// infer finds the schema of the inputs and opens them with it.
func (s *session) infer(ctx context.Context, im Import) (arrival, lake.Schema, error) {
	inputs := make([]*input, len(im.Files))
	for i, f := range im.Files {
		s.step("look at " + f.Name)
		in, err := s.describe(ctx, f)
		if err != nil {
			return arrival{}, lake.Schema{}, err
		}
		inputs[i] = in
	}
	order, err := sameColumns(inputs)
	if err != nil {
		return arrival{}, lake.Schema{}, err
	}
	schema := lake.Schema{Key: append([]string(nil), im.Key...)}
	for c, first := range inputs[0].columns {
		typ, err := s.unify(ctx, inputs, order, c)
		if err != nil {
			return arrival{}, lake.Schema{}, err
		}
		schema.Columns = append(schema.Columns, lake.Column{Name: first.name, Type: typ, Nullable: true})
	}
	if err := schema.Check(); err != nil {
		return arrival{}, lake.Schema{}, err
	}
	schema = schema.WithFieldIDs()
	var out arrival
	for i, in := range inputs {
		a, err := s.openAs(ctx, in, order[i], schema)
		if err != nil {
			return arrival{}, lake.Schema{}, err
		}
		out.inputs = append(out.inputs, a)
	}
	return out, schema, nil
}

// sameColumns gives, for each input, the position in it of every column of the
// first; the inputs must have the same columns by name.
func sameColumns(inputs []*input) ([][]int, error) {
	first := inputs[0]
	order := make([][]int, len(inputs))
	for i, in := range inputs {
		at := map[string]int{}
		for c, column := range in.columns {
			low := strings.ToLower(column.name)
			if _, twice := at[low]; twice {
				return nil, lake.Errorf(lake.CodeInvalidRequest, "%s: column %q appears twice", in.file.Name, column.name).
					WithHint("column names are unique without regard to case")
			}
			at[low] = c
		}
		for _, column := range first.columns {
			c, ok := at[strings.ToLower(column.name)]
			if !ok {
				return nil, lake.Errorf(lake.CodeRowsInvalid, "%s: column %q is missing, which %s has", in.file.Name, column.name, first.file.Name)
			}
			delete(at, strings.ToLower(column.name))
			order[i] = append(order[i], c)
		}
		for _, c := range at {
			return nil, lake.Errorf(lake.CodeRowsInvalid, "%s: column %q is not in %s", in.file.Name, in.columns[c].name, first.file.Name)
		}
	}
	return order, nil
}

// unify finds the type of a column that keeps every value of all inputs.
func (s *session) unify(ctx context.Context, inputs []*input, order [][]int, c int) (lake.Type, error) {
	first := &inputs[0].columns[c]
	typ := first.typ
	same := true
	for i, in := range inputs {
		same = same && in.columns[order[i][c]].typ.Equal(typ)
	}
	if same {
		return typ, nil
	}
	// Only now it matters whether a text column holds anything at all.
	for i, in := range inputs {
		if err := s.lookEmpty(ctx, in, order[i][c]); err != nil {
			return lake.Type{}, err
		}
	}
	decided := -1
	for i, in := range inputs {
		column := in.columns[order[i][c]]
		switch {
		case column.empty:
		case decided < 0:
			typ, decided = column.typ, i
		default:
			wider, ok := wider(typ, column.typ)
			if !ok && textOnly(inputs, order, c, typ, column.typ) {
				wider, ok = lake.Type{Kind: lake.Varchar}, true
			}
			if !ok {
				return lake.Type{}, lake.Errorf(lake.CodeRowsInvalid, "column %q is %s in %s and %s in %s, and no type keeps both",
					first.name, typ, inputs[decided].file.Name, column.typ, in.file.Name).
					WithHint("create the dataset with the type you want and import with mode=append")
			}
			typ = wider
		}
	}
	return typ, nil
}

// textOnly says whether a column can become VARCHAR: every input in which it is
// something else holds it as text.
func textOnly(inputs []*input, order [][]int, c int, types ...lake.Type) bool {
	oneIsText := false
	for _, t := range types {
		oneIsText = oneIsText || t.Kind == lake.Varchar
	}
	for i, in := range inputs {
		column := in.columns[order[i][c]]
		if column.typ.Kind != lake.Varchar && !column.empty && !in.retyping {
			return false
		}
	}
	return oneIsText || inputs[0].retyping
}

// lookEmpty finds out whether a column that seems to be text is empty.
func (s *session) lookEmpty(ctx context.Context, in *input, c int) error {
	column := &in.columns[c]
	if column.typ.Kind != lake.Varchar || in.from == nil {
		return nil
	}
	n, err := s.count(ctx, fmt.Sprintf("SELECT count(%s) FROM %s", lake.QuoteIdent(column.name), in.from(nil)))
	if err != nil {
		return s.readFailure(err)
	}
	column.empty = n[0] == 0
	return nil
}

// openAs opens an input with the types of the schema.
func (s *session) openAs(ctx context.Context, in *input, order []int, schema lake.Schema) (arrived, error) {
	if in.from == nil {
		return s.decodeOne(ctx, in.file, schema)
	}
	as := map[int]lake.Type{}
	exprs := make([]string, len(order))
	for c, pos := range order {
		column, want := in.columns[pos], schema.Columns[c].Type
		x := lake.QuoteIdent(column.name)
		switch {
		case in.retyping && (column.empty || want.Kind == lake.Varchar) && !column.typ.Equal(want):
			as[pos] = want
			exprs[c] = x
		default:
			exprs[c] = converted(x, column, want)
		}
		if err := s.checkNanoseconds(ctx, in, column); err != nil {
			return arrived{}, err
		}
	}
	return arrived{file: in.file, rows: selecting(func() string { return in.from(as) }, exprs)}, nil
}

// describe finds the columns of a file.
func (s *session) describe(ctx context.Context, f InputFile) (*input, error) {
	switch f.Format {
	case rows.Parquet:
		return s.describeParquet(ctx, f)
	case rows.CSV:
		return s.describeCSV(ctx, f)
	case rows.JSON, rows.NDJSON:
		return s.describeJSON(ctx, f)
	case rows.ArrowStream:
		return describeArrow(f)
	}
	return nil, lake.Errorf(lake.CodeUnsupportedMedia, "%s: format %d is not one that rows come in", f.Name, f.Format)
}

// describeQuery gives names and types of a relation's columns.
func (s *session) describeQuery(ctx context.Context, f InputFile, from string) ([]inputColumn, error) {
	found, err := s.texts(ctx, "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM "+from+")")
	if err != nil {
		return nil, s.readFailure(err)
	}
	out := make([]inputColumn, len(found))
	for i, row := range found {
		out[i] = inputColumn{name: row[0], found: row[1]}
		if out[i].typ, err = typeOf(row[1]); err != nil {
			return nil, lake.Step(fmt.Sprintf("%s: column %q", f.Name, row[0]), err)
		}
	}
	return out, nil
}
