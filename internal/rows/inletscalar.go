package rows

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"tarn/internal/lake"
)

// The inlets of types without parts: each says whether the cell takes values
// of an Arrow type, and sets how.

func (in *inlet) ints(dt arrow.DataType) bool {
	c := in.c
	switch dt.ID() {
	case arrow.INT8:
		from(in, func(a *array.Int8, i int) error { return c.fromInt(int64(a.Value(i))) })
	case arrow.INT16:
		from(in, func(a *array.Int16, i int) error { return c.fromInt(int64(a.Value(i))) })
	case arrow.INT32:
		from(in, func(a *array.Int32, i int) error { return c.fromInt(int64(a.Value(i))) })
	case arrow.INT64:
		from(in, func(a *array.Int64, i int) error { return c.fromInt(a.Value(i)) })
	case arrow.UINT8:
		from(in, func(a *array.Uint8, i int) error { return c.fromInt(int64(a.Value(i))) })
	case arrow.UINT16:
		from(in, func(a *array.Uint16, i int) error { return c.fromInt(int64(a.Value(i))) })
	case arrow.UINT32:
		from(in, func(a *array.Uint32, i int) error { return c.fromInt(int64(a.Value(i))) })
	case arrow.UINT64:
		from(in, func(a *array.Uint64, i int) error {
			v := a.Value(i)
			if v <= math.MaxInt64 {
				return c.fromInt(int64(v))
			}
			if c.fromDecimal != nil {
				return c.fromDecimal(decimal128.FromU64(v), 0)
			}
			return errTooBig
		})
	default:
		return false
	}
	return true
}

func (in *inlet) floats(dt arrow.DataType) bool {
	c := in.c
	switch dt.ID() {
	case arrow.FLOAT16:
		from(in, func(a *array.Float16, i int) error { return c.fromFloat(float64(a.Value(i).Float32())) })
	case arrow.FLOAT32:
		from(in, func(a *array.Float32, i int) error { return c.fromFloat(float64(a.Value(i))) })
	case arrow.FLOAT64:
		from(in, func(a *array.Float64, i int) error { return c.fromFloat(a.Value(i)) })
	default:
		return false
	}
	return true
}

func (in *inlet) decimals(dt arrow.DataType) bool {
	c := in.c
	d, ok := dt.(arrow.DecimalType)
	if !ok {
		return false
	}
	scale := int(d.GetScale())
	switch dt.ID() {
	case arrow.DECIMAL32:
		from(in, func(a *array.Decimal32, i int) error {
			return c.fromDecimal(decimal128.FromI64(int64(a.Value(i))), scale)
		})
	case arrow.DECIMAL64:
		from(in, func(a *array.Decimal64, i int) error {
			return c.fromDecimal(decimal128.FromI64(int64(a.Value(i))), scale)
		})
	case arrow.DECIMAL128:
		from(in, func(a *array.Decimal128, i int) error { return c.fromDecimal(a.Value(i), scale) })
	case arrow.DECIMAL256:
		from(in, func(a *array.Decimal256, i int) error {
			v, err := narrow(a.Value(i))
			if err != nil {
				return err
			}
			return c.fromDecimal(v, scale)
		})
	}
	return in.put != nil
}

// narrow gives a 256-bit decimal as one of 128 bits.
func narrow(v decimal.Decimal256) (decimal128.Num, error) {
	if big := v.BigInt(); big.BitLen() <= 127 {
		return decimal128.FromBigInt(big), nil
	}
	return decimal128.Num{}, errTooBig
}

func (in *inlet) strings(dt arrow.DataType) bool {
	c := in.c
	switch dt.ID() {
	case arrow.STRING:
		from(in, func(a *array.String, i int) error { return c.fromString([]byte(a.Value(i))) })
	case arrow.LARGE_STRING:
		from(in, func(a *array.LargeString, i int) error { return c.fromString([]byte(a.Value(i))) })
	case arrow.STRING_VIEW:
		from(in, func(a *array.StringView, i int) error { return c.fromString([]byte(a.Value(i))) })
	default:
		return false
	}
	return true
}

func (in *inlet) binaries(dt arrow.DataType) bool {
	c := in.c
	switch dt.ID() {
	case arrow.BINARY:
		from(in, func(a *array.Binary, i int) error { return c.fromBytes(a.Value(i)) })
	case arrow.LARGE_BINARY:
		from(in, func(a *array.LargeBinary, i int) error { return c.fromBytes(a.Value(i)) })
	case arrow.BINARY_VIEW:
		from(in, func(a *array.BinaryView, i int) error { return c.fromBytes(a.Value(i)) })
	case arrow.FIXED_SIZE_BINARY:
		from(in, func(a *array.FixedSizeBinary, i int) error { return c.fromBytes(a.Value(i)) })
	default:
		return false
	}
	return true
}

func (in *inlet) dates(dt arrow.DataType) bool {
	c := in.c
	switch dt.ID() {
	case arrow.DATE32:
		from(in, func(a *array.Date32, i int) error { return c.fromDate(int64(a.Value(i))) })
	case arrow.DATE64:
		from(in, func(a *array.Date64, i int) error {
			const perDay = microsPerDay / 1000
			v := int64(a.Value(i))
			if v%perDay != 0 {
				return errNotExact
			}
			return c.fromDate(v / perDay)
		})
	default:
		return false
	}
	return true
}

func (in *inlet) times(dt arrow.DataType) bool {
	c := in.c
	switch t := dt.(type) {
	case *arrow.Time32Type:
		from(in, func(a *array.Time32, i int) error { return c.inMicros(int64(a.Value(i)), t.Unit, c.fromTime) })
	case *arrow.Time64Type:
		from(in, func(a *array.Time64, i int) error { return c.inMicros(int64(a.Value(i)), t.Unit, c.fromTime) })
	default:
		return false
	}
	return true
}

// instants takes timestamps of any unit; whether they are of a zone must be as
// in the column, as one without means no instant.
func (in *inlet) instants(dt arrow.DataType) bool {
	c := in.c
	t, ok := dt.(*arrow.TimestampType)
	if !ok || (t.TimeZone != "") != (c.typ.Kind == lake.TimestampTZ) {
		return false
	}
	from(in, func(a *array.Timestamp, i int) error {
		v := int64(a.Value(i))
		if v == timeInfinity || v == timeNegInfinity {
			return c.fromInstant(v)
		}
		return c.inMicros(v, t.Unit, c.fromInstant)
	})
	return true
}

// inMicros puts a time of another unit, which must be whole µs.
func (c *cell) inMicros(v int64, unit arrow.TimeUnit, put func(int64) error) error {
	times := int64(1)
	switch unit {
	case arrow.Second:
		times = 1_000_000
	case arrow.Millisecond:
		times = 1000
	case arrow.Nanosecond:
		if v%1000 != 0 {
			return errNanos
		}
		v /= 1000
	}
	if v > math.MaxInt64/times || v < math.MinInt64/times {
		return errTooBig
	}
	return put(v * times)
}
