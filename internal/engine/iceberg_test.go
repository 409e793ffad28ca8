package engine_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// icebergField is a column, or a part of one, as PyIceberg has it.
type icebergField struct {
	ID       int            `json:"id"`
	Name     string         `json:"name"`
	Type     string         `json:"type"` // parts of nested types stand in Parts
	Required bool           `json:"required"`
	Parts    []icebergField `json:"parts"`
}

// icebergTable is what testdata/iceberg/read.py prints of a table.
type icebergTable struct {
	Fields  []icebergField `json:"fields"`
	Key     []int          `json:"key"`
	UUID    string         `json:"uuid"`
	Version int            `json:"version"`
	Records int            `json:"records"`
	icebergRows
}

// icebergRows are rows as texts, by a scan and by the files themselves.
type icebergRows struct {
	Scan  []string `json:"scan"`
	Files []string `json:"files"`
}

// TestIcebergReaders: PyIceberg reads from the base what tarn answers: schema,
// field ids, identifier fields and every row. It runs where $TARN_TEST_PYTHON, or
// python3, has pyiceberg.
func TestIcebergReaders(t *testing.T) {
	python := pythonWithIceberg(t)
	t.Run("rewritten", func(t *testing.T) { readIcebergLake(t, python, 0, 2) })
	t.Run("marked", func(t *testing.T) { readIcebergLake(t, python, 1, 2) })
	t.Run("marked by vectors", func(t *testing.T) { readIcebergLake(t, python, 1, 3) })
}

func pythonWithIceberg(t *testing.T) string {
	t.Helper()
	python := cmp.Or(os.Getenv("TARN_TEST_PYTHON"), "python3")
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import pyiceberg, pyarrow").CombinedOutput(); err != nil {
		t.Skipf("%s has no pyiceberg with pyarrow (pip install 'pyiceberg[pyarrow]'; TARN_TEST_PYTHON names a python): %v: %s", python, err, out)
	}
	return python
}

// readIcebergLake compares a lake's tables of a format version, compacted with a dead share.
func readIcebergLake(t *testing.T, python string, share float64, version int) {
	dir, seed := t.TempDir(), testSeed(t)
	o := openLake(t, dir, func(o *engine.Options) {
		o.Settings.TargetFileBytes, o.Settings.CompactDeadShare, o.Settings.IcebergFormatVersion = 64<<10, share, version
	})
	defer func() { o.close() }()
	tt := newTypeTable()
	keys := map[string][]string{
		"keyed": {"id"}, "keyless": nil, "empty": {"id"}, "emptied": {"id"}, "moved.renamed": {"id"},
		"composite": {"c17", "c13", "id"}, "many": {"w", "d"},
	}
	create := func(d string, columns ...string) { o.create(d, schema(t, keys[d], columns...)) }
	body := strings.Split(strings.TrimSpace(tt.text(rows.NDJSON)), "\n")
	for _, d := range []string{"keyed", "keyless", "empty", "emptied"} {
		create(d, tt.columns...)
	}
	o.change("keyed", engine.OpUpsert, body...)
	o.compact("keyed")
	o.change("keyed", engine.OpDelete, `{"id":1}`, `{"id":3}`)
	o.change("keyed", engine.OpUpsert, append(body[2:4:4], strings.Replace(body[0], `"id":0`, `"id":-9`, 1))...)
	o.change("keyless", engine.OpUpsert, body...)
	o.compact("keyless")
	o.change("keyless", engine.OpUpsert, body...)
	o.did(2, "delete from keyless where id = 1")
	o.did(2, "update keyless set id = 100 where id = 0")
	o.change("keyless", engine.OpUpsert, body...)
	o.change("emptied", engine.OpUpsert, body...)
	o.compact("emptied")
	for i := range body {
		o.change("emptied", engine.OpDelete, fmt.Sprintf(`{"id":%d}`, i))
	}
	create("composite", tt.columns...)
	var whole []string // rows whose key columns are not null
	for i, row := range tt.rows {
		if row[18].json != "null" && row[14].json != "null" {
			whole = append(whole, body[i])
		}
	}
	o.change("composite", engine.OpUpsert, whole...)
	icebergMany(o, keys["many"], rand.New(rand.NewPCG(uint64(seed), 1)))
	o.create("before", schema(t, []string{"id"}, tt.columns...))
	o.change("before", engine.OpUpsert, body[:3]...)
	o.compact("before")
	if _, err := o.Rename(t.Context(), name(t, "before"), name(t, "moved.renamed"), engine.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	o.change("moved.renamed", engine.OpUpsert, body[2:]...)
	o.compactAll()

	var names, metadata, answers []string
	for d := range keys {
		names = append(names, d)
	}
	slices.Sort(names)
	for i, d := range names {
		metadata = append(metadata, currentMetadata(t, dir, d))
		answers = append(answers, filepath.Join(t.TempDir(), fmt.Sprint(i)))
		if err := os.WriteFile(answers[i], o.bytes("FROM "+d, rows.OutArrow), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tables, want := readIceberg(t, python, metadata, answers)
	for i, d := range names {
		got := tables[i]
		desc, err := o.Describe(t.Context(), name(t, d))
		if err != nil {
			t.Fatal(err)
		}
		if got.UUID != desc.ReadPoint.TableUUID || got.Version != desc.FormatVersion || share == 0 && int64(got.Records) != desc.Rows || desc.PendingRows != 0 || len(want[i].Files) != int(desc.Rows) {
			t.Errorf("%s: uuid %s, version %d, %d records; tarn describes %+v and answers %d rows", d, got.UUID, got.Version, got.Records, desc, len(want[i].Files))
		}
		if d == "many" && desc.Files < 2 {
			t.Errorf("many is one file, so that this tests less than it says")
		}
		if !slices.Equal(got.Scan, want[i].Scan) {
			t.Errorf("%s: a scan: %s", d, firstDifference(got.Scan, want[i].Scan))
		}
		if !slices.Equal(got.Files, want[i].Files) {
			t.Errorf("%s: the files: %s", d, firstDifference(got.Files, want[i].Files))
		}
		fields, key := icebergOf(t, desc)
		if g, w := fmt.Sprintf("%+v", got.Fields), fmt.Sprintf("%+v", fields); g != w {
			t.Errorf("%s: schema\n got %s\nwant %s", d, g, w)
		}
		if !slices.Equal(got.Key, key) {
			t.Errorf("%s: identifier fields %v, want %v", d, got.Key, key)
		}
	}
	deletes, err := filepath.Glob(filepath.Join(dir, "base/*/*/data/deletes-*.parquet"))
	if err != nil || len(deletes) > 0 != (share > 0) {
		t.Errorf("with a dead share of %v there are %d delete files; %v", share, len(deletes), err)
	}
	o.verifyClean()
}

// icebergMany makes a dataset of several files, changed here and there and
// folded more than once; the last fold leaves most files as they are.
func icebergMany(o *opened, key []string, rnd *rand.Rand) {
	o.t.Helper()
	keyOf := func(n int) string {
		return fmt.Sprintf(`"w":"%02d and then the same for all","d":"%d.%02d"`, n%50, n-10000, n%100)
	}
	row := func(n int) string {
		return fmt.Sprintf(`{%s,"x":%v,"l":["%x",null]}`, keyOf(n), rnd.Float64(), rnd.Uint32())
	}
	o.create("many", schema(o.t, key, "d DECIMAL(12,2)", "w VARCHAR", "x DOUBLE", "l VARCHAR[]"))
	const have = 125_000 // more than a row group, of which a file has at least one
	var lines []string
	for n := range have {
		lines = append(lines, row(n))
	}
	if _, err := o.importText("many", engine.ImportAppend, rows.NDJSON, nil, "", strings.Join(lines, "\n")); err != nil {
		o.t.Fatal(err)
	}
	for round := range 3 {
		lines = nil
		for range 300 {
			n := rnd.IntN(have + 500)
			if round == 2 {
				n -= n % 50
			}
			if n%3 == 0 {
				lines = append(lines, `{"op":"delete","key":{`+keyOf(n)+`}}`)
			} else {
				lines = append(lines, `{"op":"upsert","row":`+row(n)+`}`)
			}
		}
		o.change("many", engine.OpChanges, lines...)
		if c := o.compact("many"); round == 2 && c.FilesKept == 0 {
			o.t.Errorf("many: a change of few keys leaves no file as it is: %+v", c)
		}
	}
}

// currentMetadata finds a dataset's Iceberg metadata file as a stranger would:
// by the newest version of the catalog.
func currentMetadata(t *testing.T, dir, dataset string) string {
	t.Helper()
	versions, err := filepath.Glob(filepath.Join(dir, "catalog", "*.json"))
	if err != nil || len(versions) == 0 {
		t.Fatalf("no catalog version in %s: %v", dir, err)
	}
	slices.Sort(versions)
	var v struct {
		Datasets []struct{ Namespace, Name, Metadata string }
	}
	if err := json.Unmarshal(readFile(t, versions[len(versions)-1]), &v); err != nil {
		t.Fatal(err)
	}
	n := name(t, dataset)
	for _, d := range v.Datasets {
		if d.Namespace == n.Namespace && d.Name == n.Dataset {
			return filepath.Join(dir, filepath.FromSlash(d.Metadata))
		}
	}
	t.Fatalf("%s is not in %s", dataset, versions[len(versions)-1])
	return ""
}

func readIceberg(t *testing.T, python string, metadata, answers []string) ([]icebergTable, []icebergRows) {
	t.Helper()
	asked, err := json.Marshal(map[string][]string{"tables": metadata, "answers": answers})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/iceberg/read.py")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(asked), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("read.py: %v: %s", err, stderr.String())
	}
	var got struct {
		Tables  []icebergTable `json:"tables"`
		Answers []icebergRows  `json:"answers"`
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	return got.Tables, got.Answers
}

// icebergOf is the Iceberg schema that a description asks for: the ids of a new
// table, key columns required and nothing else.
func icebergOf(t *testing.T, d engine.Description) ([]icebergField, []int) {
	t.Helper()
	s := lake.Schema{Key: d.PrimaryKey}
	for _, c := range d.Columns {
		typ, err := lake.ParseType(c.Type)
		if err != nil {
			t.Fatal(err)
		}
		s.Columns = append(s.Columns, lake.Column{Name: c.Name, Type: typ, Nullable: c.Nullable})
	}
	s = s.WithFieldIDs()
	key := []int{}
	for _, i := range s.KeyIndexes() {
		key = append(key, s.Columns[i].ID)
	}
	slices.Sort(key)
	return icebergFields(s.Columns), key
}

var icebergNames = map[lake.Kind]string{
	lake.Boolean: "boolean", lake.Integer: "int", lake.Bigint: "long", lake.Float: "float", lake.Double: "double",
	lake.Varchar: "string", lake.Blob: "binary", lake.UUID: "uuid", lake.Date: "date", lake.Time: "time",
	lake.Timestamp: "timestamp", lake.TimestampTZ: "timestamptz", lake.List: "list", lake.Struct: "struct", lake.Map: "map",
}

func icebergFields(columns []lake.Column) []icebergField {
	out := make([]icebergField, len(columns))
	for i, c := range columns {
		out[i] = icebergField{c.ID, c.Name, icebergNames[c.Type.Kind], !c.Nullable, icebergFields(c.Type.Fields)}
		if c.Type.Kind == lake.Decimal {
			out[i].Type = fmt.Sprintf("decimal(%d, %d)", c.Type.Precision, c.Type.Scale)
		}
	}
	return out
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("row %d of %d and %d\n got %s\nwant %s", i, len(got), len(want), got[i], want[i])
		}
	}
	return fmt.Sprintf("%d rows, want %d", len(got), len(want))
}
