package job_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"tarn/internal/format"
	"tarn/internal/job"
	"tarn/internal/keys"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// keyKind makes keys of a type that ascend with a number.
type keyKind struct {
	types []string
	key   func(n int) map[string]any
	// Two numbers can share the first column, so that groups cannot be cut
	// between them.
	composite bool
	last      lastColumn
}

// lastColumn is the last column of a dataset of the tests. Base files whose columns are
// all flat, and named as nothing of DuckDB's own, are read by name, others by field id.
type lastColumn int

const (
	listHidingPlaces lastColumn = iota
	textHidingPlaces
	listColumn
	textColumn // read by name
)

func (c lastColumn) nested() bool { return c == listHidingPlaces || c == listColumn }

func (c lastColumn) name() string {
	if c == listHidingPlaces || c == textHidingPlaces {
		return "file_row_number"
	}
	return "last"
}

// shown is a value as the test's queries show it.
func (c lastColumn) shown(v int) string {
	if c.nested() {
		return fmt.Sprintf("[%d]", v)
	}
	return fmt.Sprint(v)
}

var keyKinds = map[string]keyKind{
	"bigint":    {[]string{"BIGINT"}, func(n int) map[string]any { return map[string]any{"k0": n - 30} }, false, 0},
	"varchar":   {[]string{"VARCHAR"}, func(n int) map[string]any { return map[string]any{"k0": fmt.Sprintf("%c'é\"%%\\", rune(33+n))} }, false, 0},
	"decimal":   {[]string{"DECIMAL(30,2)"}, func(n int) map[string]any { return map[string]any{"k0": fmt.Sprintf("%d.25", n-30)} }, false, 0},
	"uuid":      {[]string{"UUID"}, func(n int) map[string]any { return map[string]any{"k0": uuid.UUID{byte(n * 4)}.String()} }, false, 0},
	"timestamp": {[]string{"TIMESTAMP"}, func(n int) map[string]any { return map[string]any{"k0": stamp(n).Format("2006-01-02T15:04:05.000000")} }, false, 0},
	"tz":        {[]string{"TIMESTAMPTZ"}, func(n int) map[string]any { return map[string]any{"k0": stamp(n).Format(time.RFC3339Nano)} }, false, 0},
	"date":      {[]string{"DATE"}, func(n int) map[string]any { return map[string]any{"k0": stamp(n).Format("2006-01-02")} }, false, 0},
	"blob": {[]string{"BLOB"}, func(n int) map[string]any {
		return map[string]any{"k0": base64.StdEncoding.EncodeToString([]byte{byte(n * 4), 0})}
	}, false, 0},
	"composite": {[]string{"VARCHAR", "BIGINT"}, func(n int) map[string]any { return map[string]any{"k0": string(rune('a' + n/30)), "k1": n % 30} }, true, 0},
}

func stamp(n int) time.Time {
	return time.Date(1969, 12, 1, 0, 0, 0, 1000, time.UTC).AddDate(0, 0, n)
}

func (k keyKind) schema(t testing.TB) lake.Schema {
	var s lake.Schema
	last := "VARCHAR"
	if k.last.nested() {
		last = "VARCHAR[]"
	}
	for i, text := range append(slices.Clone(k.types), "BIGINT", "BIGINT", last) {
		typ, err := lake.ParseType(text)
		if err != nil {
			t.Fatal(err)
		}
		name := []string{"n", "v", k.last.name()}
		if i < len(k.types) {
			s.Key = append(s.Key, fmt.Sprintf("k%d", i))
			s.Columns = append(s.Columns, lake.Column{Name: s.Key[i], Type: typ})
		} else {
			s.Columns = append(s.Columns, lake.Column{Name: name[i-len(k.types)], Type: typ, Nullable: true})
		}
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	return s.WithFieldIDs()
}

func (k keyKind) row(n, v int) map[string]any {
	row := k.key(n)
	row["n"], row["v"] = n, v
	if row[k.last.name()] = fmt.Sprint(v); k.last.nested() {
		row[k.last.name()] = []string{fmt.Sprint(v)}
	}
	return row
}

func line(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b) + "\n"
}

// deltaOf writes NDJSON of changes as a delta.
func deltaOf(t testing.TB, dir string, s lake.Schema, sequence int64, text string) lake.Delta {
	t.Helper()
	var all []format.Changes
	if s.Keyed() {
		d, err := rows.DecodeChanges(context.Background(), strings.NewReader(text), rows.DecodeOptions{Schema: s})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for {
			b, err := d.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			defer b.Rows.Release()
			all = append(all, format.Changes{Rows: b.Rows, Ops: b.Ops})
		}
	} else {
		d, err := rows.Decode(context.Background(), rows.NDJSON, strings.NewReader(text), rows.DecodeOptions{Schema: s})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for {
			b, err := d.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			defer b.Release()
			all = append(all, format.Changes{Rows: b, Ops: make([]uint8, b.NumRows())})
		}
	}
	h := format.DeltaHeader{TableUUID: uuid.NewString(), First: sequence, Sequence: sequence, UUID: uuid.NewString(), Time: time.Unix(1, 0).UTC()}
	body, err := format.EncodeDelta(h, s, all)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fmt.Sprintf("%020d.parquet", sequence))
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return lake.Delta{Key: "deltas/" + filepath.Base(path), Path: path, First: sequence, Sequence: sequence}
}

// TestFoldAgainstMap folds random deltas into a random base and compares rows
// and counts with a Go map. It serves I4: a fold keeps the content.
func TestFoldAgainstMap(t *testing.T) {
	met, ran := map[bool]int{}, 0 // bases that are read by name or not, kinds of keys
	for name, kind := range keyKinds {
		t.Run(name, func(t *testing.T) {
			ran++
			db := openSQL(t)
			rapid.Check(t, func(r *rapid.T) {
				kind.last = rapid.SampledFrom([]lastColumn{textColumn, listHidingPlaces, textHidingPlaces, textColumn, listColumn}).Draw(r, "last column")
				if foldOnce(t, r, db, kind) {
					met[kind.last == textColumn]++
				}
			})
		})
	}
	if t.Logf("bases read by name and not: %v", met); ran == len(keyKinds) && (met[true] == 0 || met[false] == 0) {
		t.Error("one way of reading a base was not met")
	}
}

const (
	domain  = 60
	perFile = 20
)

// foldOnce says whether there was a base with rows.
func foldOnce(t *testing.T, r *rapid.T, db sql, kind keyKind) (based bool) {
	dir, err := os.MkdirTemp(t.TempDir(), "fold")
	if err != nil {
		t.Fatal(err)
	}
	s := kind.schema(t)
	ctx := context.Background()
	work := func(sp job.Spec) (job.Result, error) {
		sp.Scratch, err = os.MkdirTemp(dir, "scratch")
		if err != nil {
			t.Fatal(err)
		}
		sp.MemoryLimitBytes, sp.Threads = 256<<20, rapid.IntRange(1, 3).Draw(r, "threads")
		return job.Inside{}.Run(ctx, sp, nil)
	}
	version := 0
	makeRows := func(ns []int, model map[int]int) []job.Output {
		var text strings.Builder
		for _, n := range ns {
			version++
			model[n] = version
			text.WriteString(line(kind.row(n, version)))
		}
		path := filepath.Join(dir, fmt.Sprintf("rows%d.ndjson", version))
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		res, err := work(job.Spec{Kind: job.KindImport, Import: &job.Import{Schema: &s, Files: []job.InputFile{{Path: path, Name: "rows", Format: rows.NDJSON}}}})
		if err != nil {
			t.Fatal(err)
		}
		return res.Outputs
	}
	subset := func(label string, from []int) []int {
		if len(from) == 0 {
			return nil
		}
		return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, len(from), rapid.ID).Draw(r, label)
	}

	// The base: up to three files of disjoint ranges, of which some take part.
	f := job.Fold{Schema: s}
	model := map[int]int{}
	var affected []int
	for i := range domain / perFile {
		span := make([]int, perFile)
		for j := range span {
			span[j] = i*perFile + j
		}
		if !kind.composite && rapid.IntRange(0, 3).Draw(r, "unaffected") == 0 {
			continue
		}
		affected = append(affected, span...)
		g := job.Group{From: firstOf(t, s, kind, i*perFile)}
		for _, file := range baseOf(t, makeRows(subset("base", span), model)) {
			file.Key = fmt.Sprintf("base/%d.parquet", i)
			g.Files = append(g.Files, len(f.Base))
			f.Base = append(f.Base, file)
		}
		f.Groups = append(f.Groups, g)
	}
	if kind.composite || len(f.Groups) == 0 {
		f.Groups = nil
	}
	f.Base = withDeletes(t, r, db, dir, f.Base, model)
	before := len(model)
	had := map[int]bool{}
	for n := range model {
		had[n] = true
	}

	// The deltas.
	if len(affected) == 0 {
		affected = []int{0}
	}
	exclude := subset("exclude", affected)
	excluded := map[int]bool{}
	if rapid.Bool().Draw(r, "excluding") && len(exclude) > 0 {
		for _, o := range makeRows(exclude, map[int]int{}) {
			f.Exclude = append(f.Exclude, o.Path)
		}
		for _, n := range exclude {
			excluded[n] = true
		}
	}
	deltaRows := 0
	for seq := range rapid.IntRange(0, 4).Draw(r, "deltas") {
		var text strings.Builder
		for _, n := range subset("changed", affected) {
			version++
			deltaRows++
			if rapid.Bool().Draw(r, "delete") {
				text.WriteString(line(map[string]any{"op": "delete", "key": kind.key(n)}))
				if !excluded[n] {
					delete(model, n)
				}
			} else {
				text.WriteString(line(map[string]any{"op": "upsert", "row": kind.row(n, version)}))
				if !excluded[n] {
					model[n] = version
				}
			}
		}
		f.Deltas = append(f.Deltas, deltaOf(t, dir, s, int64(seq+1), text.String()))
	}
	exists := false
	if rapid.Bool().Draw(r, "importing") {
		imported := subset("imported", affected)
		for _, n := range imported {
			_, ok := model[n]
			exists = exists || ok
		}
		f.RefuseExisting = rapid.Bool().Draw(r, "refuse")
		for _, o := range makeRows(imported, model) {
			f.Imported = append(f.Imported, o.Path)
		}
	}

	if rapid.Bool().Draw(r, "marking") {
		f.Marking = &job.Marking{DeadShare: rapid.SampledFrom([]float64{0.2, 0.6, 1}).Draw(r, "dead share"), Whole: rapid.Bool().Draw(r, "whole")}
		for i, file := range f.Base {
			f.Marking.Locations = append(f.Marking.Locations, "file:///lake/"+file.Key)
			if rapid.IntRange(0, 3).Draw(r, "rewrite") == 0 {
				f.Marking.Rewrite = append(f.Marking.Rewrite, i)
			}
		}
	}

	res, err := work(job.Spec{Kind: job.KindFold, Fold: &f})
	if f.RefuseExisting && exists {
		if lake.CodeOf(err) != lake.CodeKeyConflict {
			r.Fatalf("existing keys were not refused: %v", err)
		}
		return false
	}
	if err != nil {
		r.Fatal(err)
	}
	var want []string
	var inserted, deleted int64
	for n, v := range model {
		want = append(want, fmt.Sprintf("%d | %d | %s", n, v, kind.last.shown(v)))
		if !had[n] {
			inserted++
		}
	}
	for n := range had {
		if _, ok := model[n]; !ok {
			deleted++
		}
	}
	sort.Strings(want)
	var got []string
	if len(res.Outputs) > 0 {
		got = db.rows("SELECT n, v, %s FROM read_parquet(%s)", kind.last.name(), files(res.Outputs))
	}
	final := int64(len(model))
	if f.Marking != nil {
		final = int64(len(got))
		got = marked(r, db, f, res, got, kind.last.name())
	}
	sorted := slices.Clone(got)
	sort.Strings(sorted)
	if !slices.Equal(sorted, want) {
		r.Fatalf("rows\n%s\nwhere\n%s\nare expected", strings.Join(sorted, "\n"), strings.Join(want, "\n"))
	}
	var last = -1
	for _, g := range got {
		if f.Marking != nil {
			break // each file is in order, all together are not
		}
		var n int
		fmt.Sscan(g, &n)
		if n <= last {
			r.Fatalf("%d after %d: not in key order", n, last)
		}
		last = n
	}
	if res.BaseRows != int64(before) || res.DeltaRows != int64(deltaRows) || res.FinalRows != final || res.Inserted != inserted || res.Deleted != deleted {
		r.Fatalf("counts %+v where base %d, delta %d, final %d, inserted %d, deleted %d are expected", res, before, deltaRows, final, inserted, deleted)
	}
	return before > 0
}

// marked gives the rows that a marking fold leaves: the upserts, the files that it
// rewrote, and of the others what no delete file names.
func marked(r *rapid.T, db sql, f job.Fold, res job.Result, upserts []string, last string) []string {
	got := slices.Clone(upserts)
	if len(res.Rewrites) > 0 {
		got = append(got, db.rows("SELECT n, v, %s FROM read_parquet(%s)", last, files(res.Rewrites))...)
	}
	deletes := map[int]string{}
	for _, d := range res.Deletes {
		deletes[d.Base] = d.Path
		if n := db.rows("SELECT count(*), count(DISTINCT pos) FROM read_parquet('%s') WHERE file_path = '%s'", d.Path, f.Marking.Locations[d.Base]); n[0] != fmt.Sprintf("%d | %d", d.Rows, d.Rows) {
			r.Fatalf("a delete file of %d rows has %s", d.Rows, n[0])
		}
	}
	for i, file := range f.Base {
		if slices.Contains(res.Rewritten, i) {
			continue
		}
		if slices.Contains(f.Marking.Rewrite, i) {
			r.Fatalf("file %d was not rewritten", i)
		}
		gone := "SELECT -1 AS pos"
		if deletes[i] != "" {
			gone += fmt.Sprintf(" UNION ALL SELECT pos FROM read_parquet('%s')", deletes[i])
		}
		before := file.Deletes
		if f.Marking.Whole && deletes[i] != "" {
			before = nil // it stands for them
		}
		for _, d := range before {
			gone += fmt.Sprintf(" UNION ALL SELECT pos FROM read_parquet('%s') WHERE ends_with(file_path, '/%s')", d.Path, file.Key)
		}
		got = append(got, db.rows(`SELECT n, v, %[1]s FROM
			(SELECT n, v, %[1]s, row_number() OVER () - 1 AS p FROM read_parquet('%[2]s')) WHERE p NOT IN (%[3]s)`, last, file.Path, gone)...)
		// A row is taken away once: or the counts of live rows would be wrong.
		if n := db.rows("SELECT count(*) - count(DISTINCT pos) FROM (%s)", gone); n[0] != "0" {
			r.Fatalf("%s positions of file %d are deleted twice", n[0], i)
		}
		n := db.rows("SELECT count(*) FROM (%s) WHERE pos >= 0", gone)
		if all := file.Rows; deletes[i] != "" && all > 0 {
			var dead float64
			fmt.Sscan(n[0], &dead)
			if dead > f.Marking.DeadShare*float64(all) {
				r.Fatalf("file %d stays with %v of %d rows dead", i, dead, all)
			}
		}
	}
	return got
}

// withDeletes gives some of the base files position deletes, one delete file
// over all of them, as others may write it.
func withDeletes(t *testing.T, r *rapid.T, db sql, dir string, base []lake.BaseFile, model map[int]int) []lake.BaseFile {
	if len(base) == 0 || !rapid.Bool().Draw(r, "position deletes") {
		return base
	}
	every := rapid.IntRange(2, 4).Draw(r, "every")
	path := filepath.Join(dir, "deletes.parquet")
	var parts []string
	for _, f := range base {
		for _, text := range db.rows("SELECT n FROM (SELECT n, row_number() OVER () - 1 AS p FROM read_parquet('%s')) WHERE p %% %d = 0", f.Path, every) {
			var n int
			fmt.Sscan(text, &n)
			delete(model, n)
		}
		parts = append(parts, fmt.Sprintf("SELECT 'file:///old/root/%s' AS file_path, p AS pos FROM (SELECT row_number() OVER () - 1 AS p FROM read_parquet('%s')) WHERE p %% %d = 0", f.Key, f.Path, every))
	}
	db.exec("COPY (%s) TO '%s' (FORMAT parquet, FIELD_IDS {file_path: 2147483546, pos: 2147483545})", strings.Join(parts, " UNION ALL "), path)
	for i := range base {
		base[i].Deletes = []lake.DeleteFile{{Key: "base/deletes.parquet", Path: path}}
	}
	return base
}

// firstOf encodes the first key column of key n.
func firstOf(t testing.TB, s lake.Schema, kind keyKind, n int) []byte {
	d, err := rows.Decode(context.Background(), rows.JSON, bytes.NewReader([]byte("["+line(kind.key(n))+"]")), rows.DecodeOptions{Schema: s.KeySchema()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	rec, err := d.Next()
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	at := make([]int, len(s.Key))
	for i := range at {
		at[i] = i
	}
	return keys.NewEncoder(s.KeySchema(), at).First(nil, rec, 0)
}

// Changed rows that are wider than the base's make files of about the target's size too.
func TestFoldOfWiderRows(t *testing.T) {
	db := openSQL(t)
	const target = 8 << 20
	for _, key := range [][]string{nil, {"k"}} {
		in := db.parquet("narrow.parquet", "SELECT i AS k, NULL::VARCHAR AS v FROM range(1000000) t(i)")
		made := must(t)(importing(t, job.Inside{}, job.Import{Files: []job.InputFile{in}, Key: key}, func(s *job.Spec) { s.TargetFileBytes = target }))
		body := filepath.Join(t.TempDir(), "body.parquet")
		db.exec("COPY (SELECT i * 3 AS k, array_to_string([sha256((i*4+j)::VARCHAR) FOR j IN range(4)], '') AS v FROM range(300000) t(i)) TO '%s'", body)
		s := spec(t)
		s.Kind, s.Changes = job.KindChanges, &job.Changes{Schema: *made.Schema, Op: job.OpUpsert, Input: job.InputFile{Path: body, Name: "body", Format: rows.Parquet}}
		delta := finish(t, must(t)(job.Inside{}.Run(t.Context(), s, nil)), *made.Schema)
		f := spec(t)
		f.Kind, f.TargetFileBytes, f.Fold = job.KindFold, target, &job.Fold{Schema: *made.Schema, Base: baseOf(t, made.Outputs), Deltas: []lake.Delta{delta}}
		res := must(t)(job.Inside{}.Run(t.Context(), f, nil))
		for _, o := range res.Outputs {
			if o.Bytes > 3*target {
				t.Errorf("by %v: a file of %d bytes where the target is %d", key, o.Bytes, target)
			}
		}
	}
}
