package engine_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/store/s3test"
)

// answer asks and gives the rows with whether they are marked.
func (o *opened) marked(sql string) (rowsGot []string, outage bool, err error) {
	o.t.Helper()
	a, err := o.Query(context.Background(), engine.QueryRequest{SQL: sql, Format: rows.OutJSON, Fresh: true})
	if err != nil {
		return nil, false, err
	}
	a.Body.Close()
	got, err := o.tryRows(sql)
	return got, a.Outage, err
}

func TestOutage(t *testing.T) {
	s := s3test.Start(t)
	p := s3test.NewProxy(t, s)
	bucket := s.NewBucket(t)
	state := t.TempDir()
	settings := func(o *engine.Options) {
		o.Settings.StoreTimeout = 150 * time.Millisecond
		o.Settings.FenceCheckInterval = 100 * time.Millisecond
		o.Settings.PendingWait = time.Minute // what waits behind an unknown outcome must not wait that long
	}
	patient := func(o *engine.Options) { o.Settings.StoreTimeout = 30 * time.Second }
	o := openLake(t, "", onBucket(s.URL, bucket, t.TempDir()), patient)
	for _, d := range []string{"hot", "cold", "away"} {
		o.create(d, schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
		o.change(d, engine.OpUpsert, `{"id":1,"v":"a"}`, `{"id":2,"v":"b"}`)
		o.compact(d)
	}
	o.close()

	o = openLake(t, "", onBucket(p.URL, bucket, state), patient, settings, func(o *engine.Options) { o.Settings.StoreTimeout = 400 * time.Millisecond })
	if _, err := o.CachePin(context.Background(), name(t, "hot")); err != nil {
		t.Fatal(err)
	}
	o.want("select count(*) from cold", "[2]")
	if _, outage, err := o.marked("select 1"); err != nil || outage {
		t.Fatalf("marked before the outage: %t, %v", outage, err)
	}
	p.Do(func(*http.Request) s3test.Fault { return s3test.Silence })
	waitFor(t, "the outage is noticed", func() bool { _, outage, _ := o.marked("select 1"); return outage && o.diskStats().StoreDown })
	for sql, want := range map[string]string{"select v from hot where id = 2": `["b"]`, "select v from cold where id = 1": `["a"]`} {
		got, outage, err := o.marked(sql)
		if err != nil || !outage || len(got) != 1 || got[0] != want {
			t.Errorf("%s in an outage: %v, marked %t, %v", sql, got, outage, err)
		}
	}
	_, err := o.tryRows("select count(*) from away")
	wantCode(t, err, lake.CodeUnavailable)
	refused := 0
	for i := range 10 {
		_, err := o.tryChange("cold", engine.OpUpsert, fmt.Sprintf(`{"id":%d,"v":"late"}`, 10+i))
		if err == nil {
			t.Fatal("a change was acknowledged in an outage")
		}
		if lake.CodeOf(err) == lake.CodeUnavailable && lake.HintOf(err) != "" {
			refused++
		}
	}
	if refused < 8 { // those that try whether it is back may end otherwise
		t.Errorf("%d of 10 changes were refused", refused)
	}
	p.Do(func(*http.Request) s3test.Fault { return s3test.Pass })
	waitFor(t, "the bucket is back", func() bool {
		_, err := o.tryChange("cold", engine.OpUpsert, `{"id":3,"v":"c"}`)
		return err == nil
	})
	waitFor(t, "answers are not marked", func() bool { _, outage, err := o.marked("select 1"); return err == nil && !outage })
	o.want("select v from cold where id = 3", `["c"]`)
	o.want("select count(*) from away", "[2]")
	o.close()
}

func (o *opened) diskStats() engine.CacheDisk {
	o.t.Helper()
	s, err := o.CacheStats(context.Background())
	if err != nil {
		o.t.Fatal(err)
	}
	return *s.Disk
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within two minutes: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Changes over a way that loses answers, each sent until it is acknowledged, are in
// once.
func TestChangesOverABadWay(t *testing.T) {
	s := s3test.Start(t)
	p := s3test.NewProxy(t, s)
	bucket := s.NewBucket(t)
	o := openLake(t, "", onBucket(p.URL, bucket, t.TempDir()), func(o *engine.Options) { o.Settings.StoreTimeout = 500 * time.Millisecond })
	o.create("log", schema(t, nil, "n BIGINT"))
	var n atomic.Int64
	p.Do(func(r *http.Request) s3test.Fault {
		at := n.Add(1)
		if r.Method != http.MethodPut || at%2 == 0 {
			return s3test.Pass
		}
		bad := []s3test.Fault{s3test.LostAnswer, s3test.Twice, s3test.Error500Late, s3test.LostRequest, s3test.SilenceLate, s3test.SlowDown}
		return bad[int(at/2)%len(bad)]
	})
	const changes = 40
	sent := 0
	for i := range changes {
		waitFor(t, "a change is acknowledged", func() bool {
			sent++
			_, err := o.Change(context.Background(), engine.ChangeRequest{
				Dataset: name(t, "log"), Op: engine.OpUpsert, Format: rows.NDJSON, Body: strings.NewReader(fmt.Sprintf("{\"n\":%d}\n", i)),
				Idempotency: engine.Idempotency{Key: fmt.Sprint(i), Scope: "POST\n/datasets/log/rows"},
			})
			return err == nil
		})
	}
	p.Do(func(*http.Request) s3test.Fault { return s3test.Pass })
	o.want("select count(*), count(distinct n) from log", fmt.Sprintf("[%d,%d]", changes, changes))
	t.Logf("%d changes, sent %d times, %d faults", changes, sent, p.Count.Load())
	o.close()
	next := openLake(t, "", onBucket(s.URL, bucket, t.TempDir()))
	next.want("select count(*), count(distinct n) from log", fmt.Sprintf("[%d,%d]", changes, changes))
	next.verifyClean()
	next.close()
}

// A disk cache that holds one dataset at a time serves all of them, and query
// processes read only what is held for them.
func TestDiskCacheSmallerThanTheLake(t *testing.T) {
	s := s3test.Start(t)
	bucket := s.NewBucket(t)
	const datasets, count = 4, 400_000
	sql := "n,v\n"
	o := openLake(t, "", onBucket(s.URL, bucket, t.TempDir()))
	for d := range datasets {
		var b strings.Builder
		b.WriteString(sql)
		for i := range count {
			fmt.Fprintf(&b, "%d,%x%x%x\n", i, uint64(i)*0x9E3779B97F4A7C15, uint64(i+d)*0xC2B2AE3D27D4EB4F, uint64(i)*0xD6E8FEB86659FD93)
		}
		if _, err := o.importText(fmt.Sprintf("d%d", d), "", rows.CSV, nil, "", b.String()); err != nil {
			t.Fatal(err)
		}
	}
	o.close()
	state := t.TempDir()
	small := func(o *engine.Options) {
		o.Settings.DiskCacheBytes, o.Settings.CacheBytes = 64<<20, engine.NoCache
		processes(o)
	}
	o = openLake(t, "", onBucket(s.URL, bucket, state), small)
	size := int64(0)
	for d := range datasets {
		info, err := o.Describe(context.Background(), name(t, fmt.Sprintf("d%d", d)))
		if err != nil {
			t.Fatal(err)
		}
		size += info.Bytes
	}
	if size <= 64<<20 {
		t.Skipf("the lake has %d bytes only", size)
	}
	for round := range 2 {
		for d := range datasets {
			o.want(fmt.Sprintf("select count(*), count(distinct v) from d%d", d), fmt.Sprintf("[%d,%d]", count, count))
		}
		o.want("select count(*) from d0 a join d1 b using (n)", fmt.Sprintf("[%d]", count))
		if st := o.diskStats(); st.UsedBytes > st.BudgetBytes || st.Evictions == 0 {
			t.Errorf("round %d: %+v", round, st)
		}
	}
	_, err := o.tryRows("select count(*) from d0, d1, d2, d3 where d0.n = 0 and d1.n = 0 and d2.n = 0 and d3.n = 0")
	if lake.CodeOf(err) != lake.CodeOutOfDisk || !strings.Contains(err.Error()+lake.HintOf(err), "disk_cache_bytes") {
		t.Errorf("all at once: %v", err)
	}
	// Many at once, so that what one reads is what another wants gone.
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			for i := range 6 {
				d := (g + i*5) % datasets
				got, err := o.tryRows(fmt.Sprintf("select count(*), count(distinct v) from d%d", d))
				if err != nil || got[0] != fmt.Sprintf("[%d,%d]", count, count) {
					t.Errorf("d%d: %v, %v", d, got, err)
				}
			}
		})
	}
	wg.Wait()
	if st := o.diskStats(); st.UsedBytes > st.BudgetBytes {
		t.Errorf("%+v", st)
	}
	// Somebody spoils what is on the disk: it is fetched anew, not served.
	for _, f := range filesUnder(t, filepath.Join(state, "disk-cache")) {
		path := filepath.Join(state, "disk-cache", f)
		if body, err := os.ReadFile(path); err == nil && len(body) > 1<<20 {
			copy(body[len(body)/3:], "spoilt")
			if err := os.WriteFile(path, body, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for d := range datasets {
		o.want(fmt.Sprintf("select count(*), count(distinct v) from d%d", d), fmt.Sprintf("[%d,%d]", count, count))
	}
	o.verifyClean()
	o.close()
}
