package foreign

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"

	"tarn/internal/lake"
)

// TestTable: what a metadata file says of a table, under every spelling of where it is.
func TestTable(t *testing.T) {
	for version := 1; version <= 3; version++ {
		o := newTheirs(t, version)
		uri := o.entries("v1.metadata.json", o.file("a.parquet", 10, 0), o.file("b.parquet", 20, 0))
		for _, location := range []string{uri, o.dir + "/metadata/v1.metadata.json", "file:" + o.dir, o.uri, o.uri + "/", o.dir + "/../orders", o.dir} {
			got := o.wantLoaded(location, "a.parquet", "b.parquet")
			if got.UUID != tableUUID || got.Snapshot != 7 || got.Version != version || got.LastColumnID != 2 || len(got.Schemas) != 1 || got.Schema.NumFields() != 2 || nameOf(got.Metadata) != "v1.metadata.json" {
				t.Errorf("%d, %s: %+v", version, location, got)
			}
			if f := got.Files[1]; f.URI != o.uri+"/data/b.parquet" || f.Data.Count() != 20 || f.Data.FileSizeBytes() != int64(len("the bytes of b.parquet")) {
				t.Errorf("%+v", f)
			}
		}
	}
}

func TestTableWithoutASnapshot(t *testing.T) {
	o := newTheirs(t, 2)
	o.metadata("v1.metadata.json", nil)
	if got := o.wantLoaded(o.uri); got.Snapshot != 0 || got.Schema == nil {
		t.Errorf("%+v", got)
	}
}

// TestSchemas: all that the table had, by id.
func TestSchemas(t *testing.T) {
	o := newTheirs(t, 2)
	wide := iceberg.NewSchema(3, append(o.schema().Fields(), iceberg.NestedField{ID: 5, Name: "more", Type: iceberg.PrimitiveTypes.Date})...)
	o.more = map[string]any{"schemas": []any{wide, o.schema()}, "current-schema-id": 3, "last-column-id": 5}
	o.metadata("v1.metadata.json", nil)
	got := o.wantLoaded(o.uri)
	if len(got.Schemas) != 2 || got.Schemas[0].ID != 0 || got.Schemas[1].ID != 3 || got.Schema.ID != 3 || got.LastColumnID != 5 {
		t.Errorf("%+v", got)
	}
}

// TestOldTables: format version 1 needs no uuid, and may have its manifests in the metadata.
func TestOldTables(t *testing.T) {
	o := newTheirs(t, 1)
	m := o.manifest(iceberg.ManifestContentData, o.file("a.parquet", 10, 0))
	o.more = map[string]any{"table-uuid": nil}
	o.metadata("v1.metadata.json", map[string]any{"snapshot-id": 7, "timestamp-ms": 1700000000000, "manifests": []string{m.FilePath()}})
	if got := o.wantLoaded(o.uri, "a.parquet"); got.UUID != "" || got.Version != 1 {
		t.Errorf("%+v", got)
	}
	o = newTheirs(t, 2)
	o.metadata("v1.metadata.json", map[string]any{"snapshot-id": 7, "timestamp-ms": 1700000000000})
	_, err := o.load(o.uri)
	wantRefused(t, err, lake.CodeRowsInvalid, "no manifest list")
}

// TestNewestOfAFolder: by the hint and what came after it, else by number.
func TestNewestOfAFolder(t *testing.T) {
	id := "6f1e3a52-58b7-4d0c-9c0a-3f5a0e6b7c11"
	for _, c := range []struct {
		hint  string
		names []string
		want  string // or
		code  lake.Code
		words []string
	}{
		{names: []string{"v1.metadata.json", "v9.metadata.json", "v10.metadata.json"}, want: "v10.metadata.json"},
		{names: []string{"00002-" + id + ".metadata.json", "00011-" + id + ".metadata.json", "00003-x.metadata.json"}, want: "00011-" + id + ".metadata.json"},
		{names: []string{"00002-" + id + ".metadata.json", "v3.metadata.json", "notes.metadata.json", "v4.metadata.json.bak", "v5.txt"}, want: "v3.metadata.json"},
		{names: []string{"v1.metadata.json", "v2.gz.metadata.json"}, want: "v2.gz.metadata.json"},
		{names: []string{"v1.metadata.json", "v2.metadata.json.gz"}, want: "v2.metadata.json.gz"},
		{names: []string{"00002-" + id + ".gz.metadata.json"}, want: "00002-" + id + ".gz.metadata.json"},
		{hint: "1", names: []string{"v1.metadata.json", "v3.metadata.json"}, want: "v1.metadata.json"},
		{hint: "1\n", names: []string{"v1.metadata.json", "v2.metadata.json", "v3.gz.metadata.json", "v5.metadata.json"}, want: "v3.gz.metadata.json"},
		{hint: "00002-" + id, names: []string{"00002-" + id + ".metadata.json", "00003-" + id + ".metadata.json"}, want: "00002-" + id + ".metadata.json"},
		{hint: "00002-" + id + ".metadata.json", names: []string{"00002-" + id + ".metadata.json"}, want: "00002-" + id + ".metadata.json"},
		{hint: "4", names: []string{"v3.metadata.json"}, code: lake.CodeNotFound, words: []string{"v4.metadata.json"}},
		{hint: "gone", names: []string{"v3.metadata.json"}, code: lake.CodeNotFound, words: []string{"gone.metadata.json"}},
		{hint: "../../x", names: []string{"v3.metadata.json"}, code: lake.CodeRowsInvalid, words: []string{"version-hint.text"}},
		{hint: " ", names: []string{"v3.metadata.json"}, code: lake.CodeRowsInvalid, words: []string{"version-hint.text"}},
		{names: []string{"00003-a.metadata.json", "00003-b.metadata.json", "v3.metadata.json", "v2.metadata.json"}, code: lake.CodeInvalidRequest,
			words: []string{"00003-a.metadata.json, 00003-b.metadata.json, v3.metadata.json", "catalog"}},
		{names: []string{"x.metadata.json"}, code: lake.CodeInvalidRequest, words: []string{"x.metadata.json"}},
		{code: lake.CodeNotFound, words: []string{"no metadata file", "metadata"}},
	} {
		o := newTheirs(t, 2)
		for _, name := range c.names {
			o.metadata(name, nil)
			if strings.Contains(name, "gz") {
				path := filepath.Join(o.dir, "metadata", name)
				plain, err := os.ReadFile(path)
				o.must(err)
				o.must(os.WriteFile(path, gzipped(plain), 0o644))
			}
		}
		if c.hint != "" {
			o.put("metadata/version-hint.text", []byte(c.hint))
		}
		got, err := o.load(o.uri)
		switch {
		case c.code != "":
			wantRefused(t, err, c.code, append(c.words, o.uri)...)
		case err != nil:
			t.Errorf("%q, %q: %v", c.hint, c.names, err)
		case got.Metadata != o.uri+"/metadata/"+c.want:
			t.Errorf("%q, %q: %s", c.hint, c.names, got.Metadata)
		}
	}
}

func gzipped(plain []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(plain)
	_ = w.Close()
	return b.Bytes()
}

// TestAFolderFollows: a folder is looked at anew, and a file stays what it is.
func TestAFolderFollows(t *testing.T) {
	o := newTheirs(t, 2)
	first := o.entries("v1.metadata.json", o.file("a.parquet", 1, 0))
	p := places(t, o.root())
	for _, c := range []struct{ location, want string }{{o.uri, "a.parquet\n"}, {first, "a.parquet\n"}} {
		if got, err := p.Load(t.Context(), Source{Location: c.location}); err != nil || said(got) != c.want {
			t.Fatalf("%v, %v", got, err)
		}
	}
	o.entries("v2.metadata.json", o.file("a.parquet", 1, 0), o.file("b.parquet", 1, 0))
	for _, c := range []struct{ location, want string }{{o.uri, "a.parquet\nb.parquet\n"}, {first, "a.parquet\n"}} {
		if got, err := p.Load(t.Context(), Source{Location: c.location}); err != nil || said(got) != c.want {
			t.Errorf("%s: %v, %v", c.location, got, err)
		}
	}
}

// TestMainAlone: other branches are not looked at.
func TestMainAlone(t *testing.T) {
	o := newTheirs(t, 2)
	o.more = map[string]any{"refs": map[string]any{
		"main": map[string]any{"snapshot-id": 7, "type": "branch"}, "audit": map[string]any{"snapshot-id": 7, "type": "branch"}, "v1": map[string]any{"snapshot-id": 7, "type": "tag"},
	}}
	o.entries("v1.metadata.json", o.file("a.parquet", 1, 0))
	o.wantLoaded(o.uri, "a.parquet")
}

// TestRefusedTables: what tarn does not read is said, with what to do.
func TestRefusedTables(t *testing.T) {
	key := func(b *iceberg.DataFileBuilder) { b.KeyMetadata([]byte("key")) }
	for name, c := range map[string]struct {
		version int
		make    func(o *theirs)
		words   []string
	}{
		"equality deletes": {2, func(o *theirs) {
			eq := live{o.described(iceberg.EntryContentEqDeletes, o.format, "eq.parquet", 1, nil, func(b *iceberg.DataFileBuilder) { b.EqualityFieldIDs([]int{1}) }), 3}
			o.entries("v1.metadata.json", o.file("a.parquet", 1, 0), eq)
		}, []string{"eq.parquet", "equality deletes", "compact"}},
		"data as ORC": {2, func(o *theirs) {
			o.entries("v1.metadata.json", live{o.described(iceberg.EntryContentData, iceberg.OrcFile, "a.orc", 1, nil), 0})
		}, []string{"a.orc", "ORC", "write.format.default"}},
		"position deletes as Avro": {2, func(o *theirs) {
			o.entries("v1.metadata.json", o.file("a.parquet", 1, 0), live{o.described(iceberg.EntryContentPosDeletes, iceberg.AvroFile, "d.avro", 1, nil), 3})
		}, []string{"d.avro", "AVRO"}},
		"a format that is not known": {2, func(o *theirs) {
			o.more = map[string]any{"format-version": 4}
			o.metadata("v1.metadata.json", nil)
		}, []string{"format version 4", "1, 2 and 3"}},
		"an encrypted table": {2, func(o *theirs) {
			o.more = map[string]any{"properties": map[string]string{"encryption.key-id": "k"}}
			o.entries("v1.metadata.json", o.file("a.parquet", 1, 0))
		}, []string{"encrypted"}},
		"keys of a table": {3, func(o *theirs) {
			o.more = map[string]any{"encryption-keys": []any{map[string]any{"key-id": "a", "encrypted-key-metadata": "eA=="}}}
			o.entries("v1.metadata.json", o.file("a.parquet", 1, 0))
		}, []string{"encrypted"}},
		"an encrypted file": {2, func(o *theirs) { o.entries("v1.metadata.json", o.file("a.parquet", 1, 0, key)) }, []string{"encrypted", "a.parquet"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := newTheirs(t, c.version)
			c.make(o)
			_, err := o.load(o.uri)
			wantRefused(t, err, lake.CodeUnsupported, c.words...)
		})
	}
}

// TestPartitionedTables are taken: the files hold all columns.
func TestPartitionedTables(t *testing.T) {
	o := newTheirs(t, 2)
	o.spec = iceberg.NewPartitionSpecID(1, iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1000, Name: "region", Transform: iceberg.IdentityTransform{}})
	in := func(content iceberg.ManifestEntryContent, name string, seq int64, region any) live {
		return live{o.described(content, o.format, name, 5, map[int]any{1000: region}), seq}
	}
	o.entries("v1.metadata.json",
		in(iceberg.EntryContentData, "eu.parquet", 1, "eu"), in(iceberg.EntryContentData, "us.parquet", 1, "us"), in(iceberg.EntryContentData, "none.parquet", 1, nil),
		in(iceberg.EntryContentPosDeletes, "del-eu.parquet", 2, "eu"), in(iceberg.EntryContentPosDeletes, "del-asia.parquet", 2, "asia"), in(iceberg.EntryContentPosDeletes, "del-none.parquet", 2, nil))
	got := o.wantLoaded(o.uri, "eu.parquet -del-eu.parquet", "us.parquet", "none.parquet -del-none.parquet")
	if len(got.Deletes) != 2 || got.Files[0].Data.Partition()[1000] != "eu" {
		t.Errorf("%+v", got)
	}
}

// TestWhichDeletesApply: by sequence, by the file that they name, and by their bounds.
func TestWhichDeletesApply(t *testing.T) {
	o := newTheirs(t, 3) // iceberg-go writes which file is referenced from 3 on
	a, b, c := o.file("a.parquet", 5, 1), o.file("b.parquet", 5, 2), o.file("c.parquet", 5, 4)
	of := func(f live) string { return f.df.FilePath() }
	o.entries("v1.metadata.json", a, b, c,
		o.positions("any.parquet", 1, 2),
		o.positions("old.parquet", 1, 0),
		o.positions("of-b.parquet", 1, 3, func(d *iceberg.DataFileBuilder) { d.ReferencedDataFile(of(b)) }),
		o.positions("bound-a.parquet", 1, 3, bounds(of(a), of(a))),
		o.positions("b-to-c.parquet", 1, 4, bounds(of(b), of(c))),
		o.positions("elsewhere.parquet", 1, 9, bounds(o.uri+"/data/x", o.uri+"/data/z")))
	got := o.wantLoaded(o.uri,
		"a.parquet -any.parquet -bound-a.parquet",
		"b.parquet -any.parquet -of-b.parquet -b-to-c.parquet",
		"c.parquet -b-to-c.parquet")
	if len(got.Deletes) != 4 || got.Deletes[0].Vector || got.Deletes[0].Rows != 1 || got.Deletes[0].URI != o.uri+"/data/any.parquet" {
		t.Errorf("%+v", got.Deletes)
	}
}

// TestVectorsStandForAll: a deletion vector is the only one of its file.
func TestVectorsStandForAll(t *testing.T) {
	o := newTheirs(t, 3)
	a, b := o.file("a.parquet", 5, 1), o.file("b.parquet", 5, 1)
	all := []live{a, b, o.positions("before.parquet", 1, 2)}
	all = append(all, o.vectors("dv.puffin", 3, map[string][]int64{a.df.FilePath(): {0, 4}, o.uri + "/data/gone.parquet": {1}})...)
	o.entries("v1.metadata.json", all...)
	got := o.wantLoaded(o.uri, "a.parquet -dv.puffin(2)", "b.parquet -before.parquet")
	if len(got.Deletes) != 2 {
		t.Errorf("%+v", got.Deletes)
	}

	twice := append(all, o.vectors("again.puffin", 4, map[string][]int64{a.df.FilePath(): {1}})...)
	o.entries("v2.metadata.json", twice...)
	_, err := o.load(o.uri)
	wantRefused(t, err, lake.CodeRowsInvalid, "a.parquet", "two deletion vectors", "dv.puffin", "again.puffin")

	o.entries("v3.metadata.json", append([]live{a}, o.vectors("many.puffin", 4, map[string][]int64{a.df.FilePath(): {0, 1, 2, 3, 4, 5}})...)...)
	_, err = o.load(o.uri)
	wantRefused(t, err, lake.CodeRowsInvalid, "many.puffin", "6 rows")
}

// TestManifestFaults: what a manifest must say and does not.
func TestManifestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		version int
		make    func(o *theirs)
		words   []string
	}{
		"a file twice": {2, func(o *theirs) { a := o.file("a.parquet", 1, 0); o.entries("v1.metadata.json", a, a) }, []string{"a.parquet", "twice"}},
		"a vector of nothing": {3, func(o *theirs) {
			o.entries("v1.metadata.json", o.file("a.parquet", 1, 0), live{o.described(iceberg.EntryContentPosDeletes, iceberg.PuffinFile, "x.puffin", 1, nil), 2})
		}, []string{"x.puffin", "deletion vector"}},
		"a file without bytes": {2, func(o *theirs) { o.entries("v1.metadata.json", empty(o)) }, []string{"empty.parquet", "0 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := newTheirs(t, c.version)
			c.make(o)
			_, err := o.load(o.uri)
			wantRefused(t, err, lake.CodeRowsInvalid, c.words...)
		})
	}
}

// smallLetters is a file as DuckDB writes its format.
type smallLetters struct{ iceberg.DataFile }

func (s smallLetters) FileFormat() iceberg.FileFormat {
	return iceberg.FileFormat(strings.ToLower(string(s.DataFile.FileFormat())))
}

// TestEntries: formats are read in small letters too, and an entry that does not say when it
// came is refused.
func TestEntries(t *testing.T) {
	o := newTheirs(t, 3)
	a := o.file("a.parquet", 5, 1)
	vector := o.vectors("dv.puffin", 3, map[string][]int64{a.df.FilePath(): {0, 4}})[0]
	c := &content{Places: places(t, o.root())}
	snapshot, seq := int64(7), int64(3)
	for _, df := range []iceberg.DataFile{a.df, vector.df, smallLetters{a.df}, smallLetters{vector.df}} {
		if err := c.check(iceberg.NewManifestEntry(iceberg.EntryStatusEXISTING, &snapshot, &seq, &seq, df)); err != nil {
			t.Errorf("%s: %v", df.FileFormat(), err)
		}
		err := c.check(iceberg.NewManifestEntry(iceberg.EntryStatusEXISTING, &snapshot, nil, nil, df))
		wantRefused(t, err, lake.CodeRowsInvalid, df.FilePath(), "sequence number")
	}
	var table Table
	if err := table.fill(t.Context(), [][]entry{{{a.df, 1}}, {{smallLetters{vector.df}, 3}}}); err != nil || said(&table) != "a.parquet -dv.puffin(2)\n" {
		t.Errorf("%s, %v", said(&table), err)
	}
}

func empty(o *theirs) live {
	b, err := iceberg.NewDataFileBuilder(o.spec, iceberg.EntryContentData, o.uri+"/data/empty.parquet", iceberg.ParquetFile, nil, nil, nil, 0, 0)
	o.must(err)
	return live{b.Build(), 0}
}

// TestDamage: each file of the metadata, cut at many places or with other bytes, gives an
// error that names it, or the table as it is; never less of it, and never a panic.
func TestDamage(t *testing.T) {
	o := newTheirs(t, 3)
	a, b := o.file("a.parquet", 5, 1), o.file("b.parquet", 5, 1)
	all := append([]live{a, b}, o.vectors("dv.puffin", 3, map[string][]int64{a.df.FilePath(): {0, 4}})...)
	o.entries("v1.metadata.json", all...)
	want := said(o.wantLoaded(o.uri, "a.parquet -dv.puffin(2)", "b.parquet"))
	p := places(t, o.root())
	names, err := filepath.Glob(filepath.Join(o.dir, "metadata", "*"))
	o.must(err)
	if len(names) != 4 {
		t.Fatalf("%q", names)
	}
	for _, path := range names {
		whole, err := os.ReadFile(path)
		o.must(err)
		look := func(what string, body []byte) {
			t.Helper()
			o.must(os.WriteFile(path, body, 0o644))
			got, err := p.Load(t.Context(), Source{Location: o.uri})
			switch {
			case err != nil:
				if c := lake.CodeOf(err); c != lake.CodeRowsInvalid && c != lake.CodeUnsupported && c != lake.CodeNotFound && c != lake.CodeTooLarge {
					t.Errorf("%s %s: %v (%s)", filepath.Base(path), what, err, c)
				}
			case strings.HasPrefix(what, "cut") && said(got) != want:
				t.Errorf("%s %s: %s", filepath.Base(path), what, said(got))
			}
		}
		for n := 0; n < len(whole); n += 1 + len(whole)/97 {
			look(fmt.Sprint("cut at ", n), whole[:n])
			other := bytes.Clone(whole)
			other[n] ^= 0x55
			look(fmt.Sprint("changed at ", n), other)
		}
		if at := bytes.LastIndex(whole, whole[len(whole)-16:]); strings.HasSuffix(path, ".avro") {
			at = bytes.Index(whole, whole[at:]) + 16 // after the header, which ends with the same marker
			look("cut after its header", whole[:at])
		}
		look("nothing", nil)
		o.must(os.WriteFile(path, whole, 0o644))
		o.must(os.Remove(path))
		_, err = p.Load(t.Context(), Source{Location: o.uri})
		wantRefused(t, err, lake.CodeNotFound)
		o.must(os.WriteFile(path, whole, 0o644))
	}
	_, err = p.Load(t.Context(), Source{Location: o.uri})
	o.must(err)

	cut := filepath.Join(o.dir, "metadata", "m1.avro")
	o.must(os.Truncate(cut, 200))
	_, err = p.Load(t.Context(), Source{Location: o.uri})
	wantRefused(t, err, lake.CodeRowsInvalid, o.uri+"/metadata/m1.avro", "200 bytes", "owner")
}

// TestPackedBombs: a metadata file is bounded after it is unpacked too.
func TestPackedBombs(t *testing.T) {
	o := newTheirs(t, 2)
	o.put("metadata/v1.gz.metadata.json", gzipped(make([]byte, maxMetadataBytes+1)))
	_, err := o.load(o.uri)
	wantRefused(t, err, lake.CodeTooLarge, "v1.gz.metadata.json")
	o.put("metadata/v2.gz.metadata.json", []byte("{}"))
	_, err = o.load(o.uri)
	wantRefused(t, err, lake.CodeRowsInvalid, "v2.gz.metadata.json", "gzip")
}

// TestBounds: manifests that are too large together are not read.
func TestBounds(t *testing.T) {
	o := newTheirs(t, 2)
	o.entries("v1.metadata.json", o.file("a.parquet", 1, 0))
	large, err := os.Create(filepath.Join(o.dir, "metadata", "m1.avro"))
	o.must(err)
	o.must(large.Truncate(maxManifestBytes + 1))
	o.must(large.Close())
	_, err = o.load(o.uri)
	wantRefused(t, err, lake.CodeTooLarge, fmt.Sprint(maxManifestBytes))
}

func TestContextEnds(t *testing.T) {
	o := newTheirs(t, 2)
	o.entries("v1.metadata.json", o.file("a.parquet", 1, 0))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := places(t, o.root()).Load(ctx, Source{Location: o.uri})
	wantRefused(t, err, lake.CodeCancelled)
}

// TestSources: what names no table is refused, and sources are written as a person would.
func TestSources(t *testing.T) {
	p := places(t)
	for _, s := range []Source{{}, {Table: "a.b"}, {Location: "/x", Catalog: "c", Table: "a.b"}, {Catalog: "c", Table: "b"}, {Catalog: "c", Table: "a..b"}, {Catalog: "c"}, {Catalog: "c", Table: "a.b"}} {
		_, err := p.Load(t.Context(), s)
		wantRefused(t, err, lake.CodeInvalidRequest)
	}
	if s := (Source{Catalog: "prod", Table: "sales.orders"}).String(); s != "catalog:prod/sales.orders" {
		t.Error(s)
	}
	if s := (Source{Location: "s3://b/t"}).String(); s != "s3://b/t" {
		t.Error(s)
	}
}

// TestNoTables: files that are none.
func TestNoTables(t *testing.T) {
	o := newTheirs(t, 2)
	for name, body := range map[string]string{"empty": "", "no JSON": "x", "another JSON": "[]", "no version": "{}", "a text": `{"format-version":"2"}`, "nothing else": `{"format-version":2}`} {
		o.put("metadata/v1.metadata.json", []byte(body))
		_, err := o.load(o.uri)
		if err == nil || lake.CodeOf(err) != lake.CodeRowsInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
