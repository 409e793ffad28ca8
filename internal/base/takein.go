package base

import (
	"context"
	"errors"
	"os"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"tarn/internal/failpoint"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// NewFile is a data file that was taken in and that a commit can add.
type NewFile struct {
	lake.BaseFile // without Path and Identity

	ice iceberg.DataFile
}

// TakeIn moves the Parquet file at path into the store as a data file of the
// table, with the arrival ordinal given: it is hashed, linked or copied under a
// name with the hash, and its footer is read for Iceberg's metrics. The file has
// the table's columns with their field ids; they may all be optional. On success
// path is gone; whoever removes its folder later does not change the file.
// Nothing refers to the data file until a commit adds it.
func (t *Table) TakeIn(ctx context.Context, path string, ordinal int64) (NewFile, error) {
	if ordinal < 0 {
		return NewFile{}, lake.Errorf(lake.CodeInternal, "take in %s: ordinal %d", path, ordinal)
	}
	key, _, err := t.move(ctx, path, func(hash string) string { return dataName(ordinal, hash) })
	if err != nil {
		return NewFile{}, err
	}
	df, err := t.metrics(ctx, key)
	if err != nil {
		return NewFile{}, err
	}
	f, err := t.dataFile(key, df, 0)
	if err != nil {
		return NewFile{}, err
	}
	f.base.Ordinal = ordinal
	return NewFile{f.base, df}, t.written(ctx, key)
}

// NewDeletes is a position delete file, or a deletion vector, that was taken in and that a
// commit can add. It is of one data file.
type NewDeletes struct {
	Key string
	ice iceberg.DataFile
}

// TakeInDeletes is TakeIn for a position delete file, of so many rows of one live
// data file, which it names by its DataLocation. Where the table has Vectors they are all
// rows of the data file that are dead.
func (t *Table) TakeInDeletes(ctx context.Context, path string, of lake.BaseFile, rows int64) (NewDeletes, error) {
	location, err := t.DataLocation(ctx, of.Key)
	if err != nil {
		return NewDeletes{}, err
	}
	return t.TakeInDeletesAt(ctx, path, location, rows)
}

// TakeInDeletesAt is TakeInDeletes for a data file that the table has or is to have, by its
// location.
func (t *Table) TakeInDeletesAt(ctx context.Context, path, location string, rows int64) (NewDeletes, error) {
	if t.Vectors() {
		return t.takeInVector(ctx, path, location, rows)
	}
	key, size, err := t.move(ctx, path, deletesName)
	if err != nil {
		return NewDeletes{}, err
	}
	b, err := iceberg.NewDataFileBuilder(t.meta.PartitionSpec(), iceberg.EntryContentPosDeletes, t.root+"/"+key, iceberg.ParquetFile,
		nil, nil, nil, rows, size)
	if err != nil {
		return NewDeletes{}, lake.Errorf(lake.CodeInternal, "take in %s: %w", key, err)
	}
	bound := map[int][]byte{filePathID: []byte(location)}
	b.ReferencedDataFile(location).LowerBoundValues(bound).UpperBoundValues(bound)
	return NewDeletes{Key: key, ice: b.Build()}, t.written(ctx, key)
}

// move moves a file into the store's folder of data files, under a name made of
// the hash of its bytes.
func (t *Table) move(ctx context.Context, path string, name func(hash string) string) (key string, size int64, err error) {
	hash, size, err := store.HashFile(ctx, path)
	if err != nil {
		return "", 0, err
	}
	key = t.folder + "/data/" + name(hash)
	err = store.CreateFromSettled(ctx, t.fs.store, key, path, func(existing store.Object) (bool, error) {
		return existing.Size() == size, nil
	})
	if err != nil {
		return "", 0, notWritten(key, err)
	}
	// A second name of the same inode would change its ctime, and so its
	// identity, when scratch is cleared later.
	failpoint.Hit("base.file-created")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", 0, lake.Errorf(lake.CodeUnavailable, "take in %s: %w", path, err)
	}
	return key, size, nil
}

// written notes that we wrote the file, and so know its bytes.
func (t *Table) written(ctx context.Context, key string) error {
	if t.fs.verifier == nil {
		return nil
	}
	return t.fs.verifier.written(ctx, key)
}

// metrics reads what Iceberg wants to know of a data file from its footer.
func (t *Table) metrics(ctx context.Context, key string) (iceberg.DataFile, error) {
	relaxed, err := icebergSchema(t.schema, true)
	if err != nil {
		return nil, err
	}
	v := t.fs.view(ctx, t.root)
	df, err := table.FileToDataFile(ctx, v, v.uri(key), relaxed, t.meta.PartitionSpec(), 0, t.meta.Properties())
	if err != nil && lake.CodeOf(err) != lake.CodeInternal {
		return nil, lake.Step("take in", err) // the store's, not the file's
	}
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "%s: not a data file of the table: %w", key, err)
	}
	return df, nil
}
