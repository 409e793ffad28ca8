package serving

import (
	"fmt"
	"slices"
	"strings"

	"tarn/internal/lake"
)

// placedSQL is the query that shows a dataset without a key as it is, from base files and
// deltas, with the place of each row (lake.PlaceColumn).
func (v coldView) placedSQL(deltas []lake.BaseFile) string {
	all := slices.Concat(v.files, deltas)
	var parts []string
	var base, pending []int
	for i, f := range all {
		switch {
		case i >= len(v.files):
			pending = append(pending, i)
		case len(f.Deletes) > 0:
			parts = append(parts, fmt.Sprintf("SELECT %s, b.%s FROM (%s) b ANTI JOIN %s d ON b.%[2]s - %[5]d = d.pos",
				v.names("b"), lake.PlaceColumn, v.placedRead(all, []int{i}), deletedRows(f), placeOf(i)))
		default:
			base = append(base, i)
		}
	}
	for _, of := range [][]int{base, pending} {
		for _, group := range v.forms.parted(of, all, false) {
			parts = append(parts, v.placedRead(all, group))
		}
	}
	if len(parts) == 0 {
		return strings.TrimSuffix(v.empty(), " WHERE false") + ", NULL::BIGINT AS " + lake.PlaceColumn + " WHERE false"
	}
	return strings.Join(parts, "\nUNION ALL ")
}

// placeOf is the place of the first row of a file.
func placeOf(file int) int64 { return int64(file) << lake.PlaceBits }

// placedRead selects the schema's columns and the places from files that one scan can
// read.
func (v coldView) placedRead(all []lake.BaseFile, files []int) string {
	paths, first := make([]string, len(files)), make([]string, len(files))
	for n, i := range files {
		paths[n], first[n] = all[i].Path, fmt.Sprint(placeOf(i))
	}
	columns, from := v.columns(paths[0]), readParquet(paths, "")
	if hidesPlaces(v.schema) {
		columns, from = v.byID(paths)
	}
	return fmt.Sprintf("SELECT %s, ([%s]::BIGINT[])[file_index::BIGINT + 1] + file_row_number::BIGINT AS %s FROM %s", columns, strings.Join(first, ", "), lake.PlaceColumn, from)
}

// byID reads files by field id, under names of our own: for columns that are called as
// those that DuckDB adds.
func (v coldView) byID(paths []string) (columns, from string) {
	names, ids := make([]string, len(v.schema.Columns)), make([]string, len(v.schema.Columns))
	for i, c := range v.schema.Columns {
		own := fmt.Sprintf("%sc%d", lake.ReservedColumnPrefix, i)
		names[i] = "CAST(" + own + " AS " + c.Type.SQL() + ") AS " + lake.QuoteIdent(c.Name)
		ids[i] = fmt.Sprintf("%d: {name: '%s', type: %s, default_value: NULL}", c.ID, own, lake.QuoteString(c.Type.SQL()))
	}
	return strings.Join(names, ", "), readParquet(paths, ", schema = MAP {"+strings.Join(ids, ", ")+"}")
}

// hidesPlaces says whether a column is called as one that DuckDB adds to a scan of files.
func hidesPlaces(s lake.Schema) bool {
	return slices.ContainsFunc([]string{"file_index", "file_row_number", "filename"}, func(name string) bool {
		_, ok := s.Column(name)
		return ok
	})
}
