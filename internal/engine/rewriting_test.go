package engine_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/sqlwrite"
)

// unkeyed opens a lake with the dataset log, which has no key: six rows in files of the
// base, and two that are pending. Some are equal.
func unkeyed(t *testing.T, dir string, change ...func(*engine.Options)) *opened {
	t.Helper()
	o := openLake(t, dir, change...)
	o.create("log", schema(t, nil, "id BIGINT", "a VARCHAR", "file_index INTEGER"))
	for _, part := range []string{"(1, 'x', 10), (1, 'x', 10), (2, null, 20)", "(3, 'y', 30), (3, 'y', 31), (4, 'z', 40)"} {
		o.did(3, "insert into log values "+part)
		o.compact("log")
	}
	o.did(2, "insert into log values (1, 'x', 10), (5, 'w', 50)")
	return o
}

// TestRewrite: UPDATE, DELETE and MERGE of a dataset without a key, whose rows are told by
// where they stand: equal rows are changed alike, each counted; the others keep their
// order and their files.
func TestRewrite(t *testing.T) {
	o := unkeyed(t, t.TempDir())
	defer o.close()
	is := func(want ...string) {
		t.Helper()
		for _, hot := range []bool{false, true} {
			if hot {
				o.pin("log")
			} else {
				o.evict("log")
			}
			if got := o.rows("from log"); !slices.Equal(got, want) {
				t.Fatalf("hot %v: %v, want %v", hot, got, want)
			}
		}
		o.evict("log")
		o.verifyClean()
	}
	before := o.rows("from log")
	kept := func() string { // the file of the base that has the second three rows
		d, err := o.Describe(t.Context(), name(t, "log"))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(d.BaseRows, d.PendingRows)
	}
	if r := o.did(3, "explain update log set a = 'same' where id = 1"); r.Sequence != 3 {
		t.Fatalf("%+v", r)
	}
	o.did(3, "explain merge into log using (values (1)) s(id) using (id) when matched then delete")
	o.did(0, "delete from log where id > 100")
	is(before...)

	r, got := o.gave("update log set a = a || '!', file_index = file_index + $by where id = $id returning id, a, file_index",
		func(r *engine.StatementRequest) { r.Params = []byte(`{"by": 5, "id": 1}`) })
	if want := `{"id":1,"a":"x!","file_index":15}`; !slices.Equal(got, []string{want, want, want}) || r.Sequence != 4 {
		t.Fatalf("%v %+v", got, r)
	}
	is(`[1,"x!",15]`, `[1,"x!",15]`, `[2,null,20]`, `[3,"y",30]`, `[3,"y",31]`, `[4,"z",40]`, `[1,"x!",15]`, `[5,"w",50]`)
	if got := kept(); got != "8 0" {
		t.Fatalf("what was pending is in the base: %s", got)
	}
	o.did(1, "insert into log values (6, 'v', 60)")
	o.did(2, "delete from log using (values (3), (3), (9)) u(k) where id = k")
	o.did(2, "update log z set a = u.v from (values (5, 'five'), (6, 'six'), (7, 'no')) u(k, v) where z.id = u.k")
	is(`[1,"x!",15]`, `[1,"x!",15]`, `[2,null,20]`, `[4,"z",40]`, `[1,"x!",15]`, `[5,"five",50]`, `[6,"six",60]`)
	r, got = o.gave("merge into log using (values (1, null), (2, 'two'), (8, 'new'), (8, 'new')) s(id, v) using (id) " +
		"when matched and s.id = 1 then delete when matched then update set a = s.v " +
		"when not matched then insert (id, a) values (s.id, s.v) when not matched by source and log.id = 4 then update set a = 'alone' returning merge_action, *")
	if r.Rows != 7 || strings.Join(got, "") != strings.Repeat(`{"merge_action":"DELETE","id":1,"a":"x!","file_index":15}`, 3)+
		strings.Repeat(`{"merge_action":"INSERT","id":8,"a":"new","file_index":null}`, 2)+
		`{"merge_action":"UPDATE","id":2,"a":"two","file_index":20}{"merge_action":"UPDATE","id":4,"a":"alone","file_index":40}` {
		t.Fatalf("%+v %v", r, got)
	}
	is(`[2,"two",20]`, `[4,"alone",40]`, `[5,"five",50]`, `[6,"six",60]`, `[8,"new",null]`, `[8,"new",null]`)
	before = o.rows("from log")
	for sql, code := range map[string]lake.Code{
		"merge into log using (values (2, 'a'), (2, 'b')) s(id, v) using (id) when matched then update set a = s.v": lake.CodeSQLInvalid,
		"update log set a = v from (values ('a'), ('b')) s(v)":                                                      lake.CodeSQLInvalid,
		"merge into log using (select 2 as id) s using (id) when matched then error":                                lake.CodeSQLInvalid,
		"update log set file_index = 'x'":                                                                           lake.CodeSQLInvalid,
		"update log set file_index = 3000000000":                                                                    lake.CodeSQLInvalid,
		"update log set nope = 1":                                                                                   lake.CodeSQLInvalid,
		"update log set a = nope":                                                                                   lake.CodeSQLInvalid,
		"delete from log where log::varchar = ''":                                                                   lake.CodeUnsupported,
		"delete from log where id in (select id from nope)":                                                         lake.CodeDatasetNotFound,
		"delete from log at (version => '_tarn_places')":                                                            lake.CodeSQLInvalid,
		"delete from log where _tarn_place = 1":                                                                     lake.CodeSQLRefused,
	} {
		if err := o.refuses(code, sql); strings.Contains(err.Error(), "_tarn_c") || strings.Contains(err.Error(), "LINE ") {
			t.Errorf("%s: the error tells how it is read: %v", sql, err)
		}
	}
	if _, err := o.tryRows("from log at (version => '_tarn_places')"); lake.CodeOf(err) != lake.CodeSQLInvalid {
		t.Errorf("a query names places: %v", err)
	}
	o.did(1, "delete from log where id in (select max(id) - 2 from log) and exists (select 1 from log o at (sequence => 3) where o.id = 1)")
	before = slices.DeleteFunc(before, func(row string) bool { return strings.HasPrefix(row, "[6,") })
	is(before...)
	o.did(5, "delete from log")
	is()
	o.did(1, "insert into log values (1, 'pending', 1)")
	o.did(1, "delete from log")
	is()
	o.did(1, "merge into log using (select 7 as id) s using (id) when not matched then insert (id) values (id)")
	is("[7,null,null]")
	o.want("select count(*) from log at (sequence => 2)", "[6]")
	o.want("select count(*), sum(file_index)::int from log at (sequence => 3)", "[8,201]")
	o.want("select a from log at (sequence => 4) where id = 1 limit 1", `["x!"]`)
	events, _ := o.feed(engine.FeedRequest{Dataset: name(t, "log")})
	if n := len(slices.DeleteFunc(events, func(e feedEvent) bool { return e.op != string(engine.FeedContent) })); n != 8 {
		t.Errorf("%d content events in %v", n, events)
	}
}

// A column that takes no null is held to that, and one that hides a row's number is read
// by its id.
func TestRewriteChecksRows(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	s := schema(t, nil, "file_row_number BIGINT", "v VARCHAR", "b BLOB")
	s.Columns[0].Nullable = false
	o.create("n", s)
	o.did(2, "insert into n values (5, 'a', 'x'::blob), (6, 'b', null)")
	o.compact("n")
	o.did(1, "insert into n values (7, 'c', 'y'::blob)")
	o.refuses(lake.CodeRowsInvalid, "update n set file_row_number = null where v = 'a'")
	o.refuses(lake.CodeRowsInvalid, "explain update n set file_row_number = null where v = 'a'")
	o.refuses(lake.CodeRowsInvalid, "merge into n using (select null::bigint as x) s on false when not matched then insert (file_row_number) values (x)")
	o.did(2, "update n set v = v || file_row_number where file_row_number > 5")
	o.did(1, "delete from n where b = 'x'::blob")
	o.want("select file_row_number, v from n", `[6,"b6"]`, `[7,"c7"]`)
	o.did(2, "merge into n z using (values (6), (9)) s(x) on z.file_row_number = s.x when matched then delete when not matched then insert values (x, 'new', null)")
	o.want("select file_row_number, v from n", `[7,"c7"]`, `[9,"new"]`)
	o.alter("n ADD COLUMN w BIGINT, RENAME v TO vv, DROP b")
	o.did(2, "update n set w = length(vv), vv = null where w is null")
	o.want("from n", `[7,null,2]`, `[9,null,3]`)
	if _, err := o.Rename(t.Context(), name(t, "n"), name(t, "Shop.Order"), engine.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	o.did(1, `update shop."order" set vv = 'x' where "order".w = 2`)
	o.did(1, `delete from Shop."Order" as "o o" where "o o".w = 3`)
	o.want(`from shop."order"`, `[7,"x",2]`)
	o.verifyClean()
}

// TestRewriteKeepsTypes: every value of every type that a dataset has goes through a
// statement as it is.
func TestRewriteKeepsTypes(t *testing.T) {
	o, tt := openLake(t, t.TempDir()), newTypeTable()
	defer o.close()
	o.create("typed", schema(t, nil, tt.columns...))
	body := strings.Split(strings.TrimSpace(tt.text(rows.NDJSON)), "\n")
	o.change("typed", engine.OpUpsert, body...)
	o.compact("typed")
	o.change("typed", engine.OpUpsert, body...)
	before := o.rows("from typed")
	o.did(int64(2*len(body)), "update typed set id = id")
	if got := o.rows("from typed"); !slices.Equal(got, before) {
		t.Fatalf("%v\nwas\n%v", got, before)
	}
	o.change("typed", engine.OpUpsert, body[0])
	o.did(int64(2*len(body)+1), "merge into typed using (select distinct id from typed) s using (id) when matched then update set id = s.id")
	if got := o.rows("from typed"); !slices.Equal(got, append(before, before[0])) {
		t.Fatalf("%v\nwas\n%v", got, before)
	}
	o.verifyClean()
}

// TestRewriteOnce: If-Match and Idempotency-Key, which stands for the statement also after
// a restart, and where it changed no row.
func TestRewriteOnce(t *testing.T) {
	dir := t.TempDir()
	o := unkeyed(t, dir)
	defer func() { o.close() }()
	etag := o.did(0, "delete from log where false").ETag
	first := o.did(3, "update log set id = id + 100 where id = 1", keyed("one"), matching(etag))
	o.refuses(lake.CodePreconditionFailed, "delete from log", matching(etag))
	o.did(0, "delete from log where id = 77", keyed("none"))
	o.did(1, "insert into log values (77, 'later', 0)")
	o.close()
	o = openLake(t, dir)
	again := func() {
		t.Helper()
		if r := o.did(3, "update log set id = id + 100 where id = 1", keyed("one"), matching("\"none\"")); r != first {
			t.Fatalf("%+v, want %+v", r, first)
		}
		o.did(0, "delete from log where id = 77", keyed("none"))
		o.refuses(lake.CodeIdempotencyReused, "delete from log", keyed("one"))
		o.refuses(lake.CodeIdempotencyReused, "insert into log values (1, 'x', 1)", keyed("one"))
		o.refuses(lake.CodeIdempotencyReused, "delete from log", keyed("none"))
		o.want("select count(*) from log", "[9]")
	}
	again()
	o.did(1, "insert into log values (78, 'once', 0)", keyed("appended"))
	o.refuses(lake.CodeIdempotencyReused, "delete from log", keyed("appended"))
	o.did(1, "delete from log where id = 78")
	again()
}

// TestRewriteKeepsFilesFew: appends and statements by turns leave no small file each, in the
// right order, and a statement makes room where as much is pending as may be.
func TestRewriteKeepsFilesFew(t *testing.T) {
	o := openLake(t, t.TempDir(), func(o *engine.Options) {
		o.Settings.CompactAuto, o.Settings.MaxPendingDeltas, o.Settings.PendingWait = false, 3, time.Millisecond
	})
	defer o.close()
	o.create("log", schema(t, nil, "id BIGINT", "n BIGINT"))
	var want []string
	for i := range 12 {
		for n := range 3 {
			o.change("log", engine.OpUpsert, fmt.Sprintf(`{"id":%d,"n":%d}`, i, n))
		}
		if _, err := o.tryChange("log", engine.OpUpsert, `{"id":0,"n":0}`); lake.CodeOf(err) != lake.CodePendingFull {
			t.Fatal(err)
		}
		o.did(1, fmt.Sprintf("delete from log where id = %d and n = 1", i))
		o.did(1, fmt.Sprintf("update log set n = -1 where id = %d and n = 0", i))
		want = append(want, fmt.Sprintf("[%d,-1]", i), fmt.Sprintf("[%d,2]", i))
	}
	if got := o.rows("from log"); !slices.Equal(got, want) {
		t.Fatalf("%v", got)
	}
	d, err := o.Describe(t.Context(), name(t, "log"))
	if err != nil || d.Files > 9 {
		t.Fatalf("%+v, %v", d, err)
	}
	o.verifyClean()
}

// TestRewriteBesideWriters: appends of others, compaction and statements at once, and a
// worker that dies, lose no row, change none twice, and see whole requests.
func TestRewriteBesideWriters(t *testing.T) {
	o := openLake(t, t.TempDir(), func(o *engine.Options) { o.Settings.CompactAuto = false })
	defer o.close()
	o.create("log", schema(t, nil, "who BIGINT", "n BIGINT", "done BIGINT"))
	const writers, appends, statements = 4, 30, 8
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := range appends {
				if _, err := o.tryChange("log", engine.OpUpsert, fmt.Sprintf(`{"who":%d,"n":%d,"done":0}`, w, n), fmt.Sprintf(`{"who":%d,"n":%d,"done":0}`, w, n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for who := range 2 {
		all.Go(func() {
			for i := range statements {
				if who == 0 && i == statements/2 {
					o.KillWorker()
				}
				if _, err := o.exec("update log set done = done + 1 where n % 2 = 0"); err != nil {
					t.Error(err)
				}
				if i%4 == 0 {
					if _, err := o.tryCompact("log"); err != nil {
						t.Error(err)
					}
				}
				if got, err := o.tryRows("select 1 from log group by who, n having count(*) <> 2 or min(done) <> max(done) or n % 2 = 1 and max(done) > 0"); err != nil && lake.CodeOf(err) != lake.CodeWorkerDied || len(got) > 0 {
					t.Errorf("half a request: %v, %v", got, err)
				}
			}
		})
	}
	all.Wait()
	o.want("select count(*), count(distinct (who, n)) from log", fmt.Sprintf("[%d,%d]", 2*writers*appends, writers*appends))
	r := o.did(writers*appends, "update log set done = 1000 where n % 2 = 0")
	o.want("select count(*), sum(done)::bigint from log where done > 0", fmt.Sprintf("[%d,%d]", r.Rows, 1000*r.Rows))
	o.did(writers*appends, "delete from log where n % 2 = 1")
	o.want("select count(*) from log", fmt.Sprintf("[%d]", writers*appends))
	o.verifyClean()
}

// TestRewriteSeenByAFollower: a follower's image goes with each such statement, also where
// the base has no file before and after it.
func TestRewriteSeenByAFollower(t *testing.T) {
	dir := t.TempDir()
	w := openLake(t, dir)
	defer w.close()
	w.create("log", schema(t, nil, "id BIGINT"))
	w.did(2, "insert into log values (1), (2)")
	f := follow(t, dir)
	defer f.close()
	for _, sql := range []string{"delete from log", "insert into log values (3), (3)", "update log set id = 4", "delete from log"} {
		f.pin("log")
		w.did(2, sql)
		f.caughtUp(w)
	}
}

// TestRewriteFilesOfOthers: files of another program have no ordinal in their names, and
// the order of arrival stays all the same.
func TestRewriteFilesOfOthers(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("log", schema(t, nil, "id BIGINT", "v VARCHAR"))
	appends := func(lines ...string) {
		t.Helper()
		tab, err := loadOutside(o, "log")
		if err == nil {
			err = appendOutside(tab, lines...)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	appends(`{"id":1,"v":"a"}`, `{"id":2,"v":"a"}`, `{"id":3,"v":"a"}`)
	o.did(2, "insert into log values (4, 'b'), (5, 'b')")
	o.compact("log")
	appends(`{"id":6,"v":"c"}`, `{"id":7,"v":"c"}`)
	o.did(1, "insert into log values (8, 'd')")
	ids := func(want ...string) {
		t.Helper()
		for range 2 {
			if got := o.rows("select id from log"); !slices.Equal(got, want) {
				t.Fatalf("%v, want %v", got, want)
			}
			o.pin("log")
		}
		o.evict("log")
		o.verifyClean()
	}
	ids("[1]", "[2]", "[3]", "[4]", "[5]", "[6]", "[7]", "[8]")
	o.did(1, "update log set v = 'new' where id = 4")
	ids("[1]", "[2]", "[3]", "[4]", "[5]", "[6]", "[7]", "[8]")
	o.did(3, "delete from log where id in (3, 2, 6)")
	o.did(5, "update log set v = v || id")
	ids("[1]", "[4]", "[5]", "[7]", "[8]")
	o.want("select string_agg(v, ' ' order by id) from log", `["a1 new4 b5 c7 d8"]`)
}

// TestRewriteEnds: a statement that its client gives up, or whose time is over, changes
// nothing and holds nothing.
func TestRewriteEnds(t *testing.T) {
	o := unkeyed(t, t.TempDir())
	defer o.close()
	before := o.rows("from log")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := sqlwrite.Parse("delete from log")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Execute(ctx, engine.StatementRequest{SQL: "delete from log", Statement: s}); err == nil {
		t.Fatal("it was done for nobody")
	}
	if _, err := o.exec("delete from log where (select sum(hash(a.range * b.range)) from range(1000000) a, range(1000000) b) <> 0", func(r *engine.StatementRequest) { r.Timeout = 1 }); lake.CodeOf(err) != lake.CodeDeadline {
		t.Fatal(err)
	}
	if got := o.rows("from log"); !slices.Equal(got, before) {
		t.Fatalf("%v", got)
	}
	o.compact("log")
	o.did(8, "update log set a = null")
}

// TestRewriteBeyondMemory: all rows of a dataset that is larger than what worker and job
// may have, in processes of their own.
func TestRewriteBeyondMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it has some 300 MB of rows")
	}
	o := openLake(t, t.TempDir(), processes, func(o *engine.Options) {
		o.Settings.QueryMemoryBytes, o.Settings.JobMemoryBytes = 128<<20, 256<<20
	})
	defer o.close()
	const n = 1_200_000
	file := filepath.Join(t.TempDir(), "big.parquet")
	newPlain(t).exec("COPY (SELECT i, repeat(md5(i::varchar), 8) AS v FROM range(%d) r(i)) TO '%s'", n, file)
	j, err := o.Import(t.Context(), engine.ImportRequest{
		Dataset: name(t, "big"), Mode: engine.ImportCreate, Next: engine.Files(engine.ImportFile{Name: "big", Format: rows.Parquet, Path: file}),
	})
	if err == nil {
		_, err = j.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	o.did(n, "update big set v = reverse(v)")
	o.want("select count(*), count(distinct i), min(reverse(v)[:32] = md5(i::varchar)) from big", fmt.Sprintf("[%d,%d,true]", n, n))
	o.did(n/2, "delete from big where i % 2 = 0")
	o.want("select count(*), sum(i)::bigint from big", fmt.Sprintf("[%d,%d]", n/2, n/2*(n/2)))
	o.want("select i from big limit 3", "[1]", "[3]", "[5]")
}
