package rows_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// stream makes an Arrow stream of one column v from JSON values.
func stream(t testing.TB, dt arrow.DataType, values string, opts ...ipc.Option) []byte {
	t.Helper()
	arr, _, err := array.FromJSON(memory.DefaultAllocator, dt, strings.NewReader(values))
	if err != nil {
		t.Fatalf("%s: %v", dt, err)
	}
	defer arr.Release()
	return streamOf(t, arr, opts...)
}

func streamOf(t testing.TB, arr arrow.Array, opts ...ipc.Option) []byte {
	t.Helper()
	s := arrow.NewSchema([]arrow.Field{{Name: "v", Type: arr.DataType(), Nullable: true}}, nil)
	rec := array.NewRecordBatch(s, []arrow.Array{arr}, int64(arr.Len()))
	defer rec.Release()
	var buf bytes.Buffer
	w := ipc.NewWriter(&buf, append(opts, ipc.WithSchema(s))...)
	if err := w.Write(rec); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestCasts(t *testing.T) {
	ts := func(u arrow.TimeUnit, zone string) arrow.DataType {
		return &arrow.TimestampType{Unit: u, TimeZone: zone}
	}
	dict := func(v arrow.DataType) arrow.DataType {
		return &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: v}
	}
	cases := []struct {
		from   arrow.DataType
		values string
		to     string
		want   string // values joined by space, or ! and what the error says
	}{
		{arrow.PrimitiveTypes.Int8, `[-128,null]`, "BIGINT", `-128 null`},
		{arrow.PrimitiveTypes.Int64, `[1,2147483648]`, "INTEGER", `!row 2, column "v": 2147483648 is out of range for INTEGER`},
		{arrow.PrimitiveTypes.Int64, `[2147483647]`, "INTEGER", `2147483647`},
		{arrow.PrimitiveTypes.Uint64, `[18446744073709551615]`, "DECIMAL(20,0)", `"18446744073709551615"`},
		{arrow.PrimitiveTypes.Uint64, `[18446744073709551615]`, "BIGINT", `!out of range`},
		{arrow.PrimitiveTypes.Int32, `[5]`, "DECIMAL(3,2)", `"5.00"`},
		{arrow.PrimitiveTypes.Int32, `[50]`, "DECIMAL(3,2)", `!out of range`},
		{arrow.PrimitiveTypes.Int32, `[16777217]`, "FLOAT", `!exactly`},
		{arrow.PrimitiveTypes.Int64, `[9007199254740993]`, "DOUBLE", `!exactly`},
		{arrow.PrimitiveTypes.Int64, `[9223372036854775807]`, "DOUBLE", `!exactly`},
		{arrow.PrimitiveTypes.Int64, `[9007199254740992]`, "DOUBLE", `9007199254740992`},
		{arrow.PrimitiveTypes.Float64, `[1,2.5]`, "BIGINT", `!row 2`},
		{arrow.PrimitiveTypes.Float64, `[1e300]`, "BIGINT", `!out of range`},
		{arrow.PrimitiveTypes.Float64, `[3]`, "BIGINT", `3`},
		{arrow.PrimitiveTypes.Float64, `[0.1]`, "FLOAT", `!exactly`},
		{arrow.PrimitiveTypes.Float64, `[0.5]`, "FLOAT", `0.5`},
		{arrow.PrimitiveTypes.Float32, `[0.5]`, "DOUBLE", `0.5`},
		{arrow.PrimitiveTypes.Float64, `[0.5]`, "DECIMAL(3,2)", `!cannot be DECIMAL(3,2) without loss`},
		{&arrow.Decimal128Type{Precision: 10, Scale: 2}, `["1.50"]`, "DECIMAL(5,1)", `"1.5"`},
		{&arrow.Decimal128Type{Precision: 10, Scale: 2}, `["1.55"]`, "DECIMAL(5,1)", `!fraction digits`},
		{&arrow.Decimal128Type{Precision: 10, Scale: 2}, `["123.00"]`, "BIGINT", `123`},
		{&arrow.Decimal128Type{Precision: 38, Scale: 0}, `["99999999999999999999"]`, "BIGINT", `!out of range`},
		{&arrow.Decimal128Type{Precision: 38, Scale: 0}, `["99999999999999999999"]`, "DECIMAL(38,20)", `!out of range`},
		{&arrow.Decimal256Type{Precision: 50, Scale: 2}, `["1.20"]`, "DECIMAL(2,1)", `"1.2"`},
		{arrow.BinaryTypes.LargeString, `["x",null]`, "VARCHAR", `"x" null`},
		{arrow.BinaryTypes.StringView, `["x"]`, "VARCHAR", `"x"`},
		{dict(arrow.BinaryTypes.String), `["x","y","x",null]`, "VARCHAR", `"x" "y" "x" null`},
		{dict(arrow.PrimitiveTypes.Int64), `[7]`, "INTEGER", `7`},
		{arrow.BinaryTypes.String, `["x"]`, "BLOB", `!cannot be BLOB`},
		{arrow.BinaryTypes.String, `["1"]`, "BIGINT", `!cannot be BIGINT`},
		{arrow.BinaryTypes.String, `["2024-01-02"]`, "DATE", `"2024-01-02"`},
		{arrow.BinaryTypes.String, `["x"]`, "DATE", `!not a date`},
		{arrow.BinaryTypes.LargeBinary, `["AAE="]`, "BLOB", `"AAE="`},
		{arrow.BinaryTypes.Binary, `["AAE="]`, "UUID", `!not 16 bytes`},
		{&arrow.FixedSizeBinaryType{ByteWidth: 16}, `["AAECAwQFBgcICQoLDA0ODw=="]`, "UUID", `"00010203-0405-0607-0809-0a0b0c0d0e0f"`},
		{arrow.FixedWidthTypes.Date64, `["2024-01-02"]`, "DATE", `"2024-01-02"`},
		{arrow.FixedWidthTypes.Time32ms, `["01:02:03.004"]`, "TIME", `"01:02:03.004000"`},
		{arrow.FixedWidthTypes.Time64ns, `["01:02:03.000004"]`, "TIME", `"01:02:03.000004"`},
		{arrow.FixedWidthTypes.Time64ns, `["01:02:03.000000004"]`, "TIME", `!finer than microseconds`},
		{ts(arrow.Second, ""), `["2024-01-02T03:04:05"]`, "TIMESTAMP", `"2024-01-02T03:04:05"`},
		{ts(arrow.Second, ""), `[9223372036854775]`, "TIMESTAMP", `!out of range`},
		{ts(arrow.Nanosecond, ""), `["2024-01-02T03:04:05.000001"]`, "TIMESTAMP", `"2024-01-02T03:04:05.000001"`},
		{ts(arrow.Nanosecond, ""), `["2024-01-02T03:04:05.000000001"]`, "TIMESTAMP", `!finer`},
		{ts(arrow.Millisecond, "UTC"), `["2024-01-02T03:04:05Z"]`, "TIMESTAMPTZ", `"2024-01-02T03:04:05Z"`},
		{ts(arrow.Microsecond, "Europe/Paris"), `[0]`, "TIMESTAMPTZ", `"1970-01-01T00:00:00Z"`},
		{ts(arrow.Microsecond, "UTC"), `[0]`, "TIMESTAMP", `!cannot be TIMESTAMP`},
		{ts(arrow.Microsecond, ""), `[0]`, "TIMESTAMPTZ", `!cannot be TIMESTAMP WITH TIME ZONE`},
		{ts(arrow.Microsecond, ""), `[-9223372036854775808]`, "TIMESTAMP", `!out of range`},
		{arrow.FixedWidthTypes.Time64us, `[86400000000]`, "TIME", `!out of range`},
		{arrow.Null, `[null,null]`, "DATE", `null null`},
		{arrow.ListOf(arrow.Null), `[[],[null]]`, "BIGINT[]", `[] [null]`},
		{arrow.ListOf(arrow.PrimitiveTypes.Int8), `[[1,2],null,[]]`, "BIGINT[]", `[1,2] null []`},
		{arrow.LargeListOf(arrow.PrimitiveTypes.Int8), `[[1,2]]`, "BIGINT[]", `[1,2]`},
		{arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Int8), `[[1,2]]`, "BIGINT[]", `[1,2]`},
		{arrow.ListOf(arrow.PrimitiveTypes.Int64), `[[1],[9000000000]]`, "INTEGER[]", `!row 2, column "v[]": 9000000000 is out`},
		{arrow.StructOf(arrow.Field{Name: "B", Type: arrow.PrimitiveTypes.Int8}, arrow.Field{Name: "a", Type: arrow.BinaryTypes.String}), `[{"a":"x","B":1}]`, "STRUCT(a VARCHAR, b BIGINT)", `{"a":"x","b":1}`},
		{arrow.StructOf(arrow.Field{Name: "c", Type: arrow.PrimitiveTypes.Int8}), `[{"c":1}]`, "STRUCT(a VARCHAR)", `!column "c": there is no such`},
		{arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int8), `[[{"key":"x","value":1}]]`, "MAP(VARCHAR, DOUBLE)", `[["x",1]]`},
		{arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int8), `[[{"key":"x","value":1},{"key":"x","value":2}]]`, "MAP(VARCHAR, DOUBLE)", `!one key twice`},
		{arrow.FixedWidthTypes.MonthDayNanoInterval, `[null]`, "VARCHAR", `!month_day_nano_interval`},
	}
	for _, c := range cases {
		body := stream(t, c.from, c.values)
		got, err := decode(t, rows.ArrowStream, bytes.NewReader(body), rows.DecodeOptions{Schema: schema(t, "v "+c.to)})
		if says, bad := strings.CutPrefix(c.want, "!"); bad {
			if err == nil {
				t.Errorf("%s %s to %s: got %s", c.from, c.values, c.to, got)
				continue
			}
			fails(t, err, lake.CodeRowsInvalid, `column "`, says)
			continue
		}
		got = strings.ReplaceAll(strings.ReplaceAll(got, "}\n", " "), `{"v":`, "")
		got = strings.TrimSpace(got)
		if want := strings.ReplaceAll(c.want, "}", ""); err != nil || strings.ReplaceAll(got, "}", "") != want {
			t.Errorf("%s %s to %s: got %s %v, want %s", c.from, c.values, c.to, got, err, c.want)
		}
	}
}

// Nulls, bad text and long rows in columns that need no cast are found too.
func TestArrowValuesAreChecked(t *testing.T) {
	o := rows.DecodeOptions{Schema: schema(t, "v VARCHAR!"), MaxRowBytes: 100}
	body := func(arr arrow.Array) *bytes.Reader { return bytes.NewReader(streamOf(t, arr)) }
	b := array.NewStringBuilder(memory.DefaultAllocator)
	b.AppendValues([]string{"a", "", "b"}, []bool{true, false, true})
	_, err := decode(t, rows.ArrowStream, body(b.NewArray()), o)
	fails(t, err, lake.CodeRowsInvalid, `row 2, column "v": null`)
	b.AppendValues([]string{"a", "b\xff"}, nil)
	_, err = decode(t, rows.ArrowStream, body(b.NewArray()), o)
	fails(t, err, lake.CodeRowsInvalid, `row 2, column "v": "b\xff" is not valid UTF-8`)
	b.AppendValues([]string{strings.Repeat("x", 101), "b"}, nil)
	_, err = decode(t, rows.ArrowStream, body(b.NewArray()), o)
	fails(t, err, lake.CodeTooLarge, `row 1, the row is longer than 100 bytes`)

	d := array.NewDecimal128Builder(memory.DefaultAllocator, &arrow.Decimal128Type{Precision: 3, Scale: 1})
	if err := d.AppendValueFromString("99.9"); err != nil {
		t.Fatal(err)
	}
	bad := array.NewDecimal128Data(array.NewData(&arrow.Decimal128Type{Precision: 2, Scale: 1}, 1, d.NewArray().Data().Buffers(), nil, 0, 0))
	_, err = decode(t, rows.ArrowStream, body(bad), rows.DecodeOptions{Schema: schema(t, "v DECIMAL(2,1)")})
	fails(t, err, lake.CodeRowsInvalid, `row 1, column "v": a value is out of range for DECIMAL(2,1)`)
}

// A short body cannot make the server take what it only claims to hold.
func TestArrowClaimsAreBounded(t *testing.T) {
	zeros := make([]int64, 1<<20)
	b := array.NewInt64Builder(memory.DefaultAllocator)
	b.AppendValues(zeros, nil)
	body := streamOf(t, b.NewArray(), ipc.WithZstd())
	if len(body) > 1<<16 {
		t.Fatalf("%d bytes do not make the point", len(body))
	}
	o := rows.DecodeOptions{Schema: schema(t, "v BIGINT"), MaxBatchBytes: 1 << 20}
	_, err := decode(t, rows.ArrowStream, bytes.NewReader(body), o)
	fails(t, err, lake.CodeInvalidRequest, "more than 3145728 bytes")
	o.MaxBatchBytes = 16 << 20
	if _, err = decode(t, rows.ArrowStream, bytes.NewReader(body), o); err != nil {
		t.Fatal(err)
	}
}

// parquetOf makes a file with the columns a (rows numbers) and b.
func parquetOf(t testing.TB, n int) []byte {
	t.Helper()
	s := arrow.NewSchema([]arrow.Field{{Name: "b", Type: arrow.BinaryTypes.String, Nullable: true}, {Name: "A", Type: arrow.PrimitiveTypes.Int32}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, s)
	for i := range n {
		b.Field(0).(*array.StringBuilder).Append(strings.Repeat("x", i%7))
		b.Field(1).(*array.Int32Builder).Append(int32(i))
	}
	rec := b.NewRecordBatch()
	defer rec.Release()
	var buf bytes.Buffer
	w, err := pqarrow.NewFileWriter(s, &buf, parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd), parquet.WithMaxRowGroupLength(1000)), pqarrow.DefaultWriterProps())
	if err == nil {
		err = w.Write(rec)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestParquetBodies(t *testing.T) {
	body := parquetOf(t, 2500)
	o := rows.DecodeOptions{Schema: schema(t, "a BIGINT!", "b VARCHAR", "c DATE"), Missing: rows.MissingNull, ScratchDir: t.TempDir()}
	for name, r := range map[string]*slowOrNot{"at random": {r: bytes.NewReader(body)}, "spooled": {r: bytes.NewReader(body), hide: true}} {
		recs, err := batches(t, rows.Parquet, r.reader(), o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		at := int64(0)
		for _, rec := range recs {
			a := rec.Column(0).(*array.Int64)
			for i := range a.Len() {
				if a.Value(i) != at || len(rec.Column(1).(*array.String).Value(i)) != int(at%7) {
					t.Fatalf("%s: row %d is %d", name, at, a.Value(i))
				}
				at++
			}
		}
		if at != 2500 {
			t.Errorf("%s: %d rows", name, at)
		}
		release(recs)
	}
	o.Missing = rows.MissingError
	_, err := decode(t, rows.Parquet, bytes.NewReader(body), o)
	fails(t, err, lake.CodeRowsInvalid, `column "c": it is missing`)
	o.ScratchDir = ""
	_, err = decode(t, rows.Parquet, (&slowOrNot{r: bytes.NewReader(body), hide: true}).reader(), o)
	fails(t, err, lake.CodeInternal)
	if got, err := decode(t, rows.Parquet, bytes.NewReader(parquetOf(t, 0)), rows.DecodeOptions{Schema: schema(t, "a BIGINT", "b VARCHAR")}); err != nil || got != "" {
		t.Errorf("no rows: %q %v", got, err)
	}
}

type slowOrNot struct {
	r    *bytes.Reader
	hide bool
}

func (s *slowOrNot) reader() interface{ Read([]byte) (int, error) } {
	if s.hide {
		return slowReader{s.r}
	}
	return s.r
}

type slowReader struct{ r *bytes.Reader }

func (s slowReader) Read(p []byte) (int, error) { return s.r.Read(p) }

func TestFloatCastKeepsSpecials(t *testing.T) {
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	b.AppendValues([]float64{math.NaN(), math.Inf(1)}, nil)
	got, err := decode(t, rows.ArrowStream, bytes.NewReader(streamOf(t, b.NewArray())), rows.DecodeOptions{Schema: schema(t, "v FLOAT")})
	if err != nil || got != "{\"v\":\"NaN\"}\n{\"v\":\"Infinity\"}\n" {
		t.Errorf("%s %v", got, err)
	}
}
