package rows

import (
	"encoding/base64"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/google/uuid"

	"tarn/internal/lake"
)

// render writes the values of arrays of one Arrow type as text. It is made
// once for a column and bound to each batch's array in turn, so that no type
// is looked at value by value.
type render struct {
	arr   arrow.Array
	set   func(arrow.Array)
	style style
	put   func(dst []byte, i int) []byte // the text of value i, which is not null
}

// style is how JSON writes the text.
type style int

const (
	bare    style = iota // as it is: numbers, booleans
	nested               // as it is: the text is JSON
	quoted               // in quotes, with nothing to escape in it
	escaped              // as a string with escapes
	float                // as a number, NaN and infinities in quotes
)

// bind sets the array to render; nil lets it go.
func (r *render) bind(arr arrow.Array) {
	r.arr = arr
	r.set(arr)
}

// null says whether value i is null.
func (r *render) null(i int) bool {
	return r.arr.DataType().ID() == arrow.NULL || r.arr.IsNull(i)
}

// value appends value i as JSON.
func (r *render) value(dst []byte, i int) []byte {
	if r.arr.IsNull(i) {
		return append(dst, "null"...)
	}
	switch r.style {
	case quoted:
		dst = append(dst, '"')
		dst = r.put(dst, i)
		return append(dst, '"')
	case escaped:
		start := len(dst)
		dst = r.put(dst, i)
		return quoteTail(dst, start)
	case float:
		start := len(dst)
		dst = r.put(dst, i)
		if c := dst[len(dst)-1]; c > '9' { // NaN, Infinity
			return quoteTail(dst, start)
		}
		return dst
	}
	return r.put(dst, i)
}

// leaf makes the render of an array type without parts.
func leaf[A arrow.Array](s style, put func(dst []byte, a A, i int) []byte) *render {
	var a A
	return &render{
		style: s,
		set: func(arr arrow.Array) {
			var none A
			if a = none; arr != nil {
				a = arr.(A)
			}
		},
		put: func(dst []byte, i int) []byte { return put(dst, a, i) },
	}
}

// newRender makes the render of an Arrow type. A type that has no spelling is
// CodeUnsupported.
func newRender(dt arrow.DataType) (*render, error) {
	if r := renderNumber(dt); r != nil {
		return r, nil
	}
	if r := renderTime(dt); r != nil {
		return r, nil
	}
	switch t := dt.(type) {
	case *arrow.NullType:
		r := leaf(bare, func(dst []byte, _ arrow.Array, _ int) []byte { return append(dst, "null"...) })
		return r, nil
	case *arrow.BooleanType:
		return leaf(bare, func(dst []byte, a *array.Boolean, i int) []byte { return strconv.AppendBool(dst, a.Value(i)) }), nil
	case *arrow.StringType:
		return leaf(escaped, func(dst []byte, a *array.String, i int) []byte { return append(dst, a.Value(i)...) }), nil
	case *arrow.LargeStringType:
		return leaf(escaped, func(dst []byte, a *array.LargeString, i int) []byte { return append(dst, a.Value(i)...) }), nil
	case *arrow.StringViewType:
		return leaf(escaped, func(dst []byte, a *array.StringView, i int) []byte { return append(dst, a.Value(i)...) }), nil
	case *arrow.BinaryType:
		return leaf(quoted, func(dst []byte, a *array.Binary, i int) []byte { return appendBase64(dst, a.Value(i)) }), nil
	case *arrow.LargeBinaryType:
		return leaf(quoted, func(dst []byte, a *array.LargeBinary, i int) []byte { return appendBase64(dst, a.Value(i)) }), nil
	case *arrow.BinaryViewType:
		return leaf(quoted, func(dst []byte, a *array.BinaryView, i int) []byte { return appendBase64(dst, a.Value(i)) }), nil
	case *arrow.FixedSizeBinaryType:
		return leaf(quoted, func(dst []byte, a *array.FixedSizeBinary, i int) []byte { return appendBase64(dst, a.Value(i)) }), nil
	case *extensions.UUIDType:
		return leaf(quoted, func(dst []byte, a *extensions.UUIDArray, i int) []byte { return appendUUID(dst, a.Value(i)) }), nil
	case *extensions.JSONType:
		return renderExtension(t)
	case *arrow.DictionaryType:
		return renderDictionary(t)
	case *arrow.StructType:
		return renderStruct(t)
	case *arrow.MapType:
		return renderMap(t)
	case arrow.ListLikeType:
		return renderList(t)
	}
	return nil, lake.Errorf(lake.CodeUnsupported, "values of Arrow type %s cannot be written as text", dt).
		WithHint("cast the column, for example to VARCHAR")
}

func renderNumber(dt arrow.DataType) *render {
	switch dt.ID() {
	case arrow.INT8:
		return leaf(bare, func(dst []byte, a *array.Int8, i int) []byte { return strconv.AppendInt(dst, int64(a.Value(i)), 10) })
	case arrow.INT16:
		return leaf(bare, func(dst []byte, a *array.Int16, i int) []byte { return strconv.AppendInt(dst, int64(a.Value(i)), 10) })
	case arrow.INT32:
		return leaf(bare, func(dst []byte, a *array.Int32, i int) []byte { return strconv.AppendInt(dst, int64(a.Value(i)), 10) })
	case arrow.INT64:
		return leaf(bare, func(dst []byte, a *array.Int64, i int) []byte { return strconv.AppendInt(dst, a.Value(i), 10) })
	case arrow.UINT8:
		return leaf(bare, func(dst []byte, a *array.Uint8, i int) []byte { return strconv.AppendUint(dst, uint64(a.Value(i)), 10) })
	case arrow.UINT16:
		return leaf(bare, func(dst []byte, a *array.Uint16, i int) []byte {
			return strconv.AppendUint(dst, uint64(a.Value(i)), 10)
		})
	case arrow.UINT32:
		return leaf(bare, func(dst []byte, a *array.Uint32, i int) []byte {
			return strconv.AppendUint(dst, uint64(a.Value(i)), 10)
		})
	case arrow.UINT64:
		return leaf(bare, func(dst []byte, a *array.Uint64, i int) []byte { return strconv.AppendUint(dst, a.Value(i), 10) })
	case arrow.FLOAT16:
		return leaf(float, func(dst []byte, a *array.Float16, i int) []byte {
			return appendFloat(dst, float64(a.Value(i).Float32()), 32)
		})
	case arrow.FLOAT32:
		return leaf(float, func(dst []byte, a *array.Float32, i int) []byte { return appendFloat(dst, float64(a.Value(i)), 32) })
	case arrow.FLOAT64:
		return leaf(float, func(dst []byte, a *array.Float64, i int) []byte { return appendFloat(dst, a.Value(i), 64) })
	}
	d, ok := dt.(arrow.DecimalType)
	if !ok {
		return nil
	}
	scale := int(d.GetScale())
	switch dt.ID() {
	case arrow.DECIMAL32:
		return leaf(quoted, func(dst []byte, a *array.Decimal32, i int) []byte {
			return appendDecimal(dst, decimal128.FromI64(int64(a.Value(i))), scale)
		})
	case arrow.DECIMAL64:
		return leaf(quoted, func(dst []byte, a *array.Decimal64, i int) []byte {
			return appendDecimal(dst, decimal128.FromI64(int64(a.Value(i))), scale)
		})
	case arrow.DECIMAL128:
		return leaf(quoted, func(dst []byte, a *array.Decimal128, i int) []byte { return appendDecimal(dst, a.Value(i), scale) })
	case arrow.DECIMAL256:
		return leaf(quoted, func(dst []byte, a *array.Decimal256, i int) []byte {
			return append(dst, a.Value(i).ToString(int32(scale))...)
		})
	}
	return nil
}

func renderTime(dt arrow.DataType) *render {
	switch t := dt.(type) {
	case *arrow.Date32Type:
		return leaf(quoted, func(dst []byte, a *array.Date32, i int) []byte { return appendDate(dst, int64(a.Value(i))) })
	case *arrow.Date64Type:
		return leaf(quoted, func(dst []byte, a *array.Date64, i int) []byte {
			return appendDate(dst, floorDiv(int64(a.Value(i)), microsPerDay/1000))
		})
	case *arrow.Time32Type:
		per := perSecond(t.Unit)
		return leaf(quoted, func(dst []byte, a *array.Time32, i int) []byte { return appendClock(dst, int64(a.Value(i)), per) })
	case *arrow.Time64Type:
		per := perSecond(t.Unit)
		return leaf(quoted, func(dst []byte, a *array.Time64, i int) []byte { return appendClock(dst, int64(a.Value(i)), per) })
	case *arrow.TimestampType:
		per, zone := perSecond(t.Unit), t.TimeZone != ""
		return leaf(quoted, func(dst []byte, a *array.Timestamp, i int) []byte {
			return appendTimestamp(dst, int64(a.Value(i)), per, zone)
		})
	case *arrow.MonthDayNanoIntervalType:
		return leaf(quoted, func(dst []byte, a *array.MonthDayNanoInterval, i int) []byte {
			v := a.Value(i)
			return appendInterval(dst, int64(v.Months), int64(v.Days), v.Nanoseconds)
		})
	case *arrow.MonthIntervalType:
		return leaf(quoted, func(dst []byte, a *array.MonthInterval, i int) []byte {
			return appendInterval(dst, int64(a.Value(i)), 0, 0)
		})
	case *arrow.DayTimeIntervalType:
		return leaf(quoted, func(dst []byte, a *array.DayTimeInterval, i int) []byte {
			v := a.Value(i)
			return appendInterval(dst, 0, int64(v.Days), int64(v.Milliseconds)*1_000_000)
		})
	}
	return nil
}

// perSecond is the number of units in a second.
func perSecond(u arrow.TimeUnit) int64 {
	switch u {
	case arrow.Second:
		return 1
	case arrow.Millisecond:
		return 1000
	case arrow.Microsecond:
		return 1_000_000
	}
	return 1_000_000_000
}

func appendBase64(dst, v []byte) []byte { return base64.StdEncoding.AppendEncode(dst, v) }

func appendUUID(dst []byte, u uuid.UUID) []byte {
	const hex = "0123456789abcdef"
	for i, b := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, hex[b>>4], hex[b&15])
	}
	return dst
}
