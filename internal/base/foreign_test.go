package base

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// others is a program that writes our tables without our names: it commits
// through iceberg-go by itself.
type others struct {
	*testing.T
	store store.Store
	fs    *FS
	last  *Table
}

func newOthers(t *testing.T) *others {
	s, err := store.OpenLocal(filepath.Join(t.TempDir(), "lake"), store.LocalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	schema := lake.Schema{Key: []string{"id"}, Columns: []lake.Column{{Name: "id", Type: lake.Type{Kind: lake.Bigint}}}}.WithFieldIDs()
	o := &others{T: t, store: s, fs: NewFS(s, nil)}
	id := uuid.NewString()
	if o.last, err = Create(t.Context(), o.fs, "base/main/t-"+id, schema, id); err != nil {
		t.Fatal(err)
	}
	return o
}

// put writes an object of one or two columns and gives its Iceberg location.
func (o *others) put(name string, schema *arrow.Schema, fill func(*array.RecordBuilder)) (string, int64) {
	o.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	fill(b)
	var out bytes.Buffer
	w, err := pqarrow.NewFileWriter(schema, &out, nil, pqarrow.DefaultWriterProps())
	if err == nil {
		err = errors.Join(w.Write(b.NewRecordBatch()), w.Close())
	}
	if err == nil {
		err = o.store.Create(o.Context(), o.last.folder+"/data/"+name, out.Bytes())
	}
	if err != nil {
		o.Fatal(err)
	}
	return o.last.Location() + "/data/" + name, int64(out.Len())
}

func (o *others) data(name string, ids ...int64) iceberg.DataFile {
	o.Helper()
	uri, _ := o.put(name, o.last.schema.Arrow(), func(b *array.RecordBuilder) {
		b.Field(0).(*array.Int64Builder).AppendValues(ids, nil)
	})
	ice, err := icebergSchema(o.last.schema, true)
	if err != nil {
		o.Fatal(err)
	}
	df, err := table.FileToDataFile(o.Context(), o.fs.view(o.Context(), o.last.root), uri, ice, *iceberg.UnpartitionedSpec, 0, nil)
	if err != nil {
		o.Fatal(err)
	}
	return df
}

// positions writes a position delete file over data files.
func (o *others) positions(name string, bounded bool, of ...iceberg.DataFile) iceberg.DataFile {
	o.Helper()
	schema, err := table.SchemaToArrowSchema(iceberg.PositionalDeleteSchema, nil, true, false)
	if err != nil {
		o.Fatal(err)
	}
	uri, size := o.put(name, schema, func(b *array.RecordBuilder) {
		for _, df := range of {
			b.Field(0).(*array.StringBuilder).Append(df.FilePath())
			b.Field(1).(*array.Int64Builder).Append(0)
		}
	})
	b, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentPosDeletes, uri, iceberg.ParquetFile, nil, nil, nil, int64(len(of)), size)
	if err != nil {
		o.Fatal(err)
	}
	if bounded {
		b.LowerBoundValues(map[int][]byte{filePathID: []byte(of[0].FilePath())})
		b.UpperBoundValues(map[int][]byte{filePathID: []byte(of[len(of)-1].FilePath())})
	}
	return b.Build()
}

func (o *others) commit(stage func(tx *table.Transaction) error, files int, rows int64) {
	o.Helper()
	v := o.fs.view(o.Context(), o.last.root)
	cat := &committer{table: o.last, meta: o.last.meta, view: v, files: files, rows: rows, makeCurrent: func(context.Context, string) error { return nil }}
	tx := table.New(table.Identifier{"t"}, o.last.meta, v.uri(o.last.key), func(context.Context) (icebergFS, error) { return v, nil }, cat).NewTransaction()
	if err := stage(tx); err != nil {
		o.Fatal(err)
	}
	if _, err := tx.Commit(o.Context()); err != nil {
		o.Fatal(err)
	}
	var err error
	if o.last, err = Load(o.Context(), NewFS(o.store, nil), cat.next.key); err != nil {
		o.Fatal(err)
	}
}

func (o *others) files() string {
	o.Helper()
	files, err := o.last.Files(o.Context())
	if err != nil {
		o.Fatal(err)
	}
	out := ""
	for _, f := range files {
		out += fmt.Sprintf("%s#%d foreign=%v", filepath.Base(f.Key), f.Ordinal, f.Foreign)
		for _, d := range f.Deletes {
			out += " -" + filepath.Base(d.Key)
		}
		out += "\n"
	}
	return out
}

// TestForeignFilesAndPositionDeletes: what others committed is read with its
// position deletes, in the order of arrival, and the delete files leave with
// the last file that they apply to.
func TestForeignFilesAndPositionDeletes(t *testing.T) {
	o := newOthers(t)
	a, b, c := o.data("a.parquet", 1, 2, 3), o.data("b.parquet", 4, 5), o.data("c.parquet", 6)
	o.commit(func(tx *table.Transaction) error { return tx.AddDataFiles(t.Context(), []iceberg.DataFile{a, b}, nil) }, 2, 5)
	o.commit(func(tx *table.Transaction) error {
		return tx.NewRowDelta(nil).AddDeletes(o.positions("del-a.parquet", true, a), o.positions("del-any.parquet", false, a, b)).Commit(t.Context())
	}, 2, 5)
	o.commit(func(tx *table.Transaction) error { return tx.AddDataFiles(t.Context(), []iceberg.DataFile{c}, nil) }, 3, 6)
	want := "a.parquet#0 foreign=true -del-a.parquet -del-any.parquet\n" +
		"b.parquet#1 foreign=true -del-any.parquet\n" +
		"c.parquet#2 foreign=true\n"
	if got := o.files(); got != want {
		t.Fatalf("files\n%swant\n%s", got, want)
	}
	files, err := o.last.Files(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next := func(remove ...lake.BaseFile) {
		t.Helper()
		got, err := o.last.Commit(t.Context(), Change{Kind: KindFold, Remove: remove}, func(context.Context, string) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		o.last = got
	}
	next(files[0])
	want = "b.parquet#0 foreign=true -del-any.parquet\nc.parquet#1 foreign=true\n"
	if got := o.files(); got != want {
		t.Errorf("after one left\n%swant\n%s", got, want)
	}
	c2, err := o.last.content(t.Context())
	if err != nil || len(c2.deletes) != 1 {
		t.Errorf("%d delete files are left, %v", len(c2.deletes), err)
	}
	next(files[1])
	if c3, err := o.last.content(t.Context()); err != nil || len(c3.deletes) != 0 {
		t.Errorf("%d delete files are left, %v", len(c3.deletes), err)
	}
}

func TestEqualityDeletesAreRefused(t *testing.T) {
	o := newOthers(t)
	a := o.data("a.parquet", 1)
	uri, size := o.put("eq.parquet", o.last.schema.Arrow(), func(b *array.RecordBuilder) { b.Field(0).(*array.Int64Builder).Append(1) })
	b, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentEqDeletes, uri, iceberg.ParquetFile, nil, nil, nil, 1, size)
	if err != nil {
		t.Fatal(err)
	}
	o.commit(func(tx *table.Transaction) error { return tx.AddDataFiles(t.Context(), []iceberg.DataFile{a}, nil) }, 1, 1)
	v := o.fs.view(t.Context(), o.last.root)
	cat := &committer{table: o.last, meta: o.last.meta, view: v, files: 1, rows: 1, makeCurrent: func(context.Context, string) error { return nil }}
	tx := table.New(table.Identifier{"t"}, o.last.meta, v.uri(o.last.key), func(context.Context) (icebergFS, error) { return v, nil }, cat).NewTransaction()
	if err := tx.NewRowDelta(nil).AddDeletes(b.EqualityFieldIDs([]int{1}).Build()).Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context()); err == nil {
		t.Fatal("equality deletes were taken")
	} else if cat.failed == nil {
		t.Errorf("%v", err)
	}
}

// TestKeyPropertyMustFit: the key order is a property that anybody can edit.
func TestKeyPropertyMustFit(t *testing.T) {
	ice := iceberg.NewSchemaWithIdentifiers(0, []int{1, 2},
		iceberg.NestedField{ID: 1, Name: "a", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 2, Name: "b", Type: iceberg.PrimitiveTypes.Int64, Required: true})
	for text, want := range map[string]string{"": "[a b]", "[2,1]": "[b a]", "[1,2]": "[a b]", "[1]": "", "[1,3]": "", "[1,1]": "", "x": ""} {
		properties := iceberg.Properties{}
		if text != "" {
			properties[propertyKey] = text
		}
		s, err := lakeSchema(ice, properties)
		if want == "" {
			if lake.CodeOf(err) != lake.CodeUnsupported {
				t.Errorf("%q: %v, %v", text, s.Key, err)
			}
		} else if err != nil || fmt.Sprint(s.Key) != want {
			t.Errorf("%q: %v, %v", text, s.Key, err)
		}
	}
}

// TestOldBoundsOfAWidenedColumn: bounds of a column that became long keep the 4
// bytes of an int.
func TestOldBoundsOfAWidenedColumn(t *testing.T) {
	c := lake.Column{ID: 1, Name: "n", Type: lake.Type{Kind: lake.Bigint}}
	narrow, err := bound(c, map[int][]byte{1: {0xfe, 0xff, 0xff, 0xff}})
	wide, err2 := bound(c, map[int][]byte{1: {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}})
	if err != nil || err2 != nil || !bytes.Equal(narrow, wide) || narrow == nil {
		t.Errorf("%x %v, %x %v", narrow, err, wide, err2)
	}
	if none, err := bound(c, nil); none != nil || err != nil {
		t.Errorf("%x, %v", none, err)
	}
}

// TestOutsideTheLake: metadata cannot make us read elsewhere.
func TestOutsideTheLake(t *testing.T) {
	o := newOthers(t)
	v := o.fs.view(t.Context(), "file:///recorded/lake")
	if key, err := v.key("file:///recorded/lake/base/x"); key != "base/x" || err != nil {
		t.Errorf("%s, %v", key, err)
	}
	if key, err := v.key(o.store.Root() + "/base/x"); key != "base/x" || err != nil {
		t.Errorf("%s, %v", key, err)
	}
	for _, uri := range []string{"file:///recorded/lakes/x", "/etc/passwd", "s3://b/x"} {
		if _, err := v.Open(uri); lake.CodeOf(err) != lake.CodeUnsupported {
			t.Errorf("%s: %v", uri, err)
		}
	}
	if _, err := v.Open("file:///recorded/lake/../../etc/passwd"); err == nil {
		t.Error("a way out of the lake")
	}
	// iceberg-go's own clearing up never reaches the store.
	if err := v.Remove(v.uri(o.last.key)); lake.CodeOf(err) != lake.CodeInternal {
		t.Errorf("%v", err)
	}
	if _, err := o.store.Stat(t.Context(), o.last.key); err != nil {
		t.Error(err)
	}
}

func TestRecent(t *testing.T) {
	var r recent
	r.init(100)
	for i := range 10 {
		r.add(fmt.Sprint(i), make([]byte, 20))
		r.get("0")
	}
	r.add("big", make([]byte, 26))
	if _, ok := r.get("big"); ok {
		t.Error("one entry takes more than its share")
	}
	if _, ok := r.get("0"); !ok || r.size != 100 || len(r.byKey) != 5 || r.order.Len() != 5 {
		t.Errorf("%d bytes in %d entries", r.size, len(r.byKey))
	}
}
