//go:build duckdb_arrow

package duck

import (
	"context"
	"fmt"
	"testing"
)

func TestAStatementIsKept(t *testing.T) {
	ctx := context.Background()
	_, c := open(t)
	exec := func(sql string) {
		t.Helper()
		if err := c.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE t (a BIGINT, b VARCHAR); INSERT INTO t VALUES (1, 'x')")
	st, err := c.Prepare(ctx, "SELECT a, b FROM t WHERE a >= ? ORDER BY a")
	if err != nil {
		t.Fatal(err)
	}
	want := func(rows string, from int) {
		t.Helper()
		got, err := st.Rows(ctx, from)
		if err != nil || fmt.Sprint(got) != rows {
			t.Fatalf("%v, %v; want %s", got, err, rows)
		}
	}
	want("[[1 x]]", 1)
	exec("INSERT INTO t VALUES (2, 'y')")
	want("[[1 x] [2 y]]", 1)
	want("[[2 y]]", 2)
	exec("CREATE OR REPLACE TABLE t AS SELECT 7::BIGINT AS a, 'z' AS b") // it is planned anew
	want("[[7 z]]", 0)
	exec("DROP TABLE t")
	if _, err := st.Rows(ctx, 0); err == nil {
		t.Fatal("the table is gone")
	}
	exec("CREATE TABLE t AS SELECT 8::BIGINT AS a, 'q' AS b")
	want("[[8 q]]", 0)

	begin, err := c.Prepare(ctx, "BEGIN TRANSACTION READ ONLY")
	if err != nil {
		t.Fatal(err)
	}
	end, err := c.Prepare(ctx, "ROLLBACK")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := begin.Exec(ctx); err != nil {
			t.Fatal(err)
		}
		want("[[8 q]]", 0)
		if err := begin.Exec(ctx); err == nil {
			t.Fatal("a transaction within a transaction")
		}
		if err := end.Exec(ctx); err != nil {
			t.Fatal(err)
		}
	}
	s, err := st.Query(ctx, Params{Positional: []any{0}})
	if err != nil {
		t.Fatal(err)
	}
	st.Close() // with its stream
	st.Close()
	if _, err := s.Next(ctx); err == nil {
		t.Fatal("its statement is closed")
	}
	if _, err := c.Prepare(ctx, "SELECT nothing FROM t"); err == nil {
		t.Fatal("there is no such column")
	}
	exec("SELECT 1")
}

// The trap of a kept plan, and the way around it. Should a version of DuckDB plan
// anew when rows come or go, the first half fails and Statement may say less.
func TestAKeptPlanIsOfItsTime(t *testing.T) {
	ctx := context.Background()
	_, c := open(t)
	exec(t, c, "CREATE TABLE t (a BIGINT, b VARCHAR)")
	exec(t, c, "INSERT INTO t VALUES (1, 'x')")
	prepared := func(sql string) func() string {
		st, err := c.Prepare(ctx, sql)
		if err != nil {
			t.Fatal(err)
		}
		return func() string {
			rows, err := st.Rows(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(rows)
		}
	}
	compared := prepared("SELECT a FROM t WHERE a = 5")
	called := prepared("SELECT a, b FROM t WHERE list_contains([5, 6]::BIGINT[], a)")
	text := prepared("SELECT a, b FROM t WHERE list_contains(['y']::VARCHAR[], b)")
	none := prepared("SELECT a, b FROM t WHERE list_contains([]::VARCHAR[], b)")
	compared()
	called()
	text()
	none()
	exec(t, c, "INSERT INTO t VALUES (5, 'y')")
	exec(t, c, "DELETE FROM t WHERE a = 1")
	exec(t, c, "CHECKPOINT")
	if got := compared(); got != "[]" {
		t.Errorf("a kept comparison is planned anew: %s", got)
	}
	exec(t, c, "INSERT INTO t VALUES (1, 'x')")
	for _, got := range []string{called(), text()} {
		if got != "[[5 y]]" {
			t.Errorf("got %s", got)
		}
	}
	if got := none(); got != "[]" {
		t.Errorf("got %s", got)
	}
}
