package job_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// TestMemoryIsBounded runs every kind of job on more data than its memory
// holds, in a process of its own. That they end at all is the test: DuckDB
// refuses to go beyond its limit.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("writes some hundred MB")
	}
	const limit = 256 << 20
	db := openSQL(t)
	run := func(s job.Spec) job.Result {
		t.Helper()
		s.Scratch, s.MemoryLimitBytes, s.Threads = t.TempDir(), limit, 2
		return must(t)(process(t).Run(context.Background(), s, nil))
	}
	in := db.parquet("in.parquet", "SELECT hash(i)::VARCHAR AS k, i AS v, repeat(hash(i + 1)::VARCHAR, 4) AS w FROM range(2000000) t(i)")
	again := db.parquet("again.parquet", "SELECT hash(i)::VARCHAR AS k, -i AS v, 'x' AS w FROM range(100000) t(i)")
	imported := run(job.Spec{Kind: job.KindImport, TargetFileBytes: 32 << 20, Import: &job.Import{Files: []job.InputFile{in, again}, Key: []string{"k"}, OnDuplicate: job.OnDuplicateLast}})
	if imported.FinalRows != 2_000_000 || imported.Rows != 2_100_000 {
		t.Fatalf("%+v", imported)
	}

	// A body of 300,000 changes, every second key of the base's first 600,000.
	path := filepath.Join(t.TempDir(), "body.ndjson")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for _, k := range db.rows("SELECT hash(i * 2)::VARCHAR FROM range(300000) t(i)") {
		fmt.Fprintf(w, `{"k": "%s", "v": -1, "w": "%s"}`+"\n", k, strings.Repeat("x", 100))
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	changes := run(job.Spec{Kind: job.KindChanges, Changes: &job.Changes{Schema: *imported.Schema, Op: job.OpUpsert, Input: job.InputFile{Path: path, Name: "body", Format: rows.NDJSON}}})
	delta := finish(t, changes, *imported.Schema)
	folded := run(job.Spec{Kind: job.KindFold, TargetFileBytes: 32 << 20, Fold: &job.Fold{Schema: *imported.Schema, Base: baseOf(t, imported.Outputs), Deltas: []lake.Delta{delta}}})
	if folded.Updated != 300_000 || folded.FinalRows != 2_000_000 || folded.BaseRows != 2_000_000 || folded.Inserted != 0 {
		t.Fatalf("%+v", folded)
	}

	plain := run(job.Spec{Kind: job.KindImport, Import: &job.Import{Files: []job.InputFile{in, again}}})
	deduped := run(job.Spec{Kind: job.KindDedupe, Dedupe: &job.Dedupe{Schema: *plain.Schema, Base: baseOf(t, plain.Outputs), Columns: []string{"k"}}})
	if deduped.FinalRows != 2_000_000 || deduped.Deleted != 100_000 {
		t.Fatalf("%+v", deduped)
	}
}
