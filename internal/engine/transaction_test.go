package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/failpoint"
	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/sqlwrite"
	"tarn/internal/store/storetest"
)

// tryTransact runs a transaction.
func (o *opened) tryTransact(sql string, change ...func(*engine.TransactionRequest)) (engine.TransactionResult, error) {
	return o.transactWithin(context.Background(), sql, change...)
}

func (o *opened) transactWithin(ctx context.Context, sql string, change ...func(*engine.TransactionRequest)) (engine.TransactionResult, error) {
	tx, err := sqlwrite.ParseTransaction(sql)
	if err == nil && tx == nil {
		err = fmt.Errorf("%s: it is no transaction", sql)
	}
	if err != nil {
		return engine.TransactionResult{}, err
	}
	r := engine.TransactionRequest{SQL: sql, Transaction: tx}
	for _, c := range change {
		c(&r)
	}
	return o.ExecuteTransaction(ctx, r)
}

// transact runs a transaction whose statements must change so many rows.
func (o *opened) transact(sql string, rows ...int64) engine.TransactionResult {
	o.t.Helper()
	r, err := o.tryTransact(sql)
	if err != nil {
		o.t.Fatalf("%s: %v", sql, err)
	}
	var got []int64
	for _, s := range r.Statements {
		got = append(got, s.Rows)
	}
	if !slices.Equal(got, rows) {
		o.t.Fatalf("%s: its statements changed %v rows, want %v", sql, got, rows)
	}
	return r
}

// aborts runs a transaction that must fail with a code, and a text in its error.
func (o *opened) aborts(code lake.Code, text, sql string, change ...func(*engine.TransactionRequest)) {
	o.t.Helper()
	r, err := o.tryTransact(sql, change...)
	if err == nil || lake.CodeOf(err) != code || !strings.Contains(err.Error(), text) {
		o.t.Fatalf("%s: %+v, %v (%s), want %s with %q", sql, r, err, lake.CodeOf(err), code, text)
	}
	if strings.Contains(err.Error(), "_tarn") || strings.Contains(err.Error(), "/") && strings.Contains(err.Error(), "scratch") {
		o.t.Errorf("%s: the error tells how it is read: %v", sql, err)
	}
}

func keyedTransaction(key string) func(*engine.TransactionRequest) {
	return func(r *engine.TransactionRequest) { r.Idempotency = idempotency(key) }
}

// atFirst runs f the first time that a failpoint is come by.
func atFirst(t *testing.T, point string, f func()) {
	once := sync.OnceFunc(f)
	failpoint.Arm(func(at string) {
		if at == point {
			once()
		}
	})
	t.Cleanup(func() { failpoint.Arm(func(string) {}) })
}

// transacts is a step of the history.
func transacts(sql string) func(*opened, string) error {
	return func(o *opened, key string) error {
		_, err := o.tryTransact(sql, keyedTransaction(key))
		return err
	}
}

// transactionLake has two keyed datasets, of which one has another namespace, and one
// without a key.
func transactionLake(t *testing.T, dir string, change ...func(*engine.Options)) *opened {
	t.Helper()
	o := openLake(t, dir, change...)
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "a VARCHAR", "n INTEGER"))
	o.create("shop.u", schema(t, []string{"k"}, "k BIGINT", "v VARCHAR"))
	o.create("log", schema(t, nil, "what VARCHAR", "n BIGINT"))
	o.did(3, "insert into t values (1, 'x', 10), (2, 'y', 20), (3, 'z', 30)")
	o.did(2, "insert into shop.u values (1, 'one'), (2, 'two')")
	return o
}

const wholeTransactionLake = "select 't ' || id || ' ' || coalesce(a, '-') || ' ' || coalesce(n, 0) from t union all select 'u ' || k || ' ' || coalesce(v, '-') from shop.u union all select 'l ' || what || ' ' || n from log order by all"

// TestTransactionSeesItself: each statement sees what those before it did, in every
// dataset, hot and cold, in memory and by a job, and the outcome is that of the same
// statements one by one.
func TestTransactionSeesItself(t *testing.T) {
	statements := []struct {
		sql  string
		rows int64
	}{
		{"update t set n = n + 1 where id < 3", 2},
		{"insert into t select id + 10, a || '!', main.t.n from main.t where id <> 3", 2},
		{"delete from t where id = 2", 1},
		{"insert into log select 'has ' || t.id, n from t order by id", 4},
		{"insert into shop.u select id, a from t where id > 10 on conflict do nothing", 2},
		{"update shop.u set v = v || (select count(*) from t) where u.k = 11", 1},
		{"with t2 as (select * from t), u as (select 7 as seven) insert into log select 'cte', (select seven from u) + (select count(*) from t2)", 1},
		{"insert into t values (1, 'again', 0) on conflict (id) do update set a = excluded.a, n = t.n * 2", 1},
		{"merge into t using shop.u as u on t.id = u.k when matched then update set a = u.v when not matched then insert values (u.k, u.v, -1)", 4},
		{"update t set id = -id where id = 12", 1},
		{"delete from shop.u using t where t.id = k and k < 5", 2},
		{"insert into t (id) values (2)", -1}, // it is there again
	}
	for _, how := range []string{"cold", "hot", "by job", "processes"} {
		t.Run(how, func(t *testing.T) {
			change := func(s *engine.Options) {
				switch how {
				case "by job":
					s.Settings.SpoolBytes = 300
				case "processes":
					processes(s)
				}
			}
			dir := t.TempDir()
			one, all := transactionLake(t, t.TempDir(), change), transactionLake(t, dir, change)
			defer one.close()
			defer all.close()
			if how == "hot" {
				for _, d := range []string{"t", "shop.u", "log"} {
					all.pin(d)
				}
			}
			var texts []string
			var rows []int64
			for _, s := range statements[:len(statements)-1] {
				one.did(s.rows, s.sql)
				texts, rows = append(texts, s.sql), append(rows, s.rows)
			}
			last := statements[len(statements)-1].sql
			one.refuses(lake.CodeKeyConflict, last)
			before := all.rows(wholeTransactionLake)
			all.aborts(lake.CodeKeyConflict, "statement 12, insert t: t has a row with the key id = 2", "begin; "+strings.Join(texts, ";\n")+"; "+last+"; commit")
			dry := all.transact("BEGIN TRANSACTION;"+strings.Join(texts, ";")+";ROLLBACK;", rows...)
			if !dry.RolledBack || dry.ReadPoints["t"].Sequence != 1 {
				t.Errorf("the dry run says %+v", dry)
			}
			all.want(wholeTransactionLake, before...)
			done := all.transact("begin;"+strings.Join(texts, ";\n-- a comment\n")+"\n;; end", rows...)
			all.want(wholeTransactionLake, one.rows(wholeTransactionLake)...)
			if done.RolledBack || len(done.ReadPoints) != 3 || done.ReadPoints["t"].Sequence != 2 || done.ReadPoints["shop.u"].Sequence != 2 || done.ReadPoints["log"].Sequence != 1 {
				t.Errorf("it says %+v", done)
			}
			all.want("select count(*) from t at (sequence => 1)", "[3]")
			for _, d := range []string{"t", "shop.u", "log"} {
				all.compact(d)
			}
			all.want(wholeTransactionLake, one.rows(wholeTransactionLake)...)
			all.verifyClean()
			all.cleanScratch(dir)
		})
	}
}

// TestTransactionRefused: nothing is changed, and the error says which statement it is
// and what is wrong.
func TestTransactionRefused(t *testing.T) {
	o := transactionLake(t, t.TempDir())
	defer o.close()
	before := o.rows(wholeTransactionLake)
	const good = "begin; delete from t; delete from shop.u; "
	for _, c := range []struct {
		code      lake.Code
		text, sql string
	}{
		{lake.CodeSQLRefused, "statement 3: SELECT 1 in a transaction", good + "SELECT 1; commit"},
		{lake.CodeSQLRefused, "create table x (id int) in a transaction", good + "create table x (id int); commit"},
		{lake.CodeSQLRefused, "in a transaction", good + "copy t from 'x'; commit"},
		{lake.CodeSQLRefused, "EXPLAIN in a transaction", good + "explain delete from t; commit"},
		{lake.CodeSQLRefused, "RETURNING in a transaction", good + "insert into t (id) values (9) returning *; commit"},
		{lake.CodeSQLRefused, "BEGIN within a transaction", good + "begin; commit; commit"},
		{lake.CodeSQLRefused, "SAVEPOINT A within a transaction", good + "savepoint a; commit"},
		{lake.CodeSQLRefused, "something stands behind COMMIT", good + "commit; delete from log"},
		{lake.CodeSQLInvalid, "COMMIT is missing", good},
		{lake.CodeSQLInvalid, "the transaction has no statement", "begin; commit"},
		{lake.CodeSQLInvalid, "a transaction begins with", "begin immediate transaction; delete from t; commit"},
		{lake.CodeSQLRefused, "AT in a transaction", good + "insert into t select * from t at (sequence => 1); commit"},
		{lake.CodeSQLRefused, "statement 3, update t", good + "update t set a = current_setting('memory_limit') where true; commit"},
		{lake.CodeDatasetNotFound, "statement 3", good + "insert into nope values (1); commit"},
		{lake.CodeDatasetNotFound, "statement 3, insert t", good + "insert into t select * from nope; commit"},
		{lake.CodeSQLInvalid, "statement 3, insert t", good + "insert into t select 1, 'x', error('no'); commit"},
		{lake.CodeSQLInvalid, "statement 3, insert log", good + "insert into log select nope, 1 from t; commit"},
		{lake.CodeNoPrimaryKey, "statement 3, delete log", good + "delete from log; commit"},
		{lake.CodeTooLarge, "more than 100 statements", "begin;" + strings.Repeat("insert into log values ('x', 1);", 101) + "commit"},
		{lake.CodeInvalidRequest, "2 parameters and params gives 0", "begin; delete from t where id = ?; delete from shop.u where k = ?; commit"},
	} {
		o.aborts(c.code, c.text, c.sql)
	}
	o.aborts(lake.CodeDatasetNotFound, "nope", good+"insert into log select a, 1 from t; commit", func(r *engine.TransactionRequest) {
		r.SQL, r.Transaction = "", mustParse(t, "begin; insert into log select 'a', 1 from nope; commit")
	})
	// One who does not see a dataset cannot read it.
	pattern, err := lake.ParseNamePattern("log")
	if err != nil {
		t.Fatal(err)
	}
	visible := lake.NewNameSet(pattern)
	o.aborts(lake.CodeDatasetNotFound, "statement 1", "begin; insert into log select a, 1 from t; commit", func(r *engine.TransactionRequest) { r.Visible = visible })
	o.want(wholeTransactionLake, before...)
	for _, d := range []string{"t", "shop.u", "log"} {
		if at := o.describe(d).ReadPoint.Sequence; at > 1 {
			t.Errorf("%s is at %d", d, at)
		}
	}
	o.transact("begin; delete from t where id > 100; commit", 0)
	if at := o.describe("t").ReadPoint.Sequence; at != 1 {
		t.Errorf("a transaction of nothing made a delta: %d", at)
	}
}

func mustParse(t *testing.T, sql string) *sqlwrite.Transaction {
	t.Helper()
	tx, err := sqlwrite.ParseTransaction(sql)
	if err != nil || tx == nil {
		t.Fatalf("%s: %v, %v", sql, tx, err)
	}
	return tx
}

func (o *opened) describe(dataset string) engine.Description {
	o.t.Helper()
	d, err := o.Describe(context.Background(), parsed(dataset))
	if err != nil {
		o.t.Fatal(err)
	}
	return d
}

// TestTransactionParams: ? counts through all statements, names and numbers mean the same
// in all of them.
func TestTransactionParams(t *testing.T) {
	o := transactionLake(t, t.TempDir())
	defer o.close()
	with := func(params, sql string) {
		t.Helper()
		if _, err := o.tryTransact(sql, func(r *engine.TransactionRequest) { r.Params = []byte(params) }); err != nil {
			t.Fatalf("%s with %s: %v", sql, params, err)
		}
	}
	with(`["p", 1, 2, "q", 7]`, "begin; update t set a = ? where id = ?; delete from t where id = ?; merge into t using (select 3 as id) s on s.id = t.id when matched then update set a = ?, n = ?; commit")
	with(`{"who":"r","k":1}`, "begin; insert into shop.u values ($k + 8, $who); insert into log values ($who, $k); commit")
	with(`["s", 10]`, "begin; insert into shop.u values ($2, $1); insert into log values ($1, $2); insert into log values ('none', 0); commit")
	o.want(wholeTransactionLake, `["l none 0"]`, `["l r 1"]`, `["l s 10"]`, `["t 1 p 10"]`, `["t 3 q 7"]`, `["u 1 one"]`, `["u 10 s"]`, `["u 2 two"]`, `["u 9 r"]`)
}

// TestTransactionOnce: with an Idempotency-Key it has one effect, also after the lake was
// opened again, and says each time what it did.
func TestTransactionOnce(t *testing.T) {
	dir := t.TempDir()
	o := transactionLake(t, dir)
	const sql = "begin; delete from shop.u where k > 100; update t set n = n + 1; insert into log select a, n from t; commit"
	first, err := o.tryTransact(sql, keyedTransaction("k"))
	if err != nil || first.Rows != 6 || len(first.ReadPoints) != 3 {
		t.Fatalf("%+v, %v", first, err)
	}
	content := o.rows(wholeTransactionLake)
	for range 2 {
		again, err := o.tryTransact(sql, keyedTransaction("k"))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(first) {
			t.Fatalf("again it says %+v, %v, first it said %+v", again, err, first)
		}
		o.aborts(lake.CodeIdempotencyReused, "k", strings.Replace(sql, "+ 1", "+ 2", 1), keyedTransaction("k"))
		o.want(wholeTransactionLake, content...)
		o.close()
		o = openLake(t, dir)
	}
	// Two at once are one.
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if _, err := o.tryTransact("begin; insert into log values ('twice', 1); insert into shop.u values (77, 'x'); commit", keyedTransaction("k2")); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	o.want("select count(*) from log where what = 'twice'", "[1]")
	o.verifyClean()
	o.close()
}

// TestI2TransactionAtomic: while transactions move amounts between two datasets and a
// third counts them, hot and cold, with compaction and statements of others between, every
// query and every earlier state sees whole ones.
func TestI2TransactionAtomic(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir)
	defer o.close()
	o.create("a", schema(t, []string{"id"}, "id BIGINT", "n BIGINT"))
	o.create("b.b", schema(t, []string{"id"}, "id BIGINT", "n BIGINT"))
	o.create("moved", schema(t, nil, "n BIGINT"))
	o.did(10, "insert into a select i, 100 from range(10) r(i)")
	o.did(10, "insert into b.b select i, 100 from range(10) r(i)")
	o.pin("a")
	f := follow(t, dir)
	defer f.close()
	const rounds = 8
	var done atomic.Bool
	var group, readers sync.WaitGroup
	for w := range 3 {
		group.Go(func() {
			for i := range rounds {
				from, to := "a", "b.b"
				if (w+i)%2 == 0 {
					from, to = to, from
				}
				sql := fmt.Sprintf("begin; update %s set n = n - 1 where id = %d; update %s as x set n = n + 1 where id = %d; insert into moved values (1); commit", from, i%10, to, (i+w)%10)
				if _, err := o.tryTransact(sql); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Go(func() {
		for i := range rounds {
			if _, err := o.exec(fmt.Sprintf("update a set n = n where id = %d", i%10)); err != nil {
				t.Error(err)
			}
			if i%4 == 0 {
				o.compact("b.b")
			}
		}
	})
	const total = "select (select sum(n) from a) + (select sum(n) from b.b)"
	for _, at := range []*opened{o, o, f} {
		readers.Go(func() {
			for !done.Load() {
				if got, err := at.tryRows(total); err != nil || got[0] != `["2000"]` {
					t.Errorf("%v, %v: half a transaction is seen", got, err)
					return
				}
				if at == f {
					if err := f.CatchUp(context.Background()); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	group.Wait()
	done.Store(true)
	readers.Wait()
	o.want("select count(*) from moved", fmt.Sprintf("[%d]", 3*rounds))
	f.caughtUp(o)
	o.verifyClean()
}

// newestDelta is the file of a dataset's newest delta.
func newestDelta(t *testing.T, o *opened, dir, dataset string) string {
	t.Helper()
	at := o.describe(dataset).ReadPoint
	return filepath.Join(dir, "deltas", at.TableUUID, fmt.Sprintf("%020d.parquet", at.Sequence))
}

// TestI4HalfATransaction: a lake in which a delta of a transaction is missing, as after a
// kill, opens without any of it; so it stays when the lake is opened again, when the place
// is taken by another delta, and when the others of it are folded and trimmed away.
func TestI4HalfATransaction(t *testing.T) {
	dir := t.TempDir()
	o := transactionLake(t, dir)
	before := o.rows(wholeTransactionLake)
	if _, err := o.tryTransact("begin; delete from t where id < 3; insert into log values ('half', 1); update shop.u set v = 'half'; commit", keyedTransaction("k")); err != nil {
		t.Fatal(err)
	}
	whole := o.rows(wholeTransactionLake)
	missing := newestDelta(t, o, dir, "shop.u")
	o.close()
	hidden := filepath.Join(t.TempDir(), "delta")
	if err := os.Rename(missing, hidden); err != nil {
		t.Fatal(err)
	}
	// A follower shows none of it, and then all.
	f := follow(t, dir)
	f.want(wholeTransactionLake, before...)
	if err := os.Rename(hidden, missing); err != nil {
		t.Fatal(err)
	}
	if err := f.CatchUp(context.Background()); err != nil {
		t.Fatal(err)
	}
	f.want(wholeTransactionLake, whole...)
	f.close()
	if err := os.Remove(missing); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		o = openLake(t, dir, noRetentionOf)
		o.want(wholeTransactionLake, before...)
		o.pin("t")
		o.want(wholeTransactionLake, before...)
		o.verifyClean()
		f := follow(t, dir)
		f.caughtUp(o)
		f.close()
		if round == 0 {
			events, _ := o.feed(engine.FeedRequest{Dataset: parsed("t"), Since: 1})
			for _, e := range events {
				if e.op != string(engine.FeedCommit) {
					t.Errorf("the feed tells of it: %+v", e)
				}
			}
			// Its key is free: the client was told nothing.
			if _, err := o.tryTransact("begin; insert into log values ('k', 1); commit", keyedTransaction("k")); err != nil {
				t.Fatal(err)
			}
			before = o.rows(wholeTransactionLake)
		}
		if round == 1 {
			for _, d := range []string{"t", "shop.u"} {
				o.change(d, engine.OpUpsert, map[string]string{"t": `{"id":50,"a":"later","n":1}`, "shop.u": `{"k":50,"v":"later"}`}[d])
				o.compact(d)
			}
			before = o.rows(wholeTransactionLake)
			for range 2 {
				if err := o.Tidy(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
		}
		o.close()
	}
}

func noRetentionOf(o *engine.Options) { noRetention(&o.Settings) }

// TestI1TransactionOutlivesItsDeltas: a committed transaction stays so when deltas of it
// are trimmed away, and when a dataset of it is dropped, though others are still pending.
func TestI1TransactionOutlivesItsDeltas(t *testing.T) {
	for _, how := range []string{"trim", "drop", "backup"} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			o := transactionLake(t, dir, noRetentionOf)
			o.transact("begin; delete from t where id < 3; update shop.u set v = 'new'; insert into log values ('in', 1); commit", 2, 2, 1)
			want := o.rows("select * from t")
			if listsTransactions(t, dir) {
				t.Error("the catalog lists what all deltas of are there")
			}
			if how == "drop" {
				if err := o.Drop(context.Background(), parsed("shop.u"), engine.Idempotency{}); err != nil {
					t.Fatal(err)
				}
			} else {
				o.change("shop.u", engine.OpUpsert, `{"k":9,"v":"later"}`)
				o.compact("shop.u")
				for range 2 {
					if err := o.Tidy(context.Background()); err != nil {
						t.Fatal(err)
					}
				}
				if at := o.describe("shop.u").TrimmedThrough; at < 2 {
					t.Fatalf("nothing was trimmed: %d", at)
				}
			}
			if how == "backup" {
				to := t.TempDir()
				o.backup(to, 0)
				o.close()
				dir = filepath.Join(t.TempDir(), "restored")
				if _, err := engine.Restore(context.Background(), engine.RestoreRequest{Path: to, Options: engine.Options{
					Data: dir, Settings: testSettings(), MemoryBytes: 2 << 30, Log: quiet(),
				}}, nil); err != nil {
					t.Fatal(err)
				}
			} else {
				o.close()
			}
			o = openLake(t, dir, noRetentionOf)
			o.want("select * from t", want...)
			o.want("select what from log", `["in"]`)
			o.verifyClean()
			f := follow(t, dir)
			f.caughtUp(o)
			f.close()
			// The entry goes with the last delta.
			for _, d := range []string{"t", "log"} {
				o.change(d, engine.OpUpsert, map[string]string{"t": `{"id":50,"a":"later","n":1}`, "log": `{"what":"later","n":1}`}[d])
				o.compact(d)
			}
			for range 2 {
				if err := o.Tidy(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			if listsTransactions(t, dir) {
				t.Error("the catalog lists it still")
			}
			o.close()
		})
	}
}

// TestI2FollowerWithinATransaction: whatever of the lake's files a follower has read when a
// dataset is made and a transaction changes it and another, it shows all of it or none,
// and all of it after its next look.
func TestI2FollowerWithinATransaction(t *testing.T) {
	dir := t.TempDir()
	w := transactionLake(t, dir)
	defer w.close()
	var calls, at int64
	var write func()
	step := func(string) {
		if calls++; calls == at {
			write()
		}
	}
	seen := stepped(t, dir)
	f := follow(t, dir, func(o *engine.Options) { o.Store = seen })
	defer f.close()
	seen.list = step
	w.transact("begin; update t set n = 0; update shop.u set v = '0'; commit", 3, 2)
	made := 0
	for calls = 0; ; {
		happened := false
		write = func() {
			happened = true
			made++
			w.create(fmt.Sprintf("a%d", made), schema(t, []string{"id"}, "id BIGINT"))
			w.transact(fmt.Sprintf("begin; update t set n = %d; insert into a%d values (%d); update shop.u set v = '%d'; commit", made, made, made, made), 3, 1, 2)
		}
		before := at
		w.did(1, "insert into log values ('a look has something to show', 1)")
		calls, at = 0, at+1
		if err := f.CatchUp(context.Background()); err != nil {
			t.Fatal(err)
		}
		calls, at, before = 0, -1, before+1
		f.want("select count(*) from (select n::varchar from t union select v from shop.u)", "[1]")
		f.caughtUp(w)
		if at = before; !happened {
			break
		}
		// Without it the next look has as many listings as this one had.
		if err := w.Drop(context.Background(), parsed(fmt.Sprintf("a%d", made)), engine.Idempotency{}); err != nil {
			t.Fatal(err)
		}
		if made > 100 {
			t.Fatal("a look does not come to its end")
		}
		f.caughtUp(w)
	}
	if made < 5 {
		t.Errorf("only %d instants were met", made)
	}
}

// listsTransactions says whether the newest catalog version does.
func listsTransactions(t *testing.T, dir string) bool {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "catalog", "*.json"))
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	text, err := os.ReadFile(slices.Max(all))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(text), `"transactions":`)
}

// TestI8TransactionAborted: where one delta of a transaction cannot be created for certain,
// none of it is seen, now and after the lake is opened again, and all of its datasets go
// on. Where the outcome is unknown the client is told so, and the retry has one effect.
func TestI8TransactionAborted(t *testing.T) {
	const sql = "begin; update t set n = n + 1; insert into log values ('once', 1); update shop.u set v = v || '!'; commit"
	for name, kind := range map[string]storetest.Fault{
		"refused": storetest.Refused, "lost request": storetest.LostRequest, "lost answer": storetest.LostAnswer, "late request": storetest.LateRequest,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var on atomic.Bool
			var prefix atomic.Value
			var hits atomic.Int64
			prefix.Store("nowhere")
			o := openFaulty(t, dir, func(c storetest.Call) storetest.Fault {
				if on.Load() && c.Op == storetest.OpCreate && strings.HasPrefix(c.Key, prefix.Load().(string)) {
					hits.Add(1)
					return kind
				}
				return storetest.NoFault
			})
			o.create("t", schema(t, []string{"id"}, "id BIGINT", "a VARCHAR", "n INTEGER"))
			o.create("shop.u", schema(t, []string{"k"}, "k BIGINT", "v VARCHAR"))
			o.create("log", schema(t, nil, "what VARCHAR", "n BIGINT"))
			o.did(1, "insert into t values (1, 'x', 10)")
			o.did(1, "insert into shop.u values (1, 'one')")
			before := o.rows(wholeTransactionLake)
			prefix.Store("deltas/" + o.describe("t").ReadPoint.TableUUID)
			on.Store(true)
			result := make(chan error, 1)
			go func() {
				_, err := o.tryTransact(sql, keyedTransaction("k"))
				result <- err
			}()
			if kind == storetest.Refused {
				for hits.Load() < 3 { // the delta, and what is to take its place
					time.Sleep(time.Millisecond)
				}
			} else if err := <-result; lake.CodeOf(err) != lake.CodeUnknownOutcome {
				t.Errorf("it ended with %v", err)
			}
			o.want(wholeTransactionLake, before...)
			on.Store(false)
			if kind == storetest.Refused {
				if err := <-result; lake.CodeOf(err) != lake.CodeUnavailable {
					t.Errorf("it ended with %v", err)
				}
				o.want(wholeTransactionLake, before...)
				o.did(1, "update t set a = 'goes on'")
				o.did(1, "update shop.u set v = 'goes on'")
				before = o.rows(wholeTransactionLake)
				o.close()
				o = openLake(t, dir)
				o.want(wholeTransactionLake, before...)
				o.did(1, "update shop.u set v = 'one'")
			}
			if _, err := o.tryTransact(sql, keyedTransaction("k")); err != nil {
				t.Fatal(err)
			}
			o.want("select n from t", "[11]")
			o.want("select v from shop.u", `["one!"]`)
			o.want("select count(*) from log", "[1]")
			o.verifyClean()
			o.close()
		})
	}
}

// TestTransactionEnds: a transaction whose client goes away before the commit, or whose
// time is up, changes nothing and lets its datasets go; so does one that waits.
func TestTransactionEnds(t *testing.T) {
	dir := t.TempDir()
	o := transactionLake(t, dir)
	defer o.close()
	before := o.rows(wholeTransactionLake)
	const slow = "begin; delete from t; insert into log select 'slow', count(*) from range(100000000) a(x), range(1000) b(y) where hash(x + y) % 7 = 1; commit"
	for _, end := range []func(cancel func()){
		func(cancel func()) { // of the client, once it runs
			for {
				for _, q := range o.Queries() {
					if strings.HasPrefix(q.SQL, "begin") && q.State == "running" {
						cancel()
						return
					}
				}
				time.Sleep(time.Millisecond)
			}
		},
		func(func()) {}, // of its time
	} {
		ctx, cancel := context.WithCancel(t.Context())
		go end(cancel)
		_, err := o.transactWithin(ctx, slow, func(r *engine.TransactionRequest) { r.Timeout = 2 * time.Second })
		if code := lake.CodeOf(err); code != lake.CodeCancelled && code != lake.CodeDeadline && !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
		cancel()
		o.want(wholeTransactionLake, before...)
	}
	o.transact("begin; update t set n = 0; commit", 3)
	o.cleanScratch(dir)
	o.verifyClean()
}

// TestTransactionBesideOthers: datasets that a transaction reads and does not change are
// those of one instant, whatever is written meanwhile.
func TestTransactionBesideOthers(t *testing.T) {
	o := transactionLake(t, t.TempDir())
	defer o.close()
	o.create("other", schema(t, []string{"id"}, "id BIGINT", "n BIGINT"))
	o.did(1, "insert into other values (1, 1)")
	seen := make(chan error, 1)
	atFirst(t, "transaction.statement", func() {
		_, err := o.exec("update other set n = 2")
		seen <- err
	})
	o.transact("begin; insert into log select 'first', n from other; insert into log select 'second', n from other; commit", 1, 1)
	if err := <-seen; err != nil {
		t.Fatal(err)
	}
	o.want("select what, n from log order by what", `["first",1]`, `["second",1]`)
	o.want("select n from other", "[2]")
	// A name means the same of a dataset as it is, of one with own changes, and as it was.
	for _, sql := range []string{
		"begin; insert into log select shop.u.v, 1 from shop.u; commit",
		"begin; update shop.u set v = 'x'; insert into log select shop.u.v, 1 from shop.u; commit",
		"begin; update shop.u set v = 'x' where shop.u.k = 1; commit",
	} {
		o.aborts(lake.CodeSQLInvalid, "shop", sql)
	}
	o.transact("begin; insert into log select main.t.a, u.k from shop.u join main.t on t.id = u.k; update t set a = 'x'; update shop.u set v = t.a from t where u.k = main.t.id; commit", 2, 3, 2)
}

// TestI4TransactionAtATakeOver: another server takes the bucket over while one delta of a
// transaction is on its way, or all of them are there and nothing is told yet: the new one
// has none of it, or all, and the old one cannot add to it.
func TestI4TransactionAtATakeOver(t *testing.T) {
	const sql = "begin; update t set n = n + 1; insert into log values ('once', 1); update shop.u set v = v || '!'; commit"
	datasets := []string{"t", "shop.u", "log"}
	for late := range len(datasets) + 1 {
		t.Run(fmt.Sprint(late), func(t *testing.T) {
			mem := memoryBucket(t)
			seen := &stepping{Store: mem}
			o := transactionLake(t, "", inMemory(seen, t.TempDir()))
			before := o.rows(wholeTransactionLake)
			reached, released := make(chan struct{}), make(chan struct{})
			stops := sync.OnceFunc(func() { close(reached); <-released })
			var next []string
			for i, d := range datasets {
				at := o.describe(d).ReadPoint
				key := fmt.Sprintf("deltas/%s/%020d.parquet", at.TableUUID, at.Sequence+1)
				if i != late {
					next = append(next, key)
					continue
				}
				seen.create = func(created string) {
					if created == key {
						stops()
					}
				}
			}
			if late == len(datasets) {
				atFirst(t, "transaction.created", stops)
			}
			result := make(chan error, 1)
			go func() {
				_, err := o.tryTransact(sql, keyedTransaction("k"))
				result <- err
			}()
			<-reached
			for _, key := range next {
				for _, err := mem.Stat(t.Context(), key); err != nil; _, err = mem.Stat(t.Context(), key) {
					time.Sleep(time.Millisecond)
				}
			}
			after := openLake(t, "", inMemory(mem, t.TempDir()))
			if late < len(datasets) {
				after.want(wholeTransactionLake, before...)
			} else {
				after.want("select n from t where id = 1", "[11]")
			}
			whole := after.rows(wholeTransactionLake)
			close(released)
			if err := <-result; late < len(datasets) && err == nil {
				t.Error("the old server says that it is in")
			}
			after.want(wholeTransactionLake, whole...)
			o.close()
			for range 2 {
				if _, err := after.tryTransact(sql, keyedTransaction("k")); err != nil {
					t.Fatal(err)
				}
				after.want("select n from t where id = 1", "[11]")
				after.want("select v from shop.u where k = 1", `["one!"]`)
				after.want("select count(*) from log", "[1]")
				after.verifyClean()
				after.close()
				after = openLake(t, "", inMemory(mem, t.TempDir()))
			}
			after.close()
		})
	}
}

// TestI7TransactionDisagrees: deltas of a transaction that say different things of it are
// found.
func TestI7TransactionDisagrees(t *testing.T) {
	dir := t.TempDir()
	o := transactionLake(t, dir)
	o.transact("begin; update t set n = 1; update shop.u set v = 'x'; commit", 3, 2)
	path, s := newestDelta(t, o, dir, "shop.u"), schema(t, []string{"k"}, "k BIGINT", "v VARCHAR").WithFieldIDs()
	o.verifyClean()
	o.close()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(h *format.DeltaHeader){
		"say different things of their transaction": func(h *format.DeltaHeader) { h.Transaction.Statements[0].Rows++ },
		"is not among the deltas":                   func(h *format.DeltaHeader) { h.Transaction.Deltas = h.Transaction.Deltas[:1] },
	} {
		h, changes, err := format.DecodeDelta(path, body, s)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(h.Transaction.Deltas, func(a, b lake.TransactionDelta) int { // the other one first
			return map[bool]int{true: 1, false: -1}[a.TableUUID == h.TableUUID]
		})
		change(&h)
		other, err := format.EncodeDelta(h, s, changes)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, other, 0o644); err != nil {
			t.Fatal(err)
		}
		o := openLake(t, dir)
		if err := o.wrong(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("verify finds %v, want %s", err, what)
		}
		o.close()
	}
}
