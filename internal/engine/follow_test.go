package engine_test

import (
	"context"
	"fmt"
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
	"tarn/internal/store"
	"tarn/internal/store/storetest"
)

// follow opens a lake beside its writer; it looks when it is told to, unless an
// option says else.
func follow(t testing.TB, dir string, change ...func(*engine.Options)) *opened {
	t.Helper()
	return openLake(t, dir, append([]func(*engine.Options){func(o *engine.Options) {
		o.ReadOnly, o.State = true, filepath.Join(t.TempDir(), "state")
		o.Settings.FollowInterval = time.Hour
	}}, change...)...)
}

// caughtUp has the follower look, and then says that it answers as the writer does.
func (o *opened) caughtUp(writer *opened) {
	o.t.Helper()
	if err := o.CatchUp(context.Background()); err != nil {
		o.t.Fatalf("catch up: %v", err)
	}
	if got, want := o.mustContent(), writer.mustContent(); got != want {
		o.t.Fatalf("the follower has\n%s\nthe writer\n%s", got, want)
	}
}

// inode describes every file of a lake, so that a touched one is seen.
func inodes(t testing.TB, dir string) string {
	var b strings.Builder
	for _, key := range filesUnder(t, dir) {
		fi, err := os.Stat(filepath.Join(dir, key))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, key, fi.Size(), fi.ModTime().UnixNano())
	}
	return b.String()
}

// TestFollower: a follower opens a lake beside its writer, shows what it shows one
// look later, through every kind of step, and writes nothing below the lake.
func TestFollower(t *testing.T) {
	dir := t.TempDir()
	w := openLake(t, dir, marking)
	defer w.close()
	variedLake(w)
	before := inodes(t, dir)
	f := follow(t, dir)
	defer f.close()
	f.caughtUp(w)
	f.pin("people")
	f.want("select count(*) from people where id = 30", "[1]")
	if after := inodes(t, dir); after != before {
		t.Fatalf("the follower changed the lake: before\n%s\nafter\n%s", before, after)
	}
	followSteps(w, f)
}

// followSteps takes a varied lake through every kind of step, after each of which the
// follower answers as the writer does.
func followSteps(w, f *opened) {
	t := w.t
	t.Helper()
	f.caughtUp(w)
	as, ok := f.Following()
	if !ok || as.Problem != nil || as.AsOf.IsZero() {
		t.Fatalf("%+v", as)
	}
	if _, ok := w.Following(); ok {
		t.Fatal("the writer says that it follows")
	}
	ctx := context.Background()
	rename := func(from, to string) {
		if _, err := w.Rename(ctx, name(t, from), name(t, to), engine.Idempotency{}); err != nil {
			t.Fatal(err)
		}
	}
	for i, step := range []func(){
		func() { w.change("people", engine.OpUpsert, `{"id":100,"name":"new"}`) },
		func() { w.change("people", engine.OpDelete, `{"id":100}`) },
		func() {
			w.change("people", engine.OpUpsert, `{"id":101,"name":"x"}`)
			w.compact("people")
			w.change("people", engine.OpUpsert, `{"id":102,"name":"y"}`)
		},
		func() { w.compactAll() },
		func() {
			if _, err := w.importText("people", engine.ImportAppend, rows.CSV, nil, engine.DuplicateLast, "id,name\n7,import\n101,import\n"); err != nil {
				t.Fatal(err)
			}
			w.change("people", engine.OpUpsert, `{"id":103,"name":"z"}`)
		},
		func() {
			if _, err := w.importText("renamed", engine.ImportReplace, rows.CSV, nil, "", "id,v\n1,1\n"); err != nil {
				t.Fatal(err)
			}
			w.compact("renamed")
		},
		func() { rename("people", "persons"); rename("renamed", "people"); rename("persons", "renamed") },
		func() {
			if err := w.Drop(ctx, name(t, "empty"), engine.Idempotency{}); err != nil {
				t.Fatal(err)
			}
			w.create("empty", schema(t, nil, "other VARCHAR"))
			w.change("empty", engine.OpUpsert, `{"other":"o"}`)
		},
		func() { w.change("site.log", engine.OpUpsert, `{"who":"z","n":3}`); w.compact("site.log", "who") },
		func() { w.KillWorker() },
		func() { f.KillWorker() },
		func() { w.create("unseen", schema(t, nil, "n BIGINT")); w.change("unseen", engine.OpUpsert, `{"n":1}`) },
	} {
		step()
		t.Log("step", i)
		f.caughtUp(w)
	}
	_, etag, err := f.Row(ctx, name(t, "renamed"), "103")
	_, want, err2 := w.Row(ctx, name(t, "renamed"), "103")
	if err != nil || err2 != nil || etag != want {
		t.Errorf("ETags %s and %s, %v, %v", etag, want, err, err2)
	}
	w.change("renamed", engine.OpUpsert, `{"id":103,"name":"zz"}`)
	if err := f.CatchUp(ctx); err != nil {
		t.Fatal(err)
	}
	if row, _, err := f.Row(ctx, name(t, "renamed"), "103"); err != nil || !strings.Contains(string(row), "zz") {
		t.Errorf("a row that was kept: %s, %v", row, err)
	}
}

// TestFollowerRefusesChanges: every way of changing the lake is refused by one code.
func TestFollowerRefusesChanges(t *testing.T) {
	dir := t.TempDir()
	w := openLake(t, dir)
	defer w.close()
	w.create("t", schema(t, []string{"id"}, "id BIGINT"))
	f := follow(t, dir)
	defer f.close()
	ctx := context.Background()
	n := name(t, "t")
	for what, do := range map[string]func() error{
		"create": func() error {
			_, err := f.Create(ctx, engine.CreateRequest{Dataset: name(t, "u"), Schema: schema(t, nil, "a BIGINT")})
			return err
		},
		"rename": func() error { _, err := f.Rename(ctx, n, name(t, "u"), engine.Idempotency{}); return err },
		"drop":   func() error { return f.Drop(ctx, n, engine.Idempotency{}) },
		"change": func() error { _, err := f.tryChange("t", engine.OpUpsert, `{"id":1}`); return err },
		"sql":    func() error { _, err := f.exec("INSERT INTO t VALUES (1)"); return err },
		"make":   func() error { _, err := f.define("CREATE TABLE IF NOT EXISTS t (id BIGINT)"); return err },
		"as":     func() error { _, err := f.define("CREATE TABLE IF NOT EXISTS t AS SELECT 1 AS id"); return err },
		"take":   func() error { _, err := f.define("DROP TABLE IF EXISTS nothing"); return err },
		"dry":    func() error { _, err := f.exec("EXPLAIN DELETE FROM t"); return err },
		"import": func() error {
			_, err := f.importText("t", engine.ImportAppend, rows.CSV, nil, "", "id\n1\n")
			return err
		},
		"compact": func() error { _, err := f.tryCompact("t"); return err },
		"backup":  func() error { _, err := f.tryBackup(filepath.Join(t.TempDir(), "b"), 0); return err },
		"reroot":  func() error { _, err := f.Reroot(ctx); return err },
	} {
		if err := do(); lake.CodeOf(err) != lake.CodeReadOnly {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, o := range map[string]engine.Options{
		"no state":            {Data: dir},
		"state in the lake":   {Data: dir, State: filepath.Join(dir, "state")},
		"state above it":      {Data: dir, State: filepath.Join(dir, "..", filepath.Base(dir), "x")},
		"no lake":             {Data: filepath.Join(dir, "no"), State: t.TempDir()},
		"state of a follower": {Data: dir, State: ""},
	} {
		o.ReadOnly, o.Log, o.MemoryBytes = true, quiet(), 2<<30
		if _, err := engine.Open(ctx, o); lake.CodeOf(err) != lake.CodeInvalidRequest && lake.CodeOf(err) != lake.CodeNotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "no")); err == nil {
		t.Error("a follower made a lake")
	}
}

// TestFollowerJumps: a follower that was away for longer than deltas are kept builds
// on the base.
func TestFollowerJumps(t *testing.T) {
	dir := t.TempDir()
	w := openLake(t, dir, func(o *engine.Options) { noRetention(&o.Settings) })
	defer w.close()
	jumps(w, func() *opened { return follow(t, dir) })
}

// jumps has a follower miss what was trimmed and collected, several times.
func jumps(w *opened, open func() *opened) {
	t := w.t
	t.Helper()
	w.create("t", schema(t, []string{"id"}, "id BIGINT", "v BIGINT"))
	w.create("u", schema(t, nil, "n BIGINT"))
	w.change("t", engine.OpUpsert, `{"id":1,"v":1}`)
	w.change("u", engine.OpUpsert, `{"n":1}`)
	f := open()
	defer f.close()
	f.caughtUp(w)
	f.pin("t")
	for round := range 3 {
		for i := range 5 {
			w.change("t", engine.OpUpsert, fmt.Sprintf(`{"id":%d,"v":%d}`, i, round))
			w.change("u", engine.OpUpsert, fmt.Sprintf(`{"n":%d}`, i))
			w.compactAll()
		}
		for range 2 {
			if err := w.Tidy(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		w.change("t", engine.OpUpsert, fmt.Sprintf(`{"id":50,"v":%d}`, round))
		if _, err := f.tryRows("select * from t"); err != nil && lake.CodeOf(err) != lake.CodeDamaged {
			t.Fatalf("round %d: %v", round, err)
		}
		f.caughtUp(w)
	}
}

// TestI2FollowerSeesInstants: while writers write in lockstep over two datasets, and
// folds, imports and renames go on, each query of a follower sees one instant; and
// at the same read points a follower has the rows that the writer has (I3).
func TestI2FollowerSeesInstants(t *testing.T) {
	dir := t.TempDir()
	w := openLake(t, dir)
	defer w.close()
	const writers = 3
	for i := range writers {
		w.create(fmt.Sprintf("a%d", i), schema(t, []string{"n"}, "n BIGINT"))
		w.create(fmt.Sprintf("z%d", i), schema(t, []string{"n"}, "n BIGINT"))
	}
	w.create("turns", schema(t, []string{"id"}, "id BIGINT", "v BIGINT"))
	f := follow(t, dir, func(o *engine.Options) { o.Settings.FollowInterval = 10 * time.Millisecond })
	defer f.close()
	f.pin("z0")

	stop := make(chan struct{})
	var wg sync.WaitGroup
	var all []chan struct{} // turns that each of them has until the next look
	background := func(step func(i int) error) {
		turns := make(chan struct{}, 20)
		all = append(all, turns)
		wg.Go(func() {
			for i := 1; ; i++ {
				select {
				case <-stop:
					return
				case <-turns:
				}
				if err := step(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var acked [writers]atomic.Int64
	for k := range writers {
		order := []string{"a", "z"} // also against the order of names
		if k%2 == 1 {
			order = []string{"z", "a"}
		}
		background(func(i int) error {
			for _, d := range order {
				if _, err := w.tryChange(fmt.Sprint(d, k), engine.OpUpsert, fmt.Sprintf(`{"n":%d}`, i)); err != nil {
					return err
				}
			}
			acked[k].Store(int64(i))
			return nil
		})
	}
	background(func(i int) error {
		_, err := w.tryCompact(fmt.Sprint([]string{"a", "z"}[i%2], i%writers))
		return err
	})
	background(func(i int) error { // a change, then an import with the same number
		if _, err := w.tryChange("turns", engine.OpUpsert, fmt.Sprintf(`{"id":1,"v":%d}`, i)); err != nil {
			return err
		}
		_, err := w.importText("turns", engine.ImportAppend, rows.CSV, nil, engine.DuplicateLast, fmt.Sprintf("id,v\n2,%d\n", i))
		return err
	})
	background(func(i int) error { // datasets that come, one only after the other, and go
		for _, d := range []string{"first", "second"} {
			if _, err := w.importText(fmt.Sprint(d, i), engine.ImportCreate, rows.CSV, nil, "", "n\n1\n"); err != nil {
				return err
			}
		}
		for _, d := range []string{"second", "first"} {
			if err := w.Drop(context.Background(), name(t, fmt.Sprint(d, i)), engine.Idempotency{}); err != nil {
				return err
			}
		}
		return nil
	})

	sum := "select " + strings.Join([]string{
		"(select count(*) from a0)", "(select count(*) from z0)", "(select count(*) from a1)", "(select count(*) from z1)",
		"(select count(*) from a2)", "(select count(*) from z2)",
		"(select coalesce(max(v), 0) from turns where id = 1)", "(select coalesce(max(v), 0) from turns where id = 2)",
	}, ", ")
	seen := map[string]string{} // rows of turns by read point
	var mu sync.Mutex
	agree := func(who string, o *opened) error {
		got, head, err := o.tryAnswer("select * from turns order by id")
		if err != nil {
			return err
		}
		at := fmt.Sprint(head.ReadPoints["turns"].ReadPoint)
		mu.Lock()
		defer mu.Unlock()
		if before, ok := seen[at]; ok && before != fmt.Sprint(got) {
			return fmt.Errorf("at %s the %s has %v, and %s was seen before", at, who, got, before)
		}
		seen[at] = fmt.Sprint(got)
		return nil
	}
	background(func(int) error { return agree("writer", w) })
	enough := 40
	if testing.Short() {
		enough = 15
	}
	looks, last := 0, [8]int64{}
	for (looks < enough || last[0] < 5 || last[7] < 1) && !t.Failed() {
		for _, turns := range all {
			for more := true; more; {
				select {
				case turns <- struct{}{}:
				default:
					more = false
				}
			}
		}
		got, err := f.tryRows(sum)
		if err != nil {
			t.Fatal(err)
		}
		var n [8]int64
		if _, err := fmt.Sscanf(strings.NewReplacer(",", " ", "[", "", "]", "").Replace(got[0]), "%d %d %d %d %d %d %d %d", &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7]); err != nil {
			t.Fatal(got, err)
		}
		for k := range writers {
			first, second := n[2*k], n[2*k+1]
			if k%2 == 1 {
				first, second = second, first
			}
			if first < second || first > second+1 {
				t.Errorf("look %d: writer %d has %d in its first dataset and %d in its second", looks, k, first, second)
			}
		}
		if n[6] < n[7] || n[6] > n[7]+1 {
			t.Errorf("look %d: turns %d and %d", looks, n[6], n[7])
		}
		for i := range n {
			if n[i] < last[i] {
				t.Errorf("look %d: what was seen went back from %v to %v", looks, last, n)
			}
		}
		last = n
		if err := agree("follower", f); err != nil {
			t.Error(err)
		}
		names, err := f.tryRows("show tables")
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range names {
			if i, ok := strings.CutPrefix(line, `["second`); ok && !strings.Contains(strings.Join(names, " "), `["first`+i) {
				t.Errorf("look %d: %s without the one that was made before it", looks, line)
			}
		}
		looks++
	}
	close(stop)
	wg.Wait()
	f.caughtUp(w)
	t.Logf("%d looks; the last saw %v of %d, %d, %d; %d read points of turns", looks, last, acked[0].Load(), acked[1].Load(), acked[2].Load(), len(seen))
}

// TestFollowerBehind: a follower whose store fails says how old its answers are,
// then refuses, and answers again by itself.
func TestFollowerBehind(t *testing.T) {
	dir := t.TempDir()
	w := openLake(t, dir)
	defer w.close()
	w.create("t", schema(t, nil, "n BIGINT"))
	w.change("t", engine.OpUpsert, `{"n":1}`)
	local, err := store.OpenLocal(dir, store.LocalOptions{SkipProbe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	var broken atomic.Bool
	faulty := storetest.NewFaulty(local, func(storetest.Call) storetest.Fault {
		if broken.Load() {
			return storetest.Refused
		}
		return storetest.NoFault
	})
	const bound = 200 * time.Millisecond
	f := follow(t, dir, func(o *engine.Options) {
		o.Store, o.Settings.FollowInterval, o.Settings.MaxStaleness = faulty, 5*time.Millisecond, bound
	})
	defer f.close()
	// answers asks until there is an answer, or until there is none.
	answers := func(want bool) (got string) {
		t.Helper()
		for {
			out, err := f.tryRows("select count(*) from t")
			if code := lake.CodeOf(err); err != nil && code != lake.CodeBehind {
				t.Fatal(err)
			}
			if (err == nil) == want {
				return fmt.Sprint(out)
			}
		}
	}
	if got := answers(true); got != "[[1]]" {
		t.Fatal(got)
	}
	broken.Store(true)
	w.change("t", engine.OpUpsert, `{"n":2}`)
	answers(false)
	wantCode(t, f.Ready(), lake.CodeBehind)
	if as, _ := f.Following(); as.Problem == nil || as.Staleness() <= bound {
		t.Errorf("%+v, stale by %v", as, as.Staleness())
	}
	broken.Store(false)
	for answers(true) != "[[2]]" { // the look that mended it may have begun before
	}
}

// TestFollowerOfAReplacedLake: kill -9 of the writer and its next start change
// nothing for a follower; another lake in the folder does.
func TestFollowerOfAReplacedLake(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lake")
	w := openLake(t, dir)
	w.create("t", schema(t, nil, "n BIGINT"))
	w.change("t", engine.OpUpsert, `{"n":1}`)
	f := follow(t, dir)
	defer f.close()
	w.close()
	w = openLake(t, dir)
	w.change("t", engine.OpUpsert, `{"n":2}`)
	f.caughtUp(w)
	w.close()
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, f.CatchUp(context.Background()), lake.CodeDamaged)
	other := openLake(t, dir)
	for i := range 20 {
		other.create(fmt.Sprintf("o%d", i), schema(t, nil, "n BIGINT"))
	}
	wantCode(t, f.CatchUp(context.Background()), lake.CodeDamaged)
	other.close()
	if _, err := f.Query(context.Background(), engine.QueryRequest{SQL: "select count(*) from o1", Format: rows.OutCSV}); err == nil {
		t.Error("another lake is answered from")
	}

}
