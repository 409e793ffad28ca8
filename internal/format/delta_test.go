package format_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"tarn/internal/format"
	"tarn/internal/lake"
)

func keyless() lake.Schema {
	return lake.Schema{ID: 0, Columns: []lake.Column{
		{Name: "n", Type: lake.Type{Kind: lake.Bigint}},
		{Name: "s", Type: lake.Type{Kind: lake.Varchar}, Nullable: true},
	}}.WithFieldIDs()
}

func TestDeltaRoundTrip(t *testing.T) {
	for name, s := range map[string]lake.Schema{"every type": everyType(t), "without a key": keyless()} {
		for _, sizes := range [][]int{{}, {0}, {1}, {3, 0, 5}, {64}, {8000, 300, 1}} {
			t.Run(fmt.Sprint(name, sizes), func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, uint64(len(sizes))))
				var in []format.Changes
				for _, n := range sizes {
					in = append(in, randomChanges(r, s, n))
				}
				h := header()
				h.SchemaID = s.ID
				b, err := format.EncodeDelta(h, s, in)
				if err != nil {
					t.Fatal(err)
				}
				got, out, err := format.DecodeDelta("deltas/k", b, s)
				if err != nil {
					t.Fatal(err)
				}
				sameChanges(t, s, in, out)
				if got.Rows != rowsOf(in) || len(got.Sum) != 32 || got.UUID != h.UUID || !got.Time.Equal(h.Time) || got.Requests[0] != h.Requests[0] {
					t.Errorf("header %+v", got)
				}
				again, err := format.ReadDeltaHeader("deltas/k", bytes.NewReader(b), int64(len(b)))
				if err != nil || again.Sum != got.Sum {
					t.Errorf("ReadDeltaHeader: %v, %v", again, err)
				}
				path := filepath.Join(t.TempDir(), "d.parquet")
				if err := os.WriteFile(path, b, 0o600); err != nil {
					t.Fatal(err)
				}
				var streamed []format.Changes
				if _, err := format.OpenDelta(t.Context(), path, s, func(c format.Changes) error {
					c.Rows.Retain()
					streamed = append(streamed, c)
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				sameChanges(t, s, in, streamed)
			})
		}
	}
}

func rowsOf(cs []format.Changes) (n int64) {
	for _, c := range cs {
		n += c.Rows.NumRows()
	}
	return n
}

// sameChanges compares batches as one, with the exact types of the columns.
func sameChanges(t *testing.T, s lake.Schema, want, got []format.Changes) {
	t.Helper()
	schema := format.ChangesSchema(s)
	var ops [2][]byte
	var tables [2]arrow.Table
	for i, cs := range [][]format.Changes{want, got} {
		var recs []arrow.RecordBatch
		for _, c := range cs {
			recs = append(recs, c.Rows)
			ops[i] = append(ops[i], c.Ops...)
			if !c.Rows.Schema().Equal(schema) {
				t.Fatalf("schema %s, want %s", c.Rows.Schema(), schema)
			}
			for k, col := range c.Rows.Columns() {
				if !arrow.TypeEqual(col.DataType(), s.Columns[k].Type.Arrow(), arrow.CheckMetadata()) {
					t.Fatalf("column %d has type %s", k, col.DataType())
				}
			}
		}
		tables[i] = array.NewTableFromRecords(schema, recs)
	}
	if !bytes.Equal(ops[0], ops[1]) {
		t.Fatalf("operations %v, want %v", ops[1], ops[0])
	}
	if !array.TableEqual(tables[0], tables[1]) {
		t.Fatalf("rows %v, want %v", tables[1], tables[0])
	}
}

func TestOpenDeltaStops(t *testing.T) {
	s := everyType(t)
	b, err := format.EncodeDelta(header(), s, []format.Changes{randomChanges(rand.New(rand.NewPCG(1, 2)), s, 8300)})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "d.parquet")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	if _, err := format.OpenDelta(t.Context(), path, s, func(format.Changes) error { return enough }); err != enough {
		t.Errorf("err = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = format.OpenDelta(ctx, path, s, func(format.Changes) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

// TestDeltaMutations: I7, no flipped bit and no cut in a delta goes unnoticed.
func TestDeltaMutations(t *testing.T) {
	s := everyType(t)
	r := rand.New(rand.NewPCG(3, 4))
	b, err := format.EncodeDelta(header(), s, []format.Changes{randomChanges(r, s, 3)})
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, mutated []byte) {
		t.Helper()
		_, _, err := format.DecodeDelta("deltas/x/7.parquet", mutated, s)
		if !errors.Is(err, lake.ErrDamaged) || !strings.Contains(err.Error(), "deltas/x/7.parquet") {
			t.Fatalf("%s: DecodeDelta: %v", what, err)
		}
		if _, err := format.ReadDeltaHeader("k", bytes.NewReader(mutated), int64(len(mutated))); !errors.Is(err, lake.ErrDamaged) {
			t.Fatalf("%s: ReadDeltaHeader: %v", what, err)
		}
	}
	for i := range b {
		m := bytes.Clone(b)
		m[i] ^= 1 << r.IntN(8)
		check(fmt.Sprintf("byte %d of %d", i, len(b)), m)
	}
	for n := range b {
		check(fmt.Sprintf("cut at %d", n), b[:n])
	}
	check("appended", append(bytes.Clone(b), 0))
	check("doubled", append(bytes.Clone(b), b...))
}

func TestDeltaRefusesWhatDoesNotFit(t *testing.T) {
	s := keyless()
	good := randomChanges(rand.New(rand.NewPCG(5, 6)), s, 2)
	keyed := everyType(t)
	nulls := array.NewRecordBuilder(memory.DefaultAllocator, format.ChangesSchema(keyed))
	for _, f := range nulls.Fields() {
		f.AppendNull()
	}
	noIDs := keyless()
	noIDs.Columns = append([]lake.Column{}, noIDs.Columns...)
	noIDs.Columns[0].ID = 0
	for name, c := range map[string]struct {
		s lake.Schema
		c format.Changes
	}{
		"operations short": {s, format.Changes{Rows: good.Rows, Ops: []uint8{0}}},
		"operation 2":      {s, format.Changes{Rows: good.Rows, Ops: []uint8{0, 2}}},
		"other columns":    {keyed, good},
		"null in key":      {keyed, format.Changes{Rows: nulls.NewRecordBatch(), Ops: []uint8{0}}},
		"no field ids":     {noIDs, good},
	} {
		if _, err := format.EncodeDelta(header(), c.s, []format.Changes{c.c}); lake.CodeOf(err) != lake.CodeInternal || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDeltaOfAnOlderSchema: columns are found by field id, promoted as Iceberg
// allows, and null where the delta lacks them.
func TestDeltaOfAnOlderSchema(t *testing.T) {
	old := lake.Schema{ID: 0, Key: []string{"k"}, Columns: []lake.Column{
		{ID: 1, Name: "k", Type: lake.Type{Kind: lake.Integer}},
		{ID: 2, Name: "f", Type: lake.Type{Kind: lake.Float}, Nullable: true},
		{ID: 3, Name: "gone", Type: lake.Type{Kind: lake.Varchar}, Nullable: true},
		{ID: 4, Name: "d", Type: lake.Type{Kind: lake.Decimal, Precision: 9, Scale: 2}, Nullable: true},
	}}
	now := lake.Schema{ID: 1, Key: []string{"key"}, Columns: []lake.Column{
		{ID: 5, Name: "new", Type: lake.ListOf(lake.Type{Kind: lake.Bigint}), Nullable: true},
		{ID: 4, Name: "d", Type: lake.Type{Kind: lake.Decimal, Precision: 20, Scale: 2}, Nullable: true},
		{ID: 2, Name: "f", Type: lake.Type{Kind: lake.Double}, Nullable: true},
		{ID: 1, Name: "key", Type: lake.Type{Kind: lake.Bigint}},
	}}
	in := randomChanges(rand.New(rand.NewPCG(7, 8)), old, 50)
	h := header()
	h.SchemaID = old.ID
	b, err := format.EncodeDelta(h, old, []format.Changes{in})
	if err != nil {
		t.Fatal(err)
	}
	_, out, err := format.DecodeDelta("k", b, now)
	if err != nil {
		t.Fatal(err)
	}
	rows := out[0].Rows
	if !rows.Schema().Equal(format.ChangesSchema(now)) || rows.Column(0).NullN() != 50 {
		t.Fatalf("%v", rows)
	}
	for i := range 50 {
		if int64(in.Rows.Column(0).(*array.Int32).Value(i)) != rows.Column(3).(*array.Int64).Value(i) {
			t.Fatalf("row %d: key differs", i)
		}
		if in.Rows.Column(3).ValueStr(i) != rows.Column(1).ValueStr(i) {
			t.Fatalf("row %d: decimal %s, want %s", i, rows.Column(1).ValueStr(i), in.Rows.Column(3).ValueStr(i))
		}
		if in.Rows.Column(1).IsNull(i) != rows.Column(2).IsNull(i) {
			t.Fatalf("row %d: null differs", i)
		}
	}
	now.ID = old.ID // now nothing excuses the missing column
	if _, _, err := format.DecodeDelta("k", b, now); !errors.Is(err, lake.ErrDamaged) {
		t.Errorf("missing column: %v", err)
	}
}

func TestFinishDelta(t *testing.T) {
	s := everyType(t)
	r := rand.New(rand.NewPCG(9, 10))
	for _, rows := range []int{0, 1, 9000} {
		c := randomChanges(r, s, rows)
		path := filepath.Join(t.TempDir(), "job.parquet")
		writeJobFile(t, path, s, c, format.OpFieldID)
		if err := format.FinishDelta(path, header(), s); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		h, out, err := format.DecodeDelta("k", b, s)
		if err != nil {
			t.Fatal(err)
		}
		if h.Rows != int64(rows) || h.UUID != header().UUID {
			t.Errorf("header %+v", h)
		}
		sameChanges(t, s, []format.Changes{c}, out)
		if err := format.FinishDelta(path, header(), s); err != nil { // once more changes nothing
			t.Fatal(err)
		}
		if again, _ := os.ReadFile(path); !bytes.Equal(again, b) {
			t.Error("finishing twice gives another file")
		}
		for range 100 {
			m := bytes.Clone(b)
			m[r.IntN(len(m))] ^= 1 << r.IntN(8)
			if _, err := format.ReadDeltaHeader("k", bytes.NewReader(m), int64(len(m))); !errors.Is(err, lake.ErrDamaged) {
				t.Fatalf("mutation not found: %v", err)
			}
		}
	}
}

func TestFinishDeltaRefusesOtherColumns(t *testing.T) {
	s := everyType(t)
	c := randomChanges(rand.New(rand.NewPCG(1, 1)), s, 5)
	path := filepath.Join(t.TempDir(), "job.parquet")
	writeJobFile(t, path, s, c, format.OpFieldID)
	before, _ := os.ReadFile(path)
	renumbered := everyType(t)
	renumbered.Columns[0].ID, renumbered.Columns[1].ID = 2, 1
	for name, other := range map[string]lake.Schema{"keyless": keyless(), "ids": renumbered} {
		if err := format.FinishDelta(path, header(), other); lake.CodeOf(err) != lake.CodeInternal || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("a refused file was changed")
	}
	writeJobFile(t, path, s, c, 77)
	if err := format.FinishDelta(path, header(), s); err == nil {
		t.Error("a file without the operation's field id was taken")
	}
	if err := format.FinishDelta(filepath.Join(t.TempDir(), "none"), header(), s); !errors.Is(err, lake.ErrNotFound) {
		t.Errorf("no file: %v", err)
	}
}

// writeJobFile writes changes as a job does: all columns optional, in several
// row groups, with an entry of the writer's own.
func writeJobFile(t *testing.T, path string, s lake.Schema, c format.Changes, opID int) {
	t.Helper()
	fields := format.ChangesSchema(s).Fields()
	for i := range fields {
		fields[i].Nullable = true
	}
	fields = append(fields, arrow.Field{Name: format.OpColumn, Type: arrow.PrimitiveTypes.Int32, Nullable: true,
		Metadata: arrow.NewMetadata([]string{lake.FieldIDKey}, []string{fmt.Sprint(opID)})})
	schema := arrow.NewSchema(fields, nil)
	ops := array.NewInt32Builder(memory.DefaultAllocator)
	for _, op := range c.Ops {
		ops.Append(int32(op))
	}
	rec := array.NewRecordBatch(schema, append(c.Rows.Columns()[:len(fields)-1:len(fields)-1], ops.NewArray()), int64(len(c.Ops)))
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := pqarrow.NewFileWriter(schema, f, parquet.NewWriterProperties(parquet.WithMaxRowGroupLength(2000)), pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.WriteBuffered(rec), w.AppendKeyValueMetadata("writer", "a job"), w.Close()); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkEncodeDelta(b *testing.B) {
	s := keyless()
	for i := range 8 {
		s.Columns = append(s.Columns, lake.Column{Name: fmt.Sprint("c", i), Type: lake.Type{Kind: []lake.Kind{lake.Bigint, lake.Varchar, lake.Double, lake.Timestamp}[i%4]}, Nullable: true})
	}
	s = s.WithFieldIDs()
	e, err := format.NewDeltaEncoder(s)
	if err != nil {
		b.Fatal(err)
	}
	for _, rows := range []int{1, 64, 1000} {
		c := []format.Changes{randomChanges(rand.New(rand.NewPCG(1, 1)), s, rows)}
		file, _ := e.Encode(header(), c)
		b.Run(fmt.Sprint("encode/", rows), func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			for b.Loop() {
				if _, err := e.Encode(header(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprint("decode/", rows), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := format.DecodeDelta("k", file, s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
