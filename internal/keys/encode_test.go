package keys_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"tarn/internal/keys"
	"tarn/internal/lake"
)

// keyTypes are all types that a key column can have.
var keyTypes = []lake.Type{
	{Kind: lake.Boolean}, {Kind: lake.Integer}, {Kind: lake.Bigint},
	{Kind: lake.Decimal, Precision: 9, Scale: 2}, {Kind: lake.Decimal, Precision: 38, Scale: 0}, {Kind: lake.Decimal, Precision: 38, Scale: 37},
	{Kind: lake.Varchar}, {Kind: lake.Blob}, {Kind: lake.UUID},
	{Kind: lake.Date}, {Kind: lake.Time}, {Kind: lake.Timestamp}, {Kind: lake.TimestampTZ},
}

// Values are what an Iceberg literal's Any() gives. edges are those of a type
// where an encoding goes wrong first, in ascending order.
func edges(t lake.Type) []any {
	switch t.Kind {
	case lake.Boolean:
		return []any{false, true}
	case lake.Integer:
		return []any{int32(math.MinInt32), int32(-256), int32(-1), int32(0), int32(1), int32(255), int32(256), int32(math.MaxInt32)}
	case lake.Bigint:
		return []any{int64(math.MinInt64), int64(math.MinInt32) - 1, int64(-1), int64(0), int64(1), int64(1) << 32, int64(math.MaxInt64)}
	case lake.Decimal:
		top := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(t.Precision)), nil)
		top.Sub(top, big.NewInt(1))
		out := []any{decimalOf(t, new(big.Int).Neg(top))}
		if t.Precision == 38 {
			out = append(out, decimalOf(t, new(big.Int).Lsh(big.NewInt(-1), 64)))
		}
		for _, v := range []int64{-100, -1, 0, 1, 100} {
			out = append(out, decimalOf(t, big.NewInt(v)))
		}
		if t.Precision == 38 {
			out = append(out, decimalOf(t, new(big.Int).Lsh(big.NewInt(1), 63)), decimalOf(t, new(big.Int).Lsh(big.NewInt(1), 64)))
		}
		return append(out, decimalOf(t, top))
	case lake.Varchar:
		return []any{"", "\x00", "\x00\x00", "\x00\x01", "\x00a", "\x01", "A", "a", "a\x00", "a\x00b", "a\x01", "aa", "ab", "z", "ä", "€", "\U0010FFFF"}
	case lake.Blob:
		return []any{[]byte{}, []byte{0}, []byte{0, 0}, []byte{0, 1}, []byte{0, 0xFF}, []byte{1}, []byte{1, 0}, []byte{0xFF}, []byte{0xFF, 0}, []byte{0xFF, 0xFF}}
	case lake.UUID:
		return []any{
			uuid.MustParse("00000000-0000-0000-0000-000000000000"), uuid.MustParse("00000000-0000-0000-0000-000000000001"),
			uuid.MustParse("7fffffff-ffff-ffff-ffff-ffffffffffff"), uuid.MustParse("80000000-0000-0000-0000-000000000000"),
			uuid.MustParse("ffffffff-ffff-ffff-ffff-ffffffffffff"),
		}
	case lake.Date:
		return []any{iceberg.Date(-math.MaxInt32), iceberg.Date(-719528), iceberg.Date(-1), iceberg.Date(0), iceberg.Date(1), iceberg.Date(19000), iceberg.Date(math.MaxInt32)}
	case lake.Time:
		return []any{iceberg.Time(0), iceberg.Time(1), iceberg.Time(86_399_999_999)}
	case lake.Timestamp, lake.TimestampTZ:
		return []any{iceberg.Timestamp(-math.MaxInt64), iceberg.Timestamp(-62135596800000000), iceberg.Timestamp(-1), iceberg.Timestamp(0), iceberg.Timestamp(1), iceberg.Timestamp(1_700_000_000_000_001), iceberg.Timestamp(math.MaxInt64)}
	}
	panic(t)
}

func decimalOf(t lake.Type, unscaled *big.Int) iceberg.Decimal {
	return iceberg.Decimal{Val: decimal128.FromBigInt(unscaled), Scale: t.Scale}
}

// drawValue draws a value of a type, often an edge or a near one.
func drawValue(t *rapid.T, typ lake.Type, label string) any {
	if rapid.Bool().Draw(t, label+" at an edge") {
		return rapid.SampledFrom(edges(typ)).Draw(t, label)
	}
	small := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 'a', 0x7F, 0x80, 0xFE, 0xFF}), 0, 6)
	switch typ.Kind {
	case lake.Boolean:
		return rapid.Bool().Draw(t, label)
	case lake.Integer:
		return rapid.Int32().Draw(t, label)
	case lake.Bigint:
		return rapid.Int64().Draw(t, label)
	case lake.Decimal:
		top := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(typ.Precision)), nil)
		v := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, label))
		v.Mod(v, top)
		if rapid.Bool().Draw(t, label+" negative") {
			v.Neg(v)
		}
		return decimalOf(typ, v)
	case lake.Varchar:
		return strings.ToValidUTF8(string(small.Draw(t, label)), "ä")
	case lake.Blob:
		return small.Draw(t, label)
	case lake.UUID:
		return uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
	case lake.Date:
		return iceberg.Date(rapid.Int32().Draw(t, label))
	case lake.Time:
		return iceberg.Time(rapid.Int64Range(0, 86_399_999_999).Draw(t, label))
	case lake.Timestamp, lake.TimestampTZ:
		return iceberg.Timestamp(rapid.Int64().Draw(t, label))
	}
	panic(typ)
}

// compareValues is the reference: the order of the values themselves.
func compareValues(a, b any) int {
	switch a := a.(type) {
	case bool:
		switch {
		case a == b.(bool):
			return 0
		case a:
			return 1
		default:
			return -1
		}
	case int32:
		return cmp.Compare(a, b.(int32))
	case int64:
		return cmp.Compare(a, b.(int64))
	case iceberg.Decimal:
		return a.Val.BigInt().Cmp(b.(iceberg.Decimal).Val.BigInt())
	case string:
		return strings.Compare(a, b.(string))
	case []byte:
		return bytes.Compare(a, b.([]byte))
	case uuid.UUID:
		return strings.Compare(a.String(), b.(uuid.UUID).String())
	case iceberg.Date:
		return cmp.Compare(a, b.(iceberg.Date))
	case iceberg.Time:
		return cmp.Compare(a, b.(iceberg.Time))
	case iceberg.Timestamp:
		return cmp.Compare(a, b.(iceberg.Timestamp))
	}
	panic(a)
}

func compareRows(a, b []any) int {
	for i := range a {
		if c := compareValues(a[i], b[i]); c != 0 {
			return c
		}
	}
	return 0
}

func keySchema(types []lake.Type) lake.Schema {
	var s lake.Schema
	for i, t := range types {
		name := fmt.Sprintf("k%d", i)
		s.Columns = append(s.Columns, lake.Column{Name: name, Type: t})
		s.Key = append(s.Key, name)
	}
	return s
}

// batch holds rows, after one column that is no part of the key.
func batch(types []lake.Type, rows [][]any) arrow.RecordBatch {
	fields := []arrow.Field{{Name: "other", Type: arrow.PrimitiveTypes.Int64}}
	for i, t := range types {
		fields = append(fields, arrow.Field{Name: fmt.Sprintf("k%d", i), Type: t.Arrow()})
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	defer b.Release()
	for n, row := range rows {
		b.Field(0).(*array.Int64Builder).Append(int64(n))
		for i, v := range row {
			appendValue(b.Field(i+1), v)
		}
	}
	return b.NewRecordBatch()
}

func appendValue(b array.Builder, v any) {
	switch v := v.(type) {
	case nil:
		b.AppendNull()
	case bool:
		b.(*array.BooleanBuilder).Append(v)
	case int32:
		b.(*array.Int32Builder).Append(v)
	case int64:
		b.(*array.Int64Builder).Append(v)
	case iceberg.Decimal:
		b.(*array.Decimal128Builder).Append(v.Val)
	case string:
		b.(*array.StringBuilder).Append(v)
	case []byte:
		b.(*array.BinaryBuilder).Append(v)
	case uuid.UUID:
		b.(*extensions.UUIDBuilder).Append(v)
	case iceberg.Date:
		b.(*array.Date32Builder).Append(arrow.Date32(v))
	case iceberg.Time:
		b.(*array.Time64Builder).Append(arrow.Time64(v))
	case iceberg.Timestamp:
		b.(*array.TimestampBuilder).Append(arrow.Timestamp(v))
	default:
		panic(fmt.Sprintf("%T", v))
	}
}

func encoder(types []lake.Type) *keys.Encoder {
	cols := make([]int, len(types))
	for i := range cols {
		cols[i] = i + 1
	}
	return keys.NewEncoder(keySchema(types), cols)
}

func TestKeyBytesCompareAsTheValuesDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		types := rapid.SliceOfN(rapid.SampledFrom(keyTypes), 1, 3).Draw(t, "types")
		rows := make([][]any, rapid.IntRange(2, 8).Draw(t, "rows"))
		for i := range rows {
			for c, typ := range types {
				rows[i] = append(rows[i], drawValue(t, typ, fmt.Sprintf("row %d column %d", i, c)))
			}
		}
		rec := batch(types, rows)
		defer rec.Release()
		// A slice of a batch has an offset of its own.
		from := int64(rapid.IntRange(0, len(rows)-2).Draw(t, "slice"))
		rec = rec.NewSlice(from, rec.NumRows())
		defer rec.Release()
		rows = rows[from:]

		e := encoder(types)
		if err := e.Check(rec); err != nil {
			t.Fatal(err)
		}
		prefix := []byte("what is there stays")
		for i := range rows {
			a := e.Append(slices.Clone(prefix), rec, i)
			if !bytes.HasPrefix(a, prefix) {
				t.Fatalf("Append changed what was there")
			}
			a = a[len(prefix):]
			for j := range rows {
				b := e.Append(nil, rec, j)
				if got, want := bytes.Compare(a, b), compareRows(rows[i], rows[j]); got != want {
					t.Fatalf("%v and %v compare %d; their keys %x and %x compare %d", rows[i], rows[j], want, a, b, got)
				}
				if len(a) != len(b) && bytes.HasPrefix(b, a) {
					t.Fatalf("the key %x of %v starts the key %x of %v", a, rows[i], b, rows[j])
				}
				fa, fb := e.First(nil, rec, i), e.First(nil, rec, j)
				if got, want := bytes.Compare(fa, fb), compareValues(rows[i][0], rows[j][0]); got != want {
					t.Fatalf("%v and %v compare %d; their first bytes %x and %x compare %d", rows[i][0], rows[j][0], want, fa, fb, got)
				}
			}
		}
	})
}

func TestWholeAgreesWithAppend(t *testing.T) {
	for _, typ := range keyTypes {
		for _, v := range edges(typ) {
			rec := batch([]lake.Type{typ}, [][]any{{v}})
			got, err := keys.Whole([]byte("x"), typ, v)
			if want := encoder([]lake.Type{typ}).Append([]byte("x"), rec, 0); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s %v: %x, %v; want %x", typ, v, got, err, want)
			}
			rec.Release()
		}
	}
}

func TestFirstAgreesWithBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom(keyTypes).Draw(t, "type")
		v := drawValue(t, typ, "value")
		rec := batch([]lake.Type{typ}, [][]any{{v}})
		defer rec.Release()
		bound, err := keys.Bound(typ, v)
		if err != nil {
			t.Fatal(err)
		}
		first := encoder([]lake.Type{typ}).First(nil, rec, 0)
		if !bytes.Equal(first, bound) {
			t.Fatalf("%s %v: First %x, Bound %x", typ, v, first, bound)
		}
		if bound == nil {
			t.Fatalf("%s %v: a nil bound would mean unbounded", typ, v)
		}
	})
}

func TestEdgesAscend(t *testing.T) {
	for _, typ := range keyTypes {
		var rows [][]any
		for _, v := range edges(typ) {
			rows = append(rows, []any{v, v})
		}
		types := []lake.Type{typ, typ}
		rec := batch(types, rows)
		e := encoder(types)
		for i := 1; i < len(rows); i++ {
			if a, b := e.Append(nil, rec, i-1), e.Append(nil, rec, i); bytes.Compare(a, b) >= 0 {
				t.Errorf("%s: %v is not before %v: %x, %x", typ, rows[i-1], rows[i], a, b)
			}
		}
		rec.Release()
	}
}

// Composite keys whose texts run together stay apart.
func TestCompositeKeysDoNotCollide(t *testing.T) {
	types := []lake.Type{{Kind: lake.Varchar}, {Kind: lake.Varchar}}
	rows := [][]any{
		{"", ""}, {"", "\x00"}, {"", "\x00\x01"}, {"", "a"}, {"", "ab"}, {"\x00", ""}, {"\x00", "\x00"}, {"\x00\x00", ""}, {"\x00\x01", ""},
		{"a", ""}, {"a", "\x00"}, {"a", "b"}, {"a\x00", ""}, {"a\x00", "b"}, {"a\x00\x01", "b"}, {"a\x00b", ""}, {"a\x01", ""}, {"ab", ""},
	}
	rec := batch(types, rows)
	defer rec.Release()
	e := encoder(types)
	seen := map[string]int{}
	last := []byte(nil)
	for i := range rows {
		k := e.Append(nil, rec, i)
		if j, ok := seen[string(k)]; ok {
			t.Errorf("%q and %q have the key %x", rows[i], rows[j], k)
		}
		seen[string(k)] = i
		if i > 0 && bytes.Compare(last, k) >= 0 {
			t.Errorf("%q is not after %q", rows[i], rows[i-1])
		}
		last = k
	}
}

func TestBytesOfAKey(t *testing.T) {
	types := []lake.Type{{Kind: lake.Bigint}, {Kind: lake.Varchar}, {Kind: lake.Integer}, {Kind: lake.Boolean}}
	rec := batch(types, [][]any{{int64(-2), "a\x00b", int32(5), true}})
	defer rec.Release()
	got := fmt.Sprintf("%x", encoder(types).Append(nil, rec, 0))
	if want := "7ffffffffffffffe" + "6100ff620001" + "80000005" + "01"; got != want {
		t.Errorf("key %s, want %s", got, want)
	}
}

func TestCheckNamesTheColumn(t *testing.T) {
	types := []lake.Type{{Kind: lake.Varchar}, {Kind: lake.Bigint}}
	good := batch(types, [][]any{{"a", int64(1)}, {"b", int64(2)}})
	defer good.Release()
	null := batch(types, [][]any{{"a", int64(1)}, {"b", nil}})
	defer null.Release()
	other := batch([]lake.Type{{Kind: lake.Varchar}, {Kind: lake.Integer}}, [][]any{{"a", int32(1)}})
	defer other.Release()
	e := encoder(types)
	if err := e.Check(good); err != nil {
		t.Error(err)
	}
	missing := keys.NewEncoder(keySchema(types), []int{1, 3})
	for name, err := range map[string]error{"null": e.Check(null), "type": e.Check(other), "missing": missing.Check(good)} {
		if lake.CodeOf(err) != lake.CodeDamaged || err == nil || !strings.Contains(err.Error(), `"k1"`) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestBoundWidensAndRefuses(t *testing.T) {
	wide, err := keys.Bound(lake.Type{Kind: lake.Bigint}, int32(-7))
	if err != nil {
		t.Fatal(err)
	}
	long, err := keys.Bound(lake.Type{Kind: lake.Bigint}, int64(-7))
	if err != nil || !bytes.Equal(wide, long) {
		t.Errorf("%x, %x, %v", wide, long, err)
	}
	narrow, err := keys.Bound(lake.Type{Kind: lake.Integer}, int64(-7))
	same, _ := keys.Bound(lake.Type{Kind: lake.Integer}, int32(-7))
	if err != nil || !bytes.Equal(narrow, same) {
		t.Errorf("%x, %x, %v", narrow, same, err)
	}
	refused := []struct {
		typ lake.Type
		v   any
	}{
		{lake.Type{Kind: lake.Integer}, int64(math.MaxInt32) + 1},
		{lake.Type{Kind: lake.Varchar}, []byte("x")},
		{lake.Type{Kind: lake.Blob}, "x"},
		{lake.Type{Kind: lake.UUID}, []byte("short")},
		{lake.Type{Kind: lake.Decimal, Precision: 9, Scale: 2}, iceberg.Decimal{Scale: 3}},
		{lake.Type{Kind: lake.Timestamp}, iceberg.TimestampNano(1)},
		{lake.Type{Kind: lake.Date}, int32(1)},
		{lake.Type{Kind: lake.Double}, float64(1)},
		{lake.Type{Kind: lake.Bigint}, nil},
	}
	for _, c := range refused {
		if b, err := keys.Bound(c.typ, c.v); err == nil || lake.CodeOf(err) != lake.CodeUnsupported {
			t.Errorf("Bound(%s, %T) gave %x, %v", c.typ, c.v, b, err)
		}
	}
}

func TestNewEncoderRefusesWhatCannotBeAKey(t *testing.T) {
	for _, kind := range []lake.Kind{lake.Float, lake.Double} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a key of kind %d was taken", kind)
				}
			}()
			encoder([]lake.Type{{Kind: kind}})
		}()
	}
}

func BenchmarkAppend(b *testing.B) {
	types := []lake.Type{{Kind: lake.Bigint}, {Kind: lake.Varchar}}
	rec := batch(types, [][]any{{int64(42), "a name of usual length"}})
	defer rec.Release()
	e := encoder(types)
	buf := make([]byte, 0, 64)
	for b.Loop() {
		buf = e.Append(buf[:0], rec, 0)
	}
}
