package base

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"tarn/internal/keys"
	"tarn/internal/lake"
)

// content is what a table's current snapshot holds.
type content struct {
	files     []dataFile     // by arrival
	places    map[string]int // in files, by key
	deletes   []deleteFile
	manifests int
	rows      int64 // by the manifests, before deletes
}

type dataFile struct {
	base lake.BaseFile
	ice  iceberg.DataFile
	seq  int64 // Iceberg's data sequence number
}

type deleteFile struct {
	key    string // of a vector: of its positions file, or which one it is of another program's file
	bytes  int64
	vector bool
	ice    iceberg.DataFile
	reach  Reach
}

// Files gives the live data files of the current snapshot, in the order of
// arrival: by ordinal, then by key. Path and Identity are empty. Position
// delete files are listed with every data file that they may apply to; a reader
// takes from them the positions of the file's own location, which ends in its
// key. CodeUnsupported for equality deletes.
func (t *Table) Files(ctx context.Context) ([]lake.BaseFile, error) {
	c, err := t.content(ctx)
	if err != nil {
		return nil, err
	}
	return c.list(), nil
}

func (c *content) list() []lake.BaseFile {
	out := make([]lake.BaseFile, len(c.files))
	for i, f := range c.files {
		out[i] = f.base
		out[i].Deletes = slices.Clone(f.base.Deletes)
	}
	return out
}

func (t *Table) content(ctx context.Context) (*content, error) {
	t.mu.Lock()
	defer t.mu.Unlock() // across the reading: whoever asks at the same time wants the same
	if t.mu.content != nil {
		return t.mu.content, nil
	}
	c, err := t.readContent(ctx, t.fs.view(ctx, t.root), t.meta.CurrentSnapshot())
	if err != nil {
		return nil, err
	}
	for _, d := range c.deletes {
		if _, ours := HashInName(d.key); d.vector && !ours {
			return nil, lake.Errorf(lake.CodeUnsupported, "%s: a deletion vector that another program wrote", d.key)
		}
	}
	t.mu.content = c
	return c, nil
}

// readContent reads a snapshot of the table, or one that it may come to have, through a
// view, which may hold its manifests before they are written. There is nothing in none.
func (t *Table) readContent(ctx context.Context, v *view, snapshot *table.Snapshot) (*content, error) {
	c := &content{}
	if snapshot == nil {
		return c, nil
	}
	manifests, err := snapshot.Manifests(v)
	if err != nil {
		return nil, readFailed(snapshot.ManifestList, err)
	}
	c.manifests = len(manifests)
	for _, m := range manifests {
		for entry, err := range m.Entries(v, true) {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				err = c.add(t, v, entry)
			}
			if err != nil {
				return nil, readFailed(m.FilePath(), err)
			}
		}
	}
	c.order()
	c.places = make(map[string]int, len(c.files))
	for i, f := range c.files {
		c.places[f.base.Key] = i
	}
	return c, c.mark()
}

// mark gives each data file the delete files that apply to it. Most are of one data file, as
// all vectors are, and are not held against every other.
func (c *content) mark() error {
	byFile, several := map[string][]int{}, []int(nil)
	for i, d := range c.deletes {
		if of, one := d.reach.OneFile(); one {
			byFile[of] = append(byFile[of], i)
		} else {
			several = append(several, i)
		}
	}
	for i := range c.files {
		may := slices.Concat(byFile[c.files[i].ice.FilePath()], several)
		slices.Sort(may)
		deletes := make([]deleteFile, len(may))
		for k, at := range may {
			deletes[k] = c.deletes[at]
		}
		if err := c.files[i].mark(deletes); err != nil {
			return err
		}
	}
	return nil
}

// mark gives a data file the delete files that apply to it. A deletion vector stands for all
// position deletes before it.
func (f *dataFile) mark(deletes []deleteFile) error {
	vectors := 0
	for _, d := range deletes {
		if !d.reach.Has(f.ice.FilePath(), f.seq) || vectors > 0 && !d.vector {
			continue
		}
		if d.vector {
			if vectors++; vectors > 1 {
				return lake.Errorf(lake.CodeUnsupported, "%s has two deletion vectors", f.base.Key)
			}
			f.base.Deletes, f.base.Dead = nil, 0
		}
		f.base.Deletes = append(f.base.Deletes, lake.DeleteFile{Key: d.key, Bytes: d.bytes})
		if _, ours := HashInName(d.key); ours { // which is of one data file
			f.base.Dead += d.ice.Count()
		}
	}
	return nil
}

// readFailed gives an error of iceberg-go's decoding a code: the bytes were
// verified, or are foreign, and do not hold what they should.
func readFailed(uri string, err error) error {
	if lake.CodeOf(err) != lake.CodeInternal {
		return err
	}
	return damaged(uri, "%w", err)
}

func (c *content) add(t *Table, v *view, entry iceberg.ManifestEntry) error {
	df := entry.DataFile()
	key, err := v.key(df.FilePath())
	if err != nil {
		return err
	}
	switch df.ContentType() {
	case iceberg.EntryContentData:
		f, err := t.dataFile(key, df, entry.SequenceNum())
		if err != nil {
			return err
		}
		c.files = append(c.files, f)
		c.rows += df.Count()
	case iceberg.EntryContentPosDeletes:
		d := deleteFile{key: key, bytes: df.FileSizeBytes(), vector: IsVector(df), ice: df, reach: ReachOf(df, entry.SequenceNum())}
		switch positions, size, ours := positionsOf(key); {
		case d.vector && ours:
			d.key, d.bytes = positions, size
		case d.vector:
			d.key = vectorOf(key, df)
		case !IsParquet(df):
			return lake.Errorf(lake.CodeUnsupported, "%s: position deletes as %s", key, df.FileFormat())
		}
		c.deletes = append(c.deletes, d)
	default:
		return lake.Errorf(lake.CodeUnsupported, "%s: equality deletes", key).
			WithHint("rewrite the table's data files with the program that wrote them")
	}
	return nil
}

func (t *Table) dataFile(key string, df iceberg.DataFile, seq int64) (dataFile, error) {
	if !IsParquet(df) {
		return dataFile{}, lake.Errorf(lake.CodeUnsupported, "%s: data as %s", key, df.FileFormat())
	}
	f := dataFile{ice: df, seq: seq, base: lake.BaseFile{Key: key, Rows: df.Count(), Bytes: df.FileSizeBytes()}}
	_, hashed := HashInName(key)
	_, theirs := FromOwner(key)
	f.base.Foreign = !hashed || theirs
	if t.schema.Keyed() {
		first := t.schema.Columns[t.schema.KeyIndexes()[0]]
		var err error
		if f.base.Lower, err = bound(first, df.LowerBoundValues()); err != nil {
			return dataFile{}, lake.Step(key, err)
		}
		if f.base.Upper, err = bound(first, df.UpperBoundValues()); err != nil {
			return dataFile{}, lake.Step(key, err)
		}
	}
	return f, nil
}

// bound is a bound of a key column as keys.First encodes values; nil, which is
// unbounded, where the file has none. Bounds of a column that was promoted from
// int to long may still have 4 bytes.
func bound(c lake.Column, bounds map[int][]byte) ([]byte, error) {
	raw, ok := bounds[c.ID]
	if !ok {
		return nil, nil
	}
	t, err := icebergType(c.Type, true)
	if err != nil {
		return nil, err
	}
	if c.Type.Kind == lake.Bigint && len(raw) == 4 {
		t = iceberg.PrimitiveTypes.Int32
	}
	literal, err := iceberg.LiteralFromBytes(t, raw)
	if err != nil {
		return nil, lake.Errorf(lake.CodeDamaged, "bound of column %q: %w", c.Name, err)
	}
	b, err := keys.Bound(c.Type, literal.Any())
	if lake.CodeOf(err) == lake.CodeUnsupported {
		return nil, nil // unbounded is right for any file
	}
	return b, err
}

// order sorts the files by arrival. Foreign files have no ordinal: each comes
// after what was there when it was committed.
func (c *content) order() {
	slices.SortFunc(c.files, func(a, b dataFile) int {
		return cmp.Or(cmp.Compare(a.seq, b.seq), strings.Compare(a.base.Key, b.base.Key))
	})
	next := int64(0)
	for i := range c.files {
		f := &c.files[i].base
		ordinal, ok := ordinalOf(f.Key)
		if !ok || f.Foreign {
			ordinal = next
		}
		f.Ordinal = ordinal
		next = max(next, ordinal+1)
	}
	slices.SortStableFunc(c.files, func(a, b dataFile) int { return cmp.Compare(a.base.Ordinal, b.base.Ordinal) })
}

// DataLocation gives the URI that the table's manifests have of a live data file, and
// position deletes must name it by.
func (t *Table) DataLocation(ctx context.Context, key string) (string, error) {
	c, err := t.content(ctx)
	if err != nil {
		return "", err
	}
	if i, ok := c.places[key]; ok {
		return c.files[i].ice.FilePath(), nil
	}
	return "", lake.Errorf(lake.CodeInternal, "%s is no live data file of the table", key)
}
