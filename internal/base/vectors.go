package base

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/puffin"
	"github.com/apache/iceberg-go/table/dv"
	"github.com/google/uuid"

	"tarn/internal/failpoint"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// The format versions that a table can have. From VersionVectors on rows are marked dead by
// deletion vectors.
const (
	VersionDefault = 2
	VersionVectors = 3
)

// CheckFormatVersion says which format versions there are.
func CheckFormatVersion(version int) error {
	if version != VersionDefault && version != VersionVectors {
		return lake.Errorf(lake.CodeInvalidRequest, "the format version %d is none that tables of tarn have", version).
			WithHint("%d has position deletes, %d deletion vectors", VersionDefault, VersionVectors)
	}
	return nil
}

// FormatVersion is Iceberg's, of the table.
func (t *Table) FormatVersion() int { return t.meta.Version() }

// Vectors says whether the table marks rows dead by deletion vectors: a data file has one at
// most, of all its dead rows.
func (t *Table) Vectors() bool { return t.meta.Version() >= VersionVectors }

// vectorName is the name of a deletion vector of ours: in it are the bytes and the hash of
// the positions file, which has the same rows as Parquet. Jobs and queries read that one.
// No manifest names it; it comes and goes with the vector.
var vectorName = regexp.MustCompile(`^(deletes-[0-9a-f]{8})-p([0-9a-f]{32})\.(\d+)-x[0-9a-f]{32}\.puffin$`)

// vectorNamer names the deletion vector of a positions file.
func vectorNamer(positions string, size int64) func(hash string) string {
	stem := strings.Replace(strings.TrimSuffix(path.Base(positions), ".parquet"), "-x", "-p", 1)
	return func(hash string) string { return fmt.Sprintf("%s.%d-x%s.puffin", stem, size, hash) }
}

// positionsOf gives the key and bytes of the positions file of a deletion vector; ok is
// false for one that another program wrote.
func positionsOf(key string) (positions string, size int64, ok bool) {
	m := vectorName.FindStringSubmatch(path.Base(key))
	if m == nil {
		return "", 0, false
	}
	size, err := strconv.ParseInt(m[3], 10, 64)
	return fmt.Sprintf("%s/%s-x%s.parquet", path.Dir(key), m[1], m[2]), size, err == nil
}

// vectorOf is one deletion vector among those that a file of another program may have.
func vectorOf(key string, df iceberg.DataFile) string {
	offset, of := int64(0), ""
	if o := df.ContentOffset(); o != nil {
		offset = *o
	}
	if r := df.ReferencedDataFile(); r != nil {
		of = *r
	}
	return fmt.Sprintf("%s#%d of %s", key, offset, of)
}

// takeInVector takes in a position delete file of all dead rows of a data file, and makes a
// deletion vector of it.
func (t *Table) takeInVector(ctx context.Context, from, location string, rows int64) (NewDeletes, error) {
	body, err := os.ReadFile(from)
	if err != nil {
		return NewDeletes{}, lake.Errorf(lake.CodeUnavailable, "take in %s: %w", from, err)
	}
	key, size, err := t.move(ctx, from, deletesName)
	if err != nil {
		return NewDeletes{}, err
	}
	if err := t.written(ctx, key); err != nil {
		return NewDeletes{}, err
	}
	v := t.fs.view(ctx, t.root)
	named, written, err := t.writeVector(ctx, v, key, body, location, rows, vectorNamer(key, size))
	if err != nil {
		return NewDeletes{}, err
	}
	vector, err := v.key(named.FilePath())
	if err != nil {
		return NewDeletes{}, err
	}
	if err := t.fs.create(ctx, vector, written); err != nil {
		return NewDeletes{}, err
	}
	failpoint.Hit("base.vector-created")
	return NewDeletes{Key: key, ice: named}, nil
}

// writeVector makes the deletion vector of a data file of a positions file, which has no
// position twice, and gives it under its name with its bytes.
func (t *Table) writeVector(ctx context.Context, v *view, key string, positions []byte, location string, rows int64, name func(hash string) string) (iceberg.DataFile, []byte, error) {
	spec := t.meta.PartitionSpec()
	w := dv.NewDVWriter(v, func(int32) *iceberg.PartitionSpec { return &spec })
	err := eachPosition(ctx, key, positions, func(_ *array.String, at *array.Int64) error {
		return w.Add(location, at.Int64Values(), 0, nil)
	})
	if err != nil {
		return nil, nil, err
	}
	draft := t.folder + "/data/" + uuid.NewString() + ".puffin"
	made, err := w.Flush(ctx, v.uri(draft))
	if err != nil {
		return nil, nil, lake.Errorf(lake.CodeInternal, "write the deletion vector of %s: %w", location, err)
	}
	if len(made) != 1 || made[0].Count() != rows {
		return nil, nil, lake.Errorf(lake.CodeInternal, "%s has not the %d rows that a deletion vector is to have", key, rows)
	}
	_, body, _ := v.staged(v.uri(draft))
	df := made[0]
	b, err := iceberg.NewDataFileBuilder(spec, iceberg.EntryContentPosDeletes, v.uri(t.folder+"/data/"+name(store.HashBytes(body))), iceberg.PuffinFile,
		nil, nil, nil, rows, int64(len(body)))
	if err != nil {
		return nil, nil, lake.Errorf(lake.CodeInternal, "take in %s: %w", key, err)
	}
	return b.ReferencedDataFile(location).ContentOffset(*df.ContentOffset()).ContentSizeInBytes(*df.ContentSizeInBytes()).Build(), body, nil
}

// checkVector holds a deletion vector of ours against its positions file.
func checkVector(ctx context.Context, s store.Store, key, positions string) error {
	body, err := s.Get(ctx, key)
	if err != nil {
		return missing(key, err)
	}
	r, err := puffin.NewReader(bytes.NewReader(body))
	if err != nil || len(r.Blobs()) != 1 {
		return damaged(key, "it is no deletion vector of one data file: %v", err)
	}
	blob, err := r.ReadBlob(0)
	if err != nil {
		return damaged(key, "%w", err)
	}
	vector, err := decodeVector(blob.Data, -1)
	if err != nil {
		return damaged(key, "%w", err)
	}
	rows, err := s.Get(ctx, positions)
	if err != nil {
		return missing(positions, err)
	}
	n, other := int64(0), int64(-1)
	err = eachPosition(ctx, positions, rows, func(_ *array.String, at *array.Int64) error {
		for _, pos := range at.Int64Values() {
			if n++; other < 0 && !vector.Contains(uint64(pos)) {
				other = pos
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case other >= 0 || n != vector.Cardinality():
		return damaged(key, "it has %d rows, and %s has %d; they are not the same", vector.Cardinality(), positions, n)
	}
	return nil
}

// checkVectorEntry holds what a manifest must say of a deletion vector of another program.
func (p *Proposal) checkVectorEntry(df iceberg.DataFile) error {
	if df.ContentOffset() == nil || df.ContentSizeInBytes() == nil || df.ReferencedDataFile() == nil {
		return lake.Errorf(lake.CodeRowsInvalid, "the deletion vector %s: its manifest does not say where it is, or of which data file", df.FilePath())
	}
	if !strings.HasSuffix(df.FilePath(), ".puffin") {
		return refused("the deletion vector %s, whose name does not end in .puffin", df.FilePath())
	}
	return nil
}

// IsVector says whether a delete file of the commit, by the key that ForeignDeletes has, is
// a deletion vector: WriteVector makes a file of it that a job can read.
func (p *Proposal) IsVector(key string) bool { return p.vectors[key] != nil }

// WriteVector writes a deletion vector of the commit as a position delete file. One that
// has more rows than its data file, of which a few bytes may say so, is refused.
func (p *Proposal) WriteVector(key, path string) error {
	df := p.vectors[key]
	of := slices.IndexFunc(p.marks.Files, func(f lake.MarkedFile) bool { return f.Location == *df.ReferencedDataFile() })
	switch {
	case of < 0:
		return lake.Errorf(lake.CodeRowsInvalid, "%s names the data file %s, which is not in the table", key, *df.ReferencedDataFile()).
			WithHint("load the table again: it may have been rewritten")
	case df.Count() > p.marks.Files[of].Rows:
		return lake.Errorf(lake.CodeRowsInvalid, "%s has %d rows of %s, which has %d rows", key, df.Count(), p.marks.Files[of].Key, p.marks.Files[of].Rows)
	}
	return WriteVector(p.view, df, path)
}
