package serving

import (
	"fmt"
	"slices"
	"strings"

	"tarn/internal/lake"
)

// slice is one INSERT of a load.
type slice struct {
	sql   string // of the rows
	rows  int64
	bytes int64 // in the files; 0 for a rebuild
	guard *guard
}

// sliceRows is how many rows a slice has: two of DuckDB's row groups, which
// stalls an apply for about 40 ms.
const sliceRows = 2 * 122880

// baseSlices cuts base files into slices: of a keyed dataset in the order of
// their lower bounds, so that zone maps of the image prune, otherwise in the
// order of arrival.
func baseSlices(s lake.Schema, forms forms, files []lake.BaseFile, all *guard) []slice {
	order := newFileIndex(files).order
	if !s.Keyed() {
		slices.SortStableFunc(order, func(a, b int) int { return int(files[a].Ordinal - files[b].Ordinal) })
	}
	var out []slice
	var plain []lake.BaseFile // small ones that go together
	var rows int64
	v := coldView{schema: s, forms: forms}
	flush := func() {
		if len(plain) == 0 {
			return
		}
		paths := make([]string, len(plain))
		var bytes int64
		for i, f := range plain {
			paths[i] = f.Path
			bytes += f.Bytes
		}
		out = append(out, slice{sql: "SELECT " + v.columns(paths[0]) + " FROM " + readParquet(paths, ""), rows: rows, bytes: bytes, guard: guardOf(all, plain...)})
		plain, rows = nil, 0
	}
	for _, i := range order {
		f := files[i]
		switch {
		case len(f.Deletes) > 0 || f.Foreign && s.Keyed():
			flush()
			out = append(out, fileSlices(s, forms, f, all)...)
		case f.Rows > sliceRows:
			flush()
			out = append(out, fileSlices(s, forms, f, all)...)
		default:
			if rows+f.Rows > sliceRows || len(plain) > 0 && !forms.alike(plain[0].Path, f.Path) {
				flush()
			}
			plain, rows = append(plain, f), rows+f.Rows
		}
	}
	flush()
	return out
}

// guardOf covers some of the files that a dataset's view reads, as its guard
// knows them.
func guardOf(all *guard, files ...lake.BaseFile) *guard {
	paths := map[string]bool{}
	for _, f := range files {
		paths[f.Path] = true
		for _, d := range f.Deletes {
			paths[d.Path] = true
		}
	}
	g := &guard{absent: all.absent}
	for _, f := range all.files {
		if paths[f.path] {
			g.files = append(g.files, f)
		}
	}
	return g
}

// fileSlices cuts one file by row numbers. Rows that a delete file takes away
// are left out, and files of others, which need not be sorted, are.
func fileSlices(s lake.Schema, forms forms, f lake.BaseFile, all *guard) []slice {
	v := coldView{schema: s, forms: forms}
	if !placeable(s) && len(f.Deletes) == 0 { // its rows cannot be told apart by number
		return []slice{{sql: "SELECT " + v.columns(f.Path) + " FROM " + readParquet([]string{f.Path}, ""), rows: f.Rows, bytes: f.Bytes, guard: guardOf(all, f)}}
	}
	order := " ORDER BY file_row_number"
	if s.Keyed() {
		order = " ORDER BY " + keyList(s)
	}
	var out []slice
	for from := int64(0); from < f.Rows; from += sliceRows {
		to := min(from+sliceRows, f.Rows)
		where := fmt.Sprintf(" WHERE file_row_number >= %d AND file_row_number < %d", from, to)
		part := slice{rows: to - from, guard: guardOf(all, f)}
		if f.Rows > 0 {
			part.bytes = f.Bytes * part.rows / f.Rows
			part.rows = part.rows * f.Live() / f.Rows // about
		}
		read := "SELECT " + v.columns(f.Path) + ", file_row_number FROM " + readParquet([]string{f.Path}, ", file_row_number = true") + where
		part.sql = "SELECT " + v.names("b") + " FROM (" + read + ") b"
		if len(f.Deletes) > 0 {
			part.sql += " ANTI JOIN " + deletedRows(f) + " d ON b.file_row_number = d.pos"
		}
		if len(f.Deletes) > 0 || f.Foreign {
			part.sql += order
		}
		out = append(out, part)
	}
	return out
}

func keyList(s lake.Schema) string {
	cols := make([]string, len(s.Key))
	for i, name := range s.Key {
		cols[i] = lake.QuoteIdent(name)
	}
	return strings.Join(cols, ", ")
}
