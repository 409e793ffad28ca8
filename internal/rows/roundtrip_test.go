package rows_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"pgregory.net/rapid"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// genType draws a type; nested ones at most depth deep.
func genType(t *rapid.T, depth int) lake.Type {
	last := int(lake.TimestampTZ)
	if depth > 0 {
		last = int(lake.Map)
	}
	switch k := lake.Kind(rapid.IntRange(1, last).Draw(t, "kind")); k {
	case lake.Decimal:
		p := rapid.IntRange(1, 38).Draw(t, "precision")
		return lake.Type{Kind: k, Precision: p, Scale: rapid.IntRange(0, p).Draw(t, "scale")}
	case lake.List:
		return lake.ListOf(genType(t, depth-1))
	case lake.Map:
		key := genType(t, 0)
		if !key.CanBeKey() {
			key = lake.Type{Kind: lake.Varchar}
		}
		return lake.MapOf(key, genType(t, depth-1))
	case lake.Struct:
		out := lake.Type{Kind: k}
		for i := range rapid.IntRange(1, 3).Draw(t, "fields") {
			out.Fields = append(out.Fields, genColumn(t, i, depth-1))
		}
		return out
	default:
		return lake.Type{Kind: k}
	}
}

func genColumn(t *rapid.T, i, depth int) lake.Column {
	name := fmt.Sprintf("%s%d", rapid.SampledFrom([]string{"c", "Ünï ", `q"\`, "a,b", "x.y"}).Draw(t, "name"), i)
	return lake.Column{ID: i + 1, Name: name, Type: genType(t, depth), Nullable: rapid.Bool().Draw(t, "nullable")}
}

// genValue appends a random value of the column; the map key n is the n-th of
// its map, which keeps keys apart.
func genValue(t *rapid.T, c lake.Column, b array.Builder, key int) {
	if key < 0 && c.Nullable && rapid.IntRange(0, 4).Draw(t, "null") == 0 {
		b.AppendNull()
		return
	}
	number := func(lo, hi int64) int64 {
		if key >= 0 {
			return int64(key)
		}
		return rapid.OneOf(rapid.Int64Range(lo, hi), rapid.SampledFrom([]int64{lo, hi, 0})).Draw(t, "n")
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(number(0, 1) == 1)
	case *array.Int32Builder:
		b.Append(int32(number(math.MinInt32, math.MaxInt32)))
	case *array.Int64Builder:
		b.Append(number(math.MinInt64, math.MaxInt64))
	case *array.Float32Builder:
		b.Append(rapid.OneOf(rapid.Float32(), rapid.SampledFrom([]float32{float32(math.NaN()), float32(math.Inf(1))})).Draw(t, "f"))
	case *array.Float64Builder:
		b.Append(rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1)})).Draw(t, "f"))
	case *array.Decimal128Builder:
		v := decimal128.New(number(math.MinInt64, math.MaxInt64), uint64(number(math.MinInt64, math.MaxInt64)))
		if key >= 0 {
			v = decimal128.FromI64(int64(key))
		} else if limit := decimal128.GetScaleMultiplier(c.Type.Precision); !v.Less(limit) || !limit.Negate().Less(v) {
			_, v = v.Div(limit)
		}
		b.Append(v)
	case *array.StringBuilder:
		b.Append(genText(t, key))
	case *array.BinaryBuilder:
		b.Append([]byte(genText(t, key)))
	case *extensions.UUIDBuilder:
		b.AppendBytes([16]byte{byte(number(0, 255)), 1, 0xAB, 15: byte(number(0, 255))})
	case *array.Date32Builder:
		b.Append(arrow.Date32(number(-math.MaxInt32, math.MaxInt32)))
	case *array.Time64Builder:
		b.Append(arrow.Time64(number(0, 86_400_000_000-1)))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(number(-9223372022400000000, math.MaxInt64)))
	case *array.MapBuilder: // before ListBuilder's like
		b.Append(true)
		n := rapid.IntRange(0, 3).Draw(t, "entries")
		if c.Type.Fields[0].Type.Kind == lake.Boolean {
			n = min(n, 2)
		}
		for i := range n {
			genValue(t, c.Type.Fields[0], b.KeyBuilder(), i)
			genValue(t, c.Type.Fields[1], b.ItemBuilder(), -1)
		}
	case *array.ListBuilder:
		b.Append(true)
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			genValue(t, c.Type.Fields[0], b.ValueBuilder(), -1)
		}
	case *array.StructBuilder:
		b.Append(true)
		for i, f := range c.Type.Fields {
			genValue(t, f, b.FieldBuilder(i), -1)
		}
	default:
		t.Fatalf("no values for %T", b)
	}
}

func genText(t *rapid.T, key int) string {
	if key >= 0 {
		return fmt.Sprintf("k%d", key)
	}
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"", " ", "null", "a,b", "\"", "line\r\nend", "\n", "\x00\x1f", "😀", `\u0041`, "NaN",
	})).Draw(t, "text")
}

// genBatch draws a schema and a batch of it.
func genBatch(t *rapid.T) (lake.Schema, arrow.RecordBatch) {
	var s lake.Schema
	for i := range rapid.IntRange(1, 5).Draw(t, "columns") {
		s.Columns = append(s.Columns, genColumn(t, i, 2))
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, s.Arrow())
	defer b.Release()
	for range rapid.IntRange(0, 12).Draw(t, "rows") {
		for i, c := range s.Columns {
			genValue(t, c, b.Field(i), -1)
		}
	}
	return s, b.NewRecordBatch()
}

func columnsOf(s lake.Schema) []rows.Column {
	out := make([]rows.Column, len(s.Columns))
	for i, c := range s.Columns {
		out[i] = rows.Column{Name: c.Name, Type: c.Type.SQL()}
	}
	return out
}

func encode(t failer, f rows.OutFormat, s lake.Schema, recs ...arrow.RecordBatch) []byte {
	var buf bytes.Buffer
	e := rows.NewEncoder(f, &buf)
	err := e.Begin(columnsOf(s), s.Arrow(), rows.Head{})
	n := int64(0)
	for _, r := range recs {
		if err == nil {
			err = e.Write(r)
		}
		n += r.NumRows()
	}
	if err == nil {
		err = e.End(rows.Tail{RowCount: n})
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// objects turns a JSON answer into an array of objects, as input has it.
func objects(t *rapid.T, answer []byte) []byte {
	var a struct {
		Columns  []rows.Column
		Rows     [][]json.RawMessage
		RowCount int `json:"row_count"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	if len(a.Rows) != a.RowCount {
		t.Fatalf("%d rows, row_count %d", len(a.Rows), a.RowCount)
	}
	var out bytes.Buffer
	out.WriteByte('[')
	for i, r := range a.Rows {
		if i > 0 {
			out.WriteByte(',')
		}
		for k, v := range r {
			name, _ := json.Marshal(a.Columns[k].Name)
			out.WriteByte("{,"[min(k, 1)])
			fmt.Fprintf(&out, "%s:%s", name, v)
		}
		out.WriteByte('}')
	}
	out.WriteByte(']')
	return out.Bytes()
}

// What is written in any format is read back as the same rows.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, rec := genBatch(t)
		defer rec.Release()
		bodies := map[rows.Format][]byte{
			rows.JSON:        objects(t, encode(t, rows.OutJSON, s, rec)),
			rows.NDJSON:      encode(t, rows.OutNDJSON, s, rec),
			rows.CSV:         encode(t, rows.OutCSV, s, rec),
			rows.ArrowStream: encode(t, rows.OutArrow, s, rec),
		}
		if rec.NumRows() > 0 { // pqarrow reads nothing back of structs in no rows
			var buf bytes.Buffer
			w, err := pqarrow.NewFileWriter(rec.Schema(), &buf, parquet.NewWriterProperties(), pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
			if err == nil {
				err = w.Write(rec)
			}
			if err == nil {
				err = w.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			bodies[rows.Parquet] = buf.Bytes()
		}
		for f, body := range bodies {
			same(t, f, s, rec, body)
		}
	})
}

// failer is a *testing.T or a *rapid.T.
type failer interface{ Fatal(args ...any) }

func same(t *rapid.T, f rows.Format, s lake.Schema, want arrow.RecordBatch, body []byte) {
	d, err := rows.Decode(context.Background(), f, bytes.NewReader(body), rows.DecodeOptions{Schema: s, BatchRows: 5})
	if err != nil {
		t.Fatalf("%s: %v\n%s", f, err, body)
	}
	defer d.Close()
	at := int64(0)
	for {
		got, err := d.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v\n%q", f, err, body)
		}
		part := want.NewSlice(at, at+got.NumRows())
		if !got.Schema().Equal(want.Schema()) || !array.RecordApproxEqual(got, part, array.WithNaNsEqual(true), array.WithAbsTolerance(0)) {
			t.Fatalf("%s: rows from %d:\ngot  %v\nwant %v\n%q", f, at, got, part, body)
		}
		at += got.NumRows()
		part.Release()
		got.Release()
	}
	if at != want.NumRows() || d.Rows() != at {
		t.Fatalf("%s: %d rows, want %d", f, at, want.NumRows())
	}
}
