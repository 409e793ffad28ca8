package base_test

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"tarn/internal/base"
	"tarn/internal/lake"
)

// upgrade gives the table format version 3, as another program asks for it.
func (l *lab) upgrade(t *base.Table) *base.Table {
	l.Helper()
	p, err := t.Propose(l.Context(), nil, []table.Update{table.NewUpgradeFormatVersionUpdate(base.VersionVectors)})
	if err != nil {
		l.Fatal(err)
	}
	next, err := p.Describe(l.Context(), l.makeCurrent)
	if err != nil {
		l.Fatal(err)
	}
	return next
}

// dead takes in delete files of the first rows of a data file.
func (l *lab) dead(t *base.Table, of lake.BaseFile, rows int64) base.NewDeletes {
	l.Helper()
	location, err := t.DataLocation(l.Context(), of.Key)
	if err != nil {
		l.Fatal(err)
	}
	schema, err := table.SchemaToArrowSchema(iceberg.PositionalDeleteSchema, nil, true, false)
	if err != nil {
		l.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for pos := range rows {
		b.Field(0).(*array.StringBuilder).Append(location)
		b.Field(1).(*array.Int64Builder).Append(pos)
	}
	rec := b.NewRecordBatch()
	defer rec.Release()
	path := filepath.Join(l.TempDir(), "deletes.parquet")
	f, err := os.Create(path)
	if err != nil {
		l.Fatal(err)
	}
	w, err := pqarrow.NewFileWriter(schema, f, nil, pqarrow.DefaultWriterProps())
	if err == nil {
		err = w.Write(rec)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		l.Fatal(err)
	}
	d, err := t.TakeInDeletes(l.Context(), path, of, rows)
	if err != nil {
		l.Fatal(err)
	}
	return d
}

// rowIDs holds the ids of rows against those that the files had before: no two rows have
// one, and none loses it.
func (l *lab) rowIDs(t *base.Table, before map[string]int64) map[string]int64 {
	l.Helper()
	first, next, err := l.reload().RowIDs(l.Context())
	if err != nil {
		l.Fatal(err)
	}
	files := l.files(t)
	slices.SortFunc(files, func(a, b lake.BaseFile) int { return cmp.Compare(first[a.Key], first[b.Key]) })
	end := int64(0)
	for _, f := range files {
		id, ok := first[f.Key]
		if was, had := before[f.Key]; !ok || id < end || had && was != id {
			l.Fatalf("%s has rows from %d on (%t), and had from %d on (%t); ids up to %d are given", f.Key, id, ok, was, had, end)
		}
		end = id + f.Rows
	}
	if end > next {
		l.Fatalf("ids up to %d are given, and the next free one is %d", end, next)
	}
	return first
}

// TestRowIDs: in format version 3 each row has an id of its own for good, also where the
// table was upgraded, and in a commit of two snapshots.
func TestRowIDs(t *testing.T) {
	steps := []string{"append", "mark", "rewrite", "mark and rewrite", "reroot"}
	for first, name := range steps {
		t.Run("upgraded before "+name, func(t *testing.T) { testRowIDs(t, steps, first, 8, true) })
	}
	t.Run("for long", func(t *testing.T) { testRowIDs(t, steps, 0, 40, false) })
}

func testRowIDs(t *testing.T, steps []string, first, commits int, later bool) {
	l := newLab(t)
	tbl := l.create(keyed(t))
	upgrade := func(now bool) {
		if now {
			tbl = l.upgrade(tbl)
		}
	}
	upgrade(!later)
	n := int64(0)
	file := func() base.NewFile {
		n++
		return l.ints(tbl, n, n*10, n*10+n%7)
	}
	for range 3 {
		tbl = l.commit(tbl, base.Change{Kind: base.KindAppend, Add: []base.NewFile{file(), file()}})
	}
	upgrade(later)
	var ids map[string]int64
	for i := range commits {
		files := l.files(tbl)
		step := steps[(first+i)%len(steps)]
		switch step {
		case "append":
			tbl = l.commit(tbl, base.Change{Kind: base.KindAppend, Add: []base.NewFile{file()}})
		case "mark":
			tbl = l.commit(tbl, base.Change{Kind: base.KindFold, Add: []base.NewFile{file()}, Deletes: []base.NewDeletes{l.dead(tbl, files[1], 2)}})
		case "rewrite":
			tbl = l.commit(tbl, base.Change{Kind: base.KindFold, Remove: files[:1], Add: []base.NewFile{file(), file()}})
		case "mark and rewrite":
			tbl = l.commit(tbl, base.Change{Kind: base.KindFold, Remove: files[:1], Add: []base.NewFile{file()}, Rewritten: []base.NewFile{file()},
				Deletes: []base.NewDeletes{l.dead(tbl, files[0], 1), l.dead(tbl, files[2], 2)}})
		case "reroot":
			next, err := tbl.Reroot(t.Context(), tbl.Root())
			if err != nil {
				t.Fatal(err)
			}
			if tbl, l.current = next, next.MetadataKey(); i == 0 {
				continue // no commit gave ids yet
			}
		}
		ids = l.rowIDs(tbl, ids)
	}
}

// TestVerifyAVector: a deletion vector that has not the rows of its positions file is found,
// though the hashes of both are right.
func TestVerifyAVector(t *testing.T) {
	l := newLab(t)
	tbl := l.upgrade(l.create(keyed(t)))
	tbl = l.commit(tbl, base.Change{Kind: base.KindAppend, Add: []base.NewFile{l.ints(tbl, 0, 1, 10)}})
	one, two := l.dead(tbl, l.files(tbl)[0], 1), l.dead(tbl, l.files(tbl)[0], 2)
	vector := func(d base.NewDeletes) string {
		t.Helper()
		stem, hash, _ := strings.Cut(strings.TrimSuffix(d.Key, ".parquet"), "-x")
		found, err := filepath.Glob(filepath.Join(l.dir, stem+"-p"+hash+"*"))
		if err != nil || len(found) != 1 {
			t.Fatalf("the vectors of %s: %v, %v", d.Key, found, err)
		}
		return strings.TrimPrefix(found[0], l.dir+"/")
	}
	for _, d := range []base.NewDeletes{one, two} {
		if err := base.VerifyFile(t.Context(), l.store, vector(d)); err != nil {
			t.Fatal(err)
		}
	}
	body, err := l.store.Get(t.Context(), vector(two))
	if err != nil {
		t.Fatal(err)
	}
	of, _, _ := strings.Cut(vector(one), "-x")
	_, hash, _ := strings.Cut(vector(two), "-x")
	if err := l.store.Create(t.Context(), of+"-x"+hash, body); err != nil {
		t.Fatal(err)
	}
	err = base.VerifyFile(t.Context(), l.store, of+"-x"+hash)
	if lake.CodeOf(err) != lake.CodeDamaged || !strings.Contains(err.Error(), "it has 2 rows") {
		t.Fatalf("%v", err)
	}
}
