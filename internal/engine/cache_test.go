package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// servedFrom runs SQL and says where its one dataset came from.
func (o *opened) servedFrom(sql string) string {
	o.t.Helper()
	a, err := o.Query(context.Background(), engine.QueryRequest{SQL: sql, Format: rows.OutNDJSON})
	if err != nil {
		o.t.Fatalf("%s: %v", sql, err)
	}
	defer a.Body.Close()
	for _, from := range a.Head.ServedFrom {
		return from
	}
	return ""
}

func (o *opened) pin(dataset string) engine.CacheEntry {
	o.t.Helper()
	e, err := o.CachePin(context.Background(), name(o.t, dataset))
	if err != nil {
		o.t.Fatalf("pin %s: %v", dataset, err)
	}
	return e
}

func (o *opened) evict(dataset string) engine.CacheEntry {
	o.t.Helper()
	e, err := o.CacheEvict(context.Background(), name(o.t, dataset))
	if err != nil {
		o.t.Fatalf("evict %s: %v", dataset, err)
	}
	return e
}

func (o *opened) cache() engine.CacheStats {
	o.t.Helper()
	s, err := o.CacheStats(context.Background())
	if err != nil {
		o.t.Fatal(err)
	}
	return s
}

func (o *opened) entry(dataset string) engine.CacheEntry {
	o.t.Helper()
	for _, e := range o.cache().Datasets {
		if e.Dataset == dataset {
			return e
		}
	}
	o.t.Fatalf("the cache does not list %s", dataset)
	return engine.CacheEntry{}
}

// until waits for what the background does.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("it did not come to pass: %s", what)
		}
	}
}

// filled is a lake with a dataset of so many rows.
func filled(t testing.TB, n int, change ...func(*engine.Options)) *opened {
	o := openLake(t, t.TempDir(), change...)
	o.fill("t", n)
	return o
}

func (o *opened) fill(dataset string, n int) {
	o.t.Helper()
	var text strings.Builder
	text.WriteString("id,v\n")
	for i := range n {
		fmt.Fprintf(&text, "%d,%d\n", i, i%97)
	}
	if _, err := o.importText(dataset, engine.ImportCreate, rows.CSV, []string{"id"}, engine.DuplicateError, text.String()); err != nil {
		o.t.Fatal(err)
	}
}

func withCache(bytes int64) func(*engine.Options) {
	return func(o *engine.Options) { o.Settings.CacheBytes = bytes }
}

func TestADatasetInUseIsServedFromMemory(t *testing.T) {
	o := filled(t, 1000)
	defer o.close()
	if from := o.servedFrom("select count(*) from t"); from != lake.ServedFromParquet {
		t.Fatalf("first served from %s", from)
	}
	until(t, "t is hot", func() bool { return o.entry("t").State == "hot" })
	if from := o.servedFrom("select count(*) from t"); from != lake.ServedFromImage {
		t.Fatalf("then served from %s", from)
	}
	o.change("t", engine.OpUpsert, `{"id":5,"v":-1}`, `{"id":5000,"v":1}`)
	o.change("t", engine.OpDelete, `{"id":6}`)
	o.want("select id, v from t where id in (5, 6, 5000) order by id", "[5,-1]", "[5000,1]")
	if from := o.servedFrom("select v from t where id = 5"); from != lake.ServedFromImage {
		t.Fatalf("after a change served from %s", from)
	}
	if _, _, err := o.Row(context.Background(), name(t, "t"), "5"); err != nil {
		t.Fatal(err)
	}
	s, e := o.cache(), o.entry("t")
	if s.Misses != 1 || s.Hits != 4 || s.Loads != 1 || s.Evictions != 0 || s.UsedBytes < e.Bytes || s.UsedBytes > s.BudgetBytes || s.BudgetBytes != 1<<30 {
		t.Fatalf("%+v", s)
	}
	if e.Rows != 1000 || e.Bytes <= 0 || e.Hits != 4 || e.ReadPoint == nil || e.ReadPoint.Sequence != 2 || e.Pinned || e.LastUsed == nil || e.LoadedAt == nil {
		t.Fatalf("%+v", e)
	}
}

func TestPinsHoldAndComeBack(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir)
	o.fill("t", 500)
	o.fill("u", 500)
	o.pin("t")
	if e := o.pin("t"); e.State != "hot" || !e.Pinned {
		t.Fatalf("%+v", e)
	}
	o.compact("t")
	o.change("t", engine.OpUpsert, `{"id":1,"v":100}`)
	if from := o.servedFrom("select v from t where id = 1"); from != lake.ServedFromImage {
		t.Fatalf("after a fold served from %s", from)
	}
	if _, err := o.importText("t", engine.ImportReplace, rows.CSV, nil, engine.DuplicateError, "id,v\n1,2\n"); err != nil {
		t.Fatal(err)
	}
	until(t, "t is hot after a replace", func() bool { return o.entry("t").State == "hot" })
	o.want("select * from t", "[1,2]")
	o.KillWorker()
	until(t, "t is hot in the next worker", func() bool { e := o.entry("t"); return e.State == "hot" && e.Pinned })
	if _, err := o.Rename(context.Background(), name(t, "t"), name(t, "n.t"), engine.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	o.close()

	o = openLake(t, dir)
	until(t, "n.t is hot after a restart", func() bool { return o.entry("n.t").State == "hot" })
	if e := o.entry("u"); e.Pinned || e.State != "cold" {
		t.Fatalf("%+v", e)
	}
	if err := o.Drop(context.Background(), name(t, "n.t"), engine.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	until(t, "nothing is used", func() bool { return o.cache().UsedBytes == 0 })
	o.close()

	o = openLake(t, dir, withCache(engine.NoCache))
	defer o.close()
	_, err := o.CachePin(context.Background(), name(t, "u"))
	wantCode(t, err, lake.CodeCacheFull)
	_, err = o.CachePin(context.Background(), name(t, "t"))
	wantCode(t, err, lake.CodeDatasetNotFound)
}

// A pin that does not fit is refused and changes no pin and no answer; one that
// no longer fits after a restart says so and comes back with its room. The
// datasets are of several slices: the first is measured, and the files, which
// take more room than the image, refuse nothing.
func TestPinsAndTheBudget(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir)
	o.fill("a", rowsForBudget)
	o.fill("b", rowsForBudget)
	one := o.pin("a").Bytes
	o.close()

	o = openLake(t, dir, withCache(one+one/2))
	until(t, "a is hot", func() bool { return o.entry("a").State == "hot" })
	_, err := o.CachePin(context.Background(), name(t, "b"))
	wantCode(t, err, lake.CodeCacheFull)
	if e := o.entry("b"); e.Pinned || e.State != "cold" {
		t.Fatalf("%+v", e)
	}
	if e := o.entry("a"); !e.Pinned || e.State != "hot" {
		t.Fatalf("%+v", e)
	}
	o.want("select count(*), sum(v) from b", `[900000,"43198929"]`)
	o.close()

	o = openLake(t, dir, withCache(one/2))
	until(t, "a says why it is not loaded", func() bool { return strings.Contains(o.entry("a").Reason, "needs about") })
	if e := o.entry("a"); !e.Pinned || e.State != "not_loaded" {
		t.Fatalf("%+v", e)
	}
	o.want("select count(*), sum(v) from a", `[900000,"43198929"]`)
	o.close()

	o = openLake(t, dir)
	defer o.close()
	until(t, "a is hot again", func() bool { return o.entry("a").State == "hot" })
}

const rowsForBudget = 900_000

func TestEvictAllLeavesPins(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	for _, d := range []string{"a", "b", "c"} {
		o.fill(d, 100)
		o.pin(d)
	}
	if _, err := o.CacheUnpin(context.Background(), name(t, "b")); err != nil {
		t.Fatal(err)
	}
	all, err := o.CacheEvictAll(context.Background(), false)
	if err != nil || len(all) != 3 || all[0].State != "hot" || all[1].State != "cold" || all[2].State != "hot" {
		t.Fatalf("%+v %v", all, err)
	}
	if all, err = o.CacheEvictAll(context.Background(), true); err != nil || all[0].State != "cold" || all[0].Pinned {
		t.Fatalf("%+v %v", all, err)
	}
	if s := o.cache(); s.UsedBytes != 0 || s.Evictions != 3 {
		t.Fatalf("%+v", s)
	}
}

// The defaults together stay under the machine's memory, on any machine.
func TestDefaultsStayUnderTheMemory(t *testing.T) {
	for _, memory := range []int64{1 << 30, 2 << 30, 4 << 30, 8 << 30, 16 << 30, 24 << 30, 64 << 30, 512 << 30} {
		s := engine.Defaults(memory)
		if all := s.CacheBytes + s.QueryMemoryBytes + 2*s.JobMemoryBytes; all > memory {
			t.Errorf("of %d bytes the defaults take %d", memory, all)
		}
		if s.CacheBytes != min(16_000_000_000, memory/2) {
			t.Errorf("of %d bytes the cache takes %d", memory, s.CacheBytes)
		}
	}
}

// I5: queries, changes, pins and evictions of many datasets under a budget for
// three of them. What is used never exceeds it, and the pinned one is always hot.
func TestManyDatasetsUnderATightBudget(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const datasets, size = 8, 60_000
	dir := t.TempDir()
	o := openLake(t, dir)
	for i := range datasets {
		o.fill(fmt.Sprint("d", i), size)
	}
	budget := 3*o.pin("d0").Bytes + 1<<20
	o.close()
	o = openLake(t, dir, withCache(budget))
	defer o.close()
	until(t, "the pin is back", func() bool { return o.entry("d0").State == "hot" })

	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			s := o.cache()
			if s.UsedBytes > s.BudgetBytes || s.BudgetBytes != budget {
				t.Errorf("%d bytes are used of %d", s.UsedBytes, s.BudgetBytes)
			}
			if e := s.Datasets[0]; e.State != "hot" || !e.Pinned {
				t.Errorf("%+v", e)
			}
			select {
			case <-done:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
	var users sync.WaitGroup
	for worker := range 3 {
		users.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(worker)))
			for range 60 {
				d := fmt.Sprint("d", 1+random.IntN(datasets-1))
				switch random.IntN(8) {
				case 0:
					if _, err := o.CachePin(context.Background(), name(t, d)); err != nil && lake.CodeOf(err) != lake.CodeCacheFull && lake.CodeOf(err) != lake.CodeCancelled {
						t.Errorf("pin: %v", err)
					}
				case 1:
					if _, err := o.CacheUnpin(context.Background(), name(t, d)); err != nil {
						t.Errorf("unpin: %v", err)
					}
				case 2:
					if _, err := o.CacheEvict(context.Background(), name(t, d)); err != nil {
						t.Errorf("evict: %v", err)
					}
				case 3:
					if _, err := o.tryChange(d, engine.OpUpsert, fmt.Sprintf(`{"id":%d,"v":1}`, random.IntN(size))); err != nil {
						t.Errorf("change: %v", err)
					}
				default:
					got, err := o.tryRows("select count(*) from " + d)
					if err != nil || len(got) != 1 || got[0] != fmt.Sprintf("[%d]", size) {
						t.Errorf("%s: %v, %v", d, got, err)
					}
				}
			}
		})
	}
	users.Wait()
	close(done)
	group.Wait()
	if s := o.cache(); s.Loads < 2 {
		t.Errorf("%+v", s)
	}
}

func TestTheCacheIsMeasured(t *testing.T) {
	reg := prometheus.NewRegistry()
	o := filled(t, 100, func(o *engine.Options) { o.Registry = reg })
	defer o.close()
	o.pin("t")
	o.want("select count(*) from t", "[100]")
	got, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range got {
		for _, m := range f.Metric {
			values[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"tarn_cache_hits_total": 1, "tarn_cache_misses_total": 0, "tarn_cache_loads_total": 1, "tarn_cache_evictions_total": 0,
		"tarn_cache_budget_bytes": 1 << 30, "tarn_cache_used_bytes": float64(o.cache().UsedBytes),
		"tarn_cache_dataset_hot": 1, "tarn_cache_dataset_pinned": 1, "tarn_cache_dataset_rows": 100,
		"tarn_cache_dataset_bytes": float64(o.entry("t").Bytes), "tarn_cache_dataset_hits_total": 1,
	} {
		if values[name] != want {
			t.Errorf("%s is %v, not %v", name, values[name], want)
		}
	}
	if values["tarn_cache_dataset_last_used_timestamp_seconds"] == 0 {
		t.Error("when it was used last is missing")
	}
}
