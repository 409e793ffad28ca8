package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/apache/iceberg-go/table/dv"
	"github.com/google/uuid"

	"tarn/internal/engine"
	"tarn/internal/store/s3test"
)

// outsidePlace is a row of a data file, by the file's location.
type outsidePlace struct {
	file string
	pos  int64
}

// outsidePlaces gives where the live rows of a table are, by id, as an engine that writes
// position deletes finds them.
func outsidePlaces(t *table.Table) (map[int]outsidePlace, error) {
	files, err := t.FS(context.Background())
	if err != nil {
		return nil, err
	}
	tasks, err := t.Scan().PlanFiles(context.Background())
	if err != nil {
		return nil, err
	}
	out := map[int]outsidePlace{}
	for _, task := range tasks {
		file := task.File.FilePath()
		dead := map[int64]bool{}
		for _, d := range task.DeleteFiles {
			err := eachRow(files, d.FilePath(), func(rec arrow.Table) {
				paths, at := texts(rec.Column(0)), ints(rec.Column(1))
				for i := range paths {
					if paths[i] == file {
						dead[at[i]] = true
					}
				}
			})
			if err != nil {
				return nil, err
			}
		}
		for _, d := range task.DeletionVectorFiles {
			vector, err := dv.ReadDV(files, d)
			if err != nil {
				return nil, err
			}
			for pos := range vector.Positions() {
				dead[int64(pos)] = true
			}
		}
		err := eachRow(files, file, func(rec arrow.Table) {
			for i, id := range ints(rec.Column(rec.Schema().FieldIndices("id")[0])) {
				if !dead[int64(i)] {
					out[int(id)] = outsidePlace{file, int64(i)}
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func eachRow(files icebergio.IO, uri string, look func(arrow.Table)) error {
	f, err := files.Open(uri)
	if err != nil {
		return err
	}
	defer f.Close()
	rec, err := pqarrow.ReadTable(context.Background(), f, nil, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	defer rec.Release()
	look(rec)
	return nil
}

func ints(c *arrow.Column) (out []int64) {
	for _, chunk := range c.Data().Chunks() {
		out = append(out, chunk.(*array.Int64).Int64Values()...)
	}
	return out
}

func texts(c *arrow.Column) (out []string) {
	for _, chunk := range c.Data().Chunks() {
		for i := range chunk.Len() {
			out = append(out, chunk.(*array.String).Value(i))
		}
	}
	return out
}

// outsideDeletes writes a position delete file, which says nothing of its bounds.
func outsideDeletes(t *table.Table, at []outsidePlace) (iceberg.DataFile, error) {
	schema, err := table.SchemaToArrowSchema(iceberg.PositionalDeleteSchema, nil, true, false)
	if err != nil {
		return nil, err
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, p := range at {
		b.Field(0).(*array.StringBuilder).Append(p.file)
		b.Field(1).(*array.Int64Builder).Append(p.pos)
	}
	rec := b.NewRecordBatch()
	defer rec.Release()
	var body bytes.Buffer
	w, err := pqarrow.NewFileWriter(schema, &body, nil, pqarrow.DefaultWriterProps())
	if err == nil {
		err = errors.Join(w.Write(rec), w.Close())
	}
	uri := fmt.Sprintf("%s/data/%s-deletes.parquet", t.Location(), uuid.NewString())
	files, fault := t.FS(context.Background())
	if err = errors.Join(err, fault); err == nil {
		err = files.(icebergio.WriteFileIO).WriteFile(uri, body.Bytes())
	}
	if err != nil {
		return nil, err
	}
	d, err := iceberg.NewDataFileBuilder(t.Spec(), iceberg.EntryContentPosDeletes, uri, iceberg.ParquetFile, nil, nil, nil, int64(len(at)), int64(body.Len()))
	if err != nil {
		return nil, err
	}
	return d.Build(), nil
}

// outsideVectors deletes the rows at places by deletion vectors, all in one file, which hold
// what was dead before.
func outsideVectors(t *table.Table, at []outsidePlace, delta *table.RowDelta) error {
	files, err := t.FS(context.Background())
	if err != nil {
		return err
	}
	tasks, err := t.Scan().PlanFiles(context.Background())
	if err != nil {
		return err
	}
	spec := t.Spec()
	w := dv.NewDVWriter(files.(icebergio.WriteFileIO), func(int32) *iceberg.PartitionSpec { return &spec })
	for _, p := range at {
		for i, task := range tasks {
			if task.File.FilePath() != p.file {
				continue
			}
			for _, d := range task.DeletionVectorFiles {
				old, err := dv.ReadDV(files, d)
				if err != nil {
					return err
				}
				w.Load(p.file, old, 0, nil)
				delta.RemoveDeletes(d)
			}
			tasks[i].DeletionVectorFiles = nil // once
		}
		if err := w.Add(p.file, []int64{p.pos}, 0, nil); err != nil {
			return err
		}
	}
	made, err := w.Flush(context.Background(), fmt.Sprintf("%s/data/%s.puffin", t.Location(), uuid.NewString()))
	delta.AddDeletes(made...)
	return err
}

// markOutside deletes the rows at places by as many delete files as there are lists of
// them, and appends rows, in one transaction of two snapshots, or of one without rows.
func markOutside(t *table.Table, at [][]outsidePlace, lines ...string) error {
	tx := t.NewTransaction()
	delta := tx.NewRowDelta(nil)
	if t.Metadata().Version() >= 3 {
		if err := outsideVectors(t, slices.Concat(at...), delta); err != nil {
			return err
		}
		at = nil
	}
	for _, some := range at {
		d, err := outsideDeletes(t, some)
		if err != nil {
			return err
		}
		delta.AddDeletes(d)
	}
	if err := delta.Commit(context.Background()); err != nil {
		return err
	}
	if len(lines) > 0 {
		rows, err := outsideRows(t, lines...)
		if err != nil {
			return err
		}
		defer rows.Release()
		if err := tx.AppendTable(context.Background(), rows, 1000, nil); err != nil {
			return err
		}
	}
	_, err := tx.Commit(context.Background())
	return err
}

// marksOutside is a step in which another program updates a row by position deletes. Done
// already, it does nothing.
func marksOutside(dataset, row string, id int) func(*opened, string) error {
	return func(o *opened, _ string) error {
		there, err := o.tryRows(fmt.Sprintf("select 1 from %s where id = %d and v = 'marked'", dataset, id))
		if err != nil || len(there) > 0 {
			return err
		}
		t, err := loadOutside(o, dataset)
		if err != nil {
			return err
		}
		at, err := outsidePlaces(t)
		if err != nil {
			return err
		}
		return markOutside(t, [][]outsidePlace{{at[id]}}, row)
	}
}

// unsent is a catalog that keeps what it was asked to commit.
type unsent struct{ request engine.IcebergCommitRequest }

func (u *unsent) LoadTable(context.Context, table.Identifier) (*table.Table, error) {
	return nil, errors.New("not asked for")
}

func (u *unsent) CommitTable(_ context.Context, _ table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	u.request.Requirements, u.request.Updates = reqs, updates
	return nil, "", errors.New("not sent")
}

// inserted is a commit that appends a row to a dataset, unsent.
func inserted(o *opened, dataset, row string) (engine.IcebergCommitRequest, error) {
	u := &unsent{engine.IcebergCommitRequest{Dataset: parsed(dataset)}}
	t, err := loadOutside(o, dataset)
	if err != nil {
		return u.request, err
	}
	asks := table.New(t.Identifier(), t.Metadata(), t.MetadataLocation(), t.FS, u)
	if err := appendOutside(asks, row); u.request.Updates == nil {
		return u.request, err
	}
	return u.request, nil
}

// commitsTogether is a step in which another program appends a row to each of several
// datasets at once. Done already, which a query says, it does nothing.
func commitsTogether(rows map[string]string, done string) func(*opened, string) error {
	return func(o *opened, _ string) error {
		there, err := o.tryRows(done)
		if err != nil || len(there) > 0 {
			return err
		}
		var all []engine.IcebergCommitRequest
		for _, dataset := range slices.Sorted(maps.Keys(rows)) {
			one, err := inserted(o, dataset, rows[dataset])
			if err != nil {
				return err
			}
			all = append(all, one)
		}
		return o.IcebergTransaction(context.Background(), all)
	}
}

// TestFollowerOfTransactions: a follower shows a commit of another program to several
// datasets at once, whatever is pending in them.
func TestFollowerOfTransactions(t *testing.T) {
	dir := t.TempDir()
	w := openLake(t, dir)
	defer w.close()
	f := follow(t, dir)
	defer f.close()
	for _, d := range []string{"a", "b"} {
		w.create(d, schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
		w.change(d, engine.OpUpsert, `{"id":0,"v":"first"}`)
	}
	f.caughtUp(w)
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() { // both have as many rows, at every instant
		for !stop.Load() {
			for _, o := range []*opened{w, f} {
				rows, err := o.tryRows("SELECT (SELECT count(*) FROM a WHERE v = 'x') - (SELECT count(*) FROM b WHERE v = 'x')")
				if err != nil || rows[0] != "[0]" {
					t.Errorf("%v, %v", rows, err)
					return
				}
			}
		}
	})
	for i := 1; i < 8; i++ {
		var all []engine.IcebergCommitRequest
		for _, d := range []string{"a", "b"} {
			one, err := inserted(w, d, fmt.Sprintf(`{"id":%d,"v":"x"}`, i))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, one)
		}
		if i%2 == 0 {
			w.change("b", engine.OpUpsert, `{"id":0,"v":"pending"}`)
		}
		if err := w.IcebergTransaction(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	wg.Wait()
	f.caughtUp(w)
	f.want("select (select count(*) from a), (select count(*) from b)", "[8,8]")
	w.verifyClean()
}

// bucketFolder is a bucket of the S3 server of tests as another program sees it, which
// keeps each object as a file.
type bucketFolder struct{ bucket, dir string }

func (b bucketFolder) path(uri string) string {
	return filepath.Join(b.dir, strings.TrimPrefix(uri, "s3://"+b.bucket))
}

func (b bucketFolder) Open(uri string) (icebergio.File, error) {
	return icebergio.LocalFS{}.Open(b.path(uri))
}
func (b bucketFolder) Remove(uri string) error { return icebergio.LocalFS{}.Remove(b.path(uri)) }
func (b bucketFolder) Create(uri string) (icebergio.FileWriter, error) {
	return icebergio.LocalFS{}.Create(b.path(uri))
}
func (b bucketFolder) WriteFile(uri string, body []byte) error {
	return icebergio.LocalFS{}.WriteFile(b.path(uri), body)
}

// TestDeletesFromOutsideInABucket: delete files of another program, and tarn's of them, are
// brought to this machine as far as they are needed, and no data file for their sake.
func TestDeletesFromOutsideInABucket(t *testing.T) {
	s := s3test.Start(t)
	bucket := s.NewBucket(t)
	state := t.TempDir()
	o := openLake(t, "", onBucket(s.URL, bucket, state))
	o.create("d", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	o.change("d", engine.OpUpsert, `{"id":1,"v":"a"}`, `{"id":2,"v":"b"}`, `{"id":3,"v":"c"}`)
	load := func() (*table.Table, map[int]outsidePlace) {
		t.Helper()
		tbl, err := loadOutside(o, "d")
		if err != nil {
			t.Fatal(err)
		}
		files := func(context.Context) (icebergio.IO, error) {
			return bucketFolder{bucket, filepath.Join(s.Dir, bucket)}, nil
		}
		tbl = table.New(tbl.Identifier(), tbl.Metadata(), tbl.MetadataLocation(), files, outsideCatalog{o, "d"})
		at, err := outsidePlaces(tbl)
		if err != nil {
			t.Fatal(err)
		}
		return tbl, at
	}
	tbl, at := load()
	o.change("d", engine.OpUpsert, `{"id":4,"v":"pending"}`)
	if err := markOutside(tbl, [][]outsidePlace{{at[1], at[2]}, {at[2]}}, `{"id":2,"v":"B"}`); err != nil {
		t.Fatal(err)
	}
	o.want("select * from d order by id", `[2,"B"]`, `[3,"c"]`, `[4,"pending"]`)
	o.close()
	o = openLake(t, "", onBucket(s.URL, bucket, t.TempDir())) // another machine
	defer o.close()
	o.want("select * from d order by id", `[2,"B"]`, `[3,"c"]`, `[4,"pending"]`)
	tbl, at = load()
	if err := markOutside(tbl, [][]outsidePlace{{at[3]}}); err != nil {
		t.Fatal(err)
	}
	o.want("select * from d order by id", `[2,"B"]`, `[4,"pending"]`)
	o.compact("d")
	o.want("select * from d order by id", `[2,"B"]`, `[4,"pending"]`)
	o.verifyClean()
}
