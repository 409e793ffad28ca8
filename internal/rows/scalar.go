package rows

import (
	"encoding/base64"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/google/uuid"

	"tarn/internal/lake"
)

// The other ways a value cannot be of a type.
const (
	errNoBool    = reason("is neither true nor false, as needed for ")
	errNoUUID    = reason("is not a ")
	errNoBase64  = reason("is not base64, as needed for ")
	errNoUTF8    = reason("is not valid UTF-8, as needed for ")
	errNotExact  = reason("cannot be kept exactly in ")
	errNoFixed16 = reason("is not 16 bytes, as needed for ")
)

// scalar sets how values come into a cell of a type without parts.
func (c *cell) scalar() error {
	switch c.typ.Kind {
	case lake.Boolean:
		c.boolean(c.b.(*array.BooleanBuilder))
	case lake.Integer:
		b := c.b.(*array.Int32Builder)
		c.integer(math.MinInt32, math.MaxInt32, func(v int64) { b.Append(int32(v)) })
	case lake.Bigint:
		c.integer(math.MinInt64, math.MaxInt64, c.b.(*array.Int64Builder).Append)
	case lake.Float:
		b := c.b.(*array.Float32Builder)
		c.float(32, func(v float64) { b.Append(float32(v)) })
	case lake.Double:
		c.float(64, c.b.(*array.Float64Builder).Append)
	case lake.Decimal:
		c.decimal(c.b.(*array.Decimal128Builder))
	case lake.Varchar:
		c.varchar(c.b.(*array.StringBuilder))
	case lake.Blob:
		c.blob(c.b.(*array.BinaryBuilder))
	case lake.UUID:
		c.uuid(c.b.(*extensions.UUIDBuilder))
	case lake.Date:
		c.date(c.b.(*array.Date32Builder))
	case lake.Time:
		c.time(c.b.(*array.Time64Builder))
	case lake.Timestamp, lake.TimestampTZ:
		c.timestamp(c.b.(*array.TimestampBuilder))
	default:
		return lake.Errorf(lake.CodeUnsupported, "column %q: rows of type %s cannot be read", c.path, c.typ)
	}
	return nil
}

func (c *cell) boolean(b *array.BooleanBuilder) {
	c.fromBool = b.Append
	c.fromText = func(s []byte) error {
		switch strings.ToLower(string(s)) {
		case "true", "t", "1":
			b.Append(true)
		case "false", "f", "0":
			b.Append(false)
		default:
			return errNoBool
		}
		return nil
	}
}

func (c *cell) integer(lo, hi int64, put func(int64)) {
	c.fromNumber = func(lit []byte) error {
		v, err := parseInteger(lit, lo, hi)
		if err != nil {
			return err
		}
		put(v)
		return nil
	}
	c.fromText = c.fromNumber
	c.fromInt = func(v int64) error {
		if v < lo || v > hi {
			return errTooBig
		}
		put(v)
		return nil
	}
	c.fromDecimal = func(v decimal128.Num, scale int) error {
		v, err := rescale(v, scale, 38, 0)
		if err != nil {
			return err
		}
		n := int64(v.LowBits())
		if v.HighBits() != n>>63 {
			return errTooBig
		}
		return c.fromInt(n)
	}
	c.fromFloat = func(v float64) error {
		switch {
		case v != math.Trunc(v): // NaN too
			return errNotExact
		case v < -(1<<63) || v >= 1<<63:
			return errTooBig
		}
		return c.fromInt(int64(v))
	}
}

func (c *cell) float(bitSize int, put func(float64)) {
	c.fromNumber = func(lit []byte) error {
		v, err := parseFloat(lit, bitSize)
		if err != nil {
			return err
		}
		put(v)
		return nil
	}
	c.fromString = func(s []byte) error { // numbers come as numbers, the rest by name
		v, ok := namedFloat(s)
		if !ok {
			return errNaN
		}
		put(v)
		return nil
	}
	c.fromText = func(s []byte) error {
		if v, ok := namedFloat(s); ok {
			put(v)
			return nil
		}
		return c.fromNumber(s)
	}
	c.fromFloat = func(v float64) error {
		if bitSize == 32 && float64(float32(v)) != v && v == v {
			return errNotExact
		}
		put(v)
		return nil
	}
	c.fromInt = func(v int64) error {
		f := float64(v)
		if f >= 1<<63 || int64(f) != v {
			return errNotExact
		}
		return c.fromFloat(f)
	}
}

func (c *cell) decimal(b *array.Decimal128Builder) {
	precision, scale := c.typ.Precision, c.typ.Scale
	c.fromNumber = func(lit []byte) error {
		v, err := parseDecimal(lit, precision, scale)
		if err != nil {
			return err
		}
		b.Append(v)
		return nil
	}
	c.fromString = c.fromNumber
	c.fromText = c.fromNumber
	c.fromDecimal = func(v decimal128.Num, from int) error {
		v, err := rescale(v, from, precision, scale)
		if err != nil {
			return err
		}
		b.Append(v)
		return nil
	}
	c.fromInt = func(v int64) error { return c.fromDecimal(decimal128.FromI64(v), 0) }
}

func (c *cell) varchar(b *array.StringBuilder) {
	c.fromString = func(s []byte) error {
		if !utf8.Valid(s) {
			return errNoUTF8
		}
		b.BinaryBuilder.Append(s)
		return nil
	}
	c.fromText = c.fromString
	c.fromBytes = c.fromString // Parquet's JSON and ENUM are text in bytes
}

func (c *cell) blob(b *array.BinaryBuilder) {
	var buf []byte
	c.fromString = func(s []byte) error {
		enc := base64.StdEncoding
		if len(s)%4 != 0 {
			enc = base64.RawStdEncoding
		}
		var err error
		if buf, err = enc.AppendDecode(buf[:0], s); err != nil {
			return errNoBase64
		}
		b.Append(buf)
		return nil
	}
	c.fromText = c.fromString
	c.fromBytes = func(v []byte) error {
		b.Append(v)
		return nil
	}
}

func (c *cell) uuid(b *extensions.UUIDBuilder) {
	c.fromString = func(s []byte) error {
		u, err := uuid.ParseBytes(s)
		if err != nil {
			return errNoUUID
		}
		b.AppendBytes(u)
		return nil
	}
	c.fromText = c.fromString
	c.fromBytes = func(v []byte) error {
		if len(v) != 16 {
			return errNoFixed16
		}
		b.AppendBytes([16]byte(v))
		return nil
	}
}

func (c *cell) date(b *array.Date32Builder) {
	c.fromString = func(s []byte) error {
		v, err := parseDate(s)
		if err != nil {
			return err
		}
		b.Append(arrow.Date32(v))
		return nil
	}
	c.fromText = c.fromString
	c.fromDate = func(days int64) error {
		if !dateFits(days) {
			return errTooBig
		}
		b.Append(arrow.Date32(days))
		return nil
	}
}

func (c *cell) time(b *array.Time64Builder) {
	c.fromString = func(s []byte) error {
		v, err := parseTime(s)
		if err != nil {
			return err
		}
		b.Append(arrow.Time64(v))
		return nil
	}
	c.fromText = c.fromString
	c.fromTime = func(v int64) error {
		if !timeFits(v) {
			return errTooBig
		}
		b.Append(arrow.Time64(v))
		return nil
	}
}

func (c *cell) timestamp(b *array.TimestampBuilder) {
	zone := c.typ.Kind == lake.TimestampTZ
	c.fromString = func(s []byte) error {
		v, err := parseTimestamp(s, zone)
		if err != nil {
			return err
		}
		b.Append(arrow.Timestamp(v))
		return nil
	}
	c.fromText = c.fromString
	c.fromInstant = func(v int64) error {
		if !timestampFits(v) {
			return errTooBig
		}
		b.Append(arrow.Timestamp(v))
		return nil
	}
}

func dateFits(days int64) bool { return days >= dateNegInfinity && days <= dateInfinity }

func timeFits(micros int64) bool { return micros >= 0 && micros < microsPerDay }

func timestampFits(micros int64) bool {
	return micros >= minTimestamp || micros == timeNegInfinity
}

// rescale gives v*10^-from as a decimal of precision and scale, exactly.
func rescale(v decimal128.Num, from, precision, scale int) (decimal128.Num, error) {
	if from < scale {
		if scale-from > 38 {
			if v == (decimal128.Num{}) {
				return v, nil
			}
			return v, errTooBig
		}
		if v == (decimal128.Num{}) {
			return v, nil
		}
		// Tested before multiplying, which could overflow.
		if precision-(scale-from) <= 0 || !fits128(v, precision-(scale-from)) {
			return v, errTooBig
		}
		return v.IncreaseScaleBy(int32(scale - from)), nil
	}
	if from > scale {
		if from-scale > 38 {
			if v == (decimal128.Num{}) {
				return v, nil
			}
			return v, errTooFine
		}
		q, rest := v.Div(decimal128.GetScaleMultiplier(from - scale))
		if rest != (decimal128.Num{}) {
			return v, errTooFine
		}
		v = q
	}
	if !fits128(v, precision) {
		return v, errTooBig
	}
	return v, nil
}

// fits128 says whether v has at most so many digits. FitsInPrecision of arrow-go
// 18.8.0 says so of the least value of 128 bits for every precision.
func fits128(v decimal128.Num, precision int) bool {
	limit := decimal128.GetScaleMultiplier(precision)
	return v.Less(limit) && limit.Negate().Less(v)
}
