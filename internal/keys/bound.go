package keys

import (
	"fmt"
	"math"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"tarn/internal/lake"
)

// Bound encodes a bound of a column of type t as First encodes the column's
// values. v is what an Iceberg literal's Any() gives. A column may have been
// widened since the file was written: an int32 is taken for a BIGINT.
//
// Bounds of strings that the writer cut short are what they are, outer bounds:
// compare, but do not look for equality. What does not fit t is
// lake.CodeUnsupported; the file is unbounded then.
func Bound(t lake.Type, v any) ([]byte, error) {
	switch v := v.(type) {
	case bool:
		if t.Kind == lake.Boolean {
			return appendBool(nil, v), nil
		}
	case int32:
		switch t.Kind {
		case lake.Integer:
			return appendInt32(nil, v), nil
		case lake.Bigint:
			return appendInt64(nil, int64(v)), nil
		}
	case int64:
		switch {
		case t.Kind == lake.Bigint:
			return appendInt64(nil, v), nil
		case t.Kind == lake.Integer && v >= math.MinInt32 && v <= math.MaxInt32:
			return appendInt32(nil, int32(v)), nil
		}
	case iceberg.Decimal:
		// Iceberg widens a decimal's precision, never its scale.
		if t.Kind == lake.Decimal && v.Scale == t.Scale {
			return appendDecimal(nil, v.Val), nil
		}
	case string:
		if t.Kind == lake.Varchar {
			return append([]byte{}, v...), nil
		}
	case []byte:
		if t.Kind == lake.Blob || t.Kind == lake.UUID && len(v) == 16 {
			return append([]byte{}, v...), nil
		}
	case uuid.UUID:
		if t.Kind == lake.UUID {
			return append([]byte{}, v[:]...), nil
		}
	case iceberg.Date:
		if t.Kind == lake.Date {
			return appendInt32(nil, int32(v)), nil
		}
	case iceberg.Time:
		if t.Kind == lake.Time {
			return appendInt64(nil, int64(v)), nil
		}
	case iceberg.Timestamp:
		if t.Kind == lake.Timestamp || t.Kind == lake.TimestampTZ {
			return appendInt64(nil, int64(v)), nil
		}
	}
	return nil, lake.Errorf(lake.CodeUnsupported, "a bound of %s cannot bound a column of type %s", describe(v), t)
}

func describe(v any) string {
	if d, ok := v.(iceberg.Decimal); ok {
		return fmt.Sprintf("a decimal of scale %d", d.Scale)
	}
	return fmt.Sprintf("Go type %T", v)
}
