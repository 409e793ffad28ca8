package rows_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

func TestJSONAnswer(t *testing.T) {
	s := schema(t, "a BIGINT", "b VARCHAR")
	b := array.NewRecordBuilder(memory.DefaultAllocator, s.Arrow())
	b.Field(0).(*array.Int64Builder).AppendValues([]int64{9007199254740993, 0}, []bool{true, false})
	b.Field(1).(*array.StringBuilder).AppendValues([]string{"x", "<é>\u2028"}, nil)
	rec := b.NewRecordBatch()
	defer rec.Release()
	snapshot := "77"
	var buf bytes.Buffer
	e := rows.NewEncoder(rows.OutJSON, &buf)
	err := errors.Join(
		e.Begin([]rows.Column{{"a", "BIGINT"}, {"b", "VARCHAR"}}, s.Arrow(), rows.Head{
			ReadPoints: map[string]lake.Place{
				"z": {ReadPoint: lake.ReadPoint{TableUUID: "u", Sequence: 3}, Snapshot: &snapshot},
				"m": {ReadPoint: lake.ReadPoint{TableUUID: "v"}},
			},
			ServedFrom: map[string]string{"z": lake.ServedFromParquet},
		}),
		e.Write(rec),
		e.End(rows.Tail{RowCount: 2, ElapsedMS: 1.23456}))
	want := `{"columns":[{"name":"a","type":"BIGINT"},{"name":"b","type":"VARCHAR"}],` +
		`"read_points":{"m":{"table_uuid":"v","sequence":0,"snapshot":null},"z":{"table_uuid":"u","sequence":3,"snapshot":"77"}},` +
		`"served_from":{"z":"parquet"},"rows":[` + "\n" +
		`[9007199254740993,"x"],` + "\n" + `[null,"<é>` + "\u2028" + `"]` + "\n" + `],"row_count":2,"elapsed_ms":1.235}` + "\n"
	if err != nil || buf.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, &buf, want)
	}
}

func TestEmptyAnswers(t *testing.T) {
	s := schema(t, "a BIGINT", "b VARCHAR")
	for f, want := range map[rows.OutFormat]string{
		rows.OutJSON:   `{"columns":[{"name":"a","type":"BIGINT"},{"name":"b","type":"VARCHAR"}],"read_points":{},"served_from":{},"rows":[],"row_count":0,"elapsed_ms":0.000}` + "\n",
		rows.OutNDJSON: "",
		rows.OutCSV:    "a,b\r\n",
	} {
		if got := encode(t, f, s); string(got) != want {
			t.Errorf("%s: %s", f.ContentType(), got)
		}
	}
	r, err := ipc.NewReader(bytes.NewReader(encode(t, rows.OutArrow, s)))
	if err != nil || !r.Schema().Equal(s.Arrow()) || r.Next() {
		t.Errorf("Arrow: %v", err)
	}
}

// Arrow types that query results have and datasets do not.
func TestArrowTypesOfAnswers(t *testing.T) {
	ts := func(u arrow.TimeUnit, zone string) arrow.DataType {
		return &arrow.TimestampType{Unit: u, TimeZone: zone}
	}
	cases := []struct {
		dt     arrow.DataType
		values string
		want   string // as JSON
		csv    string // where it differs from want without quotes
	}{
		{arrow.Null, `[null]`, `null`, `-`},
		{arrow.PrimitiveTypes.Uint64, `[18446744073709551615]`, `18446744073709551615`, ""},
		{arrow.PrimitiveTypes.Int8, `[-1]`, `-1`, ""},
		{arrow.FixedWidthTypes.Float16, `[1.5]`, `1.5`, ""},
		{&arrow.Decimal128Type{Precision: 38}, `["-99999999999999999999999999999999999999"]`, `"-99999999999999999999999999999999999999"`, ""},
		{&arrow.Decimal128Type{Precision: 38, Scale: 38}, `["-0.01"]`, `"-0.01000000000000000000000000000000000000"`, ""},
		{&arrow.Decimal32Type{Precision: 4, Scale: 2}, `["12.34"]`, `"12.34"`, ""},
		{&arrow.Decimal64Type{Precision: 10, Scale: 2}, `["0.34"]`, `"0.34"`, ""},
		{&arrow.Decimal256Type{Precision: 50, Scale: 2}, `["0.34"]`, `"0.34"`, ""},
		{arrow.BinaryTypes.LargeString, `["x\"y"]`, `"x\"y"`, `"x""y"`},
		{arrow.BinaryTypes.StringView, `[" x"]`, `" x"`, `" x"`},
		{arrow.BinaryTypes.BinaryView, `["AA=="]`, `"AA=="`, ""},
		{&arrow.FixedSizeBinaryType{ByteWidth: 1}, `["AA=="]`, `"AA=="`, ""},
		{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint8, ValueType: arrow.BinaryTypes.String}, `["red"]`, `"red"`, ""},
		{ts(arrow.Second, ""), `[-1]`, `"1969-12-31T23:59:59"`, ""},
		{ts(arrow.Millisecond, ""), `[-1]`, `"1969-12-31T23:59:59.999000"`, ""},
		{ts(arrow.Nanosecond, ""), `[1]`, `"1970-01-01T00:00:00.000000001"`, ""},
		{ts(arrow.Nanosecond, "UTC"), `[1000]`, `"1970-01-01T00:00:00.000001Z"`, ""},
		{ts(arrow.Microsecond, "UTC"), `[9223372036854775807]`, `"infinity"`, ""},
		{ts(arrow.Microsecond, ""), `[-9223372036854775807]`, `"-infinity"`, ""},
		{arrow.FixedWidthTypes.Time64us, `[86400000000]`, `"24:00:00"`, ""},
		{arrow.FixedWidthTypes.Time32s, `["01:02:03"]`, `"01:02:03"`, ""},
		{arrow.FixedWidthTypes.Date64, `["1969-12-31"]`, `"1969-12-31"`, ""},
		{arrow.FixedWidthTypes.MonthDayNanoInterval, `[{"months":14,"days":-1,"nanoseconds":3723500000000}]`, `"1 year 2 months -1 day 01:02:03.5"`, ""},
		{arrow.FixedWidthTypes.MonthDayNanoInterval, `[{"months":0,"days":0,"nanoseconds":0}]`, `"00:00:00"`, ""},
		{arrow.FixedWidthTypes.MonthDayNanoInterval, `[{"months":-1,"days":2,"nanoseconds":-1000000000}]`, `"-1 month 2 days -00:00:01"`, ""},
		{arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float32), `[[1,2.5]]`, `[1,2.5]`, `"[1,2.5]"`},
		{arrow.LargeListOf(arrow.BinaryTypes.String), `[["a",null]]`, `["a",null]`, `"[""a"",null]"`},
		{arrow.StructOf(arrow.Field{Name: "", Type: arrow.PrimitiveTypes.Int8}, arrow.Field{Name: "b", Type: arrow.FixedWidthTypes.Boolean}), `[null]`, `null`, `-`},
		{extensions.NewUUIDType(), `["00010203-0405-0607-0809-0a0b0c0d0e0f"]`, `"00010203-0405-0607-0809-0a0b0c0d0e0f"`, ""},
	}
	for _, c := range cases {
		arr, _, err := array.FromJSON(memory.DefaultAllocator, c.dt, strings.NewReader(c.values))
		if err != nil {
			t.Errorf("%s: %v", c.dt, err)
			continue
		}
		got, err := answer(rows.OutNDJSON, c.dt, arr)
		if want := `{"v":` + c.want + "}\n"; err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", c.dt, got, err, want)
		}
		csv := c.csv
		switch csv {
		case "":
			csv = strings.Trim(c.want, `"`)
		case "-":
			csv = ""
		}
		got, err = answer(rows.OutCSV, c.dt, arr)
		if want := "v\r\n" + csv + "\r\n"; err != nil || got != want {
			t.Errorf("%s as CSV: %q %v, want %q", c.dt, got, err, want)
		}
	}
	_, err := answer(rows.OutJSON, arrow.FixedWidthTypes.Duration_s, nil)
	fails(t, err, lake.CodeUnsupported, `column "v"`, "duration")
}

func answer(f rows.OutFormat, dt arrow.DataType, arr arrow.Array) (string, error) {
	s := arrow.NewSchema([]arrow.Field{{Name: "v", Type: dt, Nullable: true}}, nil)
	var buf bytes.Buffer
	e := rows.NewEncoder(f, &buf)
	if err := e.Begin([]rows.Column{{Name: "v", Type: "X"}}, s, rows.Head{}); err != nil {
		return "", err
	}
	rec := array.NewRecordBatch(s, []arrow.Array{arr}, int64(arr.Len()))
	defer rec.Release()
	if err := e.Write(rec); err != nil {
		return "", err
	}
	err := e.End(rows.Tail{})
	return buf.String(), err
}

func TestNamesAreMadeUnique(t *testing.T) {
	dt := arrow.PrimitiveTypes.Int64
	var fields []arrow.Field
	var cols []rows.Column
	for _, n := range []string{"a", "A", "a_1", "b", "a"} {
		fields = append(fields, arrow.Field{Name: n, Type: dt})
		cols = append(cols, rows.Column{Name: n, Type: "BIGINT"})
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	for i := range fields {
		b.Field(i).(*array.Int64Builder).Append(int64(i))
	}
	rec := b.NewRecordBatch()
	var buf bytes.Buffer
	e := rows.NewEncoder(rows.OutNDJSON, &buf)
	if err := errors.Join(e.Begin(cols, rec.Schema(), rows.Head{}), e.Write(rec), e.End(rows.Tail{})); err != nil {
		t.Fatal(err)
	}
	if want := `{"a":0,"A_1":1,"a_1_1":2,"b":3,"a_2":4}` + "\n"; buf.String() != want {
		t.Errorf("got %s want %s", &buf, want)
	}
}

// An answer goes out in pieces that grow, and nothing is held.
func TestAnswersStream(t *testing.T) {
	s := schema(t, "a BIGINT", "b VARCHAR")
	for _, f := range []rows.OutFormat{rows.OutJSON, rows.OutNDJSON, rows.OutCSV, rows.OutArrow} {
		w := &sizes{}
		e := rows.NewEncoder(f, w)
		if err := e.Begin(columnsOf(s), s.Arrow(), rows.Head{}); err != nil || len(w.n) > 0 {
			t.Fatalf("%v %v", err, w.n)
		}
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		b := array.NewRecordBuilder(mem, s.Arrow())
		for range 200 {
			for i := range 2048 {
				b.Field(0).(*array.Int64Builder).Append(int64(i))
				b.Field(1).(*array.StringBuilder).Append("some text")
			}
			rec := b.NewRecordBatch()
			if err := e.Write(rec); err != nil {
				t.Fatal(err)
			}
			rec.Release()
			if n := mem.CurrentAlloc(); n != 0 {
				t.Fatalf("%s: %d bytes held after Write", f.ContentType(), n)
			}
		}
		b.Release()
		if err := e.End(rows.Tail{}); err != nil {
			t.Fatal(err)
		}
		if f != rows.OutArrow && w.n[0] > 5000 {
			t.Errorf("%s: the first piece has %d bytes", f.ContentType(), w.n[0])
		}
		for _, n := range w.n[len(w.n)/2 : len(w.n)-1] {
			if n < 128<<10 || n > 1<<20 {
				t.Errorf("%s: a piece of %d bytes", f.ContentType(), n)
				break
			}
		}
	}
}

type sizes struct{ n []int }

func (s *sizes) Write(p []byte) (int, error) { s.n = append(s.n, len(p)); return len(p), nil }

func TestEncoderKeepsItsOrder(t *testing.T) {
	s := schema(t, "a BIGINT")
	b := array.NewRecordBuilder(memory.DefaultAllocator, s.Arrow())
	rec := b.NewRecordBatch()
	e := rows.NewEncoder(rows.OutCSV, io.Discard)
	fails(t, e.Write(rec), lake.CodeInternal, "out of order")
	if err := errors.Join(e.Begin(columnsOf(s), s.Arrow(), rows.Head{}), e.End(rows.Tail{})); err != nil {
		t.Fatal(err)
	}
	fails(t, e.End(rows.Tail{}), lake.CodeInternal, "out of order")
	gone := fmt.Errorf("gone")
	e = rows.NewEncoder(rows.OutCSV, brokenWriter{gone})
	if err := errors.Join(e.Begin(columnsOf(s), s.Arrow(), rows.Head{}), e.End(rows.Tail{})); !errors.Is(err, gone) {
		t.Errorf("%v is not the writer's error", err)
	}
}

type brokenWriter struct{ err error }

func (b brokenWriter) Write([]byte) (int, error) { return 0, b.err }
