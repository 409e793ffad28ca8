//go:build duckdb_arrow

package duck

import (
	"fmt"
	"strings"
	"testing"

	"tarn/internal/sqltext"
)

// firstOf says what was found in a text.
func firstOf(t *testing.T, sql string) string {
	t.Helper()
	f := checkedAnywhere(t, sql).First
	if f == nil {
		return "none"
	}
	out := fmt.Sprintf("%d of %s by %s", f.Rows, f.Table.Alias, f.Column)
	if f.Descending {
		out += " down"
	}
	if f.Where < f.WhereEnd {
		out += " where [" + sql[f.Where:f.WhereEnd] + "] of " + strings.Join(f.Conditions, ",")
	} else {
		out += " behind [" + sql[:f.Where] + "]"
	}
	if f.From != nil {
		out += fmt.Sprint(" from ", *f.From)
	}
	if f.Star {
		out += "; all"
	}
	if len(f.Items) > 0 {
		out += "; " + strings.Join(f.Items, ",")
	}
	return out
}

func TestWhatFirstRowsAQueryAsksFor(t *testing.T) {
	for sql, want := range map[string]string{
		"select * from t where a = 1 order by id limit 10":                                                                   "10 of t by id where [a = 1] of a; all",
		"select * from t order by ID desc limit 10 offset 5":                                                                 "15 of t by id down behind [select * from t]; all",
		"select x.b, upper(x.C) u from n.t as x where (x.a in (1, 2)) or x.d order by x.id, x.b limit 3;":                    "3 of x by id where [(x.a in (1, 2)) or x.d] of a,d; b,c",
		"select * from t where id > 7 and a < 'where order by' order by id limit 1":                                          "1 of t by id where [id > 7 and a < 'where order by'] of a,id from 7; all",
		"select * from t where 9 >= id and a order by id desc limit 1":                                                       "1 of t by id down where [9 >= id and a] of a,id; all",
		"select * from t where id <= 9 and a order by id desc limit 1":                                                       "1 of t by id down where [id <= 9 and a] of a,id from 9; all",
		"select * from t where id <= 9 and a order by id limit 1":                                                            "1 of t by id where [id <= 9 and a] of a,id; all",
		"select * from \"a b\" x -- where\nwhere /* order by */ a is not distinct from ? -- z\n order by id limit 2":         "2 of x by id where [a is not distinct from ?] of a; all",
		"select * exclude (c) from t where a = 'é' and b = 'ü' order by id limit 2":                                          "2 of t by id where [a = 'é' and b = 'ü'] of a,b; all",
		"select * from t where a between 1 and 2 and case when b then c else d::DATE > '2020-01-01' end order by id limit 2": "2 of t by id where [a between 1 and 2 and case when b then c else d::DATE > '2020-01-01' end] of a,b,c,d; all",
	} {
		if got := firstOf(t, sql); got != want {
			t.Errorf("%s\nfound %s\nwant  %s", sql, got, want)
		}
	}
	for _, sql := range []string{
		"select * from t order by id", "select * from t limit 3", "select * from t order by id limit 0", "select * from t order by id limit 10001",
		"select * from t order by id limit 10000 offset 1", "select * from t order by id limit 3 %", "select * from t order by id limit 1 + 1",
		"select * from t order by id limit ?", "select * from t order by id limit 3 offset ?", "select * from t order by id limit null",
		"select *, ? from t order by id limit 3", "select * from t order by id, ? limit 3", "select * from t order by 1 limit 3", "select * from t order by all limit 3",
		"select * from t order by id + 1 limit 3", "select * from t order by id collate nocase limit 3", "select * from t order by s.x.id limit 3",
		"select a as id from t order by id limit 3", "select a as ID, b from t order by t.id limit 3", "select s.id from t order by id limit 3",
		"select * replace (a as id) from t order by id limit 3", "select * rename (a as b) from t order by id limit 3", "select * like 'a%' from t order by id limit 3",
		"select columns(*) from t order by id limit 3", "select u.* from t order by id limit 3",
		"select a as b from t where b = 1 order by id limit 3", "select unnest(a) from t order by id limit 3", "select count(*) from t order by id limit 3",
		"select row_number() over () from t order by id limit 3", "select (select 1) from t order by id limit 3", "select list_transform(a, lambda x: x) from t order by id limit 3",
		"select * from t order by id, row_number() over () limit 3", "select * from t where a = (select 1) order by id limit 3",
		"select * from t where a in (select 1) order by id limit 3", "select * from t where id = 3 order by id limit 3", "select * from t where a and 3 = id order by id limit 3",
		"select * from t where id in (1, 2) order by id limit 3", "select distinct * from t order by id limit 3", "select distinct on (a) * from t order by id limit 3",
		"select a from t group by a order by id limit 3", "select a from t group by all order by id limit 3", "select * from t having a order by id limit 3",
		"select * from t qualify a order by id limit 3", "with t as (select 1 as id) select * from t order by id limit 3", "select * from (select 1 as id) t order by id limit 3",
		"select * from t, u order by id limit 3", "select * from t join u using (id) order by id limit 3", "select * from t as t(a, b) order by id limit 3",
		"select * from t union all select * from u order by id limit 3", "select * from range(3) t(id) order by id limit 3", "values (1) order by 1 limit 3",
		"from t order by id limit 3", "(select * from t order by id limit 3)", "explain select * from t order by id limit 3",
		"select random() from t order by id limit 3", "select * from t where a < today() order by id limit 3", "select * from t at (sequence => 3) order by id limit 3",
		"select * from t where u.a = 1 order by id limit 3", "select * from t where a.b.c = 1 order by id limit 3",
	} {
		if got := firstOf(t, sql); got != "none" {
			t.Errorf("%s\nfound %s", sql, got)
		}
	}
}

// Texts that differ in values alone have one form.
func TestFormOfAText(t *testing.T) {
	form := func(sql string) string {
		tokens, err := sqltext.Tokens(sql)
		if err != nil {
			t.Fatal(err)
		}
		return formOf(tokens)
	}
	a := form("select * from t where a = 'x' and b > 10.5 order by id limit 10")
	if b := form("SELECT * FROM t WHERE a = 'it''s'  and b > 7 -- more\norder by id limit 100"); b != strings.Replace(a, "? . ? ", "? ", 1) {
		t.Errorf("%s\n%s", a, b)
	}
	if b := form("select * from t where c = 'x' and b > 10.5 order by id limit 10"); a == b {
		t.Error("one form for other columns: " + b)
	}
}
