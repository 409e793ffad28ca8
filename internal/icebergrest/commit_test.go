package icebergrest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"tarn/internal/engine"
)

// load gives a table as another program has it.
func (l *lab) load(dataset string) *table.Table {
	l.t.Helper()
	n := l.name(dataset)
	t, err := l.client().LoadTable(l.t.Context(), table.Identifier{n.Namespace, n.Dataset})
	if err != nil {
		l.t.Fatalf("load %s: %v", dataset, err)
	}
	return t
}

// arrowRows makes rows of a table's schema of JSON objects.
func arrowRows(t testing.TB, tbl *table.Table, lines ...string) arrow.Table {
	t.Helper()
	schema, err := table.SchemaToArrowSchema(tbl.Schema(), nil, true, false)
	if err != nil {
		t.Fatal(err)
	}
	rec, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader("["+strings.Join(lines, ",")+"]"))
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	rows := array.NewTableFromRecords(schema, []arrow.RecordBatch{rec})
	t.Cleanup(rows.Release)
	return rows
}

func appends(t testing.TB, tbl *table.Table, lines ...string) (*table.Table, error) {
	t.Helper()
	return tbl.AppendTable(t.Context(), arrowRows(t, tbl, lines...), 1000, nil)
}

// filled is a lake with a keyed dataset d of three rows, folded.
func filled(t testing.TB, change ...func(*engine.Settings)) *lab {
	t.Helper()
	l := newLab(t, "", change...)
	l.create("d", []string{"id"}, "id BIGINT", "v VARCHAR")
	l.change("d", engine.OpUpsert, `{"id":1,"v":"a"}`, `{"id":2,"v":"b"}`, `{"id":3,"v":"c"}`)
	l.compact("d")
	return l
}

const allOfD = "select id, v from d order by id"

// TestCommitFromOutside: what another program appends, removes and replaces is what tarn
// answers at once, cold, hot, after changes of it, folded, and after a restart.
func TestCommitFromOutside(t *testing.T) {
	dir := t.TempDir()
	l := openLab(t, dir, "")
	l.create("d", []string{"id"}, "id BIGINT", "v VARCHAR")
	l.change("d", engine.OpUpsert, `{"id":1,"v":"a"}`, `{"id":2,"v":"b"}`, `{"id":3,"v":"c"}`)
	if _, err := l.CachePin(t.Context(), l.name("d")); err != nil {
		t.Fatal(err)
	}
	l.want(allOfD, `[1,"a"]`, `[2,"b"]`, `[3,"c"]`)
	tbl := l.load("d")
	tbl, err := appends(t, tbl, `{"id":10,"v":"ten"}`, `{"id":4,"v":"four"}`)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`[1,"a"]`, `[2,"b"]`, `[3,"c"]`, `[4,"four"]`, `[10,"ten"]`}
	l.want(allOfD, want...)
	d, err := l.Describe(t.Context(), l.name("d"))
	if err != nil || d.Rows != 5 || d.ReadPoint.Sequence != 2 || d.FoldedThrough != 2 || *d.ReadPoint.Snapshot != fmt.Sprint(tbl.CurrentSnapshot().SnapshotID) {
		t.Fatalf("%+v, %v", d, err)
	}
	if kind := tbl.CurrentSnapshot().Summary.Properties["tarn.kind"]; kind != "foreign" {
		t.Errorf("the snapshot's kind is %q", kind)
	}
	l.want("select v from d where id = 10", `["ten"]`)
	if _, err = tbl.OverwriteTable(t.Context(), arrowRows(t, tbl, `{"id":1,"v":"a"}`, `{"id":3,"v":"c"}`, `{"id":4,"v":"four"}`, `{"id":10,"v":"ten"}`), 1000, nil); err != nil {
		t.Fatal(err)
	}
	l.want(allOfD, `[1,"a"]`, `[3,"c"]`, `[4,"four"]`, `[10,"ten"]`)
	l.change("d", engine.OpUpsert, `{"id":4,"v":"FOUR"}`, `{"id":2,"v":"again"}`)
	l.change("d", engine.OpDelete, `{"id":10}`)
	want = []string{`[1,"a"]`, `[2,"again"]`, `[3,"c"]`, `[4,"FOUR"]`}
	l.want(allOfD, want...)
	l.compact("d")
	l.want(allOfD, want...)
	l.whole()
	tbl = l.load("d")
	if _, err = tbl.OverwriteTable(t.Context(), arrowRows(t, tbl, `{"id":7,"v":"seven"}`), 1000, nil); err != nil {
		t.Fatal(err)
	}
	l.want(allOfD, `[7,"seven"]`)
	hadoop := strings.ReplaceAll(asked(t, l.load("d"), inserts(t, `{"id":20,"v":"as Hadoop spells files"}`)), "file:///", "file:/")
	l.expect("POST", "/namespaces/main/tables/d", "", hadoop, 200, "")
	if err := replaces(t, `{"id":7,"v":"seven"}`)(l.load("d")); err != nil {
		t.Fatal(err)
	}
	l.want(allOfD, `[7,"seven"]`)
	for range 2 {
		if err := l.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	l.want(allOfD, `[7,"seven"]`)
	l.whole()
	l.reopened(func(again *lab) {
		again.want(allOfD, `[7,"seven"]`)
		again.whole()
		if _, err := appends(t, again.load("d"), `{"id":8,"v":"eight"}`); err != nil {
			t.Fatal(err)
		}
		again.want(allOfD, `[7,"seven"]`, `[8,"eight"]`)
	})
}

// reopened closes the lake, as a restart does, and opens it again.
func (l *lab) reopened(look func(*lab)) {
	l.t.Helper()
	if err := l.Close(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	look(openLab(l.t, l.dir, ""))
}

// untouched says that nothing of a dataset changed but for sequences of empty deltas.
func (l *lab) untouched(dataset string, do func()) {
	l.t.Helper()
	state := func() string {
		d, err := l.Describe(l.t.Context(), l.name(dataset))
		if err != nil {
			l.t.Fatal(err)
		}
		return fmt.Sprint(*d.ReadPoint.Snapshot, d.Rows, d.Files, d.PendingRows, l.rows("select * from "+dataset+" order by all"))
	}
	before := state()
	do()
	if after := state(); after != before {
		l.t.Fatalf("it was %s and is %s", before, after)
	}
}

// TestCommitRefused: what a dataset cannot take is refused whole, with the reason.
func TestCommitRefused(t *testing.T) {
	l := filled(t)
	l.create("other", []string{"id"}, "id BIGINT", "v VARCHAR")
	l.change("other", engine.OpUpsert, `{"id":50,"v":"x"}`)
	l.compact("other")
	refused := func(what, reason string, do func(tbl *table.Table) error) {
		t.Helper()
		l.untouched("d", func() {
			t.Helper()
			if err := do(l.load("d")); err == nil || !strings.Contains(err.Error(), reason) {
				t.Errorf("%s: %v, want %q", what, err, reason)
			}
		})
	}
	refused("a key that is there", "1 keys are in the table already, in files that stay: 2", func(tbl *table.Table) error {
		_, err := appends(t, tbl, `{"id":2,"v":"again"}`, `{"id":20,"v":"new"}`)
		return err
	})
	refused("a key twice", "several times among the new rows: 20", func(tbl *table.Table) error {
		_, err := appends(t, tbl, `{"id":20,"v":"new"}`, `{"id":20,"v":"new"}`)
		return err
	})
	file := func(dataset string) string { // the one data file of a dataset
		found, err := filepath.Glob(filepath.Join(l.dir, "base/main/"+dataset+"-*/data/*.parquet"))
		if err != nil || len(found) == 0 {
			t.Fatal(found, err)
		}
		return "file://" + found[0]
	}
	refused("another dataset's file", "does not lie in the table's folder", func(tbl *table.Table) error {
		df, err := iceberg.NewDataFileBuilder(tbl.Spec(), iceberg.EntryContentData, file("other"), iceberg.ParquetFile, nil, nil, nil, 1, 100)
		if err != nil {
			return err
		}
		tx := tbl.NewTransaction()
		if err := tx.AddDataFiles(t.Context(), []iceberg.DataFile{df.Build()}, nil, table.WithoutAutoNameMapping()); err != nil {
			return err
		}
		_, err = tx.Commit(t.Context())
		return err
	})
	refused("a file that is not there", "which is not there", func(tbl *table.Table) error {
		df, err := iceberg.NewDataFileBuilder(tbl.Spec(), iceberg.EntryContentData, tbl.Location()+"/data/none.parquet", iceberg.ParquetFile, nil, nil, nil, 1, 100)
		if err != nil {
			return err
		}
		tx := tbl.NewTransaction()
		if err := tx.AddDataFiles(t.Context(), []iceberg.DataFile{df.Build()}, nil, table.WithoutAutoNameMapping()); err != nil {
			return err
		}
		_, err = tx.Commit(t.Context())
		return err
	})
	for what, c := range map[string]struct {
		requirements, updates string
		status                int
		kind                  string
	}{
		"another uuid":             {`{"type":"assert-table-uuid","uuid":"6f1e3a52-58b7-4d0c-9c0a-3f5a0e6b7c11"}`, ``, 409, "CommitFailedException"},
		"another snapshot":         {`{"type":"assert-ref-snapshot-id","ref":"main","snapshot-id":1}`, ``, 409, "CommitFailedException"},
		"another schema":           {`{"type":"assert-current-schema-id","current-schema-id":7}`, ``, 409, "CommitFailedException"},
		"a new one":                {`{"type":"assert-create"}`, ``, 409, "AlreadyExistsException"},
		"no such requirement":      {`{"type":"assert-weather"}`, ``, 400, "BadRequestException"},
		"no such update":           {``, `{"action":"dance"}`, 400, "BadRequestException"},
		"a format version":         {``, `{"action":"upgrade-format-version","format-version":4}`, 406, "UnsupportedOperationException"},
		"an older format version":  {``, `{"action":"upgrade-format-version","format-version":1}`, 406, "UnsupportedOperationException"},
		"removal of snapshots":     {``, `{"action":"remove-snapshots","snapshot-ids":[1]}`, 406, "UnsupportedOperationException"},
		"a tag":                    {``, `{"action":"set-snapshot-ref","ref-name":"t","type":"tag","snapshot-id":1}`, 406, "UnsupportedOperationException"},
		"a roll back":              {``, `{"action":"set-snapshot-ref","ref-name":"main","type":"branch","snapshot-id":1}`, 406, "UnsupportedOperationException"},
		"a location":               {``, `{"action":"set-location","location":"file:///elsewhere"}`, 406, "UnsupportedOperationException"},
		"a spec":                   {``, `{"action":"add-spec","spec":{"spec-id":1,"fields":[{"name":"b","transform":"bucket[2]","source-id":1,"field-id":1000}]}}`, 406, "UnsupportedOperationException"},
		"a snapshot without files": {``, `{"action":"add-snapshot","snapshot":{"snapshot-id":99,"sequence-number":99,"timestamp-ms":1,"manifest-list":"file:///etc/passwd","summary":{"operation":"append"}}}`, 409, "CommitFailedException"},
	} {
		l.untouched("d", func() {
			a := l.call("POST", "/namespaces/main/tables/d", "", `{"requirements":[`+c.requirements+`],"updates":[`+c.updates+`]}`)
			if a.status != c.status || a.errorType() != c.kind {
				t.Errorf("%s: %d %v", what, a.status, a.body)
			}
		})
	}
	l.expect("POST", "/transactions/commit", "", `{"table-changes":[]}`, 400, "BadRequestException")
	l.whole()
}

// TestSnapshotElsewhere: a snapshot whose files lie outside of the table's folder is
// refused before they are read.
func TestSnapshotElsewhere(t *testing.T) {
	l := filled(t)
	tbl := l.load("d")
	for _, list := range []string{"file:///etc/passwd", tbl.Location() + "/../../../catalog/00000000000000000001.json", tbl.Location() + "/metadata/none.avro"} {
		s := fmt.Sprintf(`{"action":"add-snapshot","snapshot":{"snapshot-id":99,"parent-snapshot-id":%d,"sequence-number":9,"timestamp-ms":%d,"manifest-list":"%s","summary":{"operation":"append"},"schema-id":0}}`,
			tbl.CurrentSnapshot().SnapshotID, time.Now().UnixMilli(), list)
		l.untouched("d", func() {
			a := l.call("POST", "/namespaces/main/tables/d", "", `{"requirements":[],"updates":[`+s+`,{"action":"set-snapshot-ref","ref-name":"main","type":"branch","snapshot-id":99}]}`)
			if a.status != 406 && a.status != 400 {
				t.Errorf("%s: %d %v", list, a.status, a.body)
			}
		})
	}
}

// TestPendingChanges: a commit is of the table as it was loaded. What changed since stays
// where the commit changes other rows, and stands in its way where it changes the same.
func TestPendingChanges(t *testing.T) {
	t.Run("other rows", func(t *testing.T) {
		l := filled(t)
		tbl := l.load("d")
		l.change("d", engine.OpUpsert, `{"id":2,"v":"B"}`, `{"id":5,"v":"five"}`)
		l.change("d", engine.OpDelete, `{"id":3}`)
		if _, err := appends(t, tbl, `{"id":6,"v":"six"}`); err != nil {
			t.Fatal(err)
		}
		want := []string{`[1,"a"]`, `[2,"B"]`, `[5,"five"]`, `[6,"six"]`}
		l.want(allOfD, want...)
		// What the dataset was before the commit, which lies below what was pending then.
		before := func(l *lab) {
			const at = "select id, v from d at (sequence => %d) order by id"
			l.want(fmt.Sprintf(at, 1), `[1,"a"]`, `[2,"b"]`, `[3,"c"]`)
			l.want(fmt.Sprintf(at, 2), `[1,"a"]`, `[2,"B"]`, `[3,"c"]`, `[5,"five"]`)
			l.want(fmt.Sprintf(at, 3), `[1,"a"]`, `[2,"B"]`, `[5,"five"]`)
			l.want(fmt.Sprintf(at, 4), want...)
		}
		before(l)
		d, err := l.Describe(t.Context(), l.name("d"))
		if err != nil || d.FoldedThrough != 1 || d.ReadPoint.Sequence != 4 || d.PendingRows != 3 || d.Rows != 4 {
			t.Fatalf("%+v, %v", d, err)
		}
		l.reopened(func(l *lab) {
			l.want(allOfD, want...)
			l.whole()
			if f, s, rows := l.loaded("d"); f != "4" || s != "4" || rows != "4" {
				t.Errorf("folded %s at %s, %v rows", f, s, rows)
			}
			l.want(allOfD, want...)
			before(l)
			l.whole()
		})
	})
	t.Run("a rewritten file around other rows", func(t *testing.T) {
		l := filled(t)
		tbl := l.load("d")
		l.change("d", engine.OpUpsert, `{"id":2,"v":"B"}`)
		if err := replaces(t, `{"id":2,"v":"b"}`, `{"id":3,"v":"c"}`)(tbl); err != nil {
			t.Fatal(err)
		}
		l.want(allOfD, `[2,"B"]`, `[3,"c"]`)
		l.compact("d")
		l.want(allOfD, `[2,"B"]`, `[3,"c"]`)
		l.want("select id, v from d at (sequence => 2) order by id", `[1,"a"]`, `[2,"B"]`, `[3,"c"]`)
		l.want("select id, v from d at (sequence => 3) order by id", `[2,"B"]`, `[3,"c"]`)
		l.whole()
	})
	for what, c := range map[string]struct {
		change  string
		op      engine.ChangeOp
		commit  func(tbl *table.Table) error
		pending []string
	}{
		"a row that was changed":         {`{"id":2,"v":"B"}`, engine.OpUpsert, withoutTwo(t), []string{`[1,"a"]`, `[2,"B"]`, `[3,"c"]`}},
		"a row that was deleted":         {`{"id":2}`, engine.OpDelete, withoutTwo(t), []string{`[1,"a"]`, `[3,"c"]`}},
		"a new row that was inserted":    {`{"id":6,"v":"mine"}`, engine.OpUpsert, inserts(t, `{"id":6,"v":"theirs"}`), []string{`[1,"a"]`, `[2,"b"]`, `[3,"c"]`, `[6,"mine"]`}},
		"all rows, of which one changed": {`{"id":3,"v":"C"}`, engine.OpUpsert, replaces(t, `{"id":7,"v":"x"}`), []string{`[1,"a"]`, `[2,"b"]`, `[3,"C"]`}},
	} {
		t.Run(what, func(t *testing.T) {
			l := filled(t)
			tbl := l.load("d")
			l.change("d", c.op, c.change)
			l.want(allOfD, c.pending...)
			a := l.call("POST", "/namespaces/main/tables/d", "", asked(t, tbl, c.commit))
			if a.status != 409 || a.errorType() != "CommitFailedException" || !strings.Contains(fmt.Sprint(a.body), "were changed since") {
				t.Fatalf("%d %v", a.status, a.body)
			}
			l.want(allOfD, c.pending...)
			l.whole()
		})
	}
	t.Run("and tried again", func(t *testing.T) {
		l := filled(t, func(s *engine.Settings) { s.IcebergFold = engine.FoldOff })
		tbl := l.load("d")
		l.change("d", engine.OpUpsert, `{"id":2,"v":"B"}`)
		if err := withoutTwo(t)(tbl); err == nil {
			t.Fatal("the change was lost")
		}
		for t.Context().Err() == nil { // the refusal began a fold, whatever loads do
			d, err := l.Describe(t.Context(), l.name("d"))
			if err != nil || d.PendingRows == 0 {
				break
			}
			if len(l.Jobs()) < 2 {
				t.Fatal("no fold was begun")
			}
		}
		if err := withoutTwo(t)(l.load("d")); err != nil {
			t.Fatal(err)
		}
		l.want(allOfD, `[1,"a"]`, `[3,"c"]`)
	})
	t.Run("without a key", func(t *testing.T) {
		l := newLab(t, "")
		l.create("log", nil, "id BIGINT", "v VARCHAR")
		l.change("log", engine.OpUpsert, `{"id":1,"v":"a"}`, `{"id":1,"v":"a"}`)
		tbl := l.load("log")
		l.change("log", engine.OpUpsert, `{"id":1,"v":"pending"}`)
		if tbl, err := tbl.Delete(t.Context(), iceberg.EqualTo(iceberg.Reference("id"), int64(1)), nil); err != nil {
			t.Fatal(err)
		} else if _, err := appends(t, tbl, `{"id":2,"v":"theirs"}`, `{"id":2,"v":"theirs"}`); err != nil {
			t.Fatal(err)
		}
		want := []string{`[1,"pending"]`, `[2,"theirs"]`, `[2,"theirs"]`}
		l.want("select * from log order by all", want...)
		l.compact("log")
		l.want("select * from log order by all", want...)
		l.whole()
	})
}

// asked is the body of a commit, which is not sent: a client that tries again by itself
// would hide what is to be seen.
func asked(t testing.TB, tbl *table.Table, commit func(*table.Table) error) string {
	t.Helper()
	seen := &onlySeen{meta: tbl.Metadata()}
	_ = commit(table.New(tbl.Identifier(), tbl.Metadata(), tbl.MetadataLocation(), localFiles, seen)) // it is told of metadata without its snapshot
	if seen.updates == nil {
		t.Fatal("nothing was committed")
	}
	body, err := json.Marshal(map[string]any{"requirements": seen.requirements, "updates": seen.updates})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// withoutTwo rewrites the file of the filled lake without its second row, as a delete by
// copy-on-write does.
func withoutTwo(t testing.TB) func(*table.Table) error {
	return replaces(t, `{"id":1,"v":"a"}`, `{"id":3,"v":"c"}`)
}

func inserts(t testing.TB, lines ...string) func(*table.Table) error {
	return func(tbl *table.Table) error {
		_, err := tbl.AppendTable(backgrounds, arrowRows(t, tbl, lines...), 1000, nil)
		return err
	}
}

func replaces(t testing.TB, lines ...string) func(*table.Table) error {
	return func(tbl *table.Table) error {
		_, err := tbl.OverwriteTable(backgrounds, arrowRows(t, tbl, lines...), 1000, nil)
		return err
	}
}

// TestCreateFromOutside: a table is made empty, or staged and made with its rows at once;
// renamed, dropped.
func TestCreateFromOutside(t *testing.T) {
	l := newLab(t, "")
	schema := `{"type":"struct","schema-id":0,"fields":[{"id":5,"name":"b","required":false,"type":"string"},{"id":9,"name":"id","required":true,"type":"long"},{"id":10,"name":"at","required":false,"type":"timestamptz"}],"identifier-field-ids":[9]}`
	a := l.expect("POST", "/namespaces/fresh/tables", "", `{"name":"t","schema":`+schema+`,"properties":{"owner":"somebody","format-version":"2"}}`, 200, "")
	if properties := a.body["metadata"].(map[string]any)["properties"].(map[string]any); properties["owner"] != "somebody" || properties["format-version"] != nil {
		t.Errorf("%v", properties)
	}
	d, err := l.Describe(t.Context(), l.name("fresh.t"))
	if err != nil || fmt.Sprint(d.PrimaryKey, d.Columns) != "[id] [{b VARCHAR true} {id BIGINT false} {at TIMESTAMP WITH TIME ZONE true}]" {
		t.Fatalf("%+v, %v", d, err)
	}
	l.expect("POST", "/namespaces/fresh/tables", "", `{"name":"T","schema":`+schema+`}`, 409, "AlreadyExistsException")
	for what, c := range map[string]struct {
		body   string
		status int
	}{
		"a partition":     {`{"name":"x","schema":` + schema + `,"partition-spec":{"spec-id":0,"fields":[{"name":"b","transform":"identity","source-id":5}]}}`, 406},
		"a sort order":    {`{"name":"x","schema":` + schema + `,"write-order":{"order-id":1,"fields":[{"transform":"identity","source-id":5,"direction":"asc","null-order":"nulls-first"}]}}`, 406},
		"a location":      {`{"name":"x","schema":` + schema + `,"location":"file:///tmp/x"}`, 406},
		"a format":        {`{"name":"x","schema":` + schema + `,"properties":{"format-version":"4"}}`, 406},
		"a data path":     {`{"name":"x","schema":` + schema + `,"properties":{"write.data.path":"file:///tmp"}}`, 406},
		"a name":          {`{"name":"x-y","schema":` + schema + `}`, 400},
		"no schema":       {`{"name":"x"}`, 400},
		"a type":          {`{"name":"x","schema":{"type":"struct","fields":[{"id":1,"name":"f","required":false,"type":"fixed[3]"}]}}`, 406},
		"an optional key": {`{"name":"x","schema":{"type":"struct","fields":[{"id":1,"name":"f","required":false,"type":"long"}],"identifier-field-ids":[1]}}`, 400},
	} {
		if a := l.call("POST", "/namespaces/main/tables", "", c.body); a.status != c.status {
			t.Errorf("%s: %d %v", what, a.status, a.body)
		}
	}
	if _, err := appends(t, l.load("fresh.t"), `{"b":"x","id":1,"at":null}`); err != nil {
		t.Fatal(err)
	}
	l.want("select b, id from fresh.t", `["x",1]`)
	l.expect("POST", "/tables/rename", "", `{"source":{"namespace":["fresh"],"name":"t"},"destination":{"namespace":["main"],"name":"moved"}}`, 204, "")
	l.want("select b, id from moved", `["x",1]`)
	l.expect("GET", "/namespaces/fresh", "", "", 404, "NoSuchNamespaceException")
	l.expect("POST", "/tables/rename", "", `{"source":{"namespace":["fresh"],"name":"t"},"destination":{"namespace":["main"],"name":"other"}}`, 404, "NoSuchTableException")

	staged := l.expect("POST", "/namespaces/main/tables", "", `{"name":"ctas","stage-create":true,"schema":`+schema+`}`, 200, "")
	if staged.body["metadata-location"] != nil {
		t.Errorf("%v", staged.body)
	}
	l.expect("HEAD", "/namespaces/main/tables/ctas", "", "", 404, "")
	raw, err := json.Marshal(staged.body["metadata"])
	if err != nil {
		t.Fatal(err)
	}
	commit := stagedCommit(t, l, raw, `{"b":"one","id":1,"at":null}`, `{"b":"two","id":2,"at":null}`)
	elsewhere := strings.Replace(commit, `"location":"file://`, `"location":"file:///tmp`, 1)
	l.expect("POST", "/namespaces/main/tables/ctas", "", elsewhere, 406, "UnsupportedOperationException")
	l.expect("HEAD", "/namespaces/main/tables/ctas", "", "", 404, "")
	l.expect("POST", "/namespaces/main/tables/ctas", "", commit, 200, "")
	l.want("select b, id from ctas order by id", `["one",1]`, `["two",2]`)
	l.expect("POST", "/namespaces/main/tables/ctas", "", commit, 409, "AlreadyExistsException")
	l.change("ctas", engine.OpUpsert, `{"id":2,"b":"TWO","at":null}`)
	l.compact("ctas")
	l.want("select b, id from ctas order by id", `["one",1]`, `["TWO",2]`)
	twice := l.expect("POST", "/namespaces/main/tables", "", `{"name":"twice","stage-create":true,"schema":`+schema+`}`, 200, "")
	if raw, err = json.Marshal(twice.body["metadata"]); err != nil {
		t.Fatal(err)
	}
	l.expect("POST", "/namespaces/main/tables/twice", "", stagedCommit(t, l, raw, `{"b":"one","id":1,"at":null}`, `{"b":"two","id":1,"at":null}`), 400, "BadRequestException")
	l.expect("HEAD", "/namespaces/main/tables/twice", "", "", 404, "")
	l.whole()
	l.expect("DELETE", "/namespaces/main/tables/ctas?purgeRequested=false", "", "", 204, "")
	l.expect("GET", "/namespaces/main/tables/ctas", "", "", 404, "NoSuchTableException")
	l.reopened(func(l *lab) {
		l.want("select b, id from moved", `["x",1]`)
		l.whole()
	})
}

// stagedCommit writes rows into a staged table, and gives the commit that makes it.
func stagedCommit(t testing.TB, l *lab, metadata []byte, lines ...string) string {
	t.Helper()
	meta, err := table.ParseMetadataBytes(metadata)
	if err != nil {
		t.Fatal(err)
	}
	seen := &onlySeen{meta: meta}
	tbl := table.New(table.Identifier{"main", "staged"}, meta, meta.Location()+"/metadata/00000-none.metadata.json", localFiles, seen)
	if _, err := tbl.AppendTable(t.Context(), arrowRows(t, tbl, lines...), 1000, nil); err != nil && seen.updates == nil {
		t.Fatal(err)
	}
	spec := iceberg.UnpartitionedSpec
	updates := []table.Update{
		table.NewAssignUUIDUpdate(meta.TableUUID()), table.NewUpgradeFormatVersionUpdate(2), table.NewAddSchemaUpdate(meta.CurrentSchema()),
		table.NewSetCurrentSchemaUpdate(-1), table.NewAddPartitionSpecUpdate(spec, true), table.NewSetDefaultSpecUpdate(-1),
		table.NewAddSortOrderUpdate(&table.UnsortedSortOrder), table.NewSetDefaultSortOrderUpdate(-1),
		table.NewSetLocationUpdate(meta.Location()), table.NewSetPropertiesUpdate(meta.Properties()),
	}
	for _, u := range seen.updates {
		if u.Action() == table.UpdateAddSnapshot || u.Action() == table.UpdateSetSnapshotRef {
			updates = append(updates, u)
		}
	}
	body, err := json.Marshal(map[string]any{"requirements": []table.Requirement{table.AssertCreate()}, "updates": updates})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestFilesOfOthers: files that another program is writing stay for a while, over upkeep
// and a restart, and go when no commit has come.
func TestFilesOfOthers(t *testing.T) {
	l := filled(t)
	tbl := l.load("d")
	file := filepath.Join(strings.TrimPrefix(tbl.Location(), "file://"), "data", "00000-of-somebody.parquet")
	if err := os.WriteFile(file, []byte("half of it"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := l.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.reopened(func(l *lab) {
		if _, err := os.Stat(file); err != nil {
			t.Fatalf("it did not stay: %v", err)
		}
		old := time.Now().Add(-25 * time.Hour)
		if err := os.Chtimes(file, old, old); err != nil {
			t.Fatal(err)
		}
		if err := l.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Fatalf("it is still there: %v", err)
		}
	})
}

// TestMovedLake: a lake that was copied hands out no table, as its metadata names the
// place where it was, until it is rerooted.
func TestMovedLake(t *testing.T) {
	l := filled(t)
	l.want(allOfD, `[1,"a"]`, `[2,"b"]`, `[3,"c"]`)
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(l.dir)); err != nil {
		t.Fatal(err)
	}
	m := openLab(t, copied, "")
	a := m.expect("GET", "/namespaces/main/tables/d", "", "", 406, "UnsupportedOperationException")
	if !strings.Contains(fmt.Sprint(a.body), "reroot") {
		t.Errorf("%v", a.body)
	}
	j, err := m.Reroot(t.Context())
	if err == nil {
		_, err = j.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if tbl := m.load("d"); !strings.HasPrefix(tbl.Location(), "file://"+copied) {
		t.Errorf("it lies at %s", tbl.Location())
	}
}
