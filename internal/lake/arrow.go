package lake

import (
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/extensions"
)

// FieldIDKey is the Arrow field metadata that holds an Iceberg field id; the
// Parquet writer of arrow-go turns it into the column's field_id.
const FieldIDKey = "PARQUET:field_id"

// Arrow is the Arrow type that batches of the column type have everywhere in
// tarn.
func (t Type) Arrow() arrow.DataType {
	switch t.Kind {
	case Boolean:
		return arrow.FixedWidthTypes.Boolean
	case Integer:
		return arrow.PrimitiveTypes.Int32
	case Bigint:
		return arrow.PrimitiveTypes.Int64
	case Float:
		return arrow.PrimitiveTypes.Float32
	case Double:
		return arrow.PrimitiveTypes.Float64
	case Decimal:
		return &arrow.Decimal128Type{Precision: int32(t.Precision), Scale: int32(t.Scale)}
	case Varchar:
		return arrow.BinaryTypes.String
	case Blob:
		return arrow.BinaryTypes.Binary
	case UUID:
		return extensions.NewUUIDType()
	case Date:
		return arrow.FixedWidthTypes.Date32
	case Time:
		return arrow.FixedWidthTypes.Time64us
	case Timestamp:
		return &arrow.TimestampType{Unit: arrow.Microsecond}
	case TimestampTZ:
		return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	case List:
		return arrow.ListOfField(t.Fields[0].Arrow())
	case Struct:
		fields := make([]arrow.Field, len(t.Fields))
		for i, f := range t.Fields {
			fields[i] = f.Arrow()
		}
		return arrow.StructOf(fields...)
	case Map:
		return arrow.MapOfFields(t.Fields[0].Arrow(), t.Fields[1].Arrow())
	}
	panic("lake: type without a kind")
}

// Arrow is the column as an Arrow field, with its field id in the metadata.
func (c Column) Arrow() arrow.Field {
	f := arrow.Field{Name: c.Name, Type: c.Type.Arrow(), Nullable: c.Nullable}
	if c.ID != 0 {
		f.Metadata = arrow.NewMetadata([]string{FieldIDKey}, []string{strconv.Itoa(c.ID)})
	}
	return f
}

// Arrow is the schema of the batches that hold the dataset's rows.
func (s Schema) Arrow() *arrow.Schema {
	fields := make([]arrow.Field, len(s.Columns))
	for i, c := range s.Columns {
		fields[i] = c.Arrow()
	}
	return arrow.NewSchema(fields, nil)
}
