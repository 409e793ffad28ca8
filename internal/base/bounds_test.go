package base_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"

	"tarn/internal/base"
	"tarn/internal/keys"
)

// TestBounds: for every key type, the bounds of a file are the least and the
// greatest key in it, however long: files are found by them.
func TestBounds(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for _, typ := range []string{"BOOLEAN", "INTEGER", "BIGINT", "DECIMAL(9,2)", "DECIMAL(18,4)", "DECIMAL(38,10)", "VARCHAR", "BLOB", "UUID", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ"} {
		t.Run(typ, func(t *testing.T) {
			l := newLab(t)
			s := schemaOf(t, []string{"k", "n"}, column(t, "n", "BIGINT", false), column(t, "k", typ, false))
			table := l.create(s)
			for round := range 4 {
				rows := 1 + r.IntN(40)
				var all arrow.RecordBatch
				f := l.takeIn(table, int64(round), func(b *array.RecordBuilder) {
					same := array.NewRecordBuilder(memory.DefaultAllocator, s.KeySchema().Arrow())
					defer same.Release()
					for i := range rows {
						b.Field(0).(*array.Int64Builder).Append(int64(i))
						same.Field(1).(*array.Int64Builder).Append(int64(i))
						v := randomKey(r, typ)
						appendKey(b.Field(1), v)
						appendKey(same.Field(0), v)
					}
					all = same.NewRecordBatch()
				})
				enc := keys.NewEncoder(s.KeySchema(), []int{0, 1})
				var low, high []byte
				for i := range rows {
					first := enc.First(nil, all, i)
					if low == nil || bytes.Compare(first, low) < 0 {
						low = first
					}
					if high == nil || bytes.Compare(first, high) > 0 {
						high = first
					}
				}
				if f.Lower != nil && bytes.Compare(f.Lower, low) > 0 || f.Upper != nil && bytes.Compare(f.Upper, high) < 0 {
					t.Fatalf("keys %x to %x lie outside the bounds %x to %x", low, high, f.Lower, f.Upper)
				}
				// arrow-go's Parquet writer leaves out the least of some texts and blobs.
				if len(f.Lower) > 0 && !bytes.Equal(f.Lower, low) || !bytes.Equal(f.Upper, high) {
					t.Errorf("bounds %x to %x, keys %x to %x", f.Lower, f.Upper, low, high)
				}
				table = l.commit(table, base.Change{Kind: base.KindAppend, Add: []base.NewFile{f}})
				files := l.files(l.reload())
				if got := files[len(files)-1]; !bytes.Equal(got.Lower, f.Lower) || !bytes.Equal(got.Upper, f.Upper) {
					t.Errorf("bounds %x to %x in the table, %x to %x when taken in", got.Lower, got.Upper, f.Lower, f.Upper)
				}
			}
		})
	}
}

func randomKey(r *rand.Rand, typ string) any {
	extreme := r.IntN(8) == 0
	switch typ {
	case "BOOLEAN":
		return r.IntN(2) == 0
	case "INTEGER":
		return int32(r.Uint32())
	case "BIGINT":
		if extreme {
			return []int64{math.MinInt64, math.MaxInt64}[r.IntN(2)]
		}
		return int64(r.Uint64())
	case "DECIMAL(9,2)":
		return decimal128.FromI64(r.Int64N(2e9-1) - 999_999_999 + 0).Negate()
	case "DECIMAL(18,4)":
		return decimal128.FromI64(r.Int64N(2e18-1) - (1e18 - 1))
	case "DECIMAL(38,10)":
		n := decimal128.FromU64(r.Uint64()).Mul(decimal128.FromU64(r.Uint64N(1 << 60)))
		if r.IntN(2) == 0 {
			return n.Negate()
		}
		return n
	case "VARCHAR", "BLOB":
		letters := []string{"", "a", "ab", "é", "\x7f", "z", "\U0010ffff", "日本"}
		if typ == "BLOB" {
			letters = append(letters, "\x00", "\xff", "\xff\xff\xff\xff\xff\xff\xff\xff")
		}
		var b strings.Builder
		for range r.IntN(30) {
			b.WriteString(letters[r.IntN(len(letters))])
		}
		return b.String()
	case "UUID":
		var u uuid.UUID
		for i := range u {
			u[i] = byte(r.Uint32())
		}
		return u
	case "DATE":
		return arrow.Date32(r.IntN(100_000) - 50_000)
	case "TIME":
		return arrow.Time64(r.Int64N(86_400_000_000))
	default:
		return arrow.Timestamp(r.Int64N(1<<56) - 1<<55)
	}
}

func appendKey(b array.Builder, v any) {
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(v.(bool))
	case *array.Int32Builder:
		b.Append(v.(int32))
	case *array.Int64Builder:
		b.Append(v.(int64))
	case *array.Decimal128Builder:
		b.Append(v.(decimal128.Num))
	case *array.StringBuilder:
		b.Append(v.(string))
	case *array.BinaryBuilder:
		b.Append([]byte(v.(string)))
	case *extensions.UUIDBuilder:
		b.Append(v.(uuid.UUID))
	case *array.Date32Builder:
		b.Append(v.(arrow.Date32))
	case *array.Time64Builder:
		b.Append(v.(arrow.Time64))
	case *array.TimestampBuilder:
		b.Append(v.(arrow.Timestamp))
	default:
		panic(fmt.Sprintf("%T", b))
	}
}
