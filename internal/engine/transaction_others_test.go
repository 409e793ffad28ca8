package engine_test

import (
	"context"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/failpoint"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/store/storetest"
)

// TestVoidDeltasTakeNoRoom: deltas that a fold has nothing to do for, that of an aborted
// transaction and the one of a schema change, keep nobody waiting for room among the
// pending changes, however large their files are.
func TestVoidDeltasTakeNoRoom(t *testing.T) {
	dir := t.TempDir()
	tight := func(o *engine.Options) {
		o.Settings.MaxPendingBytes, o.Settings.PendingWait = 100, 50*time.Millisecond
	}
	o := openLake(t, dir, tight)
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "a VARCHAR"))
	o.create("u", schema(t, []string{"id"}, "id BIGINT", "a VARCHAR"))
	o.transact("begin; insert into t values (1, 'x'); insert into u values (1, 'x'); commit", 1, 1)
	missing := newestDelta(t, o, dir, "u")
	o.close()
	if err := os.Remove(missing); err != nil {
		t.Fatal(err)
	}
	o = openLake(t, dir, tight)
	defer o.close()
	o.want("select count(*) from t", "[0]")
	o.did(1, "insert into t values (2, 'y')")
	o.alter("u add column b varchar")
	o.change("u", engine.OpUpsert, `{"id":2,"a":"`+strings.Repeat("y", 200)+`","b":null}`)
}

// TestI8WaitersBesideAnUnknownDelta: while it is not known whether one delta of a
// transaction went in, who waits for another dataset of it is told so, as is who waits
// for that of the delta.
func TestI8WaitersBesideAnUnknownDelta(t *testing.T) {
	var on atomic.Bool
	var prefix atomic.Value
	prefix.Store("nowhere")
	var kind atomic.Int64
	o := openFaulty(t, t.TempDir(), func(c storetest.Call) storetest.Fault {
		if on.Load() && c.Op == storetest.OpCreate && strings.HasPrefix(c.Key, prefix.Load().(string)) {
			return storetest.Fault(kind.Load())
		}
		return storetest.NoFault
	})
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "n INTEGER"))
	o.create("u", schema(t, []string{"id"}, "id BIGINT", "n INTEGER"))
	o.did(1, "insert into t values (1, 1)")
	o.did(1, "insert into u values (1, 1)")
	prefix.Store("deltas/" + o.describe("t").ReadPoint.TableUUID)
	for _, how := range []storetest.Fault{storetest.LostRequest, storetest.Refused} {
		kind.Store(int64(how))
		on.Store(true)
		ended := make(chan error, 1)
		go func() {
			_, err := o.tryTransact("begin; update t set n = 2; update u set n = 2; commit")
			ended <- err
		}()
		if how == storetest.LostRequest { // it is told early
			if err := <-ended; lake.CodeOf(err) != lake.CodeUnknownOutcome {
				t.Fatal(err)
			}
		}
		for _, d := range []string{"t", "u"} {
			for {
				err := o.waits(d)
				if err == nil && how == storetest.Refused {
					continue // the transaction has not begun
				}
				if lake.CodeOf(err) != lake.CodeUnavailable {
					t.Fatalf("%s: %v", d, err)
				}
				break
			}
		}
		on.Store(false)
		if how == storetest.Refused {
			if err := <-ended; lake.CodeOf(err) != lake.CodeUnavailable {
				t.Fatal(err)
			}
		}
		o.did(1, "update u set n = 3 where id = 1")
		o.did(1, "update t set n = 3 where id = 1")
	}
}

// waits changes a dataset as one who has a minute for it.
func (o *opened) waits(dataset string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := o.Change(ctx, engine.ChangeRequest{Dataset: parsed(dataset), Op: engine.OpUpsert, Format: rows.NDJSON, Body: strings.NewReader(`{"id":5,"n":5}`)})
	return err
}

// TestTransactionKeyOfAnother: a key that came with a statement, to whichever of the
// datasets and in whichever way it was done, is not taken for a transaction, nor the
// reverse; so it is after the lake was opened again.
func TestTransactionKeyOfAnother(t *testing.T) {
	dir := t.TempDir()
	o := transactionLake(t, dir)
	o.did(2, "insert into log values ('a', 1), ('b', 2)")
	keyed := func(key string) func(*engine.StatementRequest) {
		return func(r *engine.StatementRequest) { r.Idempotency = idempotency(key) }
	}
	o.did(1, "update log set n = 9 where what = 'a'", keyed("rewrites"))
	o.did(1, "insert into shop.u values (50, 'x')", keyed("inserts"))
	if _, err := o.tryTransact("begin; update t set n = 0; insert into log values ('c', 3); commit", keyedTransaction("both")); err != nil {
		t.Fatal(err)
	}
	before := o.rows(wholeTransactionLake)
	for range 2 {
		const reused = lake.CodeIdempotencyReused
		o.aborts(reused, "rewrites", "begin; insert into log values ('z', 1); commit", keyedTransaction("rewrites"))
		o.aborts(reused, "inserts", "begin; update t set n = 1; insert into shop.u values (51, 'z'); commit", keyedTransaction("inserts"))
		for _, sql := range []string{"update log set n = 1", "insert into log values ('z', 1)", "update t set n = 1"} {
			if _, err := o.exec(sql, keyed("both")); lake.CodeOf(err) != reused {
				t.Errorf("%s: %v", sql, err)
			}
		}
		o.want(wholeTransactionLake, before...)
		o.close()
		o = openLake(t, dir)
	}
	o.close()
}

// TestTransactionBesideAlter: a dataset that a transaction reads keeps its columns for all
// of it, whatever becomes of them meanwhile.
func TestTransactionBesideAlter(t *testing.T) {
	o := transactionLake(t, t.TempDir())
	defer o.close()
	o.create("other", schema(t, []string{"id"}, "id BIGINT", "n BIGINT"))
	o.did(1, "insert into other values (1, 7)")
	altered := make(chan error, 1)
	atFirst(t, "transaction.statement", func() {
		_, err := o.tryAlter("other drop column n")
		altered <- err
	})
	o.transact("begin; insert into log values ('first', 1); insert into log select 'second', n from other; commit", 1, 1)
	if err := <-altered; err != nil {
		t.Fatal(err)
	}
	o.want("select what, n from log order by what", `["first",1]`, `["second",7]`)
	o.aborts(lake.CodeSQLInvalid, `"n" not found`, "begin; insert into log select 'third', n from other; commit")
}

// TestTransactionDecodedBound: the changes of many datasets, each small and much larger
// decoded, are not all in memory at once: those that go beyond the bound go by jobs.
func TestTransactionDecodedBound(t *testing.T) {
	o := openLake(t, t.TempDir(), func(o *engine.Options) { o.Settings.SpoolBytes = 10_000 })
	defer o.close()
	sql := "begin;"
	for _, d := range []string{"a", "b", "c"} {
		o.create(d, schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
		sql += "insert into " + d + " select i, repeat('x', 1000) from range(50) r(i);"
	}
	var byFile atomic.Int64
	failpoint.Arm(func(point string) {
		if point == "change.file-finished" {
			byFile.Add(1)
		}
	})
	defer failpoint.Arm(func(string) {})
	o.transact(sql+"commit", 50, 50, 50)
	if n := byFile.Load(); n != 2 {
		t.Errorf("%d of 3 changes went by jobs", n)
	}
	o.want("select sum(length(v)) from (from a union all from b union all from c)", `["150000"]`)
}
