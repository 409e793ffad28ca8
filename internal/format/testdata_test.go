package format_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"

	"tarn/internal/format"
	"tarn/internal/lake"
)

// everyType is a schema with a column of every type and a key of two columns
// out of order.
func everyType(t testing.TB) lake.Schema {
	s := lake.Schema{ID: 3, Key: []string{"code", "id"}}
	for _, c := range [][2]string{
		{"id", "BIGINT"}, {"b", "BOOLEAN"}, {"i", "INTEGER"}, {"f", "FLOAT"}, {"d", "DOUBLE"},
		{"dec9", "DECIMAL(9,2)"}, {"dec18", "DECIMAL(18,4)"}, {"dec38", "DECIMAL(38,10)"},
		{"code", "VARCHAR"}, {"blob", "BLOB"}, {"u", "UUID"}, {"day", "DATE"}, {"t", "TIME"},
		{"ts", "TIMESTAMP"}, {"tz", "TIMESTAMPTZ"}, {"l", "BIGINT[]"}, {"ll", "VARCHAR[][]"},
		{"st", "STRUCT(a BIGINT, b STRUCT(c UUID, d DECIMAL(20,3)))"}, {"m", "MAP(VARCHAR, TIMESTAMPTZ)"},
		{"ls", "STRUCT(x INTEGER, y VARCHAR[])[]"},
	} {
		typ, err := lake.ParseType(c[1])
		if err != nil {
			t.Fatal(err)
		}
		s.Columns = append(s.Columns, lake.Column{Name: c[0], Type: typ, Nullable: true})
	}
	s = s.WithFieldIDs()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	return s
}

// randomChanges makes a batch of a schema; one row in four is a delete where
// the schema has a key.
func randomChanges(r *rand.Rand, s lake.Schema, rows int) format.Changes {
	b := array.NewRecordBuilder(memory.DefaultAllocator, format.ChangesSchema(s))
	defer b.Release()
	key := map[int]bool{}
	for _, k := range s.KeyIndexes() {
		key[k] = true
	}
	ops := make([]uint8, rows)
	for i := range rows {
		if s.Keyed() && r.IntN(4) == 0 {
			ops[i] = format.OpDelete
		}
		for c := range s.Columns {
			if !key[c] && (ops[i] == format.OpDelete || r.IntN(6) == 0) {
				b.Field(c).AppendNull()
				continue
			}
			appendRandom(r, b.Field(c), s.Columns[c].Type)
		}
	}
	return format.Changes{Rows: b.NewRecordBatch(), Ops: ops}
}

func appendRandom(r *rand.Rand, b array.Builder, t lake.Type) {
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(r.IntN(2) == 0)
	case *array.Int32Builder:
		b.Append(int32(r.Uint32()))
	case *array.Int64Builder:
		b.Append(int64(r.Uint64()))
	case *array.Float32Builder:
		b.Append(r.Float32())
	case *array.Float64Builder:
		b.Append(r.NormFloat64())
	case *array.Decimal128Builder:
		limit := decimal128.GetMaxValue(int32(t.Precision))
		v := decimal128.New(int64(r.Uint64()), r.Uint64())
		for v.Abs().Cmp(limit) > 0 {
			v, _ = v.Div(decimal128.FromI64(1000))
		}
		b.Append(v)
	case *array.StringBuilder:
		b.Append(fmt.Sprintf("w%x é", r.Uint32()))
	case *array.BinaryBuilder:
		b.Append([]byte{byte(r.Uint32()), 0, byte(r.Uint32())})
	case *extensions.UUIDBuilder:
		var u uuid.UUID
		for i := range u {
			u[i] = byte(r.Uint32())
		}
		b.Append(u)
	case *array.Date32Builder:
		b.Append(arrow.Date32(r.IntN(40000) - 10000))
	case *array.Time64Builder:
		b.Append(arrow.Time64(r.Int64N(86_400_000_000)))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(r.Int64N(1 << 52)))
	case *array.ListBuilder:
		b.Append(true)
		for range r.IntN(4) {
			appendRandom(r, b.ValueBuilder(), t.Fields[0].Type)
		}
	case *array.StructBuilder:
		b.Append(true)
		for i, f := range t.Fields {
			appendRandom(r, b.FieldBuilder(i), f.Type)
		}
	case *array.MapBuilder:
		b.Append(true)
		for range r.IntN(3) {
			appendRandom(r, b.KeyBuilder(), t.Fields[0].Type)
			appendRandom(r, b.ItemBuilder(), t.Fields[1].Type)
		}
	default:
		panic(fmt.Sprintf("no random value for %T", b))
	}
}

func header() format.DeltaHeader {
	return format.DeltaHeader{
		TableUUID: "6f1e3a52-58b7-4d0c-9c0a-3f5a0e6b7c11", First: 7, Sequence: 7, SchemaID: 3,
		UUID: "0193a6d4-8f1b-7c3e-a2d5-1e0f9b8c7d6e", Epoch: 4, LakePosition: 42,
		Time:     time.Date(2026, 11, 23, 10, 20, 30, 123456000, time.UTC),
		Requests: []lake.Request{{Place: 1, Rows: 2, Key: `a "key" {"sum":"`, Hash: "0123456789abcdef0123456789abcdef"}, {Place: 2, Rows: 1}},
	}
}
