//go:build duckdb_arrow

package duck

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// chunkOf gives some rows of a batch as DuckDB can take them in. Where a column
// holds a STRUCT they are copied: in a slice the fields of the struct keep their
// whole length, and DuckDB's import takes them from their first row on, whatever
// the slice's offset is, which gives rows the fields of others. The caller
// releases the chunk.
func chunkOf(b arrow.RecordBatch, from, to int64) (arrow.RecordBatch, error) {
	slice := b.NewSlice(from, to)
	if !holdsStruct(b.Schema()) {
		return slice, nil
	}
	defer slice.Release()
	columns := make([]arrow.Array, slice.NumCols())
	defer func() {
		for _, c := range columns {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i, col := range slice.Columns() {
		var err error
		if columns[i], err = array.Concatenate([]arrow.Array{col}, memory.DefaultAllocator); err != nil {
			return nil, err
		}
	}
	return array.NewRecordBatch(b.Schema(), columns, to-from), nil
}

func holdsStruct(s *arrow.Schema) bool {
	var has func(t arrow.DataType) bool
	has = func(t arrow.DataType) bool {
		switch t := t.(type) {
		case *arrow.StructType:
			return true
		case arrow.ListLikeType: // maps, too, whose entries are no struct for DuckDB
			return has(t.Elem())
		}
		return false
	}
	for _, f := range s.Fields() {
		if has(f.Type) {
			return true
		}
	}
	return false
}
