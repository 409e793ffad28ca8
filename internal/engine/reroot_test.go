package engine_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/rows"
)

func (o *opened) reroot() engine.RerootResult {
	o.t.Helper()
	j, err := o.Reroot(context.Background())
	if err != nil {
		o.t.Fatal(err)
	}
	r, err := j.Wait(context.Background())
	if err != nil {
		o.t.Fatalf("reroot: %v", err)
	}
	return r.(engine.RerootResult)
}

// movable fills a lake with datasets of several files, some with position deletes.
func movable(o *opened) {
	o.create("marked", schema(o.t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	var lines []string
	for i := range 500 {
		lines = append(lines, fmt.Sprintf(`{"id":%d,"v":"%d"}`, i, i%7))
	}
	o.change("marked", engine.OpUpsert, lines...)
	o.compact("marked")
	o.change("marked", engine.OpUpsert, `{"id":3,"v":"x"}`, `{"id":700,"v":"y"}`)
	o.compact("marked")
	o.change("marked", engine.OpDelete, `{"id":5}`)
	o.compact("marked")
	o.create("log", schema(o.t, nil, "n BIGINT"))
	for i := range 3 {
		o.change("log", engine.OpUpsert, fmt.Sprintf(`{"n":%d}`, i))
		o.compact("log")
	}
	o.create("empty", schema(o.t, []string{"id"}, "id BIGINT"))
}

func marking(o *engine.Options) { o.Settings.CompactDeadShare = 0.9 }

// inBothVersions runs a test with tables that mark rows by position deletes and by deletion
// vectors.
func inBothVersions(t *testing.T, run func(t *testing.T, marking func(*engine.Options))) {
	t.Run("position deletes", func(t *testing.T) { run(t, marking) })
	t.Run("deletion vectors", func(t *testing.T) {
		run(t, func(o *engine.Options) { marking(o); o.Settings.IcebergFormatVersion = 3 })
	})
}

// TestReroot: a moved lake answers as before, before and after its new root, hot and
// cold, with changes pending; it goes on taking changes, folds and position deletes.
func TestReroot(t *testing.T) { inBothVersions(t, testReroot) }

func testReroot(t *testing.T, marking func(*engine.Options)) {
	dir := filepath.Join(t.TempDir(), "old")
	o := openLake(t, dir, marking)
	movable(o)
	o.change("marked", engine.OpUpsert, `{"id":9,"v":"pending"}`)
	content := o.mustContent()
	o.close()
	to := filepath.Join(t.TempDir(), "new")
	if err := os.Rename(dir, to); err != nil {
		t.Fatal(err)
	}
	o = openLake(t, to, marking)
	if err := o.is(content); err != nil {
		t.Fatalf("moved: %v", err)
	}
	before, err := o.Describe(context.Background(), name(t, "marked"))
	if err != nil {
		t.Fatal(err)
	}
	o.pin("log")
	if r := o.reroot(); r.Rerooted != 3 || r.Datasets != 3 || r.Root != "file://"+to {
		t.Fatalf("%+v", r)
	}
	if err := o.is(content); err != nil {
		t.Fatalf("rerooted: %v", err)
	}
	after, err := o.Describe(context.Background(), name(t, "marked"))
	if err != nil || after.ETag != before.ETag || *after.ReadPoint.Snapshot != *before.ReadPoint.Snapshot || after.FoldedThrough != before.FoldedThrough {
		t.Fatalf("%+v, then %+v, %v", before, after, err)
	}
	if r := o.reroot(); r.Rerooted != 0 {
		t.Fatalf("again: %+v", r)
	}
	o.change("marked", engine.OpDelete, `{"id":6}`)
	o.change("log", engine.OpUpsert, `{"n":3}`)
	o.compactAll()
	o.want("select * from log", "[0]", "[1]", "[2]", "[3]")
	o.want("select count(*), count(*) filter (v = 'pending') from marked", "[499,1]")
	content = o.mustContent()
	o.close()
	o = openLake(t, to, marking, func(o *engine.Options) { noRetention(&o.Settings) })
	defer o.close()
	if err := o.Tidy(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := o.is(content); err != nil {
		t.Fatalf("opened again: %v", err)
	}
}

// TestRerootForOtherReaders: PyIceberg reads a lake that was moved, copied or restored
// and then rerooted, by its own files alone: the original is gone.
func TestRerootForOtherReaders(t *testing.T) { inBothVersions(t, testRerootForOtherReaders) }

func testRerootForOtherReaders(t *testing.T, marking func(*engine.Options)) {
	python := cmp.Or(os.Getenv("TARN_TEST_PYTHON"), "python3")
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import pyiceberg, pyarrow").CombinedOutput(); err != nil {
		t.Skipf("%s has no pyiceberg with pyarrow (pip install 'pyiceberg[pyarrow]'; TARN_TEST_PYTHON names a python): %v: %s", python, err, out)
	}
	dir := filepath.Join(t.TempDir(), "original")
	o := openLake(t, dir, marking)
	movable(o)
	backups := filepath.Join(t.TempDir(), "backups")
	o.backup(backups, 0)
	o.close()
	copied := copyLake(t, dir)
	c := openLake(t, copied, marking)
	c.reroot()
	c.close()
	gone := filepath.Join(t.TempDir(), "moved")
	restored, _ := restore(t, backups, 0)
	if err := os.Rename(dir, gone); err != nil {
		t.Fatal(err)
	}
	m := openLake(t, gone, marking)
	m.reroot()
	m.close()
	for _, at := range []string{copied, gone, restored} {
		l := openLake(t, at, marking)
		var metadata, answers []string
		names := []string{"empty", "log", "marked"}
		for i, d := range names {
			metadata = append(metadata, currentMetadata(t, at, d))
			answers = append(answers, filepath.Join(t.TempDir(), fmt.Sprint(i)))
			if err := os.WriteFile(answers[i], l.bytes("FROM "+d, rows.OutArrow), 0o600); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(readFile(t, metadata[i])), dir) {
				t.Errorf("%s names the old place", metadata[i])
			}
		}
		tables, want := readIceberg(t, python, metadata, answers)
		for i, d := range names {
			if !slices.Equal(tables[i].Scan, want[i].Scan) || !slices.Equal(tables[i].Files, want[i].Files) {
				t.Errorf("%s in %s: PyIceberg finds %d rows, %s", d, at, len(tables[i].Scan), firstDifference(tables[i].Scan, want[i].Scan))
			}
		}
		l.close()
	}
}
