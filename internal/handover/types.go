package handover

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/sqltext"
)

// Columns are the columns of an answer, their types in DuckDB's spelling.
func Columns(schema *arrow.Schema) ([]rows.Column, error) {
	out := make([]rows.Column, schema.NumFields())
	for i, f := range schema.Fields() {
		typ, err := typeSQL(f.Type)
		if err != nil {
			return nil, lake.Step(fmt.Sprintf("column %q", f.Name), err)
		}
		out[i] = rows.Column{Name: f.Name, Type: typ}
	}
	return out, nil
}

var typeNames = map[arrow.Type]string{
	arrow.NULL: `"NULL"`, arrow.BOOL: "BOOLEAN", arrow.INT8: "TINYINT", arrow.INT16: "SMALLINT", arrow.INT32: "INTEGER", arrow.INT64: "BIGINT",
	arrow.FLOAT32: "FLOAT", arrow.FLOAT64: "DOUBLE", arrow.STRING: "VARCHAR", arrow.LARGE_STRING: "VARCHAR", arrow.BINARY: "BLOB", arrow.LARGE_BINARY: "BLOB",
	arrow.DATE32: "DATE", arrow.TIME64: "TIME", arrow.INTERVAL_MONTHS: "INTERVAL", arrow.INTERVAL_MONTH_DAY_NANO: "INTERVAL",
}

// typeSQL spells an Arrow type of an answer as DuckDB would.
func typeSQL(t arrow.DataType) (string, error) {
	switch t := t.(type) {
	case *extensions.UUIDType:
		return "UUID", nil
	case arrow.DecimalType:
		return fmt.Sprintf("DECIMAL(%d,%d)", t.GetPrecision(), t.GetScale()), nil
	case *arrow.TimestampType:
		switch {
		case t.TimeZone != "":
			return "TIMESTAMP WITH TIME ZONE", nil
		case t.Unit == arrow.Nanosecond:
			return "TIMESTAMP_NS", nil
		}
		return "TIMESTAMP", nil
	case *arrow.MapType:
		parts, err := typesSQL(arrow.Field{Type: t.KeyType()}, arrow.Field{Type: t.ItemType()})
		return "MAP(" + strings.Join(parts, ", ") + ")", err
	case *arrow.StructType:
		parts, err := typesSQL(t.Fields()...)
		return "STRUCT(" + strings.Join(parts, ", ") + ")", err
	case arrow.ListLikeType:
		elem, err := typeSQL(t.Elem())
		return elem + "[]", err
	}
	if name := typeNames[t.ID()]; name != "" {
		return name, nil
	}
	return "", lake.Errorf(lake.CodeUnsupported, "the cluster answers with values of the type %s, which has no spelling here", t).WithHint("cast them, for example to VARCHAR")
}

func typesSQL(fields ...arrow.Field) ([]string, error) {
	out := make([]string, len(fields))
	for i, f := range fields {
		typ, err := typeSQL(f.Type)
		if err != nil {
			return nil, err
		}
		if out[i] = typ; f.Name != "" {
			out[i] = sqltext.Quote(f.Name) + " " + typ
		}
	}
	return out, nil
}

// presented is the schema of an answer as it is given on: without a cluster's own
// metadata, and durations as intervals.
func presented(in *arrow.Schema) *arrow.Schema {
	fields := slices.Clone(in.Fields())
	for i := range fields {
		fields[i].Metadata = arrow.Metadata{}
		if fields[i].Type.ID() == arrow.DURATION {
			fields[i].Type = arrow.FixedWidthTypes.MonthDayNanoInterval
		}
	}
	return arrow.NewSchema(fields, nil)
}

// present gives a batch with the presented schema; the batch given stays the caller's.
func present(in arrow.RecordBatch, as *arrow.Schema) (arrow.RecordBatch, error) {
	cols := slices.Clone(in.Columns())
	for i, col := range cols {
		d, ok := col.(*array.Duration)
		if !ok {
			if !arrow.TypeEqual(col.DataType(), as.Field(i).Type) {
				return nil, lake.Errorf(lake.CodeEngineFailed, "a batch of the answer has the type %s in a column of %s", col.DataType(), as.Field(i).Type)
			}
			continue
		}
		intervals, err := durations(d)
		if err != nil {
			return nil, err
		}
		defer intervals.Release()
		cols[i] = intervals
	}
	return array.NewRecordBatch(as, cols, in.NumRows()), nil
}

func durations(d *array.Duration) (arrow.Array, error) {
	per := map[arrow.TimeUnit]int64{arrow.Second: 1e9, arrow.Millisecond: 1e6, arrow.Microsecond: 1e3, arrow.Nanosecond: 1}[d.DataType().(*arrow.DurationType).Unit]
	b := array.NewMonthDayNanoIntervalBuilder(memory.DefaultAllocator)
	defer b.Release()
	for i := range d.Len() {
		if d.IsNull(i) {
			b.AppendNull()
			continue
		}
		v := int64(d.Value(i))
		perDay := 86_400_000_000_000 / per
		days := v / perDay
		if days != int64(int32(days)) {
			return nil, lake.Errorf(lake.CodeUnsupported, "an interval of %d days is beyond INTERVAL", days)
		}
		b.Append(arrow.MonthDayNanoInterval{Days: int32(days), Nanoseconds: v % perDay * per})
	}
	return b.NewArray(), nil
}
