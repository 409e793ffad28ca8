package engine_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	formats "tarn/internal/rows"
	"tarn/internal/sqlwrite"
)

// exec runs a statement.
func (o *opened) exec(sql string, change ...func(*engine.StatementRequest)) (engine.StatementResult, error) {
	s, err := sqlwrite.Parse(sql)
	if err == nil && s == nil {
		err = fmt.Errorf("%s: it changes no rows", sql)
	}
	if err != nil {
		return engine.StatementResult{}, err
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

// keyed gives a statement an Idempotency-Key, as a client's request would.
func keyed(key string) func(*engine.StatementRequest) {
	return func(r *engine.StatementRequest) {
		r.Idempotency = engine.Idempotency{Key: key, Scope: "POST\n/query/sql"}
	}
}

func matching(etag string) func(*engine.StatementRequest) {
	return func(r *engine.StatementRequest) { r.IfMatch = etag }
}

// TestStatements: each form, and each error with nothing changed.
func TestStatements(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "a VARCHAR", "n INTEGER"))
	o.create("log", schema(t, nil, "id BIGINT", "a VARCHAR"))
	is := func(want ...string) {
		t.Helper()
		if got := o.rows("SELECT * FROM t ORDER BY id"); !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	}
	o.did(2, "insert into t values (1, 'x', 1.6), (2, null, default);")
	is(`[1,"x",2]`, `[2,null,null]`)
	o.did(2, "update t set n = coalesce(n, 0) + 1, a = a || '!'")
	o.did(1, "update t as x set n = u.k from (select 7 as k, 1 as i) u where x.id = u.i -- fine")
	is(`[1,"x!",7]`, `[2,null,1]`)
	before := o.rows("SELECT * FROM t ORDER BY id")
	for sql, code := range map[string]lake.Code{
		"insert into t (id) values (3), (1)":                                  lake.CodeKeyConflict,
		"insert into t (id) values (3), (3)":                                  lake.CodeKeyConflict,
		"insert into t (id) values (3), (3) on conflict do update set n = 1":  lake.CodeKeyConflict,
		"update t set n = k from (values (1), (2)) u(k) where id = 1":         lake.CodeSQLInvalid,
		"update t set n = unnest([1, 2]) where id = 1":                        lake.CodeSQLInvalid,
		"update t set n = 99999999999":                                        lake.CodeSQLInvalid,
		"update t set n = 'many' where id = 2":                                lake.CodeSQLInvalid,
		"update t set nope = 1":                                               lake.CodeSQLInvalid,
		"update t set n = nope":                                               lake.CodeSQLInvalid,
		"update t set id = 2 where id = 1":                                    lake.CodeKeyConflict,
		"update t set n = 1 where false union select 1":                       lake.CodeSQLInvalid,
		"update t set n = sum(n)":                                             lake.CodeSQLInvalid,
		"update nope set n = 1":                                               lake.CodeDatasetNotFound,
		"update t set n = (select n from nope)":                               lake.CodeDatasetNotFound,
		"update t set a = (select content from read_text('/etc/passwd'))":     lake.CodeSQLRefused,
		"insert into t select * from read_csv('/etc/passwd')":                 lake.CodeSQLRefused,
		"insert into t with x as (delete from t returning *) select * from x": lake.CodeSQLInvalid,
		"with x as (update log set id = 1) insert into t select 3, '', 1":     lake.CodeSQLInvalid,
		"insert into t (id) select 3, 4":                                      lake.CodeSQLInvalid,
		"insert into t select 3":                                              lake.CodeSQLInvalid,
		"insert into t (id) values (null)":                                    lake.CodeRowsInvalid,
		"insert into t (id) select id from (values (3), (null)) v(id)":        lake.CodeRowsInvalid,
		"insert into t (a) values ('no key')":                                 lake.CodeRowsInvalid,
		"insert into t default values":                                        lake.CodeRowsInvalid,
		"insert into t (id) values ('x')":                                     lake.CodeSQLInvalid,
		"insert into t (id) values (error('no'))":                             lake.CodeSQLInvalid,
		"insert into t (id) values (?)":                                       lake.CodeInvalidRequest,
		"delete from t where id = $1":                                         lake.CodeInvalidRequest,
		"delete from t where rowid = 0":                                       lake.CodeSQLRefused,
		"delete from t using t x tablesample 1":                               lake.CodeSQLRefused,
		"delete from t using nope where true":                                 lake.CodeDatasetNotFound,
		"insert into log values (1, 'x') on conflict do nothing":              lake.CodeNoPrimaryKey,
	} {
		err := o.refuses(code, sql)
		if strings.Contains(err.Error(), "_tarn") || strings.Contains(err.Error(), "LINE ") {
			t.Errorf("%s: the error tells how it is read: %v", sql, err)
		}
	}
	is(before...)
	if err := o.refuses(lake.CodeKeyConflict, "insert into t (id) values (3), (2)"); !strings.Contains(err.Error(), "id = 2") {
		t.Errorf("the key is not named: %v", err)
	}
	o.did(1, "insert or ignore into t (id, a) values (3, 'first'), (3, 'second'), (1, 'no')")
	o.did(3, "insert into t (id, n) values (3, 30), (4, 40), (2, 20) on conflict (id) do update set n = excluded.n + coalesce(t.n, 100), a = 'u' || id")
	is(`[1,"x!",7]`, `[2,"u2",21]`, `[3,"u3",130]`, `[4,null,40]`)
	o.did(1, "insert into t as me (id, n) values (3, 30), (2, 20) on conflict (id) do update set n = n + 1 where me.n > 120")
	o.did(2, "insert or replace into t (id, n) values (3, 31), (5, 50)")
	is(`[1,"x!",7]`, `[2,"u2",21]`, `[3,"u3",31]`, `[4,null,40]`, `[5,null,50]`)
	o.did(1, "delete from t using (values (3), (3), (9)) u(k) where id = k")
	at := o.did(0, "delete from t where id > 100")
	if d := o.did(4, "explain delete from t"); !d.Explain || d.Sequence != at.Sequence {
		t.Errorf("%+v after %+v", d, at)
	}
	o.did(1, "with w as (select 4 as k) delete from t where id in (select k from w)")
	o.did(3, "insert into t (id, n) select id + 10, n from t")
	o.did(1, "explain insert into t by name with w as (select 'z' as a) select a, ? as id from w", func(r *engine.StatementRequest) { r.Params = []byte(`[99]`) })
	o.did(1, "insert into t by name with w as (select 'z' as a) select a, ? as id from w", func(r *engine.StatementRequest) { r.Params = []byte(`[99]`) })
	o.refuses(lake.CodeSQLInvalid, "insert into t by name select 98 as id, 1 as nope")
	o.refuses(lake.CodeSQLInvalid, "insert into t by name select 98 as id, 1 as ID")
	o.refuses(lake.CodeRowsInvalid, "insert into t by name select 1 as n")
	o.did(1, "delete from t where id = 99 and a = 'z' and n is null")
	o.did(2, "insert into t (n, id) select ?, k from (values (?), ($$8$$)) v(k)", func(r *engine.StatementRequest) { r.Params = []byte(`[1, "9"]`) })
	o.did(1, "update t set n = $n, a = $a where id = $id", func(r *engine.StatementRequest) { r.Params = []byte(`{"id": 9, "n": 90, "a": "); delete from t; --"}`) })
	is(`[1,"x!",7]`, `[2,"u2",21]`, `[5,null,50]`, `[8,null,1]`, `[9,"); delete from t; --",90]`, `[11,null,7]`, `[12,null,21]`, `[15,null,50]`)
	o.did(8, "delete from t")
	is()
	o.did(2, "insert into log values (1, 'x'), (1, 'x')")
	o.did(4, "insert into log select * from log union all from log")
	o.did(1, "insert into log default values")
	if got := o.rows("SELECT count(*), count(id) FROM log"); got[0] != "[7,6]" {
		t.Error(got)
	}
	o.verifyClean()
}

// TestStatementsOfEveryType: values of every type come through VALUES, SELECT and SET
// as they are.
func TestStatementsOfEveryType(t *testing.T) {
	p, tt := newPlain(t), newTypeTable()
	tt.load(p, "w")
	o := openLake(t, t.TempDir())
	defer o.close()
	for _, d := range []string{"original", "twin", "plain"} {
		key := []string{"id"}
		if d == "plain" {
			key = nil
		}
		o.create(d, schema(t, key, tt.columns...))
	}
	o.change("original", engine.OpUpsert, strings.TrimSpace(tt.text(formats.NDJSON)))
	n := int64(len(o.rows("SELECT 1 FROM original")))
	o.did(n, "insert into twin select * from original")
	o.did(n, "insert into plain from original")
	for i := range allTypes {
		o.did(n, fmt.Sprintf("update twin set c%d = o.c%d from original o where o.id = twin.id", i, i))
	}
	o.did(n, "insert into twin from original on conflict do update set c0 = excluded.c0")
	o.did(n, "insert or replace into twin from original")
	for _, phase := range []string{"changed", "compacted"} {
		for _, d := range []string{"twin", "plain"} {
			checkTypes(t, phase+": "+d, o, p, tt, d, "w")
		}
		o.compactAll()
	}
	for i, ty := range allTypes {
		d := fmt.Sprintf("v%d", i)
		o.create(d, schema(t, []string{"n"}, "n BIGINT", "v "+ty.typ))
		p.exec("CREATE TABLE %s (n BIGINT, v %s)", d, ty.typ)
		var cells []string
		for n, v := range ty.values {
			cells = append(cells, fmt.Sprintf("(%d, %s)", n, v.sql))
		}
		sql := "INSERT INTO " + d + " VALUES " + strings.Join(cells, ", ")
		p.exec("%s", sql)
		o.did(int64(len(cells)), sql)
		// And as texts, which are cast.
		for n, text := range p.texts("SELECT v::VARCHAR FROM %s WHERE v IS NOT NULL ORDER BY n", d) {
			if strings.Contains(text, "\x00") {
				continue // no SQL can say it
			}
			sql := fmt.Sprintf("INSERT INTO %s VALUES (%d, %s)", d, 1000+n, lake.QuoteString(text))
			p.exec("%s", sql)
			o.did(1, sql)
		}
		got, err := o.answer("SELECT * FROM " + d + " ORDER BY n")
		if err != nil {
			t.Fatal(err)
		}
		if diff := got.differs(p.answer("SELECT * FROM "+d+" ORDER BY n"), true); diff != "" {
			t.Errorf("%s: %s", ty.typ, diff)
		}
	}
}

// TestNoLostUpdate: many count in one row, while others change other rows; every
// increment is there in the end. Cold, hot, and with a worker that dies.
func TestNoLostUpdate(t *testing.T) {
	for _, how := range []string{"cold", "hot", "dying"} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			var change []func(*engine.Options)
			if how == "dying" {
				change = append(change, processes)
			}
			o := openLake(t, dir, change...)
			defer o.close()
			o.create("t", schema(t, []string{"id"}, "id BIGINT", "n BIGINT"))
			o.change("t", engine.OpUpsert, `{"id":1,"n":0}`)
			o.compact("t")
			if how == "hot" {
				if _, err := o.CachePin(t.Context(), name(t, "t")); err != nil {
					t.Fatal(err)
				}
			}
			const clients, each = 16, 12
			var counted atomic.Int64
			var group, beside sync.WaitGroup
			ended := make(chan struct{})
			for c := range clients {
				group.Go(func() {
					for i := range each {
						r, err := o.exec("UPDATE t SET n = n + 1 WHERE id = 1")
						switch {
						case err == nil && r.Rows == 1:
							counted.Add(1)
						case how != "dying" || !beaten(err):
							t.Errorf("%+v, %v", r, err)
						}
						if _, err := o.tryChange("t", engine.OpUpsert, fmt.Sprintf(`{"id":%d,"n":1}`, 100+c*each+i)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			if how == "dying" {
				beside.Go(func() {
					for last := int64(0); ; { // each time some have been counted
						select {
						case <-ended:
							return
						case <-time.After(time.Millisecond):
							if n := counted.Load(); n >= last+40 {
								last = n
								o.KillWorker()
							}
						}
					}
				})
			}
			group.Wait()
			close(ended)
			beside.Wait()
			if how != "dying" && counted.Load() != clients*each {
				t.Fatalf("%d were acknowledged", counted.Load())
			}
			// A worker that a query killed may come up yet.
			var got []string
			for {
				var err error
				if got, err = o.tryRows("SELECT n, (SELECT count(*) FROM t) FROM t WHERE id = 1"); err == nil || !beaten(err) {
					break
				}
			}
			if want := fmt.Sprintf("[%d,%d]", counted.Load(), 1+clients*each); len(got) != 1 || got[0] != want {
				t.Errorf("%v, want %s", got, want)
			}
			t.Logf("%d increments", counted.Load())
		})
	}
}

// TestStatementOnce: an Idempotency-Key, also of a statement that changed nothing, and
// If-Match.
func TestStatementOnce(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir)
	defer func() { o.close() }()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "n BIGINT"))
	first := o.did(1, "insert into t values (1, 0)")
	added := o.did(1, "update t set n = n + 1", keyed("a"))
	none := o.did(0, "delete from t where n > 1", keyed("b"))
	o.refuses(lake.CodePreconditionFailed, "update t set n = n + 1", matching(first.ETag))
	more := o.did(1, "update t set n = n + 1", matching(none.ETag))
	for _, restart := range []bool{false, true} {
		if restart {
			o.close()
			o = openLake(t, dir)
		}
		// With the key, the precondition of before is none any more.
		if again := o.did(1, "update t set n = n + 1", keyed("a"), matching(first.ETag)); again != added {
			t.Errorf("%+v, and before %+v", again, added)
		}
		if again := o.did(0, "delete from t where n > 1", keyed("b")); again != none {
			t.Errorf("%+v, and before %+v", again, none)
		}
		o.refuses(lake.CodeIdempotencyReused, "update t set n = n + 2", keyed("a"))
	}
	if got := o.rows("SELECT n FROM t"); got[0] != "[2]" {
		t.Errorf("%v after %+v", got, more)
	}
	// Many at once with one key have one effect.
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if r, err := o.exec("update t set n = n + 1", keyed("c")); err != nil || r.Rows != 1 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
	group.Wait()
	if got := o.rows("SELECT n FROM t"); got[0] != "[3]" {
		t.Error(got)
	}
}

// TestStatementEnds: its client, its deadline and somebody else can end a statement that
// reads, and one that waits for its turn; nothing is changed, and writers go on.
func TestStatementEnds(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "n BIGINT"))
	o.did(1, "insert into t values (1, 0)")
	const slow = "update t set n = (select count(*) from range(100000000) a(x), range(100) b(y) where hash(x + y + t.id) % 7 = 1)"
	running := func(id string) bool {
		return slices.ContainsFunc(o.Queries(), func(q engine.QueryInfo) bool { return q.ID == id && q.State == "running" })
	}
	await := func(what func() bool) {
		t.Helper()
		for !what() {
			if t.Failed() {
				t.FailNow()
			}
			time.Sleep(time.Millisecond)
		}
	}
	start := func(ctx context.Context, id string, timeout time.Duration) <-chan error {
		s, err := sqlwrite.Parse(slow)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := o.Execute(ctx, engine.StatementRequest{SQL: slow, Statement: s, ID: id, Timeout: timeout})
			done <- err
		}()
		return done
	}
	for _, how := range []string{"client", "cancel", "deadline"} {
		ctx, stop := context.WithCancel(t.Context())
		timeout, want := time.Hour, lake.CodeCancelled
		if how == "deadline" {
			timeout, want = 300*time.Millisecond, lake.CodeDeadline
		}
		reading := start(ctx, "reads-"+how, timeout)
		if how != "deadline" {
			await(func() bool { return running("reads-" + how) })
		}
		// These two wait behind it: a statement that is ended there, and a change.
		behind := start(ctx, "waits-"+how, timeout)
		changed := make(chan error, 1)
		go func() {
			_, err := o.tryChange("t", engine.OpUpsert, `{"id":2,"n":2}`)
			changed <- err
		}()
		switch how {
		case "client":
			stop()
		case "cancel":
			await(func() bool { _, err := o.CancelQuery("waits-" + how); return err == nil })
			if err := <-behind; lake.CodeOf(err) != want {
				t.Errorf("%s: %v", how, err)
			}
			behind = nil
			if _, err := o.CancelQuery("reads-" + how); err != nil {
				t.Error(err)
			}
		}
		if err := <-reading; lake.CodeOf(err) != want {
			t.Errorf("%s: %v", how, err)
		}
		if behind != nil {
			if err := <-behind; lake.CodeOf(err) != want {
				t.Errorf("%s, waiting: %v", how, err)
			}
		}
		if err := <-changed; err != nil {
			t.Error(err)
		}
		stop()
		if got := o.rows("SELECT n FROM t ORDER BY id"); !slices.Equal(got, []string{"[0]", "[2]"}) {
			t.Errorf("%s: %v", how, got)
		}
	}
	if left := o.Queries(); len(left) > 0 {
		t.Errorf("still there: %v", left)
	}
}

// TestLargeStatements: more rows than spool_bytes go through scratch and a job; the
// memory of the server stays bounded.
func TestLargeStatements(t *testing.T) {
	o := openLake(t, t.TempDir(), processes, func(o *engine.Options) {
		o.Settings.JobMemoryBytes, o.MemoryBytes = 512<<20, 4<<30
		o.Settings.QueryTimeout, o.Settings.MaxQueryTimeout = time.Hour, time.Hour
	})
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "s VARCHAR"))
	o.create("copy", schema(t, []string{"id"}, "id BIGINT", "s VARCHAR"))
	rows := int64(600_000)
	if testing.Short() {
		rows = 200_000
	}
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	ended, most := make(chan struct{}), make(chan uint64)
	go func() {
		high := uint64(0)
		for {
			select {
			case <-ended:
				most <- high
				return
			case <-time.After(20 * time.Millisecond):
				runtime.ReadMemStats(&now)
				high = max(high, now.HeapInuse)
			}
		}
	}()
	o.did(rows, fmt.Sprintf("insert into t select i, repeat(i::varchar || '-', 30) from range(%d) r(i)", rows))
	o.did(rows, "insert into copy from t")
	o.did(rows, "update copy set s = copy.s || t.s from t where t.id = copy.id and copy.id >= 0")
	o.refuses(lake.CodeKeyConflict, "insert into copy from t")
	o.refuses(lake.CodeSQLInvalid, "update copy set s = unnest([s, s]) where id < 100000")
	o.did(rows/2, "delete from copy where id % 2 = 0")
	// Half of them come again, with other keys, and all rows are returned.
	merged, err := o.exec("merge into copy using t on t.id = copy.id when matched then update set id = -copy.id when not matched then insert values (t.id, t.s || t.s) returning *")
	if err != nil || merged.Rows != rows {
		t.Fatalf("%+v, %v", merged, err)
	}
	if n, err := io.Copy(io.Discard, merged.Returned.Body); err != nil || n < rows*150 {
		t.Errorf("%d bytes of rows, %v", n, err)
	}
	if err := merged.Returned.Body.Close(); err != nil {
		t.Error(err)
	}
	o.did(rows/2, "update copy set id = -id where id < 0")
	o.did(rows/2, "delete from copy where id % 2 = 0")
	if _, err := o.keeps("copy", formats.CSV, partials(rows)); err != nil {
		t.Error(err)
	}
	close(ended)
	// Some 180 MB were read three times, in the answer of the update 300.
	if high := <-most; high > before.HeapInuse+160<<20 {
		t.Errorf("the server took %d MB", (high-before.HeapInuse)>>20)
	} else {
		t.Logf("the server took %d MB at most", (high-before.HeapInuse)>>20)
	}
	if got, want := o.rows("SELECT count(*), sum(length(s)) FROM copy"), o.rows("SELECT count(*), 2 * sum(length(s)) FROM t WHERE id % 2 = 1"); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	o.compact("copy")
	if got := o.rows("SELECT count(*) FROM copy"); got[0] != fmt.Sprintf("[%d]", rows/2) {
		t.Error(got)
	}
}

// partials are rows of the odd ids below n that have nothing but their key, as CSV.
func partials(n int64) string {
	var b strings.Builder
	b.WriteString("id\n")
	for i := int64(1); i < n; i += 2 {
		fmt.Fprintln(&b, i)
	}
	return b.String()
}

// TestStatementsKnowKeywords: what is no name to DuckDB is none in a statement.
func TestStatementsKnowKeywords(t *testing.T) {
	words := newPlain(t).texts("SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN ('reserved', 'type_function')")
	if len(words) < 100 {
		t.Fatalf("only %v", words)
	}
	for _, word := range words {
		for _, sql := range []string{"DELETE FROM %s", "DELETE FROM t AS %s", "UPDATE t SET %s = 1", "INSERT INTO t (%s) VALUES (1)"} {
			if s, err := sqlwrite.Parse(fmt.Sprintf(sql, word)); err == nil && (s.Verb != sqlwrite.Insert || s.Columns != nil) {
				t.Errorf(sql+": %+v", word, s)
			}
		}
		if s, err := sqlwrite.Parse(fmt.Sprintf(`DELETE FROM t AS "%s"`, word)); err != nil || s.Alias != word {
			t.Errorf("%q in quotes: %+v, %v", word, s, err)
		}
	}
}
