package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"tarn/internal/engine"
)

// outsidePlace is a row of a data file, by the file's location.
type outsidePlace struct {
	file string
	pos  int64
}

// outsidePlaces gives where the live rows of a table are, by id, as an engine that writes
// position deletes finds them.
func outsidePlaces(t *table.Table) (map[int]outsidePlace, error) {
	tasks, err := t.Scan().PlanFiles(context.Background())
	if err != nil {
		return nil, err
	}
	out := map[int]outsidePlace{}
	for _, task := range tasks {
		file := task.File.FilePath()
		dead := map[int64]bool{}
		for _, d := range task.DeleteFiles {
			err := eachRow(d.FilePath(), func(rec arrow.Table) {
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
		err := eachRow(file, func(rec arrow.Table) {
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

func eachRow(uri string, look func(arrow.Table)) error {
	f, err := os.Open(strings.TrimPrefix(uri, "file://"))
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
	if err == nil {
		err = os.WriteFile(strings.TrimPrefix(uri, "file://"), body.Bytes(), 0o644)
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

// markOutside deletes the rows at places by as many delete files as there are lists of
// them, and appends rows, in one transaction of two snapshots, or of one without rows.
func markOutside(t *table.Table, at [][]outsidePlace, lines ...string) error {
	tx := t.NewTransaction()
	delta := tx.NewRowDelta(nil)
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
			tbl, err := loadOutside(w, d)
			if err != nil {
				t.Fatal(err)
			}
			u := &unsent{engine.IcebergCommitRequest{Dataset: parsed(d)}}
			asks := table.New(tbl.Identifier(), tbl.Metadata(), tbl.MetadataLocation(), tbl.FS, u)
			if err := appendOutside(asks, fmt.Sprintf(`{"id":%d,"v":"x"}`, i)); err == nil || u.request.Updates == nil {
				t.Fatalf("%v", err)
			}
			all = append(all, u.request)
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
