package base

import (
	"encoding/json"
	"slices"

	"github.com/apache/iceberg-go"

	"tarn/internal/lake"
)

// propertyKey is the table property that holds the field ids of the primary key
// in key order, as a JSON array: Iceberg's identifier fields are a set.
const propertyKey = "tarn.primary-key"

var toPrimitive = map[lake.Kind]iceberg.Type{
	lake.Boolean: iceberg.PrimitiveTypes.Bool, lake.Integer: iceberg.PrimitiveTypes.Int32,
	lake.Bigint: iceberg.PrimitiveTypes.Int64, lake.Float: iceberg.PrimitiveTypes.Float32,
	lake.Double: iceberg.PrimitiveTypes.Float64, lake.Varchar: iceberg.PrimitiveTypes.String,
	lake.Blob: iceberg.PrimitiveTypes.Binary, lake.UUID: iceberg.PrimitiveTypes.UUID,
	lake.Date: iceberg.PrimitiveTypes.Date, lake.Time: iceberg.PrimitiveTypes.Time,
	lake.Timestamp: iceberg.PrimitiveTypes.Timestamp, lake.TimestampTZ: iceberg.PrimitiveTypes.TimestampTz,
}

// icebergSchema is a dataset's schema as Iceberg has it. relaxed makes every
// field optional, as in the files that DuckDB writes.
func icebergSchema(s lake.Schema, relaxed bool) (*iceberg.Schema, error) {
	fields, err := icebergFields(s.Columns, relaxed)
	if err != nil {
		return nil, err
	}
	var ids []int
	if !relaxed {
		ids = keyIDs(s)
		slices.Sort(ids)
	}
	return iceberg.NewSchemaWithIdentifiers(s.ID, ids, fields...), nil
}

// keyIDs gives the field ids of the key columns in key order.
func keyIDs(s lake.Schema) []int {
	ids := []int{}
	for _, i := range s.KeyIndexes() {
		ids = append(ids, s.Columns[i].ID)
	}
	return ids
}

func icebergFields(cols []lake.Column, relaxed bool) ([]iceberg.NestedField, error) {
	out := make([]iceberg.NestedField, len(cols))
	for i, c := range cols {
		t, err := icebergType(c.Type, relaxed)
		if err != nil {
			return nil, lake.Step("column "+c.Name, err)
		}
		out[i] = iceberg.NestedField{ID: c.ID, Name: c.Name, Type: t, Required: !c.Nullable && !relaxed}
	}
	return out, nil
}

func icebergType(t lake.Type, relaxed bool) (iceberg.Type, error) {
	if p, ok := toPrimitive[t.Kind]; ok {
		return p, nil
	}
	if t.Kind == lake.Decimal {
		return iceberg.DecimalTypeOf(t.Precision, t.Scale), nil
	}
	parts, err := icebergFields(t.Fields, relaxed)
	if err != nil {
		return nil, err
	}
	switch t.Kind {
	case lake.List:
		return &iceberg.ListType{ElementID: parts[0].ID, Element: parts[0].Type, ElementRequired: parts[0].Required}, nil
	case lake.Struct:
		return &iceberg.StructType{FieldList: parts}, nil
	case lake.Map:
		return &iceberg.MapType{
			KeyID: parts[0].ID, KeyType: parts[0].Type,
			ValueID: parts[1].ID, ValueType: parts[1].Type, ValueRequired: parts[1].Required,
		}, nil
	}
	return nil, lake.Errorf(lake.CodeInternal, "no Iceberg type for %s", t)
}

// lakeSchema is an Iceberg schema as a dataset's. properties are the table's.
func lakeSchema(s *iceberg.Schema, properties iceberg.Properties) (lake.Schema, error) {
	cols, err := lakeColumns(s.Fields())
	if err != nil {
		return lake.Schema{}, err
	}
	out := lake.Schema{ID: s.ID, Columns: cols}
	ids := slices.Sorted(slices.Values(s.IdentifierFieldIDs))
	order := slices.Clone(ids)
	if text, ok := properties[propertyKey]; ok {
		if err := json.Unmarshal([]byte(text), &order); err != nil {
			return lake.Schema{}, lake.Errorf(lake.CodeUnsupported, "table property %s: %w", propertyKey, err)
		}
		if !slices.Equal(slices.Sorted(slices.Values(order)), ids) {
			return lake.Schema{}, lake.Errorf(lake.CodeUnsupported, "table property %s is %s, the identifier fields are %v", propertyKey, text, ids)
		}
	}
	for _, id := range order {
		i := slices.IndexFunc(cols, func(c lake.Column) bool { return c.ID == id })
		if i < 0 {
			return lake.Schema{}, lake.Errorf(lake.CodeUnsupported, "identifier field %d is not a column", id)
		}
		out.Key = append(out.Key, cols[i].Name)
	}
	return out, nil
}

func lakeColumns(fields []iceberg.NestedField) ([]lake.Column, error) {
	out := make([]lake.Column, len(fields))
	for i, f := range fields {
		t, err := lakeType(f.Type)
		if err != nil {
			return nil, lake.Step("column "+f.Name, err)
		}
		out[i] = lake.Column{ID: f.ID, Name: f.Name, Type: t, Nullable: !f.Required}
	}
	return out, nil
}

func lakeType(t iceberg.Type) (lake.Type, error) {
	for kind, p := range toPrimitive {
		if p.Equals(t) {
			return lake.Type{Kind: kind}, nil
		}
	}
	var kind lake.Kind
	var parts []iceberg.NestedField
	switch t := t.(type) {
	case iceberg.DecimalType:
		return lake.Type{Kind: lake.Decimal, Precision: t.Precision(), Scale: t.Scale()}, nil
	case *iceberg.StructType:
		kind, parts = lake.Struct, t.FieldList
	case *iceberg.ListType:
		kind, parts = lake.List, t.Fields()
	case *iceberg.MapType:
		kind, parts = lake.Map, t.Fields()
	default:
		return lake.Type{}, lake.Errorf(lake.CodeUnsupported, "the Iceberg type %s", t).
			WithHint("this build reads the types of Iceberg v2 without fixed")
	}
	cols, err := lakeColumns(parts)
	return lake.Type{Kind: kind, Fields: cols}, err
}
