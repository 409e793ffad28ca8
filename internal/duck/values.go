//go:build duckdb_arrow

package duck

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	duckdb "github.com/duckdb/duckdb-go-bindings"
	"github.com/google/uuid"

	"tarn/internal/lake"
)

// newValue makes a DuckDB value of a Go one; the caller destroys it.
func newValue(v any) (duckdb.Value, error) {
	switch v := v.(type) {
	case nil:
		return duckdb.CreateNullValue(), nil
	case bool:
		return duckdb.CreateBool(v), nil
	case int:
		return duckdb.CreateInt64(int64(v)), nil
	case int8:
		return duckdb.CreateInt64(int64(v)), nil
	case int16:
		return duckdb.CreateInt64(int64(v)), nil
	case int32:
		return duckdb.CreateInt64(int64(v)), nil
	case int64:
		return duckdb.CreateInt64(v), nil
	case uint8:
		return duckdb.CreateInt64(int64(v)), nil
	case uint16:
		return duckdb.CreateInt64(int64(v)), nil
	case uint32:
		return duckdb.CreateInt64(int64(v)), nil
	case uint64:
		if v > math.MaxInt64 {
			return duckdb.CreateUInt64(v), nil
		}
		return duckdb.CreateInt64(int64(v)), nil
	case float32:
		return duckdb.CreateDouble(float64(v)), nil
	case float64:
		return duckdb.CreateDouble(v), nil
	case *big.Int:
		return hugeValue(v)
	case json.Number:
		return numberValue(string(v))
	case string:
		if !utf8.ValidString(v) {
			return duckdb.Value{}, lake.Errorf(lake.CodeInvalidRequest, "a text that is not valid UTF-8")
		}
		return duckdb.CreateVarchar(v), nil
	case []byte:
		return duckdb.CreateBlob(v), nil
	case uuid.UUID:
		return duckdb.CreateUUID(duckdb.NewUHugeInt(binary.BigEndian.Uint64(v[8:]), binary.BigEndian.Uint64(v[:8]))), nil
	case time.Time:
		return duckdb.CreateTimestampTZ(duckdb.NewTimestamp(v.UnixMicro())), nil
	case arrow.Date32:
		return duckdb.CreateDate(duckdb.NewDate(int32(v))), nil
	case arrow.Timestamp:
		return duckdb.CreateTimestamp(duckdb.NewTimestamp(int64(v))), nil
	case []any:
		return listValue(v)
	case map[string]any:
		return structValue(v)
	}
	return duckdb.Value{}, lake.Errorf(lake.CodeInvalidRequest, "a value of Go type %T is no parameter", v)
}

var hugeLimit = new(big.Int).Lsh(big.NewInt(1), 127)

func hugeParts(n *big.Int) (duckdb.HugeInt, bool) {
	if n.Cmp(hugeLimit) >= 0 || n.Cmp(new(big.Int).Neg(hugeLimit)) < 0 {
		return duckdb.HugeInt{}, false
	}
	low := new(big.Int).And(n, new(big.Int).SetUint64(math.MaxUint64)) // of the two's complement
	high := new(big.Int).Rsh(n, 64)
	return duckdb.NewHugeInt(low.Uint64(), high.Int64()), true
}

func hugeValue(n *big.Int) (duckdb.Value, error) {
	h, ok := hugeParts(n)
	if !ok {
		return duckdb.Value{}, lake.Errorf(lake.CodeInvalidRequest, "the integer %s is beyond HUGEINT", n).
			WithHint("give it as a string and cast it")
	}
	return duckdb.CreateHugeInt(h), nil
}

// numberValue reads a JSON number as DuckDB reads such a literal in SQL.
func numberValue(s string) (duckdb.Value, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return duckdb.CreateInt64(n), nil
	}
	if n, ok := new(big.Int).SetString(s, 10); ok {
		return hugeValue(n)
	}
	whole, fraction, point := strings.Cut(s, ".")
	digits := strings.TrimLeft(strings.TrimPrefix(whole, "-"), "0") + fraction
	if n, ok := new(big.Int).SetString(whole+fraction, 10); ok && point && len(digits) <= 38 {
		h, _ := hugeParts(n) // 38 digits always fit
		width := min(max(len(digits), len(fraction)+1), 38)
		return duckdb.CreateDecimal(duckdb.NewDecimal(uint8(width), uint8(len(fraction)), h)), nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return duckdb.Value{}, lake.Errorf(lake.CodeInvalidRequest, "%q is no number that a parameter can hold", s)
	}
	return duckdb.CreateDouble(f), nil
}

// values makes the values of several Go ones; release destroys them.
func values(in []any) (out []duckdb.Value, release func(), err error) {
	release = func() {
		for i := range out {
			duckdb.DestroyValue(&out[i])
		}
	}
	for _, v := range in {
		value, err := newValue(v)
		if err != nil {
			release()
			return nil, nil, err
		}
		out = append(out, value)
	}
	return out, release, nil
}

func structValue(fields map[string]any) (duckdb.Value, error) {
	if len(fields) == 0 {
		return duckdb.Value{}, lake.Errorf(lake.CodeInvalidRequest, "an object without fields is no STRUCT")
	}
	names := slices.Sorted(maps.Keys(fields))
	in := make([]any, len(names))
	for i, name := range names {
		in[i] = fields[name]
	}
	parts, release, err := values(in)
	if err != nil {
		return duckdb.Value{}, err
	}
	defer release()
	types := make([]duckdb.LogicalType, len(parts))
	for i, p := range parts {
		types[i] = duckdb.GetValueType(p)
	}
	t := duckdb.CreateStructType(types, names)
	defer duckdb.DestroyLogicalType(&t)
	return duckdb.CreateStructValue(t, parts), nil
}

// listValue makes a LIST of the widest type among the elements. Numbers widen
// from BIGINT over HUGEINT and DECIMAL to DOUBLE; other types must be the same.
func listValue(elements []any) (duckdb.Value, error) {
	parts, release, err := values(elements)
	if err != nil {
		return duckdb.Value{}, err
	}
	defer release()
	element, err := commonType(parts)
	if err != nil {
		return duckdb.Value{}, err
	}
	defer duckdb.DestroyLogicalType(&element)
	list := duckdb.CreateListValue(element, parts)
	if list.Ptr == nil {
		return list, lake.Errorf(lake.CodeInvalidRequest, "the elements of a list are not of one type (%s)", typeSQL(element)).
			WithHint("give all of them as strings, or all as numbers")
	}
	return list, nil
}

// commonType is the narrowest type that holds all the values, for the caller to
// destroy.
func commonType(parts []duckdb.Value) (duckdb.LogicalType, error) {
	var same string                // how the one type of all is spelled
	var first duckdb.LogicalType   // it
	var whole, scale uint8         // digits before and after the point of the exact numbers
	var mixed, double, others bool // more than one type; a DOUBLE among them; something that is no number
	for _, p := range parts {
		t := duckdb.GetValueType(p)
		id := duckdb.GetTypeId(t)
		if id == duckdb.TypeSQLNull {
			continue
		}
		if spelled := typeSQL(t); same == "" {
			same, first = spelled, t
		} else if spelled != same {
			mixed = true
		}
		switch id {
		case duckdb.TypeBigInt:
			whole = max(whole, 19)
		case duckdb.TypeUBigInt:
			whole = max(whole, 20)
		case duckdb.TypeHugeInt:
			whole = max(whole, 39)
		case duckdb.TypeDecimal:
			whole = max(whole, duckdb.DecimalWidth(t)-duckdb.DecimalScale(t))
			scale = max(scale, duckdb.DecimalScale(t))
		case duckdb.TypeDouble:
			double = true
		default:
			others = true
		}
	}
	switch {
	case same == "":
		return duckdb.CreateLogicalType(duckdb.TypeSQLNull), nil
	case !mixed:
		return copyType(first), nil
	case others || !double && scale > 0 && whole+scale > 38:
		return duckdb.LogicalType{}, lake.Errorf(lake.CodeInvalidRequest, "the elements of a list are not of one type").
			WithHint("give all of them as strings, or all as numbers of like size")
	case double:
		return duckdb.CreateLogicalType(duckdb.TypeDouble), nil
	case scale == 0:
		return duckdb.CreateLogicalType(duckdb.TypeHugeInt), nil
	default:
		return duckdb.CreateDecimalType(whole+scale, scale), nil
	}
}

// copyType makes an own copy of a type that belongs to a value.
func copyType(t duckdb.LogicalType) duckdb.LogicalType {
	list := duckdb.CreateListType(t)
	defer duckdb.DestroyLogicalType(&list)
	return duckdb.ListTypeChildType(list)
}
