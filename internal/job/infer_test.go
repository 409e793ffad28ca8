package job_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// nd makes NDJSON of values of x, of which the first may be a whole line.
func nd(values ...string) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteString(`{"x": ` + v + "}\n")
	}
	return b.String()
}

// manyNames is an object that would be a struct of more fields than there may be.
var manyNames = func() string {
	var b strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&b, `, "n%d": %d`, i, i)
	}
	return "{" + b.String()[2:] + "}"
}()

// TestImportKeepsWhatTextSays creates of text and appends the same text: the type
// of the column x, and its values as the answer spells them.
func TestImportKeepsWhatTextSays(t *testing.T) {
	db := openSQL(t)
	for name, c := range map[string]struct {
		format rows.Format
		text   string
		typ    string
		want   []string
	}{
		// Whole numbers.
		"small":            {rows.CSV, "x\n0\n-1\n9223372036854775807\n", "BIGINT", []string{"0", "-1", "9223372036854775807"}},
		"beyond 64 bits":   {rows.CSV, "x\n9223372036854775808\n1\n", "DECIMAL(38,0)", []string{"9223372036854775808", "1"}},
		"HUGEINT":          {rows.NDJSON, nd("18446744073709551616", "-5"), "DECIMAL(38,0)", []string{"18446744073709551616", "-5"}},
		"beyond 38 digits": {rows.NDJSON, nd("1234567890123456789012345678901234567890", "1"), "VARCHAR", []string{"1234567890123456789012345678901234567890", "1"}},
		"leading zeros":    {rows.CSV, "x\n007\n1\n", "VARCHAR", []string{"007", "1"}},
		"plus":             {rows.CSV, "x\n+4930123\n", "VARCHAR", []string{"+4930123"}},
		"hexadecimal":      {rows.CSV, "x\n0x1A\n1\n", "VARCHAR", []string{"0x1A", "1"}},
		"underscores":      {rows.CSV, "x\n1_000\n", "VARCHAR", []string{"1_000"}},
		"blanks":           {rows.CSV, "x,y\n 5,1\n", "VARCHAR", []string{" 5"}},

		// Others.
		"double":               {rows.CSV, "x\n0.1\n1e3\n.5\n1.50\n7\n-0.30000000000000004\n", "DOUBLE", []string{"0.1", "1000.0", "0.5", "1.5", "7.0", "-0.30000000000000004"}},
		"17 digits":            {rows.CSV, "x\n-72.886806000000007\n0.10000000000000001\n", "DOUBLE", []string{"-72.886806", "0.1"}},
		"18 digits":            {rows.CSV, "x\n0.100000000000000001\n", "DECIMAL(38,18)", []string{"0.100000000000000001"}},
		"large powers of two":  {rows.CSV, "x\n18446744073709551616\n0.5\n", "DECIMAL(38,1)", []string{"18446744073709551616.0", "0.5"}},
		"integer and double":   {rows.NDJSON, nd("9007199254740993", "1.5"), "DECIMAL(38,1)", []string{"9007199254740993.0", "1.5"}},
		"too long for double":  {rows.CSV, "x\n12345678901234567.01\n1\n", "DECIMAL(38,2)", []string{"12345678901234567.01", "1.00"}},
		"many fraction digits": {rows.NDJSON, nd("3.14159265358979323846"), "DECIMAL(38,20)", []string{"3.14159265358979323846"}},
		"beyond double":        {rows.CSV, "x\n1e400\n1\n", "VARCHAR", []string{"1e400", "1"}},
		"beyond double (JSON)": {rows.JSON, `[{"x": 1e400}, {"x": 1.5}]`, "VARCHAR", []string{"1e400", "1.5"}},
		"below double":         {rows.CSV, "x\n1e-400\n1\n", "VARCHAR", []string{"1e-400", "1"}},
		"neither":              {rows.CSV, "x\n0.12345678901234567890123456789\n12345678901234567890\n", "VARCHAR", []string{"0.12345678901234567890123456789", "12345678901234567890"}},
		"NaN (JSON)":           {rows.NDJSON, nd("1.5", `"NaN"`, `"Infinity"`, `"-Infinity"`), "DOUBLE", []string{"1.5", "nan", "inf", "-inf"}},
		"NaN (CSV)":            {rows.CSV, "x\nNaN\n-Infinity\n2\n", "DOUBLE", []string{"nan", "-inf", "2.0"}},
		"NaN is a name":        {rows.CSV, "x\nNan\nInf\n", "VARCHAR", []string{"Nan", "Inf"}},

		// Words.
		"booleans":         {rows.CSV, "x\ntrue\nFALSE\n", "BOOLEAN", []string{"true", "false"}},
		"yes and t":        {rows.CSV, "x\nyes\nt\n", "VARCHAR", []string{"yes", "t"}},
		"boolean and text": {rows.CSV, "x\nTRUE\nmaybe\n", "VARCHAR", []string{"TRUE", "maybe"}},
		"empty string":     {rows.CSV, "x,y\n\"\",1\n5,1\n,1\n", "VARCHAR", []string{"", "5", "NULL"}},
		"NA":               {rows.CSV, "x\nNA\n5\n", "VARCHAR", []string{"NA", "5"}},
		"single quotes":    {rows.CSV, "x,y\n'a',1\n'b',2\n", "VARCHAR", []string{"'a'", "'b'"}},
		"nothing":          {rows.CSV, "x,y\n,1\n,2\n", "VARCHAR", []string{"NULL", "NULL"}},
		"UUID":             {rows.NDJSON, nd(`"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"`), "UUID", []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}},
		"UUID in capitals": {rows.NDJSON, nd(`"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"`), "VARCHAR", []string{"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"}},

		// Dates and times.
		"dates":                {rows.NDJSON, nd(`"2024-01-02"`, "null"), "DATE", []string{"2024-01-02", "NULL"}},
		"short years":          {rows.NDJSON, nd(`"12-10-05"`), "VARCHAR", []string{"12-10-05"}},
		"epoch":                {rows.NDJSON, nd(`"epoch"`), "VARCHAR", []string{"epoch"}},
		"day first":            {rows.NDJSON, nd(`"13-02-2024"`, `"01-02-2024 10:00:00 PM"`), "VARCHAR", []string{"13-02-2024", "01-02-2024 10:00:00 PM"}},
		"slashes":              {rows.CSV, "x\n13/02/2024\n", "VARCHAR", []string{"13/02/2024"}},
		"no such day":          {rows.CSV, "x\n2024-02-30\n", "VARCHAR", []string{"2024-02-30"}},
		"date and infinity":    {rows.CSV, "x\n2024-01-01\ninfinity\n", "DATE", []string{"2024-01-01", "infinity"}},
		"time and date":        {rows.NDJSON, nd(`"10:00:00"`, `"2024-01-02"`), "VARCHAR", []string{"10:00:00", "2024-01-02"}},
		"date and timestamp":   {rows.CSV, "x\n2024-01-02\n2024-01-02 03:04:05\n", "TIMESTAMP", []string{"2024-01-02 00:00:00", "2024-01-02 03:04:05"}},
		"times":                {rows.CSV, "x\n03:04:05.123456\n", "TIME", []string{"03:04:05.123456"}},
		"finer times":          {rows.CSV, "x\n03:04:05.1234567\n", "VARCHAR", []string{"03:04:05.1234567"}},
		"finer timestamps":     {rows.CSV, "x\n2024-01-02 03:04:05.123456789\n", "VARCHAR", []string{"2024-01-02 03:04:05.123456789"}},
		"finer in JSON":        {rows.NDJSON, nd(`"2024-01-02T03:04:05.123456789"`), "VARCHAR", []string{"2024-01-02T03:04:05.123456789"}},
		"whole microseconds":   {rows.NDJSON, nd(`"2024-01-02T03:04:05.123456000"`), "TIMESTAMP", []string{"2024-01-02 03:04:05.123456"}},
		"offsets":              {rows.NDJSON, nd(`"2024-01-02T03:04:05+02:00"`, `"2024-01-02T03:04:05Z"`), "TIMESTAMP WITH TIME ZONE", []string{"2024-01-02 01:04:05+00", "2024-01-02 03:04:05+00"}},
		"offsets in CSV":       {rows.CSV, "x\n2024-01-02T03:04:05Z\n", "TIMESTAMP WITH TIME ZONE", []string{"2024-01-02 03:04:05+00"}},
		"with and without one": {rows.NDJSON, nd(`"2024-01-02T03:04:05+02:00"`, `"2024-01-02T03:04:05"`), "VARCHAR", []string{"2024-01-02T03:04:05+02:00", "2024-01-02T03:04:05"}},

		// JSON of several kinds.
		"string and number":  {rows.NDJSON, nd(`"x"`, "1.50", "true", "null"), "VARCHAR", []string{"x", "1.50", "true", "NULL"}},
		"number as a string": {rows.NDJSON, nd(`"40.50"`), "VARCHAR", []string{"40.50"}},
		"true as a string":   {rows.NDJSON, nd("true", `"true"`), "VARCHAR", []string{"true", "true"}},
		"object and string":  {rows.JSON, `[{"x": {"a": [1, "q"]}}, {"x": "s"}]`, "VARCHAR", []string{`{"a": [1, "q"]}`, "s"}},
		"lists":              {rows.NDJSON, nd("[1, null]", "[]"), "BIGINT[]", []string{"[1, NULL]", "[]"}},
		"lists of kinds":     {rows.NDJSON, nd(`[1, "a"]`), "VARCHAR[]", []string{"[1, a]"}},
		"pairs":              {rows.NDJSON, nd(`[["k", 1]]`), "VARCHAR[][]", []string{"[[k, 1]]"}},
		"objects":            {rows.NDJSON, nd(`{"a": 1}`, `{"A": 2, "b": [1.5]}`), "STRUCT(a BIGINT, b DOUBLE[])", []string{"{'a': 1, 'b': NULL}", "{'a': 2, 'b': [1.5]}"}},
		"many names":         {rows.NDJSON, nd(manyNames), "VARCHAR", []string{manyNames}},
		"empty objects":      {rows.NDJSON, nd("{}"), "VARCHAR", []string{"{}"}},
		"absent":             {rows.NDJSON, `{"x": 1, "y": 1}` + "\n" + `{"y": 2}` + "\n" + `{"X": 3, "y": 1}`, "BIGINT", []string{"1", "NULL", "3"}},
		"escapes":            {rows.NDJSON, nd(`"a\"b\u00e9"`), "VARCHAR", []string{`a"bé`}},
		"deep":               {rows.NDJSON, nd(strings.Repeat("[", 40) + strings.Repeat("]", 40)), "VARCHAR" + strings.Repeat("[]", 11), []string{strings.Repeat("[", 11) + "'" + strings.Repeat("[", 29) + strings.Repeat("]", 29) + "'" + strings.Repeat("]", 11)}},

		// Dialects of CSV.
		"semicolons":     {rows.CSV, "x;y\n1,5;2\n", "VARCHAR", []string{"1,5"}},
		"tabs":           {rows.CSV, "x\ty\r\n1\t\"a\tb\"\r\n", "BIGINT", []string{"1"}},
		"in the header":  {rows.CSV, "x,\"a;b;c\"\n1,2\n", "BIGINT", []string{"1"}},
		"byte order":     {rows.CSV, "\xef\xbb\xbfx\n1\n", "BIGINT", []string{"1"}},
		"doubled quotes": {rows.CSV, "x\n\"a\"\"b\"\n", "VARCHAR", []string{`a"b`}},
	} {
		t.Run(name, func(t *testing.T) {
			in := write(t, "in", c.format, c.text)
			created := must(t)(importing(t, job.Inside{}, job.Import{Files: []job.InputFile{in}}))
			if got := created.Schema.Columns[0]; got.Name != "x" || got.Type.SQL() != c.typ {
				t.Fatalf("%s %s where x %s is expected", got.Name, got.Type, c.typ)
			}
			appended := must(t)(importing(t, job.Inside{}, job.Import{Files: []job.InputFile{in}, Schema: created.Schema}))
			for which, res := range map[string]job.Result{"create": created, "append": appended} {
				if got := db.rows("SELECT x FROM read_parquet(%s)", files(res.Outputs)); !slices.Equal(got, c.want) {
					t.Errorf("%s: %q where %q is expected", which, got, c.want)
				}
			}
		})
	}
}

// TestImportRefusesText is about files that no type keeps, or that are none of
// their format: a create says of them what an append does.
func TestImportRefusesText(t *testing.T) {
	for name, c := range map[string]struct {
		format rows.Format
		text   string
		code   lake.Code
		says   []string
	}{
		"names that differ in case":   {rows.NDJSON, `{"a": 1}` + "\n" + `{"a": 1, "A": 2}`, lake.CodeRowsInvalid, []string{"in.file", "row 2", `"a"`, `"A"`}},
		"a name twice":                {rows.JSON, `[{"a": 1, "a": 2}]`, lake.CodeRowsInvalid, []string{"in.file", "row 1", `"a"`, "twice"}},
		"a name twice within":         {rows.JSON, `[{"a": {"b": 1, "B": 2}}]`, lake.CodeRowsInvalid, []string{"row 1", `"b"`, `"B"`}},
		"a name that is empty":        {rows.JSON, `[{"a": 1, "": 2}]`, lake.CodeRowsInvalid, []string{"row 1", "empty name"}},
		"a header in two cases":       {rows.CSV, "a,A\n1,2\n", lake.CodeInvalidRequest, []string{"in.file", `"a"`, `"A"`}},
		"a header with a gap":         {rows.CSV, "a,,c\n1,2,3\n", lake.CodeInvalidRequest, []string{"column 2 of 3"}},
		"a header without names":      {rows.CSV, "a;;c\n1;2;3\n", lake.CodeInvalidRequest, []string{"column 2 of 3"}},
		"a reserved name":             {rows.CSV, "_tarn_op\n1\n", lake.CodeInvalidRequest, []string{"_tarn_op"}},
		"carriage returns alone":      {rows.CSV, "a,b\r1,2\r", lake.CodeInvalidRequest, []string{"carriage return"}},
		"a backslash before a quote":  {rows.CSV, "a,b\n\"x\\\"y\",1\n", lake.CodeInvalidRequest, []string{"row 1"}},
		"a comma too many":            {rows.NDJSON, `{"a":1,}`, lake.CodeInvalidRequest, []string{"row 1"}},
		"a bare NaN":                  {rows.NDJSON, `{"a":NaN}`, lake.CodeInvalidRequest, []string{"row 1"}},
		"objects one after the other": {rows.JSON, `{"a":1} {"a":2}`, lake.CodeInvalidRequest, []string{"byte 9"}},
		"a row that is no object":     {rows.NDJSON, "{\"a\":1}\n[1]\n", lake.CodeRowsInvalid, []string{"row 2"}},
		"bytes that are no UTF-8":     {rows.CSV, "a\nx\n\xff\n", lake.CodeRowsInvalid, []string{"row 2", `"a"`}},
		"nothing at all":              {rows.CSV, "", lake.CodeInvalidRequest, []string{"empty"}},
		"no row":                      {rows.JSON, "[]", lake.CodeInvalidRequest, []string{"at least one column"}},
		"a row over the limit":        {rows.NDJSON, `{"a": "` + strings.Repeat("x", 2000) + `"}`, lake.CodeTooLarge, []string{"row 1", "1000"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := write(t, "in.file", c.format, c.text)
			_, err := importing(t, job.Inside{}, job.Import{Files: []job.InputFile{in}, MaxRowBytes: 1000})
			wantCode(t, err, c.code, c.says...)
		})
	}
}

// TestAppendNeedsEveryColumn: a row of JSON may lack a column, a file may not.
func TestAppendNeedsEveryColumn(t *testing.T) {
	both := write(t, "both", rows.NDJSON, `{"a": 1, "b": 2}`)
	s := must(t)(importing(t, job.Inside{}, job.Import{Files: []job.InputFile{both}})).Schema
	_, err := importing(t, job.Inside{}, job.Import{Schema: s, Files: []job.InputFile{write(t, "one", rows.NDJSON, nd()+`{"a": 1}`)}})
	wantCode(t, err, lake.CodeRowsInvalid, "one", `"b"`, "missing")
	must(t)(importing(t, job.Inside{}, job.Import{Schema: s, Files: []job.InputFile{write(t, "none", rows.NDJSON, "")}}))
}

// TestImportUnifiesText finds one type for a column of several files.
func TestImportUnifiesText(t *testing.T) {
	db := openSQL(t)
	csv := func(text string) job.InputFile { return write(t, "in.csv", rows.CSV, "x\n"+text) }
	for name, c := range map[string]struct {
		in   []job.InputFile
		typ  string
		want []string
	}{
		"CSV and JSON":           {[]job.InputFile{csv("1\n"), write(t, "b", rows.NDJSON, nd(`"a"`, "2"))}, "VARCHAR", []string{"1", "a", "2"}},
		"no double for both":     {[]job.InputFile{csv("9007199254740993\n"), csv("0.5\n")}, "DECIMAL(38,1)", []string{"9007199254740993.0", "0.5"}},
		"decimals of a file":     {[]job.InputFile{db.parquet("p", "SELECT 1.5::DECIMAL(6,2) AS x"), csv("2.25\n3\n")}, "DECIMAL(6,2)", []string{"1.50", "2.25", "3.00"}},
		"text of a file":         {[]job.InputFile{csv("1.50\n"), db.parquet("p", "SELECT 'q' AS x")}, "VARCHAR", []string{"1.50", "q"}},
		"integers and a double":  {[]job.InputFile{db.parquet("p", "SELECT 1 AS x"), csv("1.5\n")}, "DOUBLE", []string{"1.0", "1.5"}},
		"timestamps of a file":   {[]job.InputFile{db.parquet("p", "SELECT TIMESTAMP '2024-01-02 03:04:05' AS x"), csv("2024-01-02\n")}, "TIMESTAMP", []string{"2024-01-02 03:04:05", "2024-01-02 00:00:00"}},
		"nested JSON and a file": {[]job.InputFile{db.parquet("p", "SELECT {'a': 1, 'b': 'x'} AS x"), write(t, "b", rows.NDJSON, nd(`{"b": 7}`))}, "STRUCT(a BIGINT, b VARCHAR)", []string{"{'a': 1, 'b': x}", "{'a': NULL, 'b': 7}"}},
	} {
		t.Run(name, func(t *testing.T) {
			res := must(t)(importing(t, job.Inside{}, job.Import{Files: c.in}))
			if got := res.Schema.Columns[0].Type.SQL(); got != c.typ {
				t.Fatalf("%s where %s is expected", got, c.typ)
			}
			if got := db.rows("FROM read_parquet(%s)", files(res.Outputs)); !slices.Equal(got, c.want) {
				t.Fatalf("%q where %q is expected", got, c.want)
			}
		})
	}
	_, err := importing(t, job.Inside{}, job.Import{Files: []job.InputFile{db.parquet("p", "SELECT 1.5::DOUBLE AS x"), csv("9007199254740993\n")}})
	wantCode(t, err, lake.CodeRowsInvalid, `"x"`, "DOUBLE in p", "BIGINT in in.csv")
}

// parquetOf writes a column x of an Arrow type, of values in Arrow's JSON.
func parquetOf(t testing.TB, dt arrow.DataType, values string, more ...pqarrow.WriterOption) job.InputFile {
	t.Helper()
	arr, _, err := array.FromJSON(memory.DefaultAllocator, dt, strings.NewReader(values))
	if err != nil {
		t.Fatal(err)
	}
	defer arr.Release()
	return parquetOfColumns(t, []arrow.Field{{Name: "x", Type: dt, Nullable: true}}, []arrow.Array{arr}, more...)
}

func parquetOfColumns(t testing.TB, fields []arrow.Field, columns []arrow.Array, more ...pqarrow.WriterOption) job.InputFile {
	t.Helper()
	rec := array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(columns[0].Len()))
	defer rec.Release()
	var b bytes.Buffer
	w, err := pqarrow.NewFileWriter(rec.Schema(), &b, parquet.NewWriterProperties(parquet.WithMaxRowGroupLength(2)), pqarrow.NewArrowWriterProperties(more...))
	if err == nil {
		err = w.Write(rec)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "in.parquet")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return job.InputFile{Path: path, Name: "in.parquet", Format: rows.Parquet}
}

// TestImportKeepsWhatParquetSays creates of Parquet and appends the same file.
func TestImportKeepsWhatParquetSays(t *testing.T) {
	db := openSQL(t)
	ns := &arrow.TimestampType{Unit: arrow.Nanosecond}
	nsUTC := &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}
	int96 := pqarrow.WithDeprecatedInt96Timestamps(true)
	json, err := extensions.NewJSONType(arrow.BinaryTypes.String)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		in   job.InputFile
		typ  string
		want []string
	}{
		"ns":               {parquetOf(t, ns, `["2024-01-02T03:04:05.123456", null]`), "TIMESTAMP", []string{"2024-01-02 03:04:05.123456", "NULL"}},
		"ns in UTC":        {parquetOf(t, nsUTC, `[null, "2024-01-02T03:04:05.123456Z", "1969-12-31T23:59:59.999999Z"]`), "TIMESTAMP WITH TIME ZONE", []string{"NULL", "2024-01-02 03:04:05.123456+00", "1969-12-31 23:59:59.999999+00"}},
		"ns in lists":      {parquetOf(t, arrow.ListOf(ns), `[["2024-01-02T03:04:05.123456", null], [], null]`), "TIMESTAMP[]", []string{"['2024-01-02 03:04:05.123456', NULL]", "[]", "NULL"}},
		"times in ns":      {parquetOf(t, arrow.FixedWidthTypes.Time64ns, `["01:02:03.000004", null]`), "TIME", []string{"01:02:03.000004", "NULL"}},
		"INT96":            {parquetOf(t, ns, `["2024-01-02T03:04:05.123456", null, "1900-01-01T00:00:00"]`, int96), "TIMESTAMP", []string{"2024-01-02 03:04:05.123456", "NULL", "1900-01-01 00:00:00"}},
		"INT96 in structs": {parquetOf(t, arrow.StructOf(arrow.Field{Name: "a", Type: arrow.ListOf(ns), Nullable: true}), `[{"a": ["2024-01-02T03:04:05"]}, null]`, int96), "STRUCT(a TIMESTAMP[])", []string{"{'a': ['2024-01-02 03:04:05']}", "NULL"}},
		"JSON":             {parquetOf(t, json, `["{\"a\":  1}", null]`), "VARCHAR", []string{`{"a":  1}`, "NULL"}},
		"maps":             {parquetOf(t, arrow.MapOf(arrow.BinaryTypes.String, arrow.ListOf(arrow.PrimitiveTypes.Int64)), `[[{"key": "a", "value": [1, 1]}, {"key": "b", "value": null}], null, []]`), "MAP(VARCHAR, BIGINT[])", []string{"{a=[1, 1], b=NULL}", "NULL", "{}"}},
		"decimals":         {parquetOf(t, &arrow.Decimal128Type{Precision: 38, Scale: 2}, `["999999999999999999999999999999999999.99"]`), "DECIMAL(38,2)", []string{"999999999999999999999999999999999999.99"}},
	} {
		t.Run(name, func(t *testing.T) {
			created := must(t)(importing(t, job.Inside{}, job.Import{Files: []job.InputFile{c.in}}))
			if got := created.Schema.Columns[0].Type.SQL(); got != c.typ {
				t.Fatalf("%s where %s is expected", got, c.typ)
			}
			appended := must(t)(importing(t, job.Inside{}, job.Import{Files: []job.InputFile{c.in}, Schema: created.Schema}))
			for which, res := range map[string]job.Result{"create": created, "append": appended} {
				if got := db.rows("FROM read_parquet(%s)", files(res.Outputs)); !slices.Equal(got, c.want) {
					t.Errorf("%s: %q where %q is expected", which, got, c.want)
				}
			}
		})
	}
}

func TestImportRefusesParquet(t *testing.T) {
	ns := &arrow.TimestampType{Unit: arrow.Nanosecond}
	nsUTC := &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}
	wide := &arrow.Decimal256Type{Precision: 40}
	long := func(name string) arrow.Field { return arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Int64} }
	ones, _, err := array.FromJSON(memory.DefaultAllocator, arrow.PrimitiveTypes.Int64, strings.NewReader("[1]"))
	if err != nil {
		t.Fatal(err)
	}
	const fine = "2024-01-02T03:04:05.123456789"
	for name, c := range map[string]struct {
		in   job.InputFile
		code lake.Code
		says []string
	}{
		"a decimal of 40 digits": {parquetOf(t, wide, `["1234567890123456789012345678901234567890"]`), lake.CodeUnsupported, []string{`"x"`, "DECIMAL(40,0)"}},
		"one in a list":          {parquetOf(t, arrow.ListOf(wide), `[["1"]]`), lake.CodeUnsupported, []string{`"x.`, "DECIMAL(40,0)"}},
		"ns":                     {parquetOf(t, ns, `["2024-01-02T03:04:05", null, "`+fine+`"]`), lake.CodeRowsInvalid, []string{"row 3", `"x"`, "05.123456789"}},
		"ns in UTC":              {parquetOf(t, nsUTC, `["2024-01-02T03:04:05Z", null, null, "`+fine+`Z"]`), lake.CodeRowsInvalid, []string{"row 4", `"x"`, "05.123456789"}},
		"ns in lists":            {parquetOf(t, arrow.ListOf(nsUTC), `[["2024-01-02T03:04:05Z", null], [], null, [null, "`+fine+`Z"]]`), lake.CodeRowsInvalid, []string{"row 4", `"x.`}},
		"times in ns":            {parquetOf(t, arrow.FixedWidthTypes.Time64ns, `["01:02:03.000000004"]`), lake.CodeRowsInvalid, []string{"row 1", "01:02:03.000000004"}},
		"INT96":                  {parquetOf(t, ns, `[null, "`+fine+`"]`, pqarrow.WithDeprecatedInt96Timestamps(true)), lake.CodeRowsInvalid, []string{"row 2", `"x"`}},
		"names that differ in case": {parquetOfColumns(t, []arrow.Field{long("a"), long("A")}, []arrow.Array{ones, ones}), lake.CodeInvalidRequest,
			[]string{`"a"`, `"A"`}},
		"such names within": {parquetOf(t, arrow.StructOf(long("a"), long("A")), `[{"a": 1, "A": 2}]`), lake.CodeInvalidRequest, []string{`"x.a"`, `"x.A"`}},
		"a key twice": {parquetOf(t, arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64), `[[{"key": "a", "value": 1}], null, [{"key": "b", "value": 1}, {"key": "b", "value": 2}]]`),
			lake.CodeRowsInvalid, []string{"row 3", `"x"`, "one key twice"}},
		"one within": {parquetOf(t, arrow.ListOf(arrow.StructOf(arrow.Field{Name: "A b", Type: arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64), Nullable: true})),
			`[[], [null, {"A b": [{"key": "b", "value": 1}, {"key": "b", "value": 2}]}]]`), lake.CodeRowsInvalid, []string{"row 2", `"x"`, "one key twice"}},
		"no name": {parquetOfColumns(t, []arrow.Field{long("a"), long("")}, []arrow.Array{ones, ones}), lake.CodeInvalidRequest, []string{"column 2 of 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := importing(t, job.Inside{}, job.Import{Files: []job.InputFile{c.in}})
			wantCode(t, err, c.code, append(c.says, "in.parquet")...)
		})
	}
}

// TestImportReportsProgress: a text that is read says how far, and a fold how
// much it has written of what it expects.
func TestImportReportsProgress(t *testing.T) {
	var text strings.Builder
	text.WriteString("x\n")
	for range 200_000 {
		text.WriteString("12345678\n")
	}
	in := write(t, "in.csv", rows.CSV, text.String())
	s := spec(t)
	s.Kind, s.Import = job.KindImport, &job.Import{Files: []job.InputFile{in}}
	var mu sync.Mutex
	last := map[string]job.Progress{}
	res := must(t)(job.Inside{}.Run(t.Context(), s, func(p job.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Done < last[p.Step].Done || p.Total > 0 && p.Done > p.Total {
			t.Errorf("%+v after %+v", p, last[p.Step])
		}
		if p.Done >= last[p.Step].Done {
			last[p.Step] = p
		}
	}))
	for _, step := range []string{"look at in.csv", "read in.csv"} {
		if p := last[step]; p.Done == 0 || p.Total != int64(text.Len()) {
			t.Errorf("%s: %+v of %d bytes", step, p, text.Len())
		}
	}
	if _, ok := last["write a sample"]; !ok {
		t.Errorf("the sample that tells the size of files counts as what is written: %v", last)
	}
	fold := spec(t)
	fold.Kind, fold.Fold = job.KindFold, &job.Fold{Schema: *res.Schema, Base: baseOf(t, res.Outputs)}
	must(t)(job.Inside{}.Run(t.Context(), fold, func(p job.Progress) {
		mu.Lock()
		defer mu.Unlock()
		last[p.Step] = p
	}))
	if p := last["write"]; p.Total == 0 {
		t.Errorf("a fold writes %+v", p)
	}
}
