//go:build duckdb_arrow

package duck

import (
	"testing"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// Every type leaves with its DuckDB spelling, an Arrow type and an exact value.
func TestResultTypes(t *testing.T) {
	_, c := open(t, locked)
	for _, x := range []struct{ sql, typ, arrow, value string }{
		{"true", "BOOLEAN", "bool", "true"},
		{"42::TINYINT", "TINYINT", "int8", "42"},
		{"42::UBIGINT", "UBIGINT", "uint64", "42"},
		{"99999999999999999999999999999999999999::HUGEINT", "HUGEINT", "decimal(38, 0)", "99999999999999999999999999999999999999"},
		{"-99999999999999999999999999999999999999::HUGEINT", "HUGEINT", "decimal(38, 0)", "-99999999999999999999999999999999999999"},
		{"99999999999999999999999999999999999999::UHUGEINT", "UHUGEINT", "decimal(38, 0)", "99999999999999999999999999999999999999"},
		{"[1::HUGEINT, NULL]", "HUGEINT[]", "list<element: decimal(38, 0), nullable>", `["1",null]`},
		{"'123456789012345678901234567890123456789012'::BIGNUM", "BIGNUM", "utf8", "123456789012345678901234567890123456789012"},
		{"'-123456789012345678901234567890123456789012'::BIGNUM", "BIGNUM", "utf8", "-123456789012345678901234567890123456789012"},
		{"0::BIGNUM", "BIGNUM", "utf8", "0"},
		{"'0000000-0000-0000-0000-000000000001'::VARCHAR", "VARCHAR", "utf8", "0000000-0000-0000-0000-000000000001"},
		{"'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'::UUID", "UUID", "extension<arrow.uuid>", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"},
		{"['00000000-0000-0000-0000-000000000001'::UUID]", "UUID[]", "list<element: extension<arrow.uuid>, nullable>", `["00000000-0000-0000-0000-000000000001"]`},
		{"'b'::ENUM('a', 'b')", "ENUM('a', 'b')", "utf8", "b"},
		{"['b'::ENUM('a', 'b'), NULL]", "ENUM('a', 'b')[]", "list<element: utf8, nullable>", `["b",null]`},
		{"now() - now() + TIMESTAMPTZ '2020-01-02 03:04:05+00'", "TIMESTAMP WITH TIME ZONE", "timestamp[us, tz=UTC]", "2020-01-02T03:04:05Z"},
		{"TIMESTAMP_NS '2020-01-02 03:04:05.123456789'", "TIMESTAMP_NS", "timestamp[ns]", "2020-01-02T03:04:05.123456789"},
		{"TIMESTAMP_S '2020-01-02 03:04:05'", "TIMESTAMP_S", "timestamp[s]", "2020-01-02T03:04:05"},
		{"'10:00:00+02'::TIMETZ", "TIME WITH TIME ZONE", "utf8", "10:00:00+02"},
		{"'10:00:00.5-03:30'::TIMETZ", "TIME WITH TIME ZONE", "utf8", "10:00:00.5-03:30"},
		{"INTERVAL '1 month 2 days 3 hours'", "INTERVAL", "month_day_nano_interval", `{"months":1,"days":2,"nanoseconds":10800000000000}`},
		{"'0101'::BIT", "BIT", "utf8", "0101"},
		{"'010101010101'::BIT", "BIT", "utf8", "010101010101"},
		{`'{"a":1}'::JSON`, "JSON", "utf8", `{"a":1}`},
		{"'\\x00ab'::BLOB", "BLOB", "binary", "AGFi"},
		{"[1, 2]::INTEGER[2]", "INTEGER[2]", "fixed_size_list<element: int32, nullable>[2]", "[1,2]"},
		{"TIME_NS '12:00:00.123456789'", "TIME_NS", "time64[ns]", "12:00:00.123456789"},
		{"MAP {'a': true}", "MAP(VARCHAR, BOOLEAN)", "map<utf8, bool, items_nullable>", `[{"key":"a","value":true}]`},
		{"{'select': 1, 'A b': true, 'x': 'q'}", `STRUCT("select" INTEGER, "A b" BOOLEAN, x VARCHAR)`,
			"struct<select: int32 nullable, A b: bool nullable, x: utf8 nullable>", `{"A b":true,"select":1,"x":"q"}`},
		{"[{'e': 'b'::ENUM('a', 'b'), 'm': MAP {1: [true, NULL]}}]", "STRUCT(e ENUM('a', 'b'), m MAP(INTEGER, BOOLEAN[]))[]",
			"list<element: struct<e: utf8 nullable, m: map<int32, list<element: bool, nullable>, items_nullable> nullable>, nullable>",
			`[{"e":"b","m":[{"key":1,"value":[true,null]}]}]`},
		{"1.50::DECIMAL(10,2)", "DECIMAL(10,2)", "decimal(10, 2)", "1.5"},
	} {
		t.Run(x.sql, func(t *testing.T) {
			// A null before and after, so that positions are not all zero.
			s, err := c.Query(t.Context(), "SELECT v FROM (VALUES (0, NULL), (1, "+x.sql+"), (2, NULL)) t(i, v) ORDER BY i", Params{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got := s.Columns()[0]; got != (Column{"v", x.typ}) {
				t.Errorf("column %v, want %s", got, x.typ)
			}
			if typeof := cell(t, conn(t, c.db), "SELECT typeof("+x.sql+")"); typeof != x.typ {
				t.Errorf("DuckDB spells it %s", typeof)
			}
			if got := s.Schema().Field(0).Type.String(); got != x.arrow {
				t.Errorf("Arrow type %s, want %s", got, x.arrow)
			}
			batch, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer batch.Release()
			col := batch.Column(0)
			if !col.IsNull(0) || !col.IsNull(2) || col.NullN() != 2 {
				t.Errorf("nulls are not where they were: %v", col)
			}
			if got := col.ValueStr(1); got != x.value {
				t.Errorf("value %s, want %s", got, x.value)
			}
		})
	}
}

// What no result can hold is an error, never another value.
func TestResultTypesThatCannotLeave(t *testing.T) {
	_, c := open(t, locked)
	for _, x := range []struct {
		sql  string
		code lake.Code
	}{
		{"170141183460469231731687303715884105727::HUGEINT", lake.CodeSQLInvalid},
		{"340282366920938463463374607431768211455::UHUGEINT", lake.CodeSQLInvalid},
		{"[340282366920938463463374607431768211455::UHUGEINT]", lake.CodeSQLInvalid},
		{"100000000000000000000000000000000000000::UHUGEINT", lake.CodeSQLInvalid},
		{"INTERVAL '9000000 hours'", lake.CodeSQLInvalid},
		{"union_value(k := 1)", lake.CodeUnsupported},
		{"[union_value(k := 1)]", lake.CodeUnsupported},
		{"42::VARIANT", lake.CodeUnsupported},
		{"{'g': 'POINT(1 2)'::GEOMETRY}", lake.CodeUnsupported},
	} {
		_, err := c.Rows(t.Context(), "SELECT "+x.sql+" AS v")
		if lake.CodeOf(err) != x.code || lake.HintOf(err) == "" {
			t.Errorf("%s: %v (%s)", x.sql, err, lake.CodeOf(err))
		}
		if got := cell(t, c, "SELECT 1"); got != int64(1) {
			t.Errorf("after it the connection says %v", got)
		}
	}
}

func TestKeywords(t *testing.T) {
	_, c := open(t)
	for category, words := range map[string]map[string]bool{
		"reserved": sqltext.Reserved, "type_function": sqltext.TypeFunction, "column_name": sqltext.ColumnName,
	} {
		rows, err := c.Rows(t.Context(), "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = '"+category+"'")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if !words[r[0].(string)] {
				t.Errorf("%s is missing among the %s words", r[0], category)
			}
		}
		if len(rows) != len(words) {
			t.Errorf("DuckDB has %d %s words, we %d", len(rows), category, len(words))
		}
	}
}
