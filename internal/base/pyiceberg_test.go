package base_test

import (
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/google/uuid"

	"tarn/internal/base"
)

// readTable prints what PyIceberg finds behind a metadata file, as JSON.
const readTable = `
import json, sys
from pyiceberg.table import StaticTable
t = StaticTable.from_metadata(sys.argv[1])
rows = t.scan().to_arrow().sort_by("id").to_pylist()
print(json.dumps({
    "schema": [[f.field_id, f.name, str(f.field_type), f.required] for f in t.schema().fields],
    "key": sorted(t.schema().identifier_field_ids),
    "uuid": str(t.metadata.table_uuid),
    "version": t.metadata.format_version,
    "snapshots": len(t.metadata.snapshots),
    "total": t.current_snapshot().summary["total-records"],
    "folded": t.properties["tarn.folded-through"],
    "files": sorted(f.file.record_count for f in t.scan().plan_files()),
    "found": t.scan(row_filter="id == 2").to_arrow().num_rows,
    "rows": rows,
}, default=str))
`

// TestPyIceberg: another reader of Iceberg finds the same table. It runs where
// python3, or $TARN_TEST_PYTHON, has pyiceberg.
func TestPyIceberg(t *testing.T) {
	python := cmp.Or(os.Getenv("TARN_TEST_PYTHON"), "python3")
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import pyiceberg, pyarrow").CombinedOutput(); err != nil {
		t.Skipf("%s has no pyiceberg with pyarrow (pip install 'pyiceberg[pyarrow]'): %v: %s", python, err, lastLine(out))
	}
	l := newLab(t)
	s := schemaOf(t, []string{"code", "id"},
		column(t, "id", "BIGINT", false), column(t, "code", "VARCHAR", false), column(t, "ok", "BOOLEAN", true),
		column(t, "amount", "DECIMAL(38,10)", true), column(t, "u", "UUID", true), column(t, "day", "DATE", true),
		column(t, "ts", "TIMESTAMP", true), column(t, "tz", "TIMESTAMPTZ", true), column(t, "tm", "TIME", true),
		column(t, "bin", "BLOB", true), column(t, "l", "BIGINT[]", true), column(t, "st", "STRUCT(a INTEGER, b VARCHAR[])", true),
		column(t, "m", "MAP(VARCHAR, DOUBLE)", true))
	table := l.create(s)
	file := func(ordinal int64, ids ...int64) base.NewFile {
		return l.takeIn(table, ordinal, func(b *array.RecordBuilder) {
			for _, id := range ids {
				b.Field(0).(*array.Int64Builder).Append(id)
				b.Field(1).(*array.StringBuilder).Append("é" + string(rune('a'+id)))
				b.Field(2).(*array.BooleanBuilder).Append(true)
				b.Field(3).(*array.Decimal128Builder).Append(decimal128.FromI64(-12_3456789012 * id))
				b.Field(4).(*extensions.UUIDBuilder).Append(uuid.MustParse("6f1e3a52-58b7-4d0c-9c0a-3f5a0e6b7c11"))
				b.Field(5).(*array.Date32Builder).Append(arrow.Date32(20000))
				b.Field(6).(*array.TimestampBuilder).Append(1_700_000_000_123_456)
				b.Field(7).(*array.TimestampBuilder).Append(1_700_000_000_123_456)
				b.Field(8).(*array.Time64Builder).Append(3_723_000_001)
				b.Field(9).(*array.BinaryBuilder).Append([]byte{0, 255})
				list := b.Field(10).(*array.ListBuilder)
				list.Append(true)
				list.ValueBuilder().(*array.Int64Builder).AppendValues([]int64{1, 2}, nil)
				st := b.Field(11).(*array.StructBuilder)
				st.Append(true)
				st.FieldBuilder(0).(*array.Int32Builder).Append(7)
				inner := st.FieldBuilder(1).(*array.ListBuilder)
				inner.Append(true)
				inner.ValueBuilder().(*array.StringBuilder).Append("x")
				m := b.Field(12).(*array.MapBuilder)
				m.Append(true)
				m.KeyBuilder().(*array.StringBuilder).Append("k")
				m.ItemBuilder().(*array.Float64Builder).Append(0.5)
			}
		})
	}
	table = l.commit(table, base.Change{Kind: base.KindAppend, Add: []base.NewFile{file(0, 1, 2), file(1, 3)}})
	table = l.commit(table, base.Change{Kind: base.KindFold, FoldedThrough: 4, Remove: l.files(table)[:1], Add: []base.NewFile{file(0, 1, 2, 4)}})

	cmd := exec.CommandContext(t.Context(), python, "-c", readTable, table.MetadataURI())
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var got struct {
		Schema    [][]any
		Key       []int
		UUID      string
		Version   int
		Snapshots int
		Total     string
		Folded    string
		Files     []int64
		Found     int
		Rows      []map[string]any
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got.UUID != table.UUID() || got.Version != 2 || got.Snapshots != 2 || got.Total != "4" || got.Folded != "4" || got.Found != 1 {
		t.Errorf("%s", out)
	}
	if len(got.Key) != 2 || got.Key[0] != 1 || got.Key[1] != 2 || len(got.Files) != 2 || got.Files[0] != 1 || got.Files[1] != 3 {
		t.Errorf("key %v, files %v", got.Key, got.Files)
	}
	types := []string{"long", "string", "boolean", "decimal(38, 10)", "uuid", "date", "timestamp", "timestamptz", "time", "binary", "list<long>",
		"struct<15: a: optional int, 16: b: optional list<string>>", "map<string, double>"}
	for i, c := range s.Columns {
		f := got.Schema[i]
		if int(f[0].(float64)) != c.ID || f[1] != c.Name || f[2] != types[i] || f[3] != !c.Nullable {
			t.Errorf("column %v, want %d %s %s", f, c.ID, c.Name, types[i])
		}
	}
	if len(got.Rows) != 4 {
		t.Fatalf("%d rows: %s", len(got.Rows), out)
	}
	want := `{"amount":"-24.6913578024","bin":"b'\\x00\\xff'","code":"éc","day":"2024-10-04","id":2,"l":[1,2],"m":[["k",0.5]],"ok":true,"st":{"a":7,"b":["x"]},"tm":"01:02:03.000001","ts":"2023-11-14 22:13:20.123456","tz":"2023-11-14 22:13:20.123456+00:00","u":"6f1e3a52-58b7-4d0c-9c0a-3f5a0e6b7c11"}`
	if row, err := json.Marshal(got.Rows[1]); err != nil || string(row) != want {
		t.Errorf("row %s\nwant %s", row, want)
	}
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
