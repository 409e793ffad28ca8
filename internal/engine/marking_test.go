package engine_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"tarn/internal/engine"
)

// TestMarking: with a dead share, compaction keeps the files of a keyed dataset and
// marks their changed rows by position deletes, with exact counts and the same
// answers cold and hot; it rewrites a file once too much of it is dead, and
// everything once the setting is off. Tables of format version 3 have deletion vectors.
func TestMarking(t *testing.T) {
	for _, version := range []int{2, 3} {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) { testMarking(t, version) })
	}
}

func testMarking(t *testing.T, version int) {
	dir := t.TempDir()
	marking := func(share float64) func(*engine.Options) {
		return func(o *engine.Options) {
			noRetention(&o.Settings)
			o.Settings.CompactDeadShare, o.Settings.TargetFileBytes = share, 1 // no file is small
			o.Settings.IcebergFormatVersion = version
		}
	}
	o := openLake(t, dir, marking(0.4))
	defer func() { o.close() }()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "v BIGINT"))
	put := func(from, to, step, v int) {
		var lines []string
		for id := from; id < to; id += step {
			lines = append(lines, fmt.Sprintf(`{"id":%d,"v":%d}`, id, v))
		}
		o.change("t", engine.OpUpsert, lines...)
	}
	count := func(pattern string) int {
		got, err := filepath.Glob(filepath.Join(dir, "base/*/*", pattern))
		if err != nil {
			t.Fatal(err)
		}
		return len(got)
	}
	files := func() int {
		n := count("data/deletes-*.parquet")
		if vectors := count("data/deletes-*.puffin"); vectors != (version-2)*n {
			t.Fatalf("%d deletion vectors beside %d delete files", vectors, n)
		}
		return n
	}
	commits := func() int { return count("metadata/*.metadata.json") }
	check := func(rows, sum int) {
		t.Helper()
		want := fmt.Sprintf("[%d,%d]", rows, sum)
		for range 2 { // the first may load it
			o.want("select count(*), sum(v)::bigint from t", want)
		}
		o.pin("t")
		o.want("select count(*), sum(v)::bigint from t", want)
		o.evict("t")
		o.want("select count(*), sum(v)::bigint from t", want)
		d, err := o.Describe(t.Context(), name(t, "t"))
		if err != nil || d.Rows != int64(rows) || d.BaseRows != int64(rows) || d.PendingRows != 0 {
			t.Fatalf("%+v, %v", d, err)
		}
		o.verifyClean()
	}

	put(0, 100, 1, 1)
	if r := o.compact("t"); r.Inserted != 100 || r.FilesAdded != 1 || r.DeleteFiles != 0 {
		t.Fatalf("%+v", r)
	}
	check(100, 100)

	put(0, 100, 10, 2) // 10 of the first file
	o.change("t", engine.OpDelete, `{"id":1}`, `{"id":2}`, `{"id":777}`)
	put(100, 105, 1, 3)
	r := o.compact("t")
	if r.Updated != 10 || r.Deleted != 2 || r.Inserted != 5 || r.BaseRows != 100 || r.FinalRows != 103 ||
		r.FilesRewritten != 0 || r.FilesKept != 1 || r.FilesAdded != 1 || r.DeleteFiles != 1 || r.BytesRewritten != 0 || files() != 1 {
		t.Fatalf("%+v, %d delete files", r, files())
	}
	check(103, 88+20+15)

	put(0, 100, 10, 4) // in the second file; of the first they are dead already
	before := commits()
	r = o.compact("t")
	if n := commits() - before; n != 1 { // who loads the table in between would be in its way
		t.Fatalf("marking and rewriting are %d commits", n)
	}
	if r.Updated != 10 || r.Inserted != 0 || r.FilesRewritten != 1 || r.FilesKept != 1 || r.FinalRows != 103 {
		t.Fatalf("10 of 15 rows of the second file are dead: %+v", r)
	}
	check(103, 88+40+15)

	o.close()
	o = openLake(t, dir, marking(0.4))
	check(103, 88+40+15)
	put(3, 50, 1, 5) // of the first file: 12 rows were dead
	r = o.compact("t")
	if r.FilesRewritten == 0 || r.Updated != 47 || r.FinalRows != 103 {
		t.Fatalf("%+v", r)
	}
	check(103, (88-43)+4*6+5*47+15)

	put(60, 65, 1, 6)
	if r = o.compact("t"); r.DeleteFiles == 0 {
		t.Fatalf("%+v", r)
	}
	o.close()
	o = openLake(t, dir, marking(0))
	put(0, 105, 1, 7)
	if r = o.compact("t"); r.FilesRewritten == 0 || r.FilesKept != 0 || r.DeleteFiles != 0 || r.Updated != 103 || r.Inserted != 2 {
		t.Fatalf("%+v", r)
	}
	check(105, 7*105)
	if err := o.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := files(); n != 0 {
		t.Fatalf("%d delete files stay where none applies", n)
	}
}

// A dataset whose column hides the row numbers of DuckDB's scans is rewritten.
func TestMarkingLeavesARowNumberColumnAlone(t *testing.T) {
	o := openLake(t, t.TempDir(), func(o *engine.Options) { o.Settings.CompactDeadShare = 0.9 })
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "File_Row_Number BIGINT"))
	for v := range 3 {
		for id := range 4 {
			o.change("t", engine.OpUpsert, fmt.Sprintf(`{"id":%d,"File_Row_Number":%d}`, id%(4-v), 10*v))
		}
		if r := o.compact("t"); r.DeleteFiles != 0 || r.FilesKept != 0 || r.FinalRows != 4 {
			t.Fatalf("%+v", r)
		}
	}
	o.want("from t order by id", "[0,20]", "[1,20]", "[2,10]", "[3,0]")
	o.verifyClean()
}
