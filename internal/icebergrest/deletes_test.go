package icebergrest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// filePathID is Iceberg's field id of file_path.
const filePathID = 2147483546

// place is a row of a data file.
type place struct {
	file string // location
	pos  int64
}

// deletes is a position delete file that a test writes.
type deletes struct {
	rows      []place
	name      string    // of the file; "": a fresh one
	rowsSay   int64     // that the manifest says, if not 0
	bounds    [2]string // of file_path; none if both are ""
	content   iceberg.ManifestEntryContent
	unwritten bool
}

// write writes the file below the table's location and gives its entry.
func (d deletes) write(t testing.TB, tbl *table.Table) iceberg.DataFile {
	t.Helper()
	schema, err := table.SchemaToArrowSchema(iceberg.PositionalDeleteSchema, nil, true, false)
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, r := range d.rows {
		b.Field(0).(*array.StringBuilder).Append(r.file)
		b.Field(1).(*array.Int64Builder).Append(r.pos)
	}
	var body bytes.Buffer
	w, err := pqarrow.NewFileWriter(schema, &body, nil, pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	rec := b.NewRecordBatch()
	defer rec.Release()
	if err := w.Write(rec); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	uri := d.name
	if uri == "" {
		uri = tbl.Location() + "/data/" + uuid.NewString() + "-deletes.parquet"
	}
	if !d.unwritten {
		if err := os.WriteFile(strings.TrimPrefix(uri, "file://"), body.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	rows := int64(len(d.rows))
	if d.rowsSay != 0 {
		rows = d.rowsSay
	}
	content := d.content
	if content == 0 {
		content = iceberg.EntryContentPosDeletes
	}
	df, err := iceberg.NewDataFileBuilder(tbl.Spec(), content, uri, iceberg.ParquetFile, nil, nil, nil, rows, int64(body.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if content == iceberg.EntryContentEqDeletes {
		df.EqualityFieldIDs([]int{1})
	}
	if d.bounds != [2]string{} {
		df.LowerBoundValues(map[int][]byte{filePathID: []byte(d.bounds[0])}).UpperBoundValues(map[int][]byte{filePathID: []byte(d.bounds[1])})
	}
	return df.Build()
}

// adds is a commit of delete files and of rows.
func adds(t testing.TB, rows []string, all ...deletes) func(*table.Table) error {
	return func(tbl *table.Table) error {
		tx := tbl.NewTransaction()
		delta := tx.NewRowDelta(nil)
		for _, d := range all {
			delta.AddDeletes(d.write(t, tbl))
		}
		if len(rows) > 0 {
			delta.AddRows(dataFile(t, tbl, rows...))
		}
		if err := delta.Commit(backgrounds); err != nil {
			return err
		}
		_, err := tx.Commit(backgrounds)
		return err
	}
}

// dataFile writes rows as a data file of a table, which no snapshot has.
func dataFile(t testing.TB, tbl *table.Table, lines ...string) iceberg.DataFile {
	t.Helper()
	seen := &onlySeen{meta: tbl.Metadata()}
	alone := table.New(tbl.Identifier(), tbl.Metadata(), tbl.MetadataLocation(), localFiles, seen)
	_ = inserts(t, lines...)(alone)
	for _, u := range seen.updates {
		if u.Action() != table.UpdateAddSnapshot {
			continue
		}
		var wire struct {
			Snapshot struct {
				List string `json:"manifest-list"`
			} `json:"snapshot"`
		}
		body, err := json.Marshal(u)
		if err == nil {
			err = json.Unmarshal(body, &wire)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range manifestsOf(t, wire.Snapshot.List) {
			files, err := localFiles(backgrounds)
			if err != nil {
				t.Fatal(err)
			}
			for e, err := range m.Entries(files, true) {
				if err != nil {
					t.Fatal(err)
				}
				if e.Status() == iceberg.EntryStatusADDED && e.SnapshotID() == m.SnapshotID() && m.FilePath() != "" && !inTable(t, tbl, e.DataFile().FilePath()) {
					return e.DataFile()
				}
			}
		}
	}
	t.Fatal("no data file was written")
	return nil
}

func inTable(t testing.TB, tbl *table.Table, uri string) bool {
	t.Helper()
	for _, f := range dataFilesOf(t, tbl) {
		if f == uri {
			return true
		}
	}
	return false
}

func manifestsOf(t testing.TB, list string) []iceberg.ManifestFile {
	t.Helper()
	body, err := os.ReadFile(strings.TrimPrefix(list, "file://"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := iceberg.ReadManifestList(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// dataFilesOf gives the locations of a table's data files, oldest first.
func dataFilesOf(t testing.TB, tbl *table.Table) []string {
	t.Helper()
	tasks, err := tbl.Scan().PlanFiles(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := make([]string, len(tasks))
	for i, task := range tasks {
		out[i] = task.File.FilePath()
	}
	return out
}

// rowsSeen is what another reader of Iceberg finds in a table.
func rowsSeen(t testing.TB, tbl *table.Table) int {
	t.Helper()
	rows, err := tbl.Scan().ToArrowTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Release()
	return int(rows.NumRows())
}

// locate gives the place of the row of a dataset whose id is given, of a file that has
// its rows by id, and whose least one is the first.
func locate(t testing.TB, tbl *table.Table, ids map[int64]int64) func(id int64) place {
	t.Helper()
	files := dataFilesOf(t, tbl)
	return func(id int64) place {
		i := 0
		if id >= 10 {
			i = 1
		}
		for _, f := range files { // the file of ids below ten was there first, and is tarn's
			ours := strings.Contains(filepath.Base(f), "-x")
			if ours == (i == 0) {
				return place{f, ids[id]}
			}
		}
		t.Fatalf("no file of %d in %v", id, files)
		return place{}
	}
}

// marked is a lake with a dataset d of two files: 1, 2, 3 of tarn's, and 10, 11, 12 of
// another program's.
func marked(t testing.TB, change ...func(*engine.Settings)) (*lab, func(id int64) place) {
	t.Helper()
	l := filled(t, change...)
	if _, err := appends(t, l.load("d"), `{"id":10,"v":"j"}`, `{"id":11,"v":"k"}`, `{"id":12,"v":"l"}`); err != nil {
		t.Fatal(err)
	}
	at := locate(t, l.load("d"), map[int64]int64{1: 0, 2: 1, 3: 2, 10: 0, 11: 1, 12: 2})
	return l, at
}

// described holds the counts of a dataset, which are exact.
func (l *lab) described(dataset string, rows int64) engine.Description {
	l.t.Helper()
	d, err := l.Describe(l.t.Context(), l.name(dataset))
	if err != nil || d.Rows != rows {
		l.t.Fatalf("%d rows, want %d, %v", d.Rows, rows, err)
	}
	return d
}

// TestPositionDeletesFromOutside: what another program marks dead is gone at once, hot and
// cold, counted exactly, and folded; delete files of several data files, such as overlap,
// and such as have no bounds, are all the same.
func TestPositionDeletesFromOutside(t *testing.T) {
	for _, hot := range []bool{false, true} {
		t.Run(fmt.Sprintf("hot=%v", hot), func(t *testing.T) {
			l, at := marked(t)
			if hot {
				if _, err := l.CachePin(t.Context(), l.name("d")); err != nil {
					t.Fatal(err)
				}
			}
			all := []string{`[1,"a"]`, `[2,"b"]`, `[3,"c"]`, `[10,"j"]`, `[11,"k"]`, `[12,"l"]`}
			l.want(allOfD, all...)
			before := l.described("d", 6).ReadPoint.Sequence
			files := dataFilesOf(t, l.load("d"))
			low, high := min(files[0], files[1]), max(files[0], files[1])
			if err := adds(t, nil, deletes{rows: []place{at(2), at(11), at(2)}, bounds: [2]string{low, high}})(l.load("d")); err != nil {
				t.Fatal(err)
			}
			left := []string{`[1,"a"]`, `[3,"c"]`, `[10,"j"]`, `[12,"l"]`}
			l.want(allOfD, left...)
			l.want("select v from d where id = 2")
			if d := l.described("d", 4); d.ReadPoint.Sequence != before+1 {
				t.Errorf("%+v after %d", d.ReadPoint, before)
			}
			if n := rowsSeen(t, l.load("d")); n != 4 {
				t.Errorf("iceberg-go finds %d rows", n)
			}
			l.want(fmt.Sprintf("select id, v from d at (sequence => %d) order by id", before), all...)
			l.whole()
			// Again one over both files that repeats a position, and another besides, with
			// no bounds; an update is a delete and a row of the same key.
			err := adds(t, []string{`{"id":3,"v":"C"}`, `{"id":11,"v":"K"}`},
				deletes{rows: []place{at(2), at(3)}}, deletes{rows: []place{at(3), at(12)}})(l.load("d"))
			if err != nil {
				t.Fatal(err)
			}
			left = []string{`[1,"a"]`, `[3,"C"]`, `[10,"j"]`, `[11,"K"]`}
			l.want(allOfD, left...)
			l.described("d", 4)
			if n := rowsSeen(t, l.load("d")); n != 4 {
				t.Errorf("iceberg-go finds %d rows", n)
			}
			l.want(fmt.Sprintf("select count(*) from d at (sequence => %d)", before+1), `[4]`)
			l.reopened(func(l *lab) {
				l.want(allOfD, left...)
				l.change("d", engine.OpUpsert, `{"id":2,"v":"again"}`, `{"id":10,"v":"J"}`)
				left = []string{`[1,"a"]`, `[2,"again"]`, `[3,"C"]`, `[10,"J"]`, `[11,"K"]`}
				l.want(allOfD, left...)
				l.compact("d")
				l.want(allOfD, left...)
				l.described("d", 5)
				if n := rowsSeen(t, l.load("d")); n != 5 {
					t.Errorf("iceberg-go finds %d rows", n)
				}
				for range 2 {
					if err := l.Tidy(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				l.want(allOfD, left...)
				l.whole()
			})
		})
	}
}

// TestDeletesKeepTheKey: an update whose row is there already, or twice, is refused; one
// that deletes the row first is not.
func TestDeletesKeepTheKey(t *testing.T) {
	l, at := marked(t)
	for what, c := range map[string]struct {
		rows   []string
		marks  []place
		reason string
	}{
		"a key that is there":     {[]string{`{"id":2,"v":"x"}`}, []place{at(3)}, "are in the table already, in files that stay: 2"},
		"a key twice":             {[]string{`{"id":2,"v":"x"}`, `{"id":2,"v":"y"}`}, []place{at(2)}, "several times among the new rows: 2"},
		"a key of the other file": {[]string{`{"id":2,"v":"x"}`, `{"id":10,"v":"x"}`}, []place{at(2)}, "are in the table already, in files that stay: 10"},
	} {
		l.untouched("d", func() {
			if err := adds(t, c.rows, deletes{rows: c.marks})(l.load("d")); err == nil || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
	if err := adds(t, []string{`{"id":2,"v":"x"}`, `{"id":10,"v":"y"}`}, deletes{rows: []place{at(2), at(10)}})(l.load("d")); err != nil {
		t.Fatal(err)
	}
	l.want(allOfD, `[1,"a"]`, `[2,"x"]`, `[3,"c"]`, `[10,"y"]`, `[11,"k"]`, `[12,"l"]`)
	l.described("d", 6)
	l.whole()
}

// TestDeletesBesidePendingChanges: changes of other rows stay, and one of a row that the
// commit deletes stands in its way.
func TestDeletesBesidePendingChanges(t *testing.T) {
	l, at := marked(t, func(s *engine.Settings) { s.IcebergFold = engine.FoldOff })
	tbl := l.load("d")
	l.change("d", engine.OpUpsert, `{"id":1,"v":"A"}`, `{"id":5,"v":"five"}`)
	l.change("d", engine.OpDelete, `{"id":12}`)
	body := asked(t, tbl, adds(t, nil, deletes{rows: []place{at(12)}}))
	a := l.call("POST", "/namespaces/main/tables/d", "", body)
	if a.status != 409 || a.errorType() != "CommitFailedException" || !strings.Contains(fmt.Sprint(a.body), "were changed since the table was loaded: 12") {
		t.Fatalf("%d %v", a.status, a.body)
	}
	l.compact("d")
	tbl = l.load("d")
	l.change("d", engine.OpUpsert, `{"id":3,"v":"C"}`)
	place := placeOf(t, tbl, 2)
	if err := adds(t, []string{`{"id":2,"v":"B"}`}, deletes{rows: place})(tbl); err != nil {
		t.Fatal(err)
	}
	want := []string{`[1,"A"]`, `[2,"B"]`, `[3,"C"]`, `[5,"five"]`, `[10,"j"]`, `[11,"k"]`}
	l.want(allOfD, want...)
	if d := l.described("d", 6); d.PendingRows != 1 {
		t.Errorf("%d pending rows", d.PendingRows)
	}
	l.compact("d")
	l.want(allOfD, want...)
	l.whole()
}

// placeOf finds a row by its id in the files of a table, as an engine does.
func placeOf(t testing.TB, tbl *table.Table, id int64) []place {
	t.Helper()
	for _, uri := range dataFilesOf(t, tbl) {
		r := readIDs(t, strings.TrimPrefix(uri, "file://"))
		for pos, got := range r {
			if got == id {
				return []place{{uri, int64(pos)}}
			}
		}
	}
	t.Fatalf("no row %d", id)
	return nil
}

// readIDs gives the first column of a Parquet file.
func readIDs(t testing.TB, path string) []int64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := pqarrow.ReadTable(t.Context(), f, nil, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Release()
	var out []int64
	for _, chunk := range rows.Column(0).Data().Chunks() {
		out = append(out, chunk.(*array.Int64).Int64Values()...)
	}
	return out
}

// TestDeletesRefused: delete files that cannot be right are refused with the reason.
func TestDeletesRefused(t *testing.T) {
	l, at := marked(t)
	l.create("other", []string{"id"}, "id BIGINT", "v VARCHAR")
	l.change("other", engine.OpUpsert, `{"id":50,"v":"x"}`)
	l.compact("other")
	other := l.load("other")
	here := l.load("d").Location()
	for what, c := range map[string]struct {
		d      deletes
		reason string
		status int
	}{
		"a data file that is not there": {deletes{rows: []place{{here + "/data/none.parquet", 0}}}, "which is not in the table", 400},
		"another dataset's data file":   {deletes{rows: []place{{dataFilesOf(t, other)[0], 0}}}, "which is not in the table", 400},
		"a row beyond the end":          {deletes{rows: []place{at(1), {at(1).file, 3}}}, "names the row 3 of", 400},
		"a row before the beginning":    {deletes{rows: []place{{at(1).file, -1}}}, "names the row -1 of", 400},
		"another count":                 {deletes{rows: []place{at(1)}, rowsSay: 2}, "has 1 rows, and its manifest says 2", 400},
		"a file elsewhere":              {deletes{rows: []place{at(1)}, name: other.Location() + "/data/theirs.parquet"}, "does not lie in the table's folder", 406},
		"a file that is not there":      {deletes{rows: []place{at(1)}, unwritten: true}, "which is not there", 400},
		"bounds that leave a file out":  {deletes{rows: []place{at(1)}, bounds: [2]string{"file:///a", "file:///b"}}, "by its manifest", 400},
		"equality deletes":              {deletes{rows: []place{at(1)}, content: iceberg.EntryContentEqDeletes}, "equality deletes", 406},
	} {
		l.untouched("d", func() {
			a := l.call("POST", "/namespaces/main/tables/d", "", asked(t, l.load("d"), adds(t, nil, c.d)))
			if a.status != c.status || !strings.Contains(fmt.Sprint(a.body), c.reason) {
				t.Errorf("%s: %d %v", what, a.status, a.body)
			}
		})
	}
	l.untouched("d", func() { // a data file under the guise of deletes
		tbl := l.load("d")
		rows := dataFile(t, tbl, `{"id":77,"v":"x"}`)
		b, err := iceberg.NewDataFileBuilder(tbl.Spec(), iceberg.EntryContentPosDeletes, rows.FilePath(), iceberg.ParquetFile, nil, nil, nil, 1, rows.FileSizeBytes())
		if err != nil {
			t.Fatal(err)
		}
		a := l.call("POST", "/namespaces/main/tables/d", "", asked(t, tbl, func(tbl *table.Table) error {
			tx := tbl.NewTransaction()
			if err := tx.NewRowDelta(nil).AddDeletes(b.Build()).Commit(backgrounds); err != nil {
				return err
			}
			_, err := tx.Commit(backgrounds)
			return err
		}))
		if a.status != 400 || !strings.Contains(fmt.Sprint(a.body), "no position delete file") {
			t.Errorf("%d %v", a.status, a.body)
		}
	})
	// A delete file that leaves without another that has its positions.
	if err := adds(t, nil, deletes{rows: []place{at(2)}})(l.load("d")); err != nil {
		t.Fatal(err)
	}
	l.untouched("d", func() {
		body := asked(t, l.load("d"), inserts(t, `{"id":99,"v":"new"}`))
		withoutDeletes(t, body)
		a := l.call("POST", "/namespaces/main/tables/d", "", body)
		if a.status != 406 || !strings.Contains(fmt.Sprint(a.body), "bring deleted rows back") {
			t.Errorf("%d %v", a.status, a.body)
		}
	})
	l.want(allOfD, `[1,"a"]`, `[3,"c"]`, `[10,"j"]`, `[11,"k"]`, `[12,"l"]`)
	l.whole()
}

// withoutDeletes takes the delete manifests out of the manifest list of a commit.
func withoutDeletes(t testing.TB, body string) {
	t.Helper()
	var wire struct {
		Updates []struct {
			Snapshot *struct {
				ID       int64  `json:"snapshot-id"`
				Parent   *int64 `json:"parent-snapshot-id"`
				Sequence int64  `json:"sequence-number"`
				List     string `json:"manifest-list"`
			} `json:"snapshot"`
		} `json:"updates"`
	}
	if err := json.Unmarshal([]byte(body), &wire); err != nil {
		t.Fatal(err)
	}
	for _, u := range wire.Updates {
		if u.Snapshot == nil {
			continue
		}
		var left []iceberg.ManifestFile
		for _, m := range manifestsOf(t, u.Snapshot.List) {
			if m.ManifestContent() == iceberg.ManifestContentData {
				left = append(left, m)
			}
		}
		var out bytes.Buffer
		if err := iceberg.WriteManifestList(2, &out, u.Snapshot.ID, u.Snapshot.Parent, &u.Snapshot.Sequence, 0, left); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(strings.TrimPrefix(u.Snapshot.List, "file://"), out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDeletesOfALog: rows of a dataset without a key are deleted by their places; the
// order of arrival of the others stays.
func TestDeletesOfALog(t *testing.T) {
	l := newLab(t, "")
	l.create("log", nil, "id BIGINT", "v VARCHAR")
	l.change("log", engine.OpUpsert, `{"id":1,"v":"a"}`, `{"id":1,"v":"a"}`, `{"id":2,"v":"b"}`)
	l.compact("log")
	tbl := l.load("log")
	file := dataFilesOf(t, tbl)[0]
	l.change("log", engine.OpUpsert, `{"id":3,"v":"pending"}`)
	if err := adds(t, []string{`{"id":4,"v":"theirs"}`}, deletes{rows: []place{{file, 0}}})(tbl); err != nil {
		t.Fatal(err)
	}
	want := []string{`[1,"a"]`, `[2,"b"]`, `[3,"pending"]`, `[4,"theirs"]`}
	l.want("select * from log order by all", want...)
	l.described("log", 4)
	for range 3 {
		l.change("log", engine.OpUpsert, `{"id":5,"v":"more"}`)
		l.compact("log")
		want = append(want, `[5,"more"]`)
		l.want("select * from log order by all", want...)
	}
	l.whole()
}

// TestFeedOfDeletes: a change feed says of a commit of deletes that the dataset is to be
// read anew, as of every content commit.
func TestFeedOfDeletes(t *testing.T) {
	l, at := marked(t)
	d := l.described("d", 6)
	if err := adds(t, nil, deletes{rows: []place{at(1)}})(l.load("d")); err != nil {
		t.Fatal(err)
	}
	f, err := l.Feed(t.Context(), engine.FeedRequest{Dataset: lake.Name{Namespace: "main", Dataset: "d"}, Since: d.ReadPoint.Sequence})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var events []engine.FeedEvent
	if err := f.Run(t.Context(), func(e engine.FeedEvent) error { events = append(events, e); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(events) != 2 || events[0].Op != engine.FeedContent || events[0].Sequence != d.ReadPoint.Sequence+1 {
		t.Fatalf("%+v", events)
	}
}

// TestWornFiles: a compaction rewrites files of which many rows are dead, though nothing is
// pending, and their delete files leave with them.
func TestWornFiles(t *testing.T) {
	for _, share := range []float64{0, 0.5} {
		t.Run(fmt.Sprint(share), func(t *testing.T) {
			l, at := marked(t, func(s *engine.Settings) { s.CompactDeadShare = share })
			if err := adds(t, nil, deletes{rows: []place{at(2), at(3)}})(l.load("d")); err != nil {
				t.Fatal(err)
			}
			before := l.described("d", 4).ReadPoint
			n := l.name("d")
			j, err := l.Compact(t.Context(), engine.CompactRequest{Dataset: &n})
			if err != nil {
				t.Fatal(err)
			}
			r, err := j.Wait(t.Context())
			if err != nil || r.(engine.CompactResult).FilesRewritten != 1 {
				t.Fatalf("%+v, %v", r, err)
			}
			l.want(allOfD, `[1,"a"]`, `[10,"j"]`, `[11,"k"]`, `[12,"l"]`)
			if after := l.described("d", 4).ReadPoint; after.Sequence != before.Sequence || *after.Snapshot == *before.Snapshot {
				t.Errorf("%+v after %+v", after, before)
			}
			tasks, err := l.load("d").Scan().PlanFiles(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, task := range tasks {
				if len(task.DeleteFiles) > 0 {
					t.Errorf("%s has a delete file", task.File.FilePath())
				}
			}
			l.whole()
		})
	}
	t.Run("all of it, without a key", func(t *testing.T) {
		l := newLab(t, "")
		l.create("log", nil, "id BIGINT", "v VARCHAR")
		l.change("log", engine.OpUpsert, `{"id":3,"v":"a"}`, `{"id":1,"v":"b"}`, `{"id":2,"v":"c"}`)
		l.compact("log")
		tbl := l.load("log")
		file := dataFilesOf(t, tbl)[0]
		if err := adds(t, []string{`{"id":0,"v":"d"}`}, deletes{rows: []place{{file, 1}, {file, 2}}})(tbl); err != nil {
			t.Fatal(err)
		}
		l.compact("log")
		l.want("select * from log", `[3,"a"]`, `[0,"d"]`)
		l.described("log", 2)
		tbl = l.load("log")
		var dead []place
		for _, f := range dataFilesOf(t, tbl) {
			for i := range readIDs(t, strings.TrimPrefix(f, "file://")) {
				dead = append(dead, place{f, int64(i)})
			}
		}
		if err := adds(t, nil, deletes{rows: dead})(tbl); err != nil {
			t.Fatal(err)
		}
		l.compact("log")
		l.want("select count(*) from log", `[0]`)
		if d := l.described("log", 0); d.Files != 0 {
			t.Errorf("%d files", d.Files)
		}
		l.whole()
	})
}
