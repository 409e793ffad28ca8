package rows

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Lists of fixed size have no type of their own in Parquet, and arrow-go 18.8.0 refuses
// to write one that is null. They are written as the lists that they become.

// listedType is a type with lists in the place of lists of fixed size; it is the same
// type where there are none.
func listedType(dt arrow.DataType) arrow.DataType {
	field := func(f arrow.Field) arrow.Field {
		f.Type = listedType(f.Type)
		return f
	}
	switch t := dt.(type) {
	case *arrow.FixedSizeListType:
		return arrow.ListOfField(field(t.ElemField()))
	case *arrow.ListType:
		return arrow.ListOfField(field(t.ElemField()))
	case *arrow.MapType:
		return arrow.MapOfFields(field(t.KeyField()), field(t.ItemField()))
	case *arrow.StructType:
		fields := slices.Clone(t.Fields())
		for i := range fields {
			fields[i] = field(fields[i])
		}
		return arrow.StructOf(fields...)
	}
	return dt
}

// listed is an array of listedType, which the caller releases.
func listed(arr arrow.Array) arrow.Array {
	out := listedType(arr.DataType())
	if fixed, ok := arr.(*array.FixedSizeList); ok {
		return listedFixed(fixed, out)
	}
	if arrow.TypeEqual(out, arr.DataType()) {
		arr.Retain()
		return arr
	}
	d := arr.Data()
	children := make([]arrow.ArrayData, len(d.Children()))
	for i, c := range d.Children() {
		child := array.MakeFromData(c)
		converted := listed(child)
		child.Release()
		defer converted.Release()
		children[i] = converted.Data()
	}
	data := array.NewData(out, d.Len(), d.Buffers(), children, d.NullN(), d.Offset())
	defer data.Release()
	return array.MakeFromData(data)
}

// listedFixed leaves out the elements that stand where a list is null.
func listedFixed(in *array.FixedSizeList, out arrow.DataType) arrow.Array {
	values := listed(in.ListValues())
	defer values.Release()
	n := in.Len()
	valid, offsets := make([]byte, bitutil.BytesForBits(int64(n))), make([]int32, n+1)
	var parts []arrow.Array
	defer func() {
		for _, p := range parts {
			p.Release()
		}
	}()
	for i := range n {
		offsets[i+1] = offsets[i]
		if in.IsNull(i) {
			continue
		}
		bitutil.SetBit(valid, i)
		start, end := in.ValueOffsets(i)
		offsets[i+1] += int32(end - start)
		parts = append(parts, array.NewSlice(values, start, end))
	}
	kept := array.NewSlice(values, 0, 0)
	if len(parts) > 0 {
		kept.Release()
		kept, _ = array.Concatenate(parts, memory.DefaultAllocator) // of one type: it cannot fail
	}
	defer kept.Release()
	data := array.NewData(out, n, []*memory.Buffer{memory.NewBufferBytes(valid), memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offsets))}, []arrow.ArrayData{kept.Data()}, in.NullN(), 0)
	defer data.Release()
	return array.MakeFromData(data)
}
