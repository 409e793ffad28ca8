package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// keeps upserts rows that lack columns.
func (o *opened) keeps(dataset string, f rows.Format, body string) (engine.ChangeResult, error) {
	return o.Change(context.Background(), engine.ChangeRequest{
		Dataset: parsed(dataset), Op: engine.OpUpsert, Format: f, Body: strings.NewReader(body), Missing: rows.MissingKeep,
	})
}

// TestKeep: columns that a row does not name stay, of all formats, hot and cold, in
// memory and by a job.
func TestKeep(t *testing.T) {
	for _, how := range []string{"cold", "hot", "job"} {
		t.Run(how, func(t *testing.T) {
			o := openLake(t, t.TempDir(), func(o *engine.Options) {
				if how == "job" {
					o.Settings.SpoolBytes = 10
				}
			})
			defer o.close()
			o.create("t", notNull(schema(t, []string{"k", "id"}, "id BIGINT", "k VARCHAR", "n BIGINT", "s VARCHAR", "l STRUCT(a BIGINT)[]", "d DECIMAL(5,2)"), 2))
			o.create("log", schema(t, nil, "id BIGINT", "a VARCHAR"))
			keep := func(f rows.Format, body string) {
				t.Helper()
				if _, err := o.keeps("t", f, body); err != nil {
					t.Fatalf("%s: %v", body, err)
				}
			}
			is := func(want ...string) {
				t.Helper()
				if got := o.rows("SELECT * FROM t ORDER BY id"); !slices.Equal(got, want) {
					t.Fatalf("%v, want %v", got, want)
				}
			}
			o.change("t", engine.OpUpsert, `{"id":1,"k":"a","n":1,"s":"one","l":[{"a":1}],"d":"1.5"}`, `{"id":2,"k":"a","n":2,"s":"two","l":null,"d":null}`)
			o.compact("t")
			if how == "hot" {
				if _, err := o.CachePin(t.Context(), name(t, "t")); err != nil {
					t.Fatal(err)
				}
			}
			keep(rows.NDJSON, `{"id":1,"k":"a","s":"eins"}`+"\n"+`{"id":2,"k":"a","n":22}`+"\n"+`{"k":"a","id":3,"n":3}`)
			is(`[1,"a",1,"eins",[{"a":1}],"1.50"]`, `[2,"a",22,"two",null,null]`, `[3,"a",3,null,null,null]`)
			keep(rows.CSV, "k,id,d,s\na,3,2.5,\na,1,,\n")
			is(`[1,"a",1,null,[{"a":1}],null]`, `[2,"a",22,"two",null,null]`, `[3,"a",3,null,null,"2.50"]`)
			// Of a key the last row that names a column has it.
			keep(rows.JSON, `[{"id":2,"k":"a","s":"x","d":1},{"id":4,"k":"a","s":"vier"},{"id":2,"k":"a","s":"y","n":7},{"k":"a","id":4,"n":4},{"id":2,"k":"a","l":[{"a":null}]}]`)
			is(`[1,"a",1,null,[{"a":1}],null]`, `[2,"a",7,"y",[{"a":null}],"1.00"]`, `[3,"a",3,null,null,"2.50"]`, `[4,"a",4,"vier",null,null]`)
			p := newPlain(t)
			for _, f := range []rows.Format{rows.ArrowStream, rows.Parquet, rows.CSV, rows.NDJSON, rows.JSON} {
				keep(f, string(p.body(f, fmt.Sprintf("SELECT 'a' AS k, 'of %s' AS s, i AS id FROM (VALUES (1::BIGINT), (4)) v(i)", f))))
				is(fmt.Sprintf(`[1,"a",1,"of %s",[{"a":1}],null]`, f), `[2,"a",7,"y",[{"a":null}],"1.00"]`, `[3,"a",3,null,null,"2.50"]`, fmt.Sprintf(`[4,"a",4,"of %s",null,null]`, f))
			}
			before := o.rows("SELECT * FROM t ORDER BY id")
			for body, want := range map[string]string{
				`{"id":1,"k":"a","s":"no"}` + "\n" + `{"id":9,"k":"a","s":"no"}`: `row 2, column "n": it is missing and cannot be null`,
				`{"id":1,"s":"no"}`:         `column "k": it is missing`,
				`{"id":1,"k":"a","n":null}`: `column "n"`,
				`{"id":1,"k":"a","nope":1}`: `no such column`,
				`{"id":1,"k":"a","l":[{}]}`: `it is missing`,
				`{"id":null,"k":"a"}`:       `column "id"`,
			} {
				if _, err := o.keeps("t", rows.NDJSON, body); lake.CodeOf(err) != lake.CodeRowsInvalid || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want %s", body, err, want)
				}
			}
			if _, err := o.keeps("t", rows.CSV, "id,s\n1,x\n"); lake.CodeOf(err) != lake.CodeRowsInvalid {
				t.Errorf("CSV without the key: %v", err)
			}
			is(before...)
			keep(rows.NDJSON, "")
			is(before...)
			if _, err := o.keeps("log", rows.NDJSON, `{"a":"x"}`); err != nil {
				t.Error(err)
			}
			if got := o.rows("SELECT * FROM log"); got[0] != `[null,"x"]` {
				t.Error(got)
			}
			o.compact("t")
			is(before...)
			o.verifyClean()
		})
	}
}

// TestKeepLikeAMap: random requests against a model of maps; some through a job, with
// more rows than one question to the worker has.
func TestKeepLikeAMap(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 5))
	o := openLake(t, t.TempDir(), func(o *engine.Options) { o.Settings.SpoolBytes = 60_000 })
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "a BIGINT", "b VARCHAR", "c DOUBLE"))
	model := map[int]map[string]any{}
	for step := range 12 {
		n := []int{1, 5, 300, 9000}[random.IntN(4)]
		var body strings.Builder
		for range n {
			row := map[string]any{"id": random.IntN(4000)}
			for c, v := range map[string]any{"a": random.IntN(100), "b": fmt.Sprint("text ", random.IntN(100)), "c": 0.5 + float64(random.IntN(9))} {
				switch random.IntN(5) {
				case 0, 1:
					row[c] = v
				case 2:
					row[c] = nil
				}
			}
			text, err := json.Marshal(row)
			if err != nil {
				t.Fatal(err)
			}
			body.Write(append(text, '\n'))
			id := row["id"].(int)
			if model[id] == nil {
				model[id] = map[string]any{"a": nil, "b": nil, "c": nil}
			}
			maps.Copy(model[id], row)
		}
		r, err := o.keeps("t", rows.NDJSON, body.String())
		if err != nil || r.Rows != int64(n) {
			t.Fatalf("%d rows: %+v, %v", n, r, err)
		}
		if step%4 == 3 {
			o.compact("t")
		}
		var want []string
		for _, id := range slices.Sorted(maps.Keys(model)) {
			text, err := json.Marshal([]any{id, model[id]["a"], model[id]["b"], model[id]["c"]})
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, string(text))
		}
		if got := o.rows("SELECT * FROM t ORDER BY id"); !slices.Equal(got, want) {
			for i := range want {
				if i >= len(got) || got[i] != want[i] {
					t.Fatalf("seed %d, after %d rows: %d rows, %s where %s is wanted", seed, n, len(got), got[min(i, len(got)-1)], want[i])
				}
			}
			t.Fatal("more rows than wanted")
		}
	}
	o.verifyClean()
}

// TestKeepBesideWriters: each writer has a column of its own in the same rows, and others
// upsert whole rows by SQL; no column is lost.
func TestKeepBesideWriters(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	const writers, each = 6, 15
	columns := []string{"id BIGINT", "n BIGINT"}
	for w := range writers {
		columns = append(columns, fmt.Sprintf("c%d BIGINT", w))
	}
	o.create("t", schema(t, []string{"id"}, columns...))
	o.did(3, "insert into t (id, n) values (1, 0), (2, 0), (3, 0)")
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				if _, err := o.keeps("t", rows.NDJSON, fmt.Sprintf(`{"id":%d,"c%d":%d}`, 1+i%3, w, i)); err != nil {
					t.Error(err)
				}
				if _, err := o.exec("update t set n = n + 1"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for id := range 3 {
		want := fmt.Sprintf("[%d,%d", id+1, writers*each)
		for range writers {
			want += fmt.Sprintf(",%d", each-3+id)
		}
		if got := o.rows(fmt.Sprintf("SELECT * FROM t WHERE id = %d", id+1)); got[0] != want+"]" {
			t.Errorf("%v, want %s]", got, want)
		}
	}
}
