package engine_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"gocloud.dev/blob/memblob"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/store"
	"tarn/internal/store/bucket"
	"tarn/internal/store/s3test"
)

// inMemory makes a test's lake one in a bucket of this process, that others can open
// too.
func inMemory(s store.Store, state string) func(*engine.Options) {
	return func(o *engine.Options) {
		o.Data, o.Store, o.Shared, o.State = "", s, true, state
		o.Settings.DiskCacheBytes = 1 << 30
	}
}

func memoryBucket(t testing.TB) store.Store {
	t.Helper()
	mem := memblob.OpenBucket(nil)
	t.Cleanup(func() { mem.Close() })
	return bucket.New(mem, bucket.Place{Scheme: "s3", Bucket: "mem"}, bucket.Options{Scratch: t.TempDir(), Log: quiet()})
}

// writers write rows of their own to some datasets, each the next number, until stop;
// they note what was acknowledged.
type writers struct {
	mu    sync.Mutex
	acked map[string]int64 // dataset/writer → how many rows
	errs  []error          // that ended one
	wg    sync.WaitGroup
}

func (w *writers) start(o *opened, server string, datasets, each int, stop <-chan struct{}) {
	if w.acked == nil {
		w.acked = map[string]int64{}
	}
	for d := range datasets {
		for n := range each {
			who := fmt.Sprintf("%s-%d", server, n)
			w.wg.Go(func() {
				for i := int64(1); ; i++ {
					select {
					case <-stop:
						return
					case <-time.After(5 * time.Millisecond): // some load, not all there can be
					}
					_, err := o.tryChange(fmt.Sprintf("d%d", d), engine.OpUpsert, fmt.Sprintf(`{"who":%q,"n":%d}`, who, i))
					w.mu.Lock()
					if err != nil {
						w.errs = append(w.errs, err)
						w.mu.Unlock()
						return
					}
					w.acked[fmt.Sprintf("d%d/%s", d, who)] = i
					w.mu.Unlock()
				}
			})
		}
	}
}

func (w *writers) count() (n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range w.acked {
		n += i
	}
	return n
}

func (w *writers) snapshot() map[string]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]int64{}
	for k, v := range w.acked {
		out[k] = v
	}
	return out
}

// wantAcked says that every acknowledged row is there, once, and nothing of a writer
// but what it sent.
func (o *opened) wantAcked(datasets int, acked map[string]int64) {
	o.t.Helper()
	got := map[string]int64{}
	for d := range datasets {
		for _, r := range o.rows(fmt.Sprintf("select who, count(*), count(distinct n), max(n) from d%d group by who", d)) {
			parts := strings.Split(strings.Trim(r, "[]"), ",")
			rows, _ := strconv.ParseInt(parts[1], 10, 64)
			if parts[1] != parts[2] || parts[1] != parts[3] {
				o.t.Errorf("d%d: a writer's rows have holes or are doubled: %s", d, r)
			}
			got[fmt.Sprintf("d%d/%s", d, strings.Trim(parts[0], `"`))] = rows
		}
	}
	for k, n := range acked {
		if got[k] < n {
			o.t.Errorf("%s: %d rows were acknowledged, %d are there", k, n, got[k])
		}
		if got[k] > n+1 { // the one in flight may be in
			o.t.Errorf("%s: %d rows were acknowledged, and %d are there", k, n, got[k])
		}
	}
}

func TestTakeOverUnderWriters(t *testing.T) {
	t.Run("in memory", func(t *testing.T) {
		s := memoryBucket(t)
		takeOver(t, func(state string) func(*engine.Options) { return inMemory(s, state) })
	})
	t.Run("on S3", func(t *testing.T) {
		s := s3test.Start(t)
		name := s.NewBucket(t)
		takeOver(t, func(state string) func(*engine.Options) { return onBucket(s.URL, name, state) })
	})
}

// takeOver lets one server after the other take a lake over from the one before it
// while all of them are written to.
func takeOver(t *testing.T, with func(state string) func(*engine.Options)) {
	const datasets, servers = 3, 3
	open := func() *opened {
		return openLake(t, "", with(t.TempDir()), func(o *engine.Options) { o.Settings.FenceCheckInterval = time.Hour })
	}
	o := open()
	for d := range datasets {
		o.create(fmt.Sprintf("d%d", d), schema(t, []string{"who", "n"}, "who VARCHAR", "n BIGINT"))
	}
	all := map[string]int64{}
	var old []*opened
	for server := range servers {
		var w writers
		w.start(o, fmt.Sprintf("s%d", server), datasets, 2, make(chan struct{}))
		for w.count() < 60 {
			time.Sleep(time.Millisecond)
		}
		next := open()
		opened := w.snapshot() // acknowledged before the new one answered its first query
		next.wantAckedAtLeast(datasets, opened)
		w.wg.Wait() // every writer of the old one met the end
		for _, err := range w.errs {
			wantCode(t, err, lake.CodeFenced)
		}
		for k, n := range w.snapshot() {
			all[k] = n
		}
		next.wantAcked(datasets, all)
		old = append(old, o)
		o = next
	}
	for _, fenced := range old {
		_, err := fenced.tryRows("select 1")
		wantCode(t, err, lake.CodeFenced)
		_, err = fenced.tryChange("d0", engine.OpUpsert, `{"who":"late","n":1}`)
		wantCode(t, err, lake.CodeFenced)
		_, err = fenced.tryCompact("d0")
		wantCode(t, err, lake.CodeFenced)
		wantCode(t, fenced.Ready(), lake.CodeFenced)
		fenced.close()
	}
	for d := range datasets {
		o.compact(fmt.Sprintf("d%d", d))
	}
	o.wantAcked(datasets, all)
	o.verifyClean()
	o.close()
	o = open()
	o.wantAcked(datasets, all)
	o.close()
}

// wantAckedAtLeast says that nothing acknowledged is hidden, while writers go on.
func (o *opened) wantAckedAtLeast(datasets int, acked map[string]int64) {
	o.t.Helper()
	for d := range datasets {
		for k, n := range acked {
			if who, ok := strings.CutPrefix(k, fmt.Sprintf("d%d/", d)); ok {
				o.want(fmt.Sprintf("select count(*) from d%d where who = '%s' and n <= %d", d, who, n), fmt.Sprintf("[%d]", n))
			}
		}
	}
}

// A server that is only read learns by itself that it is no longer the one.
func TestReadsAreNotStaleForLongerThanTheSetting(t *testing.T) {
	s := memoryBucket(t)
	o := openLake(t, "", inMemory(s, t.TempDir()), func(o *engine.Options) { o.Settings.FenceCheckInterval = 20 * time.Millisecond })
	o.create("t", schema(t, []string{"id"}, "id BIGINT"))
	o.want("select count(*) from t", "[0]")
	next := openLake(t, "", inMemory(s, t.TempDir()))
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := o.tryRows("select count(*) from t")
		if lake.CodeOf(err) == lake.CodeFenced {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the old server still answers: %v", err)
		}
		time.Sleep(time.Millisecond)
	}
	_, err := o.tryChange("t", engine.OpUpsert, `{"id":1}`)
	wantCode(t, err, lake.CodeFenced)
	next.change("t", engine.OpUpsert, `{"id":1}`)
	o.close()
	next.close()
}

// Imports, creates and compactions of the old server fail on the catalog.
func TestOldServersJobsFail(t *testing.T) {
	s := memoryBucket(t)
	for what, do := range map[string]func(o *opened) error{
		"create": func(o *opened) error {
			_, err := o.Create(context.Background(), engine.CreateRequest{Dataset: name(t, "fresh"), Schema: schema(t, nil, "a BIGINT")})
			return err
		},
		"compact": func(o *opened) error { _, err := o.tryCompact("t"); return err },
		"rename": func(o *opened) error {
			_, err := o.Rename(context.Background(), name(t, "t"), name(t, "u"), engine.Idempotency{})
			return err
		},
		"drop": func(o *opened) error { return o.Drop(context.Background(), name(t, "t"), engine.Idempotency{}) },
		"upkeep": func(o *opened) error {
			// A file that the new server has put and not committed: to the old one it
			// is one that nobody reaches.
			key := "base/main/t-" + uuid.NewString() + "/data/in-flight.parquet"
			if err := s.Create(context.Background(), key, []byte("of the new one")); err != nil {
				t.Fatal(err)
			}
			err := o.Tidy(context.Background())
			if _, gone := s.Stat(context.Background(), key); gone != nil {
				t.Errorf("the old server deleted it: %v", gone)
			}
			if err := s.Delete(context.Background(), key); err != nil {
				t.Fatal(err)
			}
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			slow := func(o *engine.Options) {
				o.Settings.FenceCheckInterval = time.Hour
				o.Settings.IcebergFileGrace = 1 // the file of upkeep's case has no hash in its name
			}
			o := openLake(t, "", inMemory(s, t.TempDir()), slow)
			if _, err := o.Describe(context.Background(), name(t, "t")); err != nil {
				o.create("t", schema(t, []string{"id"}, "id BIGINT"))
			}
			o.change("t", engine.OpUpsert, fmt.Sprintf(`{"id":%d}`, time.Now().UnixNano()))
			next := openLake(t, "", inMemory(s, t.TempDir()), slow)
			before := next.rows("select count(*) from t")
			err := do(o)
			wantCode(t, err, lake.CodeFenced)
			if what != "upkeep" { // whose own loop notices
				_, err = o.tryRows("select 1")
				wantCode(t, err, lake.CodeFenced)
			}
			o.close()
			next.want("select count(*) from t", before...)
			next.verifyClean()
			next.close()
		})
	}
}

// TestTakeOverOfManyDatasets reports how long it takes to seal them; TARN_TEST_DATASETS
// says how many, 50 unless said.
func TestTakeOverOfManyDatasets(t *testing.T) {
	n := numberFrom(t, "TARN_TEST_DATASETS", 50)
	s := s3test.Start(t)
	bucket := s.NewBucket(t)
	o := openLake(t, "", onBucket(s.URL, bucket, t.TempDir()))
	sch := schema(t, []string{"id"}, "id BIGINT", "v VARCHAR")
	began := time.Now()
	var wg sync.WaitGroup
	free := make(chan struct{}, 8)
	for i := range n {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			o.create(fmt.Sprintf("d%d", i), sch)
			o.change(fmt.Sprintf("d%d", i), engine.OpUpsert, `{"id":1,"v":"x"}`)
		})
	}
	wg.Wait()
	t.Logf("%d datasets made in %s", n, time.Since(began).Round(time.Millisecond))
	began = time.Now()
	next := openLake(t, "", onBucket(s.URL, bucket, t.TempDir()))
	took := time.Since(began)
	next.want(fmt.Sprintf("select count(*) from d%d", n-1), "[1]")
	t.Logf("%d datasets taken over in %s, the first answer included %s; sealing took %s", n, took.Round(time.Millisecond),
		time.Since(began).Round(time.Millisecond), next.SealedIn().Round(time.Millisecond))
	if _, err := o.tryChange("d0", engine.OpUpsert, `{"id":2,"v":"y"}`); lake.CodeOf(err) != lake.CodeFenced {
		t.Errorf("the old one: %v", err)
	}
	o.close()
	next.close()
}
