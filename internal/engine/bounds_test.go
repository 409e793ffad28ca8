package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// TestPendingBound: beyond its bound a dataset's changes wait, then are refused,
// until compaction made room; a request larger than the bound is taken alone.
func TestPendingBound(t *testing.T) {
	o := openLake(t, t.TempDir(), func(o *engine.Options) {
		o.Settings.MaxPendingDeltas, o.Settings.PendingWait = 3, 50*time.Millisecond
	})
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT"))
	for i := range 3 {
		o.change("t", engine.OpUpsert, fmt.Sprintf(`{"id":%d}`, i))
	}
	_, err := o.tryChange("t", engine.OpUpsert, `{"id":9}`)
	wantCode(t, err, lake.CodePendingFull)
	o.want("select count(*) from t", "[3]")
	o.compact("t")
	o.change("t", engine.OpUpsert, `{"id":9}`)
	o.want("select count(*) from t", "[4]")

	o2 := openLake(t, t.TempDir(), func(o *engine.Options) {
		o.Settings.MaxPendingBytes, o.Settings.PendingWait = 100, 50*time.Millisecond
	})
	defer o2.close()
	o2.create("t", schema(t, []string{"id"}, "id BIGINT"))
	o2.change("t", engine.OpUpsert, strings.Repeat("{\"id\":1}\n", 100))
	_, err = o2.tryChange("t", engine.OpUpsert, `{"id":2}`)
	wantCode(t, err, lake.CodePendingFull)
}

// TestBodies: too large is refused whole, a large one goes through a job.
func TestBodies(t *testing.T) {
	o := openLake(t, t.TempDir(), processes, func(o *engine.Options) {
		o.Settings.SpoolBytes, o.Settings.MaxBodyBytes = 1000, 100_000
	})
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	lines := func(n int, v string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "{\"id\":%d,\"v\":%q}\n", i%(n/2), v+fmt.Sprint(i))
		}
		return b.String()
	}
	r := o.change("t", engine.OpUpsert, lines(1000, "v"))
	if r.Rows != 1000 {
		t.Fatalf("%+v", r)
	}
	o.want("select count(*), min(v), max(v) from t", `[500,"v500","v999"]`)
	_, err := o.tryChange("t", engine.OpUpsert, lines(4000, strings.Repeat("x", 40)))
	wantCode(t, err, lake.CodeTooLarge)
	_, err = o.tryChange("t", engine.OpUpsert, lines(1000, "w")+"{\"id\":1}\n")
	wantCode(t, err, lake.CodeRowsInvalid)
	if !strings.Contains(err.Error(), "1001") || !strings.Contains(err.Error(), "v") {
		t.Errorf("the error names neither row nor column: %v", err)
	}
	o.want("select count(*), min(v), max(v) from t", `[500,"v500","v999"]`)
	r = o.change("t", engine.OpDelete, strings.Repeat("{\"id\":1}\n{\"id\":2}\n", 100))
	if r.Rows != 200 {
		t.Fatalf("%+v", r)
	}
	o.want("select count(*) from t", `[498]`)
}

// TestWorkerDies: changes go on, and queries that had sent nothing are answered.
func TestWorkerDies(t *testing.T) {
	o := openLake(t, t.TempDir(), processes)
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT"))
	for i := range 8 { // each death after the other puts the next worker off for longer
		o.KillWorker()
		o.change("t", engine.OpUpsert, fmt.Sprintf(`{"id":%d}`, i))
		o.want("select count(*) from t", fmt.Sprintf("[%d]", i+1))
	}
}

// TestCancelQuery: a running query is listed and can be ended by its id.
func TestCancelQuery(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	failed := make(chan error, 1)
	go func() {
		_, err := o.tryRows("select sum(a.range * b.range % 7) from range(1000000) a, range(100000) b")
		failed <- err
	}()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if qs := o.Queries(); len(qs) == 1 && qs[0].State == "running" {
			if _, err := o.CancelQuery(qs[0].ID); err != nil {
				t.Fatal(err)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the query is not listed")
		}
	}
	wantCode(t, <-failed, lake.CodeCancelled)
	_, err := o.CancelQuery("nobody")
	wantCode(t, err, lake.CodeQueryNotFound)

	_, err = o.Query(context.Background(), engine.QueryRequest{
		SQL: "select sum(a.range * b.range % 7) from range(1000000) a, range(100000) b", Timeout: 100 * time.Millisecond, Format: rows.OutJSON,
	})
	wantCode(t, err, lake.CodeDeadline)
}
