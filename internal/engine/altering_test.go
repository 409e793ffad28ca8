package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/sqlddl"
)

// tryAlter does what an ALTER TABLE says.
func (o *opened) tryAlter(sql string, change ...func(*engine.AlterRequest)) (engine.AlterResult, error) {
	a, err := sqlddl.ParseAlter("ALTER TABLE " + sql)
	if err != nil {
		return engine.AlterResult{}, err
	}
	r := engine.AlterRequest{Dataset: a.Table, Operations: a.Operations}
	for _, c := range change {
		c(&r)
	}
	return o.Alter(context.Background(), r)
}

func (o *opened) alter(sql string) engine.AlterResult {
	o.t.Helper()
	r, err := o.tryAlter(sql)
	if err != nil {
		o.t.Fatalf("ALTER TABLE %s: %v", sql, err)
	}
	return r
}

func alters(sql string) func(*opened, string) error {
	return func(o *opened, key string) error {
		_, err := o.tryAlter(sql, func(r *engine.AlterRequest) { r.Idempotency = idempotency(key) })
		return err
	}
}

// bothWays wants rows cold and hot.
func (o *opened) bothWays(sql string, dataset string, want ...string) {
	o.t.Helper()
	o.evict(dataset)
	o.want(sql, want...)
	o.pin(dataset)
	o.want(sql, want...)
	o.evict(dataset)
}

// TestAlter: every operation, with rows in the base and in deltas from before, cold and
// hot, before and after a fold and a restart.
func TestAlter(t *testing.T) {
	for _, large := range []int64{0, 1} { // 1: no delta is held in the tail
		for _, share := range []float64{0, 1} {
			t.Run(fmt.Sprintf("large %d dead share %v", large, share), func(t *testing.T) { alterEverything(t, large, share) })
		}
	}
}

func alterEverything(t *testing.T, large int64, share float64) {
	dir := t.TempDir()
	open := func() *opened {
		return openLake(t, dir, func(o *engine.Options) {
			o.Settings.LargeDeltaBytes, o.Settings.CompactDeadShare, o.Settings.TargetFileBytes = large, share, 1
		})
	}
	o := open()
	defer func() { o.close() }()
	o.create("t", schema(t, []string{"id"}, "id INTEGER", "a VARCHAR", "f FLOAT", "d DECIMAL(4,2)", "gone BLOB"))
	o.change("t", engine.OpUpsert,
		`{"id":1,"a":"base","f":0.5,"d":"1.25","gone":"aGk="}`, `{"id":2,"a":"base","f":1.5,"d":"2.25","gone":null}`, `{"id":3,"a":"goes","f":null,"d":null,"gone":null}`)
	o.compact("t")
	o.change("t", engine.OpUpsert, `{"id":2,"a":"delta","f":2.5,"d":"99.99","gone":"aGk="}`, `{"id":4,"a":"delta","f":3.5,"d":null,"gone":null}`)
	o.change("t", engine.OpDelete, `{"id":3}`)
	before, err := o.Describe(t.Context(), name(t, "t"))
	if err != nil {
		t.Fatal(err)
	}
	got := o.alter("t ADD COLUMN n BIGINT, DROP COLUMN gone, RENAME a TO b, ALTER id TYPE BIGINT, ALTER f TYPE DOUBLE, ALTER d TYPE DECIMAL(20,2)")
	if !got.Changed || got.Sequence != before.ReadPoint.Sequence+1 || got.ETag == before.ETag {
		t.Fatalf("%+v after %+v", got, before)
	}
	o.alter("t ADD gone VARCHAR, RENAME id TO key") // the name of before comes without its values
	rowsAre := func(want ...string) {
		t.Helper()
		o.bothWays("SELECT * FROM t ORDER BY key", "t", want...)
		o.bothWays("SELECT key FROM t WHERE f > 1 AND b = 'delta' ORDER BY 1", "t", "[2]", "[4]")
		o.bothWays("SELECT count(gone) + count(n) FROM t", "t", "[0]")
	}
	old := []string{`[1,"base",0.5,"1.25",null,null]`, `[2,"delta",2.5,"99.99",null,null]`, `[4,"delta",3.5,null,null,null]`}
	rowsAre(old...)
	row, _, err := o.Row(t.Context(), name(t, "t"), "4")
	if err != nil || string(row) != `{"key":4,"b":"delta","f":3.5,"d":null,"n":null,"gone":null}` {
		t.Fatalf("%s, %v", row, err)
	}
	o.close()
	o = open()
	rowsAre(old...)
	o.change("t", engine.OpUpsert, `{"key":5000000000,"b":"delta","f":1e300,"d":"123456.78","n":7,"gone":null}`)
	o.change("t", engine.OpDelete, `{"key":4}`)
	o.want("SELECT key FROM t ORDER BY 1", "[1]", "[2]", "[5000000000]")
	o.compact("t")
	after := []string{`[1,"base",0.5,"1.25",null,null]`, `[2,"delta",2.5,"99.99",null,null]`, `[5000000000,"delta",1e+300,"123456.78",7,null]`}
	for range 2 {
		o.bothWays("SELECT * FROM t ORDER BY key", "t", after...)
		o.close()
		o = open()
	}
	o.want("DESCRIBE t", `["key","BIGINT","NO","PRI",null,null]`, `["b","VARCHAR","YES",null,null,null]`, `["f","DOUBLE","YES",null,null,null]`,
		`["d","DECIMAL(20,2)","YES",null,null,null]`, `["n","BIGINT","YES",null,null,null]`, `["gone","VARCHAR","YES",null,null,null]`)
	// Back to what it was, which is a schema that the table had: the id comes again.
	o.alter("t RENAME b TO c")
	o.change("t", engine.OpUpsert, `{"key":6,"c":"c","f":1,"d":null,"n":null,"gone":null}`)
	o.alter("t RENAME c TO b")
	o.change("t", engine.OpUpsert, `{"key":7,"b":"b","f":1,"d":null,"n":null,"gone":null}`)
	o.bothWays("SELECT key, b FROM t WHERE key IN (6, 7) ORDER BY key", "t", `[6,"c"]`, `[7,"b"]`)
	o.compact("t")
	o.bothWays("SELECT key, b FROM t WHERE key IN (6, 7) ORDER BY key", "t", `[6,"c"]`, `[7,"b"]`)
	o.verifyClean()
}

// TestAlterRefuses: what Iceberg's rules, or the rows, forbid changes nothing.
func TestAlterRefuses(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "a VARCHAR", "i INTEGER"))
	o.create("lone", schema(t, nil, "a VARCHAR"))
	o.change("t", engine.OpUpsert, `{"id":7,"a":null,"i":1}`)
	before := o.mustContent()
	for sql, want := range map[string]lake.Code{
		"t DROP id":                               lake.CodeInvalidRequest,
		"lone DROP a":                             lake.CodeInvalidRequest,
		"t ALTER id DROP NOT NULL":                lake.CodeInvalidRequest,
		"t DROP nope":                             lake.CodeInvalidRequest,
		"t RENAME nope TO x":                      lake.CodeInvalidRequest,
		"t RENAME a TO I":                         lake.CodeInvalidRequest,
		"t ADD A DATE":                            lake.CodeInvalidRequest,
		"t ADD _tarn_x DATE":                      lake.CodeInvalidRequest,
		"t RENAME a TO _Tarn_x":                   lake.CodeInvalidRequest,
		"t ADD file_row_number DATE":              lake.CodeUnsupported,
		"t ALTER i TYPE VARCHAR":                  lake.CodeUnsupported,
		"t ALTER id TYPE INTEGER":                 lake.CodeUnsupported,
		"t ALTER a SET NOT NULL":                  lake.CodeRowsInvalid,
		"t ADD x DATE NOT NULL":                   lake.CodeRowsInvalid,
		"t ADD x DATE, ALTER i TYPE FLOAT":        lake.CodeUnsupported,
		"none ADD x DATE":                         lake.CodeDatasetNotFound,
		"t ADD x DATE, ADD y DATE, RENAME y TO x": lake.CodeInvalidRequest,
	} {
		if _, err := o.tryAlter(sql); lake.CodeOf(err) != want {
			t.Errorf("%s: %v, want %s", sql, err, want)
		}
	}
	if _, err := o.tryAlter("t ALTER a SET NOT NULL"); err == nil || !strings.Contains(err.Error(), "id = 7") {
		t.Errorf("%v names no row", err)
	}
	if now := o.mustContent(); now != before {
		t.Fatalf("%s and not %s", now, before)
	}
	d, err := o.Describe(t.Context(), name(t, "t"))
	if err != nil || d.ReadPoint.Sequence != 1 {
		t.Fatalf("%+v, %v", d.ReadPoint, err)
	}
	for _, sql := range []string{"t ADD IF NOT EXISTS A DATE", "t DROP IF EXISTS nope", "t ALTER i TYPE INT", "t ALTER a DROP NOT NULL", "t RENAME a TO b, RENAME b TO a"} {
		if r := o.alter(sql); r.Changed || r.Sequence != 1 {
			t.Errorf("%s: %+v", sql, r)
		}
	}
	// NOT NULL holds once it is set, and the null that was in a delta does not count.
	o.change("t", engine.OpUpsert, `{"id":7,"a":"x","i":1}`)
	o.alter("t ALTER a SET NOT NULL, ALTER i SET NOT NULL")
	_, err = o.tryChange("t", engine.OpUpsert, `{"id":8,"a":null,"i":1}`)
	wantCode(t, err, lake.CodeRowsInvalid)
	o.alter("lone ADD x DATE NOT NULL") // there is no row that could be null
	o.change("lone", engine.OpUpsert, `{"a":"x","x":"2024-01-02"}`)
	o.alter("t ALTER a DROP NOT NULL")
	o.change("t", engine.OpUpsert, `{"id":8,"a":null,"i":1}`)
}

// TestAlterAgain: a repetition with its key gets the answer of before, also after a
// restart and further changes.
func TestAlterAgain(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir)
	defer func() { o.close() }()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "a VARCHAR"))
	keyed := func(r *engine.AlterRequest) { r.Idempotency = idempotency("once") }
	first, err := o.tryAlter("t RENAME a TO b", keyed)
	if err != nil {
		t.Fatal(err)
	}
	o.alter("t RENAME b TO c")
	o.close()
	o = openLake(t, dir)
	again, err := o.tryAlter("t RENAME a TO b", keyed)
	if err != nil || fmt.Sprint(again) != fmt.Sprint(first) {
		t.Fatalf("%+v, %v; before %+v", again, err, first)
	}
	_, err = o.tryAlter("t RENAME c TO b", keyed)
	wantCode(t, err, lake.CodeIdempotencyReused)
}

// TestAlterWhileWriting: writers of every kind go on while columns come, go and change.
// No acknowledged change is lost, none goes in under a schema that it was not meant
// for, and what is refused is refused by its name.
func TestAlterWhileWriting(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "v INTEGER", "tag VARCHAR"))
	var stop atomic.Bool
	var wg sync.WaitGroup
	const writers = 4
	acked := make([]map[int]int, writers)
	var refused atomic.Int64
	for w := range writers {
		acked[w] = map[int]int{}
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				id := w*1_000_000 + i%50
				var err error
				if w == 0 {
					_, err = o.exec(fmt.Sprintf("INSERT INTO t (id, v, tag) VALUES (%d, %d, 'w') ON CONFLICT DO UPDATE SET v = excluded.v, tag = 'w'", id, i))
				} else {
					_, err = o.Change(context.Background(), engine.ChangeRequest{
						Dataset: parsed("t"), Op: engine.OpUpsert, Format: rows.NDJSON, Missing: rows.MissingNull,
						Body: strings.NewReader(fmt.Sprintf(`{"id":%d,"v":%d,"tag":"w"}`, id, i)),
					})
				}
				if err == nil {
					acked[w][id] = i
					continue
				}
				switch lake.CodeOf(err) {
				case lake.CodeSchemaChanged, lake.CodeRowsInvalid, lake.CodeSQLInvalid: // v or tag has another name just now
					refused.Add(1)
				default:
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for !stop.Load() {
			if _, err := o.tryRows("SELECT count(*), min(id) FROM t"); err != nil {
				t.Errorf("read: %v", err)
				return
			}
			_, _, err := o.Row(context.Background(), parsed("t"), "1000001")
			if err != nil && !errors.Is(err, lake.ErrNotFound) && lake.CodeOf(err) != lake.CodeRowNotFound {
				t.Errorf("read a row: %v", err)
				return
			}
		}
	})
	for round := range 8 {
		o.alter(fmt.Sprintf("t ADD c%d BIGINT", round))
		o.alter("t RENAME tag TO mark")
		o.alter(fmt.Sprintf("t DROP c%d, RENAME mark TO tag", round))
		if round == 3 {
			o.alter("t ALTER v TYPE BIGINT")
		}
		if round%3 == 0 {
			o.compact("t")
		}
		if round%3 == 1 {
			o.pin("t")
		}
	}
	stop.Store(true)
	wg.Wait()
	want := map[string]bool{}
	for _, m := range acked {
		for id, v := range m {
			want[fmt.Sprintf(`[%d,%d,"w"]`, id, v)] = true
		}
	}
	for _, way := range []func(string) engine.CacheEntry{o.pin, o.evict} {
		way("t")
		got := o.rows("SELECT * FROM t")
		if len(got) != len(want) {
			t.Fatalf("%d rows of %d", len(got), len(want))
		}
		for _, r := range got {
			if !want[r] {
				t.Fatalf("%s was not acknowledged last", r)
			}
		}
	}
	for w := range acked {
		if len(acked[w]) == 0 {
			t.Errorf("writer %d was never taken", w)
		}
	}
	t.Logf("%d keys, %d refused", len(want), refused.Load())
	o.verifyClean()
}

// TestAlterFollowed: a follower shows a schema change with its sequence, with deltas
// pending under both schemas.
func TestAlterFollowed(t *testing.T) {
	dir := t.TempDir()
	w := openLake(t, dir)
	defer w.close()
	w.create("t", schema(t, []string{"id"}, "id INTEGER", "a VARCHAR"))
	w.change("t", engine.OpUpsert, `{"id":1,"a":"x"}`)
	f := follow(t, dir)
	defer f.close()
	f.caughtUp(w)
	for _, step := range []func(){
		func() { w.alter("t RENAME a TO b") },
		func() { w.change("t", engine.OpUpsert, `{"id":2,"b":"y"}`) },
		func() { w.alter("t ADD c DATE"); w.alter("t ALTER id TYPE BIGINT") },
		func() { w.compact("t") },
		func() { w.alter("t DROP b"); w.change("t", engine.OpUpsert, `{"id":3,"c":"2024-02-03"}`) },
		func() { w.alter("t ALTER c DROP NOT NULL, ADD d BIGINT") },
	} {
		step()
		f.caughtUp(w)
		a, err := w.Describe(t.Context(), parsed("t"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := f.Describe(t.Context(), parsed("t"))
		if err != nil || a.ETag != b.ETag || fmt.Sprint(a.Columns) != fmt.Sprint(b.Columns) {
			t.Fatalf("the writer is at %s with %v, the follower at %s with %v; %v", a.ETag, a.Columns, b.ETag, b.Columns, err)
		}
	}
}

// TestAlterNotNullWhileWriting: NOT NULL is set only at an instant at which no row is
// null, and holds from then on, whatever writers do.
func TestAlterNotNullWhileWriting(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "v BIGINT"))
	o.change("t", engine.OpUpsert, `{"id":0,"v":0}`)
	for round := range 4 {
		var wg sync.WaitGroup
		var nulls atomic.Int64 // acknowledged
		ctx, stop := context.WithCancel(context.Background())
		for w := range 3 {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					v := "7"
					if w == 0 && i%2 == round%2 {
						v = "null"
					}
					_, err := o.tryChange("t", engine.OpUpsert, fmt.Sprintf(`{"id":%d,"v":%s}`, w, v))
					switch code := lake.CodeOf(err); {
					case err == nil && v == "null":
						nulls.Add(1)
					case err == nil, code == lake.CodeSchemaChanged, code == lake.CodeRowsInvalid:
					default:
						t.Errorf("%v", err)
					}
				}
			})
		}
		for {
			_, err := o.tryAlter("t ALTER v SET NOT NULL")
			if err == nil {
				break
			}
			wantCode(t, err, lake.CodeRowsInvalid)
		}
		before := nulls.Load()
		o.want("SELECT count(*) FROM t WHERE v IS NULL", "[0]")
		stop()
		wg.Wait()
		if after := nulls.Load(); after > before+1 { // one may have been acknowledged before and counted since
			t.Fatalf("%d nulls were taken under NOT NULL", after-before)
		}
		o.want("SELECT count(*) FROM t WHERE v IS NULL", "[0]")
		o.alter("t ALTER v DROP NOT NULL")
	}
	o.verifyClean()
}

// TestAlterKeepsWhatStillFits: changes that were decoded before a schema change go in
// after it where they say the same by it, and are refused where not.
func TestAlterKeepsWhatStillFits(t *testing.T) {
	for alter, fits := range map[string]bool{
		"t ADD x DATE":                         true,
		"t ALTER v TYPE BIGINT":                true,
		"t ALTER w DROP NOT NULL":              true,
		"t ALTER id TYPE BIGINT, ADD y BIGINT": true,
		"t RENAME v TO u":                      false,
		"t DROP v":                             false,
		"t ALTER v SET NOT NULL":               false,
	} {
		t.Run(alter, func(t *testing.T) {
			o := openLake(t, t.TempDir())
			defer o.close()
			s := schema(t, []string{"id"}, "id INTEGER", "v INTEGER", "w BIGINT")
			s.Columns[2].Nullable = false
			o.create("t", s)
			o.change("t", engine.OpUpsert, `{"id":1,"v":1,"w":1}`)
			// The body ends only once the schema has changed: it is decoded to the one
			// that there was as the request came.
			body, in := io.Pipe()
			done := make(chan error, 1)
			go func() {
				_, err := o.Change(context.Background(), engine.ChangeRequest{Dataset: parsed("t"), Op: engine.OpUpsert, Format: rows.NDJSON, Body: body})
				done <- err
			}()
			if _, err := io.WriteString(in, `{"id":2,"v":2,"w":2}`+"\n"); err != nil {
				t.Fatal(err)
			}
			o.alter(alter)
			if err := in.Close(); err != nil {
				t.Fatal(err)
			}
			err := <-done
			if fits && err != nil || !fits && lake.CodeOf(err) != lake.CodeSchemaChanged {
				t.Fatalf("%v", err)
			}
			if fits {
				o.bothWays("SELECT id, v, w FROM t ORDER BY id", "t", "[1,1,1]", "[2,2,2]")
			}
		})
	}
}
