package foreign

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table/dv"
	"go.uber.org/goleak"

	"tarn/internal/lake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// theirs is a program that writes a table without tarn, entry by entry.
type theirs struct {
	*testing.T
	dir     string // where it is on this machine
	uri     string // how the table spells it
	version int
	format  iceberg.FileFormat // as it writes Parquet
	spec    iceberg.PartitionSpec
	more    map[string]any // in its metadata, over what is made
	written int            // manifests
}

const tableUUID = "6f1e3a52-58b7-4d0c-9c0a-3f5a0e6b7c11"

// newTheirs makes the folder of a table, with a space in its path.
func newTheirs(t *testing.T, version int) *theirs {
	o := &theirs{T: t, dir: filepath.Join(t.TempDir(), "the lake", "orders"), version: version, format: iceberg.ParquetFile, spec: *iceberg.UnpartitionedSpec}
	o.uri = "file://" + o.dir
	for _, sub := range []string{"data", "metadata"} {
		if err := os.MkdirAll(filepath.Join(o.dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func (o *theirs) must(err error) {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
}

// put writes a file below the table and gives its URI.
func (o *theirs) put(name string, body []byte) string {
	o.Helper()
	o.must(os.WriteFile(filepath.Join(o.dir, name), body, 0o644))
	return o.uri + "/" + name
}

// live is a live entry of a manifest.
type live struct {
	df  iceberg.DataFile
	seq int64 // -1: none
}

// file describes a data file of some rows that came at a sequence.
func (o *theirs) file(name string, rows, seq int64, change ...func(*iceberg.DataFileBuilder)) live {
	o.Helper()
	return live{o.described(iceberg.EntryContentData, o.format, name, rows, nil, change...), seq}
}

// positions describes a position delete file.
func (o *theirs) positions(name string, rows, seq int64, change ...func(*iceberg.DataFileBuilder)) live {
	o.Helper()
	return live{o.described(iceberg.EntryContentPosDeletes, o.format, name, rows, nil, change...), seq}
}

func (o *theirs) described(content iceberg.ManifestEntryContent, format iceberg.FileFormat, name string, rows int64, partition map[int]any, change ...func(*iceberg.DataFileBuilder)) iceberg.DataFile {
	o.Helper()
	uri := name
	if !strings.Contains(name, "/") {
		uri = o.put("data/"+name, []byte("the bytes of "+name))
	}
	// The builder knows formats in capitals alone.
	b, err := iceberg.NewDataFileBuilder(o.spec, content, uri, iceberg.FileFormat(strings.ToUpper(string(format))), partition, nil, nil, rows, int64(len("the bytes of "+name)))
	o.must(err)
	for _, c := range change {
		c(b)
	}
	return b.Build()
}

// bounds are those of file_path.
func bounds(lower, upper string) func(*iceberg.DataFileBuilder) {
	const filePath = 2147483546
	return func(b *iceberg.DataFileBuilder) {
		b.LowerBoundValues(map[int][]byte{filePath: []byte(lower)}).UpperBoundValues(map[int][]byte{filePath: []byte(upper)})
	}
}

// vectors writes a Puffin file with a deletion vector of each data file.
func (o *theirs) vectors(name string, seq int64, of map[string][]int64) []live {
	o.Helper()
	w := dv.NewDVWriter(icebergio.LocalFS{}, func(int32) *iceberg.PartitionSpec { return &o.spec })
	for _, uri := range slices.Sorted(maps.Keys(of)) {
		o.must(w.Add(uri, of[uri], int32(o.spec.ID()), nil))
	}
	made, err := w.Flush(o.Context(), "file://"+o.dir+"/data/"+name)
	o.must(err)
	var out []live
	for _, df := range made {
		b, err := iceberg.NewDataFileBuilder(o.spec, df.ContentType(), o.uri+"/data/"+name, df.FileFormat(), nil, nil, nil, df.Count(), df.FileSizeBytes())
		o.must(err)
		b.ReferencedDataFile(*df.ReferencedDataFile()).ContentOffset(*df.ContentOffset()).ContentSizeInBytes(*df.ContentSizeInBytes())
		out = append(out, live{b.Build(), seq})
	}
	return out
}

// manifest writes one of entries of one kind and gives its entry of the list.
func (o *theirs) manifest(content iceberg.ManifestContent, entries ...live) iceberg.ManifestFile {
	o.Helper()
	var out bytes.Buffer
	schema := o.schema()
	w, err := iceberg.NewManifestWriter(o.version, &out, o.spec, schema, 7, iceberg.WithManifestWriterContent(content))
	o.must(err)
	snapshot := int64(7)
	for _, e := range entries {
		var seq *int64
		if e.seq >= 0 {
			seq = &e.seq
		}
		o.must(w.Existing(iceberg.NewManifestEntry(iceberg.EntryStatusEXISTING, &snapshot, seq, seq, e.df)))
	}
	o.must(w.Close())
	o.written++
	m, err := w.ToManifestFile(o.put(fmt.Sprintf("metadata/m%d.avro", o.written), out.Bytes()), int64(out.Len()))
	o.must(err)
	return m
}

func (o *theirs) schema() *iceberg.Schema {
	return iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 2, Name: "region", Type: iceberg.PrimitiveTypes.String})
}

// commit writes a snapshot of manifests under a name of a metadata file.
func (o *theirs) commit(name string, manifests ...iceberg.ManifestFile) string {
	o.Helper()
	var out bytes.Buffer
	seq := int64(9)
	o.must(iceberg.WriteManifestList(o.version, &out, 7, nil, &seq, 0, manifests))
	files := int32(0)
	for _, m := range manifests {
		if m.ManifestContent() == iceberg.ManifestContentData {
			files += m.ExistingDataFiles()
		}
	}
	list := o.put("metadata/list-"+strings.ReplaceAll(name, "/", "-")+".avro", out.Bytes())
	return o.metadata(name, map[string]any{"snapshot-id": 7, "timestamp-ms": 1700000000000, "manifest-list": list, "summary": map[string]string{"operation": "append", "total-data-files": fmt.Sprint(files)}})
}

// entries writes a snapshot of entries: a manifest of data, and one of deletes.
func (o *theirs) entries(name string, all ...live) string {
	o.Helper()
	var data, dead []live
	for _, e := range all {
		if e.df.ContentType() == iceberg.EntryContentData {
			data = append(data, e)
		} else {
			dead = append(dead, e)
		}
	}
	manifests := []iceberg.ManifestFile{o.manifest(iceberg.ManifestContentData, data...)}
	if len(dead) > 0 {
		manifests = append(manifests, o.manifest(iceberg.ManifestContentDeletes, dead...))
	}
	return o.commit(name, manifests...)
}

// metadata writes a metadata file; snapshot may be nil.
func (o *theirs) metadata(name string, snapshot map[string]any) string {
	o.Helper()
	spec, err := json.Marshal(o.spec)
	o.must(err)
	m := map[string]any{
		"format-version": o.version, "table-uuid": tableUUID, "location": o.uri, "last-updated-ms": 1700000000000,
		"last-column-id": 2, "current-schema-id": 0, "schemas": []any{o.schema()}, "schema": o.schema(),
		"default-spec-id": o.spec.ID(), "partition-specs": []json.RawMessage{spec}, "last-partition-id": 1000,
		"default-sort-order-id": 0, "sort-orders": []any{map[string]any{"order-id": 0, "fields": []any{}}},
	}
	if snapshot != nil {
		m["current-snapshot-id"] = 7
		m["snapshots"] = []any{snapshot}
	}
	if o.version >= 2 {
		m["last-sequence-number"] = 9
		if snapshot != nil {
			snapshot["sequence-number"] = 9
			m["refs"] = map[string]any{"main": map[string]any{"snapshot-id": 7, "type": "branch"}}
		}
	} else {
		m["partition-spec"] = []any{}
	}
	if o.version >= 3 {
		m["next-row-id"] = 1000
		if snapshot != nil {
			snapshot["first-row-id"], snapshot["added-rows"] = 0, 1000
		}
	}
	maps.Copy(m, o.more)
	body, err := json.Marshal(m)
	o.must(err)
	return o.put("metadata/"+name, body)
}

// places opens roots, which end with the test.
func places(t *testing.T, roots ...string) *Places {
	t.Helper()
	p, err := Open(roots, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// root is the folder above the table.
func (o *theirs) root() string { return filepath.Dir(o.dir) }

func (o *theirs) load(location string) (*Table, error) {
	o.Helper()
	return places(o.T, o.root()).Load(o.Context(), Source{Location: location})
}

// said is what a table holds, in short.
func said(t *Table) string {
	var b strings.Builder
	for _, f := range t.Files {
		fmt.Fprintf(&b, "%s", nameOf(f.URI))
		for _, i := range f.Deletes {
			d := t.Deletes[i]
			fmt.Fprintf(&b, " -%s", nameOf(d.URI))
			if d.Vector {
				fmt.Fprintf(&b, "(%d)", d.Rows)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func nameOf(uri string) string { return uri[strings.LastIndex(uri, "/")+1:] }

// wantLoaded loads a table and compares what it holds.
func (o *theirs) wantLoaded(location string, want ...string) *Table {
	o.Helper()
	t, err := o.load(location)
	if err != nil {
		o.Fatalf("%s: %v", location, err)
	}
	if got := said(t); got != strings.Join(want, "\n")+"\n" && got != strings.Join(want, "\n") {
		o.Fatalf("%s\nholds\n%swant\n%s", location, got, strings.Join(want, "\n"))
	}
	return t
}

// wantRefused wants an error of a code whose text has all words.
func wantRefused(t *testing.T, err error, code lake.Code, words ...string) {
	t.Helper()
	if err == nil || lake.CodeOf(err) != code {
		t.Errorf("%v (%s), want %s", err, lake.CodeOf(err), code)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error()+"\n"+lake.HintOf(err), w) {
			t.Errorf("%v (%s) does not say %q", err, lake.HintOf(err), w)
		}
	}
}
