package job

import (
	"github.com/apache/arrow-go/v18/arrow"

	"tarn/internal/lake"
)

// arrowType is what a type of an Arrow stream becomes, by the rules of typeOf.
func arrowType(t arrow.DataType) (lake.Type, error) {
	kind := func(k lake.Kind) (lake.Type, error) { return lake.Type{Kind: k}, nil }
	switch t := t.(type) {
	case *arrow.BooleanType:
		return kind(lake.Boolean)
	case *arrow.Int8Type, *arrow.Int16Type, *arrow.Int32Type, *arrow.Int64Type, *arrow.Uint8Type, *arrow.Uint16Type, *arrow.Uint32Type:
		return kind(lake.Bigint)
	case *arrow.Uint64Type:
		return lake.Type{Kind: lake.Decimal, Precision: 20}, nil
	case *arrow.Float16Type, *arrow.Float32Type:
		return kind(lake.Float)
	case *arrow.Float64Type:
		return kind(lake.Double)
	case *arrow.StringType, *arrow.LargeStringType, *arrow.StringViewType, *arrow.NullType:
		return kind(lake.Varchar)
	case *arrow.BinaryType, *arrow.LargeBinaryType, *arrow.BinaryViewType, *arrow.FixedSizeBinaryType:
		return kind(lake.Blob)
	case *arrow.Date32Type, *arrow.Date64Type:
		return kind(lake.Date)
	case *arrow.Time32Type, *arrow.Time64Type:
		return kind(lake.Time)
	case *arrow.TimestampType:
		if t.TimeZone != "" {
			return kind(lake.TimestampTZ)
		}
		return kind(lake.Timestamp)
	case *arrow.DictionaryType:
		return arrowType(t.ValueType)
	case arrow.DecimalType:
		p, s := int(t.GetPrecision()), int(t.GetScale())
		if p > 38 || s < 0 || s > p {
			return lake.Type{}, unsupportedArrow(t)
		}
		return lake.Type{Kind: lake.Decimal, Precision: p, Scale: s}, nil
	case arrow.ExtensionType:
		switch t.ExtensionName() {
		case "arrow.uuid":
			return kind(lake.UUID)
		case "arrow.json":
			return kind(lake.Varchar)
		}
		return arrowType(t.StorageType())
	case *arrow.MapType:
		return nestedArrow(lake.MapOf, t.KeyType(), t.ItemType())
	case *arrow.StructType:
		out := lake.Type{Kind: lake.Struct}
		for _, f := range t.Fields() {
			ft, err := arrowType(f.Type)
			if err != nil {
				return lake.Type{}, err
			}
			out.Fields = append(out.Fields, lake.Column{Name: f.Name, Type: ft, Nullable: true})
		}
		if len(out.Fields) == 0 {
			return lake.Type{}, unsupportedArrow(t)
		}
		return out, nil
	case *arrow.ListType, *arrow.LargeListType, *arrow.FixedSizeListType, *arrow.ListViewType, *arrow.LargeListViewType:
		elem := t.(arrow.ListLikeType).Elem()
		return nestedArrow(func(e, _ lake.Type) lake.Type { return lake.ListOf(e) }, elem, elem)
	}
	return lake.Type{}, unsupportedArrow(t)
}

func nestedArrow(of func(a, b lake.Type) lake.Type, a, b arrow.DataType) (lake.Type, error) {
	at, err := arrowType(a)
	if err != nil {
		return lake.Type{}, err
	}
	bt, err := arrowType(b)
	if err != nil {
		return lake.Type{}, err
	}
	return of(at, bt), nil
}

func unsupportedArrow(t arrow.DataType) error {
	return lake.Errorf(lake.CodeUnsupported, "Arrow type %s: an Iceberg v2 table cannot hold it", t).
		WithHint("cast it first, for example to a string")
}
