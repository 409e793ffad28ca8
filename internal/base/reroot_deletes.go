package base

import (
	"bytes"
	"context"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"

	"tarn/internal/store"
)

// deletes stages a position delete file with the locations of its data files under
// the new root, and gives its key and bytes. It is as small as what it marks dead.
func (r *rerooter) deletes(ctx context.Context, key string) (string, []byte, error) {
	if err := VerifyFile(ctx, r.table.fs.store, key); err != nil {
		return "", nil, err
	}
	old, err := r.table.fs.store.Get(ctx, key)
	if err != nil {
		return "", nil, missing(key, err)
	}
	var body bytes.Buffer
	w, err := newPositionsWriter(&body)
	if err != nil {
		return "", nil, err
	}
	err = eachPosition(ctx, key, old, func(paths *array.String, positions *array.Int64) error {
		return w.add(positions.Int64Values(), func(i int) (string, error) { return r.moved(paths.Value(i)) })
	})
	if err != nil {
		return "", nil, err
	}
	if err := w.close(); err != nil {
		return "", nil, err
	}
	named := r.table.folder + "/data/" + deletesName(store.HashBytes(body.Bytes()))
	r.to.file(named, body.Bytes())
	return named, body.Bytes(), nil
}

// vector does the same with a deletion vector, of its positions file, and stages both.
func (r *rerooter) vector(ctx context.Context, df iceberg.DataFile, key string) (iceberg.DataFile, error) {
	old, _, ours := positionsOf(key)
	of := df.ReferencedDataFile()
	if !ours || of == nil {
		return nil, damaged(key, "it is no deletion vector of this table")
	}
	location, err := r.moved(*of)
	if err != nil {
		return nil, err
	}
	key, positions, err := r.deletes(ctx, old)
	if err != nil {
		return nil, err
	}
	made, body, err := r.table.writeVector(ctx, r.to.view, key, positions, location, df.Count(), vectorNamer(key, int64(len(positions))))
	if err != nil {
		return nil, err
	}
	named, err := r.to.view.key(made.FilePath())
	if err != nil {
		return nil, err
	}
	r.to.file(named, body)
	return made, nil
}
