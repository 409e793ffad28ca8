package base

import (
	"context"
	"errors"
	"os"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

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
	hash, size, err := store.HashFile(ctx, path)
	if err != nil {
		return NewFile{}, err
	}
	key := t.folder + "/data/" + dataName(ordinal, hash)
	err = store.CreateFromSettled(ctx, t.fs.store, key, path, func(existing store.Object) (bool, error) {
		return existing.Size() == size, nil
	})
	if err != nil {
		return NewFile{}, notWritten(key, err)
	}
	// A second name of the same inode would change its ctime, and so its
	// identity, when scratch is cleared later.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return NewFile{}, lake.Errorf(lake.CodeUnavailable, "take in %s: %w", path, err)
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
	if t.fs.verifier != nil {
		if err := t.fs.verifier.written(ctx, key); err != nil {
			return NewFile{}, err
		}
	}
	return NewFile{f.base, df}, nil
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
