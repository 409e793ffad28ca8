package rows

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"tarn/internal/lake"
)

// columns turns the batches of Arrow and Parquet bodies into batches of the
// dataset's schema, column by column. Columns of the very type are taken as
// they are; others go through inlets.
type columns struct {
	o      DecodeOptions
	tb     *table
	source *arrow.Schema
	from   []int    // source column of each column, -1: missing
	inlets []*inlet // nil where the source column is taken as it is
}

// newColumns fails with CodeRowsInvalid where the columns do not fit.
func newColumns(source *arrow.Schema, o DecodeOptions, t *tally) (*columns, error) {
	header := make([]string, source.NumFields())
	for i, f := range source.Fields() {
		header[i] = f.Name
	}
	at, err := assign(header, o.Schema.Columns, o.Missing, keyColumns(o.Schema))
	if err != nil {
		return nil, err
	}
	cs := &columns{o: o, source: source, from: at}
	if cs.tb, err = newTable(o.Schema.Columns, o.Schema.Arrow(), o, t); err == nil {
		err = cs.connect()
	}
	if err != nil {
		cs.close()
		return nil, err
	}
	return cs, nil
}

func (cs *columns) close() { cs.tb.release() }

// connect makes the inlets to the table's cells.
func (cs *columns) connect() error {
	cs.inlets = make([]*inlet, len(cs.from))
	for i, at := range cs.from {
		if at < 0 {
			continue
		}
		src, c := cs.source.Field(at).Type, cs.tb.cells[i]
		if !c.typ.Nested() && arrow.TypeEqual(src, cs.tb.schema.Field(i).Type) {
			continue
		}
		var err error
		if cs.inlets[i], err = newInlet(src, c, cs.o.Missing.nested()); err != nil {
			return err
		}
	}
	return nil
}

// convert gives the batch in the dataset's schema; nil where it has misfits.
// It fails where the batch is not what its format says.
func (cs *columns) convert(rec arrow.RecordBatch) (arrow.RecordBatch, error) {
	t := cs.tb.tally
	first, n := t.rows+1, int(rec.NumRows())
	t.rows += int64(n)
	bad := map[int]error{} // the first misfit of each row, by row in the batch
	note := func(i int, err error) {
		if err != nil && bad[i] == nil {
			bad[i] = err
		}
	}
	arrays := make([]arrow.Array, len(cs.from))
	defer func() {
		for _, a := range arrays {
			if a != nil {
				a.Release()
			}
		}
	}()
	for i, at := range cs.from {
		c := cs.tb.cells[i]
		switch in := cs.inlets[i]; {
		case at < 0:
			c.b.AppendNulls(n)
		case !cs.valid(rec.Column(at), c, note):
			if len(bad) == 0 {
				return nil, lake.Errorf(lake.CodeInvalidRequest, "rows %d to %d, column %q: %s", first, first+int64(n)-1, c.path,
					clip(array.ValidateFull(rec.Column(at)).Error(), 200))
			}
		case in == nil:
			arrays[i] = rec.Column(at)
			arrays[i].Retain()
			checkColumn(arrays[i], c, note)
		default:
			in.set(rec.Column(at))
			for row := range n {
				note(row, in.add(row))
			}
			in.set(nil)
		}
	}
	if len(bad) > 0 {
		rowsBad := make([]int, 0, len(bad))
		for i := range bad {
			rowsBad = append(rowsBad, i)
		}
		slices.Sort(rowsBad)
		for _, i := range rowsBad {
			t.add(first+int64(i), bad[i])
		}
		if err := cs.tb.renew(); err != nil {
			return nil, err
		}
		return nil, cs.connect()
	}
	for i, c := range cs.tb.cells {
		if arrays[i] == nil {
			arrays[i] = c.b.NewArray()
		}
	}
	if cs.tb.given != nil {
		arrays = append(arrays, cs.tb.given.all(cs.from, n))
	}
	out := array.NewRecordBatch(cs.tb.schema, arrays, int64(n))
	if cs.tooLong(out, first) || cs.tb.maps.tally(out, first, t) {
		out.Release()
		return nil, nil
	}
	return out, nil
}

// valid says whether the array is what its type says. Text that is not UTF-8
// is noted as a misfit of its row where the array is one of strings.
func (cs *columns) valid(arr arrow.Array, c *cell, note func(int, error)) bool {
	// ValidateFull of arrow-go 18.8.0 refuses every array of nulls. Columns that
	// have one within go through an inlet, which looks at each value itself.
	if hasNullType(arr.DataType()) || array.ValidateFull(arr) == nil {
		return true
	}
	if s, ok := arr.(array.StringLike); ok && array.Validate(arr) == nil {
		for i := range s.Len() {
			if !s.IsNull(i) && !utf8.ValidString(s.Value(i)) {
				note(i, c.wrong(shown([]byte(s.Value(i)), true), errNoUTF8))
			}
		}
	}
	return false
}

func hasNullType(dt arrow.DataType) bool {
	switch t := dt.(type) {
	case *arrow.NullType:
		return true
	case *arrow.DictionaryType:
		return hasNullType(t.ValueType)
	case arrow.ExtensionType:
		return hasNullType(t.StorageType())
	case arrow.NestedType:
		return slices.ContainsFunc(t.Fields(), func(f arrow.Field) bool { return hasNullType(f.Type) })
	}
	return false
}

// checkColumn notes the values of a column of the right type that are none of
// it all the same: nulls, and values out of range.
func checkColumn(arr arrow.Array, c *cell, note func(int, error)) {
	if arr.NullN() > 0 && !c.nullable {
		for i := range arr.Len() {
			if arr.IsNull(i) {
				note(i, c.null())
			}
		}
	}
	var fits func(i int) bool
	switch a := arr.(type) {
	case *array.Decimal128:
		fits = func(i int) bool { return fits128(a.Value(i), c.typ.Precision) }
	case *array.Date32:
		fits = func(i int) bool { return dateFits(int64(a.Value(i))) }
	case *array.Time64:
		fits = func(i int) bool { return timeFits(int64(a.Value(i))) }
	case *array.Timestamp:
		fits = func(i int) bool { return timestampFits(int64(a.Value(i))) }
	default:
		return
	}
	for i := range arr.Len() {
		if !arr.IsNull(i) && !fits(i) {
			note(i, c.wrong("a value", errTooBig))
		}
	}
}

// tooLong tallies the rows with more bytes than the limit.
func (cs *columns) tooLong(rec arrow.RecordBatch, first int64) (found bool) {
	limit := int64(cs.o.MaxRowBytes)
	total := int64(0)
	for _, a := range rec.Columns() {
		total += int64(a.Data().SizeInBytes())
	}
	if total <= limit {
		return false
	}
	for i := range int(rec.NumRows()) {
		n := int64(0)
		for _, a := range rec.Columns() {
			n += valueBytes(a, i)
		}
		if n > limit {
			cs.tb.tally.addLong(first+int64(i), int(limit))
			found = true
		}
	}
	return found
}

// valueBytes is the size of a value of the types that lake.Type.Arrow gives.
func valueBytes(arr arrow.Array, i int) (n int64) {
	if arr.IsNull(i) {
		return 1
	}
	switch a := arr.(type) {
	case *array.String:
		return int64(a.ValueLen(i))
	case *array.Binary:
		return int64(a.ValueLen(i))
	case *array.Struct:
		for k := range a.NumField() {
			n += valueBytes(a.Field(k), i)
		}
		return n
	case array.ListLike:
		start, end := a.ValueOffsets(i)
		values := a.ListValues()
		for j := start; j < end; j++ {
			n += valueBytes(values, int(j))
		}
		return n
	}
	return 8
}

// damaged is the error of a body that a library could not read.
func damaged(f Format, err error) error {
	var own *lake.Error
	if errors.As(err, &own) {
		return err
	}
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "arrow/ipc: "), "parquet: ")
	return lake.Errorf(lake.CodeInvalidRequest, "the body is no %s that can be read: %s", f, clip(text, 300))
}
