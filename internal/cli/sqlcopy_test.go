package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCreateAndDropBySQL(t *testing.T) {
	lake := filepath.Join(t.TempDir(), "lake")
	sql := func(text string, more ...string) string {
		t.Helper()
		return ok(t, append([]string{"sql", text, "--data", lake}, more...)...)
	}
	refused(t, "not_found", "sql", "drop table people", "--data", lake)
	for _, step := range [][]string{ // the first makes the lake
		{"people is created\n", "create table people (id bigint primary key, name varchar not null, rate decimal(10,2))"},
		{"people is there already; nothing was created\n", "create table if not exists people (id bigint)"},
		{"people: 2 rows inserted in", "insert into people values (1, 'Ada', 40.5), (2, 'Grace', null)"},
		{"sales.rated is created with 1 row in", "create table sales.rated (primary key (id)) as select * from people where rate > ?", "--param", "7"},
		{`{"statement":"create","dataset":"copies","changed":true,"rows":2,"read_point":`, "create table copies as from people", "-o", "json"},
		{"copies is dropped\n", "drop table copies"},
		{"there is no copies; nothing was dropped\n", "drop table if exists copies"},
		{"id,name,rate\n1,Ada,40.50\n", "from sales.rated"},
	} {
		if got := sql(step[1], step[2:]...); !strings.HasPrefix(got, step[0]) {
			t.Errorf("%v says %q", step, got)
		}
	}
	refused(t, "dataset_exists", "sql", "create table people (id bigint)", "--data", lake)
	refused(t, "dataset_not_found", "sql", "drop table copies", "--data", lake)
	refused(t, "unsupported", "sql", "create table x (id interval)", "--data", lake)
	refused(t, "sql_refused", "sql", "create view x as select 1", "--data", lake)
	if got := sql("explain analyze select * from people", "-o", "table"); !strings.Contains(got, " rows scanned\n-> ") {
		t.Errorf("a plan as a table: %q", got)
	}
	// What .schema says can be run again.
	out := runWith(t.Context(), nil, ".schema people\n.schema sales.rated\n", "sql", "--data", lake)
	sql("drop table people")
	sql("drop table sales.rated")
	if again := runWith(t.Context(), nil, out.stdout, "sql", "--data", lake); again.code != 0 || again.stdout != "people is created\nsales.rated is created\n" {
		t.Errorf("%q: %+v", out.stdout, again)
	}
}

func TestCopy(t *testing.T) {
	lake, dir := filepath.Join(t.TempDir(), "lake"), t.TempDir()
	url, _ := served(t, lake)
	sql := func(text string, more ...string) string {
		t.Helper()
		return ok(t, append([]string{"sql", text, "--server", url}, more...)...)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	sql("create table t (id bigint primary key, big hugeint, v varchar, tags varchar[], made timestamp)")
	sql(`insert into t values (1, 99999999999999999999999999999999999999, 'a"b,c', ['x', null], '2024-01-02 03:04:05.123456'), (2, null, '', [], null), (3, -1, null, null, null)`)
	whole := sql("from t order by id", "-o", "ndjson")

	// What is written comes back the same, in each format.
	for _, file := range []string{"a.csv", "a.csv.gz", "a.json", "a.json.gz", "a.ndjson", "a.parquet", "a.arrow"} {
		if got := sql("copy t to '" + in(file) + "'"); !strings.HasPrefix(got, "3 rows copied to "+in(file)) {
			t.Errorf("%s: %q", file, got)
		}
		sql("create table back as from t limit 0")
		if got := sql("copy back from '" + in(file) + "'"); !strings.HasPrefix(got, "3 rows copied from ") {
			t.Errorf("%s: %q", file, got)
		}
		if got := sql("from back order by id", "-o", "ndjson"); got != whole {
			t.Errorf("%s: %s, want %s", file, got, whole)
		}
		sql("drop table back")
	}

	// A part, an empty answer, another format than the name says.
	sql("copy (select id, v from t where id < ? order by id) to '"+in("part.txt")+"' (format csv, header)", "--param", "3")
	if text, err := os.ReadFile(in("part.txt")); err != nil || string(text) != "id,v\n1,\"a\"\"b,c\"\n2,\"\"\n" {
		t.Errorf("%q, %v", text, err)
	}
	sql("copy (from t where false) to '" + in("none.json") + "'")
	if text, err := os.ReadFile(in("none.json")); err != nil || string(text) != "[\n]\n" {
		t.Errorf("%q, %v", text, err)
	}
	if got := sql("select id from t where id = 2", "--to", in("two.ndjson")); !strings.HasPrefix(got, "1 row written to ") {
		t.Errorf("--to says %q", got)
	}
	if text, err := os.ReadFile(in("two.ndjson")); err != nil || string(text) != "{\"id\":2}\n" {
		t.Errorf("%q, %v", text, err)
	}

	// What fails leaves the file that was there, and nothing beside it.
	refused(t, "sql_invalid", "sql", "copy (select error('no') from t) to '"+in("part.txt")+"' (format csv)", "--server", url)
	refused(t, "unavailable", "sql", "copy (select case when range = 3000000 then error('late') else 'x' end as a from range(4000000)) to '"+in("part.txt")+"' (format csv)", "--server", url)
	if text, err := os.ReadFile(in("part.txt")); err != nil || !strings.HasPrefix(string(text), "id,v\n1,") {
		t.Errorf("%.40q, %v", text, err)
	}
	if left, err := filepath.Glob(in("*.part")); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}

	// COPY FROM is all or nothing, and no key that is there.
	if out := run(t, nil, "sql", "copy t from '"+in("a.csv")+"'", "--server", url); out.code != 1 || !strings.Contains(out.stderr, "(key_conflict)") {
		t.Errorf("%+v", out) // where it takes long, its steps are said before
	}
	refused(t, "dataset_not_found", "sql", "copy nothing from '"+in("a.csv")+"'", "--server", url)
	refused(t, "unsupported", "sql", "copy t from '"+in("a.csv")+"' (delimiter ';')", "--server", url)
	if got := sql("from t order by id", "-o", "ndjson"); got != whole {
		t.Errorf("t is %s", got)
	}
	for _, args := range [][]string{
		{"sql", "copy t from '" + in("nothing.csv") + "'"}, {"sql", "copy t to '" + in("x.dat") + "'"}, {"sql", "copy t to '" + in("x.parquet.gz") + "'"},
		{"sql", "delete from t", "--to", in("x.csv")}, {"sql", "-", "--to", in("x.csv")},
	} {
		if out := run(t, nil, append(args, "--server", url)...); out.code != 2 {
			t.Errorf("%v: %+v", args, out)
		}
	}
}
