package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/rows"
)

// bigCSV is so much that an answer of all of it is never wholly in the buffers
// between worker and reader.
func bigCSV(n int) string {
	var b strings.Builder
	b.WriteString("id,v\n")
	for i := range n {
		fmt.Fprintf(&b, "%d,%032x\n", i, uint64(i)*0x9e3779b97f4a7c15)
	}
	return b.String()
}

const bigRows = 200_000

// TestI6NoFileInUseIsDeleted: a half-read answer goes on to its right end while
// the dataset under it is changed, compacted, tidied up without retention and
// dropped; then its files go.
func TestI6NoFileInUseIsDeleted(t *testing.T) {
	for _, how := range []string{"inside", "processes"} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			o := openLake(t, dir, func(o *engine.Options) {
				noRetention(&o.Settings)
				if how == "processes" {
					processes(o)
				}
			})
			defer o.close()
			if _, err := o.importText("big", engine.ImportCreate, rows.CSV, []string{"id"}, "", bigCSV(bigRows)); err != nil {
				t.Fatal(err)
			}
			o.change("big", engine.OpUpsert, `{"id":5,"v":"five"}`)
			before := filesUnder(t, dir)
			a, err := o.Query(t.Context(), engine.QueryRequest{SQL: "select id, v from big", Format: rows.OutNDJSON})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Body.Close()
			head := make([]byte, 1000)
			if _, err := io.ReadFull(a.Body, head); err != nil {
				t.Fatal(err)
			}

			o.change("big", engine.OpDelete, `{"id":7}`)
			o.compact("big")
			ended := make(chan error, 1) // Tidy waits for readers; it must not end before the reader does
			go func() { ended <- o.Tidy(context.Background()) }()
			o.change("big", engine.OpUpsert, `{"id":8,"v":"eight"}`)
			o.compact("big")
			if err := o.Drop(t.Context(), name(t, "big"), engine.Idempotency{}); err != nil {
				t.Fatal(err)
			}
			for _, f := range before {
				if kindOf(f) == "data file" && !slices.Contains(filesUnder(t, dir), f) {
					t.Fatalf("%s is gone and its reader has not ended", f)
				}
			}
			select {
			case err := <-ended:
				t.Fatalf("Tidy ended before the reader: %v", err)
			default:
			}
			rest, err := io.ReadAll(a.Body)
			if err != nil {
				t.Fatalf("the answer broke after %d bytes: %v", len(head)+len(rest), err)
			}
			lines := strings.Split(strings.TrimSpace(string(head)+string(rest)), "\n")
			if len(lines) != bigRows || a.Tail().RowCount != bigRows {
				t.Fatalf("%d rows of %d, the end says %d", len(lines), bigRows, a.Tail().RowCount)
			}
			if !slices.Contains(lines, `{"id":5,"v":"five"}`) || slices.Contains(lines, `{"id":8,"v":"eight"}`) {
				t.Fatal("the answer is not of its own instant")
			}
			a.Body.Close()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if err := o.Tidy(t.Context()); err != nil {
				t.Fatal(err)
			}
			o.nothingUnreachable(dir)
			o.verifyClean()
		})
	}
}

// nothingUnreachable says that without retention only the present is there.
func (o *opened) nothingUnreachable(dir string) {
	o.t.Helper()
	all, err := o.List(context.Background(), nil)
	if err != nil {
		o.t.Fatal(err)
	}
	files := 0
	for _, d := range all {
		files += d.Files
	}
	kinds := durableFiles(o.t, dir)
	if data := kinds["data file"]; len(data) != files {
		o.t.Errorf("%d data files where the datasets have %d: %v", len(data), files, data)
	}
	for kind, keys := range kinds {
		if kind != "catalog version" && len(all) == 0 {
			o.t.Errorf("%s without a dataset: %v", kind, keys)
		}
	}
	if got := kinds["catalog version"]; len(got) > 2 {
		o.t.Errorf("%d catalog versions are kept", len(got))
	}
}

// TestI6NothingUnreachableStays: after a history with failures and drops, Tidy
// without retention leaves what the present needs and nothing else.
func TestI6NothingUnreachableStays(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir, func(o *engine.Options) { noRetention(&o.Settings); o.Settings.SpoolBytes = spoolBytes })
	defer o.close()
	steps := historySteps(schema(t, []string{"id"}, "id BIGINT", "name VARCHAR", "pay DECIMAL(10,2)"), schema(t, nil, "who VARCHAR", "n BIGINT"))
	for i, s := range steps {
		if err := s.do(o, stepKey(i)); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		// Failures beside each step, which leave nothing either.
		if _, err := o.importText("broken", engine.ImportCreate, rows.CSV, []string{"id"}, "", "id\n1\n1\n"); err == nil {
			t.Fatal("double keys went in")
		}
		if _, err := o.tryChange("people", engine.OpUpsert, `{"id":"x"}`); err == nil {
			t.Fatal("a text went in as a number")
		}
		if err := o.Tidy(t.Context()); err != nil {
			t.Fatalf("tidy after %s: %v", s.name, err)
		}
		if err := o.wrong(); err != nil {
			t.Fatalf("after %s: %v", s.name, err)
		}
		for _, f := range filesUnder(t, dir) {
			if strings.HasPrefix(f, "state/scratch/") && !strings.HasPrefix(f, "state/scratch/worker/") {
				t.Errorf("after %s: %s stays", s.name, f)
			}
		}
	}
	for _, d := range []string{"people", "shop.sales", "log", "sql.copies"} {
		o.compact(d)
	}
	for range 2 {
		if err := o.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for kind, keys := range durableFiles(t, dir) {
		if kind == "delta" && len(keys) > 4 {
			t.Errorf("more deltas than the newest of each dataset: %v", keys)
		}
	}
	for _, d := range []string{"people", "shop.sales", "log", "sql.copies"} {
		if err := o.Drop(t.Context(), name(t, d), engine.Idempotency{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.nothingUnreachable(dir)
}

// TestI6CollectionBesideCommits: tidying without retention beside imports,
// changes and compactions takes no file that a commit needs.
func TestI6CollectionBesideCommits(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir, func(o *engine.Options) { noRetention(&o.Settings) })
	defer o.close()
	end, done := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		for !closed(end) && err == nil {
			err = o.Tidy(context.Background())
		}
		done <- err
	}()
	var failed error
	for i := range 6 {
		n := fmt.Sprintf("t%d", i%3)
		_, err := o.importText(n, engine.ImportCreate, rows.CSV, []string{"id"}, "", "id,v\n1,a\n2,b\n")
		failed = errors.Join(failed, err)
		_, err = o.tryChange(n, engine.OpUpsert, `{"id":2,"v":"B"}`, `{"id":3,"v":"c"}`)
		failed = errors.Join(failed, err)
		_, err = o.importText(n, engine.ImportAppend, rows.CSV, nil, engine.DuplicateLast, "id,v\n3,C\n4,d\n")
		failed = errors.Join(failed, err)
		_, err = o.tryChange(n, engine.OpDelete, `{"id":1}`)
		failed = errors.Join(failed, err)
		_, err = o.tryCompact(n)
		failed = errors.Join(failed, err)
		if failed != nil {
			break
		}
		o.want("select * from "+n+" order by id", `[2,"B"]`, `[3,"C"]`, `[4,"d"]`)
		if err := o.Drop(context.Background(), name(t, n), engine.Idempotency{}); err != nil {
			failed = err
			break
		}
	}
	close(end)
	if err := errors.Join(failed, <-done); err != nil {
		t.Fatal(err)
	}
	if err := o.Tidy(context.Background()); err != nil {
		t.Fatal(err)
	}
	o.nothingUnreachable(dir)
	o.verifyClean()
}
