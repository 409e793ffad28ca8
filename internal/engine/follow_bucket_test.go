package engine_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/store"
	"tarn/internal/store/s3test"
)

// untouched is a bucket that a follower must not write to.
type untouched struct {
	store.Store
	t testing.TB
}

func (u untouched) Create(_ context.Context, key string, _ []byte) error { return u.told(key) }
func (u untouched) CreateFrom(_ context.Context, key, _ string) error    { return u.told(key) }
func (u untouched) Delete(_ context.Context, key string) error           { return u.told(key) }

func (u untouched) told(key string) error {
	u.t.Errorf("the follower writes %s", key)
	return lake.Errorf(lake.CodeUnavailable, "%s: refused", key)
}

// followBucket follows a bucket of this process.
func followBucket(t testing.TB, s store.Store, change ...func(*engine.Options)) *opened {
	t.Helper()
	return follow(t, "", append([]func(*engine.Options){inMemory(untouched{s, t}, filepath.Join(t.TempDir(), "state"))}, change...)...)
}

// TestFollowerOfABucket is TestFollower of a lake in a bucket; its files are brought to
// the disk cache, and let go of once they are folded or gone.
func TestFollowerOfABucket(t *testing.T) {
	s := memoryBucket(t)
	w := openLake(t, "", inMemory(s, t.TempDir()), marking)
	defer w.close()
	_, err := engine.Open(t.Context(), engine.Options{Store: memoryBucket(t), Shared: true, ReadOnly: true, State: t.TempDir(), Log: quiet()})
	wantCode(t, err, lake.CodeNotFound)
	variedLake(w)
	f := followBucket(t, s, processes)
	defer f.close()
	f.caughtUp(w)
	f.pin("people")
	f.want("select count(*) from people where id = 30", "[1]")
	followSteps(w, f)
	if d := f.diskStats(); d.Files == 0 || d.UsedBytes == 0 {
		t.Errorf("nothing is in the disk cache: %+v", d)
	}
	for _, d := range []string{"people", "renamed", "empty", "site.log", "unseen"} {
		w.change(d, engine.OpUpsert, map[string]string{
			"people": `{"id":1,"v":1}`, "renamed": `{"id":1,"name":"a"}`, "empty": `{"other":"p"}`, "site.log": `{"who":"a","n":1}`, "unseen": `{"n":2}`,
		}[d])
	}
	f.caughtUp(w)
	before := f.diskStats().HeldBytes
	w.compactAll()
	f.caughtUp(w)
	for _, d := range []string{"people", "renamed", "empty", "site.log", "unseen"} {
		if err := w.Drop(t.Context(), name(t, d), engine.Idempotency{}); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "what the follower held is let go", func() bool {
		if err := f.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.want("show tables")
		return f.diskStats().HeldBytes == 0
	})
	if before == 0 {
		t.Error("nothing was held")
	}
}

// TestFollowerOfABucketJumps: as on a disk, a follower that was away builds on what is
// there now.
func TestFollowerOfABucketJumps(t *testing.T) {
	s := memoryBucket(t)
	w := openLake(t, "", inMemory(s, t.TempDir()), func(o *engine.Options) { noRetention(&o.Settings) })
	defer w.close()
	jumps(w, func() *opened { return followBucket(t, s) })
}

// TestFollowerOfABucketAfterFilesWent: a query that needs a file which the writer has
// collected is answered from what is there now.
func TestFollowerOfABucketAfterFilesWent(t *testing.T) {
	s := memoryBucket(t)
	w := openLake(t, "", inMemory(s, t.TempDir()), func(o *engine.Options) { noRetention(&o.Settings) })
	defer w.close()
	f := followBucket(t, s)
	defer f.close()
	made := func(d string) { // which the follower knows, and has no file of
		w.create(d, schema(t, []string{"id"}, "id BIGINT", "v BIGINT"))
		w.change(d, engine.OpUpsert, `{"id":1,"v":1}`)
		w.compact(d)
		if err := f.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 3 {
		d := fmt.Sprint("t", round)
		made(d)
		w.change(d, engine.OpUpsert, `{"id":1,"v":2}`)
		w.compact(d)
		for range 2 {
			if err := w.Tidy(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		f.want("select v from "+d, "[2]") // no look but that of the query
	}
	made("t") // One that is really gone is named.
	for info, err := range s.List(t.Context(), "base/", "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(info.Key, "base/main/t-") && strings.HasSuffix(info.Key, ".parquet") {
			if err := s.Delete(t.Context(), info.Key); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err := f.tryRows("select v from t")
	wantCode(t, err, lake.CodeDamaged)
	if err == nil || !strings.Contains(err.Error(), ".parquet") {
		t.Errorf("it names no file: %v", err)
	}
}

// TestI2FollowerWithinATakeOver: while one server takes a bucket over from another that
// still writes, a follower looks between any two calls of either. Each step of the
// writers is acknowledged before the next is sent, and numbered; so what the follower
// sees must be the state after some step, in whole.
func TestI2FollowerWithinATakeOver(t *testing.T) {
	seed := testSeed(t)
	random := rand.New(rand.NewPCG(uint64(seed), 12))
	var mu sync.Mutex // of random
	chance := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	s := memoryBucket(t)
	patient := func(o *engine.Options) { o.Settings.FenceCheckInterval = time.Hour }
	w := openLake(t, "", inMemory(s, t.TempDir()), patient)
	sets := []string{"a", "g", "m", "s", "z"}
	last := map[string]int{}
	for _, d := range sets {
		w.create(d, schema(t, []string{"id"}, "id BIGINT", "v BIGINT"))
	}
	text := func() string {
		var out []string
		for _, d := range sets {
			out = append(out, fmt.Sprint(last[d]))
		}
		return "[" + strings.Join(out, ",") + "]"
	}
	states := map[string]int{text(): 0}
	var stepping sync.Mutex // of the writer, steps, last and states
	steps, fenced := 0, false
	step := func() {
		stepping.Lock()
		defer stepping.Unlock()
		if fenced {
			return
		}
		d := sets[chance(len(sets))]
		_, err := w.tryChange(d, engine.OpUpsert, fmt.Sprintf(`{"id":1,"v":%d}`, steps+1))
		if lake.CodeOf(err) == lake.CodeFenced {
			fenced = true
			return
		}
		if err != nil {
			t.Error(err)
			return
		}
		steps++
		last[d] = steps
		states[text()] = steps
	}
	seenBy := &steppingBucket{Store: s}
	f := followBucket(t, seenBy)
	defer f.close()
	sql := "select " + strings.Join(func() (out []string) {
		for _, d := range sets {
			out = append(out, fmt.Sprintf("(select coalesce(max(v), 0) from %s)", d))
		}
		return out
	}(), ", ")
	seen, looks, within := 0, 0, 0
	var looking sync.Mutex
	look := func() {
		looking.Lock()
		defer looking.Unlock()
		looks++
		left := atomic.Int64{}
		left.Store(int64(chance(8)))
		seenBy.before(func() {
			for left.Add(-1) >= 0 && chance(2) == 0 {
				step()
			}
		})
		err := f.CatchUp(context.Background())
		seenBy.before(nil)
		if err != nil {
			t.Errorf("seed %d, look %d: %v", seed, looks, err)
			return
		}
		got, err := f.tryRows(sql)
		if err != nil {
			t.Errorf("seed %d, look %d: %v", seed, looks, err)
			return
		}
		stepping.Lock()
		at, ok := states[got[0]]
		now := text()
		stepping.Unlock()
		switch {
		case !ok:
			t.Errorf("seed %d, look %d: the follower sees %s, which no step left; the writer is at %s", seed, looks, got[0], now)
		case at < seen:
			t.Errorf("seed %d, look %d: the follower went back from step %d to %d", seed, looks, seen, at)
		}
		seen = at
	}
	rounds := 6
	if testing.Short() {
		rounds = 3
	}
	for range rounds {
		for range 3 {
			step()
			look()
		}
		old, before := w, steps
		takes := &steppingBucket{Store: s}
		quiet := chance(8) // calls in which the old one rests, so that the new one counts ahead of it
		takes.before(func() {
			if quiet--; quiet < 0 {
				step()
			}
			if chance(2) == 0 {
				look()
			}
		})
		next := openLake(t, "", inMemory(takes, t.TempDir()), patient)
		takes.before(nil)
		look()
		within += steps - before
		stepping.Lock()
		w, fenced = next, false
		stepping.Unlock()
		old.close()
		if t.Failed() {
			break
		}
		f.caughtUp(w)
	}
	w.verifyClean()
	w.close()
	t.Logf("%d steps, %d of them while the lake was taken over; %d looks", steps, within, looks)
	if within < rounds {
		t.Errorf("only %d steps fell into %d take-overs", within, rounds)
	}
}

// steppingBucket is a bucket in which something happens before each listing and put;
// they are one after the other.
type steppingBucket struct {
	store.Store
	mu    sync.Mutex // held over a call
	do    atomic.Pointer[func()]
	after func(prefix string) // a listing
	put   func(key string)    // before a put
}

func (s *steppingBucket) before(do func()) {
	if do == nil {
		s.do.Store(nil)
		return
	}
	s.do.Store(&do)
}

func (s *steppingBucket) happens() {
	if do := s.do.Load(); do != nil {
		(*do)()
	}
}

func (s *steppingBucket) List(ctx context.Context, prefix, after string) iter.Seq2[store.Info, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.happens()
	var found []store.Info
	for info, err := range s.Store.List(ctx, prefix, after) {
		if err != nil {
			return func(yield func(store.Info, error) bool) { yield(info, err) }
		}
		found = append(found, info)
	}
	if s.after != nil {
		s.after(prefix)
	}
	return func(yield func(store.Info, error) bool) {
		for _, info := range found {
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (s *steppingBucket) Create(ctx context.Context, key string, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.happens()
	if s.put != nil {
		s.put(key)
	}
	return s.Store.Create(ctx, key, body)
}

// sealing is a lake of datasets d0, d1, … that a second server is taking over: it stands
// before the put of the seal with a number, from 1.
type sealing struct {
	w, next *opened
	names   map[string]string // of datasets, by the prefix of their deltas
	sealed  map[string]bool   // prefixes
	goOn    func()            // the second server has opened the lake
}

func sealingAt(t *testing.T, s store.Store, datasets, number int, before func()) *sealing {
	t.Helper()
	patient := func(o *engine.Options) { o.Settings.FenceCheckInterval = time.Hour }
	out := &sealing{w: openLake(t, "", inMemory(s, t.TempDir()), patient), names: map[string]string{}, sealed: map[string]bool{}}
	for d := range datasets {
		n := fmt.Sprintf("d%d", d)
		out.w.create(n, schema(t, []string{"id"}, "id BIGINT", "v BIGINT"))
		r := out.w.change(n, engine.OpUpsert, `{"id":1,"v":0}`)
		out.names["deltas/"+r.ReadPoint.TableUUID+"/"] = n
	}
	before()
	there, free, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	seals := 0
	takes := &steppingBucket{Store: s, put: func(key string) {
		if !strings.HasPrefix(key, "deltas/") {
			return
		}
		if seals++; seals == number {
			close(there)
			<-free
		}
		out.sealed[filepath.Dir(key)+"/"] = true
	}}
	go func() {
		defer close(done)
		out.next = openLake(t, "", inMemory(takes, t.TempDir()), patient)
	}()
	<-there
	out.goOn = sync.OnceFunc(func() { close(free); <-done })
	t.Cleanup(func() {
		out.goOn()
		out.w.close()
		out.next.close()
	})
	return out
}

// TestI2FollowerBetweenTheSealsOfATakeOver: a change that the former server acknowledged
// before another one was sent is seen with it, in the two places where the positions of
// two servers run side by side.
func TestI2FollowerBetweenTheSealsOfATakeOver(t *testing.T) {
	const datasets = 5
	// sees looks, and has act called after the first listing that fits: with the prefix
	// listed, and that of another which fits and will be listed after it.
	sees := func(t *testing.T, f *opened, seen *steppingBucket, fits func(listing int, prefix string) bool, s *sealing, act func(listed, later string)) {
		t.Helper()
		var first, second string
		listed, listings := map[string]bool{}, 0
		seen.after = func(prefix string) {
			if !strings.HasPrefix(prefix, "deltas/") {
				return
			}
			if listings++; listings%datasets == 1 {
				clear(listed)
			}
			listed[prefix] = true
			if first != "" || !fits(listings, prefix) {
				return
			}
			for other := range s.names {
				if !listed[other] && fits(listings, other) {
					first, second = s.names[prefix], s.names[other]
					act(first, second)
					return
				}
			}
		}
		err := f.CatchUp(t.Context())
		seen.after = nil
		if err != nil || first == "" {
			t.Fatalf("the look, in which nothing happened after %q: %v", first, err)
		}
		got := f.rows(fmt.Sprintf("select (select v from %s), (select v from %s)", first, second))
		if got[0] == "[0,2]" {
			t.Errorf("the follower sees the second of two changes alone: %v", got)
		}
		t.Logf("it sees %v", got)
		if err := f.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.want(fmt.Sprintf("select (select v from %s), (select v from %s)", first, second), "[1,2]")
	}
	t.Run("both of the former", func(t *testing.T) {
		s := memoryBucket(t)
		seen := &steppingBucket{Store: s}
		var f *opened
		lake := sealingAt(t, s, datasets, 4, func() { f = followBucket(t, seen) }) // three seals are ahead of the former's positions
		defer f.close()
		sees(t, f, seen, func(listing int, prefix string) bool { return listing > datasets && !lake.sealed[prefix] }, lake, func(listed, later string) {
			lake.w.change(listed, engine.OpUpsert, `{"id":1,"v":1}`)
			lake.w.change(later, engine.OpUpsert, `{"id":1,"v":2}`)
		})
	})
	t.Run("one of each", func(t *testing.T) {
		s := memoryBucket(t)
		seen := &steppingBucket{Store: s}
		var f *opened
		lake := sealingAt(t, s, datasets, 1, func() { f = followBucket(t, seen) })
		defer f.close()
		sees(t, f, seen, func(listing int, _ string) bool { return listing <= datasets }, lake, func(listed, later string) {
			lake.w.change(listed, engine.OpUpsert, `{"id":1,"v":1}`)
			lake.goOn()
			lake.next.change(later, engine.OpUpsert, `{"id":1,"v":2}`)
		})
	})
}

// TestFollowerOfABucketOnS3: a follower of a lake in a real S3 server sends it nothing
// but GET and HEAD, through a take-over by a third server under writers, and an outage,
// in which it answers, marked, until its answers are too old.
func TestFollowerOfABucketOnS3(t *testing.T) {
	s := s3test.Start(t)
	bucket := s.NewBucket(t)
	p := s3test.NewProxy(t, s)
	var written atomic.Int64
	silent := atomic.Bool{}
	p.Do(func(r *http.Request) s3test.Fault {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			written.Add(1)
		}
		if silent.Load() {
			return s3test.Silence
		}
		return s3test.Pass
	})
	readOnly := func(o *engine.Options) {
		o.ReadOnly = true
		o.Settings.FollowInterval, o.Settings.MaxStaleness, o.Settings.StoreTimeout = 20*time.Millisecond, time.Minute, 300*time.Millisecond
		o.Settings.FenceCheckInterval = 100 * time.Millisecond
	}
	_, err := engine.Open(t.Context(), func() engine.Options {
		o := engine.Options{Log: quiet(), MemoryBytes: 2 << 30}
		onBucket(p.URL, bucket, t.TempDir())(&o)
		o.ReadOnly = true
		return o
	}())
	wantCode(t, err, lake.CodeNotFound)

	const datasets = 2
	w := openLake(t, "", onBucket(s.URL, bucket, t.TempDir()))
	for d := range datasets {
		w.create(fmt.Sprintf("d%d", d), schema(t, []string{"who", "n"}, "who VARCHAR", "n BIGINT"))
	}
	f := openLake(t, "", onBucket(p.URL, bucket, t.TempDir()), readOnly)
	var of writers
	of.start(w, "first", datasets, 1, make(chan struct{}))
	waitFor(t, "the follower sees what is written", func() bool {
		got, err := f.tryRows("select count(*) from d0")
		return err == nil && got[0] != "[0]"
	})
	next := openLake(t, "", onBucket(s.URL, bucket, t.TempDir()))
	of.wg.Wait()
	acked := of.snapshot()
	next.change("d0", engine.OpUpsert, `{"who":"second","n":1}`)
	next.compact("d0")
	waitFor(t, "the follower sees the second server's", func() bool {
		got, err := f.tryRows("select count(*) from d0 where who = 'second'")
		return err == nil && got[0] == "[1]"
	})
	f.wantAckedAtLeast(datasets, acked)
	if err := f.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := f.mustContent(), next.mustContent(); got != want {
		t.Errorf("the follower has\n%s\nthe writer\n%s", got, want)
	}
	w.close()
	if _, outage, err := f.marked("select 1"); err != nil || outage {
		t.Fatalf("marked before the outage: %t, %v", outage, err)
	}

	silent.Store(true)
	waitFor(t, "the outage is noticed", func() bool { _, outage, _ := f.marked("select 1"); return outage })
	next.change("d1", engine.OpUpsert, `{"who":"unseen","n":1}`)
	if got, outage, err := f.marked("select count(*) from d1 where who = 'unseen'"); err != nil || !outage || got[0] != "[0]" {
		t.Errorf("in an outage: %v, marked %t, %v", got, outage, err)
	}
	as, _ := f.Following()
	if as.Problem == nil {
		waitFor(t, "the look says what is wrong", func() bool { as, _ = f.Following(); return as.Problem != nil })
	}
	wantCode(t, as.Problem, lake.CodeUnavailable)
	silent.Store(false)
	waitFor(t, "the follower goes on", func() bool {
		got, outage, err := f.marked("select count(*) from d1 where who = 'unseen'")
		return err == nil && !outage && got[0] == "[1]"
	})
	f.close()

	// Beyond max_staleness nothing is answered.
	f = openLake(t, "", onBucket(p.URL, bucket, t.TempDir()), readOnly, func(o *engine.Options) { o.Settings.MaxStaleness = 500 * time.Millisecond })
	silent.Store(true)
	waitFor(t, "the answers are too old", func() bool { _, err := f.tryRows("select 1"); return lake.CodeOf(err) == lake.CodeBehind })
	silent.Store(false)
	waitFor(t, "it answers again", func() bool { _, err := f.tryRows("select 1"); return err == nil })
	f.close()

	// Neither does verify write.
	o := engine.Options{Log: quiet(), MemoryBytes: 2 << 30}
	onBucket(p.URL, bucket, t.TempDir())(&o)
	r, err := engine.VerifyLake(t.Context(), o, nil)
	if err != nil || len(r.Findings) > 0 || r.Datasets != datasets {
		t.Errorf("verify: %+v, %v", r, err)
	}
	next.close()
	if n := written.Load(); n > 0 {
		t.Errorf("%d requests that were no GET and no HEAD", n)
	}
}
