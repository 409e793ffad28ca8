package serving

import (
	"fmt"
	"slices"
	"strings"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// catalogName is the serving database's name in DuckDB, internalSchema the
// schema in it that holds what is no dataset.
const (
	catalogName    = "lake"
	internalSchema = "_tarn"
	opColumn       = lake.ReservedColumnPrefix + "op"
	sequenceColumn = lake.ReservedColumnPrefix + "sequence"
)

// internal is the full name of a table of our own.
func internal(table string) string {
	return catalogName + "." + internalSchema + "." + lake.QuoteIdent(table)
}

// coldView is what the SQL of a cold dataset's view depends on: the view is
// made anew exactly when its text changes.
type coldView struct {
	schema  lake.Schema
	forms   forms
	files   []lake.BaseFile
	places  places
	touched []bool       // by file; nil: none. By keys that are not placed
	tail    string       // table of loaded changes, "" when there are none
	keys    string       // table of the keys of large deltas, "" when there are none
	large   []largeDelta // in order
}

// sql gives the view's query, and the masks that it reads, which mask makes of
// positions in files. Its columns are exactly the schema's.
//
//	files without a dead row                  read as they are
//	files whose dead rows are placed          without these, by a mask
//	files touched by keys that are not        the same, anti-joined with these keys
//	files whose delete files are not placed   each by itself, anti-joined
//	the tail's upserts                        UNION ALL
//	each large delta's upserts                semi-joined with the keys it is newest for
func (v coldView) sql(mask func(files []int) (*shownMask, error)) (text string, masks []*shownMask, err error) {
	if v.absent() {
		return v.empty(), nil, nil
	}
	var parts, alone []string
	var plain, placed, touched []int
	for i, f := range v.files {
		hit := v.touched != nil && v.touched[i]
		switch {
		case len(f.Deletes) > 0 && !v.places.on:
			alone = append(alone, v.withDeletes(f, hit))
		case hit:
			touched = append(touched, i)
		case v.places.on && v.places.dead[i] != nil:
			placed = append(placed, i)
		default:
			plain = append(plain, i)
		}
	}
	for _, files := range v.parted(plain) {
		parts = append(parts, v.read(files))
	}
	for i, some := range [][]int{placed, touched} {
		for _, files := range v.parted(some) {
			part := v.read(files)
			m, err := mask(files)
			if err != nil {
				return "", nil, err
			}
			if m != nil {
				masks = append(masks, m)
				part += fmt.Sprintf(" WHERE %s(%d, file_index, file_row_number)", duck.LiveFunction, m.Number)
			}
			if i == 1 {
				part = "SELECT " + v.names("b") + " FROM (" + part + ") b" + v.antiJoin()
			}
			parts = append(parts, part)
		}
	}
	parts = append(parts, alone...)
	if v.tail != "" {
		where := ""
		if v.schema.Keyed() {
			where = " WHERE " + opColumn + " = 0"
		}
		parts = append(parts, "SELECT "+v.names("")+" FROM "+internal(v.tail)+where)
	}
	for _, d := range v.large {
		parts = append(parts, v.largePart(d))
	}
	if len(parts) == 0 {
		return v.empty(), nil, nil
	}
	return strings.Join(parts, "\nUNION ALL "), masks, nil
}

// absent says whether a file may not be on this machine. The view is then empty,
// as DuckDB looks into files when a view is made; the guard lets no query see it.
func (v coldView) absent() bool {
	return slices.ContainsFunc(v.files, func(f lake.BaseFile) bool { return f.Identity == lake.NotLocal })
}

// parted parts files into those that one scan can read each.
func (v coldView) parted(files []int) [][]int {
	return v.forms.parted(files, v.files, !v.schema.Keyed())
}

// read selects the schema's columns from files that one scan can read.
func (v coldView) read(files []int) string {
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = v.files[f].Path
	}
	return "SELECT " + v.columns(paths[0]) + " FROM " + readParquet(paths, "")
}

// withDeletes reads a file without the rows that its delete files take away.
func (v coldView) withDeletes(f lake.BaseFile, touched bool) string {
	part := "SELECT " + v.names("b") + " FROM (SELECT " + v.columns(f.Path) + ", file_row_number FROM " +
		readParquet([]string{f.Path}, ", file_row_number = true") + ") b ANTI JOIN " + deletedRows(f) +
		" d ON b.file_row_number = d.pos"
	if touched {
		part += v.antiJoin()
	}
	return part
}

// deletedRows gives the positions that a file's delete files take away. They
// name it by its full location, which a moved lake has another root for; so its
// key, which is unique in the lake, is compared.
func deletedRows(f lake.BaseFile) string {
	paths := make([]string, len(f.Deletes))
	for i, d := range f.Deletes {
		paths[i] = d.Path
	}
	return "(SELECT pos FROM " + readParquet(paths, "") + " WHERE ends_with(file_path, " + lake.QuoteString("/"+f.Key) + "))"
}

// antiJoin takes away what the pending changes replace whose keys are not placed.
func (v coldView) antiJoin() string {
	var b strings.Builder
	key := coldView{schema: v.schema.KeySchema()}
	for i, table := range []string{v.tail, v.keys} {
		if table == "" {
			continue
		}
		alias, from := fmt.Sprintf("t%d", i), internal(table)
		if v.places.on {
			from = fmt.Sprintf("(SELECT %s FROM %s WHERE %s > %d)", key.names(""), from, sequenceColumn, v.places.through)
		}
		b.WriteString(" ANTI JOIN " + from + " " + alias + " ON " + v.sameKey("b", alias))
	}
	return b.String()
}

func (v coldView) largePart(d largeDelta) string {
	from := "SELECT " + v.columns(d.delta.Path) + " FROM " + readParquet([]string{d.delta.Path}, "") + " WHERE " + opColumn + " = 0"
	if !v.schema.Keyed() {
		return from
	}
	return "SELECT " + v.names("b") + " FROM (" + from + ") b SEMI JOIN " + internal(v.keys) + " k ON " +
		v.sameKey("b", "k") + fmt.Sprintf(" AND k.%s = %d", sequenceColumn, d.delta.Sequence)
}

func (v coldView) sameKey(a, b string) string {
	parts := make([]string, len(v.schema.Key))
	for i, name := range v.schema.Key {
		q := lake.QuoteIdent(name)
		parts[i] = a + "." + q + " = " + b + "." + q
	}
	return strings.Join(parts, " AND ")
}

// columns reads the schema's columns from a Parquet file, and from those alike, in
// their exact types; a cast to the type that is there already costs nothing and stops no filter.
// Filters on a BLOB have to be stopped: DuckDB 1.5 looks in a file's Bloom filter
// for the text of a BLOB with its escapes, not for its bytes, and passes over row
// groups that hold it.
func (v coldView) columns(path string) string {
	parts := make([]string, len(v.schema.Columns))
	for i, c := range v.schema.Columns {
		from := "NULL"
		if name, ok := v.forms.column(path, c); ok {
			from = lake.QuoteIdent(name)
		}
		parts[i] = "CAST(" + from + " AS " + c.Type.SQL() + ")"
		if c.Type.Kind == lake.Blob && from != "NULL" {
			parts[i] += " || ''::BLOB"
		}
		parts[i] += " AS " + lake.QuoteIdent(c.Name)
	}
	return strings.Join(parts, ", ")
}

func (v coldView) names(alias string) string {
	parts := make([]string, len(v.schema.Columns))
	for i, c := range v.schema.Columns {
		parts[i] = lake.QuoteIdent(c.Name)
		if alias != "" {
			parts[i] = alias + "." + parts[i]
		}
	}
	return strings.Join(parts, ", ")
}

// empty is a relation of the right columns without a row.
func (v coldView) empty() string {
	parts := make([]string, len(v.schema.Columns))
	for i, c := range v.schema.Columns {
		parts[i] = "CAST(NULL AS " + c.Type.SQL() + ") AS " + lake.QuoteIdent(c.Name)
	}
	return "SELECT " + strings.Join(parts, ", ") + " WHERE false"
}

// readParquet reads files by their names. DuckDB takes a path as a pattern only
// when no file has that very name, and the guard saw that each is there; a path
// with its special characters escaped would be outside of the allowed folders.
func readParquet(paths []string, options string) string {
	quoted := make([]string, len(paths))
	for i, p := range paths {
		quoted[i] = lake.QuoteString(p)
	}
	return "read_parquet([" + strings.Join(quoted, ", ") + "], hive_partitioning = false" + options + ")"
}
