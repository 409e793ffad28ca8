package engine_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"testing"

	"tarn/internal/engine"
)

// TestIcebergReadsAlteredTables: PyIceberg reads a table whose schema changed as tarn
// answers, with files of every schema in it, also by filters on columns that were
// renamed, widened or added.
func TestIcebergReadsAlteredTables(t *testing.T) {
	python := pythonWithIceberg(t)
	dir := t.TempDir()
	o := openLake(t, dir, func(o *engine.Options) { o.Settings.TargetFileBytes, o.Settings.CompactDeadShare = 1, 1 })
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id INTEGER", "a VARCHAR", "f FLOAT", "d DECIMAL(4,2)", "gone BIGINT"))
	o.change("t", engine.OpUpsert, `{"id":1,"a":"x","f":0.5,"d":"1.25","gone":7}`, `{"id":2,"a":"y","f":1.5,"d":null,"gone":8}`)
	o.compact("t")
	o.alter("t RENAME a TO b, DROP gone, ALTER id TYPE BIGINT, ALTER f TYPE DOUBLE, ALTER d TYPE DECIMAL(20,2), ADD n BIGINT")
	o.change("t", engine.OpUpsert, `{"id":5000000000,"b":"x","f":1e300,"d":"1234567.25","n":3}`)
	o.compact("t")
	o.alter("t ADD gone VARCHAR, RENAME id TO key")
	o.change("t", engine.OpUpsert, `{"key":2,"b":"Y","f":2.5,"d":"2.50","n":4,"gone":"back"}`) // its row of before is marked dead
	o.compact("t")
	o.alter("t ADD last DATE") // nothing was folded since
	filters := []string{"", "key > 1", "key = 1", "f > 1.0", "d >= 1.25", "b = 'x'", "gone IS NULL", "n = 3", "last IS NULL"}
	var want [][]string
	for _, f := range filters {
		where := ""
		if f != "" {
			where = " WHERE " + f
		}
		got := o.rows("SELECT key, b, f, d::VARCHAR AS d, n, gone, last FROM t" + where)
		for i, r := range got { // floats as Python writes them
			var row []any
			dec := json.NewDecoder(bytes.NewReader([]byte(r)))
			dec.UseNumber()
			if err := dec.Decode(&row); err != nil {
				t.Fatal(err)
			}
			got[i] = fmt.Sprint(row)
		}
		slices.Sort(got)
		want = append(want, got)
	}
	if len(want[0]) != 3 || len(want[1]) != 2 {
		t.Fatalf("tarn answers %q", want)
	}
	asked, err := json.Marshal(map[string]any{"table": currentMetadata(t, dir, "t"), "filters": filters})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/iceberg/scan.py")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(asked), &stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("scan.py: %v: %s", err, stderr.String())
	}
	var scans [][]string
	if err := json.Unmarshal(text, &scans); err != nil {
		t.Fatal(err)
	}
	for i, f := range filters {
		for j, r := range scans[i] {
			var row []any
			dec := json.NewDecoder(bytes.NewReader([]byte(r)))
			dec.UseNumber()
			if err := dec.Decode(&row); err != nil {
				t.Fatal(err)
			}
			scans[i][j] = fmt.Sprint(row)
		}
		slices.Sort(scans[i])
		if !slices.Equal(scans[i], want[i]) {
			t.Errorf("%q: PyIceberg has\n%q\ntarn\n%q", f, scans[i], want[i])
		}
	}
}
