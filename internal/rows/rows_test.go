package rows_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// schema makes a schema from "name TYPE" and "name TYPE!" (not null).
func schema(t testing.TB, cols ...string) lake.Schema {
	t.Helper()
	var s lake.Schema
	for i, c := range cols {
		name, typ, _ := strings.Cut(c, " ")
		typ, required := strings.CutSuffix(typ, "!")
		lt, err := lake.ParseType(typ)
		if err != nil {
			t.Fatal(err)
		}
		s.Columns = append(s.Columns, lake.Column{ID: i + 1, Name: name, Type: lt, Nullable: !required})
	}
	return s
}

// decode reads a body to its end into one text of NDJSON rows.
func decode(t testing.TB, f rows.Format, body io.Reader, o rows.DecodeOptions) (string, error) {
	t.Helper()
	recs, err := batches(t, f, body, o)
	defer release(recs)
	if err != nil {
		return "", err
	}
	var out []byte
	for _, r := range recs {
		for i := range int(r.NumRows()) {
			if out, err = rows.AppendRow(out, r, i); err != nil {
				t.Fatal(err)
			}
			out = append(out, '\n')
		}
	}
	return string(out), nil
}

func batches(t testing.TB, f rows.Format, body io.Reader, o rows.DecodeOptions) (out []arrow.RecordBatch, err error) {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	if o.Alloc == nil {
		o.Alloc = mem
		t.Cleanup(func() {
			if n := mem.CurrentAlloc(); n != 0 {
				t.Errorf("%d bytes of Arrow memory were not released", n)
			}
		})
	}
	d, err := rows.Decode(context.Background(), f, body, o)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	for {
		rec, err := d.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			if _, again := d.Next(); !errors.Is(again, err) {
				t.Errorf("the second error is %v, the first was %v", again, err)
			}
			release(out)
			return nil, err
		}
		if rec.NumRows() == 0 || !rec.Schema().Equal(o.Schema.Arrow()) {
			t.Errorf("batch of %d rows, schema %s", rec.NumRows(), rec.Schema())
		}
		out = append(out, rec)
	}
}

func release(recs []arrow.RecordBatch) {
	for _, r := range recs {
		r.Release()
	}
}

// fails checks an error's code and parts of its message.
func fails(t testing.TB, err error, code lake.Code, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want %s", code)
	}
	if lake.CodeOf(err) != code {
		t.Fatalf("code %s, want %s: %v", lake.CodeOf(err), code, err)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%q does not say %q", err, p)
		}
	}
}

// One value in, as JSON and as a CSV field, and what comes out.
func TestValuesInAndOut(t *testing.T) {
	cases := []struct{ typ, json, csv, want string }{
		{"BOOLEAN", `true`, `TRUE`, `true`},
		{"INTEGER", `-2147483648`, `-2147483648`, `-2147483648`},
		{"INTEGER", `2147483648`, `2147483648`, `! out of range for INTEGER`},
		{"INTEGER", `1e3`, `1e3`, `1000`},
		{"INTEGER", `1.50`, `1.50`, `! more fraction digits`},
		{"BIGINT", `9223372036854775807`, `9223372036854775807`, `9223372036854775807`},
		{"BIGINT", `-9223372036854775808`, `-9223372036854775808`, `-9223372036854775808`},
		{"BIGINT", `9223372036854775808`, `9223372036854775808`, `! out of range`},
		{"BIGINT", `9007199254740993.0`, `9007199254740993.0`, `9007199254740993`},
		{"BIGINT", `"1"`, `x`, `!`},
		{"BIGINT", `true`, `0x10`, `!`},
		{"FLOAT", `1.1`, `1.1`, `1.1`},
		{"FLOAT", `1e39`, `1e39`, `! out of range`},
		{"DOUBLE", `1e308`, `1e308`, `1e+308`},
		{"DOUBLE", `1e309`, `1e309`, `! out of range`},
		{"DOUBLE", `"NaN"`, `nan`, `"NaN"`},
		{"DOUBLE", `"-Infinity"`, `-inf`, `"-Infinity"`},
		{"DOUBLE", `"1.5"`, `0x1p-2`, `! not a number`},
		{"DOUBLE", `-0.0`, `-0.0`, `-0`},
		{"DECIMAL(10,2)", `1.5`, `1.5`, `"1.50"`},
		{"DECIMAL(10,2)", `"-12345678.90"`, `-12345678.90`, `"-12345678.90"`},
		{"DECIMAL(10,2)", `1.500`, `1.500`, `"1.50"`},
		{"DECIMAL(10,2)", `1.501`, `1.501`, `! more fraction digits than DECIMAL(10,2)`},
		{"DECIMAL(10,2)", `100000000`, `100000000`, `! out of range for DECIMAL(10,2)`},
		{"DECIMAL(10,2)", `1e-2`, `1e-2`, `"0.01"`},
		{"DECIMAL(10,2)", `0e99999999999`, `0e99999999999`, `"0.00"`},
		{"DECIMAL(10,2)", `1e99999999999`, `1e99999999999`, `! out of range`},
		{"DECIMAL(10,2)", `1e-99999999999`, `1e-99999999999`, `! fraction digits`},
		{"DECIMAL(38,0)", `99999999999999999999999999999999999999`, `99999999999999999999999999999999999999`, `"99999999999999999999999999999999999999"`},
		{"DECIMAL(38,0)", `-100000000000000000000000000000000000000`, `-100000000000000000000000000000000000000`, `! out of range`},
		{"DECIMAL(38,38)", `0.00000000000000000000000000000000000001`, `.00000000000000000000000000000000000001`, `"0.00000000000000000000000000000000000001"`},
		{"DECIMAL(38,10)", `1.12345678901234567890123456789012345678901`, `1.12345678901234567890123456789012345678901`, `! fraction digits`},
		{"VARCHAR", `"a\"b\\c\n\u00e9\ud83d\ude00"`, "\"a\"\"b\\c\né😀\"", `"a\"b\\c\né😀"`},
		{"VARCHAR", `""`, `""`, `""`},
		{"VARCHAR", `1`, "\xff", `!`},
		{"VARCHAR", "\"\xff\"", "a\xc3", `! UTF-8`},
		{"BLOB", `"AAH/"`, `AAH/`, `"AAH/"`},
		{"BLOB", `"AAE"`, `AAE=`, `"AAE="`},
		{"BLOB", `"%"`, `%`, `! base64`},
		{"UUID", `"12345678-1234-ABCD-1234-123456789abc"`, `1234567812341234123412345678ABCD`, ``},
		{"UUID", `"1234"`, `1234`, `! not a UUID`},
		{"DATE", `"2024-02-29"`, `2024-02-29`, `"2024-02-29"`},
		{"DATE", `"2023-02-29"`, `2023-02-29`, `! not a date`},
		{"DATE", `"-0043-03-15"`, `-0043-03-15`, `"-0043-03-15"`},
		{"DATE", `"10000-01-01"`, `+10000-01-01`, `"+10000-01-01"`},
		{"DATE", `"infinity"`, `Infinity`, `"infinity"`},
		{"DATE", `"-infinity"`, `-infinity`, `"-infinity"`},
		{"DATE", `"5881580-07-11"`, `99999999-01-01`, `! out of range`},
		{"DATE", `"2024-01-02T00:00:00"`, `2024-1-2`, `! not a date`},
		{"TIME", `"23:59:59.999999"`, `23:59:59.999999`, `"23:59:59.999999"`},
		{"TIME", `"01:02"`, `01:02:00`, `"01:02:00"`},
		{"TIME", `"24:00:00"`, `12:60:00`, `! not a time`},
		{"TIME", `"01:02:03.0000001"`, `01:02:03.0000001`, `! finer than microseconds`},
		{"TIMESTAMP", `"2024-01-02T03:04:05.123456000"`, `2024-01-02 03:04:05.123456`, `"2024-01-02T03:04:05.123456"`},
		{"TIMESTAMP", `"2024-01-02"`, `2024-01-02 00:00`, `"2024-01-02T00:00:00"`},
		{"TIMESTAMP", `"2024-01-02T03:04:05Z"`, `2024-01-02T03:04:05+01:00`, `! offset`},
		{"TIMESTAMP", `"1969-12-31T23:59:59.999999"`, `1969-12-31T23:59:59.999999`, `"1969-12-31T23:59:59.999999"`},
		{"TIMESTAMP", `"294247-01-10T04:00:54.775806"`, `294247-01-10T04:00:54.775806`, `"+294247-01-10T04:00:54.775806"`},
		{"TIMESTAMP", `"294247-01-10T04:00:54.775807"`, `294248-01-01`, `! out of range`},
		{"TIMESTAMP", `"-290308-12-22T00:00:00"`, `-290308-12-22`, `"-290308-12-22T00:00:00"`},
		{"TIMESTAMP", `"-290308-12-21T23:59:59"`, `-290309-01-01`, `! out of range`},
		{"TIMESTAMPTZ", `"2024-01-02T03:04:05.5+01:30"`, `2024-01-02 03:04:05.5+0130`, `"2024-01-02T01:34:05.500000Z"`},
		{"TIMESTAMPTZ", `"2024-01-02T03:04:05"`, `2024-01-02T03:04:05Z`, `"2024-01-02T03:04:05Z"`},
		{"TIMESTAMPTZ", `"2024-01-02T03:04:05-08"`, `2024-01-02T11:04:05`, `"2024-01-02T11:04:05Z"`},
		{"TIMESTAMPTZ", `"2024-01-02T03:04:05+"`, `2024-01-02T03:04:05+1`, `! not a timestamp`},
		{"BIGINT[]", `[1,null,3]`, `"[1, null, 3]"`, `[1,null,3]`},
		{"BIGINT[]", `[]`, `[]`, `[]`},
		{"BIGINT[]", `{"a":1}`, `{}`, `! an object where an array`},
		{"BIGINT[]", `["x"]`, `[true]`, `!`},
		{"STRUCT(a BIGINT, b VARCHAR[])", `{"B":["x"],"a":1}`, `"{""a"":1,""b"":[""x""]}"`, `{"a":1,"b":["x"]}`},
		{"STRUCT(a BIGINT)", `{"a":1,"c":2}`, `"{""a"":1,""c"":2}"`, `! no such field`},
		{"STRUCT(a BIGINT)", `{"a":1,"A":2}`, `"{""a"":1,""a"":2}"`, `! twice`},
		{"STRUCT(a BIGINT)", `{}`, `{}`, `! v.a`},
		{"STRUCT(a BIGINT)", `[1]`, `[1`, `!`},
		{"MAP(VARCHAR,DOUBLE)", `[["a",1],["b",null]]`, `"[[""a"",1],[""b"",null]]"`, `[["a",1],["b",null]]`},
		{"MAP(VARCHAR,DOUBLE)", `[["a",1],["\u0061",2]]`, `"[[""a"",1],[""a"",2]]"`, `! one key twice`},
		{"MAP(VARCHAR,DOUBLE)", `[[null,1]]`, `"[[null,1]]"`, `! cannot be null`},
		{"MAP(VARCHAR,DOUBLE)", `[["a"]]`, `"[[""a"",1,2]]"`, `! two parts`},
		{"MAP(VARCHAR,DOUBLE)", `[1]`, `[1]`, `! not a [key, value]`},
	}
	for _, c := range cases {
		s := schema(t, "v "+c.typ)
		for _, in := range []struct {
			f    rows.Format
			body string
		}{
			{rows.JSON, `[{"v":` + c.json + `}]`},
			{rows.JSON, `{"v":` + c.json + `}`},
			{rows.NDJSON, `{"v":` + c.json + "}\n"},
			{rows.CSV, "v\n" + c.csv + "\n"},
		} {
			got, err := decode(t, in.f, strings.NewReader(in.body), rows.DecodeOptions{Schema: s})
			if part, bad := strings.CutPrefix(c.want, "!"); bad {
				if err == nil {
					t.Errorf("%s %s: %s: got %s, want a misfit", c.typ, in.f, in.body, got)
					continue
				}
				fails(t, err, lake.CodeRowsInvalid, "row 1, column ", strings.TrimSpace(part))
				if lake.HintOf(err) == "" {
					t.Errorf("%v has no hint", err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s %s: %s: %v", c.typ, in.f, in.body, err)
			} else if want := `{"v":` + c.want + "}\n"; c.want != "" && got != want {
				t.Errorf("%s %s: %s: got %s want %s", c.typ, in.f, in.body, got, want)
			}
		}
	}
}

func TestBodiesThatDoNotParse(t *testing.T) {
	s := schema(t, "a BIGINT", "b VARCHAR")
	cases := []struct {
		f    rows.Format
		body string
		says string
	}{
		{rows.JSON, ``, "byte 1"},
		{rows.JSON, `   `, "byte 4"},
		{rows.JSON, `1`, "'1' where an array of objects"},
		{rows.JSON, `[{"a":1,"b":"x"}`, "byte 17"},
		{rows.JSON, `[{"a":1,"b":"x"},]`, "']' where a row"},
		{rows.JSON, `[{"a":1,"b":"x"} {}]`, "row 2, byte 18"},
		{rows.JSON, `[{"a":1,"b":"x"}] []`, "'[' where the end"},
		{rows.JSON, `{"a":1,"b":"x"}{}`, "the end of the body"},
		{rows.JSON, `[{"a":1,"b":"x"},{"a":01,"b":""}]`, "row 2"},
		{rows.JSON, `[{"a":1,"b":"x"},{"a":1,"b":"` + "\n" + `"}]`, "control character"},
		{rows.JSON, `[{"a":1,"b":"\ud800"}]`, "surrogate"},
		{rows.JSON, `[{"a":1,"b":"\x"}]`, "unknown escape"},
		{rows.JSON, `[{"a":1,}]`, "a value"},
		{rows.JSON, `[{"a":1]]`, "',' or '}'"},
		{rows.JSON, `[{"a":"x","b":tru}]`, "row 1"}, // a misfit does not hide it
		{rows.JSON, `[{"zz":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}]`, "nested deeper"},
		{rows.NDJSON, "{\"a\":1,\"b\":\"x\"}\n{\"a\":1,\n\"b\":2}", "row 2, byte 24"},
		{rows.NDJSON, `{"a":1,"b":"x"}{"a":1,"b":"x"}`, "byte 16"},
		{rows.CSV, ``, "empty"},
		{rows.CSV, "a,b\n1,\"x", "within quotes"},
		{rows.CSV, "a,b\n1,x\"y\n", "a quote within a field"},
		{rows.CSV, "a,b\n1,\"x\"y\n", "text after the quote"},
		{rows.CSV, "a,b\n1,x\ry\n", "carriage return"},
		{rows.ArrowStream, "", "schema"},
		{rows.ArrowStream, "nonsense", "Arrow stream"},
		{rows.Parquet, "PAR1nonsensePAR1", "Parquet"},
	}
	for _, c := range cases {
		_, err := decode(t, c.f, strings.NewReader(c.body), rows.DecodeOptions{Schema: s})
		if lake.CodeOf(err) != lake.CodeInvalidRequest || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %.40q: %v; want to read %q", c.f, c.body, err, c.says)
		}
	}
}

func TestMisfitsOfColumns(t *testing.T) {
	s := schema(t, "id BIGINT!", "Name VARCHAR", "n INTEGER")
	cases := []struct {
		f       rows.Format
		body    string
		missing rows.MissingPolicy
		want    string // rows, or "!" and parts of the error separated by |
	}{
		{rows.JSON, `[{"id":1,"Name":"a","n":2}]`, 0, "{\"id\":1,\"Name\":\"a\",\"n\":2}\n"},
		{rows.JSON, `[{"n":2,"NAME":"a","ID":1}]`, 0, "{\"id\":1,\"Name\":\"a\",\"n\":2}\n"},
		{rows.JSON, `[]`, 0, ""},
		{rows.NDJSON, "\n \n", 0, ""},
		{rows.JSON, `[{"id":1,"Name":"a"}]`, 0, `!row 1, column "n": it is missing`},
		{rows.JSON, `[{"id":1}]`, rows.MissingNull, "{\"id\":1,\"Name\":null,\"n\":null}\n"},
		{rows.JSON, `[{"n":1}]`, rows.MissingNull, `!column "id": it is missing and cannot be null`},
		{rows.JSON, `[{"id":null}]`, rows.MissingNull, `!column "id": null`},
		{rows.JSON, `[{"id":1,"zz":1}]`, rows.MissingNull, `!column "zz": there is no such column`},
		{rows.JSON, `[{"id":1,"id":1}]`, rows.MissingNull, `!column "id": it comes twice`},
		{rows.JSON, `[{"id":1,"ID":1}]`, rows.MissingNull, `!column "id": it comes twice`},
		{rows.JSON, `[1,[],{"id":1}]`, rows.MissingNull, `!2 of 3 rows do not fit: row 1, the row is not an object; row 2,`},
		{rows.CSV, "n,name,ID\n2,a,1\n", 0, "{\"id\":1,\"Name\":\"a\",\"n\":2}\n"},
		{rows.CSV, "\xef\xbb\xbfid,Name,n\r\n1,,\r\n2,\"\",3\r\n\r\n", 0, "{\"id\":1,\"Name\":null,\"n\":null}\n{\"id\":2,\"Name\":\"\",\"n\":3}\n"},
		{rows.CSV, "id,Name,n\n1,\"a,\"\"b\"\"\n\",2", 0, "{\"id\":1,\"Name\":\"a,\\\"b\\\"\\n\",\"n\":2}\n"},
		{rows.CSV, "id\n1\n", rows.MissingNull, "{\"id\":1,\"Name\":null,\"n\":null}\n"},
		{rows.CSV, "id\n1\n\n", rows.MissingNull, `!row 2, column "id": null`},
		{rows.CSV, "id,Name\n1,x\n", 0, `!column "n": it is missing`},
		{rows.CSV, "id,Name,n,x\n1,x,1,1\n", 0, `!column "x": there is no such column`},
		{rows.CSV, "id,Name,n,N\n1,x,1,1\n", 0, `!column "N": it comes twice`},
		{rows.CSV, "id,Name,n\n1,x\n,y,2\n3,z,4,5\n", 0, `!3 of 3 rows do not fit|row 1, it has 2 fields, the header has 3|row 2, column "id": null|row 3, it has 4`},
	}
	for _, c := range cases {
		got, err := decode(t, c.f, strings.NewReader(c.body), rows.DecodeOptions{Schema: s, Missing: c.missing})
		if says, bad := strings.CutPrefix(c.want, "!"); bad {
			if err == nil {
				t.Errorf("%s: no error", c.body)
				continue
			}
			fails(t, err, lake.CodeRowsInvalid, strings.Split(says, "|")...)
		} else if err != nil || got != c.want {
			t.Errorf("%s: got %s %v, want %s", c.body, got, err, c.want)
		}
	}
}

// The first misfits are named, the others counted, over batches too.
func TestMisfitsAreCounted(t *testing.T) {
	var b strings.Builder
	for i := range 100 {
		if i%10 == 3 {
			b.WriteString("{\"a\":\"x\"}\n")
		} else {
			b.WriteString("{\"a\":1}\n")
		}
	}
	o := rows.DecodeOptions{Schema: schema(t, "a BIGINT"), BatchRows: 7, MaxErrors: 2}
	_, err := decode(t, rows.NDJSON, strings.NewReader(b.String()), o)
	fails(t, err, lake.CodeRowsInvalid, "10 of 100 rows do not fit: row 4, column \"a\"", "; row 14,", "; and 8 more")
	if strings.Contains(err.Error(), "row 24") {
		t.Errorf("more than two are named: %v", err)
	}
}

// Bodies that come byte by byte, in batches of any size, give the same rows.
func TestPieces(t *testing.T) {
	s := schema(t, "a BIGINT", "b VARCHAR")
	want := "{\"a\":1,\"b\":\"x, \\\"y\\\"\\n\"}\n{\"a\":null,\"b\":\"\"}\n{\"a\":3,\"b\":null}\n"
	bodies := map[rows.Format]string{
		rows.JSON:   `[ {"a":1,"b":"x, \"y\"\n"} , {"b":"","a":null},{"a":3,"b":null}]` + "\n",
		rows.NDJSON: strings.ReplaceAll(want, "\n", "\r\n\n"),
		rows.CSV:    "a,b\r\n1,\"x, \"\"y\"\"\n\"\r\n,\"\"\r\n3,",
	}
	for f, body := range bodies {
		for _, batch := range []int{1, 2, 100} {
			got, err := decode(t, f, slow{strings.NewReader(body)}, rows.DecodeOptions{Schema: s, BatchRows: batch})
			if err != nil || got != want {
				t.Errorf("%s in batches of %d: %v\n%s", f, batch, err, got)
			}
		}
	}
}

type slow struct{ r io.Reader }

func (s slow) Read(p []byte) (int, error) { return s.r.Read(p[:min(1, len(p))]) }

// A row over the limit is a misfit, takes no memory, and the next is read.
func TestLongRows(t *testing.T) {
	s := schema(t, "a VARCHAR")
	long := strings.Repeat("x", 300_000)
	for f, body := range map[rows.Format]string{
		rows.JSON:   `[{"a":"` + long + `"},{"a":"y"},{"a":1}]`,
		rows.NDJSON: `{"a":"` + long + "\"}\n{\"a\":\"y\"}\n{\"a\":1}\n",
		rows.CSV:    "a\n\"" + long + "\"\ny\n\xff\n",
	} {
		_, err := decode(t, f, strings.NewReader(body), rows.DecodeOptions{Schema: s, MaxRowBytes: 1000})
		fails(t, err, lake.CodeTooLarge, "2 of 3 rows", "row 1, the row is longer than 1000 bytes", "row 3, column \"a\"")
	}
}

func TestReadErrors(t *testing.T) {
	s := schema(t, "a BIGINT")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	tooLarge := lake.Errorf(lake.CodeTooLarge, "the body is too large")
	for _, f := range []rows.Format{rows.JSON, rows.NDJSON, rows.CSV, rows.ArrowStream} {
		d, err := rows.Decode(ctx, f, strings.NewReader(`[{"a":1}]`), rows.DecodeOptions{Schema: s})
		if err == nil {
			_, err = d.Next()
			d.Close()
		}
		fails(t, err, lake.CodeCancelled)
		_, err = decode(t, f, broken{tooLarge}, rows.DecodeOptions{Schema: s})
		fails(t, err, lake.CodeTooLarge)
		_, err = decode(t, f, broken{io.ErrUnexpectedEOF}, rows.DecodeOptions{Schema: s})
		fails(t, err, lake.CodeInvalidRequest)
	}
	_, err := decode(t, rows.Parquet, broken{tooLarge}, rows.DecodeOptions{Schema: s, ScratchDir: t.TempDir()})
	fails(t, err, lake.CodeTooLarge)
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

func TestAppendRowOfSpecialFloats(t *testing.T) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema(t, "f DOUBLE").Arrow())
	defer b.Release()
	b.Field(0).(*array.Float64Builder).AppendValues([]float64{math.NaN(), math.Inf(-1), 1e21, 1e-7, 0.1}, nil)
	rec := b.NewRecordBatch()
	defer rec.Release()
	var out []byte
	for i := range 5 {
		out, _ = rows.AppendRow(out, rec, i)
	}
	if want := `{"f":"NaN"}{"f":"-Infinity"}{"f":1e+21}{"f":1e-07}{"f":0.1}`; !bytes.Equal(out, []byte(want)) {
		t.Errorf("got %s", out)
	}
}
