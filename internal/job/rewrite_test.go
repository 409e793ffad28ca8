package job_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// changes writes the rows of a rewrite's body.
func changes(t *testing.T, schema lake.Schema, text string) job.InputFile {
	t.Helper()
	rec, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema.Arrow(), strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	path := filepath.Join(t.TempDir(), "changes")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := ipc.NewWriter(f, ipc.WithSchema(rec.Schema()))
	for _, err := range []error{w.Write(rec), w.Close(), f.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return job.InputFile{Path: path, Name: "changes", Format: rows.ArrowStream}
}

// TestRewriteFiles: files with changed rows are written anew, each as one in its order and
// without what is deleted by position; what is no place of a live row, or comes twice, is
// refused.
func TestRewriteFiles(t *testing.T) {
	runners(t, func(t *testing.T, runner job.Runner) {
		db, run := openSQL(t), must(t)
		var base []lake.BaseFile
		var schema lake.Schema
		for i, text := range []string{"id,v\n1,a\n1,a\n2,b\n", "id,v\n3,c\n4,d\n", "id,v\n5,e\n6,f\n7,g\n"} {
			made := run(importing(t, runner, job.Import{Files: []job.InputFile{write(t, "in.csv", rows.CSV, text)}, OnDuplicate: job.OnDuplicateError}))
			schema = *made.Schema
			f := baseOf(t, made.Outputs)[0]
			f.Key = strings.Repeat("x", i+1) + f.Key
			base = append(base, f)
		}
		deletes := filepath.Join(t.TempDir(), "deletes.parquet")
		db.exec("COPY (SELECT 'file:///old/%s' AS file_path, 1::BIGINT AS pos) TO '%s' (FORMAT parquet, FIELD_IDS {file_path: 2147483546, pos: 2147483545})", base[2].Key, deletes)
		base[2].Deletes = []lake.DeleteFile{{Key: "base/deletes.parquet", Path: deletes}}
		rewrite := func(op, text string, also ...int) (job.Result, error) {
			s := spec(t)
			w := job.Rewrite{Schema: schema, Base: base, Rewrite: also, Op: op}
			w.Input = changes(t, w.ChangedSchema(), text)
			s.Kind, s.Rewrite = job.KindRewrite, &w
			return runner.Run(t.Context(), s, nil)
		}
		const in2 = "2199023255552" // the first row of the third file
		for _, c := range []struct {
			op, text  string
			also      []int
			rewritten []int
			want      string // rows by output, with the file that it replaces
			counts    [3]int64
		}{
			{job.OpUpsert, `[{"id":9,"v":"new","_tarn_place":1}]`, nil, []int{0}, "0: 1 a, 9 new, 2 b", [3]int64{0, 1, 0}},
			{job.OpDelete, `[{"_tarn_place":0},{"_tarn_place":` + in2 + `}]`, nil, []int{0, 2}, "0: 1 a, 2 b; 2: 7 g", [3]int64{0, 0, 2}},
			{job.OpDelete, `[{"_tarn_place":1099511627776},{"_tarn_place":1099511627777}]`, []int{0}, []int{0, 1}, "0: 1 a, 1 a, 2 b", [3]int64{0, 0, 2}},
			{job.OpChanges, `[{"id":8,"v":"in","_tarn_place":null,"_tarn_op":0},{"id":null,"v":null,"_tarn_place":2,"_tarn_op":1},{"id":8,"v":"in","_tarn_place":null,"_tarn_op":0},{"id":5,"v":null,"_tarn_place":` + in2 + `,"_tarn_op":0}]`,
				nil, []int{0, 2}, "0: 1 a, 1 a; 2: 5 NULL, 7 g; 3: 8 in, 8 in", [3]int64{2, 1, 1}},
			{job.OpUpsert, `[]`, []int{1}, nil, "", [3]int64{}},
		} {
			res := run(rewrite(c.op, c.text, c.also...))
			var got []string
			for _, o := range res.Outputs {
				got = append(got, string(rune('0'+o.Group))+": "+strings.ReplaceAll(strings.Join(db.rows("FROM read_parquet('%s')", o.Path), ", "), " | ", " "))
			}
			if strings.Join(got, "; ") != c.want || !slices.Equal(res.Rewritten, c.rewritten) || [3]int64{res.Inserted, res.Updated, res.Deleted} != c.counts {
				t.Errorf("%s: %v, %+v", c.text, got, res)
			}
		}
		for _, text := range []string{
			`[{"_tarn_place":3}]`, `[{"_tarn_place":0},{"_tarn_place":0}]`, `[{"_tarn_place":null}]`, `[{"_tarn_place":3298534883328}]`,
			`[{"_tarn_place":2199023255553}]`, // it is dead
		} {
			if _, err := rewrite(job.OpDelete, text); lake.CodeOf(err) != lake.CodeInternal {
				t.Errorf("%s: %v", text, err)
			}
		}
		if _, err := rewrite(job.OpUpsert, `[{"id":1,"v":"x","_tarn_place":null}]`); lake.CodeOf(err) != lake.CodeInternal {
			t.Errorf("an insert by an update: %v", err)
		}
	})
}
