package job_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

func TestImportKeyed(t *testing.T) {
	runners(t, func(t *testing.T, r job.Runner) {
		db := openSQL(t)
		a := db.parquet("a.parquet", "SELECT (i * 7919 % 500000)::INTEGER AS id, 'n' || i AS name FROM range(0, 500000, 2) t(i)")
		b := db.parquet("b.parquet", "SELECT 'n' || i AS NAME, (i * 7919 % 500000)::INTEGER AS id FROM range(1, 500000, 2) t(i)")
		res := must(t)(importing(t, r, job.Import{Files: []job.InputFile{a, b}, Key: []string{"ID"}},
			func(s *job.Spec) { s.TargetFileBytes = 1 << 20; s.Threads = 4 }))
		if res.Rows != 500000 || res.FinalRows != 500000 || len(res.Outputs) < 2 {
			t.Fatalf("%+v", res)
		}
		if got := res.Schema; got.Columns[0].Type.Kind != lake.Bigint || got.Columns[0].ID != 1 || got.Columns[0].Nullable || got.Key[0] != "id" {
			t.Fatalf("%+v", got)
		}
		db.exec("SET threads = 1")
		if got := db.rows("SELECT id FROM (SELECT id, lag(id) OVER () AS p FROM read_parquet(%s)) WHERE p >= id", files(res.Outputs)); len(got) > 0 {
			t.Fatalf("not in order at %v", got)
		}
		got := db.rows("SELECT count(*), count(DISTINCT id), min(id), max(id), count(*) FILTER (name = 'n' || id) FROM read_parquet(%s)", files(res.Outputs))
		want := db.rows("SELECT count(*), count(DISTINCT id), min(id), max(id), count(*) FILTER (name = 'n' || id) FROM (SELECT id, name FROM '%s' UNION ALL SELECT id, name FROM '%s')", a.Path, b.Path)
		if !slices.Equal(got, want) {
			t.Fatalf("%v where %v is expected", got, want)
		}
	})
}

// A file that comes in the order of its key is not sorted, and one row that is out
// of order, double or null is found wherever it stands.
func TestImportOfASortedFile(t *testing.T) {
	db := openSQL(t)
	const sorted = "SELECT i // 3 AS a, (i % 3)::VARCHAR AS b, (hash(i) % 1000)::BIGINT AS v FROM range(400000) t(i)"
	bring := func(query string, dup string) (job.Result, error) {
		in := db.parquet("in.parquet", query)
		return importing(t, job.Inside{}, job.Import{Files: []job.InputFile{in}, Key: []string{"a", "b"}, OnDuplicate: dup},
			func(s *job.Spec) { s.TargetFileBytes, s.Threads = 1<<19, 4 })
	}
	check := func(res job.Result, want string) {
		t.Helper()
		db.exec("SET threads = 1")
		if len(res.Outputs) < 2 {
			t.Fatalf("%d outputs", len(res.Outputs))
		}
		got := db.rows("SELECT count(*), sum(a), sum(v) FROM read_parquet(%s)", files(res.Outputs))
		if want := db.rows("SELECT count(*), sum(a), sum(v) FROM (%s)", want); !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
		if got := db.rows("SELECT a FROM (SELECT a, b, lag((a, b)) OVER () AS p FROM read_parquet(%s)) WHERE p >= (a, b) LIMIT 3", files(res.Outputs)); len(got) > 0 {
			t.Fatalf("not in order at %v", got)
		}
		db.exec("SET threads = 2")
	}
	for _, dup := range []string{job.OnDuplicateError, job.OnDuplicateLast} {
		check(must(t)(bring(sorted, dup)), sorted)
		check(must(t)(bring(sorted+" UNION ALL SELECT -1, '0', 7", dup)), sorted+" UNION ALL SELECT -1, '0', 7")
	}
	_, err := bring(sorted+" UNION ALL SELECT 133333, '0', 7", job.OnDuplicateError)
	wantCode(t, err, lake.CodeKeyConflict, "133333")
	_, err = bring(sorted+" UNION ALL SELECT 200000, NULL, 7", job.OnDuplicateLast)
	wantCode(t, err, lake.CodeKeyConflict)
	check(must(t)(bring(sorted+" UNION ALL SELECT 133333, '0', 7", job.OnDuplicateLast)),
		"SELECT * FROM ("+sorted+") WHERE (a, b) <> (133333, '0') UNION ALL SELECT 133333, '0', 7")
}

func TestImportKeepsOrderOfArrival(t *testing.T) {
	db := openSQL(t)
	a := db.parquet("a.parquet", "SELECT i AS n, hash(i)::VARCHAR AS h FROM range(400000) t(i)")
	var csv strings.Builder
	csv.WriteString("h,n\n")
	for i := range 1000 {
		fmt.Fprintf(&csv, "x,%d\n", 400000+i)
	}
	b := write(t, "b.csv", rows.CSV, csv.String())
	c := write(t, "c.ndjson", rows.NDJSON, `{"n": 401000, "h": "y"}`+"\n"+`{"n": 401001, "h": null}`+"\n")
	d := db.parquet("d.parquet", "SELECT i AS n, hash(i)::VARCHAR AS h FROM range(401002, 700000) t(i)")
	e := db.parquet("e.parquet", "SELECT hash(i)::VARCHAR AS h, i AS n FROM range(400000, 700000) t(i)")
	for _, in := range [][]job.InputFile{{a}, {a, b, c, d}, {a, e}} {
		res := must(t)(importing(t, job.Inside{}, job.Import{Files: in}, func(s *job.Spec) { s.TargetFileBytes = 1 << 20; s.Threads = 4 }))
		db.exec("SET threads = 1")
		if got := db.rows("SELECT n FROM (SELECT n, row_number() OVER () - 1 AS want FROM read_parquet(%s)) WHERE n <> want LIMIT 3", files(res.Outputs)); len(got) > 0 || len(res.Outputs) < 2 {
			t.Fatalf("%d outputs, not in order of arrival at %v", len(res.Outputs), got)
		}
	}
}

func TestImportTypes(t *testing.T) {
	db := openSQL(t)
	in := db.parquet("types.parquet", `SELECT true AS bo, 1::TINYINT AS i8, 2::USMALLINT AS u16, 3::INTEGER AS i32, 4::UINTEGER AS u32, 5::BIGINT AS i64,
		18446744073709551615::UBIGINT AS u64, 1.5::FLOAT AS f, 2.5::DOUBLE AS d, 1.25::DECIMAL(5,2) AS d5, 1.25::DECIMAL(15,2) AS d15,
		99999999999999999999999999999999999.99::DECIMAL(37,2) AS d37, 'é' AS v, '\x00\xff'::BLOB AS b, uuid '00000000-0000-0000-0000-0000000000ff' AS u,
		DATE '2024-01-02' AS da, TIME '01:02:03.000004' AS ti, TIMESTAMP '2024-01-02 03:04:05.000006' AS ts, TIMESTAMP_NS '2024-01-02 03:04:05.000006' AS tns,
		TIMESTAMPTZ '2024-01-02 03:04:05+02' AS tz, [1::TINYINT, NULL] AS l, {'a': 1::SMALLINT, 'B c': [{'x': 2::UBIGINT}]} AS st, MAP {'k': 1::UTINYINT} AS m,
		'x' AS file_row_number, 'y' AS filename, 'z' AS file_index, TIMETZ '10:00:00+00' AS ttz`)
	res := must(t)(importing(t, job.Inside{}, job.Import{Files: []job.InputFile{in}, Key: []string{"u64", "u"}}))
	var got []string
	for _, c := range res.Schema.Columns {
		got = append(got, fmt.Sprintf("%s %s %d", c.Name, c.Type, c.ID))
	}
	want := strings.Split(`bo BOOLEAN 1;i8 BIGINT 2;u16 BIGINT 3;i32 BIGINT 4;u32 BIGINT 5;i64 BIGINT 6;u64 DECIMAL(20,0) 7;f FLOAT 8;d DOUBLE 9;d5 DECIMAL(5,2) 10;d15 DECIMAL(15,2) 11;`+
		`d37 DECIMAL(37,2) 12;v VARCHAR 13;b BLOB 14;u UUID 15;da DATE 16;ti TIME 17;ts TIMESTAMP 18;tns TIMESTAMP 19;tz TIMESTAMP WITH TIME ZONE 20;l BIGINT[] 21;`+
		`st STRUCT(a BIGINT, "B c" STRUCT(x DECIMAL(20,0))[]) 22;m MAP(VARCHAR, BIGINT) 23;file_row_number VARCHAR 24;filename VARCHAR 25;file_index VARCHAR 26;ttz TIME 27`, ";")
	if !slices.Equal(got, want) {
		t.Fatalf("types\n%v where\n%v are expected", got, want)
	}
	values := db.rows("SELECT u64, d37, v, b, u, ti, ts, tns, tz, l, st, m, file_row_number, filename, file_index, ttz FROM read_parquet(%s)", files(res.Outputs))
	if want := `18446744073709551615 | 99999999999999999999999999999999999.99 | é | \x00\xFF | 00000000-0000-0000-0000-0000000000ff | 01:02:03.000004 | 2024-01-02 03:04:05.000006 | 2024-01-02 03:04:05.000006 | 2024-01-02 01:04:05+00 | [1, NULL] | {'a': 1, 'B c': [{'x': 2}]} | {k=1} | x | y | z | 10:00:00`; values[0] != want {
		t.Fatalf("%s where\n%s is expected", values[0], want)
	}
	ids := db.rows("SELECT string_agg(name || ' ' || field_id, ';') FROM parquet_schema('%s') WHERE field_id > 20", res.Outputs[0].Path)
	if want := "l 21;element 28;st 22;a 29;B c 30;element 31;x 32;m 23;key 33;value 34;file_row_number 24;filename 25;file_index 26;ttz 27"; ids[0] != want {
		t.Fatalf("field ids %s where %s are expected", ids[0], want)
	}
	logical := db.rows("SELECT name || ' ' || coalesce(logical_type, converted_type, type) FROM parquet_schema('%s') WHERE name IN ('u', 'tz', 'ts', 'ti', 'd37')", res.Outputs[0].Path)
	for i, want := range []string{"d37 Decimal", "u UUID", "ti TimeType(isAdjustedToUTC=0", "ts TimestampType(isAdjustedToUTC=0", "tz TimestampType(isAdjustedToUTC=1"} {
		if !strings.HasPrefix(logical[i], want) {
			t.Errorf("%s where %s is expected", logical[i], want)
		}
	}
}

func TestImportRefusesTypes(t *testing.T) {
	db := openSQL(t)
	for _, c := range []struct{ expr, code, says string }{
		{"INTERVAL 1 DAY", "unsupported", `column "x"`},
		{"TIMESTAMP_NS '2024-01-01 00:00:00.000000001'", "rows_invalid", "in.parquet row 1"},
		{"1::BIT", "unsupported", `column "x"`},
		{"1 AS y, 2 AS _tarn_op, 3", "invalid_request", "_tarn_op"},
	} {
		in := db.parquet("in.parquet", "SELECT "+c.expr+" AS x")
		_, err := importing(t, job.Inside{}, job.Import{Files: []job.InputFile{in}})
		if c.expr == "1::BIT" && err == nil {
			continue // its Parquet is plain bytes
		}
		wantCode(t, err, lake.Code(c.code), c.says)
	}
}

func TestImportFormatsAgree(t *testing.T) {
	db := openSQL(t)
	csv := write(t, "a.csv", rows.CSV, "id,price,day,name\n1,1.5,2024-01-02,ann\n2,2,2024-01-03,\"\"\n3,,,\n")
	semicolon := write(t, "b.csv", rows.CSV, "id;price;day;name\n4;1.5;2024-01-02;\"a;b\"\n")
	js := write(t, "c.json", rows.JSON, `[{"id": 5, "price": 1.5, "day": "2024-01-02", "name": "x"}, {"id": 6, "price": 2.5, "day": null, "name": null}]`)
	nd := write(t, "d.ndjson", rows.NDJSON, `{"id": 7, "price": 1.5, "day": "2024-01-02", "name": "x"}`+"\n")
	var z bytes.Buffer
	zw := gzip.NewWriter(&z)
	fmt.Fprint(zw, "id,price,day,name\n8,1.5,2024-01-02,gz\n")
	zw.Close()
	gz := write(t, "e.csv.gz", rows.CSV, z.String())
	in := []job.InputFile{csv, semicolon, js, nd, gz, db.parquet("f.parquet", "SELECT 9 AS id, 1.5::DOUBLE AS price, DATE '2024-01-02' AS day, 'p' AS name")}
	created := must(t)(importing(t, job.Inside{}, job.Import{Files: in, Key: []string{"id"}}))
	want := []string{"1 | 1.5 | 2024-01-02 | ann", "2 | 2.0 | 2024-01-03 | ", "3 | NULL | NULL | NULL", "4 | 1.5 | 2024-01-02 | a;b",
		"5 | 1.5 | 2024-01-02 | x", "6 | 2.5 | NULL | NULL", "7 | 1.5 | 2024-01-02 | x", "8 | 1.5 | 2024-01-02 | gz", "9 | 1.5 | 2024-01-02 | p"}
	if got := db.rows("FROM read_parquet(%s)", files(created.Outputs)); !slices.Equal(got, want) {
		t.Fatalf("inferred:\n%s", strings.Join(got, "\n"))
	}
	again := must(t)(importing(t, job.Inside{}, job.Import{Files: in, Schema: created.Schema}))
	if got := db.rows("FROM read_parquet(%s)", files(again.Outputs)); !slices.Equal(got, want) {
		t.Fatalf("with a schema:\n%s", strings.Join(got, "\n"))
	}
}

func TestImportUnifiesTypes(t *testing.T) {
	db := openSQL(t)
	for name, c := range map[string]struct {
		in   []job.InputFile
		typ  string
		rows []string
	}{
		"long and double": {[]job.InputFile{write(t, "a.csv", rows.CSV, "x\n1\n"), write(t, "b.csv", rows.CSV, "x\n1.5\n")}, "DOUBLE", []string{"1.0", "1.5"}},
		"text of CSV":     {[]job.InputFile{write(t, "a.csv", rows.CSV, "x\n007\n"), write(t, "b.csv", rows.CSV, "x\nabc\n")}, "VARCHAR", []string{"007", "abc"}},
		"empty column":    {[]job.InputFile{write(t, "a.csv", rows.CSV, "x,y\n,1\n"), write(t, "b.csv", rows.CSV, "x,y\n5,1\n")}, "BIGINT", []string{"NULL | 1", "5 | 1"}},
		"decimals":        {[]job.InputFile{db.parquet("a", "SELECT 1.5::DECIMAL(5,1) AS x"), db.parquet("b", "SELECT 1.25::DECIMAL(6,4) AS x")}, "DECIMAL(8,4)", []string{"1.5000", "1.2500"}},
	} {
		t.Run(name, func(t *testing.T) {
			res := must(t)(importing(t, job.Inside{}, job.Import{Files: c.in}))
			if got := res.Schema.Columns[0].Type.SQL(); got != c.typ {
				t.Fatalf("%s where %s is expected", got, c.typ)
			}
			if got := db.rows("FROM read_parquet(%s)", files(res.Outputs)); !slices.Equal(got, c.rows) {
				t.Fatalf("%v where %v is expected", got, c.rows)
			}
		})
	}
	_, err := importing(t, job.Inside{}, job.Import{Files: []job.InputFile{db.parquet("a", "SELECT 9007199254740993 AS x"), db.parquet("b", "SELECT 1.5::DOUBLE AS x")}})
	wantCode(t, err, lake.CodeInvalidRequest, "9007199254740993")
	_, err = importing(t, job.Inside{}, job.Import{Files: []job.InputFile{db.parquet("a", "SELECT 1 AS x"), db.parquet("b", "SELECT 'a' AS x")}})
	wantCode(t, err, lake.CodeRowsInvalid, `"x"`, "BIGINT in a", "VARCHAR in b")
}

func TestImportNamesFaults(t *testing.T) {
	runners(t, func(t *testing.T, r job.Runner) {
		good := write(t, "good.csv", rows.CSV, "id,n\n1,2\n")
		for _, c := range []struct {
			in   job.InputFile
			code lake.Code
			says []string
		}{
			{write(t, "missing.csv", rows.CSV, "id\n1\n"), lake.CodeRowsInvalid, []string{"missing.csv", `"n"`}},
			{write(t, "extra.csv", rows.CSV, "id,n,z\n1,2,3\n"), lake.CodeRowsInvalid, []string{"extra.csv", `"z"`}},
			{write(t, "short.csv", rows.CSV, "id,n\n1,2\n3\n4,5\n6,7\n"), lake.CodeRowsInvalid, []string{"short.csv", "row 2", "1 fields"}},
			{write(t, "bad.json", rows.JSON, "[{\"id\": 1,\n \"n\": }]"), lake.CodeInvalidRequest, []string{"bad.json"}},
			{write(t, "bad.ndjson", rows.NDJSON, "{\"id\": 1, \"n\": 2}\n{\"id\": \n"), lake.CodeInvalidRequest, []string{"bad.ndjson", "row 2"}},
			{write(t, "bad.parquet", rows.Parquet, "not a file"), lake.CodeInvalidRequest, []string{"bad.parquet"}},
			{job.InputFile{Path: "/nowhere/x.csv", Name: "x.csv", Format: rows.CSV}, lake.CodeNotFound, []string{"x.csv"}},
		} {
			_, err := importing(t, r, job.Import{Files: []job.InputFile{good, c.in}})
			wantCode(t, err, c.code, c.says...)
			if err != nil && strings.Contains(err.Error(), os.TempDir()) {
				t.Errorf("the error shows a path: %v", err)
			}
			t.Log(err)
		}
	})
}

func TestImportKeyConflicts(t *testing.T) {
	runners(t, func(t *testing.T, r job.Runner) {
		db := openSQL(t)
		a := write(t, "a.csv", rows.CSV, "k,s,v\n1,x,1\n2,x,2\n1,x,3\n3,y,4\n")
		b := write(t, "b.csv", rows.CSV, "k,s,v\n3,y,5\n1,x,6\n")
		im := job.Import{Files: []job.InputFile{a, b}, Key: []string{"k", "s"}, OnDuplicate: job.OnDuplicateError}
		_, err := importing(t, r, im)
		wantCode(t, err, lake.CodeKeyConflict, "(1, x)", "a.csv row 1", "a.csv row 3", "b.csv row 2", "(3, y)", "3 rows")
		im.OnDuplicate = job.OnDuplicateLast
		res := must(t)(importing(t, r, im))
		if got, want := db.rows("FROM read_parquet(%s)", files(res.Outputs)), []string{"1 | x | 6", "2 | x | 2", "3 | y | 5"}; !slices.Equal(got, want) || res.Rows != 6 || res.FinalRows != 3 {
			t.Fatalf("%v, %+v", got, res)
		}
		null := write(t, "n.csv", rows.CSV, "k,s,v\n9,z,1\n,z,2\n")
		for _, dup := range []string{job.OnDuplicateError, job.OnDuplicateLast} {
			_, err = importing(t, r, job.Import{Files: []job.InputFile{a, null}, Key: []string{"k"}, OnDuplicate: dup})
			wantCode(t, err, lake.CodeKeyConflict, "null in 1 rows", "n.csv row 2")
		}
	})
}

func TestImportOfNothing(t *testing.T) {
	db := openSQL(t)
	for _, key := range [][]string{nil, {"a"}} {
		res := must(t)(importing(t, job.Inside{}, job.Import{Files: []job.InputFile{db.parquet("e.parquet", "SELECT 1 AS a WHERE false")}, Key: key}))
		if len(res.Outputs) != 0 || res.Rows != 0 {
			t.Fatalf("%+v", res)
		}
	}
}

// Files are about the target's size whatever the rows and the input's compression, and
// a row group at least.
func TestFileSizes(t *testing.T) {
	db := openSQL(t)
	const target = 8 << 20
	wide := db.parquet("wide.parquet", "SELECT i AS k, array_to_string([sha256((i*16+j)::VARCHAR) FOR j IN range(16)], '') AS v FROM range(60000) t(i)")
	packed := filepath.Join(t.TempDir(), "packed.parquet")
	db.exec("COPY (SELECT i AS k, (i // 7)::VARCHAR || 'some text that repeats ' || (i %% 50) AS v FROM range(1500000) t(i) ORDER BY hash(i)) TO '%s' (COMPRESSION zstd, PARQUET_VERSION v2)", packed)
	for _, key := range [][]string{nil, {"k"}} {
		for _, in := range []job.InputFile{wide, {Path: packed, Name: "packed.parquet", Format: rows.Parquet}} {
			res := must(t)(importing(t, job.Inside{}, job.Import{Files: []job.InputFile{in}, Key: key}, func(s *job.Spec) { s.TargetFileBytes, s.Threads = target, 2 }))
			for i, o := range res.Outputs {
				if o.Bytes > 2*target || o.Bytes < target/3 && i < len(res.Outputs)-1 {
					t.Errorf("%s by %v: file %d of %d has %d bytes where the target is %d", in.Name, key, i+1, len(res.Outputs), o.Bytes, target)
				}
			}
		}
	}
}

// Rows of 25 KB each go through the memory that jobs have by default.
func TestWideRows(t *testing.T) {
	if testing.Short() {
		t.Skip("writes some hundred MB")
	}
	db := openSQL(t)
	in := db.parquet("wide.parquet", "SELECT i AS k, repeat(sha256(i::VARCHAR), 400) AS v FROM range(24000) t(i)")
	for _, key := range [][]string{nil, {"k"}} {
		res, err := importing(t, process(t), job.Import{Files: []job.InputFile{in}, Key: key}, func(s *job.Spec) { s.MemoryLimitBytes, s.Threads = 512<<20, 2 })
		if err != nil || res.FinalRows != 24000 {
			t.Errorf("by %v: %d rows, %v", key, res.FinalRows, err)
		}
	}
}
