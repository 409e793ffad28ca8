package icebergrest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tarn/internal/access"
	"tarn/internal/engine"
	"tarn/internal/rows"
)

// TestPyIceberg: PyIceberg reads what tarn answers, fresh, changed, compacted and with
// position deletes, and what it writes is what tarn answers.
func TestPyIceberg(t *testing.T) {
	p := newPython(t, "pyiceberg, pyarrow")
	l := filled(t, func(s *engine.Settings) { s.CompactDeadShare = 0.9 })
	p.run("import pyarrow as pa; cat = pyiceberg(%q)", l.uri)
	p.want(`[["main"]]`, "out = cat.list_namespaces()")
	p.want(`[["main", "d"]]`, `out = cat.list_tables("main")`)
	p.want(`[true, false]`, `out = [cat.table_exists("main.d"), cat.table_exists("main.e")]`)
	same := func(when string) {
		t.Helper()
		got := strings.ReplaceAll(strings.Join(p.texts(`out = rows_of(cat.load_table("main.d"))`), " "), ", ", ",")
		if want := strings.Join(l.rows("select id, v from d order by '[' || id || ','"), " "); got != want {
			t.Fatalf("%s:\n got %s\nwant %s", when, got, want)
		}
	}
	same("fresh")
	l.change("d", engine.OpUpsert, `{"id":2,"v":"B"}`, `{"id":4,"v":null}`)
	l.change("d", engine.OpDelete, `{"id":1}`)
	same("changed")
	if deletes, err := filepath.Glob(filepath.Join(l.dir, "base/main/d-*/data/deletes-*.parquet")); err != nil || len(deletes) == 0 {
		t.Fatalf("no position deletes: %v", err)
	}
	p.run(`t = cat.load_table("main.d")
def rows(*all): return pa.Table.from_pylist(list(all), schema=t.schema().as_arrow())
t.append(rows({"id": 10, "v": "ten"}, {"id": 11, "v": "eleven"}))`)
	same("appended to")
	l.want("select id, v from d order by id", `[2,"B"]`, `[3,"c"]`, `[4,null]`, `[10,"ten"]`, `[11,"eleven"]`)
	p.run(`t = cat.load_table("main.d"); t.delete("id = 3")`)
	same("deleted from")
	l.want("select id from d where id < 5 order by id", `[2]`, `[4]`)
	p.run(`t = cat.load_table("main.d"); t.upsert(rows({"id": 10, "v": "TEN"}, {"id": 12, "v": "twelve"}))`)
	same("upserted to")
	l.want("select v from d where id >= 10 order by id", `["TEN"]`, `["eleven"]`, `["twelve"]`)
	l.change("d", engine.OpUpsert, `{"id":12,"v":"mine"}`)
	l.change("d", engine.OpDelete, `{"id":11}`)
	l.compact("d")
	same("folded")
	if _, err := p.try(`t = cat.load_table("main.d"); t.append(rows({"id": 2, "v": "double"}))`); err == nil || !strings.Contains(err.Error(), "in the table already") {
		t.Errorf("a double key: %v", err)
	}
	same("refused")
	p.run(`t = cat.load_table("main.d")`)
	l.change("d", engine.OpUpsert, `{"id":10,"v":"changed"}`)
	if _, err := p.try(`t.overwrite(rows({"id": 1, "v": "one"}))`); err == nil {
		t.Error("a change was lost")
	}
	l.want("select v from d where id = 10", `["changed"]`)
	p.run(`t = cat.load_table("main.d"); t.overwrite(rows({"id": 1, "v": "one"}))`)
	same("overwritten")
	l.want("select id, v from d", `[1,"one"]`)
	p.run(`from pyiceberg.schema import Schema
from pyiceberg.types import *
s = Schema(NestedField(1, "k", StringType(), required=True), NestedField(2, "l", ListType(3, LongType(), element_required=False), required=False), identifier_field_ids=[1])
n = cat.create_table("other.made", s)
n.append(pa.Table.from_pylist([{"k": "x", "l": [1, None]}], schema=n.schema().as_arrow()))
cat.rename_table("other.made", "main.made")`)
	l.want("select * from made", `["x",[1,null]]`)
	p.run(`t = cat.load_table("main.d")
with t.update_schema() as u:
    u.add_column("w", IntegerType())
    u.rename_column("v", "name")
with t.transaction() as tx:
    tx.set_properties(owner="me")
    tx.append(pa.Table.from_pylist([{"id": 30, "name": "thirty", "w": 1}], schema=t.schema().as_arrow()))
with t.update_schema() as u:
    u.update_column("w", LongType())
    u.make_column_optional("name")`)
	l.want("select id, name, w from d order by id", `[1,"one",null]`, `[30,"thirty",1]`)
	p.want(`["me", "long"]`, `t = cat.load_table("main.d"); out = [t.properties["owner"], str(t.schema().find_field("w").field_type)]`)
	if _, err := p.try(`with t.update_schema(allow_incompatible_changes=True) as u:
    u.add_column("x", StringType(), required=True)`); err == nil {
		t.Error("a required column")
	}
	l.change("d", engine.OpUpsert, `{"id":1,"name":"ONE","w":9}`)
	p.run(`t = cat.load_table("main.d")
with t.update_schema() as u: u.delete_column("w")`)
	l.want("select * from d order by id", `[1,"ONE"]`, `[30,"thirty"]`)
	p.want(`["[1, \"ONE\"]", "[30, \"thirty\"]"]`, `out = rows_of(cat.load_table("main.d"))`)
	p.run(`cat.drop_table("main.made")`)
	p.want(`false`, `out = cat.table_exists("main.made")`)
	l.whole()
}

// TestPyIcebergWithTokens: a token by hand, and one for a credential.
func TestPyIcebergWithTokens(t *testing.T) {
	p := newPython(t, "pyiceberg, pyarrow")
	token := access.NewToken()
	l := newLab(t, fmt.Sprintf("tokens:\n- id: shop\n  sha256: %x\n  grants: {shop.*: read}\n", access.HashOf(token)))
	l.create("shop.items", []string{"id"}, "id BIGINT")
	l.create("hidden", []string{"id"}, "id BIGINT")
	l.change("shop.items", engine.OpUpsert, `{"id":1}`)
	for _, how := range []string{"token=" + fmt.Sprintf("%q", token), "credential=" + fmt.Sprintf("%q", "me:"+token)} {
		p.run("cat = pyiceberg(%q, %s)", l.uri, how)
		p.want(`["[1]"]`, `out = rows_of(cat.load_table("shop.items"))`)
		p.want(`[]`, `out = cat.list_tables("main")`)
		if _, err := p.try(`cat.load_table("main.hidden")`); err == nil || !strings.Contains(err.Error(), "NoSuchTableError") {
			t.Errorf("a hidden dataset: %v", err)
		}
	}
	if _, err := p.try("pyiceberg(%q, token='tarn_wrong').list_namespaces()", l.uri); err == nil {
		t.Error("a wrong token")
	}
}

// TestDuckDB: DuckDB's iceberg extension reads what tarn answers, inserts, and makes
// tables.
func TestDuckDB(t *testing.T) {
	p := newPython(t, "duckdb, duckdb_extension_iceberg, duckdb_extension_avro, duckdb_extension_httpfs")
	l := filled(t, func(s *engine.Settings) { s.CompactDeadShare = 0.9 })
	attach := func() { t.Helper(); p.run("con = duckdb_attached(%q)", l.uri) }
	attach()
	same := func(when string) {
		t.Helper()
		attach() // it keeps what it has loaded
		got := string(p.run(`out = con.sql("SELECT id, v FROM lake.main.d ORDER BY id").fetchall()`))
		if want := "[" + strings.Join(l.rows(allOfD), ",") + "]"; strings.ReplaceAll(got, ", ", ",") != want {
			t.Fatalf("%s:\n got %s\nwant %s", when, got, want)
		}
	}
	same("fresh")
	l.change("d", engine.OpUpsert, `{"id":2,"v":"B"}`, `{"id":4,"v":null}`)
	l.change("d", engine.OpDelete, `{"id":1}`)
	same("changed, with position deletes")
	p.run(`con.execute("INSERT INTO lake.main.d VALUES (10, 'ten'), (11, NULL)")`)
	same("inserted into")
	l.want(allOfD, `[2,"B"]`, `[3,"c"]`, `[4,null]`, `[10,"ten"]`, `[11,null]`)
	l.change("d", engine.OpUpsert, `{"id":10,"v":"TEN"}`)
	l.compact("d")
	same("folded")
	if _, err := p.try(`con.execute("INSERT INTO lake.main.d VALUES (2, 'double')")`); err == nil || !strings.Contains(err.Error(), "in the table already") {
		t.Errorf("a double key: %v", err)
	}
	same("refused")
	// DuckDB deletes and updates by position deletes.
	p.run(`con.execute("DELETE FROM lake.main.d WHERE id = 2")`)
	same("deleted from")
	l.want(allOfD, `[3,"c"]`, `[4,null]`, `[10,"TEN"]`, `[11,null]`)
	p.run(`con.execute("UPDATE lake.main.d SET v = v || '!' WHERE id IN (3, 10)")`)
	same("updated")
	l.want(allOfD, `[3,"c!"]`, `[4,null]`, `[10,"TEN!"]`, `[11,null]`)
	p.run(`con.execute("BEGIN"); con.execute("INSERT INTO lake.main.d VALUES (20, 'twenty'), (21, 'gone')"); con.execute("DELETE FROM lake.main.d WHERE id IN (4, 21)"); con.execute("COMMIT")`)
	same("changed in a transaction")
	l.want(allOfD, `[3,"c!"]`, `[10,"TEN!"]`, `[11,null]`, `[20,"twenty"]`)
	if d := l.described("d", 4); d.Rows != 4 {
		t.Errorf("%+v", d)
	}
	p.run(`con.execute("DELETE FROM lake.main.d WHERE id = 11")`)
	l.change("d", engine.OpUpsert, `{"id":3,"v":"mine"}`)
	same("deleted from and changed")
	l.compact("d")
	same("folded again")
	l.want(allOfD, `[3,"mine"]`, `[10,"TEN!"]`, `[20,"twenty"]`)
	attach()
	p.run(`con.execute("CREATE TABLE lake.main.made AS SELECT i AS a, 'x' || i AS b FROM range(1000) r(i)")`)
	l.want("select count(*), sum(a), max(b) from made", `[1000,"499500","x999"]`)
	l.change("made", engine.OpUpsert, `{"a":1000,"b":"more"}`)
	l.compact("made")
	attach()
	p.want(`[[1001]]`, `out = con.sql("SELECT count(*) FROM lake.main.made").fetchall()`)
	n := l.versions()
	p.run(`con.execute("BEGIN"); con.execute("DELETE FROM lake.main.made WHERE a < 1000"); con.execute("INSERT INTO lake.main.d VALUES (30, 'thirty')"); con.execute("UPDATE lake.main.d SET v = 'X' WHERE id = 3"); con.execute("COMMIT")`)
	if now := l.versions(); now != n+1 {
		t.Errorf("a transaction over two tables made %d catalog versions", now-n)
	}
	l.want("select * from made", `[1000,"more"]`)
	l.want(allOfD, `[3,"X"]`, `[10,"TEN!"]`, `[20,"twenty"]`, `[30,"thirty"]`)
	attach()
	if _, err := p.try(`con.execute("BEGIN"); con.execute("DELETE FROM lake.main.made"); con.execute("INSERT INTO lake.main.d VALUES (3, 'double')"); con.execute("COMMIT")`); err == nil || !strings.Contains(err.Error(), "in the table already") {
		t.Errorf("a double key in a transaction: %v", err)
	}
	l.want("select * from made", `[1000,"more"]`)
	attach()
	p.run(`con.execute("DROP TABLE lake.main.made")`)
	l.expect("GET", "/namespaces/main/tables/made", "", "", 404, "")
	l.whole()
}

// realSets are the files of the real-input test, with their keys.
var realSets = []struct {
	dataset, file string
	key           []string
}{
	{"airlines", "airlines.csv", []string{"carrier"}}, {"airports", "airports.csv", []string{"faa"}}, {"planes", "planes.csv", []string{"tailnum"}},
	{"weather", "weather.csv", []string{"origin", "time_hour"}},
	{"flights", "flights.csv", []string{"year", "month", "day", "carrier", "flight", "origin", "dest"}},
	{"flights_log", "flights.csv", nil}, {"flights3m", "flights-3m.parquet", nil},
}

// TestRealQueries: the queries of the real-input test, by DuckDB over the catalog: the
// answers are tarn's own, fresh, after changes, and after compaction.
func TestRealQueries(t *testing.T) {
	dir := os.Getenv("TARN_REAL_DATA")
	if testing.Short() || dir == "" {
		t.Skip("-short, or TARN_REAL_DATA is not set: scripts/get-real-data DIR gets the files")
	}
	p := newPython(t, "duckdb, pyarrow, duckdb_extension_iceberg, duckdb_extension_avro, duckdb_extension_httpfs")
	l := newLab(t, "", func(s *engine.Settings) { s.CompactDeadShare = 0.3 })
	for _, s := range realSets {
		l.importFile(s.dataset, filepath.Join(dir, s.file), s.key)
	}
	text, err := os.ReadFile("../engine/testdata/real/queries.sql")
	if err != nil {
		t.Fatal(err)
	}
	var queries []string
	for _, part := range strings.Split(string(text), "\n\n")[1:] {
		_, sql, _ := strings.Cut(strings.TrimSpace(part), "\n")
		queries = append(queries, strings.TrimSuffix(sql, ";"))
	}
	if len(queries) < 25 {
		t.Fatalf("%d queries", len(queries))
	}
	p.run(`import decimal, pyarrow
def plain(x):
    if isinstance(x, (float, decimal.Decimal)): return "%%.9g" %% x
    if isinstance(x, list): return [plain(y) for y in x]
    if isinstance(x, dict): return {k: plain(y) for k, y in x.items()}
    if isinstance(x, int) and not isinstance(x, bool): return "%%.9g" %% x
    return str(x)
def bag(t): return sorted(str([plain(v) for v in row.values()]) for row in t.to_pylist())
def differs(path, sql):
    mine = con.sql(sql).to_arrow_table()
    with pyarrow.ipc.open_stream(path) as f: theirs = f.read_all()
    a, b = bag(mine), bag(theirs)
    if len(a) != len(b): return "%%d rows, and tarn has %%d" %% (len(a), len(b))
    return next(("%%s, and tarn has %%s" %% d for d in zip(a, b) if d[0] != d[1]), "")`)
	check := func(when string) {
		t.Helper()
		p.run("con = duckdb_attached(%q); con.execute('USE lake.main')", l.uri)
		for i, sql := range queries {
			path := filepath.Join(t.TempDir(), "answer")
			if err := os.WriteFile(path, l.arrow(sql), 0o600); err != nil {
				t.Fatal(err)
			}
			asText, err := json.Marshal(sql)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(p.run("out = differs(%q, %s)", path, asText)); got != `""` {
				t.Errorf("%s: query %d: %s\n%s", when, i+1, got, sql)
			}
		}
	}
	check("fresh")
	for _, sql := range []string{
		"UPDATE flights SET dep_delay = NULL WHERE hash(flight, day) % 100 = 0",
		"DELETE FROM flights WHERE hash(flight, month) % 200 = 1",
		"UPDATE airports SET alt = alt + 1 WHERE lat > 40",
		"DELETE FROM planes WHERE year < '1980'",
		"INSERT INTO flights_log SELECT * FROM flights WHERE day = 3",
	} {
		l.execute(sql)
	}
	check("changed")
	for _, s := range realSets {
		l.compact(s.dataset)
	}
	check("compacted")
	l.whole()
}

func (l *lab) arrow(sql string) []byte {
	l.t.Helper()
	a, err := l.Query(l.t.Context(), engine.QueryRequest{SQL: sql, Format: rows.OutArrow})
	if err != nil {
		l.t.Fatalf("%s: %v", sql, err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		l.t.Fatalf("%s: %v", sql, err)
	}
	return b
}

// TestSpark: Spark with Iceberg's runtime reads what tarn answers, and inserts, merges,
// updates, deletes, makes and drops tables.
func TestSpark(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: half a minute")
	}
	p := newPython(t, "pyspark")
	jars, err := filepath.Glob(filepath.Join(os.Getenv("TARN_ENGINES"), "jars", "iceberg-spark-runtime-*.jar"))
	if err != nil || len(jars) != 1 {
		t.Skip("there is no Iceberg runtime for Spark: scripts/get-engines DIR spark")
	}
	l := filled(t, func(s *engine.Settings) { s.CompactDeadShare = 0.9 })
	p.run(`spark = spark_attached(%q, %q)
def q(sql): return [list(r) for r in spark.sql(sql).collect()]`, l.uri, jars[0])
	defer p.run("spark.stop()")
	same := func(when string) {
		t.Helper()
		p.run("spark.sql('REFRESH TABLE lake.main.d')")
		got := strings.ReplaceAll(string(p.run(`out = q("SELECT id, v FROM lake.main.d ORDER BY id")`)), ", ", ",")
		if want := "[" + strings.Join(l.rows(allOfD), ",") + "]"; got != want {
			t.Fatalf("%s:\n got %s\nwant %s", when, got, want)
		}
	}
	p.want(`[["main"]]`, `out = q("SHOW NAMESPACES IN lake")`)
	same("fresh")
	l.change("d", engine.OpUpsert, `{"id":2,"v":"B"}`, `{"id":4,"v":null}`)
	l.change("d", engine.OpDelete, `{"id":1}`)
	same("changed, with position deletes")
	p.run(`q("INSERT INTO lake.main.d VALUES (10, 'ten'), (11, 'eleven')")`)
	same("inserted into")
	l.want(allOfD, `[2,"B"]`, `[3,"c"]`, `[4,null]`, `[10,"ten"]`, `[11,"eleven"]`)
	p.run(`q("UPDATE lake.main.d SET v = 'TEN' WHERE id = 10")`)
	same("updated")
	p.run(`q("DELETE FROM lake.main.d WHERE id = 3")`)
	same("deleted from")
	p.run(`q("MERGE INTO lake.main.d t USING (SELECT 11L AS id, 'merged' AS v UNION ALL SELECT 12L, 'new') s ON t.id = s.id WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *")`)
	same("merged into")
	l.want(allOfD, `[2,"B"]`, `[4,null]`, `[10,"TEN"]`, `[11,"merged"]`, `[12,"new"]`)
	l.change("d", engine.OpUpsert, `{"id":12,"v":"mine"}`)
	l.compact("d")
	same("changed and folded")
	for _, c := range []struct{ sql, reason string }{
		{"INSERT INTO lake.main.d VALUES (2, 'double')", "in the table already"},
		{"ALTER TABLE lake.main.d ADD COLUMN w STRING COMMENT 'says'", "comments"},
		{"ALTER TABLE lake.main.d ADD COLUMN w STRING FIRST", "another order"},
		{"ALTER TABLE lake.main.d DROP COLUMN id", "identifier field"},
		{"ALTER TABLE lake.main.d SET TBLPROPERTIES ('write.data.path' = 'file:///tmp')", "write.data.path"},
		{"ALTER TABLE lake.main.d CREATE TAG t", "the ref"},
		{"ALTER TABLE lake.main.d ADD PARTITION FIELD v", "partition"},
		{"ALTER TABLE lake.main.d WRITE ORDERED BY v", "sort"},
		{"CREATE TABLE lake.main.parted (a BIGINT, b STRING) PARTITIONED BY (b)", "partition"},
	} {
		if _, err := p.try("q(%q)", c.sql); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v", c.sql, err)
		}
	}
	p.want(`[[5]]`, `out = q("SELECT count(*) FROM lake.main.d")`)
	if snapshots := string(p.run(`out = q("SELECT count(*) > 1 FROM lake.main.d.snapshots")`)); snapshots != "[[true]]" {
		t.Errorf("snapshots: %s", snapshots)
	}
	p.run(`q("CREATE TABLE lake.fresh.made AS SELECT id AS a, 'x' || id AS b, current_timestamp() AS at FROM range(1000)")`)
	l.want("select count(*), sum(a), max(b) from fresh.made", `[1000,"499500","x999"]`)
	p.run(`q("CREATE TABLE lake.fresh.empty (a BIGINT NOT NULL, b STRING)")`)
	p.run(`q("INSERT INTO lake.fresh.empty VALUES (1, 'x')")`)
	l.want("select * from fresh.empty", `[1,"x"]`)
	p.run(`q("ALTER TABLE lake.fresh.made RENAME TO fresh.renamed")`)
	p.want(`["empty", "renamed"]`, `out = sorted(r[1] for r in q("SHOW TABLES IN lake.fresh"))`)
	p.run(`q("INSERT OVERWRITE lake.fresh.empty VALUES (2, 'y')")`)
	l.want("select * from fresh.empty", `[2,"y"]`)
	p.run(`q("DROP TABLE lake.fresh.renamed")`)
	// Merge-on-read: rows are marked dead where they are, and again in the same files,
	// where Spark writes a delete file anew with the positions of the one before.
	p.run(`q("ALTER TABLE lake.main.d SET TBLPROPERTIES ('write.delete.mode' = 'merge-on-read', 'write.update.mode' = 'merge-on-read', 'write.merge.mode' = 'merge-on-read')")`)
	for _, step := range []struct {
		sql  string
		want []string
	}{
		{"DELETE FROM lake.main.d WHERE id = 4", []string{`[2,"B"]`, `[10,"TEN"]`, `[11,"merged"]`, `[12,"mine"]`}},
		{"UPDATE lake.main.d SET v = 'two' WHERE id = 2", []string{`[2,"two"]`, `[10,"TEN"]`, `[11,"merged"]`, `[12,"mine"]`}},
		{"MERGE INTO lake.main.d t USING (SELECT 10L AS id, 'x' AS v UNION ALL SELECT 13L, 'new') s ON t.id = s.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT *",
			[]string{`[2,"two"]`, `[11,"merged"]`, `[12,"mine"]`, `[13,"new"]`}},
	} {
		p.run("q(%q)", step.sql)
		l.want(allOfD, step.want...)
		same(step.sql)
		l.described("d", int64(len(step.want)))
		p.want(`[[true]]`, `out = q("SELECT count(*) > 0 FROM lake.main.d.delete_files")`)
	}
	p.run(`q("ALTER TABLE lake.main.d ADD COLUMN w INT")`)
	p.run(`q("ALTER TABLE lake.main.d RENAME COLUMN v TO name")`)
	p.run(`q("INSERT INTO lake.main.d VALUES (20, 'twenty', 7)")`)
	p.run(`q("ALTER TABLE lake.main.d ALTER COLUMN w TYPE BIGINT")`)
	p.run(`q("DELETE FROM lake.main.d WHERE id = 12")`)
	want := []string{`[2,"two",null]`, `[11,"merged",null]`, `[13,"new",null]`, `[20,"twenty",7]`}
	l.want("select id, name, w from d order by id", want...)
	l.change("d", engine.OpUpsert, `{"id":13,"name":"NEW","w":5000000000}`)
	l.compact("d")
	l.want("select id, name, w from d order by id", `[2,"two",null]`, `[11,"merged",null]`, `[13,"NEW",5000000000]`, `[20,"twenty",7]`)
	p.run(`q("REFRESH TABLE lake.main.d")`)
	p.want(`[[2, "two", null], [11, "merged", null], [13, "NEW", 5000000000], [20, "twenty", 7]]`, `out = q("SELECT id, name, w FROM lake.main.d ORDER BY id")`)
	p.run(`q("ALTER TABLE lake.main.d DROP COLUMN w")`)
	l.want("select * from d where id = 20", `[20,"twenty"]`)
	l.whole()
}
