//go:build duckdb_arrow

package duck

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tarn/internal/lake"
)

// The gate and DuckDB's binder agree on what a name means: over random nests of
// WITH, a query binds where only those datasets exist that the gate names. (It
// can name more: DuckDB does not bind a CTE that nothing uses.)
func TestGateScopesAsTheBinder(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	q := &queries{rand.New(rand.NewPCG(seed, 0))}
	tables := []string{"a", "b", "c"}
	conns := make([]*Conn, 1<<len(tables)) // by the set of tables that exist
	for set := range conns {
		_, conns[set] = open(t, locked)
		for i, name := range tables {
			if set&(1<<i) != 0 {
				exec(t, conns[set], "CREATE TABLE "+name+" (n INTEGER)")
			}
		}
	}
	g, env := NewGate(conns[0]), datasetsOf(tables...)
	binds := func(set int, sql string) error {
		return conns[set].Exec(t.Context(), "EXPLAIN "+sql)
	}
	bound := 0
	for range 600 {
		sql := q.query(3)
		checked, err := g.Check(t.Context(), sql, env)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		named := 0
		for _, n := range checked.Datasets {
			named |= 1 << slices.Index(tables, n.Dataset)
		}
		if binds(len(conns)-1, sql) != nil {
			continue // not even with all of them: a recursion that DuckDB does not take
		}
		bound++
		if err := binds(named, sql); err != nil {
			t.Errorf("%s: with just %v: %v", sql, checked.Datasets, err)
		}
	}
	if bound < 300 {
		t.Errorf("only %d queries bind at all", bound)
	}
}

// queries makes random queries over the relations a, b and c with CTEs of the
// same names.
type queries struct{ *rand.Rand }

func (q *queries) name() string { return string("abcABC"[q.IntN(6)]) }

func (q *queries) query(depth int) string {
	var b strings.Builder
	if depth > 0 && q.IntN(2) == 0 {
		used := map[string]bool{}
		var ctes []string
		for range 1 + q.IntN(2) {
			name := q.name()
			if key := strings.ToLower(name); !used[key] {
				used[key] = true
				ctes = append(ctes, q.cte(name, depth-1))
			}
		}
		b.WriteString("WITH " + []string{"", "RECURSIVE "}[q.IntN(2)] + strings.Join(ctes, ", ") + " ")
	}
	fmt.Fprintf(&b, "SELECT 1 AS n FROM %s", q.relation(depth))
	if depth > 0 {
		switch q.IntN(5) {
		case 0:
			fmt.Fprintf(&b, " WHERE EXISTS (%s)", q.query(depth-1))
		case 1:
			fmt.Fprintf(&b, " UNION ALL (%s)", q.query(depth-1))
		case 2:
			fmt.Fprintf(&b, ", LATERAL (%s) l", q.query(depth-1))
		}
	}
	return b.String()
}

func (q *queries) cte(name string, depth int) string {
	if depth > 0 && q.IntN(3) == 0 {
		return fmt.Sprintf("%s(n) AS (%s UNION ALL %s)", name, "SELECT 1 FROM "+q.relation(depth-1), "SELECT 1 FROM "+q.relation(depth-1))
	}
	return fmt.Sprintf("%s AS (%s)", name, q.query(depth))
}

func (q *queries) relation(depth int) string {
	switch n := q.IntN(6); {
	case depth > 0 && n == 0:
		return "(" + q.query(depth-1) + ") x"
	case n == 1:
		return lake.DefaultNamespace + "." + q.name() + " x"
	case depth > 0 && n == 2:
		return q.name() + " y JOIN " + q.relation(depth-1) + " ON true"
	default:
		return q.name() + " z"
	}
}

// A CTE of another name hides no dataset: letters that fold to an ASCII one in
// Unicode are other letters to DuckDB.
func TestGateFoldsNamesAsDuckDBDoes(t *testing.T) {
	_, c := open(t)
	exec(t, c, "CREATE TABLE k AS SELECT 1 AS s")
	g, env := NewGate(c), datasetsOf("k")
	for sql, named := range map[string]int{
		"WITH \"\u212a\" AS (SELECT 42 AS s) SELECT * FROM k": 1,
		"WITH \"K\" AS (SELECT 42 AS s) SELECT * FROM k":      0,
		"WITH k AS (SELECT 42 AS s) SELECT * FROM K":          0,
		"WITH \"\u00c4\" AS (SELECT 42 AS s) SELECT * FROM k": 1,
	} {
		checked, err := g.Check(t.Context(), sql, env)
		if err != nil || len(checked.Datasets) != named {
			t.Errorf("%s names %v, %v; want %d", sql, checked.Datasets, err, named)
		}
		rows, err := c.Rows(t.Context(), sql)
		if err != nil || (rows[0][0].(int64) == 1) != (named == 1) {
			t.Errorf("%s gives %v, %v", sql, rows, err)
		}
	}
	if checked, err := g.Check(t.Context(), "SELECT * FROM \"\u212a\"", env); err == nil {
		t.Errorf("it is no dataset's name: %+v", checked)
	}
}
