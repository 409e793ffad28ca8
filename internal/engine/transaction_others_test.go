package engine_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"tarn/internal/engine"
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
