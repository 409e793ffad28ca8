package serving

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"tarn/internal/duck"
	"tarn/internal/fileid"
	"tarn/internal/format"
	"tarn/internal/keys"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testLake writes a lake's files as the server and its jobs do, and tells a
// serving database of them.
type testLake struct {
	t      testing.TB
	dir    string
	db     *duck.DB
	conn   *duck.Conn
	s      *Serving
	o      Options
	number int64
	files  int // base files written
}

func newTestLake(t testing.TB, o Options) *testLake {
	t.Helper()
	// A path may look like a pattern or a partition, and means nothing by it.
	l := &testLake{t: t, dir: filepath.Join(t.TempDir(), "it's=a[lake]{1}*?"), o: o}
	if err := os.Mkdir(l.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if l.db, err = duck.Open(t.Context(), duck.Options{Scratch: t.TempDir(), Threads: 1}); err != nil {
		t.Fatal(err)
	}
	if l.conn, err = l.db.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.open()
	t.Cleanup(func() {
		l.s.Close()
		l.conn.Close()
		l.db.Close()
	})
	return l
}

// open starts a serving database that has heard nothing.
func (l *testLake) open() {
	l.t.Helper()
	o := l.o
	o.Duck = duck.Options{Scratch: l.t.TempDir(), Threads: 2, AllowedDirs: []string{l.dir}, Lock: true, MemoryLimitBytes: cmp.Or(o.Duck.MemoryLimitBytes, 1<<30)}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	o.Fatal = func(err error) { l.t.Errorf("fatal: %v", err) }
	s, err := Open(context.Background(), o)
	if err != nil {
		l.t.Fatal(err)
	}
	l.s = s
}

// begin is an empty replay.
func (l *testLake) begin() *testLake {
	l.t.Helper()
	if err := l.s.Replay(context.Background(), nil, 0); err != nil {
		l.t.Fatal(err)
	}
	return l
}

// tell gives entries the next numbers and lets the serving database hear them.
func (l *testLake) tell(entries ...lake.Entry) {
	l.t.Helper()
	for i := range entries {
		l.number++
		entries[i].Number = l.number
	}
	if err := l.s.Hear(context.Background(), entries); err != nil {
		l.t.Fatal(err)
	}
}

func (l *testLake) path(key string) string {
	p := filepath.Join(l.dir, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		l.t.Fatal(err)
	}
	return p
}

// decode turns rows as JSON objects into batches of a schema.
func decode(t testing.TB, s lake.Schema, objects []string) []arrow.RecordBatch {
	t.Helper()
	d, err := rows.Decode(context.Background(), rows.NDJSON, strings.NewReader(strings.Join(objects, "\n")), rows.DecodeOptions{Schema: s})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var out []arrow.RecordBatch
	for {
		rec, err := d.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rec)
	}
}

// baseFile writes rows, sorted by key, as a base file; those of dead are in it
// and taken away by a position delete file.
func (l *testLake) baseFile(s lake.Schema, objects, dead []string) lake.BaseFile {
	t := l.t
	t.Helper()
	ctx := context.Background()
	l.files++
	var cols, ids []string
	for _, c := range s.Columns {
		cols = append(cols, lake.QuoteIdent(c.Name)+" "+c.Type.SQL())
		ids = append(ids, lake.QuoteIdent(c.Name)+": "+fieldIDs(c))
	}
	batches := append(decode(t, s, objects), decode(t, s, dead)...)
	l.exec("CREATE OR REPLACE TABLE w (" + strings.Join(cols, ", ") + ")")
	if err := l.conn.Append(ctx, "memory", "main", "w", batches); err != nil {
		t.Fatal(err)
	}
	f := lake.BaseFile{Key: fmt.Sprintf("base/main/x/data/%d.parquet", l.files), Rows: int64(len(objects) + len(dead)), Ordinal: int64(l.files)}
	f.Path = l.path(f.Key)
	l.exec("COPY w TO " + lake.QuoteString(f.Path) + " (FORMAT parquet, FIELD_IDS {" + strings.Join(ids, ", ") + "})")
	if s.Keyed() {
		enc := keys.NewEncoder(s.KeySchema(), s.KeyIndexes())
		for _, b := range batches {
			for row := range int(b.NumRows()) {
				first := enc.First([]byte{}, b, row)
				if f.Lower == nil || bytes.Compare(first, f.Lower) < 0 {
					f.Lower = first
				}
				if f.Upper == nil || bytes.Compare(first, f.Upper) > 0 {
					f.Upper = first
				}
			}
		}
	}
	if len(dead) > 0 {
		d := lake.DeleteFile{Key: strings.TrimSuffix(f.Key, ".parquet") + "-deletes.parquet"}
		d.Path = l.path(d.Key)
		l.exec(fmt.Sprintf("COPY (SELECT 'file:///elsewhere/%s' AS file_path, %d + i AS pos FROM range(%d) r(i) UNION ALL SELECT 'file:///elsewhere/other', 0) TO %s (FORMAT parquet)",
			f.Key, len(objects), len(dead), lake.QuoteString(d.Path)))
		f.Deletes = []lake.DeleteFile{d}
	}
	var err error
	if f.Identity, err = fileid.Of(f.Path); err != nil {
		t.Fatal(err)
	}
	return f
}

func fieldIDs(c lake.Column) string {
	var parts []string
	switch c.Type.Kind {
	case lake.List:
		parts = append(parts, "element: "+fieldIDs(c.Type.Fields[0]))
	case lake.Map:
		parts = append(parts, "key: "+fieldIDs(c.Type.Fields[0]), "value: "+fieldIDs(c.Type.Fields[1]))
	case lake.Struct:
		for _, f := range c.Type.Fields {
			parts = append(parts, lake.QuoteIdent(f.Name)+": "+fieldIDs(f))
		}
	default:
		return fmt.Sprint(c.ID)
	}
	return fmt.Sprintf("{__duckdb_field_id: %d, %s}", c.ID, strings.Join(parts, ", "))
}

func (l *testLake) exec(sql string) {
	l.t.Helper()
	if err := l.conn.Exec(context.Background(), sql); err != nil {
		l.t.Fatalf("%v\n%s", err, sql)
	}
}

// change is one change of a delta: a row, or a key to delete.
type change struct {
	row, key string
}

// delta writes changes as a delta.
func (l *testLake) delta(tableUUID string, s lake.Schema, sequence int64, changes []change) lake.Delta {
	t := l.t
	t.Helper()
	var out []format.Changes
	if s.Keyed() {
		var lines []string
		for _, c := range changes {
			if c.row != "" {
				lines = append(lines, `{"op":"upsert","row":`+c.row+`}`)
			} else {
				lines = append(lines, `{"op":"delete","key":`+c.key+`}`)
			}
		}
		d, err := rows.DecodeChanges(context.Background(), strings.NewReader(strings.Join(lines, "\n")), rows.DecodeOptions{Schema: s})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for {
			b, err := d.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, format.Changes{Rows: b.Rows, Ops: b.Ops})
		}
	} else if len(changes) > 0 {
		var lines []string
		for _, c := range changes {
			lines = append(lines, c.row)
		}
		for _, b := range decode(t, s, lines) {
			out = append(out, format.Changes{Rows: b, Ops: make([]uint8, b.NumRows())})
		}
	}
	h := format.DeltaHeader{FormatVersion: format.DeltaFormat, TableUUID: tableUUID, First: sequence, Sequence: sequence,
		SchemaID: s.ID, UUID: uuid.NewString(), Epoch: 1, LakePosition: sequence, Time: time.Now().UTC()}
	b, err := format.EncodeDelta(h, s, out)
	if err != nil {
		t.Fatal(err)
	}
	d := lake.Delta{Key: fmt.Sprintf("deltas/%s/%020d.parquet", tableUUID, sequence), First: sequence, Sequence: sequence, Rows: int64(len(changes)), Bytes: int64(len(b))}
	d.Path = l.path(d.Key)
	if err := os.WriteFile(d.Path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return d
}

// ask runs a query that must see everything told and gives its rows as JSON
// objects.
func (l *testLake) ask(sql string) ([]string, *Answer) {
	l.t.Helper()
	out, a, err := l.try(sql)
	if err != nil {
		l.t.Fatalf("%s: %v", sql, err)
	}
	return out, a
}

func (l *testLake) try(sql string) ([]string, *Answer, error) {
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	a, err := l.s.Query(ctx, Request{SQL: sql, See: l.number})
	if err != nil {
		return nil, nil, err
	}
	defer a.Close()
	out, err := read(ctx, a)
	return out, a, err
}

// read reads an answer to its end, as JSON objects.
func read(ctx context.Context, a *Answer) ([]string, error) {
	var buf bytes.Buffer
	enc := rows.NewEncoder(rows.OutNDJSON, &buf)
	if err := enc.Begin(a.Columns, a.Schema, rows.Head{}); err != nil {
		return nil, err
	}
	for {
		rec, err := a.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		err = enc.Write(rec)
		rec.Release()
		if err != nil {
			return nil, err
		}
	}
	if err := enc.End(rows.Tail{}); err != nil {
		return nil, err
	}
	if buf.Len() == 0 {
		return nil, nil
	}
	return strings.Split(strings.TrimSuffix(buf.String(), "\n"), "\n"), nil
}

// same compares bags of JSON objects by value.
func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	g, w := canonical(t, got), canonical(t, want)
	slices.Sort(g)
	slices.Sort(w)
	if !slices.Equal(g, w) {
		t.Fatalf("%s:\n got %d rows %s\nwant %d rows %s", what, len(g), clip(g), len(w), clip(w))
	}
}

func clip(s []string) string {
	if len(s) > 40 {
		s = append(slices.Clone(s[:40]), "…")
	}
	return strings.Join(s, "\n     ")
}

func canonical(t testing.TB, objects []string) []string {
	t.Helper()
	out := make([]string, len(objects))
	for i, o := range objects {
		d := json.NewDecoder(strings.NewReader(o))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%v: %s", err, o)
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = string(b)
	}
	return out
}

func publishEntry(p lake.Publish) lake.Entry { return lake.Entry{Publish: &p} }

func applyEntry(tableUUID string, d ...lake.Delta) lake.Entry {
	return lake.Entry{Apply: &lake.Apply{TableUUID: tableUUID, Deltas: d}}
}

// schemaOf makes a schema of "name TYPE" columns.
func schemaOf(t testing.TB, key string, columns ...string) lake.Schema {
	t.Helper()
	var s lake.Schema
	for _, c := range columns {
		name, sql, _ := strings.Cut(c, " ")
		typ, err := lake.ParseType(sql)
		if err != nil {
			t.Fatal(err)
		}
		s.Columns = append(s.Columns, lake.Column{Name: name, Type: typ, Nullable: true})
	}
	if key != "" {
		s.Key = strings.Split(key, ",")
	}
	s = s.WithFieldIDs()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	return s
}
