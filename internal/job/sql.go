package job

import (
	"fmt"
	"strconv"
	"strings"

	"tarn/internal/lake"
)

// col is the name of the column at a position inside the job.
func col(i int) string { return "c" + strconv.Itoa(i+1) }

// cols names the columns of a schema inside the job.
func cols(s lake.Schema) []string {
	out := make([]string, len(s.Columns))
	for i := range out {
		out[i] = col(i)
	}
	return out
}

// keyCols names the key columns inside the job, in key order.
func keyCols(s lake.Schema) []string {
	var out []string
	for _, i := range s.KeyIndexes() {
		out = append(out, col(i))
	}
	return out
}

func list(parts []string) string { return strings.Join(parts, ", ") }

// each formats every name; %[1]s is the name.
func each(names []string, format string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fmt.Sprintf(format, n)
	}
	return out
}

// equal is the condition that two relations agree in columns.
func equal(a, b string, names []string) string {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = fmt.Sprintf("%s.%s = %s.%s", a, n, b, n)
	}
	return strings.Join(parts, " AND ")
}

// fieldIDs is the FIELD_IDS option of COPY for the columns and their parts.
func fieldIDs(columns []lake.Column) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = lake.QuoteString(c.Name) + ": " + fieldID(c)
	}
	return "{" + list(parts) + "}"
}

func fieldID(c lake.Column) string {
	if !c.Type.Nested() {
		return strconv.Itoa(c.ID)
	}
	parts := []string{"__duckdb_field_id: " + strconv.Itoa(c.ID)}
	names := map[lake.Kind][]string{lake.List: {"element"}, lake.Map: {"key", "value"}}[c.Type.Kind]
	for i, f := range c.Type.Fields {
		name := f.Name
		if names != nil {
			name = names[i]
		}
		parts = append(parts, lake.QuoteString(name)+": "+fieldID(f))
	}
	return "{" + list(parts) + "}"
}

// field is a column of a durable file as the job reads it.
type field struct {
	id     int
	name   string // inside the job
	sql    string // type
	column string // its own name
}

func fields(s lake.Schema) []field {
	out := make([]field, len(s.Columns))
	for i, c := range s.Columns {
		out[i] = field{c.ID, col(i), c.Type.SQL(), c.Name}
	}
	return out
}

// keyFields are the key columns alone.
func keyFields(s lake.Schema) []field {
	var out []field
	for _, i := range s.KeyIndexes() {
		out = append(out, field{s.Columns[i].ID, col(i), s.Columns[i].Type.SQL(), s.Columns[i].Name})
	}
	return out
}

// readByID reads durable Parquet files by field id: the fields by their names
// inside the job, and DuckDB's file_index and file_row_number.
func readByID(paths []string, fs []field) string {
	entries := make([]string, len(fs))
	for i, f := range fs {
		entries[i] = fmt.Sprintf("%d: {name: '%s', type: %s, default_value: NULL}", f.id, f.name, lake.QuoteString(f.sql))
	}
	return fmt.Sprintf("read_parquet([%s], schema = MAP {%s}, hive_partitioning = false)",
		list(quoted(paths)), list(entries))
}

// readByName is readByID of files whose columns have the fields' own names. DuckDB
// reads it by all threads, and a file by id by one.
func readByName(paths []string, fs []field) string {
	exprs := make([]string, len(fs))
	for i, f := range fs {
		exprs[i] = fmt.Sprintf("CAST(%s AS %s) AS %s", lake.QuoteIdent(f.column), f.sql, f.name)
	}
	return fmt.Sprintf("(SELECT %s, file_index, file_row_number FROM read_parquet([%s], hive_partitioning = false))", list(exprs), list(quoted(paths)))
}

// hidesPlaces says whether a column has the name of one that DuckDB adds.
func hidesPlaces(s lake.Schema) bool {
	for _, name := range []string{"file_index", "file_row_number", "filename"} {
		if _, ok := s.Column(name); ok {
			return true
		}
	}
	return false
}

func quoted(texts []string) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = lake.QuoteString(t)
	}
	return out
}

// inOrder is the order gate (see the package): the rows of sub in the order in
// which it gives them, brought by one thread.
func inOrder(sub string) string {
	return "SELECT * FROM (SELECT *, row_number() OVER () AS gate FROM (" + sub + ")) WHERE gate > 0"
}

// lastOfRun keeps the last row of each run of equal keys, and all rows with a
// null in the key, for who looks for them later. sub must be sorted by the keys.
func lastOfRun(sub string, keys []string) string {
	ahead, differs := make([]string, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		ahead[i] = fmt.Sprintf("lead(%s) OVER () AS next%d", k, i)
		differs[i] = fmt.Sprintf("%s IS NULL OR %s IS DISTINCT FROM next%d", k, k, i)
	}
	return fmt.Sprintf("SELECT * FROM (SELECT *, %s FROM (%s)) WHERE %s",
		list(ahead), sub, strings.Join(differs, " OR "))
}
