package serving

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"tarn/internal/lake"
)

// Rows keep the values of their own in columns of every nesting, wherever in a
// batch they stand.
func TestAppendRowsOfSlices(t *testing.T) {
	l := newTestLake(t, Options{}).begin()
	columns := []string{"a BIGINT", "p STRUCT(a BIGINT, b VARCHAR)", "l BIGINT[]", "m MAP(VARCHAR, BIGINT)", "ls STRUCT(x BIGINT)[]", "ok BOOLEAN", "sb STRUCT(ok BOOLEAN, s STRUCT(y BIGINT))"}
	s := schemaOf(t, "", columns...)
	var objects []string
	for i := range 3000 {
		objects = append(objects, fmt.Sprintf(`{"a":%d,"p":{"a":%d,"b":"%d"},"l":[%d],"m":[["k",%d]],"ls":[{"x":%d}],"ok":%v,"sb":{"ok":%v,"s":{"y":%d}}}`, i, i, i, i, i, i, i%3 == 0, i%3 == 0, i))
	}
	whole := decode(t, s, objects)
	marked := make([]bool, whole[0].NumRows())
	for i := range marked {
		marked[i] = i%3 == 1
	}
	for name, batches := range map[string][]arrow.RecordBatch{
		"whole": whole,
		"slice": {whole[0].NewSlice(5, 15)},
		"picks": {pick(whole[0], marked)},
	} {
		sql := "CREATE OR REPLACE TABLE w ("
		for i, c := range s.Columns {
			if i > 0 {
				sql += ", "
			}
			sql += c.Name + " " + c.Type.SQL()
		}
		l.exec(sql + ")")
		if err := l.conn.Append(t.Context(), "memory", "main", "w", batches); err != nil {
			t.Fatal(err)
		}
		rows, err := l.conn.Rows(t.Context(), `SELECT count(*) FROM w WHERE p.a <> a OR p.b <> a::VARCHAR OR l[1] <> a OR m['k'] <> a
			OR ls[1].x <> a OR ok <> (a % 3 = 0) OR sb.ok <> (a % 3 = 0) OR sb.s.y <> a`)
		if err != nil || rows[0][0] != int64(0) {
			t.Errorf("%s: %v rows hold values of others: %v", name, rows, err)
		}
	}
}

// A filter on files finds what is in them, by value and by join, in columns of
// every type that can be compared, also where the files have Bloom filters.
func TestFiltersOnFiles(t *testing.T) {
	l := newTestLake(t, Options{}).begin()
	types := map[string]string{
		"i": "INTEGER", "n": "BIGINT", "d": "DECIMAL(10,2)", "dd": "DECIMAL(38,2)", "v": "VARCHAR", "b": "BLOB", "u": "UUID",
		"da": "DATE", "ti": "TIME", "ts": "TIMESTAMP", "tz": "TIMESTAMP WITH TIME ZONE", "f": "FLOAT", "g": "DOUBLE", "bo": "BOOLEAN",
	}
	values := map[string]string{
		"i": "(k - 2)::INTEGER", "n": "(k - 2) * 5000000000", "d": "(k - 2)::DECIMAL(10,2)", "dd": "(k - 2)::DECIMAL(38,2)", "v": "chr((k * 90 + 30)::INTEGER)",
		"b": "[''::BLOB, from_hex('00'), from_hex('0000'), from_hex('FF'), from_hex('80FE')][k + 1]", "u": "printf('%08x-0000-4000-8000-000000000000', k * 800000000)::UUID",
		"da": "DATE '1970-01-01' + (k - 2)::INTEGER", "ti": "TIME '00:00:01' + to_seconds(k)", "ts": "TIMESTAMP '1970-01-01' + to_seconds(k - 2)",
		"tz": "TIMESTAMPTZ '1970-01-01' + to_seconds(k - 2)", "f": "(k - 2)::FLOAT", "g": "(k - 2)::DOUBLE", "bo": "k > 2",
	}
	for col, typ := range types {
		s := schemaOf(t, "", "k BIGINT", col+" "+typ)
		f := lake.BaseFile{Key: "base/" + col + "/data/1.parquet", Rows: 200}
		f.Path = l.path(f.Key)
		l.exec(fmt.Sprintf("COPY (SELECT k, %s AS %s FROM (SELECT i %% 5 AS k FROM range(200) r(i))) TO %s (FORMAT parquet, FIELD_IDS {k: 1, %s: 2})", values[col], col, lake.QuoteString(f.Path), col))
		l.tell(publishEntry(lake.Publish{TableUUID: col, Name: name("t_" + col), Schema: s, Files: []lake.BaseFile{f}}))
		want := `{"n":200}`
		for _, sql := range []string{
			"SELECT count(*) AS n FROM (SELECT k, %[1]s AS x FROM (SELECT unnest(range(5)) AS k)) v JOIN t_%[2]s t ON t.%[2]s = v.x AND t.k = v.k",
			"SELECT (SELECT count(*) FROM t_%[2]s WHERE k = 0 AND %[2]s = %[3]s) * 5 AS n",
			"SELECT (SELECT count(*) FROM t_%[2]s WHERE k = 3 AND %[2]s = %[4]s) * 5 AS n",
			"SELECT (SELECT count(*) FROM t_%[2]s WHERE k = 3 AND %[2]s IN (%[4]s, %[3]s)) * 5 AS n",
		} {
			at := func(k int) string { return fmt.Sprintf("(SELECT %s FROM (SELECT %d::BIGINT AS k))", values[col], k) }
			got, _ := l.ask(fmt.Sprintf(sql, values[col], col, at(0), at(3)))
			same(t, typ+": "+sql, got, []string{want})
		}
		// As constants that the optimizer sees.
		for k := range 5 {
			spelled, err := l.conn.Rows(t.Context(), fmt.Sprintf("SELECT CASE WHEN '%s' = 'BLOB' THEN 'from_hex(''' || hex(x::VARCHAR::BLOB) || ''')' ELSE '''' || x::VARCHAR || '''::%s' END FROM (SELECT %s AS x FROM (SELECT %d::BIGINT AS k))", typ, typ, values[col], k))
			if err != nil {
				t.Fatal(err)
			}
			got, _ := l.ask(fmt.Sprintf("SELECT (SELECT count(*) FROM t_%[1]s WHERE k = %[2]d AND %[1]s = %[3]s) * 5 AS n", col, k, spelled[0][0]))
			same(t, fmt.Sprintf("%s = %s", typ, spelled[0][0]), got, []string{want})
		}
	}
}
