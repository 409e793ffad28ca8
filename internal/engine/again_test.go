package engine_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// asked is one answer, whole.
type asked struct {
	again bool
	from  string
	text  string
	rows  int64
}

func (o *opened) ask(sql string, format rows.OutFormat) asked {
	o.t.Helper()
	a, err := o.Query(context.Background(), engine.QueryRequest{SQL: sql, Format: format})
	if err != nil {
		o.t.Fatalf("%s: %v", sql, err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		o.t.Fatalf("%s: %v", sql, err)
	}
	out := asked{again: a.Again, text: string(text), rows: a.Tail().RowCount}
	for _, f := range a.Head.ServedFrom {
		out.from = f
	}
	if a.ID == "" || a.Deadline.IsZero() || a.ContentType != format.ContentType() {
		o.t.Fatalf("%+v", a)
	}
	return out
}

// The same question is answered again as long as nothing has changed that its
// answer depends on, and from the data as soon as something has.
func TestTheSameQuestionAgain(t *testing.T) {
	o := filled(t, 100, func(o *engine.Options) { o.Brief = true }) // nothing is loaded but by a pin
	defer o.close()
	o.fill("u", 10)
	const sql = "select count(*) as n, sum(v) as s from t"
	for _, f := range []rows.OutFormat{rows.OutJSON, rows.OutNDJSON, rows.OutCSV, rows.OutArrow} {
		first := o.ask(sql, f)
		if first.again {
			t.Fatalf("%v was not asked before", f)
		}
		second := o.ask("  select count(*)  as n,\n sum(v) as s from t;", f)
		cut := func(s string) string { s, _, _ = strings.Cut(s, `"elapsed_ms"`); return s }
		if !second.again || cut(second.text) != cut(first.text) || second.rows != first.rows || second.from != first.from {
			t.Fatalf("%v: %+v, then %+v", f, first, second)
		}
		if f == rows.OutJSON && !strings.HasSuffix(second.text, "}\n") {
			t.Fatalf("%q", second.text)
		}
	}
	fresh := func(what, want string) {
		t.Helper()
		a := o.ask(sql, rows.OutNDJSON)
		if a.again || !strings.Contains(a.text, want) {
			t.Fatalf("after %s: %+v, want %s", what, a, want)
		}
		if a = o.ask(sql, rows.OutNDJSON); !a.again {
			t.Fatalf("asked again after %s: %+v", what, a)
		}
	}
	o.change("u", engine.OpUpsert, `{"id":1,"v":7}`) // nothing to do with t
	if !o.ask(sql, rows.OutNDJSON).again {
		t.Fatal("another dataset changed")
	}
	o.change("t", engine.OpUpsert, `{"id":1000,"v":0}`)
	fresh("a change", `"n":101`)
	o.compact("t")
	fresh("a fold", `"n":101`)
	o.pin("t")
	if a := o.ask(sql, rows.OutNDJSON); a.from != lake.ServedFromImage {
		t.Fatalf("hot: %+v", a)
	}
	o.evict("t")
	if a := o.ask(sql, rows.OutNDJSON); a.again || a.from != lake.ServedFromParquet {
		t.Fatalf("cold: %+v", a)
	}
	if _, err := o.importText("t", engine.ImportReplace, rows.CSV, nil, engine.DuplicateError, "id,v\n1,2\n"); err != nil {
		t.Fatal(err)
	}
	until(t, "the replaced rows are seen", func() bool { return strings.Contains(o.ask(sql, rows.OutNDJSON).text, `"n":1,`) })
	for _, swap := range [][2]string{{"t", "x"}, {"u", "t"}} {
		if _, err := o.Rename(context.Background(), name(t, swap[0]), name(t, swap[1]), engine.Idempotency{}); err != nil {
			t.Fatal(err)
		}
	}
	fresh("another dataset took the name", `"n":10,`)
	if err := o.Drop(context.Background(), name(t, "t"), engine.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Query(context.Background(), engine.QueryRequest{SQL: sql, Format: rows.OutNDJSON}); lake.CodeOf(err) != lake.CodeDatasetNotFound {
		t.Fatalf("dropped: %v", err)
	}
	o.KillWorker()
	o.ask("select max(v) from x", rows.OutCSV)
	o.KillWorker()
	if !o.ask("select max(v) from x", rows.OutCSV).again {
		t.Fatal("the death of a worker changes no answer")
	}
}

func TestWhatIsAskedAgainEachTime(t *testing.T) {
	o := filled(t, 10)
	defer o.close()
	for _, sql := range []string{
		"select random(), id from t", "select now(), count(*) from t", "select current_date, id from t", "explain select * from t", "show tables",
		"describe t", "select 1", "select id, uuid() from t",
	} {
		for range 2 {
			if o.ask(sql, rows.OutNDJSON).again {
				t.Errorf("%s was answered as before", sql)
			}
		}
	}
	off := openLake(t, t.TempDir(), func(o *engine.Options) { o.Settings.ResultCacheBytes = engine.NoCache })
	defer off.close()
	off.fill("t", 10)
	for range 2 {
		if off.ask("select * from t", rows.OutNDJSON).again {
			t.Error("it was switched off")
		}
	}
	if s := off.cache(); s.Results.BudgetBytes != 0 || s.BudgetBytes != 1<<30 {
		t.Errorf("%+v", s)
	}
}

// I1 with answers that are given again: who has been told that a change is in sees
// it in the next answer, while others ask the same question all the time.
func TestI1WithAnswersGivenAgain(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "n BIGINT"))
	const sql, writers, rounds = "select id, n from t order by id", 4, 25
	done := make(chan struct{})
	var others, group sync.WaitGroup
	others.Go(func() {
		for !closed(done) {
			o.ask(sql, rows.OutNDJSON)
		}
	})
	for w := range writers {
		group.Go(func() {
			for n := range rounds {
				if _, err := o.tryChange("t", engine.OpUpsert, fmt.Sprintf(`{"id":%d,"n":%d}`, w, n)); err != nil {
					t.Errorf("change: %v", err)
					return
				}
				if got, want := o.ask(sql, rows.OutNDJSON).text, fmt.Sprintf(`{"id":%d,"n":%d}`, w, n); !strings.Contains(got, want) {
					t.Errorf("%s is acknowledged and not in %s", want, got)
				}
			}
		})
	}
	group.Wait()
	close(done)
	others.Wait()
	o.ask(sql, rows.OutNDJSON)
	if !o.ask(sql, rows.OutNDJSON).again {
		t.Error("nothing changes any more")
	}
}

// Rows by key are kept until their key changes: what is read is always what was
// acknowledged, with the ETag of the same state.
func TestARowIsReadAgain(t *testing.T) {
	o := filled(t, 50)
	defer o.close()
	read := func(key, want string) string {
		t.Helper()
		row, etag, err := o.Row(context.Background(), name(t, "t"), key)
		if want == "" {
			wantCode(t, err, lake.CodeRowNotFound)
			return ""
		}
		if err != nil || string(row) != want {
			t.Fatalf("%s: %s, %v; want %s", key, row, err, want)
		}
		return etag
	}
	hits := func() int64 { return o.cache().Results.Hits }
	first := read("7", `{"id":7,"v":7}`)
	before := hits()
	if again := read("7", `{"id":7,"v":7}`); again != first || hits() != before+1 {
		t.Fatalf("%s, then %s; %d hits, then %d", first, again, before, hits())
	}
	read("1000", "")
	read("1000", "")
	r := o.change("t", engine.OpUpsert, `{"id":1000,"v":1}`, `{"id":8,"v":-8}`)
	if etag := read("7", `{"id":7,"v":7}`); etag != r.ETag || hits() != before+3 { // another key changed: still kept
		t.Fatalf("%s, and the dataset is at %s; %d hits after %d", etag, r.ETag, hits(), before)
	}
	read("1000", `{"id":1000,"v":1}`)
	read("8", `{"id":8,"v":-8}`)
	o.change("t", engine.OpDelete, `{"id":7}`)
	read("7", "")
	o.compact("t")
	read("7", "")
	read("8", `{"id":8,"v":-8}`)
	if _, err := o.importText("t", engine.ImportReplace, rows.CSV, nil, engine.DuplicateError, "id,v\n7,70\n"); err != nil {
		t.Fatal(err)
	}
	read("7", `{"id":7,"v":70}`)
	read("8", "")
	if _, err := o.Rename(context.Background(), name(t, "t"), name(t, "u"), engine.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	_, _, err := o.Row(context.Background(), name(t, "t"), "7")
	wantCode(t, err, lake.CodeDatasetNotFound)
}

// Each writer reads its own row back at once, while others read it too.
func TestI1WithRowsReadAgain(t *testing.T) {
	o := openLake(t, t.TempDir(), func(o *engine.Options) { o.Settings.SpoolBytes = 200 }) // some go through a job
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "n BIGINT"))
	const writers, rounds = 4, 40
	done := make(chan struct{})
	var others, group sync.WaitGroup
	for range 2 {
		others.Go(func() {
			for i := 0; !closed(done); i++ {
				if _, _, err := o.Row(context.Background(), name(t, "t"), fmt.Sprint(i%writers)); err != nil && lake.CodeOf(err) != lake.CodeRowNotFound {
					t.Errorf("read: %v", err)
				}
			}
		})
	}
	for w := range writers {
		group.Go(func() {
			for n := range rounds {
				lines := []string{fmt.Sprintf(`{"id":%d,"n":%d}`, w, n)}
				if n%10 == 9 {
					for i := range 10 {
						lines = append(lines, fmt.Sprintf(`{"id":%d,"n":0}`, 100+w*10+i))
					}
				}
				if _, err := o.tryChange("t", engine.OpUpsert, lines...); err != nil {
					t.Errorf("change: %v", err)
					return
				}
				for range 2 {
					if row, _, err := o.Row(context.Background(), name(t, "t"), fmt.Sprint(w)); err != nil || string(row) != lines[0] {
						t.Errorf("%s is acknowledged and read is %s, %v", lines[0], row, err)
					}
				}
			}
		})
	}
	group.Wait()
	close(done)
	others.Wait()
}
