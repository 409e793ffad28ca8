package rows

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/lake"
)

// flaggedStream is batches of a text and a flag a row.
func flaggedStream(t *testing.T, name string, batches ...[]int32) []byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true}, {Name: name, Type: arrow.PrimitiveTypes.Int32, Nullable: true}}, nil)
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(schema))
	for _, flags := range batches {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		for _, f := range flags {
			b.Field(0).(*array.StringBuilder).Append(strings.Repeat("x", int(f)+1))
			b.Field(1).(*array.Int32Builder).Append(f)
		}
		if err := w.Write(b.NewRecordBatch()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestSift: the rest of the columns come through, flags are told, and nothing that is
// not such a stream does harm.
func TestSift(t *testing.T) {
	body := flaggedStream(t, "flag", []int32{0, 2, 0}, []int32{0}, []int32{3})
	var told []int32
	look := func(rec arrow.RecordBatch, row int, flag int32) error {
		told = append(told, flag)
		if got := rec.Column(0).(*array.String).Value(row); len(got) != int(flag)+1 {
			t.Errorf("the flag %d is told of the row %q", flag, got)
		}
		return nil
	}
	in := Sift(t.Context(), bytes.NewReader(body), Sifting{Flag: "flag", Look: look})
	rd, err := ipc.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	rows := int64(0)
	for rd.Next() {
		if rd.RecordBatch().NumCols() != 1 {
			t.Fatalf("%v", rd.RecordBatch().Schema())
		}
		rows += rd.RecordBatch().NumRows()
	}
	if rd.Err() != nil || rows != 5 || len(told) != 2 || told[0] != 2 || told[1] != 3 {
		t.Errorf("%d rows, told %v, %v", rows, told, rd.Err())
	}
	for _, flag := range []string{"flag", ""} { // the flags returned, or the texts, with no flag behind them
		var returned, ended int64
		what := Sifting{
			Returned: 1, Flag: flag, Look: look, End: func() error { ended++; return nil },
			Schema: func(s *arrow.Schema) error {
				return lake.Step("schema", map[bool]error{false: errors.New("no field")}[s.NumFields() == 1])
			},
			Take: func(whole, rec arrow.RecordBatch) error { returned += rec.NumRows() * rec.NumCols(); return nil },
		}
		rd, err := ipc.NewReader(Sift(t.Context(), bytes.NewReader(body), what))
		if err != nil {
			t.Fatal(err)
		}
		for rd.Next() {
			if want := map[string]int64{"flag": 0, "": 1}[flag]; rd.RecordBatch().NumCols() != want {
				t.Errorf("%d columns, want %d", rd.RecordBatch().NumCols(), want)
			}
		}
		if rd.Err() != nil || returned != 5 || ended != 1 {
			t.Errorf("%d returned, %d ends, %v", returned, ended, rd.Err())
		}
		stop := lake.Errorf(lake.CodeOutOfDisk, "stop")
		what.Take = func(whole, rec arrow.RecordBatch) error { return stop }
		if _, err := io.Copy(io.Discard, Sift(t.Context(), bytes.NewReader(body), what)); !errors.Is(err, stop) {
			t.Errorf("its own error became %v", err)
		}
		what.Returned = 3
		if _, err := io.Copy(io.Discard, Sift(t.Context(), bytes.NewReader(body), what)); err == nil {
			t.Error("more columns than there are")
		}
	}
	names, err := ArrowNames(t.Context(), bytes.NewReader(body))
	if err != nil || strings.Join(names, " ") != "s flag" {
		t.Errorf("%v, %v", names, err)
	}
	read := func(body []byte, name string, end error) error {
		_, err := io.Copy(io.Discard, Sift(t.Context(), bytes.NewReader(body), Sifting{Flag: name, Look: func(arrow.RecordBatch, int, int32) error { return end }}))
		return err
	}
	stop := lake.Errorf(lake.CodeKeyConflict, "stop")
	if err := read(body, "flag", stop); !errors.Is(err, stop) {
		t.Errorf("its own error became %v", err)
	}
	if err := read(body, "other", nil); err == nil {
		t.Error("another last column")
	}
	if err := read(nil, "flag", nil); err == nil {
		t.Error("no stream at all")
	}
	for range 300 {
		bad := bytes.Clone(body)
		for range 1 + rand.IntN(4) {
			bad[rand.IntN(len(bad))] ^= byte(1 << rand.IntN(8))
		}
		_ = read(bad[:rand.IntN(len(bad)+1)], "flag", nil) // an error or not, and no panic
	}
}
