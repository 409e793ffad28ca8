package icebergrest_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"tarn/internal/access"
	"tarn/internal/engine"
)

// TestPyIceberg: PyIceberg reads what tarn answers, fresh, changed, compacted and with
// position deletes, and what it writes is what tarn answers.
func TestPyIceberg(t *testing.T) {
	p := newPython(t, "pyiceberg, pyarrow")
	t.Run("version 2", func(t *testing.T) { pyicebergWrites(t, p.of(t)) })
	t.Run("version 3", func(t *testing.T) { pyicebergReads(t, p.of(t)) })
}

// pyicebergReads: PyIceberg reads tables with deletion vectors, and writes none.
func pyicebergReads(t *testing.T, p *python) {
	l := filled(t, func(s *engine.Settings) { s.CompactDeadShare, s.IcebergFormatVersion = 0.9, 3 })
	p.run("import pyarrow as pa; cat = pyiceberg(%q)", l.uri)
	for _, step := range []struct {
		when string
		do   func()
	}{
		{"fresh", func() {}},
		{"with a deletion vector", func() { l.change("d", engine.OpDelete, `{"id":1}`) }},
		{"with another in its place", func() { l.change("d", engine.OpUpsert, `{"id":2,"v":"B"}`, `{"id":4,"v":null}`) }},
		{"rewritten", func() { l.change("d", engine.OpDelete, `{"id":3}`) }},
	} {
		step.do()
		got := strings.ReplaceAll(strings.Join(p.texts(`out = rows_of(cat.load_table("main.d"))`), " "), ", ", ",")
		if want := strings.Join(l.rows("select id, v from d order by '[' || id || ','"), " "); got != want {
			t.Fatalf("%s:\n got %s\nwant %s", step.when, got, want)
		}
	}
	if _, err := p.try(`t = cat.load_table("main.d"); t.append(pa.Table.from_pylist([{"id": 9, "v": "x"}], schema=t.schema().as_arrow()))`); err == nil || !strings.Contains(err.Error(), "table version: 3") {
		t.Errorf("it writes: %v", err)
	}
	l.whole()
}

func pyicebergWrites(t *testing.T, p *python) {
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
	for _, version := range []int{2, 3} {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) { duckdbWrites(t, p.of(t), version) })
	}
}

func duckdbWrites(t *testing.T, p *python, version int) {
	l := filled(t, func(s *engine.Settings) { s.CompactDeadShare, s.IcebergFormatVersion = 0.9, version })
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
	// DuckDB knows no identifier fields: columns change, and the key stays.
	for _, sql := range []string{"ALTER TABLE lake.main.d ADD COLUMN w INTEGER", "ALTER TABLE lake.main.d RENAME COLUMN v TO name", "ALTER TABLE lake.main.d DROP COLUMN w"} {
		attach()
		p.run("con.execute(%q)", sql)
	}
	attach()
	p.run(`con.execute("MERGE INTO lake.main.d t USING (SELECT 30 AS id, 'm' AS v UNION ALL SELECT 31, 'n') s ON t.id = s.id WHEN MATCHED THEN UPDATE SET name = s.v WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v)")`)
	l.want("select id, name from d order by id", `[3,"X"]`, `[10,"TEN!"]`, `[20,"twenty"]`, `[30,"m"]`, `[31,"n"]`)
	if d := l.described("d", 5); fmt.Sprint(d.PrimaryKey, d.Columns) != "[id] [{id BIGINT false} {name VARCHAR true}]" {
		t.Errorf("%v %v", d.PrimaryKey, d.Columns)
	}
	p.run(`con.execute("TRUNCATE lake.main.d")`)
	l.described("d", 0)
	p.run(`con.execute("DROP TABLE lake.main.made")`)
	l.expect("GET", "/namespaces/main/tables/made", "", "", 404, "")
	l.whole()
}
