package job_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tarn/internal/format"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// keyless is a schema in which n is the order of arrival.
func keyless(t testing.TB) lake.Schema {
	s := lake.Schema{Columns: []lake.Column{
		{Name: "n", Type: lake.Type{Kind: lake.Bigint}, Nullable: true},
		{Name: "g", Type: lake.Type{Kind: lake.Bigint}, Nullable: true},
		{Name: "h", Type: lake.Type{Kind: lake.Varchar}, Nullable: true},
	}}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	return s.WithFieldIDs()
}

type arrivedRow struct {
	n    int
	g, h any
}

func (a arrivedRow) line() string { return line(map[string]any{"n": a.n, "g": a.g, "h": a.h}) }

// TestFoldAndDedupeInOrder folds and dedupes datasets without a key against a
// plain list.
func TestFoldAndDedupeInOrder(t *testing.T) {
	db := openSQL(t)
	s := keyless(t)
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "fold")
		if err != nil {
			t.Fatal(err)
		}
		var all []arrivedRow
		some := func(label string) string {
			var b strings.Builder
			for range rapid.IntRange(0, 12).Draw(r, label) {
				row := arrivedRow{n: len(all)}
				if g := rapid.IntRange(0, 3).Draw(r, "g"); g > 0 {
					row.g = g
				}
				if h := rapid.SampledFrom([]string{"", "x", "y"}).Draw(r, "h"); h != "" {
					row.h = h
				}
				all = append(all, row)
				b.WriteString(row.line())
			}
			return b.String()
		}
		var outs []job.Output
		for range rapid.IntRange(0, 3).Draw(r, "files") {
			in := write(t, "rows", rows.NDJSON, some("base rows"))
			outs = append(outs, must(t)(importing(t, job.Inside{}, job.Import{Schema: &s, Files: []job.InputFile{in}})).Outputs...)
		}
		inBase := len(all)
		var deltas []lake.Delta
		for i := range rapid.IntRange(0, 3).Draw(r, "deltas") {
			deltas = append(deltas, deltaOf(t, dir, s, int64(i+1), some("delta rows")))
		}
		inDeltas := len(all) - inBase

		fold := spec(t)
		fold.Kind, fold.Fold = job.KindFold, &job.Fold{Schema: s, Deltas: deltas}
		folded := must(t)(job.Inside{}.Run(t.Context(), fold, nil))
		check(r, db, folded, all[inBase:])
		if folded.DeltaRows != int64(inDeltas) || folded.Inserted != int64(inDeltas) {
			r.Fatalf("%+v", folded)
		}

		base := baseOf(t, outs)
		merge := spec(t)
		merge.Kind, merge.Fold = job.KindFold, &job.Fold{Schema: s, Base: base, Deltas: deltas}
		merged := must(t)(job.Inside{}.Run(t.Context(), merge, nil))
		check(r, db, merged, all)
		if merged.BaseRows != int64(inBase) || merged.Inserted != int64(inDeltas) {
			r.Fatalf("%+v", merged)
		}
		dedupe := spec(t)
		dedupe.Kind, dedupe.Dedupe = job.KindDedupe, &job.Dedupe{Schema: s, Base: base, Deltas: deltas, Columns: []string{"G", "h"}}
		deduped := must(t)(job.Inside{}.Run(t.Context(), dedupe, nil))
		last := map[[2]any]int{}
		for _, row := range all {
			last[[2]any{row.g, row.h}] = row.n
		}
		kept := slices.DeleteFunc(slices.Clone(all), func(row arrivedRow) bool { return last[[2]any{row.g, row.h}] != row.n })
		check(r, db, deduped, kept)
		if deduped.BaseRows != int64(inBase) || deduped.DeltaRows != int64(inDeltas) || deduped.Deleted != int64(len(all)-len(kept)) {
			r.Fatalf("%+v", deduped)
		}
	})
}

func check(r *rapid.T, db sql, res job.Result, want []arrivedRow) {
	var got, wanted []string
	if len(res.Outputs) > 0 {
		got = db.rows("SELECT n, g, h FROM read_parquet(%s)", files(res.Outputs))
	}
	for _, row := range want {
		text := fmt.Sprintf("%d | %v | %v", row.n, row.g, row.h)
		wanted = append(wanted, strings.ReplaceAll(text, "<nil>", "NULL"))
	}
	if !slices.Equal(got, wanted) || res.FinalRows != int64(len(want)) {
		r.Fatalf("rows\n%s\nwhere\n%s\nare expected; %+v", strings.Join(got, "\n"), strings.Join(wanted, "\n"), res)
	}
}

// TestDedupeKeepsOrderAtSize is the regression test of the order gate at
// sizes at which DuckDB uses several threads.
func TestDedupeKeepsOrderAtSize(t *testing.T) {
	db := openSQL(t)
	res := must(t)(importing(t, job.Inside{}, job.Import{Files: []job.InputFile{db.parquet("a.parquet", "SELECT i AS n, i % 400000 AS g, hash(i)::VARCHAR AS h FROM range(900000) t(i)")}},
		func(s *job.Spec) { s.TargetFileBytes = 1 << 20; s.Threads = 4 }))
	s := spec(t)
	s.TargetFileBytes, s.Threads = 1<<20, 4
	s.Kind, s.Dedupe = job.KindDedupe, &job.Dedupe{Schema: *res.Schema, Base: baseOf(t, res.Outputs), Columns: []string{"g"}}
	out := must(t)(job.Inside{}.Run(t.Context(), s, nil))
	db.exec("SET threads = 1")
	bad := db.rows("SELECT n FROM (SELECT n, row_number() OVER () + 499999 AS want FROM read_parquet(%s)) WHERE n <> want LIMIT 3", files(out.Outputs))
	if out.FinalRows != 400000 || len(out.Outputs) < 2 || len(bad) > 0 {
		t.Fatalf("%d rows in %d files, not in order at %v", out.FinalRows, len(out.Outputs), bad)
	}
}

// TestFoldKeepsOrderAtSize merges base files, one of them with position deletes,
// and a large delta. A UNION ALL would mix them.
func TestFoldKeepsOrderAtSize(t *testing.T) {
	db := openSQL(t)
	var base []lake.BaseFile
	var schema lake.Schema
	for i := range 3 {
		in := db.parquet("a.parquet", fmt.Sprintf("SELECT i AS n, hash(i)::VARCHAR AS h FROM range(%d, %d) t(i)", i*300000, (i+1)*300000))
		res := must(t)(importing(t, job.Inside{}, job.Import{Files: []job.InputFile{in}}))
		base = append(base, baseOf(t, res.Outputs)...)
		schema = *res.Schema
	}
	base[0].Key, base[1].Key, base[2].Key = "base/0", "base/1", "base/2"
	deletes := filepath.Join(t.TempDir(), "deletes.parquet")
	db.exec("COPY (SELECT 'file:///lake/base/1' AS file_path, i * 2 AS pos FROM range(150000) t(i)) TO '%s' (FORMAT parquet, FIELD_IDS {file_path: 2147483546, pos: 2147483545})", deletes)
	base[1].Deletes = []lake.DeleteFile{{Key: "base/deletes", Path: deletes}}

	changes := spec(t)
	body := db.parquet("body.parquet", "SELECT i AS n, hash(i)::VARCHAR AS h FROM range(900000, 1200000) t(i)")
	changes.Kind, changes.Changes = job.KindChanges, &job.Changes{Schema: schema, Op: job.OpUpsert, Input: body}
	delta := finish(t, must(t)(job.Inside{}.Run(t.Context(), changes, nil)), schema)

	s := spec(t)
	s.TargetFileBytes, s.Threads, s.MemoryLimitBytes = 1<<20, 4, 1<<30
	s.Kind, s.Fold = job.KindFold, &job.Fold{Schema: schema, Base: base, Deltas: []lake.Delta{delta}}
	res := must(t)(job.Inside{}.Run(t.Context(), s, nil))
	db.exec("SET threads = 1")
	bad := db.rows("SELECT n, p FROM (SELECT n, lag(n) OVER () AS p FROM read_parquet(%s)) WHERE p >= n LIMIT 3", files(res.Outputs))
	if res.FinalRows != 1_050_000 || res.BaseRows != 750_000 || res.DeltaRows != 300_000 || len(res.Outputs) < 2 || len(bad) > 0 {
		t.Fatalf("%+v, not in order at %v", res, bad)
	}
}

func TestChanges(t *testing.T) {
	runners(t, func(t *testing.T, r job.Runner) {
		db := openSQL(t)
		keyed := lake.Schema{Key: []string{"b", "a"}, Columns: []lake.Column{
			{Name: "a", Type: lake.Type{Kind: lake.Bigint}}, {Name: "v", Type: lake.Type{Kind: lake.Varchar}, Nullable: true},
			{Name: "b", Type: lake.Type{Kind: lake.UUID}}, {Name: "d", Type: lake.Type{Kind: lake.Decimal, Precision: 38, Scale: 3}, Nullable: true}}}
		if err := keyed.Check(); err != nil {
			t.Fatal(err)
		}
		keyed = keyed.WithFieldIDs()
		const u = "00000000-0000-0000-0000-00000000000"
		for _, c := range []struct {
			op     string
			schema lake.Schema
			format rows.Format
			text   string
			n      int64
			want   []string
		}{
			{job.OpUpsert, keyed, rows.CSV, "a,v,b,d\n2,x," + u + "1,12345678901234567890123456789012345.125\n1,y," + u + "1,\n2,z," + u + "1,1\n", 3,
				[]string{"1 | y | " + u + "1 | NULL | 0", "2 | z | " + u + "1 | 1.000 | 0"}},
			{job.OpDelete, keyed, rows.JSON, `[{"a": 1, "b": "` + u + `2"}, {"a": 1, "b": "` + u + `1"}, {"a": 1, "b": "` + u + `2"}]`, 3,
				[]string{"1 | NULL | " + u + "1 | NULL | 1", "1 | NULL | " + u + "2 | NULL | 1"}},
			{job.OpChanges, keyed, rows.NDJSON, `{"op": "delete", "key": {"a": 1, "b": "` + u + `1"}}` + "\n" + `{"op": "upsert", "row": {"a": 1, "b": "` + u + `1", "v": "n", "d": "0.125"}}` + "\n" +
				`{"op": "upsert", "row": {"a": 2, "b": "` + u + `1", "v": "n", "d": 1}}` + "\n" + `{"op": "delete", "key": {"a": 2, "b": "` + u + `1"}}` + "\n", 4,
				[]string{"1 | n | " + u + "1 | 0.125 | 0", "2 | NULL | " + u + "1 | NULL | 1"}},
			{job.OpUpsert, keyless(t), rows.NDJSON, arrivedRow{2, 1, "b"}.line() + arrivedRow{1, 1, "a"}.line(), 2, []string{"2 | 1 | b | 0", "1 | 1 | a | 0"}},
			{job.OpUpsert, keyless(t), rows.NDJSON, "", 0, nil},
		} {
			s := spec(t)
			s.Kind, s.Changes = job.KindChanges, &job.Changes{Schema: c.schema, Op: c.op, Input: write(t, "body", c.format, c.text)}
			res := must(t)(r.Run(t.Context(), s, nil))
			path := res.Outputs[0].Path
			if got := db.rows("FROM read_parquet('%s')", path); !slices.Equal(got, c.want) || res.Rows != c.n || res.DeltaRows != int64(len(c.want)) {
				t.Fatalf("%s: %v, %+v", c.op, got, res)
			}
			h := format.DeltaHeader{TableUUID: u + "0", First: 1, Sequence: 1, UUID: u + "1"}
			if err := format.FinishDelta(path, h, c.schema); err != nil {
				t.Fatal(err)
			}
			n := 0
			if _, err := format.OpenDelta(t.Context(), path, c.schema, func(ch format.Changes) error { n += len(ch.Ops); return nil }); err != nil || n != len(c.want) {
				t.Fatalf("%s: the delta has %d rows: %v", c.op, n, err)
			}
		}
		s := spec(t)
		s.Kind, s.Changes = job.KindChanges, &job.Changes{Schema: keyed, Op: job.OpUpsert, Input: write(t, "body", rows.CSV, "a,v,b,d\n2,x,"+u+"1,1\nx,y,"+u+"1,\n")}
		_, err := r.Run(t.Context(), s, nil)
		wantCode(t, err, lake.CodeRowsInvalid, "row 2", "a")
		s.Scratch, s.Changes.Schema, s.Changes.Op = t.TempDir(), keyless(t), job.OpDelete
		_, err = r.Run(t.Context(), s, nil)
		wantCode(t, err, lake.CodeNoPrimaryKey)
	})
}

// TestDamageIsFound serves I7: what changed since it was verified is not read.
func TestDamageIsFound(t *testing.T) {
	dir := t.TempDir()
	kind := keyKinds["bigint"]
	s := kind.schema(t)
	in := write(t, "rows", rows.NDJSON, line(kind.row(1, 1))+line(kind.row(2, 1)))
	base := baseOf(t, must(t)(importing(t, job.Inside{}, job.Import{Schema: &s, Files: []job.InputFile{in}})).Outputs)
	delta := deltaOf(t, dir, s, 7, line(map[string]any{"op": "delete", "key": kind.key(1)}))
	run := func(base []lake.BaseFile, deltas ...lake.Delta) error {
		sp := spec(t)
		sp.Kind, sp.Fold = job.KindFold, &job.Fold{Schema: s, Base: base, Deltas: deltas}
		_, err := job.Inside{}.Run(t.Context(), sp, nil)
		return err
	}
	if err := run(base, delta); err != nil {
		t.Fatal(err)
	}
	other := delta
	other.Sequence = 8
	wantCode(t, run(base, other), lake.CodeDamaged, delta.Key)
	missing := slices.Clone(base)
	missing[0].Path, missing[0].Identity = filepath.Join(dir, "gone"), ""
	wantCode(t, run(missing, delta), lake.CodeDamaged, base[0].Key)
	flip(t, delta.Path)
	wantCode(t, run(base, delta), lake.CodeDamaged, delta.Key)
	if err := os.Chmod(base[0].Path, 0o400); err != nil { // another ctime
		t.Fatal(err)
	}
	wantCode(t, run(base), lake.CodeDamaged, base[0].Key)
}

func flip(t *testing.T, path string) {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/3] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// finish makes the output of a changes job the delta with sequence 1.
func finish(t testing.TB, res job.Result, s lake.Schema) lake.Delta {
	t.Helper()
	h := format.DeltaHeader{TableUUID: "t", First: 1, Sequence: 1, UUID: "d"}
	if err := format.FinishDelta(res.Outputs[0].Path, h, s); err != nil {
		t.Fatal(err)
	}
	return lake.Delta{Key: "deltas/1", Path: res.Outputs[0].Path, First: 1, Sequence: 1}
}
