//go:build duckdb_arrow

package duck

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"tarn/internal/lake"
)

// TestGateInstants: AT is taken out of the text, a view is named in its place, and what
// stands around it stays.
func TestGateInstants(t *testing.T) {
	_, c := open(t)
	g, env := NewGate(c), datasetsOf("t", "sales.Orders")
	now, then := lake.Instant{Dataset: name("t"), Sequence: 7}, lake.Instant{Dataset: name("sales.Orders"), Time: "2026-11-28 10:00:00"}
	for _, want := range []struct {
		sql, gives string
		datasets   int
		instants   []lake.Instant
	}{
		{"FROM t AT (SEQUENCE => 7)", `FROM temp.main."_tarn_at_0" AS "t"  `, 0, []lake.Instant{now}},
		{"select t.* from T at(version=>7) where 1=1", `select t.* from temp.main."_tarn_at_0" AS "T"   where 1=1`, 0, []lake.Instant{now}},
		{`/* "at (sequence" ü */ FROM "t" AS "a t"(x) AT /* ) */ ( SEQUENCE => 7::BIGINT ), t`, `/* "at (sequence" ü */ FROM temp.main."_tarn_at_0" AS "a t"(x)  , t`, 1, []lake.Instant{now}},
		{"select 'x at (sequence => 1)' from sales.orders o at (timestamp => timestamp '2026-11-28 10:00:00') join t at (sequence => 7) using (id), sales.orders p at (timestamp => '2026-11-28 10:00:00')",
			`select 'x at (sequence => 1)' from temp.main."_tarn_at_0" o   join temp.main."_tarn_at_1" AS "t"   using (id), temp.main."_tarn_at_0" p  `, 0, []lake.Instant{then, now}},
		{"EXPLAIN FROM t AT (SEQUENCE => 7)", `EXPLAIN  FROM temp.main."_tarn_at_0" AS "t"  `, 0, []lake.Instant{now}},
		{"with t as (from main.t at (sequence => 7)) from t", `with t as (from temp.main."_tarn_at_0" AS "t"  ) from t`, 0, []lake.Instant{now}},
	} {
		got, err := g.Check(t.Context(), want.sql, env)
		if err != nil || got.SQL != want.gives || len(got.Datasets) != want.datasets || !reflect.DeepEqual(got.Instants, want.instants) {
			t.Errorf("%s\n gives %s\n  want %s\n       %v %v, %v", want.sql, got.SQL, want.gives, got.Datasets, got.Instants, err)
		}
	}
	for sql, code := range map[string]lake.Code{
		"FROM t AT (SEQUENCE => -7)":                     lake.CodeSQLInvalid,
		"FROM t AT (SEQUENCE => 7.5)":                    lake.CodeSQLInvalid,
		"FROM t AT (SEQUENCE => NULL)":                   lake.CodeSQLRefused,
		"FROM t AT (SEQUENCE => 99999999999999999999)":   lake.CodeSQLInvalid,
		"FROM t AT (SEQUENCE => 7::DATE)":                lake.CodeSQLRefused,
		"FROM t AT (SEQUENCE => 7::BIGINT::INTEGER)":     lake.CodeSQLRefused,
		"FROM t AT (TIMESTAMP => '2026-11-28'::DATE)":    lake.CodeSQLRefused,
		"FROM t AT (SEQUENCE => TRY_CAST(7 AS BIGINT))":  lake.CodeSQLRefused,
		"FROM t AT (TIMESTAMP => CAST('1' AS VARCHAR))":  lake.CodeSQLRefused,
		"FROM t AT (TIMESTAMP => '')":                    lake.CodeSQLInvalid,
		"FROM t AT (SNAPSHOT => 7)":                      lake.CodeSQLInvalid,
		"FROM t AT (SEQUENCE => 7) TABLESAMPLE 10%":      lake.CodeSQLRefused,
		"FROM 'a.csv' AT (SEQUENCE => 7)":                lake.CodeSQLRefused,
		"FROM u AT (SEQUENCE => 7)":                      lake.CodeDatasetNotFound,
		"FROM lake.main.t AT (SEQUENCE => 7)":            lake.CodeSQLRefused,
		"WITH t AS (SELECT 1) FROM t AT (SEQUENCE => 7)": lake.CodeSQLRefused,
		"SELECT at(sequence => 7)":                       lake.CodeSQLInvalid,
		"DESCRIBE t AT (SEQUENCE => 7)":                  lake.CodeSQLInvalid,
	} {
		got, err := g.Check(t.Context(), sql, env)
		if lake.CodeOf(err) != code {
			t.Errorf("%s: %+v, %v; want %s", sql, got, err, code)
		}
	}
}

// TestGatePlaces: the present with places is there for the one dataset that the caller of the
// gate says.
func TestGatePlaces(t *testing.T) {
	_, c := open(t)
	g, env := NewGate(c), datasetsOf("t", "sales.Orders")
	for _, placed := range []string{"t", "sales.orders", ""} {
		for _, of := range []string{"t", "sales.orders"} {
			if env.Placed = (lake.Name{}); placed != "" {
				env.Placed = name(placed)
			}
			got, err := g.Check(t.Context(), "FROM "+of+" AS z AT (VERSION => '"+lake.PlacedVersion+"')", env)
			switch {
			case of == placed && (err != nil || len(got.Instants) != 1 || !got.Instants[0].Placed || got.SQL != `FROM temp.main."_tarn_at_0" AS z  `):
				t.Errorf("%s: %+v, %v", of, got, err)
			case of != placed && lake.CodeOf(err) != lake.CodeSQLInvalid:
				t.Errorf("%s where %q is placed: %+v, %v", of, placed, got, err)
			}
		}
	}
}

// TestGateBoundsInstants: each takes work of the server.
func TestGateBoundsInstants(t *testing.T) {
	_, c := open(t)
	text := func(n int) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = fmt.Sprintf("FROM t AT (SEQUENCE => %d)", i)
		}
		return strings.Join(parts, " UNION ALL ")
	}
	if got, err := NewGate(c).Check(t.Context(), text(maxInstants), datasetsOf("t")); err != nil || len(got.Instants) != maxInstants {
		t.Errorf("%d, %v", len(got.Instants), err)
	}
	if _, err := NewGate(c).Check(t.Context(), text(maxInstants+1), datasetsOf("t")); lake.CodeOf(err) != lake.CodeTooLarge {
		t.Error(err)
	}
}

func name(s string) lake.Name {
	n, err := lake.ParseName(s)
	if err != nil {
		panic(err)
	}
	return n
}

// TestGateInstantsAreJudgedAgain: a text that comes out otherwise than it was judged is
// refused.
func TestGateInstantsAreJudgedAgain(t *testing.T) {
	_, c := open(t)
	g := NewGate(c)
	judged := func() object {
		tree, err := g.parse(t.Context(), statementText{query: "FROM t AT (VERSION => 7), u"})
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	at := []instantAt{{n: 0, location: 5, name: "t"}}
	if _, err := g.withInstants(t.Context(), statementText{query: "FROM t AT (VERSION => 7), u"}, judged(), at); err != nil {
		t.Error(err)
	}
	for _, sql := range []string{"FROM t AT (VERSION => 7), secret", "FROM t AT (VERSION => 7) LIMIT 1", "FROM t x AT (VERSION => 7), u"} {
		if got, err := g.withInstants(t.Context(), statementText{query: sql}, judged(), at); lake.CodeOf(err) != lake.CodeSQLRefused {
			t.Errorf("%s: %s, %v", sql, got, err)
		}
	}
}
