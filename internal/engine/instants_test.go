package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// past is what a dataset held after each sequence.
type past map[int64][]string

// instantsLab is a lake with a keyed dataset and one without a key, and all that they
// ever held.
type instantsLab struct {
	*opened
	t      *testing.T
	dir    string
	random *rand.Rand
	now    *atomic.Int64 // µs that the clock is ahead
	states map[string]past
	names  map[string]string // as they are called now
	change []func(*engine.Options)
}

func (l *instantsLab) open() {
	l.opened = openLake(l.t, l.dir, append(l.change, func(o *engine.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(l.now.Load()) * time.Microsecond) }
	})...)
}

// remember notes what is there now.
func (l *instantsLab) remember() {
	l.t.Helper()
	for id, states := range l.states {
		got, head, err := l.tryAnswer("select * from " + l.names[id])
		if err != nil {
			l.t.Fatal(err)
		}
		slices.Sort(got)
		for _, at := range head.ReadPoints {
			if before, ok := states[at.Sequence]; ok && !slices.Equal(before, got) {
				l.t.Fatalf("%s at %d was %v and is %v", id, at.Sequence, before, got)
			}
			states[at.Sequence] = got
		}
	}
}

// compare asks for every state that was.
func (l *instantsLab) compare(why string) {
	l.t.Helper()
	for id, states := range l.states {
		for sequence, want := range states {
			got, head, err := l.tryAnswer(fmt.Sprintf("select * from %s as x at (sequence => %d)", l.names[id], sequence))
			if err != nil {
				l.t.Fatalf("%s: %s at %d: %v", why, id, sequence, err)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				l.t.Fatalf("%s: %s at %d: %v, and it was %v", why, id, sequence, got, want)
			}
			for name, at := range head.ReadPoints {
				if at.Sequence != sequence || !strings.Contains(name, "AT (SEQUENCE") {
					l.t.Fatalf("%s: it says %s %+v", why, name, at)
				}
			}
		}
	}
}

func (l *instantsLab) step() {
	l.t.Helper()
	key := func() string { return fmt.Sprintf(`"id":%d`, l.random.IntN(12)) }
	switch l.random.IntN(12) {
	case 0, 1, 2, 3:
		l.opened.change(l.names["t"], engine.OpUpsert, fmt.Sprintf(`{%s,"v":%d}`, key(), l.random.IntN(1000)), fmt.Sprintf(`{"id":%d,"v":null}`, 20+l.random.IntN(5)))
	case 4, 5:
		l.opened.change(l.names["t"], engine.OpDelete, "{"+key()+"}")
	case 6:
		l.opened.change(l.names["log"], engine.OpUpsert, fmt.Sprintf(`{"n":%d}`, l.random.IntN(1000)), `{"n":null}`)
	case 7:
		l.compact(l.names["t"])
	case 8:
		l.compact(l.names["log"])
	case 9:
		mode := []engine.ImportMode{engine.ImportAppend, engine.ImportReplace}[l.random.IntN(2)]
		if _, err := l.importText(l.names["t"], mode, rows.CSV, nil, engine.DuplicateLast, fmt.Sprintf("id,v\n%d,%d\n", l.random.IntN(12), l.random.IntN(1000))); err != nil {
			l.t.Fatal(err)
		}
	case 10:
		to := fmt.Sprintf("n%d.t", l.random.IntN(1000))
		if _, err := l.Rename(context.Background(), name(l.t, l.names["t"]), name(l.t, to), engine.Idempotency{}); err != nil {
			l.t.Fatal(err)
		}
		l.names["t"] = to
	case 11:
		if l.random.IntN(2) == 0 {
			l.close()
			l.open()
		} else {
			l.pin(l.names["t"])
		}
	}
	l.remember()
}

// TestI3AsItWas: every state that a dataset ever had can be asked for, whatever became of
// it since: folds, marks, content commits, renames, restarts, hot and cold.
func TestI3AsItWas(t *testing.T) {
	for round, change := range []func(*engine.Options){
		func(*engine.Options) {},
		func(o *engine.Options) { o.Settings.CompactDeadShare = 0.9 },
		func(o *engine.Options) { o.Settings.LargeDeltaBytes = 1 },
	} {
		l := &instantsLab{
			t: t, dir: t.TempDir(), random: rand.New(rand.NewPCG(uint64(testSeed(t)), uint64(round))), now: &atomic.Int64{},
			states: map[string]past{"t": {}, "log": {}}, names: map[string]string{"t": "t", "log": "log"}, change: []func(*engine.Options){change},
		}
		l.open()
		l.create("t", schema(t, []string{"id"}, "id BIGINT", "v BIGINT"))
		l.create("log", schema(t, nil, "n BIGINT"))
		l.remember()
		for range 40 {
			l.step()
		}
		l.compare("at the end")
		if err := l.Tidy(context.Background()); err != nil {
			t.Fatal(err)
		}
		l.close()
		l.open()
		l.compare("after upkeep and a restart")
		l.verifyClean()
		l.close()
	}
}

// TestAsItWasInOneQuery: a dataset at several instants, beside another one as it is, by
// sequence and by time.
func TestAsItWasInOneQuery(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir)
	defer o.close()
	o.create("sales.orders", schema(t, []string{"id"}, "id BIGINT", "ü VARCHAR"))
	o.create("u", schema(t, []string{"id"}, "id BIGINT"))
	o.change("u", engine.OpUpsert, `{"id":1}`, `{"id":2}`)
	o.change("sales.orders", engine.OpUpsert, `{"id":1,"ü":"a"}`)
	between := time.Now()
	o.change("sales.orders", engine.OpUpsert, `{"id":1,"ü":"b"}`, `{"id":2,"ü":"c"}`)
	o.compact("sales.orders")
	o.pin("sales.orders")
	o.want(`select /* ü — "at (" */ orders.id, was."ü", orders."ü" from sales.orders join sales.orders as was at (sequence => 1) using (id) order by 1`, `[1,"a","b"]`)
	o.want(`select count(*), (select count(*) from sales.orders at (version => 0)), (select count(*) from sales.orders At( /*x*/ Sequence=>2 )) from "SALES"."orders" AT (SEQUENCE => 1), u`, `[2,0,2]`)
	o.want("select x.a from sales.orders x(a, b) at (sequence => 1::bigint) where x.b = 'a'", `[1]`)
	at := between.UTC().Format("2006-01-02 15:04:05.000000")
	o.want("select \"ü\" from sales.orders at (timestamp => '"+at+"+00')", `["a"]`)
	o.want("select \"ü\" from sales.orders at_all at (timestamp => timestamp '"+at+"')", `["a"]`)
	o.want("with w as (from sales.orders at (sequence => 1)) select count(*) from w", `[1]`)
	o.want("summarize select id from sales.orders at (sequence => 1)", o.rows("summarize select 1::bigint as id")...)
	if got := strings.Join(o.rows("explain select * from sales.orders at (sequence => 1)"), ""); !strings.Contains(got, "READ_PARQUET") || strings.Contains(got, dir) {
		t.Error(got)
	}
	// A statement that changes rows brings back what was there.
	r, err := o.exec("insert into sales.orders select * from sales.orders at (sequence => 1) on conflict (id) do update set ü = excluded.ü")
	if err != nil || r.Rows != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	o.want("select * from sales.orders order by id", `[1,"a"]`, `[2,"c"]`)
	for sql, code := range map[string]lake.Code{
		"select * from sales.orders at (sequence => 99)":                      lake.CodeInvalidRequest,
		"select * from sales.orders at (sequence => -1)":                      lake.CodeSQLInvalid,
		"select * from sales.orders at (sequence => 1.5)":                     lake.CodeSQLInvalid,
		"select * from sales.orders at (sequence => '1')":                     lake.CodeSQLInvalid,
		"select * from sales.orders at (timestamp => 7)":                      lake.CodeSQLInvalid,
		"select * from sales.orders at (timestamp => 'yesterday')":            lake.CodeSQLInvalid,
		"select * from sales.orders at (timestamp => '2999-01-01')":           lake.CodeInvalidRequest,
		"select * from sales.orders at (timestamp => now()::timestamp)":       lake.CodeSQLRefused,
		"select * from sales.orders at (sequence => (select max(id) from u))": lake.CodeSQLRefused,
		"select * from sales.orders at (branch => 'x')":                       lake.CodeSQLInvalid,
		"with w as (select 1) select * from w at (sequence => 1)":             lake.CodeSQLRefused,
		"select * from nobody at (sequence => 1)":                             lake.CodeDatasetNotFound,
		"select * from range(3) at (sequence => 1)":                           lake.CodeSQLInvalid,
		"select * from temp.main._tarn_at_0":                                  lake.CodeSQLRefused,
		"select * from sales.orders at (sequence => 1) union from _tarn_at_0": lake.CodeDatasetNotFound,
		"select * from 'x.parquet' at (sequence => 1)":                        lake.CodeSQLRefused,
		"select * from sales.orders at (sequence => 1) tablesample 10%":       lake.CodeSQLRefused,
		"select rowid from sales.orders at (sequence => 1)":                   lake.CodeSQLRefused,
	} {
		_, err := o.tryRows(sql)
		if lake.CodeOf(err) != code {
			t.Errorf("%s: %v, and %s was expected", sql, err, code)
		}
	}
}

// TestAsItWasWithinRetention: what upkeep took away is told as such, and what a query
// reads is not taken away under it.
func TestAsItWasWithinRetention(t *testing.T) {
	o := openLake(t, t.TempDir(), func(o *engine.Options) {
		o.Settings.SnapshotRetention, o.Settings.DeltaRetention, o.Settings.IdempotencyRetention = 1, 1, 1
	})
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	var many []string
	for i := range 20_000 {
		many = append(many, fmt.Sprintf(`{"id":%d,"v":"%0200d"}`, i, i))
	}
	o.change("t", engine.OpUpsert, many...)
	o.compact("t")
	a, err := o.Query(context.Background(), engine.QueryRequest{SQL: "select * from t at (sequence => 1)", Format: rows.OutJSON})
	if err != nil {
		t.Fatal(err)
	}
	tidy := func() {
		if _, err := o.tryChange("t", engine.OpUpsert, `{"id":1,"v":"three"}`); err != nil {
			t.Error(err)
		}
		if _, err := o.tryCompact("t"); err != nil {
			t.Error(err)
		}
		if err := o.Tidy(context.Background()); err != nil {
			t.Error(err)
		}
	}
	tidied := make(chan struct{})
	go func() { // it may wait for the query
		defer close(tidied)
		tidy()
	}()
	for folded := int64(0); folded < 2; { // the snapshot that is read is old by then
		d, err := o.Describe(context.Background(), name(t, "t"))
		if err != nil {
			t.Fatal(err)
		}
		folded = d.FoldedThrough
	}
	if got, err := rowsOf(a); err != nil || len(got) != 20_000 {
		t.Errorf("%d rows, %v", len(got), err)
	}
	a.Body.Close()
	<-tidied
	tidy()
	tidy()
	_, err = o.tryRows("select * from t at (sequence => 1)")
	wantCode(t, err, lake.CodeNotRetained)
	_, err = o.tryRows("select * from t at (timestamp => '2026-01-01')")
	wantCode(t, err, lake.CodeNotRetained)
	o.want("select count(*) from t at (sequence => 4)", `[20000]`)
	o.verifyClean()
}

// TestAsItWasTellsNoFolder: what is missing is named by its key, and a state whose files
// are gone is not taken for one that never was.
func TestAsItWasTellsNoFolder(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir)
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT"))
	o.change("t", engine.OpUpsert, `{"id":1}`)
	o.change("t", engine.OpUpsert, `{"id":2}`)
	for _, p := range filesUnder(t, filepath.Join(dir, "deltas")) {
		if strings.HasSuffix(p, "1.parquet") {
			if err := os.Remove(filepath.Join(dir, "deltas", p)); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err := o.tryRows("select * from t at (sequence => 1)")
	if lake.CodeOf(err) != lake.CodeDamaged || strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "deltas/") {
		t.Error(err)
	}
}

// TestAsItWasAtATimeStays: a time names a state for good, whatever is being committed.
func TestAsItWasAtATimeStays(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT"))
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := o.tryChange("t", engine.OpUpsert, fmt.Sprintf(`{"id":%d}`, n)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	seen := map[string]string{}
	for range 30 {
		at := time.Now().UTC().Format("2006-01-02 15:04:05.000000")
		sql := "select count(*) from t at (timestamp => '" + at + "')"
		seen[sql] = strings.Join(o.rows(sql), "")
	}
	close(stop)
	<-ended
	for sql, was := range seen {
		o.want(sql, was)
	}
}

// TestAsItWasUnderItsSchema: an earlier state has the columns of then.
func TestAsItWasUnderItsSchema(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id INTEGER", "a VARCHAR"))
	o.change("t", engine.OpUpsert, `{"id":1,"a":"x"}`)
	o.compact("t")
	o.change("t", engine.OpUpsert, `{"id":2,"a":"y"}`)
	o.alter("t RENAME COLUMN a TO b")
	o.alter("t ADD COLUMN a BIGINT")
	o.change("t", engine.OpUpsert, `{"id":2,"a":7,"b":"z"}`)
	for range 2 {
		o.want("select * from t at (sequence => 2) order by id", `[1,"x"]`, `[2,"y"]`)
		o.want("select * from t at (sequence => 3) order by id", `[1,"x"]`, `[2,"y"]`)
		o.want("select b from t at (sequence => 3) order by id", `["x"]`, `["y"]`)
		o.want("select id, b, a from t at (sequence => 5) order by id", `[1,"x",null]`, `[2,"z",7]`)
		o.compact("t")
	}
	_, err := o.tryRows("select b from t at (sequence => 2)")
	wantCode(t, err, lake.CodeSQLInvalid)
}
