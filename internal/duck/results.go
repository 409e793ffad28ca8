//go:build duckdb_arrow

package duck

import (
	"fmt"
	"math/big"
	"math/bits"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	duckdb "github.com/duckdb/duckdb-go-bindings"

	"tarn/internal/lake"
)

// How results leave. DuckDB's plain Arrow export loses values without a word
// (the largest UHUGEINT comes out as -1, TIME WITH TIME ZONE without its zone),
// so the instance exports losslessly, in forms that few readers know, and the
// forms are taken back here:
//
//	DuckDB                        Arrow
//	BOOLEAN, integers, floats     the same
//	DECIMAL(p,s)                  decimal128(p,s)
//	HUGEINT, UHUGEINT             decimal128(38,0); a value that does not fit is an error
//	BIGNUM                        utf8, its digits
//	VARCHAR, JSON, ENUM           utf8
//	BLOB                          binary
//	BIT                           utf8, 0 and 1
//	UUID                          extension arrow.uuid
//	DATE                          date32
//	TIME, TIME_NS                 time64[us], time64[ns]
//	TIME WITH TIME ZONE           utf8, 10:00:00+02
//	TIMESTAMP, _S, _MS, _NS       timestamp[us], [s], [ms], [ns]; infinities are the extremes as DuckDB has them
//	TIMESTAMP WITH TIME ZONE      timestamp[us, UTC]
//	INTERVAL                      month_day_nano_interval; microseconds beyond 292 years are an error
//	LIST, ARRAY, STRUCT, MAP      list<element>, fixed_size_list, struct, map<key, value>
//	"NULL"                        int32, all null
//	UNION, VARIANT, GEOMETRY      refused by name (CodeUnsupported)

// conversion makes the data of a column as it leaves from that which DuckDB
// exported. The caller releases the result.
type conversion func(arrow.ArrayData) (arrow.ArrayData, error)

// canLeave refuses the types that have no Arrow form that readers share.
func canLeave(t duckdb.LogicalType) error {
	id := duckdb.GetTypeId(t)
	_, plain := typeNames[id]
	switch id {
	case duckdb.TypeList, duckdb.TypeArray, duckdb.TypeStruct, duckdb.TypeMap:
		return eachPart(id, t, func(_ string, part duckdb.LogicalType) error { return canLeave(part) })
	case duckdb.TypeUnion, duckdb.TypeVariant, duckdb.TypeGeometry:
		plain = false
	case duckdb.TypeDecimal, duckdb.TypeEnum:
		plain = true
	}
	if !plain {
		return lake.Errorf(lake.CodeUnsupported, "a value of type %s cannot leave in a result", typeSQL(t)).
			WithHint("cast it, for example to VARCHAR")
	}
	return nil
}

// storage is the type without extensions in it, which is how batches are
// imported.
func storage(t arrow.DataType) arrow.DataType {
	field := func(f arrow.Field) arrow.Field {
		return arrow.Field{Name: f.Name, Type: storage(f.Type), Nullable: f.Nullable}
	}
	switch t := t.(type) {
	case arrow.ExtensionType:
		return storage(t.StorageType())
	case *arrow.MapType:
		return arrow.MapOfFields(field(t.KeyField()), field(t.ItemField()))
	case *arrow.ListType:
		return arrow.ListOfField(field(t.ElemField()))
	case *arrow.FixedSizeListType:
		return arrow.FixedSizeListOfField(t.Len(), field(t.ElemField()))
	case *arrow.StructType:
		fields := make([]arrow.Field, t.NumFields())
		for i, f := range t.Fields() {
			fields[i] = field(f)
		}
		return arrow.StructOf(fields...)
	}
	return t
}

// leaving is the type in which values of t leave and how they become it from
// the exported one; a nil conversion keeps them.
func leaving(t duckdb.LogicalType, wire arrow.DataType) (arrow.DataType, conversion) {
	id := duckdb.GetTypeId(t)
	switch id {
	case duckdb.TypeBoolean:
		return arrow.FixedWidthTypes.Boolean, boolFromInt8
	case duckdb.TypeHugeInt, duckdb.TypeUHugeInt:
		return decimal38, hugeAsDecimal(id == duckdb.TypeUHugeInt)
	case duckdb.TypeUUID:
		return extensions.NewUUIDType(), retype(extensions.NewUUIDType())
	case duckdb.TypeInterval:
		return wire, checkInterval
	case duckdb.TypeEnum:
		return arrow.BinaryTypes.String, texts(dictionaryText)
	case duckdb.TypeTimeTZ:
		return arrow.BinaryTypes.String, texts(timeTZText)
	case duckdb.TypeBit:
		return arrow.BinaryTypes.String, texts(bitText)
	case duckdb.TypeBigNum:
		return arrow.BinaryTypes.String, texts(bigNumText)
	case duckdb.TypeList, duckdb.TypeArray, duckdb.TypeStruct, duckdb.TypeMap:
		return leavingNested(id, t, wire)
	}
	return wire, nil
}

func leavingNested(id duckdb.Type, t duckdb.LogicalType, wire arrow.DataType) (arrow.DataType, conversion) {
	var names []string
	var fields []arrow.Field
	var parts []conversion
	wireParts := wire.(arrow.NestedType).Fields()
	if m, ok := wire.(*arrow.MapType); ok {
		wireParts = []arrow.Field{m.KeyField(), m.ItemField()}
	}
	eachPart(id, t, func(name string, part duckdb.LogicalType) error {
		out, convert := leaving(part, wireParts[len(fields)].Type)
		names = append(names, name)
		fields = append(fields, arrow.Field{Name: name, Type: out, Nullable: name != "key" || id != duckdb.TypeMap})
		parts = append(parts, convert)
		return nil
	})
	switch id {
	case duckdb.TypeList:
		out := arrow.ListOfField(fields[0])
		return out, rebuild(out, parts)
	case duckdb.TypeArray:
		out := arrow.FixedSizeListOfField(wire.(*arrow.FixedSizeListType).Len(), fields[0])
		return out, rebuild(out, parts)
	case duckdb.TypeMap:
		out := arrow.MapOfFields(fields[0], fields[1])
		return out, rebuild(out, []conversion{rebuild(out.Elem(), parts)})
	default:
		out := arrow.StructOf(fields...)
		return out, rebuild(out, parts)
	}
}

// rebuild gives nested data the type out, its children converted.
func rebuild(out arrow.DataType, parts []conversion) conversion {
	return func(d arrow.ArrayData) (arrow.ArrayData, error) {
		children := make([]arrow.ArrayData, 0, len(parts))
		defer func() {
			for _, c := range children {
				c.Release()
			}
		}()
		for i, child := range d.Children() {
			if parts[i] == nil {
				child.Retain()
				children = append(children, child)
				continue
			}
			converted, err := parts[i](child)
			if err != nil {
				return nil, err
			}
			children = append(children, converted)
		}
		return array.NewData(out, d.Len(), d.Buffers(), children, d.NullN(), d.Offset()), nil
	}
}

// retype gives the same bytes another type.
func retype(out arrow.DataType) conversion {
	return func(d arrow.ArrayData) (arrow.ArrayData, error) {
		return array.NewData(out, d.Len(), d.Buffers(), d.Children(), d.NullN(), d.Offset()), nil
	}
}

func boolFromInt8(d arrow.ArrayData) (arrow.ArrayData, error) {
	in := array.NewInt8Data(d)
	defer in.Release()
	b := array.NewBooleanBuilder(memory.DefaultAllocator)
	defer b.Release()
	b.Reserve(in.Len())
	for i, v := range in.Int8Values() {
		if in.IsNull(i) {
			b.UnsafeAppendBoolToBitmap(false)
			continue
		}
		b.UnsafeAppend(v != 0)
	}
	return taken(b), nil
}

// taken is the data of what a builder holds.
func taken(b array.Builder) arrow.ArrayData {
	a := b.NewArray()
	defer a.Release()
	d := a.Data()
	d.Retain()
	return d
}

var decimal38 = &arrow.Decimal128Type{Precision: 38}

// hugeAsDecimal reads 128-bit integers, which DuckDB and Arrow both keep lowest
// byte first, as decimals of 38 digits. An unsigned one of which the highest bit
// is set looks negative.
func hugeAsDecimal(unsigned bool) conversion {
	return func(d arrow.ArrayData) (arrow.ArrayData, error) {
		data := array.NewData(decimal38, d.Len(), d.Buffers(), nil, d.NullN(), d.Offset())
		in := array.NewDecimal128Data(data)
		defer in.Release()
		for i, v := range in.Values() {
			if in.IsValid(i) && (unsigned && v.Sign() < 0 || !v.FitsInPrecision(38)) {
				data.Release()
				return nil, lake.Errorf(lake.CodeSQLInvalid, "a 128-bit integer has more than 38 digits, which no result can hold").
					WithHint("cast it to VARCHAR or DOUBLE")
			}
		}
		return data, nil
	}
}

// checkInterval finds intervals whose microseconds DuckDB's export has wrapped
// around when it made nanoseconds of them: 2^64 is no multiple of 1,000, so that
// such a value is not whole microseconds any more.
func checkInterval(d arrow.ArrayData) (arrow.ArrayData, error) {
	in := array.NewMonthDayNanoIntervalData(d)
	defer in.Release()
	for i := range in.Len() {
		if in.IsValid(i) && in.Value(i).Nanoseconds%1000 != 0 {
			return nil, lake.Errorf(lake.CodeSQLInvalid, "an interval's time part is longer than 292 years, which no result can hold").
				WithHint("cast it to VARCHAR")
		}
	}
	d.Retain()
	return d, nil
}

// texts converts by way of each value's text.
func texts(text func(arrow.Array, int) string) conversion {
	return func(d arrow.ArrayData) (arrow.ArrayData, error) {
		in := array.MakeFromData(d)
		defer in.Release()
		b := array.NewStringBuilder(memory.DefaultAllocator)
		defer b.Release()
		b.Reserve(in.Len())
		for i := range in.Len() {
			if in.IsNull(i) {
				b.AppendNull()
				continue
			}
			b.Append(text(in, i))
		}
		return taken(b), nil
	}
}

func dictionaryText(a arrow.Array, i int) string {
	d := a.(*array.Dictionary)
	return d.Dictionary().(*array.String).Value(d.GetValueIndex(i))
}

// timeTZText spells a TIME WITH TIME ZONE: microseconds of the day in the high
// 40 bits, and in the low 24 how far its offset is below the largest one.
func timeTZText(a arrow.Array, i int) string {
	const largestOffset = 16*60*60 - 1
	var v uint64
	for j, b := range a.(*array.FixedSizeBinary).Value(i) {
		v |= uint64(b) << (8 * j)
	}
	micros, offset := int64(v>>24), largestOffset-int(v&(1<<24-1))
	sign := '+'
	if offset < 0 {
		sign, offset = '-', -offset
	}
	var out strings.Builder
	seconds := micros / 1e6
	fmt.Fprintf(&out, "%02d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	if rest := micros % 1e6; rest != 0 {
		out.WriteString(strings.TrimRight(fmt.Sprintf(".%06d", rest), "0"))
	}
	fmt.Fprintf(&out, "%c%02d", sign, offset/3600)
	if offset%3600 != 0 {
		fmt.Fprintf(&out, ":%02d", offset/60%60)
	}
	if offset%60 != 0 {
		fmt.Fprintf(&out, ":%02d", offset%60)
	}
	return out.String()
}

// bitText spells a BIT: its first byte counts the padding bits before the first
// real one.
func bitText(a arrow.Array, i int) string {
	v := a.(*array.Binary).Value(i)
	out := make([]byte, 0, 8*len(v))
	for _, b := range v[1:] {
		for range 8 {
			out = append(out, '0'+b>>7)
			b = bits.RotateLeft8(b, 1)
		}
	}
	return string(out[v[0]:])
}

// bigNumText spells a BIGNUM: three bytes of header, then the magnitude with its
// highest byte first; all of it inverted where the number is negative.
func bigNumText(a arrow.Array, i int) string {
	const header = 3
	v := append([]byte(nil), a.(*array.Binary).Value(i)...)
	negative := v[0]&0x80 == 0
	if negative {
		for j := range v {
			v[j] = ^v[j]
		}
	}
	n := new(big.Int).SetBytes(v[header:])
	if negative {
		n.Neg(n)
	}
	return n.String()
}
