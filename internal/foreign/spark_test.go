package foreign

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	parquetfile "github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// TestSpark: tables of every format version as Spark writes them, partitioned and not, hold
// the same rows here, once the delete files that may apply are taken away.
func TestSpark(t *testing.T) {
	engines := os.Getenv("TARN_ENGINES")
	jars, _ := filepath.Glob(filepath.Join(engines, "jars", "iceberg-spark-*.jar"))
	if engines == "" || len(jars) == 0 {
		t.Skip("there is no Spark: scripts/get-engines DIR spark gets it, then TARN_ENGINES=DIR")
	}
	folder := filepath.Join(t.TempDir(), "ware house")
	cmd := exec.CommandContext(t.Context(), filepath.Join(engines, "venv", "bin", "python"), "testdata/spark.py", folder, strings.Join(jars, ","))
	cmd.Env = append(os.Environ(), "SPARK_LOCAL_IP=127.0.0.1")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var want map[string][2]int64
	if err := json.Unmarshal(lines[len(lines)-1], &want); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(want) != 6 {
		t.Fatalf("%v", want)
	}
	p := places(t, folder)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		got, err := p.Load(t.Context(), Source{Location: filepath.Join(folder, "s", name)})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		rows, total := liveRows(t, p, got)
		if rows != want[name][0] || total != want[name][1] || fmt.Sprint(got.Version) != name[len(name)-1:] || got.Schema.NumFields() != 3 || len(got.Schemas) != 2 {
			t.Errorf("%s has %d rows with the sum %d, want %v; %+v", name, rows, total, want[name], got)
		}
		if vector := slices.ContainsFunc(got.Deletes, func(d Delete) bool { return d.Vector }); vector != (got.Version == 3) || (len(got.Deletes) == 0) != (got.Version == 1) {
			t.Errorf("%s: %+v", name, got.Deletes)
		}
	}
}

// liveRows counts the rows that are left, and adds their ids.
func liveRows(t *testing.T, p *Places, table *Table) (rows, total int64) {
	t.Helper()
	type row struct {
		uri string
		at  int64
	}
	dead := make([]map[row]bool, len(table.Deletes))
	for i, d := range table.Deletes {
		to := filepath.Join(t.TempDir(), "deletes.parquet")
		if d.Vector {
			if err := p.Positions(t.Context(), d, to); err != nil {
				t.Fatal(err)
			}
		} else if _, err := p.Fetch(t.Context(), d.URI, to, d.Data.FileSizeBytes()); err != nil {
			t.Fatal(err)
		}
		dead[i] = map[row]bool{}
		paths, positions := readPositions(t, to)
		if int64(len(positions)) != d.Rows {
			t.Errorf("%s has %d rows, not %d", d.URI, len(positions), d.Rows)
		}
		for k := range paths {
			dead[i][row{paths[k], positions[k]}] = true
		}
	}
	for _, f := range table.Files {
		to := filepath.Join(t.TempDir(), "data.parquet")
		if linked, err := p.Fetch(t.Context(), f.URI, to, f.Data.FileSizeBytes()); err != nil || !linked {
			t.Fatalf("linked %v, %v", linked, err)
		}
		for at, id := range readIDs(t, to) {
			if !slices.ContainsFunc(f.Deletes, func(i int) bool { return dead[i][row{f.URI, int64(at)}] }) {
				rows, total = rows+1, total+id
			}
		}
	}
	return rows, total
}

func readIDs(t *testing.T, path string) (out []int64) {
	t.Helper()
	r, err := parquetfile.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	in, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := in.ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	for _, c := range table.Column(0).Data().Chunks() {
		out = append(out, c.(*array.Int64).Int64Values()...)
	}
	return out
}
