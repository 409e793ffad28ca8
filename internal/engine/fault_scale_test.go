package engine_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/store"
	"tarn/internal/store/storetest"
)

// scaled gives the size of a test: the whole with TARN_SCALE, a part without.
func scaled(whole, part int) int {
	if os.Getenv("TARN_SCALE") != "" {
		return whole
	}
	return part
}

// reopened closes a lake and opens it again with processes, and logs what the start
// took until the first answer.
func reopened(t *testing.T, o *opened, dir, sql string, want string) *opened {
	t.Helper()
	o.close()
	began := time.Now()
	o = openLake(t, dir, processes)
	open := time.Since(began)
	o.want(sql, want)
	g := o.workers().Generations[0]
	t.Logf("open %d ms, first answer after %d ms; server %d MB (with the test), worker %d MB",
		open.Milliseconds(), time.Since(began).Milliseconds(), residentOf(t, os.Getpid())>>20, g.ResidentBytes>>20)
	return o
}

// TestManyPendingDeltas: a dataset with thousands of pending deltas answers, starts,
// and is compacted into one base.
func TestManyPendingDeltas(t *testing.T) {
	deltas := scaled(10_000, 500)
	dir := t.TempDir()
	o := openLake(t, dir)
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "n BIGINT"))
	began := time.Now()
	for i := range deltas {
		o.change("t", engine.OpUpsert, fmt.Sprintf(`{"id":%d,"n":%d}`, i%(deltas/2), i))
	}
	t.Logf("%d deltas written in %d ms", deltas, time.Since(began).Milliseconds())
	const sql = "select count(*), sum(n)::BIGINT from t"
	n := int64(deltas)
	want := fmt.Sprintf("[%d,%d]", n/2, n*(n-1)/2-(n/2)*(n/2-1)/2)
	o.want(sql, want)
	o = reopened(t, o, dir, sql, want)
	defer func() { o.close() }()
	d, err := o.Describe(t.Context(), name(t, "t"))
	if err != nil || d.PendingDeltas != deltas {
		t.Fatalf("%d pending deltas, %v", d.PendingDeltas, err)
	}
	began = time.Now()
	if c := o.compact("t"); c.DeltasMerged != deltas || c.FinalRows != n/2 {
		t.Fatalf("%+v", c)
	}
	t.Logf("compacted in %d ms", time.Since(began).Milliseconds())
	o.want(sql, want)
	o = reopened(t, o, dir, sql, want)
	o.verifyClean()
}

// TestManyDatasets: a lake of very many datasets starts, lists, and answers from any.
func TestManyDatasets(t *testing.T) {
	datasets := scaled(2_000, 100)
	dir := t.TempDir()
	o := openLake(t, dir)
	s := schema(t, []string{"id"}, "id BIGINT", "v VARCHAR")
	began := time.Now()
	for i := range datasets {
		o.create(fmt.Sprintf("d%d", i), s)
	}
	t.Logf("%d datasets created in %d ms", datasets, time.Since(began).Milliseconds())
	for i := 0; i < datasets; i += 7 {
		o.change(fmt.Sprintf("d%d", i), engine.OpUpsert, fmt.Sprintf(`{"id":%d,"v":"x"}`, i))
	}
	last := (datasets - 1) / 7 * 7
	sql := fmt.Sprintf("select id from d%d", last)
	o = reopened(t, o, dir, sql, fmt.Sprintf("[%d]", last))
	defer func() { o.close() }()
	began = time.Now()
	all, err := o.List(t.Context(), nil)
	if err != nil || len(all) != datasets {
		t.Fatalf("%d datasets listed, %v", len(all), err)
	}
	t.Logf("listed in %d ms", time.Since(began).Milliseconds())
	for _, d := range all {
		var i int
		if _, err := fmt.Sscanf(d.Dataset, "d%d", &i); err != nil {
			t.Fatal(d.Dataset)
		}
		if want := int64(0); i%7 == 0 && d.Rows != 1 || i%7 != 0 && d.Rows != want {
			t.Errorf("%s has %d rows", d.Dataset, d.Rows)
		}
	}
	began = time.Now()
	j, err := o.Compact(t.Context(), engine.CompactRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := o.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("all compacted and tidied in %d ms", time.Since(began).Milliseconds())
	o = reopened(t, o, dir, sql, fmt.Sprintf("[%d]", last))
	o.verifyClean()
}

// TestClockJumps: a clock that jumps by days and years, both ways, and stands still,
// decides no order and loses nothing.
func TestClockJumps(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 4))
	t.Logf("seed %d", seed)
	var offset atomic.Int64
	clock := func(o *engine.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	}
	dir := t.TempDir()
	o := openLake(t, dir, clock)
	defer func() { o.close() }()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "n BIGINT"))
	latest := map[int]int{}
	var last int64
	for n := range 120 {
		switch random.IntN(4) {
		case 0:
			offset.Store(int64(time.Duration(random.IntN(20)-10) * 365 * 24 * time.Hour))
		case 1:
			offset.Add(int64(time.Duration(random.IntN(200)-100) * time.Hour))
		}
		id := random.IntN(30)
		latest[id] = n
		if r := o.change("t", engine.OpUpsert, fmt.Sprintf(`{"id":%d,"n":%d}`, id, n)); r.Sequence <= last {
			t.Fatalf("sequence %d after %d", r.Sequence, last)
		} else {
			last = r.Sequence
		}
		switch random.IntN(12) {
		case 0:
			o.compact("t")
		case 1:
			if err := o.Tidy(t.Context()); err != nil {
				t.Fatal(err)
			}
		case 2:
			o.close()
			o = openLake(t, dir, clock)
		}
	}
	var before time.Time
	deltas, err := o.Deltas(t.Context(), name(t, "t"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range deltas {
		if !d.Time.After(before) {
			t.Errorf("delta %d is of %s, the one before of %s", d.Sequence, d.Time, before)
		}
		before = d.Time
	}
	for id, n := range latest {
		o.want(fmt.Sprintf("select n from t where id = %d", id), fmt.Sprintf("[%d]", n))
	}
	o.want("select count(*) from t", fmt.Sprintf("[%d]", len(latest)))
	o.verifyClean()
}

// TestSlowDisk: on a disk that takes its time for everything, changes are acknowledged
// once they are in, queries do not wait for it, and nothing fails.
func TestSlowDisk(t *testing.T) {
	dir := t.TempDir()
	local, err := store.OpenLocal(dir, store.LocalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	var slow atomic.Bool
	o := openLake(t, dir, processes, func(o *engine.Options) {
		o.Store = storetest.NewFaulty(local, func(storetest.Call) storetest.Fault {
			if slow.Load() {
				time.Sleep(60 * time.Millisecond) // each file created, read or removed
			}
			return storetest.NoFault
		})
	})
	defer o.close()
	o.create("t", schema(t, []string{"w", "n"}, "w BIGINT", "n BIGINT"))
	if _, err := o.importText("big", engine.ImportCreate, rows.CSV, []string{"id"}, "", bigCSV(2000)); err != nil {
		t.Fatal(err)
	}
	slow.Store(true)
	const writers, each = 16, 10
	var work sync.WaitGroup
	end := make(chan struct{})
	var asked, compactions atomic.Int64
	for w := range writers {
		work.Go(func() {
			for n := range each {
				if _, err := o.tryChange("t", engine.OpUpsert, fmt.Sprintf(`{"w":%d,"n":%d}`, w, n)); err != nil {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	var beside sync.WaitGroup
	beside.Go(func() {
		for !closed(end) {
			if _, err := o.tryRows(fmt.Sprintf("select v from big where id = %d", asked.Add(1)%2000)); err != nil {
				t.Errorf("query: %v", err)
			}
		}
	})
	beside.Go(func() {
		for !closed(end) {
			if _, err := o.tryCompact("t"); err != nil && lake.CodeOf(err) != lake.CodeOverloaded {
				t.Errorf("compact: %v", err)
			}
			compactions.Add(1)
		}
	})
	work.Wait()
	close(end)
	beside.Wait()
	o.want("select count(*) from t", fmt.Sprintf("[%d]", writers*each))
	t.Logf("%d queries and %d compactions meanwhile", asked.Load(), compactions.Load())
	o.verifyClean()
}
