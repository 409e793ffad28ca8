package engine_test

import (
	"context"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tarn/internal/engine"
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
