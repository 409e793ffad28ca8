//go:build duckdb_arrow

package duck

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tarn/internal/lake"
)

// A locked database reads below its folders and nowhere beside them, by no
// spelling of a path.
func TestLockedFolders(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"lake/base", "lake2"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	_, maker := open(t)
	for _, file := range []string{"lake/base/in.parquet", "lake2/out.parquet"} {
		exec(t, maker, "COPY (SELECT 7 AS i) TO "+lake.QuoteString(filepath.Join(root, file)))
	}
	_, c := open(t, locked, func(o *Options) { o.AllowedDirs = []string{filepath.Join(root, "lake")} })
	if got := cell(t, c, "SELECT i FROM read_parquet("+lake.QuoteString(filepath.Join(root, "lake/base/in.parquet"))+")"); got != int64(7) {
		t.Errorf("inside: %v", got)
	}
	for _, file := range []string{
		"lake2/out.parquet", "lake/../lake2/out.parquet", "lake/base/../../lake2/out.parquet", "lake/./../lake2/out.parquet", "lake//../lake2/out.parquet",
		"lake/../lake2/*.parquet", "*/out.parquet",
	} {
		_, err := c.Rows(t.Context(), "SELECT * FROM read_parquet("+lake.QuoteString(root+"/"+file)+")")
		if lake.CodeOf(err) != lake.CodeSQLRefused {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// What users see of a view over files shows neither their paths nor the columns
// that only files have.
func TestViewsHideTheirFiles(t *testing.T) {
	root := t.TempDir()
	_, maker := open(t)
	exec(t, maker, "COPY (SELECT range AS i FROM range(1000)) TO "+lake.QuoteString(root+"/a.parquet"))
	_, c := open(t, locked, func(o *Options) { o.AllowedDirs = []string{root} })
	exec(t, c, "CREATE VIEW people AS SELECT * FROM read_parquet("+lake.QuoteString(root+"/a.parquet")+")")
	g, env := NewGate(c), datasetsOf("people")
	for _, sql := range []string{"EXPLAIN SELECT * FROM people WHERE i > 3", "EXPLAIN (FORMAT json) SELECT count(*) FROM people", "SUMMARIZE people"} {
		checked, err := g.Check(t.Context(), sql, env)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := c.Rows(t.Context(), checked.SQL)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		for _, row := range rows {
			for _, v := range row {
				if s, ok := v.(string); ok && (strings.Contains(s, root) || strings.Contains(s, "a.parquet")) {
					t.Errorf("%s shows a path: %s", sql, s)
				}
			}
		}
	}
	for _, column := range []string{"filename", "file_row_number", "file_index"} {
		if _, err := c.Rows(t.Context(), "SELECT "+column+" FROM people"); lake.CodeOf(err) != lake.CodeSQLInvalid {
			t.Errorf("%s: %v", column, err)
		}
	}
}
