package base_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/google/uuid"

	"tarn/internal/base"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// lab is a lake on disk with one table in it and what is current.
type lab struct {
	*testing.T
	dir      string
	store    store.Store
	fs       *base.FS
	verifier *base.Verifier
	current  string // metadata key
}

func newLab(t *testing.T) *lab {
	dir := filepath.Join(t.TempDir(), "lake")
	s, err := store.OpenLocal(dir, store.LocalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := base.OpenVerifier(s, filepath.Join(t.TempDir(), "verified.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &lab{T: t, dir: dir, store: s, fs: base.NewFS(s, v), verifier: v}
}

// makeCurrent is the catalog of the lab.
func (l *lab) makeCurrent(_ context.Context, key string) error { l.current = key; return nil }

func (l *lab) create(s lake.Schema) *base.Table {
	l.Helper()
	id := uuid.NewString()
	t, err := base.Create(l.Context(), l.fs, "base/main/t-"+id, s, id)
	if err != nil {
		l.Fatal(err)
	}
	l.current = t.MetadataKey()
	return t
}

func (l *lab) commit(t *base.Table, c base.Change) *base.Table {
	l.Helper()
	next, err := t.Commit(l.Context(), c, l.makeCurrent)
	if err != nil {
		l.Fatal(err)
	}
	return next
}

func (l *lab) files(t *base.Table) []lake.BaseFile {
	l.Helper()
	files, err := t.Files(l.Context())
	if err != nil {
		l.Fatal(err)
	}
	return files
}

// reload loads what is current as another process would.
func (l *lab) reload() *base.Table {
	l.Helper()
	t, err := base.Load(l.Context(), base.NewFS(l.store, nil), l.current)
	if err != nil {
		l.Fatal(err)
	}
	return t
}

func (l *lab) takeIn(t *base.Table, ordinal int64, fill func(b *array.RecordBuilder)) base.NewFile {
	l.Helper()
	path := filepath.Join(l.TempDir(), "out.parquet")
	writeParquet(l.T, path, t.Schema(), fill)
	f, err := t.TakeIn(l.Context(), path, ordinal)
	if err != nil {
		l.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		l.Errorf("the file that was taken in is still at its path: %v", err)
	}
	return f
}

// ints takes in a file of a schema whose first column is BIGINT and whose
// second is VARCHAR, with the rows from..to.
func (l *lab) ints(t *base.Table, ordinal, from, to int64) base.NewFile {
	l.Helper()
	f, err := t.TakeIn(l.Context(), intsFile(l.T, t, from, to), ordinal)
	if err != nil {
		l.Fatal(err)
	}
	return f
}

// intsFile writes the file that ints takes in.
func intsFile(t *testing.T, table *base.Table, from, to int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out.parquet")
	writeParquet(t, path, table.Schema(), func(b *array.RecordBuilder) {
		for n := from; n <= to; n++ {
			b.Field(0).(*array.Int64Builder).Append(n)
			b.Field(1).(*array.StringBuilder).Append(fmt.Sprint("row ", n))
		}
	})
	return path
}

// writeParquet writes one file as a job does: the columns with their field ids,
// all optional.
func writeParquet(t *testing.T, path string, s lake.Schema, fill func(b *array.RecordBuilder)) {
	t.Helper()
	s.Columns = append([]lake.Column{}, s.Columns...)
	for i := range s.Columns {
		s.Columns[i].Nullable = true
	}
	schema := s.Arrow()
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	fill(b)
	rec := b.NewRecordBatch()
	defer rec.Release()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := pqarrow.NewFileWriter(schema, f, parquet.NewWriterProperties(parquet.WithStoreDecimalAsInteger(true)), pqarrow.DefaultWriterProps())
	if err == nil {
		err = w.Write(rec)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func column(t testing.TB, name, typ string, nullable bool) lake.Column {
	parsed, err := lake.ParseType(typ)
	if err != nil {
		t.Fatal(err)
	}
	return lake.Column{Name: name, Type: parsed, Nullable: nullable}
}

func schemaOf(t testing.TB, key []string, cols ...lake.Column) lake.Schema {
	s := lake.Schema{Columns: cols, Key: key}.WithFieldIDs()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	return s
}

func keyed(t testing.TB) lake.Schema {
	return schemaOf(t, []string{"id"}, column(t, "id", "BIGINT", false), column(t, "name", "VARCHAR", true))
}

// oneColumn takes in a file of a schema of one INTEGER or BIGINT column.
func (l *lab) oneColumn(t *base.Table, values ...int64) base.NewFile {
	l.Helper()
	return l.takeIn(t, 0, func(b *array.RecordBuilder) {
		for _, v := range values {
			switch f := b.Field(0).(type) {
			case *array.Int32Builder:
				f.Append(int32(v))
			case *array.Int64Builder:
				f.Append(v)
			}
		}
	})
}
