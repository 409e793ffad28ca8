package engine_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/rows"
	"tarn/internal/store"
)

// stepping is a store in which something happens before each listing and creation.
type stepping struct {
	store.Store
	list   func(prefix string)
	create func(key string)
}

func (s *stepping) List(ctx context.Context, prefix, after string) iter.Seq2[store.Info, error] {
	if s.list != nil {
		s.list(prefix)
	}
	return s.Store.List(ctx, prefix, after)
}

func (s *stepping) Create(ctx context.Context, key string, body []byte) error {
	if s.create != nil {
		s.create(key)
	}
	return s.Store.Create(ctx, key, body)
}

func stepped(t *testing.T, dir string) *stepping {
	t.Helper()
	local, err := store.OpenLocal(dir, store.LocalOptions{SkipProbe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { local.Close() })
	return &stepping{Store: local}
}

// TestI2FollowerBetweenListings: the writer's steps fall between any two listings of a
// look. Each step is acknowledged before the next is sent, and numbered; so what the
// follower sees must be the state after some step, in whole.
func TestI2FollowerBetweenListings(t *testing.T) {
	seed := testSeed(t)
	random := rand.New(rand.NewPCG(uint64(seed), 11))
	dir := t.TempDir()
	w := openLake(t, dir)
	defer w.close()
	sets := []string{"a", "m", "z"}
	for _, d := range sets {
		w.create(d, schema(t, []string{"id"}, "id BIGINT", "v BIGINT"))
	}
	// states[i] is what step i left: the last number in each dataset, and the datasets
	// that were made besides.
	last, made := map[string]int{"a": 0, "m": 0, "z": 0}, map[string]bool{}
	text := func() string {
		return fmt.Sprint(last["a"], last["m"], last["z"], len(made), " ", strings.Join(sortedNames(made), " "))
	}
	states := map[string]int{text(): 0}
	steps, changesOnly := 0, false
	step := func() {
		steps++
		d := sets[random.IntN(len(sets))]
		kind := random.IntN(20)
		if changesOnly {
			kind = 0
		}
		switch {
		case kind < 11:
			w.change(d, engine.OpUpsert, fmt.Sprintf(`{"id":1,"v":%d}`, steps))
			last[d] = steps
		case kind < 12: // a content commit
			if _, err := w.importText(d, engine.ImportAppend, rows.CSV, nil, engine.DuplicateLast, fmt.Sprintf("id,v\n1,%d\n", steps)); err != nil {
				t.Fatal(err)
			}
			last[d] = steps
		case kind < 13:
			w.compact(d)
		case kind < 17 || len(made) == 0:
			n := fmt.Sprint("n", steps)
			w.create(n, schema(t, nil, "n BIGINT"))
			made[n] = true
		default:
			n := sortedNames(made)[0]
			if err := w.Drop(context.Background(), name(t, n), engine.Idempotency{}); err != nil {
				t.Fatal(err)
			}
			delete(made, n)
		}
		states[text()] = steps
	}
	for range 5 {
		step()
	}
	s := stepped(t, dir)
	f := follow(t, dir, func(o *engine.Options) { o.Store = s })
	defer f.close()
	looks := 100
	if testing.Short() {
		looks = 30
	}
	seen, between := 0, 0
	for look := range looks {
		left := 2 + random.IntN(5)                          // steps that fall into this look
		if changesOnly = random.IntN(2) == 0; changesOnly { // no look is begun anew by them
			left += random.IntN(10)
		}
		s.list = func(string) {
			for left > 0 && random.IntN(2) == 0 {
				left--
				between++
				step()
			}
		}
		err := f.CatchUp(context.Background())
		s.list = nil
		if err != nil {
			t.Fatalf("seed %d, look %d: %v", seed, look, err)
		}
		// One query names all that are there, so that it is one instant.
		names, err := f.tryRows("show tables")
		if err != nil {
			t.Fatal(err)
		}
		others := map[string]bool{}
		for _, n := range names {
			n = strings.Trim(n, `[]"`)
			if n = strings.Split(n, `"`)[0]; strings.HasPrefix(n, "n") {
				others[n] = true
			}
		}
		got, err := f.tryRows("select (select coalesce(max(v), 0) from a), (select coalesce(max(v), 0) from m), (select coalesce(max(v), 0) from z)")
		if err != nil {
			t.Fatal(err)
		}
		now := strings.NewReplacer("[", "", "]", "", ",", " ").Replace(got[0])
		now = fmt.Sprint(now, " ", len(others), " ", strings.Join(sortedNames(others), " "))
		at, ok := states[now]
		switch {
		case !ok:
			t.Fatalf("seed %d, look %d: the follower sees %q, which no step left; the writer is at %q", seed, look, now, text())
		case at < seen:
			t.Fatalf("seed %d, look %d: the follower went back from step %d to %d", seed, look, seen, at)
		}
		seen = at
	}
	f.caughtUp(w)
	if between < looks/2 {
		t.Errorf("only %d steps fell into %d looks", between, looks)
	}
	t.Logf("%d steps fell between the listings of %d looks", between, looks)
}

func sortedNames(set map[string]bool) []string {
	out := []string{}
	for n := range set {
		out = append(out, n)
	}
	// by length first, as their numbers go
	for i := range out {
		for j := i + 1; j < len(out); j++ {
			if len(out[j]) < len(out[i]) || len(out[j]) == len(out[i]) && out[j] < out[i] {
				out[i], out[j] = out[j], out[i]
			}
		}
	}
	return out
}

// TestI3FollowerWithinAContentCommit: at the same read points a follower and the
// writer have the same rows, also when the follower looks between the sequence that a
// content commit takes and the commit.
func TestI3FollowerWithinAContentCommit(t *testing.T) {
	dir := t.TempDir()
	openLake(t, dir).close()
	s := stepped(t, dir)
	w := openLake(t, dir, func(o *engine.Options) { o.Store, o.State = s, filepath.Join(t.TempDir(), "writer") })
	defer w.close()
	w.create("t", schema(t, []string{"id"}, "id BIGINT", "v BIGINT"))
	w.change("t", engine.OpUpsert, `{"id":1,"v":1}`)
	f := follow(t, dir)
	defer f.close()
	seen := map[string]string{}
	record := func(who string, o *opened) {
		got, head, err := o.tryAnswer("select * from t order by id")
		if err != nil {
			t.Fatal(err)
		}
		at := fmt.Sprint(head.ReadPoints["t"].ReadPoint)
		if before, ok := seen[at]; ok && before != fmt.Sprint(got) {
			t.Errorf("at %s the %s has %v, and there was %s", at, who, got, before)
		}
		seen[at] = fmt.Sprint(got)
	}
	look := func() {
		if err := f.CatchUp(context.Background()); err != nil {
			t.Fatal(err)
		}
		record("follower", f)
	}
	within := 0
	for i := range 3 {
		look()
		s.create = func(key string) {
			if strings.HasPrefix(key, "catalog/") {
				within++
				look()
			}
		}
		if _, err := w.importText("t", engine.ImportAppend, rows.CSV, nil, engine.DuplicateLast, fmt.Sprintf("id,v\n1,%d\n%d,0\n", 10+i, 20+i)); err != nil {
			t.Fatal(err)
		}
		s.create = nil
		record("writer", w)
		look()
		w.change("t", engine.OpUpsert, fmt.Sprintf(`{"id":1,"v":%d}`, 100+i))
		record("writer", w)
		look()
	}
	if within < 3 || len(seen) != 7 {
		t.Errorf("%d looks within a commit, %d read points", within, len(seen))
	}
}
