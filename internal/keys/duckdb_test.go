package keys_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	duckdb "github.com/duckdb/duckdb-go-bindings"

	"tarn/internal/keys"
	"tarn/internal/lake"
)

// duck answers SQL that gives one text.
type duck struct{ conn duckdb.Connection }

func openDuck(t *testing.T) *duck {
	t.Helper()
	var db duckdb.Database
	if duckdb.Open(":memory:", &db) != duckdb.StateSuccess {
		t.Fatal("DuckDB does not open")
	}
	d := &duck{}
	if duckdb.Connect(db, &d.conn) != duckdb.StateSuccess {
		t.Fatal("DuckDB does not connect")
	}
	if _, err := d.text("SET TimeZone = 'UTC'"); err != nil {
		t.Log(err) // a DuckDB without time zones prints UTC anyhow
	}
	t.Cleanup(func() {
		duckdb.Disconnect(&d.conn)
		duckdb.Close(&db)
	})
	return d
}

func (d *duck) text(sql string) (string, error) {
	var res duckdb.Result
	defer duckdb.DestroyResult(&res)
	if duckdb.Query(d.conn, sql, &res) != duckdb.StateSuccess {
		return "", fmt.Errorf("%s: %s", sql, duckdb.ResultError(&res))
	}
	chunk := duckdb.FetchChunk(res)
	if chunk.Ptr == nil {
		return "", nil // a statement without rows
	}
	defer duckdb.DestroyDataChunk(&chunk)
	s := (*duckdb.StringT)(unsafe.Pointer(duckdb.VectorGetData(duckdb.DataChunkGetVector(chunk, 0))))
	return strings.Clone(duckdb.StringTData(s)), nil
}

// literal writes a value for SQL so that nothing of it is lost.
func literal(t lake.Type, v any) string {
	switch v := v.(type) {
	case iceberg.Decimal:
		return fmt.Sprintf("CAST('%s' AS %s)", v.Val.ToString(int32(v.Scale)), t)
	case string:
		return fmt.Sprintf("decode(unhex('%s'))", hex.EncodeToString([]byte(v)))
	case []byte:
		return fmt.Sprintf("unhex('%s')", hex.EncodeToString(v))
	case uuid.UUID:
		return fmt.Sprintf("UUID '%s'", v)
	case iceberg.Date:
		switch {
		case v == 1<<31-1:
			return "DATE 'infinity'"
		case v == -(1<<31 - 1):
			return "DATE '-infinity'"
		}
		return fmt.Sprintf("DATE '1970-01-01' + %d", v)
	case iceberg.Time:
		return fmt.Sprintf("TIME '00:00:00' + to_microseconds(%d)", v)
	case iceberg.Timestamp:
		switch {
		case v == 1<<63-1:
			return fmt.Sprintf("CAST('infinity' AS %s)", t)
		case v == -(1<<63 - 1):
			return fmt.Sprintf("CAST('-infinity' AS %s)", t)
		}
		return fmt.Sprintf("CAST(make_timestamp(%d) AS %s)", v, t)
	default:
		return fmt.Sprintf("CAST('%v' AS %s)", v, t)
	}
}

// The order of key bytes is DuckDB's ORDER BY.
func TestOrderIsThatOfDuckDB(t *testing.T) {
	d := openDuck(t)
	for _, typ := range keyTypes {
		values := edges(typ)
		slices.Reverse(values)
		var rows []string
		var table [][]any
		for i, v := range values {
			rows = append(rows, fmt.Sprintf("(%d, %s)", i, literal(typ, v)))
			table = append(table, []any{v})
		}
		rec := batch([]lake.Type{typ}, table)
		e := encoder([]lake.Type{typ})
		order := make([]int, len(values))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int {
			return bytes.Compare(e.Append(nil, rec, a), e.Append(nil, rec, b))
		})
		rec.Release()
		want, err := d.text(fmt.Sprintf("SELECT string_agg(i::VARCHAR, ' ' ORDER BY v) FROM (VALUES %s) AS t(i, v)", strings.Join(rows, ", ")))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Trim(fmt.Sprint(order), "[]"); got != want {
			t.Errorf("%s: by key bytes %s, by DuckDB %s", typ, got, want)
		}
	}
}

func keyOf(types ...string) lake.Schema {
	var parsed []lake.Type
	for _, s := range types {
		typ, err := lake.ParseType(s)
		if err != nil {
			panic(err)
		}
		parsed = append(parsed, typ)
	}
	return keySchema(parsed)
}

// What ParsePath lets through, DuckDB casts to the value that was meant.
func TestParsePath(t *testing.T) {
	d := openDuck(t)
	cases := []struct {
		typ, path string
		text      string // from ParsePath
		value     string // as DuckDB prints it after the cast; like text where empty
	}{
		{typ: "BIGINT", path: "42", text: "42"},
		{typ: "BIGINT", path: "-007", text: "-7"},
		{typ: "BIGINT", path: "+7", text: "7"},
		{typ: "BIGINT", path: "-9223372036854775808", text: "-9223372036854775808"},
		{typ: "INTEGER", path: "2147483647", text: "2147483647"},
		{typ: "BOOLEAN", path: "TRUE", text: "true"},
		{typ: "BOOLEAN", path: "f", text: "false"},
		{typ: "DECIMAL(10,2)", path: "12.5", text: "12.5", value: "12.50"},
		{typ: "DECIMAL(10,2)", path: "-0012.500", text: "-12.5", value: "-12.50"},
		{typ: "DECIMAL(10,2)", path: "-0", text: "0", value: "0.00"},
		{typ: "DECIMAL(10,2)", path: ".5", text: "0.5", value: "0.50"},
		{typ: "DECIMAL(38,0)", path: strings.Repeat("9", 38), text: strings.Repeat("9", 38)},
		{typ: "DECIMAL(38,38)", path: "-0." + strings.Repeat("9", 38), text: "-0." + strings.Repeat("9", 38), value: "-." + strings.Repeat("9", 38)},
		{typ: "VARCHAR", path: "", text: ""},
		{typ: "VARCHAR", path: "a+b", text: "a+b"},
		{typ: "VARCHAR", path: "a%2Cb%2F%25%20c%C3%A4", text: "a,b/% cä"},
		{typ: "VARCHAR", path: "O'Neil", text: "O'Neil"},
		{typ: "BLOB", path: "AGH%2F", text: `\x00\x61\xFF`, value: `\x00a\xFF`},
		{typ: "BLOB", path: "", text: ""},
		{typ: "UUID", path: "8D3E2F10-0000-4000-8000-0123456789AB", text: "8d3e2f10-0000-4000-8000-0123456789ab"},
		{typ: "DATE", path: "2024-02-29", text: "2024-02-29"},
		{typ: "DATE", path: "0044-03-15%20(BC)", text: "0044-03-15 (BC)"},
		{typ: "DATE", path: "5881579-12-31", text: "5881579-12-31"},
		{typ: "DATE", path: "infinity", text: "infinity"},
		{typ: "TIME", path: "23:59:59.999999", text: "23:59:59.999999"},
		{typ: "TIME", path: "12%3A30", text: "12:30:00"},
		{typ: "TIME", path: "12:30:00.500000000", text: "12:30:00.5"},
		{typ: "TIMESTAMP", path: "2024-02-29T12:30:00.25", text: "2024-02-29 12:30:00.25"},
		{typ: "TIMESTAMP", path: "2024-02-29%2012:30:00", text: "2024-02-29 12:30:00"},
		{typ: "TIMESTAMP", path: "2024-02-29", text: "2024-02-29 00:00:00"},
		{typ: "TIMESTAMP", path: "0044-03-15%20(BC)%2012:00:00", text: "0044-03-15 (BC) 12:00:00"},
		{typ: "TIMESTAMP", path: "-infinity", text: "-infinity"},
		{typ: "TIMESTAMPTZ", path: "2024-02-29T12:30:00Z", text: "2024-02-29 12:30:00+00:00", value: "2024-02-29 12:30:00+00"},
		{typ: "TIMESTAMPTZ", path: "2024-02-29T12:30:00", text: "2024-02-29 12:30:00+00:00", value: "2024-02-29 12:30:00+00"},
		{typ: "TIMESTAMPTZ", path: "2024-02-29T12:30:00.5+05:30", text: "2024-02-29 12:30:00.5+05:30", value: "2024-02-29 07:00:00.5+00"},
		{typ: "TIMESTAMPTZ", path: "2024-02-29%2012:30:00-08", text: "2024-02-29 12:30:00-08:00", value: "2024-02-29 20:30:00+00"},
		{typ: "TIMESTAMPTZ", path: "2024-02-29T12:30:00%2B0530", text: "2024-02-29 12:30:00+05:30", value: "2024-02-29 07:00:00+00"},
	}
	for _, c := range cases {
		got, err := keys.ParsePath(keyOf(c.typ), c.path)
		if err != nil || len(got) != 1 || got[0] != c.text {
			t.Errorf("%s %q gave %q, %v; want %q", c.typ, c.path, got, err, c.text)
			continue
		}
		want := c.value
		if want == "" {
			want = c.text
		}
		value, err := d.text(fmt.Sprintf("SELECT CAST(CAST(%s AS %s) AS VARCHAR)", lake.QuoteString(got[0]), keyOf(c.typ).Columns[0].Type))
		if err != nil || value != want {
			t.Errorf("%s %q: DuckDB casts %q to %q, %v; want %q", c.typ, c.path, got[0], value, err, want)
		}
	}

	got, err := keys.ParsePath(keyOf("VARCHAR", "BIGINT", "DATE"), "a%2Cb,7,2024-01-31")
	if want := []string{"a,b", "7", "2024-01-31"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("composite: %q, %v", got, err)
	}
}

func TestParsePathRefuses(t *testing.T) {
	cases := []struct{ types, path, says string }{
		{"BIGINT", "", `"k0"`}, {"BIGINT", "x", `"k0"`}, {"BIGINT", "1.0", `"k0"`}, {"BIGINT", "1e3", `"k0"`}, {"BIGINT", "1_000", `"k0"`},
		{"BIGINT", "9223372036854775808", `"k0"`}, {"INTEGER", "2147483648", `"k0"`}, {"BIGINT", "%zz", `"k0"`},
		{"BOOLEAN", "yes", `"k0"`}, {"BOOLEAN", "", `"k0"`},
		{"DECIMAL(4,2)", "123", `"k0"`}, {"DECIMAL(4,2)", "1.234", `"k0"`}, {"DECIMAL(4,2)", ".", `"k0"`}, {"DECIMAL(4,2)", "", `"k0"`},
		{"DECIMAL(4,2)", "1e1", `"k0"`}, {"DECIMAL(4,2)", "NaN", `"k0"`},
		{"VARCHAR", "%FF", `"k0"`}, {"BLOB", "!", `"k0"`}, {"BLOB", "AA", `"k0"`}, {"UUID", "8d3e", `"k0"`},
		{"DATE", "2023-02-29", `"k0"`}, {"DATE", "0000-01-01", `"k0"`}, {"DATE", "2023-1-1", `"k0"`}, {"DATE", "2023-01-01T00:00:00", `"k0"`}, {"DATE", "5881580-01-01", `"k0"`},
		{"TIME", "24:00:00", `"k0"`}, {"TIME", "12:30:00.1234567", `"k0"`}, {"TIME", "12", `"k0"`},
		{"TIMESTAMP", "2024-01-01T00:00:00Z", `"k0"`}, {"TIMESTAMP", "2024-13-01", `"k0"`}, {"TIMESTAMP", "294247-01-01", `"k0"`}, {"TIMESTAMP", "", `"k0"`},
		{"TIMESTAMPTZ", "2024-01-01T00:00:00+99", `"k0"`}, {"TIMESTAMPTZ", "2024-01-01T00:00:00Europe/Berlin", `"k0"`},
		{"VARCHAR,BIGINT", "a,b", `"k1"`}, {"VARCHAR,BIGINT", "a", "2"}, {"VARCHAR,BIGINT", "a,1,2", "3 values"}, {"VARCHAR", "a,b", "2 values"},
	}
	for _, c := range cases {
		got, err := keys.ParsePath(keyOf(splitTypes(c.types)...), c.path)
		if err == nil || lake.CodeOf(err) != lake.CodeInvalidRequest || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %q gave %q, %v; want an error with %s", c.types, c.path, got, err, c.says)
		}
	}
}

// splitTypes splits at commas outside brackets.
func splitTypes(s string) []string {
	if strings.HasPrefix(s, "DECIMAL") {
		return []string{s}
	}
	return strings.Split(s, ",")
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"", "1", "a,b", "%2C", "2024-01-31", "2024-01-31T00:00:00Z", "-1.5", "AA==", "%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, typ := range keyTypes {
			got, err := keys.ParsePath(keySchema([]lake.Type{typ}), s)
			if err == nil && len(got) != 1 {
				t.Errorf("%s %q gave %q", typ, s, got)
			}
			if err != nil && lake.CodeOf(err) != lake.CodeInvalidRequest {
				t.Errorf("%s %q: %v", typ, s, err)
			}
		}
	})
}
