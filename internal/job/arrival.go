package job

import (
	"fmt"
	"slices"
	"strings"

	"tarn/internal/lake"
)

// rowBits is the room of a row's number in its place; the input's position
// stands above.
const rowBits = 40

// arrival is all inputs as one relation with the columns c1…cn, in which r, the
// place of a row (input, then row), orders the rows as they arrived.
type arrival struct{ inputs []arrived }

// arrived is one input as a relation.
type arrived struct {
	file InputFile
	link string // by which DuckDB reads a Parquet file; "": it is in a table
	// rows gives SELECT of c1…cn in the order of the input. Where place is not
	// nil it is a format for the column r, with %s the row's number from 1.
	rows func(place *string) string
	// part gives SELECT of c1…cn of the rows from ≤ n < to, counted from 0, without
	// reading the others; nil: the input cannot be read in parts.
	part func(from, to int64) string
}

// rows unites the inputs, in no order; placed adds r.
func (a arrival) rows(placed bool) string {
	parts := make([]string, len(a.inputs))
	for i, in := range a.inputs {
		var place *string
		if placed {
			p := fmt.Sprintf("%d + %%s", int64(i)<<rowBits)
			place = &p
		}
		parts[i] = in.rows(place)
	}
	return strings.Join(parts, " UNION ALL ")
}

// where names the place of a row for messages.
func (a arrival) where(place int64) string {
	i, row := place>>rowBits, place&(1<<rowBits-1)
	if i < 0 || i >= int64(len(a.inputs)) {
		return fmt.Sprintf("place %d", place)
	}
	return fmt.Sprintf("%s row %d", a.inputs[i].file.Name, row)
}

// selecting is the rows function over a relation read in order, with one
// expression a column.
func selecting(from string, exprs []string) func(*string) string {
	return func(place *string) string {
		parts := make([]string, len(exprs))
		for i, e := range exprs {
			parts[i] = e + " AS " + col(i)
		}
		if place != nil {
			parts = append(parts, fmt.Sprintf(*place, "row_number() OVER ()")+" AS r")
		}
		return "SELECT " + list(parts) + " FROM " + from
	}
}

// parquetPart is the part function over a Parquet file, by DuckDB's own number of a
// row; a column of that name hides it.
func parquetPart(in *input, exprs []string) func(from, to int64) string {
	if slices.ContainsFunc(in.columns, func(c inputColumn) bool { return strings.EqualFold(c.name, "file_row_number") }) {
		return nil
	}
	return func(from, to int64) string {
		return fmt.Sprintf("%s WHERE file_row_number >= %d AND file_row_number < %d", selecting(in.from, exprs)(nil), from, to)
	}
}

// fromTable is the rows function over a table that rows were appended to.
func fromTable(table string, schema lake.Schema) func(*string) string {
	return func(place *string) string {
		parts := cols(schema)
		if place != nil {
			parts = append(parts, fmt.Sprintf(*place, "rowid + 1")+" AS r")
		}
		return "SELECT " + list(parts) + " FROM " + table
	}
}
