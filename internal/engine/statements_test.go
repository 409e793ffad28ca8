package engine_test

import (
	"context"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/sqlwrite"
)

// exec runs a statement.
func (o *opened) exec(sql string, change ...func(*engine.StatementRequest)) (engine.StatementResult, error) {
	o.t.Helper()
	s, err := sqlwrite.Parse(sql)
	if err != nil {
		return engine.StatementResult{}, err
	}
	if s == nil {
		o.t.Fatalf("%s: it changes no rows", sql)
	}
	r := engine.StatementRequest{SQL: sql, Statement: s}
	for _, c := range change {
		c(&r)
	}
	return o.Execute(context.Background(), r)
}

// did runs a statement that must change so many rows.
func (o *opened) did(rows int64, sql string, change ...func(*engine.StatementRequest)) engine.StatementResult {
	o.t.Helper()
	r, err := o.exec(sql, change...)
	if err != nil {
		o.t.Fatalf("%s: %v", sql, err)
	}
	if r.Rows != rows {
		o.t.Fatalf("%s: %d rows, want %d", sql, r.Rows, rows)
	}
	return r
}

// refuses runs a statement that must fail with a code, and changes nothing.
func (o *opened) refuses(code lake.Code, sql string, change ...func(*engine.StatementRequest)) error {
	o.t.Helper()
	r, err := o.exec(sql, change...)
	if err == nil || lake.CodeOf(err) != code {
		o.t.Fatalf("%s: %+v, %v, want %s", sql, r, err, code)
	}
	return err
}

func TestStatementsSmoke(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "a VARCHAR", "n INTEGER", "d DECIMAL(10,2)", "ts TIMESTAMP", "tz TIMESTAMPTZ", "u UUID", "b BLOB", "f DOUBLE", "l BIGINT[]", "s STRUCT(x BIGINT, y VARCHAR)", "m MAP(VARCHAR, BIGINT)", "tm TIME", "dt DATE", "bo BOOLEAN", "r FLOAT"))
	o.did(2, `insert into t (id, a, n, d, ts, tz, u, b, f, l, s, m, tm, dt, bo, r) values (1, 'x', 1.6, '1.234', '2020-01-01', '2020-01-01 00:00:00+02', 'b7b9a6c8-0000-4000-8000-000000000001', '\xAA'::blob, 1, [1,null], {'x': 1, 'y': 'z'}, map {'a': 1}, '12:00:00.000001', '2020-02-02', true, 1.5), (2, null, null, null,null,null,null,null,null,null,null,null,null,null,null,null)`)
	t.Log(o.rows("from t order by id"))
	o.did(2, "update t set n = n + 1, a = a || '!'")
	o.did(1, "update t x set n = u.k, d = 3 from (select 7 as k, 1 as i) u where x.id = u.i -- fine")
	t.Log(o.rows("select id, a, n, d from t order by id"))
	t.Log(o.refuses(lake.CodeKeyConflict, "insert into t (id) values (1)"))
	t.Log(o.refuses(lake.CodeKeyConflict, "insert into t (id) values (3), (3)"))
	t.Log(o.refuses(lake.CodeSQLInvalid, "update t set n = k from (values (1), (2)) u(k) where id = 1"))
	t.Log(o.refuses(lake.CodeSQLInvalid, "update t set n = unnest([1,2]) where id = 1"))
	t.Log(o.refuses(lake.CodeSQLInvalid, "insert into t (id) select 1, 2"))
	t.Log(o.refuses(lake.CodeRowsInvalid, "insert into t (id) values (null)"))
	t.Log(o.refuses(lake.CodeSQLInvalid, "insert into t (id) values ('x')"))
	o.did(1, "insert or ignore into t (id, a) values (3, 'first'), (3, 'second'), (1, 'no')")
	o.did(3, "insert into t (id, n) values (3, 30), (4, 40), (2, 20) on conflict (id) do update set n = excluded.n + coalesce(t.n, 100), a = 'u' || id")
	o.did(1, "insert into t (id, n) values (3, 30), (2, 20) on conflict (id) do update set n = n + 1 where t.n > 120")
	o.did(2, "insert or replace into t (id, n) values (3, 31), (5, 50)")
	t.Log(o.rows("select id, a, n, d from t order by id"))
	o.did(1, "delete from t using (values (3), (3), (9)) u(k) where id = k")
	o.did(4, "explain delete from t")
	o.did(0, "delete from t where id > 100")
	o.did(1, "with w as (select 4 as k) delete from t where id in (select k from w)")
	o.did(3, "insert into t (id, n) select id + 10, n from t")
	o.did(6, "delete from t")
	t.Log(o.rows("select count(*) from t"))
}
