package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// typed are the values of a type that are easily lost: as tarn writes them in
// JSON, and as SQL of plain DuckDB.
type typed struct {
	typ    string
	values []value
}

type value struct{ json, sql string }

// both are values that SQL spells as JSON does.
func both(texts ...string) []value {
	out := make([]value, len(texts))
	for i, s := range texts {
		out[i] = value{s, s}
	}
	return out
}

// quoted are values that SQL casts from the same text.
func quoted(texts ...string) []value {
	out := make([]value, len(texts))
	for i, s := range texts {
		out[i] = value{`"` + s + `"`, lake.QuoteString(s)}
	}
	return out
}

const nines = "99999999999999999999999999999999999999"

var floats = []value{
	{`"NaN"`, "'nan'"}, {`"Infinity"`, "'inf'"}, {`"-Infinity"`, "'-inf'"}, {"0", "0"}, {"-0.0", "'-0.0'"}, {"0.1", "0.1"}, {"16777217", "16777217"},
}

var allTypes = []typed{
	{"BOOLEAN", both("true", "false")},
	{"INTEGER", both("-2147483648", "2147483647", "0")},
	{"BIGINT", both("-9223372036854775808", "9223372036854775807", "9007199254740993", "0")},
	{"FLOAT", append([]value{{"3.4028235e38", "'3.4028235e38'"}, {"1e-45", "'1e-45'"}}, floats...)},
	{"DOUBLE", append([]value{{"1.7976931348623157e308", "'1.7976931348623157e308'"}, {"5e-324", "'5e-324'"}, {"0.30000000000000004", "'0.30000000000000004'"}}, floats...)},
	{"DECIMAL(4,1)", quoted("999.9", "-999.9", "0.0")},
	{"DECIMAL(9,9)", quoted("0.999999999", "-0.000000001")},
	{"DECIMAL(18,3)", quoted("999999999999999.999", "-999999999999999.999")},
	{"DECIMAL(38,0)", quoted(nines, "-"+nines, "0")},
	{"DECIMAL(38,10)", quoted(nines[:28]+"."+nines[:10], "-"+nines[:28]+"."+nines[:10], "0.0000000001")},
	{"DECIMAL(38,38)", quoted("0."+nines, "-0."+nines)},
	{"VARCHAR", []value{
		{`""`, "''"}, {`"null"`, "'null'"}, {`"NULL"`, "'NULL'"}, {`"  sp ace "`, "'  sp ace '"}, {`"a,b\"c\"\r\nd'"`, `'a,b"c"' || chr(13) || chr(10) || 'd'''`},
		{`"\u0000in\u0000"`, "chr(0) || 'in' || chr(0)"}, {`"é ☃ 𝄞"`, "'é ☃ 𝄞'"}, {`"{\"a\":1}"`, `'{"a":1}'`}, {`"` + strings.Repeat("long ", 2000) + `"`, "repeat('long ', 2000)"},
	}},
	{"BLOB", []value{{`""`, "''::BLOB"}, {`"AAH/AA=="`, `'\x00\x01\xFF\x00'::BLOB`}, {`"YSxiIg=="`, `'a,b"'::BLOB`}}},
	{"UUID", quoted("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "7fffffff-ffff-ffff-ffff-ffffffffffff", "80000000-0000-0000-0000-000000000000")},
	{"DATE", quoted("0001-01-01", "9999-12-31", "1970-01-01", "1969-12-31", "2024-02-29")},
	{"TIME", quoted("00:00:00", "23:59:59.999999", "12:34:56.000001")},
	{"TIMESTAMP", quoted("0001-01-01T00:00:00", "9999-12-31T23:59:59.999999", "1969-12-31T23:59:59.999999", "1970-01-01T00:00:00")},
	{"TIMESTAMP WITH TIME ZONE", quoted("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z", "2024-03-31T01:30:00Z")},
	{"BIGINT[]", both("[]", "[1, NULL, -9223372036854775808]", "[NULL]")},
	{"VARCHAR[][]", []value{{"[]", "[]"}, {`[[],["a",null,""],null]`, "[[], ['a', NULL, ''], NULL]"}, {`[["a,b\"c"]]`, `[['a,b"c']]`}}},
	{"DOUBLE[]", []value{{`[1.5,"NaN",null,"-Infinity"]`, "[1.5, 'nan'::DOUBLE, NULL, '-inf'::DOUBLE]"}}},
	{`STRUCT(a BIGINT, "B c" VARCHAR)`, []value{{`{"a":1,"B c":null}`, "{'a': 1, 'B c': NULL}"}, {`{"a":null,"B c":null}`, "{'a': NULL, 'B c': NULL}"}, {`{"a":9223372036854775807,"B c":""}`, "{'a': 9223372036854775807, 'B c': ''}"}}},
	{"MAP(VARCHAR, BIGINT)", []value{{"[]", "map()"}, {`[["k",null],["",1]]`, "map(['k', ''], [NULL, 1])"}}},
	{"MAP(BIGINT, VARCHAR[])", []value{{`[[9223372036854775807,[]],[-1,null],[0,[null,"x"]]]`, "map([9223372036854775807, -1, 0], [[], NULL, [NULL, 'x']])"}}},
	{"STRUCT(u UUID, b BLOB, t TIMESTAMP WITH TIME ZONE, d DECIMAL(38,10))[]", []value{{
		`[{"u":"80000000-0000-0000-0000-000000000000","b":"AP8=","t":"0001-01-01T00:00:00Z","d":"-0.0000000001"},null,{"u":null,"b":"","t":null,"d":null}]`,
		`[{'u': '80000000-0000-0000-0000-000000000000'::UUID, 'b': '\x00\xFF'::BLOB, 't': '0001-01-01 00:00:00Z'::TIMESTAMPTZ, 'd': '-0.0000000001'::DECIMAL(38,10)}, NULL, {'u': NULL, 'b': ''::BLOB, 't': NULL, 'd': NULL}]`,
	}}},
	{"STRUCT(m MAP(DATE, STRUCT(x FLOAT, y TIME[])))", []value{
		{`{"m":[["9999-12-31",{"x":0.5,"y":["23:59:59.999999",null]}],["0001-01-01",null]]}`, `{'m': map(['9999-12-31'::DATE, '0001-01-01'::DATE], [{'x': 0.5, 'y': ['23:59:59.999999'::TIME, NULL]}, NULL])}`},
		{`{"m":[]}`, "{'m': map()}"}, {`{"m":null}`, "{'m': NULL}"},
	}},
}

// typeTable is a table of a column for each type; row i holds each type's value
// i, and null where it has none. The last row is null but for its id.
type typeTable struct {
	columns []string // "name TYPE", id first
	rows    [][]value
}

func newTypeTable() typeTable {
	tt := typeTable{columns: []string{"id BIGINT"}}
	n := 0
	for i, ty := range allTypes {
		tt.columns = append(tt.columns, fmt.Sprintf("c%d %s", i, ty.typ))
		n = max(n, len(ty.values)+1)
	}
	for i := range n {
		row := both(strconv.Itoa(i))
		for _, ty := range allTypes {
			v := value{"null", "NULL"}
			if i < len(ty.values) {
				v = ty.values[i]
				v.json = strings.NewReplacer(", ", ",", "NULL", "null").Replace(v.json)
				if ty.typ == "VARCHAR" {
					v.json = ty.values[i].json
				}
			}
			row = append(row, v)
		}
		tt.rows = append(tt.rows, row)
	}
	return tt
}

// load makes the table in plain DuckDB.
func (tt typeTable) load(p *plain, table string) {
	p.t.Helper()
	p.exec("CREATE TABLE %s (%s)", table, strings.Join(tt.columns, ", "))
	for _, row := range tt.rows {
		parts := make([]string, len(row))
		for c, v := range row {
			_, typ, _ := strings.Cut(tt.columns[c], " ")
			parts[c] = fmt.Sprintf("CAST(%s AS %s)", v.sql, typ)
		}
		p.exec("INSERT INTO %s VALUES (%s)", table, strings.Join(parts, ", "))
	}
}

func columnName(spec string) string {
	name, _, _ := strings.Cut(spec, " ")
	return name
}

// text is the table as a request's body, written here from the JSON values.
func (tt typeTable) text(f rows.Format) string {
	var out []string
	for _, row := range tt.rows {
		parts := make([]string, len(row))
		for c, v := range row {
			parts[c] = fmt.Sprintf("%q:%s", columnName(tt.columns[c]), v.json)
			if f == rows.CSV {
				parts[c] = csvField(v.json)
			}
		}
		line := strings.Join(parts, ",")
		if f != rows.CSV {
			line = "{" + line + "}"
		}
		out = append(out, line)
	}
	switch f {
	case rows.JSON:
		return "[" + strings.Join(out, ",\n") + "]"
	case rows.CSV:
		names := make([]string, len(tt.columns))
		for c, spec := range tt.columns {
			names[c] = columnName(spec)
		}
		return strings.Join(names, ",") + "\r\n" + strings.Join(out, "\r\n") + "\r\n"
	}
	return strings.Join(out, "\n") + "\n"
}

// csvField is a JSON value as a field: a string bare or quoted, null empty.
func csvField(text string) string {
	switch {
	case text == "null":
		return ""
	case text[0] == '"':
		var s string
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			panic(err)
		}
		text = s
	}
	if text == "" || strings.ContainsAny(text, ",\"\r\n ") {
		return `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
	}
	return text
}

var inFormats = []rows.Format{rows.JSON, rows.NDJSON, rows.CSV, rows.ArrowStream, rows.Parquet}

// TestTypesRoundTrip takes every type's hard values through every format in and
// out, through changes, imports, compaction and a restart.
func TestTypesRoundTrip(t *testing.T) {
	p, tt, dir := newPlain(t), newTypeTable(), t.TempDir()
	tt.load(p, "w")
	p.exec("CREATE TABLE widened AS SELECT * REPLACE (c1::BIGINT AS c1) FROM w") // INTEGER is not inferred
	o := openLake(t, dir)
	defer func() { o.close() }()
	body := func(f rows.Format) string {
		if f == rows.ArrowStream || f == rows.Parquet {
			return string(p.body(f, "FROM w ORDER BY id"))
		}
		return tt.text(f)
	}
	like := map[string]string{} // dataset → the table of plain DuckDB it equals
	send := func(dataset string, f rows.Format) {
		if _, err := o.Change(t.Context(), engine.ChangeRequest{Dataset: name(t, dataset), Op: engine.OpUpsert, Format: f, Body: strings.NewReader(body(f))}); err != nil {
			t.Errorf("upsert %s: %v", dataset, err)
		}
	}
	for i, f := range inFormats {
		keyed, keyless, imported := fmt.Sprintf("keyed%d", i), fmt.Sprintf("keyless%d", i), fmt.Sprintf("imported%d", i)
		for _, d := range []string{keyed, keyless, imported} {
			like[d] = "w"
			key := []string{"id"}
			if d == keyless {
				key = nil
			}
			o.create(d, schema(t, key, tt.columns...))
		}
		send(keyed, f)
		send(keyless, f)
		if _, err := o.importText(imported, engine.ImportAppend, f, nil, "", body(f)); err != nil {
			t.Errorf("import %s as %s: %v", imported, f, err)
		}
	}
	for i, f := range []rows.Format{rows.ArrowStream, rows.Parquet} {
		d := fmt.Sprintf("created%d", i)
		like[d] = "widened"
		if _, err := o.importText(d, engine.ImportCreate, f, []string{"id"}, "", body(f)); err != nil {
			t.Errorf("import %s as %s: %v", d, f, err)
		}
	}
	check := func(phase string) {
		for d, table := range like {
			checkTypes(t, phase+": "+d, o, p, tt, d, table)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	check("fresh")
	o.compactAll()
	check("compacted")
	for i, f := range inFormats {
		send(fmt.Sprintf("keyed%d", len(inFormats)-1-i), f)
		send(fmt.Sprintf("imported%d", i), f)
	}
	send("created0", rows.NDJSON)
	send("created1", rows.CSV)
	check("changed")
	o.close()
	o = openLake(t, dir)
	check("restarted")
	o.compactAll()
	check("compacted again")
	o.verifyClean()
}

// checkTypes compares a dataset with the table by all formats of answers.
func checkTypes(t *testing.T, what string, o *opened, p *plain, tt typeTable, dataset, table string) {
	t.Helper()
	sql := "SELECT * FROM " + dataset + " ORDER BY id"
	a, err := o.answer(sql)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if d := a.differs(p.answer("SELECT * FROM "+table+" ORDER BY id"), true); d != "" {
		t.Errorf("%s: %s", what, d)
	}
	tt.compare(t, what+": JSON", a.Rows)
	tt.compare(t, what+": NDJSON", ndjsonRows(t, tt, o.bytes(sql, rows.OutNDJSON)))
	compareArrow(t, what+": Arrow", o.bytes(sql, rows.OutArrow), p.arrowStream("SELECT * FROM "+table+" ORDER BY id"))
	compareParquet(t, what+": Parquet", p, o.bytes(sql, rows.OutParquet), "SELECT * FROM "+table+" ORDER BY id")
	path := filepath.Join(p.dir, "answer.csv")
	if err := os.WriteFile(path, o.bytes(sql, rows.OutCSV), 0o600); err != nil {
		t.Fatal(err)
	}
	tt.compareCSV(t, what+": CSV", p, path)
}

// compareParquet holds a Parquet file, as DuckDB reads it, against a query: values and
// types.
func compareParquet(t *testing.T, what string, p *plain, file []byte, query string) {
	t.Helper()
	path := filepath.Join(p.dir, "answer.parquet")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if d := p.answer("SELECT * FROM read_parquet('"+path+"')").differs(p.answer(query), true); d != "" {
		t.Errorf("%s: %s", what, d)
	}
}

// bytes is an answer as it comes.
func (o *opened) bytes(sql string, f rows.OutFormat) []byte {
	o.t.Helper()
	a, err := o.Query(context.Background(), engine.QueryRequest{SQL: sql, Format: f})
	if err != nil {
		o.t.Fatalf("%s: %v", sql, err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		o.t.Fatalf("%s: %v", sql, err)
	}
	return b
}

// decoded is a JSON value with its numbers as they are written.
func decoded(t testing.TB, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// compare holds rows of decoded JSON against the values as written above.
func (tt typeTable) compare(t *testing.T, what string, got [][]any) {
	t.Helper()
	if len(got) != len(tt.rows) {
		t.Errorf("%s: %d rows, want %d", what, len(got), len(tt.rows))
		return
	}
	for i, row := range tt.rows {
		for c, v := range row {
			if !exactly(got[i][c], decoded(t, v.json), tt.columns[c]) {
				t.Errorf("%s: row %d: %s: got %v, want %s", what, i, tt.columns[c], got[i][c], v.json)
			}
		}
	}
}

// exactly says whether values are the same to the bit; numbers of floating
// columns may be spelled in another way.
func exactly(got, want any, typ string) bool {
	switch want := want.(type) {
	case json.Number:
		g, ok := got.(json.Number)
		return ok && (g == want || floating(typ) && sameBits(string(g), string(want), typ))
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(want) {
			return false
		}
		for i := range want {
			if !exactly(g[i], want[i], typ) {
				return false
			}
		}
		return true
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(want) {
			return false
		}
		for k := range want {
			if !exactly(g[k], want[k], typ) {
				return false
			}
		}
		return true
	}
	return got == want
}

func sameBits(a, b, typ string) bool {
	size := 64
	if strings.Contains(typ, "FLOAT") {
		size = 32
	}
	x, errX := strconv.ParseFloat(a, size)
	y, errY := strconv.ParseFloat(b, size)
	return errX == nil && errY == nil && math.Float64bits(x) == math.Float64bits(y)
}

func ndjsonRows(t testing.TB, tt typeTable, text []byte) [][]any {
	t.Helper()
	var out [][]any
	for line := range strings.Lines(string(text)) {
		object, ok := decoded(t, line).(map[string]any)
		if !ok || len(object) != len(tt.columns) {
			t.Fatalf("no row: %s", line)
		}
		row := make([]any, len(tt.columns))
		for c, spec := range tt.columns {
			row[c] = object[columnName(spec)]
		}
		out = append(out, row)
	}
	return out
}

// compareCSV reads a CSV answer by plain DuckDB, which tells null from the empty
// string.
func (tt typeTable) compareCSV(t *testing.T, what string, p *plain, path string) {
	t.Helper()
	found, err := p.c.Rows(t.Context(), fmt.Sprintf("FROM read_csv(%s, header = true, delim = ',', quote = '\"', escape = '\"', all_varchar = true, auto_detect = false, allow_quoted_nulls = false, columns = {%s})",
		lake.QuoteString(path), strings.Join(tt.varchars(), ", ")))
	if err != nil || len(found) != len(tt.rows) {
		t.Errorf("%s: %d rows, %v", what, len(found), err)
		return
	}
	for i, row := range tt.rows {
		for c, v := range row {
			want := any(nil)
			if v.json != "null" {
				want = decoded(t, v.json)
			}
			got := found[i][c]
			if text, ok := got.(string); ok {
				switch want.(type) {
				case []any, map[string]any:
					got = decoded(t, text)
				case json.Number:
					got = json.Number(text)
				case bool:
					got = text == "true"
				}
			}
			if !exactly(got, want, tt.columns[c]) {
				t.Errorf("%s: row %d: %s: got %v, want %s", what, i, tt.columns[c], got, v.json)
			}
		}
	}
}

func (tt typeTable) varchars() []string {
	out := make([]string, len(tt.columns))
	for c, spec := range tt.columns {
		out[c] = fmt.Sprintf("'%s': 'VARCHAR'", columnName(spec))
	}
	return out
}

// compareArrow holds two IPC streams against each other: types and values.
func compareArrow(t *testing.T, what string, got, want []byte) {
	t.Helper()
	g, w := readArrow(t, got), readArrow(t, want)
	if len(g) != len(w) {
		t.Errorf("%s: %d columns, want %d", what, len(g), len(w))
		return
	}
	for c := range w {
		if !arrow.TypeEqual(g[c].DataType(), w[c].DataType()) {
			t.Errorf("%s: column %d is %s, want %s", what, c, g[c].DataType(), w[c].DataType())
		} else if !array.ApproxEqual(g[c], w[c], array.WithNaNsEqual(true), array.WithAbsTolerance(0)) {
			t.Errorf("%s: column %d:\n got %v\nwant %v", what, c, g[c], w[c])
		}
	}
}

// readArrow gives the columns of a stream, whole.
func readArrow(t *testing.T, stream []byte) []arrow.Array {
	t.Helper()
	r, err := ipc.NewReader(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	parts := make([][]arrow.Array, r.Schema().NumFields())
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for c, column := range rec.Columns() {
			column.Retain()
			parts[c] = append(parts[c], column)
		}
	}
	out := make([]arrow.Array, len(parts))
	for c := range parts {
		if out[c], err = array.Concatenate(parts[c], memory.DefaultAllocator); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestKeyTypes changes, folds, gets and deletes rows by keys of every type that
// can be one.
func TestKeyTypes(t *testing.T) {
	p, dir := newPlain(t), t.TempDir()
	o := openLake(t, dir)
	defer func() { o.close() }()
	var datasets []string
	for i, ty := range allTypes {
		if parsed, err := lake.ParseType(ty.typ); err != nil || !parsed.CanBeKey() {
			continue
		}
		d := fmt.Sprintf("k%d", i)
		datasets = append(datasets, d)
		p.exec(`CREATE TABLE %s (k %s, n BIGINT)`, d, ty.typ)
		o.create(d, schema(t, []string{"k"}, "k "+ty.typ, "n BIGINT"))
		var lines []string
		for n, v := range ty.values {
			p.exec("INSERT INTO %s VALUES (%s, %d)", d, v.sql, n)
			lines = append(lines, fmt.Sprintf(`{"k":%s,"n":%d}`, v.json, n))
		}
		o.change(d, engine.OpUpsert, lines...)
		for n, v := range ty.values {
			o.wantRow(d, v, fmt.Sprint(n))
		}
	}
	check := func(phase string) {
		t.Helper()
		for _, d := range datasets {
			sql := "SELECT * FROM " + d + " ORDER BY k"
			got, err := o.answer(sql)
			if err != nil {
				t.Errorf("%s: %s: %v", phase, d, err)
			} else if diff := got.differs(p.answer(sql), true); diff != "" {
				t.Errorf("%s: %s: %s", phase, d, diff)
			}
		}
	}
	// change sends part of the rows in a format and does the same in plain DuckDB.
	change := func(op engine.ChangeOp, f rows.Format, where string) {
		t.Helper()
		for _, d := range datasets {
			sql := fmt.Sprintf("SELECT k, n + 100 AS n FROM %s WHERE %s", d, where)
			if op == engine.OpDelete {
				sql = fmt.Sprintf("SELECT k FROM %s WHERE %s", d, where)
			}
			if f == rows.JSON || f == rows.NDJSON || f == rows.CSV { // blobs there are base64
				sql = strings.Replace(sql, "SELECT k", "SELECT "+p.keyText(d), 1)
			}
			if _, err := o.Change(t.Context(), engine.ChangeRequest{Dataset: name(t, d), Op: op, Format: f, Body: bytes.NewReader(p.body(f, sql))}); err != nil {
				t.Errorf("%s %s: %v", op, d, err)
			}
			if op == engine.OpDelete {
				p.exec("DELETE FROM %s WHERE %s", d, where)
			} else {
				p.exec("UPDATE %s SET n = n + 100 WHERE %s", d, where)
			}
		}
	}
	check("fresh")
	o.compactAll()
	check("compacted")
	change(engine.OpUpsert, rows.ArrowStream, "n % 2 = 0")
	change(engine.OpUpsert, rows.NDJSON, "n % 3 = 1")
	check("changed")
	change(engine.OpDelete, rows.CSV, "n = 1 OR n = 100")
	check("deleted")
	o.compactAll()
	check("compacted again")
	change(engine.OpDelete, rows.Parquet, "n % 2 = 0")
	change(engine.OpUpsert, rows.CSV, "true")
	o.close()
	o = openLake(t, dir)
	check("restarted")
	o.compactAll()
	check("compacted at last")
	o.verifyClean()
}

// keyText is the key of a table as text formats hold it. Decimals go as strings:
// where all their digits are behind the point, DuckDB's JSON numbers begin with it,
// which is no JSON.
func (p *plain) keyText(table string) string {
	p.t.Helper()
	switch typ := p.texts("SELECT column_type FROM (DESCRIBE %s) WHERE column_name = 'k'", table)[0]; {
	case typ == "BLOB":
		return "to_base64(k) AS k"
	case strings.HasPrefix(typ, "DECIMAL"):
		return "k::VARCHAR AS k"
	}
	return "k"
}

// wantRow gets one row by its key, of the URL and of a body.
func (o *opened) wantRow(dataset string, key value, n string) {
	o.t.Helper()
	text := key.json
	if text[0] == '"' {
		text = decoded(o.t, text).(string)
	}
	row, _, err := o.Row(context.Background(), name(o.t, dataset), url.PathEscape(text))
	if err != nil {
		o.t.Errorf("row %s of %s: %v", text, dataset, err)
		return
	}
	got, _ := decoded(o.t, string(row)).(map[string]any)
	if fmt.Sprint(got["n"]) != n || !exactly(got["k"], decoded(o.t, key.json), "") {
		o.t.Errorf("row %s of %s: %s", text, dataset, row)
	}
	a, err := o.Get(context.Background(), engine.GetRequest{
		Dataset: name(o.t, dataset), Format: rows.JSON, Body: strings.NewReader(`{"k":` + key.json + `}`), Out: rows.OutJSON,
	})
	if err != nil {
		o.t.Errorf("get %s of %s: %v", text, dataset, err)
		return
	}
	defer a.Body.Close()
	answer, err := readAnswer(a.Body)
	if err != nil || len(answer.Rows) != 1 || fmt.Sprint(answer.Rows[0][1]) != n {
		o.t.Errorf("get %s of %s: %v, %v", text, dataset, answer.Rows, err)
	}
}
