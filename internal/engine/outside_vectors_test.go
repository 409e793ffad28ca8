package engine_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/apache/iceberg-go/table/dv"
	"github.com/google/uuid"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// vectored is a lake with a dataset d of format version 3 in two data files, the first row
// of each dead or not.
func vectored(t *testing.T, dead bool) *opened {
	o := openLake(t, t.TempDir(), func(o *engine.Options) {
		noRetention(&o.Settings)
		o.Settings.CompactDeadShare, o.Settings.TargetFileBytes, o.Settings.IcebergFormatVersion = 0.9, 1, 3 // no file is small
	})
	t.Cleanup(o.close)
	o.create("d", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	for _, rows := range [][]string{{`{"id":0,"v":"a"}`, `{"id":1,"v":"b"}`, `{"id":2,"v":"c"}`}, {`{"id":10,"v":"x"}`, `{"id":11,"v":"y"}`, `{"id":12,"v":"z"}`}} {
		o.change("d", engine.OpUpsert, rows...)
		o.compact("d")
	}
	if dead {
		o.change("d", engine.OpDelete, `{"id":0}`, `{"id":10}`)
		o.compact("d")
	}
	return o
}

// vectorOf writes a deletion vector of positions in a data file.
func vectorOf(tbl *table.Table, file string, dead ...int64) (iceberg.DataFile, error) {
	files, err := tbl.FS(context.Background())
	if err != nil {
		return nil, err
	}
	spec := tbl.Spec()
	w := dv.NewDVWriter(files.(icebergio.WriteFileIO), func(int32) *iceberg.PartitionSpec { return &spec })
	if err := w.Add(file, dead, 0, nil); err != nil {
		return nil, err
	}
	made, err := w.Flush(context.Background(), fmt.Sprintf("%s/data/%s.puffin", tbl.Location(), uuid.NewString()))
	if err != nil {
		return nil, err
	}
	return made[0], nil
}

// outsideFiles is the dataset d as another program sees it, with its data files in the order
// of their names and what is dead of them.
func (o *opened) outsideFiles(t *testing.T) (tbl *table.Table, tasks []table.FileScanTask) {
	t.Helper()
	tbl, err := loadOutside(o, "d")
	if err == nil {
		tasks, err = tbl.Scan().PlanFiles(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(tasks, func(a, b table.FileScanTask) int { return strings.Compare(a.File.FilePath(), b.File.FilePath()) })
	return tbl, tasks
}

// TestVectorsOfSnapshotsInARow: snapshots of one commit each replace the vector of a data
// file; none brings rows back that one before it took.
func TestVectorsOfSnapshotsInARow(t *testing.T) {
	for _, c := range []struct {
		last []int64
		code lake.Code
		want []string
	}{
		{last: []int64{0, 1, 2}, want: []string{"[11]", "[12]"}},
		{last: []int64{0, 2}, code: lake.CodeUnsupported, want: []string{"[1]", "[2]", "[11]", "[12]"}},
	} {
		o := vectored(t, true)
		tbl, tasks := o.outsideFiles(t)
		file := tasks[0].File.FilePath()
		first, err := vectorOf(tbl, file, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		last, err := vectorOf(tbl, file, c.last...)
		if err != nil {
			t.Fatal(err)
		}
		tx := tbl.NewTransaction()
		if err := tx.NewRowDelta(nil).AddDeletes(first).RemoveDeletes(tasks[0].DeletionVectorFiles...).Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := tx.NewRowDelta(nil).AddDeletes(last).RemoveDeletes(first).Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Commit(t.Context()); lake.CodeOf(err) != c.code && (err != nil || c.code != "") {
			t.Errorf("%v: %v", c.last, err)
		}
		o.want("select id from d order by id", c.want...)
		o.verifyClean()
	}
}

// TestVectorWithoutItsDataFile: a program removes a data file and leaves its vector; that
// goes once tarn removes files.
func TestVectorWithoutItsDataFile(t *testing.T) {
	o := vectored(t, true)
	tbl, tasks := o.outsideFiles(t)
	tx := tbl.NewTransaction()
	if err := tx.ReplaceDataFilesWithDataFiles(t.Context(), []iceberg.DataFile{tasks[0].File}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	deletes := func(want string) {
		t.Helper()
		tbl, _ := o.outsideFiles(t)
		if n := tbl.CurrentSnapshot().Summary.Properties["total-delete-files"]; n != want {
			t.Errorf("%s delete files where %s are due", n, want)
		}
		o.verifyClean()
	}
	o.want("select id from d order by id", "[11]", "[12]")
	deletes("2")
	o.change("d", engine.OpDelete, `{"id":11}`)
	o.compact("d")
	o.want("select id from d order by id", "[12]")
	deletes("2")
	o.change("d", engine.OpUpsert, `{"id":12,"v":"new"}`)
	o.compact("d")
	o.want("select * from d order by id", `[12,"new"]`)
	deletes("0")
}

// TestVectorsThatAreRefused: a vector is of the data file that it says, has no more rows
// than that, and no more bitmaps than it has bytes for.
func TestVectorsThatAreRefused(t *testing.T) {
	o := vectored(t, false)
	tbl, tasks := o.outsideFiles(t)
	file, other := tasks[0].File.FilePath(), tasks[1].File.FilePath()
	refused := func(want string, deletes ...iceberg.DataFile) {
		t.Helper()
		tx := tbl.NewTransaction()
		if err := tx.NewRowDelta(nil).AddDeletes(deletes...).Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Commit(t.Context()); lake.CodeOf(err) != lake.CodeRowsInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v", err)
		}
		o.want("select count(*) from d", "[6]")
	}
	made := func(file string, dead ...int64) iceberg.DataFile {
		t.Helper()
		d, err := vectorOf(tbl, file, dead...)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	one := made(file, 1)
	b, err := iceberg.NewDataFileBuilder(tbl.Spec(), one.ContentType(), one.FilePath(), one.FileFormat(), nil, nil, nil, one.Count(), one.FileSizeBytes())
	if err != nil {
		t.Fatal(err)
	}
	refused("does not match", one, b.ReferencedDataFile(other).ContentOffset(*one.ContentOffset()).ContentSizeInBytes(*one.ContentSizeInBytes()).Build())
	refused("names the row 3", made(file, 3))
	refused("4 rows", made(file, 0, 1, 2, 3))
	vast := made(file, 1)
	path := strings.TrimPrefix(vast.FilePath(), "file://")
	body := readFile(t, path)
	blob := body[*vast.ContentOffset():][:*vast.ContentSizeInBytes()]
	binary.LittleEndian.PutUint64(blob[8:], 1<<25) // bitmaps that it says to have
	binary.BigEndian.PutUint32(blob[len(blob)-4:], crc32.ChecksumIEEE(blob[4:len(blob)-4]))
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("cannot hold", vast)
	o.verifyClean()
}

// TestUpgradeBesideRows: another format version is no part of a commit of rows, wherever in
// it it stands.
func TestUpgradeBesideRows(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("d", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	request, err := inserted(o, "d", `{"id":1,"v":"a"}`)
	if err != nil {
		t.Fatal(err)
	}
	upgrade := table.NewUpgradeFormatVersionUpdate(3)
	rows := request.Updates
	for _, updates := range [][]table.Update{slices.Concat([]table.Update{upgrade}, rows), slices.Concat(rows, []table.Update{upgrade})} {
		request.Updates = updates
		if _, err := o.IcebergCommit(t.Context(), request); lake.CodeOf(err) != lake.CodeUnsupported {
			t.Errorf("%v", err)
		}
	}
	request.Updates = rows
	if _, err := o.IcebergCommit(t.Context(), request); err != nil {
		t.Error(err)
	}
	o.want("select id from d", "[1]")
}

// TestUpgradeWithChangesPending: a table gets deletion vectors with changes pending and
// position deletes in its base. What was can still be read; a follower reads on; and so does
// a server where the lake was moved to.
func TestUpgradeWithChangesPending(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lake")
	settings := func(o *engine.Options) { o.Settings.CompactDeadShare, o.Settings.TargetFileBytes = 0.9, 1 }
	o := openLake(t, dir, settings)
	o.create("d", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	o.change("d", engine.OpUpsert, `{"id":1,"v":"a"}`, `{"id":2,"v":"b"}`, `{"id":3,"v":"c"}`, `{"id":4,"v":"d"}`)
	o.compact("d")
	o.change("d", engine.OpDelete, `{"id":1}`)
	o.compact("d")
	o.change("d", engine.OpDelete, `{"id":2}`)
	f := follow(t, dir)
	defer f.close()
	_, err := o.IcebergCommit(t.Context(), engine.IcebergCommitRequest{Dataset: parsed("d"), Updates: []table.Update{
		table.NewSetPropertiesUpdate(iceberg.Properties{"a": "b"}), table.NewUpgradeFormatVersionUpdate(3),
	}})
	if err != nil {
		t.Fatal(err)
	}
	was := func(o *opened, sequence int, want ...string) {
		t.Helper()
		o.want(fmt.Sprintf("select id from d at (sequence => %d) order by id", sequence), want...)
	}
	check := func(o *opened, now ...string) {
		t.Helper()
		o.want("select id from d order by id", now...)
		was(o, 1, "[1]", "[2]", "[3]", "[4]")
		was(o, 2, "[2]", "[3]", "[4]")
		was(o, 3, "[3]", "[4]")
	}
	check(o, "[3]", "[4]")
	f.caughtUp(o)
	f.want("select id from d", "[3]", "[4]")
	o.compact("d")
	check(o, "[3]", "[4]")
	f.caughtUp(o)
	f.want("select id from d order by id", "[3]", "[4]")
	o.change("d", engine.OpDelete, `{"id":3}`)
	o.compact("d")
	check(o, "[4]")
	f.caughtUp(o)
	f.want("select id from d", "[4]")
	_, err = o.IcebergCommit(t.Context(), engine.IcebergCommitRequest{Dataset: parsed("d"), Updates: []table.Update{table.NewUpgradeFormatVersionUpdate(2)}})
	wantCode(t, err, lake.CodeUnsupported)
	o.verifyClean()
	o.close()
	to := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(dir, to); err != nil {
		t.Fatal(err)
	}
	o = openLake(t, to, settings)
	defer o.close()
	o.reroot()
	o.want("select id from d", "[4]")
	o.change("d", engine.OpUpsert, `{"id":4,"v":"D"}`, `{"id":5,"v":"e"}`)
	o.compact("d")
	o.want("select * from d order by id", `[4,"D"]`, `[5,"e"]`)
	o.verifyClean()
}

// TestCreateOfAFormatVersion: a dataset is of the version that is asked for, else of the
// setting's; an Idempotency-Key that comes again with another one is refused.
func TestCreateOfAFormatVersion(t *testing.T) {
	o := openLake(t, t.TempDir(), func(o *engine.Options) { o.Settings.IcebergFormatVersion = 3 })
	defer o.close()
	create := func(dataset string, version int, key string) (engine.Description, error) {
		return o.Create(t.Context(), engine.CreateRequest{Dataset: parsed(dataset), Schema: schema(t, []string{"id"}, "id BIGINT"), FormatVersion: version, Idempotency: idempotency(key)})
	}
	for i, c := range []struct{ asked, want int }{{0, 3}, {2, 2}, {3, 3}} {
		dataset := fmt.Sprintf("d%d", i)
		for range 2 {
			if d, err := create(dataset, c.asked, dataset); err != nil || d.FormatVersion != c.want {
				t.Fatalf("%d: %+v, %v", c.asked, d, err)
			}
		}
		if d, err := o.Describe(t.Context(), parsed(dataset)); err != nil || d.FormatVersion != c.want {
			t.Fatalf("%d: %+v, %v", c.asked, d, err)
		}
	}
	_, err := create("d1", 3, "d1")
	wantCode(t, err, lake.CodeIdempotencyReused)
	_, err = create("d0", 3, "d0")
	wantCode(t, err, lake.CodeIdempotencyReused)
	for _, version := range []int{-1, 1, 4} {
		_, err := create("other", version, "")
		wantCode(t, err, lake.CodeInvalidRequest)
	}
}
