package rows

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"tarn/internal/lake"
)

// inlet appends the values of an Arrow array of another type to a cell. Only
// casts that keep the value are known; which pairs of types have one is
// decided when the inlet is made, whether a value fits when it is put.
type inlet struct {
	c    *cell
	arr  arrow.Array
	null bool // the source type is null
	bind func(arrow.Array)
	put  func(i int) error // value i, which is not null
}

// set binds the array; nil lets it go.
func (in *inlet) set(arr arrow.Array) {
	in.arr = arr
	if in.bind != nil {
		in.bind(arr)
	}
}

// add appends value i or a null.
func (in *inlet) add(i int) error {
	if in.null || in.arr.IsNull(i) {
		return in.c.null()
	}
	if err := in.put(i); err != nil {
		return in.c.wrong(clip(in.arr.ValueStr(i), 60), err)
	}
	return nil
}

// from makes the bind and put of an array type.
func from[A arrow.Array](in *inlet, put func(a A, i int) error) {
	var a A
	in.bind = func(arr arrow.Array) {
		var none A
		if a = none; arr != nil {
			a = arr.(A)
		}
	}
	in.put = func(i int) error { return put(a, i) }
}

// newInlet makes the inlet from a source type. It fails with CodeRowsInvalid
// where values of that type cannot be the cell's.
func newInlet(dt arrow.DataType, c *cell, missing MissingPolicy) (*inlet, error) {
	in := &inlet{c: c}
	if ok, err := in.special(dt, missing); err != nil || ok {
		return in, err
	}
	switch {
	case c.fromInt != nil && in.ints(dt):
	case c.fromFloat != nil && in.floats(dt):
	case c.fromDecimal != nil && in.decimals(dt):
	case c.typ.Kind == lake.Boolean && dt.ID() == arrow.BOOL:
		from(in, func(a *array.Boolean, i int) error { c.fromBool(a.Value(i)); return nil })
	case c.fromString != nil && c.typ.Kind != lake.Blob && c.typ.Kind != lake.Float && c.typ.Kind != lake.Double && in.strings(dt):
	case c.fromBytes != nil && in.binaries(dt):
	case c.fromDate != nil && in.dates(dt):
	case c.fromTime != nil && in.times(dt):
	case c.fromInstant != nil && in.instants(dt):
	default:
		return nil, unfit(misfitf(c.path, "it has Arrow type %s, which cannot be %s without loss", dt, c.typ))
	}
	return in, nil
}

// special makes the inlets of types that wrap others, and of nested ones.
func (in *inlet) special(dt arrow.DataType, missing MissingPolicy) (ok bool, err error) {
	c := in.c
	switch t := dt.(type) {
	case *arrow.NullType:
		in.null = true
		return true, nil
	case *arrow.DictionaryType:
		values, err := newInlet(t.ValueType, c, missing)
		if err != nil {
			return false, err
		}
		var a *array.Dictionary
		in.bind = func(arr arrow.Array) {
			if arr == nil {
				values.set(nil)
				return
			}
			a = arr.(*array.Dictionary)
			values.set(a.Dictionary())
		}
		in.put = func(i int) error { return values.add(a.GetValueIndex(i)) }
		return true, nil
	case arrow.ExtensionType:
		storage, err := newInlet(t.StorageType(), c, missing)
		if err != nil {
			return false, err
		}
		in.bind = func(arr arrow.Array) {
			if arr == nil {
				storage.set(nil)
				return
			}
			storage.set(arr.(array.ExtensionArray).Storage())
		}
		in.put = storage.add
		return true, nil
	case *arrow.StructType:
		if c.typ.Kind == lake.Struct {
			return true, in.structs(t, missing)
		}
	case *arrow.MapType:
		if c.typ.Kind == lake.Map {
			return true, in.maps(t, missing)
		}
	case arrow.ListLikeType:
		if c.typ.Kind == lake.List {
			return true, in.lists(t, missing)
		}
	}
	return false, nil
}

func (in *inlet) structs(t *arrow.StructType, missing MissingPolicy) error {
	c := in.c
	header := make([]string, t.NumFields())
	for i, f := range t.Fields() {
		header[i] = f.Name
	}
	at, err := assign(header, c.typ.Fields, missing, nil)
	if err != nil {
		return lake.Step("column "+c.path, err)
	}
	parts := make([]*inlet, len(at))
	for i, a := range at {
		if a < 0 {
			continue
		}
		if parts[i], err = newInlet(t.Field(a).Type, c.object.cells[i], missing); err != nil {
			return err
		}
	}
	in.bind = func(arr arrow.Array) {
		for i, p := range parts {
			switch {
			case p == nil:
			case arr == nil:
				p.set(nil)
			default:
				p.set(arr.(*array.Struct).Field(at[i]))
			}
		}
	}
	b := c.b.(*array.StructBuilder)
	in.put = func(i int) error {
		b.Append(true)
		for k, p := range parts {
			if p == nil {
				c.object.cells[k].b.AppendNull()
			} else if err := p.add(i); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

func (in *inlet) lists(t arrow.ListLikeType, missing MissingPolicy) error {
	elem, err := newInlet(t.Elem(), in.c.elem, missing)
	if err != nil {
		return err
	}
	var a array.ListLike
	in.bind = func(arr arrow.Array) {
		if arr == nil {
			a = nil
			elem.set(nil)
			return
		}
		a = arr.(array.ListLike)
		elem.set(a.ListValues())
	}
	b := in.c.b.(*array.ListBuilder)
	in.put = func(i int) error {
		b.Append(true)
		start, end := a.ValueOffsets(i)
		for j := start; j < end; j++ {
			if err := elem.add(int(j)); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

func (in *inlet) maps(t *arrow.MapType, missing MissingPolicy) error {
	key, err := newInlet(t.KeyType(), in.c.key, missing)
	if err != nil {
		return err
	}
	item, err := newInlet(t.ItemType(), in.c.elem, missing)
	if err != nil {
		return err
	}
	var a *array.Map
	in.bind = func(arr arrow.Array) {
		if arr == nil {
			a = nil
			key.set(nil)
			item.set(nil)
			return
		}
		a = arr.(*array.Map)
		key.set(a.Keys())
		item.set(a.Items())
	}
	b := in.c.b.(*array.MapBuilder)
	in.put = func(i int) error {
		b.Append(true)
		start, end := a.ValueOffsets(i)
		for j := start; j < end; j++ {
			if err := key.add(int(j)); err != nil {
				return err
			}
			if err := item.add(int(j)); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}
