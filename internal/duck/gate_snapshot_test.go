//go:build duckdb_arrow

package duck

import (
	"testing"

	"tarn/internal/lake"
)

// TestGateSnapshot: of a dataset that is read by a view the text names the view, but in
// the namespace main, where DuckDB finds the temporary one first. There is no AT.
func TestGateSnapshot(t *testing.T) {
	_, c := open(t)
	g, env := NewGate(c), datasetsOf("t", "u", "sales.Orders", "sales.t", "kept.k")
	env.Snapshot = func(n lake.Name) bool { return n.Dataset != "u" && n.Namespace != "kept" }
	for sql, gives := range map[string]string{
		"select t.id, main.t.id from main.t, u":             "select t.id, main.t.id from main.t, u",
		"select * from kept . \"K\", kept.k x, kept.k as y": `select * from kept . "K" AS "K" , kept.k x, kept.k as y`,
		"from sales.orders":                                 `from temp.main."_tarn_at_0" AS "orders" `,
		`/* sales.orders ü */ select 'sales.orders' from "sales" . "Orders" o, u, sales.orders as "p"(x) where o.id in (from sales.orders)`: `/* sales.orders ü */ select 'sales.orders' from temp.main."_tarn_at_0"  o, u, temp.main."_tarn_at_0"  as "p"(x) where o.id in (from temp.main."_tarn_at_0" AS "orders" )`,
		"with t as (from sales.t) from t, main.t, u":            `with t as (from temp.main."_tarn_at_0" AS "t" ) from t, main.t, u`,
		"from t, sales.t x":                                     `from t, temp.main."_tarn_at_1"  x`,
		"with orders as (select 1) from orders, sales.orders o": `with orders as (select 1) from orders, temp.main."_tarn_at_0"  o`,
		"table sales.orders":                                    `table temp.main."_tarn_at_0" AS "orders" `,
	} {
		got, err := g.Check(t.Context(), sql, env)
		if err != nil {
			// What cannot be cut is refused, and never read as it is.
			if lake.CodeOf(err) != lake.CodeSQLRefused && lake.CodeOf(err) != lake.CodeSQLInvalid || sql != "table sales.orders" {
				t.Errorf("%s: %v", sql, err)
			}
			continue
		}
		if got.SQL != gives || len(got.Instants) > 0 {
			t.Errorf("%s\n gives %s\n  want %s", sql, got.SQL, gives)
		}
	}
	for n, view := range []string{`temp.main."t"`, `temp.main."_tarn_at_1"`} {
		if got := SnapshotView([]lake.Name{name("t"), name("sales.t")}[n], n); got != view {
			t.Errorf("%s, want %s", got, view)
		}
	}
	for _, sql := range []string{"from t at (sequence => 1)", "from u at (timestamp => '2026-11-28')", "from t where id in (select id from sales.orders at (sequence => 1))"} {
		if got, err := g.Check(t.Context(), sql, env); lake.CodeOf(err) != lake.CodeSQLRefused {
			t.Errorf("%s: %+v, %v", sql, got, err)
		}
	}
}
