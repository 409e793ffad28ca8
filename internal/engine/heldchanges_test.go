package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// read reads a row of t by its key in one of the three ways; "" where there is none.
func (o *opened) read(way, id int) (string, error) {
	var a *engine.Answer
	var err error
	switch way % 3 {
	case 0:
		row, _, err := o.Row(context.Background(), lake.Name{Namespace: lake.DefaultNamespace, Dataset: "t"}, fmt.Sprint(id))
		if lake.CodeOf(err) == lake.CodeRowNotFound {
			err = nil
		}
		return string(row), err
	case 1:
		a, err = o.Get(context.Background(), engine.GetRequest{
			Dataset: lake.Name{Namespace: lake.DefaultNamespace, Dataset: "t"}, Format: rows.NDJSON, Body: strings.NewReader(fmt.Sprintf(`{"id":%d}`, id)), Out: rows.OutNDJSON,
		})
	default:
		a, err = o.Query(context.Background(), engine.QueryRequest{SQL: fmt.Sprintf("select * from t where id = %d", id), Format: rows.OutNDJSON, Fresh: way%2 == 0})
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(o.whole(a)), nil
}

// What is held follows each kind of change at once, and is loaded anew after those that
// take it away.
func TestHeldRowsFollowChanges(t *testing.T) {
	o := filled(t, 400)
	defer o.close()
	o.pin("t")
	held := func() bool {
		before := o.heldHits()
		o.gotten("t", `{"id":399}`, rows.OutNDJSON)
		return o.heldHits() > before
	}
	check := func(what string, want map[int]string) {
		t.Helper()
		for id, row := range want {
			for way := range 3 {
				if got, err := o.read(way, id); err != nil || got != row {
					t.Fatalf("%s: way %d, row %d: %s, %v; want %s", what, way, id, got, err, row)
				}
			}
		}
	}
	o.hold("t", `{"id":0}`)
	check("loaded", map[int]string{7: `{"id":7,"v":7}`, 500: ""})
	o.change("t", engine.OpUpsert, `{"id":7,"v":-7}`, `{"id":500,"v":5}`)
	o.change("t", engine.OpDelete, `{"id":8}`)
	check("changed", map[int]string{7: `{"id":7,"v":-7}`, 8: "", 9: `{"id":9,"v":9}`, 500: `{"id":500,"v":5}`, 501: ""})
	o.did(1, "update t set v = 90 where id = 9")
	check("by SQL", map[int]string{9: `{"id":9,"v":90}`, 10: `{"id":10,"v":10}`})
	o.compact("t")
	if !held() {
		t.Fatal("a fold changes no row")
	}
	check("folded", map[int]string{7: `{"id":7,"v":-7}`, 8: "", 9: `{"id":9,"v":90}`, 500: `{"id":500,"v":5}`})
	o.alter("t rename column v to w")
	o.alter("t add column x varchar")
	check("altered", map[int]string{7: `{"id":7,"w":-7,"x":null}`, 10: `{"id":10,"w":10,"x":null}`})
	o.hold("t", `{"id":0}`)
	check("altered, held again", map[int]string{7: `{"id":7,"w":-7,"x":null}`, 10: `{"id":10,"w":10,"x":null}`})
	if _, err := o.importText("t", engine.ImportReplace, rows.CSV, nil, engine.DuplicateError, "id,w,x\n1,2,x\n399,4,\n"); err != nil {
		t.Fatal(err)
	}
	check("replaced", map[int]string{1: `{"id":1,"w":2,"x":"x"}`, 7: ""})
	o.hold("t", `{"id":1}`)
	check("replaced, held again", map[int]string{1: `{"id":1,"w":2,"x":"x"}`, 7: ""})
	o.evict("t")
	if held() || o.cache().Results.HeldRows != 0 {
		t.Fatal("a dataset that was evicted is not held")
	}
	o.pin("t")
	o.hold("t", `{"id":1}`)
	if _, err := o.Rename(context.Background(), name(t, "t"), name(t, "u"), engine.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	before := o.heldHits()
	if got, _ := o.gotten("u", `{"id":1}`, rows.OutNDJSON); got != `{"id":1,"w":2,"x":"x"}`+"\n" || o.heldHits() != before+1 {
		t.Fatal(got)
	}
	_, err := o.read(2, 1)
	wantCode(t, err, lake.CodeDatasetNotFound)
	if err := o.Drop(context.Background(), name(t, "u"), engine.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	if n := o.cache().Results.HeldRows; n != 0 {
		t.Fatalf("%d rows of a dropped dataset are held", n)
	}
}

// Rows that may not be seen are not there, nor those of datasets that are too large or of
// an engine that keeps no answers; a value that is not the key's is the worker's to compare.
func TestWhatHeldRowsDoNotAnswer(t *testing.T) {
	o := filled(t, 100)
	defer o.close()
	o.pin("t")
	o.hold("t", `{"id":0}`)
	other, err := lake.ParseNamePattern("other")
	if err != nil {
		t.Fatal(err)
	}
	_, err = o.Query(context.Background(), engine.QueryRequest{SQL: "select * from t where id = 1", Format: rows.OutNDJSON, Visible: lake.NewNameSet(other)})
	wantCode(t, err, lake.CodeDatasetNotFound)
	_, err = o.Query(context.Background(), engine.QueryRequest{SQL: "select * from t where id = ?", Format: rows.OutNDJSON, Params: []byte("7")})
	wantCode(t, err, lake.CodeInvalidRequest)
	before := o.heldHits()
	for _, ask := range [][2]string{{"select * from t where id = ?", "[7.0]"}, {"select * from t where id = '7'", ""}, {"select * from t where v = 7", ""}, {"select id, v from t where id = 7", ""}} {
		if got, _ := o.queried(ask[0], ask[1], rows.OutNDJSON, true); got != `{"id":7,"v":7}`+"\n" {
			t.Errorf("%s: %s", ask[0], got)
		}
	}
	if got, _ := o.gotten("t", `{"id":7}`+strings.Repeat("\n", 64<<10), rows.OutNDJSON); got != `{"id":7,"v":7}`+"\n" {
		t.Errorf("a long body: %s", got)
	}
	if n := o.heldHits() - before; n != 0 {
		t.Errorf("%d of them were answered from rows that are held", n)
	}

	small := filled(t, 20_000, func(o *engine.Options) { o.Settings.ResultCacheBytes = 256 << 10 })
	defer small.close()
	small.pin("t")
	off := filled(t, 10, func(o *engine.Options) { o.Settings.ResultCacheBytes = engine.NoCache })
	defer off.close()
	off.pin("t")
	for _, o := range []*opened{small, off} {
		for id := range 10 {
			for way := range 3 {
				if got, err := o.read(way, id); err != nil || got != fmt.Sprintf(`{"id":%d,"v":%d}`, id, id) {
					t.Errorf("%s, %v", got, err)
				}
			}
		}
		if r := o.cache().Results; r.HeldRows != 0 || r.HeldHits != 0 || r.UsedBytes > r.BudgetBytes {
			t.Errorf("%+v", r)
		}
	}
}

// I1 where rows are held, let go and loaded again all the time, beside writers: what each
// wrote he reads, then and until he writes it again. Of few rows a few changes are enough;
// many take longer to load, with more changes beside it.
func TestI1WhileRowsAreLoaded(t *testing.T) {
	t.Run("few", func(t *testing.T) { writeBesideLoads(t, 64, 150) })
	if !testing.Short() {
		t.Run("many", func(t *testing.T) { writeBesideLoads(t, 60_000, 600) })
	}
}

func writeBesideLoads(t *testing.T, n, rounds int) {
	o := filled(t, n)
	defer o.close()
	o.pin("t")
	const writers = 4
	done := make(chan struct{})
	var group, others sync.WaitGroup
	others.Go(func() {
		for n > 1000 && !closed(done) {
			o.evict("t")
			o.pin("t")
			o.hold("t", `{"id":1000}`)
		}
	})
	for w := range writers {
		group.Go(func() {
			random := rand.New(rand.NewPCG(13, uint64(w)))
			mine := map[int]string{}
			for n := range rounds {
				id := w*16 + random.IntN(16)
				if n%4 == 0 {
					mine[id] = fmt.Sprintf(`{"id":%d,"v":%d}`, id, 1000+n)
					op, line := engine.OpUpsert, mine[id]
					if random.IntN(3) == 0 {
						op, line, mine[id] = engine.OpDelete, fmt.Sprintf(`{"id":%d}`, id), ""
					}
					if _, err := o.tryChange("t", op, line); err != nil {
						t.Errorf("change: %v", err)
						return
					}
				}
				want, ok := mine[id]
				if !ok {
					want = fmt.Sprintf(`{"id":%d,"v":%d}`, id, id)
				}
				if got, err := o.read(random.IntN(3), id); err != nil || got != want {
					t.Errorf("writer %d, round %d: %s, %v; want %s", w, n, got, err, want)
					return
				}
			}
		})
	}
	group.Wait()
	close(done)
	others.Wait()
	o.hold("t", `{"id":1000}`)
	if r := o.cache().Results; r.HeldHits < 20 {
		t.Errorf("few reads were answered from rows that are held: %+v", r)
	}
}

// I1 with rows that are held: each writer reads its own changes at once, in all ways, while
// others read too, and while columns come, files are imported and folded, and the dataset is
// made cold and hot again.
func TestI1WithHeldRows(t *testing.T) {
	o := filled(t, 2000, func(o *engine.Options) { o.Settings.SpoolBytes = 20_000 })
	defer o.close()
	o.pin("t")
	o.hold("t", `{"id":0}`)
	const writers, rounds = 3, 60
	done := make(chan struct{})
	var others, group sync.WaitGroup
	for r := range 2 {
		others.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(r)))
			for way := 0; !closed(done); way++ {
				if _, err := o.read(way, random.IntN(2500)); err != nil {
					t.Errorf("read: %v", err)
					return
				}
			}
		})
	}
	others.Go(func() { // one thing after the other that takes what is held away, or should not
		for n := 0; !closed(done); n++ {
			var err error
			switch n % 5 {
			case 0:
				if _, err = o.tryAlter(fmt.Sprintf("t add column c%d bigint", n)); err == nil {
					_, err = o.tryAlter(fmt.Sprintf("t drop column c%d", n))
				}
			case 1:
				_, err = o.importText("t", engine.ImportAppend, rows.CSV, nil, engine.DuplicateLast, fmt.Sprintf("id,v\n%d,1\n%d,2\n", 10_000+n, 10_001+n))
			case 2:
				_, err = o.tryCompact("t")
			case 3:
				_, err = o.CacheEvict(context.Background(), lake.Name{Namespace: lake.DefaultNamespace, Dataset: "t"})
			case 4:
				_, err = o.CachePin(context.Background(), lake.Name{Namespace: lake.DefaultNamespace, Dataset: "t"})
			}
			if err != nil && lake.CodeOf(err) != lake.CodeCancelled {
				t.Errorf("step %d: %v", n, err)
			}
		}
	})
	var changed atomic.Int64
	for w := range writers {
		group.Go(func() {
			random := rand.New(rand.NewPCG(11, uint64(w)))
			for n := range rounds {
				id := w*500 + random.IntN(500)
				op, line, want := engine.OpUpsert, fmt.Sprintf(`{"id":%d,"v":%d}`, id, n), fmt.Sprintf(`{"id":%d,"v":%d`, id, n)
				if random.IntN(4) == 0 {
					op, line, want = engine.OpDelete, fmt.Sprintf(`{"id":%d}`, id), ""
				}
				if _, err := o.tryChange("t", op, line); lake.CodeOf(err) == lake.CodeSchemaChanged || lake.CodeOf(err) == lake.CodeRowsInvalid {
					continue // a column is there that it does not name
				} else if err != nil {
					t.Errorf("change: %v", err)
					return
				}
				changed.Add(1)
				for way := range 3 {
					got, err := o.read(way, id)
					if err != nil || want == "" && got != "" || want != "" && got != want+"}" && !strings.HasPrefix(got, want+",") {
						t.Errorf("%s is acknowledged, and way %d reads %s, %v", line, way, got, err)
						return
					}
				}
			}
		})
	}
	group.Wait()
	close(done)
	others.Wait()
	if changed.Load() < writers*rounds/2 {
		t.Errorf("%d changes went in", changed.Load())
	}
	o.pin("t")
	o.hold("t", `{"id":1999}`)
	for id := 0; id < 2000; id += 20 {
		got, err := o.read(id/20, id)
		want, _ := o.queried(fmt.Sprintf("select * from t where id = %d limit 2", id), "", rows.OutNDJSON, true)
		if err != nil || got != strings.TrimSpace(want) {
			t.Fatalf("row %d: %s, %v; want %s", id, got, err, want)
		}
	}
}
