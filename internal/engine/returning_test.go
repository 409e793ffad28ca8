package engine_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/sqlwrite"
)

// gave runs a statement with RETURNING, and gives its rows as NDJSON, sorted.
func (o *opened) gave(sql string, change ...func(*engine.StatementRequest)) (engine.StatementResult, []string) {
	o.t.Helper()
	r, text := o.gaveAs(rows.OutNDJSON, sql, change...)
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if text == "" {
		lines = nil
	}
	slices.Sort(lines)
	return r, lines
}

func (o *opened) gaveAs(out rows.OutFormat, sql string, change ...func(*engine.StatementRequest)) (engine.StatementResult, string) {
	o.t.Helper()
	r, err := o.exec(sql, append(change, func(r *engine.StatementRequest) { r.Out = out })...)
	if err != nil {
		o.t.Fatalf("%s: %v", sql, err)
	}
	if r.Returned == nil {
		o.t.Fatalf("%s: nothing is returned", sql)
	}
	text, err := io.ReadAll(r.Returned.Body)
	if err != nil {
		o.t.Fatalf("%s: %v", sql, err)
	}
	if n := r.Returned.Tail().RowCount; n != r.Rows || r.Returned.ETag != r.ETag {
		o.t.Errorf("%s: %d rows came, of %+v, at %s", sql, n, r, r.Returned.ETag)
	}
	if err := r.Returned.Body.Close(); err != nil {
		o.t.Error(err)
	}
	return r, string(text)
}

// TestReturning: each statement gives its rows as they are afterwards, DELETE as they
// were; what cannot be returned changes nothing.
func TestReturning(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "a VARCHAR", "n DECIMAL(5,1)"))
	o.create("log", schema(t, nil, "id BIGINT", "a VARCHAR"))
	gives := func(sql string, want ...string) {
		t.Helper()
		if _, got := o.gave(sql); !slices.Equal(got, want) {
			t.Errorf("%s gave\n%v, want\n%v", sql, got, want)
		}
	}
	gives("insert into t values (1, 'x', 1.26), (2, null, default) returning *", `{"id":1,"a":"x","n":"1.3"}`, `{"id":2,"a":null,"n":null}`)
	gives("insert into t (id) values (3) returning id + 1, t.id as \"the id\", upper(a) u, id", `{"(id + 1)":4,"the id":3,"u":null,"id":3}`)
	gives("insert into t as me select 3, 'no', 0 on conflict do nothing returning me.*")
	gives("insert into t select 3 + i, 'new', 2 from range(2) r(i) on conflict (id) do update set a = excluded.a || '!' returning id, a", `{"id":3,"a":"new!"}`, `{"id":4,"a":"new"}`)
	gives("insert or replace into t (id, a) values (4, 'y') returning t.*", `{"id":4,"a":"y","n":"2.0"}`)
	gives("update t set n = coalesce(n, 0) + 1, a = 'z' where id < 3 returning *", `{"id":1,"a":"z","n":"2.3"}`, `{"id":2,"a":"z","n":"1.0"}`)
	gives("update t as x set n = u.k from (values (1, 9), (2, 8)) u(i, k) where x.id = u.i and u.k > 8 returning x.n, x.id", `{"n":"9.0","id":1}`)
	gives("with w as (select 7 as seven) update t set a = 'q' where id = 1 returning (select seven from w), (select count(*) from t where a = 'q') as before",
		`{"(SELECT seven FROM w)":7,"before":0}`)
	gives("delete from t using (values (1), (1), (9)) u(k) where id = k returning id, a, n", `{"id":1,"a":"q","n":"9.0"}`)
	gives("insert into log values (1, 'x'), (1, 'x') returning log.a || id as both", `{"both":"x1"}`, `{"both":"x1"}`)
	if _, got := o.gave("update t set n = ? where id = ? returning ?::int + id as sum, n", func(r *engine.StatementRequest) { r.Params = []byte(`[4.5, 2, 40]`) }); got[0] != `{"sum":42,"n":"4.5"}` {
		t.Error(got)
	}
	gives("delete from t returning id", `{"id":2}`, `{"id":3}`, `{"id":4}`)
	o.verifyClean()
}

// TestReturningRefused: nothing is changed, and the error says what is wrong.
func TestReturningRefused(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "a VARCHAR"))
	o.did(2, "insert into t values (1, 'x'), (2, 'y')")
	before := o.rows("SELECT * FROM t ORDER BY id")
	for sql, code := range map[string]lake.Code{
		"delete from t returning nope":                                       lake.CodeSQLInvalid,
		"update t set a = k from (values ('z')) u(k) returning flag":         lake.CodeSQLInvalid,
		"update t set id = -id returning _op_, tarn_op, op, flg":             lake.CodeSQLInvalid,
		"delete from t returning u.a":                                        lake.CodeSQLInvalid,
		"delete from t using t u where u.id = t.id returning u.a":            lake.CodeSQLInvalid,
		"delete from t returning count(*)":                                   lake.CodeSQLInvalid,
		"delete from t returning a from":                                     lake.CodeSQLInvalid,
		"delete from t returning a union select 1":                           lake.CodeSQLInvalid,
		"delete from t returning a, a order by 1":                            lake.CodeSQLInvalid,
		"delete from t returning a limit 1":                                  lake.CodeSQLInvalid,
		"delete from t returning a where false":                              lake.CodeSQLInvalid,
		"delete from t returning id / 0, error('no')":                        lake.CodeSQLInvalid,
		"delete from t returning a::int":                                     lake.CodeSQLInvalid,
		"delete from t returning (select content from read_text('/etc/os'))": lake.CodeSQLRefused,
		"delete from t returning current_setting('memory_limit')":            lake.CodeSQLRefused,
		"delete from t returning rowid":                                      lake.CodeSQLRefused,
		"delete from t returning (select max(x) from nope)":                  lake.CodeDatasetNotFound,
		"delete from t returning ?":                                          lake.CodeInvalidRequest,
		"insert into t values (1, 'x') returning *":                          lake.CodeKeyConflict,
		"update t set a = k from (values (1), (2)) u(k) returning *":         lake.CodeSQLInvalid,
	} {
		err := o.refuses(code, sql)
		if strings.Contains(err.Error(), "_tarn") || strings.Contains(err.Error(), "LINE ") {
			t.Errorf("%s: the error tells how it is read: %v", sql, err)
		}
		if got := o.rows("SELECT * FROM t ORDER BY id"); !slices.Equal(got, before) {
			t.Fatalf("%s changed rows: %v", sql, got)
		}
	}
	if r := o.did(2, "explain delete from t returning *"); r.Returned != nil {
		t.Error("EXPLAIN returns rows")
	}
}

// TestReturningOnce: with an Idempotency-Key the second time says what was done, and has
// no rows.
func TestReturningOnce(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "n BIGINT"))
	first, _ := o.gave("insert into t values (1, 1), (2, 2) returning *", keyed("k"))
	again := o.did(2, "insert into t values (1, 1), (2, 2) returning *", keyed("k"))
	if again.Returned != nil || again.ETag != first.ETag || again.ReadPoint != first.ReadPoint {
		t.Errorf("%+v, and before %+v", again, first)
	}
	none, got := o.gave("delete from t where n > 5 returning *")
	if none.Sequence != first.Sequence || got != nil {
		t.Errorf("%+v, %v", none, got)
	}
}

// TestReturningMany: rows beyond what is kept in memory go through scratch, which is
// empty afterwards; in every format all of them come.
func TestReturningMany(t *testing.T) {
	for _, spool := range []int64{8 << 20, 40_000} { // the change itself in memory, and by a job
		dir := t.TempDir()
		o := openLake(t, dir, func(o *engine.Options) { o.Settings.SpoolBytes = spool })
		o.create("t", schema(t, []string{"id"}, "id BIGINT", "s VARCHAR"))
		const n = 20_000
		_, got := o.gave(fmt.Sprintf("insert into t select i, 'row ' || i from range(%d) r(i) returning s, id", n))
		if len(got) != n || got[0] != `{"s":"row 0","id":0}` {
			t.Fatalf("%d rows, the first %s", len(got), got[0])
		}
		for _, out := range []rows.OutFormat{rows.OutJSON, rows.OutCSV, rows.OutArrow} {
			r, text := o.gaveAs(out, "update t set s = s || '!' returning s || '?', *")
			if r.Rows != n || len(text) < n*20 {
				t.Errorf("%+v, %d bytes", r, len(text))
			}
			if out == rows.OutJSON && (!strings.Contains(text, `"row_count":20000,`) || !strings.Contains(text, fmt.Sprintf(`"changed":{"statement":"update","rows":20000,"sequence":%d,`, r.Sequence))) {
				t.Errorf("its end is %s", text[len(text)-300:])
			}
			if out == rows.OutCSV && strings.Count(text, "\r\n") != n+1 {
				t.Errorf("%d lines", strings.Count(text, "\r\n"))
			}
		}
		if _, err := o.exec("update t set s = s || '!' returning error('row ' || id)"); err == nil {
			t.Error("an error of RETURNING was passed over")
		}
		if got := o.rows("SELECT count(*) FROM t WHERE s = 'row ' || id || '!!!'"); got[0] != fmt.Sprintf("[%d]", n) {
			t.Error(got)
		}
		o.cleanScratch(dir)
		o.close()
	}
}

// TestManyRowsAreKnown: what makes several rows of one, in DuckDB or by a macro of its own,
// is refused in RETURNING.
func TestManyRowsAreKnown(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "l BIGINT[]"))
	o.did(1, "insert into t values (1, [1, 2])")
	names := newPlain(t).texts("SELECT DISTINCT function_name || '/' || len(parameters) FROM duckdb_functions() WHERE function_type = 'macro' AND macro_definition ILIKE '%%unnest%%' ORDER BY 1")
	if len(names) == 0 {
		t.Fatal("DuckDB has no such macro any more")
	}
	for _, name := range append(names, "unnest/1", "unlist/1") {
		name, n, _ := strings.Cut(name, "/")
		args := strings.TrimSuffix(strings.Repeat("l, ", int(n[0]-'0')), ", ")
		o.refuses(lake.CodeSQLRefused, "update t set l = [1, 2, 3] returning "+name+"("+args+")")
	}
}

// TestReturningGivenUp: nothing stays of the rows of a statement whose client went away
// while it read, nor of those of one that fails at its end.
func TestReturningGivenUp(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir)
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "s VARCHAR"))
	o.did(20_000, "insert into t select i, repeat('x', 50) from range(20000) r(i)")
	const slow = "update t set s = s || id where (select count(*) from range(3000000) a(x) where hash(x + t.id % 7) % 7 = 1) > 0 returning *"
	s, err := sqlwrite.Parse(slow)
	if err != nil {
		t.Fatal(err)
	}
	for _, after := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond} {
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(after, stop)
		r, err := o.Execute(ctx, engine.StatementRequest{SQL: slow, Statement: s, Out: rows.OutNDJSON})
		if err == nil {
			r.Returned.Body.Close()
		}
		stop()
	}
	o.refuses(lake.CodeSQLInvalid, "update t set s = s || '!' returning case when id = 19999 then error('the last') else s end", func(r *engine.StatementRequest) { r.Out = rows.OutCSV })
	o.did(1, "delete from t where id = 0") // the committer has come past all
	o.cleanScratch(dir)
	o.verifyClean()
}
