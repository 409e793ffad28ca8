package format

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/lake"
)

// Refit gives changes of an older schema the columns of s, as a delta of that schema
// is read: found by field id, null where there was none, in the wider type. The rows
// of the result are the caller's to release.
func Refit(c Changes, s lake.Schema) (Changes, error) {
	at := map[int]int{}
	for i, field := range c.Rows.Schema().Fields() {
		at[fieldID(field)] = i
	}
	want := ChangesSchema(s)
	cols := make([]arrow.Array, 0, len(s.Columns))
	defer func() {
		for _, col := range cols {
			col.Release()
		}
	}()
	for i, col := range s.Columns {
		from, ok := at[col.ID]
		if !ok {
			cols = append(cols, array.MakeArrayOfNull(memory.DefaultAllocator, want.Field(i).Type, int(c.Rows.NumRows())))
			continue
		}
		one, err := fit(c.Rows.Column(from), want.Field(i).Type)
		if err != nil {
			return Changes{}, lake.Errorf(lake.CodeInternal, "column %q: %w", col.Name, err)
		}
		cols = append(cols, one)
	}
	return Changes{Rows: array.NewRecordBatch(want, cols, c.Rows.NumRows()), Ops: c.Ops}, nil
}
