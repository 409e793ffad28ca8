package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/sqlddl"
)

// define runs a statement that makes or drops a dataset.
func (o *opened) define(sql string, change ...func(*engine.DefinitionRequest)) (engine.DefinitionResult, error) {
	s, err := sqlddl.Parse(sql)
	if err == nil && s == nil {
		err = fmt.Errorf("%s: it makes and drops nothing", sql)
	}
	if err != nil {
		return engine.DefinitionResult{}, err
	}
	r := engine.DefinitionRequest{SQL: sql, Statement: s}
	for _, c := range change {
		c(&r)
	}
	return o.Define(context.Background(), r)
}

// defined runs one that must do something, or with changed false nothing.
func (o *opened) defined(changed bool, sql string, change ...func(*engine.DefinitionRequest)) engine.DefinitionResult {
	o.t.Helper()
	r, err := o.define(sql, change...)
	if err != nil || r.Changed != changed {
		o.t.Fatalf("%s: %+v, %v", sql, r, err)
	}
	return r
}

// undefined runs one that must fail with a code, and makes and drops nothing.
func (o *opened) undefined(code lake.Code, sql string, change ...func(*engine.DefinitionRequest)) error {
	o.t.Helper()
	before := o.rows("SHOW TABLES")
	_, err := o.define(sql, change...)
	if err == nil || lake.CodeOf(err) != code {
		o.t.Fatalf("%s: %v (%s), want %s", sql, err, lake.CodeOf(err), code)
	}
	if after := o.rows("SHOW TABLES"); !slices.Equal(before, after) {
		o.t.Fatalf("%s: %v became %v", sql, before, after)
	}
	return err
}

func TestCreateAndDropTable(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir)
	r := o.defined(true, "create table sales.t (id bigint primary key, n int not null, d decimal(5,1), s struct(a int, b varchar[]))")
	if r.Statement != "create" || r.Dataset != "sales.t" || r.ReadPoint == nil || r.ETag == "" || r.Rows != 0 {
		t.Errorf("%+v", r)
	}
	if d, err := o.Describe(t.Context(), name(t, "sales.t")); err != nil || d.ETag != r.ETag || fmt.Sprint(d.Columns, d.PrimaryKey) !=
		"[{id BIGINT false} {n INTEGER false} {d DECIMAL(5,1) true} {s STRUCT(a INTEGER, b VARCHAR[]) true}] [id]" {
		t.Errorf("%+v, %v", d, err)
	}
	o.did(1, "insert into sales.t values (1, 2, 3.5, {'a': 1, 'b': ['x']})")
	o.refuses(lake.CodeRowsInvalid, "insert into sales.t (id) values (2)")
	o.defined(false, "create table if not exists Sales.T (other varchar)")
	o.undefined(lake.CodeDatasetExists, "create table sales.t (id bigint)")
	o.undefined(lake.CodeInvalidRequest, "create table u (id double primary key)")
	o.undefined(lake.CodeInvalidRequest, "create table u (id int, ID int)")
	o.defined(false, "drop table if exists nothing")
	o.undefined(lake.CodeDatasetNotFound, "drop table nothing")
	o.defined(true, "drop table sales.t")
	o.undefined(lake.CodeDatasetNotFound, "drop table sales.t")
	o.defined(true, "create table sales.t (id varchar)")
	o.want("from sales.t")
	o.close()
	o = openLake(t, dir)
	defer o.close()
	o.want("show tables", `["sales.t"]`)
	o.verifyClean()
}

// CREATE TABLE AS makes a dataset of the types that the query has, as those of a lake,
// with all rows or not at all.
func TestCreateTableAs(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	o.change("t", engine.OpUpsert, `{"id":1,"v":"a"}`, `{"id":2,"v":null}`, `{"id":3,"v":"c"}`)

	r := o.defined(true, "create table copy as select * from t order by id desc")
	if r.Rows != 3 || r.ReadPoint == nil || r.ReadPoint.Sequence != 0 {
		t.Errorf("%+v", r)
	}
	o.want("from copy", `[3,"c"]`, `[2,null]`, `[1,"a"]`) // without a key: in the order of the query
	o.defined(true, "create table ns.keyed (k, v, primary key (k)) as select id + ?, v from t where id <> $2", func(r *engine.DefinitionRequest) { r.Params = []byte(`[10, 2]`) })
	o.want("from ns.keyed order by k", `[11,"a"]`, `[13,"c"]`)
	o.did(1, "update ns.keyed set v = 'z' where k = 11")
	o.compact("ns.keyed")
	o.want("from ns.keyed order by k", `[11,"z"]`, `[13,"c"]`)
	if r := o.defined(true, "create table empty (id, primary key (id)) as select id from t limit 0"); r.Rows != 0 {
		t.Errorf("%+v", r)
	}
	o.did(1, "insert into empty values (7)")

	o.defined(true, `create table types as select 1::tinyint as a, 2::integer as b, 3::ubigint as c, 4::hugeint as d, sum(id) as e, 1.5::decimal(4,2) as f, 'x' as g`+
		`, date '2024-01-02' as h, timestamp_s '2024-01-02 03:04:05' as i, timestamptz '2024-01-02 03:04:05+00' as j, [1, null] as k, {'p': 1, 'Q': 'r'} as l, map {'m': 2.5} as m, null as n, uuid '0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000' as o, true as p, 'b'::blob as q, 1::float as r, time '03:04:05' as s from t`)
	d, err := o.Describe(t.Context(), name(t, "types"))
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, c := range d.Columns {
		types = append(types, c.Name+" "+c.Type)
	}
	want := []string{"a BIGINT", "b INTEGER", "c DECIMAL(20,0)", "d DECIMAL(38,0)", "e DECIMAL(38,0)", "f DECIMAL(4,2)", "g VARCHAR", "h DATE", "i TIMESTAMP", "j TIMESTAMP WITH TIME ZONE",
		"k INTEGER[]", `l STRUCT(p INTEGER, "Q" VARCHAR)`, "m MAP(VARCHAR, DECIMAL(2,1))", "n INTEGER", "o UUID", "p BOOLEAN", "q BLOB", "r FLOAT", "s TIME"}
	if !slices.Equal(types, want) {
		t.Errorf("types %q, want %q", types, want)
	}
	o.want("from types", `[1,2,"3","4","6","1.50","x","2024-01-02","2024-01-02T03:04:05","2024-01-02T03:04:05Z",[1,null],{"p":1,"Q":"r"},[["m","2.5"]],null,"0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000",true,"Yg==",1,"03:04:05"]`)

	for sql, code := range map[string]lake.Code{
		"create table t as select 1 as a":                                             lake.CodeDatasetExists,
		"create table x as select * from nothing":                                     lake.CodeDatasetNotFound,
		"create table x as select * from x":                                           lake.CodeDatasetNotFound,
		"create table x as select * from read_csv('/etc/passwd')":                     lake.CodeSQLRefused,
		"create table x as select id, id from t":                                      lake.CodeSQLInvalid,
		"create table x (a) as select id, v from t":                                   lake.CodeSQLInvalid,
		"create table x (primary key (nope)) as select id from t":                     lake.CodeSQLInvalid,
		"create table x (primary key (v)) as select v from t":                         lake.CodeRowsInvalid,
		"create table x (primary key (a)) as select id % 2 as a from t":               lake.CodeKeyConflict,
		"create table x as select interval 1 day as a":                                lake.CodeUnsupported,
		"create table x as select 'a'::enum('a') as a":                                lake.CodeUnsupported,
		"create table x as select json('{}') as a":                                    lake.CodeUnsupported,
		"create table x as select time_ns '03:04:05' as a":                            lake.CodeUnsupported,
		"create table x as select timestamp_ns '2024-01-01 00:00:00.000000001' as a":  lake.CodeRowsInvalid,
		"create table x as select error('no') as a":                                   lake.CodeSQLInvalid,
		"create table x as select case when id = 3 then error('no') end as a from t":  lake.CodeSQLInvalid,
		"create table x as select id as _tarn_id from t":                              lake.CodeSQLInvalid,
		"create table x as values (1); drop table t":                                  lake.CodeSQLRefused,
		"create table x as select a from (values (?)) v(a)":                           lake.CodeInvalidRequest,
		"create table x as select 1 as a union all select 1 as a, 2 as b":             lake.CodeSQLInvalid,
		"create table x as select 170141183460469231731687303715884105727::hugeint a": lake.CodeSQLInvalid,
	} {
		o.undefined(code, sql)
	}
	o.defined(false, "create table if not exists t as select error('it is not even asked')")
	o.verifyClean()
	if q := o.Queries(); len(q) > 0 {
		t.Errorf("still listed: %+v", q)
	}
}

// Many rows go through a file and a job, not through memory.
func TestCreateTableAsOfManyRows(t *testing.T) {
	o := openLake(t, t.TempDir(), processes)
	defer o.close()
	const n = 400_000
	r := o.defined(true, fmt.Sprintf("create table many (primary key (id)) as select (range * 7919) %% %d as id, repeat('x', 200) || range as v from range(%d)", n, n), func(r *engine.DefinitionRequest) { r.Timeout = engine.Defaults(0).MaxQueryTimeout })
	if r.Rows != n {
		t.Errorf("%+v", r)
	}
	o.want("select count(*), count(distinct id), min(id), max(id), sum(length(v)) > 80000000 from many", fmt.Sprintf("[%d,%d,0,%d,true]", n, n, n-1))
	o.verifyClean()
}

// Sent again with the same key, a statement is done once, also after a restart.
func TestDefinitionsAgain(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir)
	o.create("t", schema(t, nil, "id BIGINT"))
	o.change("t", engine.OpUpsert, `{"id":1}`)
	with := func(key string) func(*engine.DefinitionRequest) {
		return func(r *engine.DefinitionRequest) {
			r.Idempotency = engine.Idempotency{Key: key, Scope: "POST\n/query/sql"}
		}
	}
	for _, sql := range []string{"create table a (id bigint primary key)", "create table b as from t", "drop table t"} {
		first := o.defined(true, sql, with(sql))
		second := o.defined(true, sql, with(sql))
		o.close()
		o = openLake(t, dir)
		third := o.defined(true, sql, with(sql))
		for _, again := range []engine.DefinitionResult{second, third} {
			if text := func(r engine.DefinitionResult) string { b, _ := json.Marshal(r); return string(b) + r.ETag }; text(again) != text(first) {
				t.Errorf("%s: %s, then %s", sql, text(first), text(again))
			}
		}
		o.undefined(lake.CodeIdempotencyReused, "create table c (id bigint)", with(sql))
	}
	o.want("show tables", `["a"]`, `["b"]`)
	o.want("from b", `[1]`)
	o.close()
}

// A statement that is cancelled, or whose time is up, makes nothing and leaves no file.
func TestCreateTableAsIsCancelled(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir)
	defer o.close()
	done := make(chan error, 1)
	go func() {
		_, err := o.define("create table x as select count(*) as n from range(1000000000) a, range(1000000000) b where a.range % 7 = b.range % 11",
			func(r *engine.DefinitionRequest) { r.ID, r.Timeout = "q1", engine.Defaults(0).MaxQueryTimeout })
		done <- err
	}()
	for len(o.Queries()) == 0 {
		select {
		case err := <-done:
			t.Fatal(err)
		default:
		}
	}
	if _, err := o.CancelQuery("q1"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; lake.CodeOf(err) != lake.CodeCancelled {
		t.Errorf("%v", err)
	}
	err := o.undefined(lake.CodeDeadline, "create table x as select count(*) as n from range(1000000000) a, range(1000000000) b where a.range % 7 = b.range % 11", func(r *engine.DefinitionRequest) { r.Timeout = 50e6 })
	if !strings.Contains(err.Error(), "50ms") {
		t.Errorf("%v", err)
	}
	o.cleanScratch(dir)
	o.verifyClean()
}

// SUMMARIZE gives the same cold, with pending changes, hot and compacted.
func TestSummarize(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR", "d DECIMAL(10,2)", "made DATE", "ok BOOLEAN"))
	line := func(i int, v string) string {
		return fmt.Sprintf(`{"id":%d,"v":%s,"d":"%d.25","made":"2024-01-%02d","ok":%v}`, i, v, i, i%28+1, i%3 == 0)
	}
	var lines []string
	for i := range 40 {
		lines = append(lines, line(i, fmt.Sprintf(`"v%d"`, i%5)))
	}
	o.change("t", engine.OpUpsert, lines...)
	o.compact("t")
	o.change("t", engine.OpUpsert, line(3, "null"), line(99, `"zz"`))
	o.change("t", engine.OpDelete, `{"id":0}`)
	p := newPlain(t)
	p.exec("CREATE TABLE t (id BIGINT, v VARCHAR, d DECIMAL(10,2), made DATE, ok BOOLEAN)")
	for i := range 40 {
		v := fmt.Sprintf("'v%d'", i%5)
		if i == 3 {
			v = "NULL"
		}
		if i > 0 {
			p.exec("INSERT INTO t VALUES (%d, %s, %d.25, '2024-01-%02d', %v)", i, v, i, i%28+1, i%3 == 0)
		}
	}
	p.exec("INSERT INTO t VALUES (99, 'zz', 99.25, '2024-01-16', true)")
	const exact = `select column_name, column_type, min, max, approx_unique, avg, count, null_percentage from (summarize t)`
	want := p.answer(exact)
	for _, phase := range []string{"pending", "hot", "hot and changed", "compacted", "cold"} {
		switch phase {
		case "hot":
			o.pin("t")
		case "hot and changed":
			o.change("t", engine.OpUpsert, line(3, `"x"`))
			o.change("t", engine.OpUpsert, line(3, "null"))
		case "compacted":
			o.compact("t")
		case "cold":
			o.evict("t")
		}
		got, err := o.answer(exact)
		if err != nil {
			t.Fatalf("%s: %v", phase, err)
		}
		if d := got.differs(want, true); d != "" {
			t.Errorf("%s: %s", phase, d)
		}
		if all := o.rows("summarize t"); len(all) != 5 {
			t.Errorf("%s: %v", phase, all)
		}
	}
	if got := o.bytes("summarize select d from t where id > 90", rows.OutCSV); !strings.Contains(string(got), "d,\"DECIMAL(10,2)\",99.25,99.25,1,") {
		t.Errorf("%s", got)
	}
}

// EXPLAIN ANALYZE runs the query, under its deadline.
func TestExplainAnalyze(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT"))
	o.change("t", engine.OpUpsert, `{"id":1}`, `{"id":2}`)
	o.compact("t")
	got := o.rows("explain analyze select count(*) from t where id > 1")
	if len(got) != 1 || !strings.Contains(got[0], "rows scanned") || !strings.Contains(got[0], "Dataset: t") || strings.Contains(got[0], ".parquet") {
		t.Errorf("%q", got)
	}
	_, err := o.Query(t.Context(), engine.QueryRequest{SQL: "explain analyze select count(*) from range(1000000000) a, range(1000000000) b where a.range % 7 = b.range % 11", Format: rows.OutJSON, Timeout: 50e6})
	if lake.CodeOf(err) != lake.CodeDeadline {
		t.Errorf("%v", err)
	}
}
