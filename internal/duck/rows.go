//go:build duckdb_arrow

package duck

import (
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"

	"tarn/internal/lake"
)

// appendRows adds a batch's rows as Go values, which share no memory with it.
func appendRows(out [][]any, batch arrow.RecordBatch) ([][]any, error) {
	for i := range int(batch.NumRows()) {
		row := make([]any, batch.NumCols())
		for j, column := range batch.Columns() {
			v, err := goValue(column, i)
			if err != nil {
				return nil, err
			}
			row[j] = v
		}
		out = append(out, row)
	}
	return out, nil
}

// goValue is one value as Conn.Rows gives it.
func goValue(a arrow.Array, i int) (any, error) {
	if a.IsNull(i) {
		return nil, nil
	}
	switch a := a.(type) {
	case *array.Boolean:
		return a.Value(i), nil
	case *array.Int8:
		return int64(a.Value(i)), nil
	case *array.Int16:
		return int64(a.Value(i)), nil
	case *array.Int32:
		return int64(a.Value(i)), nil
	case *array.Int64:
		return a.Value(i), nil
	case *array.Uint8:
		return int64(a.Value(i)), nil
	case *array.Uint16:
		return int64(a.Value(i)), nil
	case *array.Uint32:
		return int64(a.Value(i)), nil
	case *array.Uint64:
		return a.Value(i), nil
	case *array.Float32:
		return float64(a.Value(i)), nil
	case *array.Float64:
		return a.Value(i), nil
	case *array.String:
		return strings.Clone(a.Value(i)), nil
	case *array.Binary:
		return append([]byte{}, a.Value(i)...), nil
	case *extensions.UUIDArray:
		return a.Value(i).String(), nil
	case *array.Decimal128:
		t := a.DataType().(*arrow.Decimal128Type)
		if n := a.Value(i).BigInt(); t.Precision == decimal38.Precision && t.Scale == 0 && n.IsInt64() {
			return n.Int64(), nil
		}
		return a.Value(i).ToString(t.Scale), nil
	case *array.Date32:
		return a.Value(i).ToTime(), nil
	case *array.Timestamp:
		return a.Value(i).ToTime(a.DataType().(*arrow.TimestampType).Unit), nil
	case *array.Time64:
		return time.Duration(a.Value(i)) * a.DataType().(*arrow.Time64Type).Unit.Multiplier(), nil
	}
	return nestedGoValue(a, i)
}

func nestedGoValue(a arrow.Array, i int) (any, error) {
	switch a := a.(type) {
	case *array.Map: // before the lists, of which it is one
		start, end := a.ValueOffsets(i)
		out := make([][2]any, 0, end-start)
		for j := int(start); j < int(end); j++ {
			key, err := goValue(a.Keys(), j)
			if err != nil {
				return nil, err
			}
			value, err := goValue(a.Items(), j)
			if err != nil {
				return nil, err
			}
			out = append(out, [2]any{key, value})
		}
		return out, nil
	case array.ListLike:
		start, end := a.ValueOffsets(i)
		out := make([]any, 0, end-start)
		for j := int(start); j < int(end); j++ {
			v, err := goValue(a.ListValues(), j)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	case *array.Struct:
		t := a.DataType().(*arrow.StructType)
		out := make(map[string]any, t.NumFields())
		for j, f := range t.Fields() {
			v, err := goValue(a.Field(j), i)
			if err != nil {
				return nil, err
			}
			out[f.Name] = v
		}
		return out, nil
	}
	return nil, lake.Errorf(lake.CodeUnsupported, "a value of Arrow type %s as a Go value", a.DataType())
}
