//go:build duckdb_arrow

package duck

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tarn/internal/lake"
)

// FuzzGate mutates texts and holds what passes the gate to its word: it runs, on a
// database that is not locked, without reading a dataset that the gate did not name,
// without reading a file, and without changing anything. Each dataset's one value and
// the file's content are canaries, so that what was read shows in the rows.
func FuzzGate(f *testing.F) {
	for _, file := range []string{"hostile.txt", "fine.txt"} {
		themes, statements := corpus(f, file)
		for _, theme := range themes {
			for _, sql := range statements[theme] {
				f.Add(sql)
			}
		}
	}
	outside := f.TempDir()
	const secret = "CANARY-of-a-file"
	for _, name := range []string{"a.csv", "a.json", "a.txt"} {
		mustWrite(f, filepath.Join(outside, name), secret+"\n")
	}
	_, c := open(f)
	datasets := []string{"people", "vault", "clients", "orders"}
	for _, name := range datasets {
		exec(f, c, "CREATE TABLE "+name+" (id BIGINT, name VARCHAR, age BIGINT); INSERT INTO "+name+" VALUES (1, 'CANARY-of-"+name+"', 7)")
	}
	g, env := NewGate(c), datasetsOf(datasets...)
	state := func(t *testing.T) string {
		rows, err := c.Rows(t.Context(), `SELECT concat_ws(chr(10), (SELECT list(concat(database_name, path) ORDER BY database_name)::VARCHAR FROM duckdb_databases()),
			(SELECT list(concat(table_name, estimated_size) ORDER BY table_name)::VARCHAR FROM duckdb_tables()),
			(SELECT list(view_name ORDER BY view_name)::VARCHAR FROM duckdb_views() WHERE NOT internal),
			(SELECT list(concat(name, value) ORDER BY name)::VARCHAR FROM duckdb_settings()))`)
		if err != nil {
			t.Fatal(err)
		}
		return rows[0][0].(string)
	}
	var before string
	f.Fuzz(func(t *testing.T, sql string) {
		if before == "" {
			before = state(t)
		}
		sql = strings.ReplaceAll(sql, "OUTSIDE", outside)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		checked, err := g.Check(ctx, sql, env)
		if err != nil {
			switch code := lake.CodeOf(err); code {
			case lake.CodeSQLRefused, lake.CodeSQLInvalid, lake.CodeDatasetNotFound, lake.CodeTooLarge, lake.CodeDeadline, lake.CodeCancelled:
			default:
				t.Errorf("%q: %v (%s)", sql, err, code)
			}
			return
		}
		if checked.SQL == "" {
			return
		}
		text := runBounded(ctx, c, checked.SQL)
		if strings.Contains(text, secret) && !strings.Contains(sql, "CANARY") {
			t.Errorf("%q reads a file: %s", sql, text)
		}
		for _, name := range datasets {
			named := slices.ContainsFunc(checked.Datasets, func(n lake.Name) bool { return n.Dataset == name })
			if strings.Contains(text, "CANARY-of-"+name) && !named && !strings.Contains(sql, "CANARY") {
				t.Errorf("%q reads %s and names %v: %s", sql, name, checked.Datasets, text)
			}
		}
		if after := state(t); after != before {
			t.Errorf("%q changes something:\n%s\n%s", sql, before, after)
		}
		if files, err := os.ReadDir(outside); err != nil || len(files) != 3 {
			t.Errorf("%q: the folder outside has %v, %v", sql, files, err)
		}
	})
}

// runBounded gives the texts of a query's first rows, or its error.
func runBounded(ctx context.Context, c *Conn, sql string) string {
	s, err := c.Query(ctx, sql, Params{})
	if err != nil {
		return err.Error()
	}
	defer s.Close()
	var out strings.Builder
	for range 3 {
		rec, err := s.Next(ctx)
		if err != nil {
			return out.String() + err.Error()
		}
		for _, col := range rec.Columns() {
			for i := range min(col.Len(), 100) {
				out.WriteString(col.ValueStr(i))
				out.WriteByte('\n')
			}
		}
		rec.Release()
	}
	return out.String()
}
