package engine_test

import (
	"slices"
	"strings"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// TestMerge: each kind of arm, in one delta.
func TestMerge(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("t", notNull(schema(t, []string{"id"}, "id BIGINT", "a VARCHAR", "n INTEGER"), 2))
	o.create("s", schema(t, []string{"id"}, "id BIGINT", "a VARCHAR", "n INTEGER"))
	is := func(want ...string) {
		t.Helper()
		if got := o.rows("SELECT * FROM t ORDER BY id"); !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	}
	o.did(3, "insert into t values (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)")
	o.did(3, "insert into s values (2, 'zwei', 20), (3, null, 30), (4, 'vier', 40)")
	before := o.did(3, "explain merge into t using s on s.id = t.id when matched and s.a is null then delete when matched then update set a = s.a, n = t.n + s.n when not matched then insert (id, n) values (s.id, s.n)")
	r := o.did(3, "merge into t using s on s.id = t.id when matched and s.a is null then delete when matched then update set a = s.a, n = t.n + s.n when not matched then insert (id, n) values (s.id, s.n)")
	if r.Sequence != before.Sequence+1 {
		t.Errorf("%+v after %+v", r, before)
	}
	is(`[1,"one",1]`, `[2,"zwei",22]`, `[4,null,40]`)
	o.did(4, "merge into t as me using (select * from s where id < 4) as it using (id) when matched then update when not matched by target then insert when not matched by source and me.id > 1 then delete when not matched by source then update set a = upper(me.a)")
	is(`[1,"ONE",1]`, `[2,"zwei",20]`, `[3,null,30]`)
	with := func(params string) func(*engine.StatementRequest) {
		return func(r *engine.StatementRequest) { r.Params = []byte(params) }
	}
	// Parameters count in the order of the text, wherever their parts go.
	o.did(3, "merge into t using (values (?, ?), (7, 'sieben')) s(id, a) on s.id = t.id and t.n < ? when not matched then insert by name when matched and s.a = ? then update set n = ?, a = ? when not matched by source and t.id = ? then delete",
		func(r *engine.StatementRequest) { r.Params = []byte(`[1, "eins", 5, "eins", 10, "x", 2]`) }, func(r *engine.StatementRequest) {
			r.Statement.Merge.Arms[0].Whole, r.Statement.Merge.Arms[0].Columns, r.Statement.Merge.Arms[0].Values = false, []string{"id", "a", "n"}, []string{"s.id", "s.a", "0"}
		})
	is(`[1,"x",10]`, `[3,null,30]`, `[7,"sieben",0]`)
	o.did(1, "merge into t using (select ?::bigint as id, ? as n) s on s.id = t.id when not matched then insert by name when matched then update set a = ?", with(`[3, 1, "by name"]`))
	o.did(1, "merge into t using (select $id::bigint as id, 8 as n) s on s.id = t.id when not matched then insert by name when matched then update set a = $a", with(`{"a": "x", "id": 8}`))
	is(`[1,"x",10]`, `[3,"by name",30]`, `[7,"sieben",0]`, `[8,null,8]`)
	o.did(0, "merge into t using s on s.id = t.id when matched then do nothing")
	o.did(1, "merge into t using (values (3), (3)) v(id) on v.id = t.id when matched then delete")
	o.did(1, "merge into t using (values (7, 1), (7, 1)) v(id, n) on v.id = t.id when matched then update set n = v.n")
	_, got := o.gave("with w as (select 1 as id) merge into t using w on w.id = t.id when matched then update set a = 'W' when not matched by source and t.id = 8 then delete returning merge_action, *, n + 1 as more")
	if !slices.Equal(got, []string{`{"merge_action":"DELETE","id":8,"a":null,"n":8,"more":9}`, `{"merge_action":"UPDATE","id":1,"a":"W","n":10,"more":11}`}) {
		t.Error(got)
	}
	is(`[1,"W",10]`, `[7,"sieben",1]`)
	// The key of a row that is deleted can be another's in the same statement.
	_, got = o.gave("merge into t using (values (1, 7), (100, 1)) v(id, to_id) on v.id = t.id when matched then update set id = to_id when not matched then insert values (to_id, 'new', 5) when not matched by source then delete returning merge_action, id")
	if !slices.Equal(got, []string{`{"merge_action":"DELETE","id":7}`, `{"merge_action":"INSERT","id":1}`, `{"merge_action":"UPDATE","id":7}`}) {
		t.Error(got)
	}
	is(`[1,"new",5]`, `[7,"W",10]`)
	o.compact("t")
	is(`[1,"new",5]`, `[7,"W",10]`)
	for sql, code := range map[string]lake.Code{
		"merge into t using s on s.id = t.id when matched then error":                                                                   "",
		"merge into t using t s on s.id = t.id when matched then error":                                                                 lake.CodeSQLInvalid,
		"merge into t using t s on s.id = t.id when matched then error 'no ' || s.id":                                                   lake.CodeSQLInvalid,
		"merge into t using s on true when matched then update set n = s.n":                                                             lake.CodeSQLInvalid,
		"merge into t using (values (1), (1)) v(id) on v.id = t.id and false when not matched then insert (id, n) values (v.id + 9, 1)": lake.CodeKeyConflict,
		"merge into t using (values (1)) v(id) on false when not matched then insert (id, n) values (v.id, 1)":                          lake.CodeKeyConflict,
		"merge into t using (values (1)) v(id) on v.id = t.id when matched then update set id = 7":                                      lake.CodeKeyConflict,
		"merge into t using (values (1)) v(id) on false when not matched then insert (id, n) values (null, 1)":                          lake.CodeRowsInvalid,
		"merge into t using (values (1)) v(id) on false when not matched then insert (id) values (v.id)":                                lake.CodeRowsInvalid,
		"merge into t using (values (1)) v(id) on false when not matched then insert":                                                   lake.CodeSQLInvalid,
		"merge into t using s on s.id = t.id when matched then update set nope = 1":                                                     lake.CodeSQLInvalid,
		"merge into t using s on s.id = t.id when matched then update set n = nope":                                                     lake.CodeSQLInvalid,
		"merge into t using s on s.id = t.id when matched then update set n = sum(s.n)":                                                 lake.CodeSQLInvalid,
		"merge into t using s join s x using (id) on s.id = t.id when not matched then insert *":                                        lake.CodeUnsupported,
		"merge into t using nope on nope.id = t.id when matched then delete":                                                            lake.CodeDatasetNotFound,
		"merge into t using read_csv('/etc/passwd') f on true when matched then delete":                                                 lake.CodeSQLRefused,
		"merge into t using s on (select true from read_text('/etc/passwd')) when matched then delete":                                  lake.CodeSQLRefused,
		"merge into t using s on s.id = t.id when matched and current_setting('memory_limit') = '' then delete":                         lake.CodeSQLRefused,
		"merge into t using (delete from s returning *) s on true when matched then delete":                                             lake.CodeSQLInvalid,
		"merge into t using s tablesample 1 on true when matched then delete":                                                           lake.CodeSQLRefused,
		"merge into t using s on s.id = t.id when matched then update set a = ?":                                                        lake.CodeInvalidRequest,
		"merge into t using t s on s.id = t.id when matched and s.id = unnest([1, 1]) then delete":                                      lake.CodeSQLRefused,
		"merge into t using t s on s.id = t.id when matched then update set n = unnest([1, 2])":                                         lake.CodeSQLRefused,
		"merge into t using t s on s.id = t.id when matched then delete returning unnest([1, 2])":                                       lake.CodeSQLRefused,
		"merge into t using t s on s.id = t.id when matched then delete returning s.a":                                                  lake.CodeSQLInvalid,
		"update t set id = 3":              lake.CodeKeyConflict,
		"update t set id = 7 where id = 1": lake.CodeKeyConflict,
		"update t set id = null":           lake.CodeRowsInvalid,
		"update t set id = u.k from (values (1, 20), (1, 21)) u(i, k) where u.i = id": lake.CodeSQLInvalid,
		"update t set id = unnest([20, 21]) where id = 1":                             lake.CodeSQLInvalid,
		"update t set n = null, id = 9 where id = 1":                                  lake.CodeRowsInvalid,
		"insert into t values (1, 'x', 1) on conflict do update set id = 9":           lake.CodeUnsupported,
	} {
		if code == "" {
			o.did(0, sql)
			continue
		}
		err := o.refuses(code, sql)
		if strings.Contains(err.Error(), "_tarn") || strings.Contains(err.Error(), "LINE ") {
			t.Errorf("%s: the error tells how it is read: %v", sql, err)
		}
		is(`[1,"new",5]`, `[7,"W",10]`)
	}
	if err := o.refuses(lake.CodeKeyConflict, "update t set id = 7 where id = 1"); !strings.Contains(err.Error(), "id = 7") {
		t.Errorf("the key is not named: %v", err)
	}
	o.verifyClean()
}

// TestMoveKeys: rows get other keys, also those that other rows have had; each once in
// the delta, by a job too.
func TestMoveKeys(t *testing.T) {
	for _, spool := range []int64{8 << 20, 500} {
		o := openLake(t, t.TempDir(), func(o *engine.Options) { o.Settings.SpoolBytes = spool })
		o.create("t", notNull(schema(t, []string{"k", "id"}, "id BIGINT", "k VARCHAR", "l BIGINT[]", "n BIGINT"), 2))
		o.did(100, "insert into t select i, 'k', [i], i from range(1, 101) r(i)")
		o.did(100, "update t set id = -id")
		o.did(100, "update t set id = id + 1")
		o.did(100, "update t set id = -id, n = n + 1, k = 'k' || (id % 2)")
		if got := o.rows("SELECT count(*), count(DISTINCT id), min(id), max(id), sum(n - id), min(k), count(*) FILTER (WHERE l[1] = id + 1) FROM t"); got[0] != `[100,100,0,99,"200","k-1",100]` {
			t.Error(got)
		}
		o.did(50, "update t set (id, k) = (id + 1000, 'far') where id < 50")
		o.did(0, "update t set id = 1 where false")
		r := o.did(1, "update t set id = 60 where id = 60")
		if d := o.did(1, "explain update t set id = 61 where id = 60 and k = 'nowhere' or id = 1000"); d.Sequence != r.Sequence {
			t.Errorf("%+v", d)
		}
		_, got := o.gave("update t set id = id + 1 where id >= 1048 returning id, k")
		if !slices.Equal(got, []string{`{"id":1049,"k":"far"}`, `{"id":1050,"k":"far"}`}) {
			t.Error(got)
		}
		state := o.rows("SELECT * FROM t ORDER BY ALL")
		o.compact("t")
		if got := o.rows("SELECT * FROM t ORDER BY ALL"); !slices.Equal(got, state) || len(got) != 100 {
			t.Errorf("%d rows after compaction: %v", len(got), got)
		}
		o.verifyClean()
		o.close()
	}
}

// notNull is a schema of which one more column takes no null.
func notNull(s lake.Schema, column int) lake.Schema {
	s.Columns[column].Nullable = false
	return s
}
