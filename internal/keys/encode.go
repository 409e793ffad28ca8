package keys

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"tarn/internal/lake"
)

// The bytes that end a value of any length, and that stand for a zero byte in
// it. The end sorts before everything that can follow.
const (
	zeroEscape = 0xFF
	valueEnd   = 0x01
)

// Encoder makes the keys of a dataset's rows from batches of one shape. It holds
// no state: many may use it at once.
type Encoder struct {
	cols []column
}

type column struct {
	name   string
	typ    lake.Type
	at     int // position in the batches
	varies bool
	value  func(dst []byte, arr arrow.Array, row int) []byte // the first bytes of a value
}

// NewEncoder makes an encoder for batches that hold the columns of key (a
// Schema.KeySchema()) at the positions cols, in that order. Types that cannot be
// keys are a defect of the caller, as Schema.Check refuses them: it panics.
func NewEncoder(key lake.Schema, cols []int) *Encoder {
	if len(key.Columns) == 0 || len(key.Columns) != len(cols) {
		panic(fmt.Sprintf("keys: %d key columns at %d positions", len(key.Columns), len(cols)))
	}
	e := &Encoder{}
	for i, c := range key.Columns {
		if !c.Type.CanBeKey() {
			panic("keys: a key of type " + c.Type.SQL())
		}
		e.cols = append(e.cols, column{
			name: c.Name, typ: c.Type, at: cols[i],
			varies: varies(c.Type),
			value:  valueOf(c.Type.Kind),
		})
	}
	return e
}

// Check says whether keys can be taken from a batch: the types are those of
// lake.Type.Arrow and no key is null. Append and First need that to hold; a
// batch that was decoded against the dataset's schema does. It fails with
// lake.CodeDamaged naming the column.
func (e *Encoder) Check(rec arrow.RecordBatch) error {
	for _, c := range e.cols {
		if c.at < 0 || c.at >= int(rec.NumCols()) {
			return lake.Errorf(lake.CodeDamaged, "key column %q is missing: the batch has %d columns", c.name, rec.NumCols())
		}
		arr := rec.Column(c.at)
		if want := c.typ.Arrow(); !arrow.TypeEqual(arr.DataType(), want) {
			return lake.Errorf(lake.CodeDamaged, "key column %q has the type %s, not %s", c.name, arr.DataType(), want)
		}
		if n := arr.NullN(); n != 0 {
			return lake.Errorf(lake.CodeDamaged, "key column %q is null in %d rows", c.name, n)
		}
	}
	return nil
}

// Append adds the whole key of a row to dst. No key's bytes are the start of
// another's.
func (e *Encoder) Append(dst []byte, rec arrow.RecordBatch, row int) []byte {
	for i := range e.cols {
		c := &e.cols[i]
		start := len(dst)
		dst = c.value(dst, rec.Column(c.at), row)
		if c.varies {
			dst = terminate(dst, start)
		}
	}
	return dst
}

// Whole adds the whole key of a dataset whose key is one column of type t; v is as Bound
// takes it, and fails as there.
func Whole(dst []byte, t lake.Type, v any) ([]byte, error) {
	first, err := Bound(t, v)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	if dst = append(dst, first...); varies(t) {
		dst = terminate(dst, start)
	}
	return dst, nil
}

// varies says whether values of a type have any length.
func varies(t lake.Type) bool { return t.Kind == lake.Varchar || t.Kind == lake.Blob }

// First adds the first key column of a row to dst, to be compared with Bound.
func (e *Encoder) First(dst []byte, rec arrow.RecordBatch, row int) []byte {
	return e.cols[0].value(dst, rec.Column(e.cols[0].at), row)
}

// terminate escapes and ends, in place, the value that begins at start.
func terminate(dst []byte, start int) []byte {
	zeros := bytes.Count(dst[start:], []byte{0})
	if zeros > 0 {
		end := len(dst)
		dst = append(dst, make([]byte, zeros)...)
		for from, to := end-1, len(dst)-1; from < to; from-- {
			if dst[from] == 0 {
				dst[to] = zeroEscape
				to--
			}
			dst[to] = dst[from]
			to--
		}
	}
	return append(dst, 0, valueEnd)
}

func valueOf(k lake.Kind) func(dst []byte, arr arrow.Array, row int) []byte {
	switch k {
	case lake.Boolean:
		return func(dst []byte, arr arrow.Array, row int) []byte {
			return appendBool(dst, arr.(*array.Boolean).Value(row))
		}
	case lake.Integer:
		return func(dst []byte, arr arrow.Array, row int) []byte {
			return appendInt32(dst, arr.(*array.Int32).Value(row))
		}
	case lake.Bigint:
		return func(dst []byte, arr arrow.Array, row int) []byte {
			return appendInt64(dst, arr.(*array.Int64).Value(row))
		}
	case lake.Decimal:
		return func(dst []byte, arr arrow.Array, row int) []byte {
			return appendDecimal(dst, arr.(*array.Decimal128).Value(row))
		}
	case lake.Varchar:
		return func(dst []byte, arr arrow.Array, row int) []byte {
			return append(dst, arr.(*array.String).Value(row)...)
		}
	case lake.Blob:
		return func(dst []byte, arr arrow.Array, row int) []byte {
			return append(dst, arr.(*array.Binary).Value(row)...)
		}
	case lake.UUID:
		return func(dst []byte, arr arrow.Array, row int) []byte {
			return append(dst, arr.(array.ExtensionArray).Storage().(*array.FixedSizeBinary).Value(row)...)
		}
	case lake.Date:
		return func(dst []byte, arr arrow.Array, row int) []byte {
			return appendInt32(dst, int32(arr.(*array.Date32).Value(row)))
		}
	case lake.Time:
		return func(dst []byte, arr arrow.Array, row int) []byte {
			return appendInt64(dst, int64(arr.(*array.Time64).Value(row)))
		}
	case lake.Timestamp, lake.TimestampTZ:
		return func(dst []byte, arr arrow.Array, row int) []byte {
			return appendInt64(dst, int64(arr.(*array.Timestamp).Value(row)))
		}
	}
	panic("keys: a kind that cannot be a key")
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendInt32(dst []byte, v int32) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(v)^1<<31)
}

func appendInt64(dst []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(v)^1<<63)
}

func appendDecimal(dst []byte, v decimal128.Num) []byte {
	dst = appendInt64(dst, v.HighBits())
	return binary.BigEndian.AppendUint64(dst, v.LowBits())
}
