package engine_test

import (
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tarn/internal/rows"
)

// parquetResults has a column of every type that a result can have and Parquet can hold.
const parquetResults = `SELECT * FROM (VALUES
	(1::TINYINT, 2::UTINYINT, 3::SMALLINT, 4::UINTEGER, 5::BIGINT, 18446744073709551615::UBIGINT, 99999999999999999999999999999999999999::HUGEINT, 1.25::DECIMAL(5,2), 0.5::FLOAT, 0.1::DOUBLE,
	 true, 'é,"', 'ab'::BLOB, UUID '0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000', DATE '2024-02-29', TIME '03:04:05.000006', TIMESTAMP '2024-01-02 03:04:05.000006', TIMESTAMP_S '2024-01-02 03:04:05',
	 TIMESTAMP_NS '2024-01-02 03:04:05.000000007', TIMESTAMPTZ '2024-01-02 03:04:05+02', [1, NULL, 3], [1.5, 2.5]::DOUBLE[2], {'a': 1, 'b': ['x', NULL]}, MAP {'k': 7::HUGEINT}, 'e'::ENUM('e')),
	(NULL, NULL, NULL, NULL, NULL, NULL, -99999999999999999999999999999999999999::HUGEINT, NULL, NULL, 'nan'::DOUBLE, NULL, '', ''::BLOB, NULL, NULL, NULL, NULL, NULL, NULL, NULL, [], NULL, NULL, MAP {}, NULL),
	(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, [NULL, 1]::DOUBLE[2], {'a': NULL, 'b': NULL}, NULL, NULL)
) t(i8, u8, i16, u32, i64, u64, huge, dec, f32, f64, bool, text, blob, uuid, date, time, ts, ts_s, ts_ns, tstz, list, arr, str, map, enum)`

// What leaves as Parquet is what DuckDB has, value by value, and a HUGEINT no DOUBLE.
func TestParquetOfEveryResult(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	p := newPlain(t)
	path := filepath.Join(t.TempDir(), "answer.parquet")
	if err := os.WriteFile(path, o.bytes(parquetResults, rows.OutParquet), 0o600); err != nil {
		t.Fatal(err)
	}
	const texts = "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM "
	if d := p.answer(texts+"read_parquet('"+path+"')").differs(p.answer(texts+"("+parquetResults+")"), true); d != "" {
		t.Error(d)
	}
	types := p.texts("SELECT column_name || ' ' || column_type FROM (DESCRIBE SELECT * FROM read_parquet('%s'))", path)
	want := []string{"i8 TINYINT", "u8 UTINYINT", "i16 SMALLINT", "u32 UINTEGER", "i64 BIGINT", "u64 UBIGINT", "huge DECIMAL(38,0)", "dec DECIMAL(5,2)", "f32 FLOAT", "f64 DOUBLE", "bool BOOLEAN", "text VARCHAR", "blob BLOB",
		"uuid UUID", "date DATE", "time TIME", "ts TIMESTAMP", "ts_s TIMESTAMP", "ts_ns TIMESTAMP_NS", "tstz TIMESTAMP WITH TIME ZONE", "list INTEGER[]", "arr DOUBLE[]", "str STRUCT(a INTEGER, b VARCHAR[])", "map MAP(VARCHAR, DECIMAL(38,0))", "enum VARCHAR"}
	if !slices.Equal(types, want) {
		t.Errorf("types\n%q, want\n%q", types, want)
	}
}

// And as another reader has it, where a python with pyarrow is at hand.
func TestParquetForPyArrow(t *testing.T) {
	python := cmp.Or(os.Getenv("TARN_TEST_PYTHON"), "python3")
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import pyarrow").CombinedOutput(); err != nil {
		t.Skipf("%s has no pyarrow (TARN_TEST_PYTHON names a python): %v: %s", python, err, out)
	}
	o := openLake(t, t.TempDir())
	defer o.close()
	path := filepath.Join(t.TempDir(), "answer.parquet")
	if err := os.WriteFile(path, o.bytes(parquetResults, rows.OutParquet), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/parquet/read.py", path)
	cmd.Stderr = &strings.Builder{}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, cmd.Stderr)
	}
	var got struct {
		Types []string    `json:"types"`
		Rows  [][]*string `json:"rows"`
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	all := strings.Join(got.Types, "; ")
	for _, typ := range []string{"i8: int8", "u64: uint64", "huge: decimal128(38, 0)", "dec: decimal128(5, 2)", "text: string", "date: date32[day]", "time: time64[us]", "ts: timestamp[us]", "ts_s: timestamp[ms]", "ts_ns: timestamp[ns]", "tstz: timestamp[us, tz=UTC]", "list: list<element: int32>", "map: map<string, decimal128(38, 0)"} {
		if !strings.Contains(all, typ) {
			t.Errorf("%q is missing: %s", typ, all)
		}
	}
	if len(got.Rows) != 3 || *got.Rows[0][6] != strings.Repeat("9", 38) || *got.Rows[1][6] != "-"+strings.Repeat("9", 38) || got.Rows[2][6] != nil || *got.Rows[0][20] != "[1, None, 3]" || *got.Rows[0][22] != "{'a': 1, 'b': ['x', None]}" {
		t.Errorf("%s", out)
	}
}
