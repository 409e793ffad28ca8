package base

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go/table"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// newFile holds a data file of another program against what its manifest and the table's
// schema say of it. Its rows are another matter, and so are its bounds.
func (p *Proposal) newFile(ctx context.Context, f dataFile) error {
	t := p.table
	if _, err := p.own(f.ice.FilePath()); err != nil {
		return err
	}
	if f.ice.SpecID() != 0 {
		return refused("the partition spec %d", f.ice.SpecID())
	}
	o, err := t.fs.store.Open(ctx, f.base.Key)
	if err != nil {
		return absent(f.base.Key, err)
	}
	defer o.Close()
	if o.Size() != f.base.Bytes {
		return lake.Errorf(lake.CodeRowsInvalid, "%s has %d bytes, and its manifest says %d", f.base.Key, o.Size(), f.base.Bytes)
	}
	columns, rows, err := parquetColumns(o)
	if err != nil {
		return lake.Errorf(lake.CodeRowsInvalid, "%s: %w", f.base.Key, err)
	}
	if rows != f.base.Rows {
		return lake.Errorf(lake.CodeRowsInvalid, "%s has %d rows, and its manifest says %d", f.base.Key, rows, f.base.Rows)
	}
	if t.Vectors() {
		columns = slices.DeleteFunc(columns, func(c lake.Column) bool { return c.ID == rowIDField || c.ID == lastUpdatedField })
	}
	return lake.Step(f.base.Key, sameByName(t.schema.Columns, columns))
}

// Field ids of the columns in which a data file of version 3 may keep what rows were called
// before they came into it, and when they changed last.
const (
	rowIDField       = 2147483540
	lastUpdatedField = 2147483539
)

// parquetColumns reads the columns of a Parquet file, by its field ids, and counts its
// rows.
func parquetColumns(o store.Object) (columns []lake.Column, rows int64, err error) {
	defer func() { // iceberg-go panics at columns without an id
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	r, err := file.NewParquetReader(o)
	if err != nil {
		return nil, 0, fmt.Errorf("it is no Parquet file: %w", err)
	}
	arrow, err := pqarrow.FromParquet(r.MetaData().Schema, &pqarrow.ArrowReadProperties{}, nil)
	if err != nil {
		return nil, 0, err
	}
	ice, err := table.ArrowSchemaToIceberg(arrow, false, nil)
	if err != nil {
		return nil, 0, err
	}
	columns, err = lakeColumns(ice.Fields())
	return columns, r.NumRows(), err
}

// sameByName says which column of a dataset a file has not, or has otherwise, or has
// besides. Nulls are another matter.
func sameByName(want, got []lake.Column) error {
	fault := func(format string, args ...any) error {
		return lake.Errorf(lake.CodeRowsInvalid, format, args...).
			WithHint("a data file has all columns of the table, with its field ids, names and types")
	}
	found := map[string]lake.Column{}
	for _, c := range got {
		found[c.Name] = c
	}
	for _, w := range want {
		g, ok := found[w.Name]
		switch {
		case !ok:
			return fault("it has no column %q", w.Name)
		case g.ID != w.ID:
			return fault("its column %q has the field id %d, and the table's %d", w.Name, g.ID, w.ID)
		case !g.Type.Equal(w.Type) || !sameParts(g.Type.Fields, w.Type.Fields):
			return fault("its column %q is %s, and the table's %s", w.Name, g.Type, w.Type)
		}
	}
	if len(found) != len(want) || len(got) != len(want) {
		return fault("it has %d columns, and the table %d", len(got), len(want))
	}
	return nil
}

// sameParts compares the parts of nested types with their ids.
func sameParts(a, b []lake.Column) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].ID != b[i].ID || a[i].Name != b[i].Name || !a[i].Type.Equal(b[i].Type) || !sameParts(a[i].Type.Fields, b[i].Type.Fields) {
			return false
		}
	}
	return true
}
