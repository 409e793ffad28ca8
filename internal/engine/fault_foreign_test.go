package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"tarn/internal/catalog"
	"tarn/internal/engine"
	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// otherTool commits to an Iceberg table by its files alone, as a program does that was
// given its newest metadata file: it writes the next one beside it.
type otherTool struct {
	t    *testing.T
	next string // the metadata file that it wrote
}

func (o *otherTool) LoadTable(context.Context, table.Identifier) (*table.Table, error) {
	return nil, fmt.Errorf("not asked for")
}

func (o *otherTool) CommitTable(_ context.Context, _ table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	before, err := table.ParseMetadataBytes(readFile(o.t, o.next))
	if err != nil {
		return nil, "", err
	}
	for _, r := range reqs {
		if err := r.Validate(before); err != nil {
			return nil, "", err
		}
	}
	after, err := table.UpdateTableMetadata(before, updates, "file://"+o.next)
	if err != nil {
		return nil, "", err
	}
	body, err := json.Marshal(after)
	if err != nil {
		return nil, "", err
	}
	var number int
	if _, err := fmt.Sscanf(filepath.Base(o.next), "%d-", &number); err != nil {
		return nil, "", err
	}
	o.next = filepath.Join(filepath.Dir(o.next), fmt.Sprintf("%05d-%s.metadata.json", number+1, uuid.NewString()))
	return after, "file://" + o.next, os.WriteFile(o.next, body, 0o644)
}

// appendRow commits one row with an id.
func (o *otherTool) appendRow(id int64) {
	o.t.Helper()
	meta, err := table.ParseMetadataBytes(readFile(o.t, o.next))
	if err != nil {
		o.t.Fatal(err)
	}
	fs := func(context.Context) (icebergio.IO, error) { return icebergio.LocalFS{}, nil }
	tx := table.New(table.Identifier{"t"}, meta, "file://"+o.next, fs, o).NewTransaction()
	schema, err := table.SchemaToArrowSchema(meta.CurrentSchema(), nil, true, false)
	if err != nil {
		o.t.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).Append(id)
	b.Field(1).(*array.StringBuilder).Append("foreign")
	rec := b.NewRecordBatch()
	defer rec.Release()
	rows := array.NewTableFromRecords(schema, []arrow.RecordBatch{rec})
	defer rows.Release()
	if err := tx.AppendTable(context.Background(), rows, 10, nil); err != nil {
		o.t.Fatal(err)
	}
	if _, err := tx.Commit(context.Background()); err != nil {
		o.t.Fatal(err)
	}
}

// TestForeignCommitBetweenPlanAndCommit: another tool commits to a table's folder
// while a fold is between its plan and its commit. The catalog decides: the fold goes
// in as planned, what the other tool wrote is no part of the lake, verify counts its
// files as reached by nobody, and upkeep clears them away.
func TestForeignCommitBetweenPlanAndCommit(t *testing.T) {
	dir := t.TempDir()
	openLake(t, dir).close()
	s := stepped(t, dir)
	o := openLake(t, dir, func(o *engine.Options) {
		o.Store, o.State = s, filepath.Join(t.TempDir(), "state")
		noRetention(&o.Settings)
	})
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	o.change("t", engine.OpUpsert, `{"id":1,"v":"a"}`, `{"id":2,"v":"b"}`)
	o.compact("t")
	o.change("t", engine.OpUpsert, `{"id":2,"v":"B"}`, `{"id":3,"v":"c"}`)
	other := &otherTool{t: t, next: currentMetadata(t, dir, "t")}
	committed := 0
	s.create = func(key string) {
		if strings.HasSuffix(key, ".avro") && committed == 0 { // the fold's first file of its commit
			committed++
			other.appendRow(100)
		}
	}
	c := o.compact("t")
	s.create = nil
	if committed != 1 || c.FinalRows != 3 {
		t.Fatalf("%d foreign commits, %+v", committed, c)
	}
	want := []string{`[1,"a"]`, `[2,"B"]`, `[3,"c"]`}
	o.want("select * from t order by id", want...)
	r, err := o.Verify(context.Background(), nil)
	if err != nil || len(r.Findings) > 0 || r.Unreachable < 4 {
		t.Fatalf("%+v, %v", r, err)
	}
	other.appendRow(101) // and goes on, on its own branch of history
	o.change("t", engine.OpUpsert, `{"id":4,"v":"d"}`)
	o.compact("t")
	want = append(want, `[4,"d"]`)
	o.want("select * from t order by id", want...)
	for range 2 {
		if err := o.Tidy(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(other.next); !os.IsNotExist(err) {
		t.Errorf("the other tool's metadata is still there: %v", err)
	}
	o.want("select * from t order by id", want...)
	o.verifyClean()
	o.close()
	again := openLake(t, dir)
	defer again.close()
	again.want("select * from t order by id", want...)
}

// TestForeignHandDeletesABaseFile: while the lake is open, cold and hot, and for a
// fold: the file is named, the other datasets go on, and all is well once it is back.
func TestForeignHandDeletesABaseFile(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir)
	defer o.close()
	for _, d := range []string{"t", "u"} {
		o.create(d, schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
		o.change(d, engine.OpUpsert, `{"id":1,"v":"a"}`, `{"id":2,"v":"b"}`)
		o.compact(d)
	}
	desc, err := o.Describe(context.Background(), name(t, "t"))
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "base/main/t-"+desc.ReadPoint.TableUUID, "data/*.parquet"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	aside := filepath.Join(t.TempDir(), "aside")
	if err := os.Rename(found[0], aside); err != nil {
		t.Fatal(err)
	}
	named := func(what string, err error) {
		t.Helper()
		if lake.CodeOf(err) != lake.CodeDamaged || !strings.Contains(err.Error(), filepath.Base(found[0])) {
			t.Errorf("%s: %v (%s)", what, err, lake.CodeOf(err))
		}
	}
	_, err = o.tryRows("select * from t")
	named("a cold query", err)
	o.change("t", engine.OpUpsert, `{"id":2,"v":"B"}`) // acknowledged, and kept
	_, err = o.tryCompact("t")
	named("a fold", err)
	_, err = o.tryBackup(filepath.Join(t.TempDir(), "b"), 0)
	named("a backup", err)
	o.want("select count(*) from u", "[2]")
	o.compact("u")
	r, err := o.Verify(context.Background(), nil)
	if err != nil || !slices.ContainsFunc(r.Findings, func(f engine.Finding) bool { return strings.Contains(f.Key, filepath.Base(found[0])) }) {
		t.Errorf("verify: %+v, %v", r.Findings, err)
	}
	b, err := os.ReadFile(aside) // as from a backup: another file with the same bytes
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(found[0], b, 0o644); err != nil {
		t.Fatal(err)
	}
	// The dataset was behind by the change that came meanwhile; it is tried again and again.
	for {
		got, err := o.tryRows("select * from t order by id")
		if err == nil {
			if fmt.Sprint(got) != `[[1,"a"] [2,"B"]]` {
				t.Errorf("after the file is back: %v", got)
			}
			break
		}
		if lake.CodeOf(err) != lake.CodeNotReady && lake.CodeOf(err) != lake.CodeDamaged {
			t.Fatal(err)
		}
	}
	o.compact("t")
	o.verifyClean()
}

// resum gives a catalog version that was edited as text its sum.
func resum(b []byte) []byte {
	const zeros = "00000000000000000000000000000000"
	at := bytes.Index(b, []byte(`"sum": "`)) + len(`"sum": "`)
	copy(b[at:], zeros)
	copy(b[at:], store.HashBytes(b))
	return b
}

// TestCatalogVersionFromTheFuture: a version that this build does not understand, or
// that is not of this lake or of this history, keeps the lake shut by its name, also
// for followers and verify, and nothing is touched.
func TestCatalogVersionFromTheFuture(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir)
	o.create("t", schema(t, []string{"id"}, "id BIGINT"))
	o.change("t", engine.OpUpsert, `{"id":1}`)
	o.close()
	newest := slices.Sorted(slices.Values(durableFiles(t, dir)["catalog version"]))
	body := readFile(t, filepath.Join(dir, newest[len(newest)-1]))
	v, err := format.DecodeVersion("v", body)
	if err != nil {
		t.Fatal(err)
	}
	next := v.Number + 7
	encoded := func(edit func(*format.Version)) []byte {
		f := v.Clone()
		f.Number, f.UUID = next, uuid.NewString()
		edit(&f)
		b, err := format.EncodeVersion(f)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	plain := func(*format.Version) {}
	for what, c := range map[string]struct {
		body []byte
		code lake.Code
	}{
		"a newer format":      {resum(bytes.Replace(encoded(plain), []byte(`"format_version": 1`), []byte(`"format_version": 2`), 1)), lake.CodeUnsupported},
		"a feature not known": {encoded(func(f *format.Version) { f.Features = []string{"time-machine"} }), lake.CodeUnsupported},
		"another lake's":      {encoded(func(f *format.Version) { f.LakeUUID, f.Datasets = uuid.NewString(), nil }), lake.CodeDamaged},
		"another history's":   {encoded(func(f *format.Version) { f.Epoch, f.Datasets = 0, nil }), lake.CodeDamaged},
		"an old one's bytes":  {body, lake.CodeDamaged},
		"with no base that it has": {encoded(func(f *format.Version) {
			f.Datasets[0].Metadata = strings.Replace(f.Datasets[0].Metadata, "/0000", "/0009", 1)
		}), lake.CodeDamaged},
	} {
		t.Run(what, func(t *testing.T) {
			hurt := copyLake(t, dir)
			key := catalog.Key(next)
			if err := os.WriteFile(filepath.Join(hurt, key), c.body, 0o644); err != nil {
				t.Fatal(err)
			}
			before := allFiles(t, hurt)
			for _, follow := range []bool{false, true} {
				opts := engine.Options{Data: hurt, Settings: testSettings(), MemoryBytes: 2 << 30, Log: quiet(), ReadOnly: follow}
				if follow {
					opts.State = t.TempDir()
				}
				e, err := engine.Open(context.Background(), opts)
				if err == nil {
					_ = e.Close(context.Background())
				}
				if follow && strings.HasPrefix(what, "another") { // it has nothing to compare with but what it showed
					continue
				}
				if lake.CodeOf(err) != c.code || !strings.Contains(err.Error(), key) && what != "with no base that it has" {
					t.Errorf("follow %v: %v (%s)", follow, err, lake.CodeOf(err))
				}
			}
			// Where the version itself is one that could be, the opening has taken its epoch.
			if after := allFiles(t, hurt); after != before && what != "with no base that it has" {
				t.Errorf("there was\n%s\nand there is\n%s", before, after)
			}
			r, err := engine.VerifyLake(context.Background(), engine.Options{Data: hurt}, nil)
			if err != nil || !strings.Contains(fmt.Sprint(r.Findings), key) {
				t.Errorf("verify: %v, %v", r.Findings, err)
			}
		})
	}
	t.Run("while it is open", func(t *testing.T) {
		o := openLake(t, dir)
		defer o.close()
		f := follow(t, dir)
		defer f.close()
		b := encoded(func(f *format.Version) { f.Number = v.Number + 2; f.Epoch += 5 }) // the opening wrote the one before
		if err := os.WriteFile(filepath.Join(dir, catalog.Key(v.Number+2)), b, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := o.Create(context.Background(), engine.CreateRequest{Dataset: name(t, "n"), Schema: schema(t, nil, "a BIGINT")})
		wantCode(t, err, lake.CodeFenced)
		o.want("select id from t", "[1]")
	})
}
