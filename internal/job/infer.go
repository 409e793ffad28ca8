package job

import (
	"context"
	"slices"
	"strings"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// input is a file whose columns are found out.
type input struct {
	file    InputFile
	columns []inputColumn
	// from is the FROM clause of what DuckDB reads. "": rows are decoded in Go,
	// once the schema is known.
	from string
	link string // of a Parquet file
}

// inputColumn is a column of an input.
type inputColumn struct {
	name  string
	found string     // DuckDB's spelling of the type found
	typ   lake.Type  // what it becomes
	form  *rows.Form // of a text file: what the values have in common
	empty bool       // holds nothing but nulls, so that any type fits
}

// infer finds the schema of the inputs and opens them with it.
func (s *session) infer(ctx context.Context, im Import) (arrival, lake.Schema, error) {
	inputs := make([]*input, len(im.Files))
	for i, f := range im.Files {
		in, err := s.describe(ctx, f, im)
		if err != nil {
			return arrival{}, lake.Schema{}, err
		}
		if err := in.checkNames(); err != nil {
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
		typ, err := unify(inputs, order, c)
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
		a, err := s.openAs(ctx, in, im, order[i], schema)
		if err != nil {
			return arrival{}, lake.Schema{}, err
		}
		out.inputs = append(out.inputs, a)
	}
	return out, schema, nil
}

// checkNames refuses columns without a name, and such as have the same name
// without regard to case.
func (in *input) checkNames() error {
	seen := map[string]string{}
	for i, c := range in.columns {
		low := strings.ToLower(c.name)
		other, twice := seen[low]
		switch {
		case c.name == "":
			return lake.Errorf(lake.CodeInvalidRequest, "%s: column %d of %d has no name", in.file.Name, i+1, len(in.columns))
		case twice:
			return lake.Errorf(lake.CodeInvalidRequest, "%s: columns %q and %q have the same name", in.file.Name, other, c.name).
				WithHint("column names are unique without regard to case")
		}
		seen[low] = c.name
	}
	return nil
}

// sameColumns gives, for each input, the position in it of every column of the
// first; the inputs must have the same columns by name.
func sameColumns(inputs []*input) ([][]int, error) {
	first := inputs[0]
	order := make([][]int, len(inputs))
	for i, in := range inputs {
		at := map[string]int{}
		for c, column := range in.columns {
			at[strings.ToLower(column.name)] = c
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

// unify finds the type of a column that keeps every value of all inputs: text
// takes the type of files that have one, where that keeps all of it.
func unify(inputs []*input, order [][]int, c int) (lake.Type, error) {
	var typed, texts *inputColumn // of them the first, with the type so far
	var typedIn, textIn string
	var form *rows.Form
	for i, in := range inputs {
		column := in.columns[order[i][c]]
		switch {
		case column.empty:
		case column.form != nil:
			if form == nil {
				form, texts, textIn = rows.NewForm(), &column, in.file.Name
			}
			form.Join(column.form)
			texts.typ = form.Type()
		case typed == nil:
			typed, typedIn = &column, in.file.Name
		default:
			both, ok := wider(typed.typ, column.typ)
			if !ok {
				return lake.Type{}, noTypeForBoth(column.name, typed.typ, typedIn, column.typ, in.file.Name)
			}
			typed.typ = both
		}
	}
	switch {
	case typed == nil && texts == nil:
		return inputs[0].columns[c].typ, nil
	case typed == nil:
		return texts.typ, nil
	case texts == nil || form.Fits(typed.typ):
		return typed.typ, nil
	}
	both, ok := wider(typed.typ, texts.typ)
	if !ok || !form.Fits(both) {
		return lake.Type{}, noTypeForBoth(typed.name, typed.typ, typedIn, texts.typ, textIn)
	}
	return both, nil
}

func noTypeForBoth(column string, a lake.Type, in string, b lake.Type, inOther string) error {
	return lake.Errorf(lake.CodeRowsInvalid, "column %q is %s in %s and %s in %s, and no type keeps both", column, a, in, b, inOther).
		WithHint("create the dataset with the type you want and import with mode=append")
}

// openAs opens an input with the types of the schema.
func (s *session) openAs(ctx context.Context, in *input, im Import, order []int, schema lake.Schema) (arrived, error) {
	if in.from == "" {
		// Nulls in keys are found with those of the other files.
		open := schema
		open.Columns = slices.Clone(schema.Columns)
		for i := range open.Columns {
			open.Columns[i].Nullable = true
		}
		return s.decodeOne(ctx, in.file, im, open)
	}
	exprs := make([]string, len(order))
	for c, pos := range order {
		column := in.columns[pos]
		exprs[c] = converted(lake.QuoteIdent(column.name), column, schema.Columns[c].Type)
	}
	return arrived{file: in.file, link: in.link, rows: selecting(in.from, exprs), part: parquetPart(in, exprs)}, nil
}

// describe finds the columns of a file.
func (s *session) describe(ctx context.Context, f InputFile, im Import) (*input, error) {
	switch f.Format {
	case rows.Parquet:
		s.step("look at " + f.Name)
		return s.describeParquet(ctx, f)
	case rows.CSV, rows.JSON, rows.NDJSON:
		return s.look(ctx, f, im)
	case rows.ArrowStream:
		s.step("look at " + f.Name)
		return describeArrow(f)
	}
	return nil, lake.Errorf(lake.CodeUnsupportedMedia, "%s: format %d is not one that rows come in", f.Name, f.Format)
}
