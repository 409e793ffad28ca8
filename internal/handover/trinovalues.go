package handover

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	trinodb "github.com/trinodb/trino-go-client/trino"

	"tarn/internal/lake"
)

// appendTrino appends a value to the builder of its type. At the top the client gives
// values of Go's types; within arrays and maps, what Trino's JSON has.
func appendTrino(b array.Builder, t arrow.DataType, v any) error {
	if v == nil {
		b.AppendNull()
		return nil
	}
	switch b := b.(type) {
	case *array.ListBuilder:
		return appendTrinoList(b, t.(*arrow.ListType).Elem(), v)
	case *array.MapBuilder:
		return appendTrinoMap(b, t.(*arrow.MapType), v)
	case *array.StructBuilder:
		return appendTrinoRow(b, t.(*arrow.StructType), v)
	}
	if err := appendTrinoScalar(b, t, v); err != nil {
		return lake.Errorf(lake.CodeEngineFailed, "Trino gives %v (%T) for a value of %s: %v", clipped(v), v, t, err)
	}
	return nil
}

func clipped(v any) string {
	s := fmt.Sprint(v)
	const most = 100
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

func appendTrinoList(b *array.ListBuilder, elem arrow.DataType, v any) error {
	values, ok := v.([]any)
	if !ok {
		return lake.Errorf(lake.CodeEngineFailed, "Trino gives %T for an array", v)
	}
	b.Append(true)
	for _, one := range values {
		if err := appendTrino(b.ValueBuilder(), elem, one); err != nil {
			return err
		}
	}
	return nil
}

// appendTrinoMap appends a map in the order of its keys' texts: Trino's has none.
func appendTrinoMap(b *array.MapBuilder, t *arrow.MapType, v any) error {
	values, ok := v.(map[string]any)
	if !ok {
		return lake.Errorf(lake.CodeEngineFailed, "Trino gives %T for a map", v)
	}
	b.Append(true)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if err := appendTrino(b.KeyBuilder(), t.KeyType(), key); err != nil {
			return err
		}
		if err := appendTrino(b.ItemBuilder(), t.ItemType(), values[key]); err != nil {
			return err
		}
	}
	return nil
}

func appendTrinoRow(b *array.StructBuilder, t *arrow.StructType, v any) error {
	row, ok := v.(trinodb.Row)
	if !ok || row.Len() != t.NumFields() {
		return lake.Errorf(lake.CodeEngineFailed, "Trino gives %T for a row of %d fields", v, t.NumFields())
	}
	b.Append(true)
	for i := range row.Len() {
		if err := appendTrino(b.FieldBuilder(i), t.Field(i).Type, row.Value(i)); err != nil {
			return err
		}
	}
	return nil
}

func appendTrinoScalar(b array.Builder, t arrow.DataType, v any) (err error) {
	text, isText := textIn(v)
	switch b := b.(type) {
	case *array.BooleanBuilder:
		is, ok := v.(bool)
		if !ok {
			is, err = strconv.ParseBool(text)
		}
		b.Append(is)
	case *array.StringBuilder:
		if !isText {
			return fmt.Errorf("no text")
		}
		b.Append(text)
	case *array.BinaryBuilder:
		raw, ok := v.([]byte)
		if !ok {
			raw, err = base64.StdEncoding.DecodeString(text)
		}
		b.Append(raw)
	case *extensions.UUIDBuilder:
		return b.AppendValueFromString(text)
	case *array.Decimal128Builder:
		d := t.(*arrow.Decimal128Type)
		var n decimal128.Num
		n, err = decimal128.FromString(text, d.Precision, d.Scale)
		b.Append(n)
	case *array.Float32Builder:
		var f float64
		f, err = trinoFloat(v, text, 32)
		b.Append(float32(f))
	case *array.Float64Builder:
		var f float64
		f, err = trinoFloat(v, text, 64)
		b.Append(f)
	default:
		return appendTrinoMore(b, t, v, text)
	}
	return err
}

// appendTrinoMore appends whole numbers and times.
func appendTrinoMore(b array.Builder, t arrow.DataType, v any, text string) error {
	switch b := b.(type) {
	case *array.Int8Builder:
		n, err := trinoInt(v, text, 8)
		b.Append(int8(n))
		return err
	case *array.Int16Builder:
		n, err := trinoInt(v, text, 16)
		b.Append(int16(n))
		return err
	case *array.Int32Builder:
		n, err := trinoInt(v, text, 32)
		b.Append(int32(n))
		return err
	case *array.Int64Builder:
		n, err := trinoInt(v, text, 64)
		b.Append(n)
		return err
	case *array.Date32Builder:
		at, err := trinoTime(v, text)
		b.Append(arrow.Date32(floorDiv(at.Unix(), 86_400)))
		return err
	case *array.Time64Builder:
		at, err := trinoTime(v, text)
		b.Append(arrow.Time64((at.Hour()*3600+at.Minute()*60+at.Second())*1_000_000 + at.Nanosecond()/1000))
		return err
	case *array.TimestampBuilder:
		at, err := trinoTime(v, text)
		n, fits := at.UnixMicro(), true
		if t.(*arrow.TimestampType).Unit == arrow.Nanosecond {
			n = at.UnixNano()
			fits = time.Unix(0, n).Equal(at)
		}
		if err == nil && !fits {
			return fmt.Errorf("beyond TIMESTAMP_NS")
		}
		b.Append(arrow.Timestamp(n))
		return err
	case *array.MonthIntervalBuilder:
		n, err := trinoMonths(text)
		b.Append(arrow.MonthInterval(n))
		return err
	case *array.MonthDayNanoIntervalBuilder:
		n, err := trinoDays(text)
		b.Append(n)
		return err
	}
	return fmt.Errorf("no such type")
}

func floorDiv(a, b int64) int64 {
	if a < 0 {
		a -= b - 1
	}
	return a / b
}

// textIn is a value's text, where it is one.
func textIn(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

func trinoInt(v any, text string, bits int) (int64, error) {
	n, ok := v.(int64)
	if !ok {
		return strconv.ParseInt(text, 10, bits)
	}
	if shift := 64 - bits; n<<shift>>shift != n {
		return 0, strconv.ErrRange
	}
	return n, nil
}

func trinoFloat(v any, text string, bits int) (float64, error) {
	if f, ok := v.(float64); ok {
		return f, nil
	}
	return strconv.ParseFloat(text, bits) // NaN, Infinity, -Infinity too
}

// trinoTime is a date, a time or a timestamp; without a zone it is UTC.
func trinoTime(v any, text string) (time.Time, error) {
	if at, ok := v.(time.Time); ok {
		return at, nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04:05", "15:04:05"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	stamp, zone, _ := cutLast(text, " ")
	for _, layout := range []string{"2006-01-02 15:04:05 -07:00"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	where, err := time.LoadLocation(zone)
	if err != nil {
		return time.Time{}, err
	}
	return time.ParseInLocation("2006-01-02 15:04:05", stamp, where)
}

func cutLast(s, sep string) (before, after string, ok bool) {
	if at := strings.LastIndex(s, sep); at >= 0 {
		return s[:at], s[at+len(sep):], true
	}
	return s, "", false
}

// trinoMonths reads an interval of years and months: 1-2, -0-7.
func trinoMonths(text string) (int32, error) {
	sign, rest := signOf(text)
	years, months, ok := strings.Cut(rest, "-")
	y, err := strconv.ParseInt(years, 10, 32)
	m, err2 := strconv.ParseInt(months, 10, 32)
	if !ok || err != nil || err2 != nil || y*12+m > math.MaxInt32 {
		return 0, fmt.Errorf("no interval")
	}
	return int32(sign * (y*12 + m)), nil
}

// trinoDays reads an interval of days and seconds: 1 02:03:04.005, -0 00:00:01.000.
func trinoDays(text string) (arrow.MonthDayNanoInterval, error) {
	sign, rest := signOf(text)
	days, clock, ok := strings.Cut(rest, " ")
	d, err := strconv.ParseInt(days, 10, 32)
	at, err2 := time.Parse("15:04:05", clock)
	if !ok || err != nil || err2 != nil {
		return arrow.MonthDayNanoInterval{}, fmt.Errorf("no interval")
	}
	nanos := int64(at.Hour()*3600+at.Minute()*60+at.Second())*1_000_000_000 + int64(at.Nanosecond())
	return arrow.MonthDayNanoInterval{Days: int32(sign * d), Nanoseconds: sign * nanos}, nil
}

func signOf(text string) (sign int64, rest string) {
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		return -1, rest
	}
	return 1, text
}
