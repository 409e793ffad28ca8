package format

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// fit gives an array the type want, to the letter of its field names, ids and
// nullability, where that keeps every value: the same type under other labels,
// or one of the promotions that Iceberg allows of a column (int to long, float
// to double, a decimal of more digits). The caller releases the result.
func fit(a arrow.Array, want arrow.DataType) (arrow.Array, error) {
	if a.DataType() == want {
		a.Retain()
		return a, nil
	}
	d, err := fitData(a.Data(), want)
	if err != nil {
		return nil, err
	}
	defer d.Release()
	return array.MakeFromData(d), nil
}

func fitData(d arrow.ArrayData, want arrow.DataType) (arrow.ArrayData, error) {
	have := d.DataType()
	switch want := want.(type) {
	case *arrow.ListType:
		if _, ok := have.(*arrow.ListType); ok {
			return fitChildren(d, want, []arrow.DataType{want.Elem()})
		}
	case *arrow.MapType:
		if h, ok := have.(*arrow.MapType); ok && h.Elem().(*arrow.StructType).NumFields() == 2 {
			return fitChildren(d, want, []arrow.DataType{want.Elem()})
		}
	case *arrow.StructType:
		return fitStruct(d, want)
	case arrow.ExtensionType:
		if arrow.TypeEqual(have, want) || arrow.TypeEqual(have, want.StorageType()) {
			return relabel(d, want, d.Children()), nil
		}
	case *arrow.Decimal128Type:
		if h, ok := have.(*arrow.Decimal128Type); ok && h.Scale == want.Scale && h.Precision <= want.Precision {
			return relabel(d, want, nil), nil
		}
	case *arrow.TimestampType:
		if h, ok := have.(*arrow.TimestampType); ok && h.Unit == want.Unit && (h.TimeZone == "") == (want.TimeZone == "") {
			return relabel(d, want, nil), nil
		}
	default:
		if arrow.TypeEqual(have, want) {
			return relabel(d, want, nil), nil
		}
	}
	if out := promote(d, want); out != nil {
		return out, nil
	}
	return nil, fmt.Errorf("type %s where %s is expected", have, want)
}

func fitStruct(d arrow.ArrayData, want *arrow.StructType) (arrow.ArrayData, error) {
	have, ok := d.DataType().(*arrow.StructType)
	if !ok || have.NumFields() != want.NumFields() {
		return nil, fmt.Errorf("type %s where %s is expected", d.DataType(), want)
	}
	types := make([]arrow.DataType, want.NumFields())
	for i := range types {
		types[i] = want.Field(i).Type
	}
	return fitChildren(d, want, types)
}

func fitChildren(d arrow.ArrayData, want arrow.DataType, types []arrow.DataType) (arrow.ArrayData, error) {
	children := make([]arrow.ArrayData, len(types))
	defer func() {
		for _, c := range children {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i := range types {
		var err error
		if children[i], err = fitData(d.Children()[i], types[i]); err != nil {
			return nil, err
		}
	}
	return relabel(d, want, children), nil
}

func relabel(d arrow.ArrayData, want arrow.DataType, children []arrow.ArrayData) arrow.ArrayData {
	return array.NewData(want, d.Len(), d.Buffers(), children, d.NullN(), d.Offset())
}

// promote is nil where the promotion is not one of Iceberg's.
func promote(d arrow.ArrayData, want arrow.DataType) arrow.ArrayData {
	var b array.Builder
	a := array.MakeFromData(d)
	defer a.Release()
	switch have := a.(type) {
	case *array.Int32:
		if want.ID() != arrow.INT64 {
			return nil
		}
		wide := array.NewInt64Builder(memory.DefaultAllocator)
		b = wide
		for i := range have.Len() {
			if have.IsNull(i) {
				wide.AppendNull()
			} else {
				wide.Append(int64(have.Value(i)))
			}
		}
	case *array.Float32:
		if want.ID() != arrow.FLOAT64 {
			return nil
		}
		wide := array.NewFloat64Builder(memory.DefaultAllocator)
		b = wide
		for i := range have.Len() {
			if have.IsNull(i) {
				wide.AppendNull()
			} else {
				wide.Append(float64(have.Value(i)))
			}
		}
	default:
		return nil
	}
	defer b.Release()
	out := b.NewArray()
	defer out.Release()
	out.Data().Retain()
	return out.Data()
}

// fits says whether fit would take values of type have as want.
func fits(have, want arrow.DataType) error {
	b := array.NewBuilder(memory.DefaultAllocator, have)
	defer b.Release()
	empty := b.NewArray()
	defer empty.Release()
	a, err := fit(empty, want)
	if err != nil {
		return err
	}
	a.Release()
	return nil
}
