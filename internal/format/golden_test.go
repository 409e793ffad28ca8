package format_test

import (
	"bytes"
	"flag"
	"os"
	"reflect"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/format"
	"tarn/internal/lake"
)

// A file that was written once must be read for ever: these were written by the
// first build, and docs/format shows them. -write makes those that are missing.
var write = flag.Bool("write", false, "write golden files that are missing")

func golden(t *testing.T, path string, make func() ([]byte, error)) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) && *write {
		if b, err = make(); err == nil {
			err = os.WriteFile(path, b, 0o644)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGoldenVersion(t *testing.T) {
	b := golden(t, "testdata/catalog-version-1.json", func() ([]byte, error) { return format.EncodeVersion(version()) })
	got, err := format.DecodeVersion("golden", b)
	if err != nil {
		t.Fatal(err)
	}
	want := version()
	want.Sum, want.FormatVersion, want.Features = got.Sum, 1, []string{}
	got.Requests[0].Answer = []byte(`{"rows":2467000}`) // indented in the file
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if again, _ := format.EncodeVersion(version()); !bytes.Equal(again, b) {
		t.Errorf("encoding differs from the golden file:\n%s", again)
	}
}

// goldenSchema and goldenChanges are what the golden delta holds: two upserts
// and a delete.
func goldenSchema() lake.Schema {
	return lake.Schema{ID: 0, Key: []string{"id"}, Columns: []lake.Column{
		{Name: "id", Type: lake.Type{Kind: lake.Bigint}},
		{Name: "name", Type: lake.Type{Kind: lake.Varchar}, Nullable: true},
		{Name: "amount", Type: lake.Type{Kind: lake.Decimal, Precision: 10, Scale: 2}, Nullable: true},
	}}.WithFieldIDs()
}

func goldenChanges() format.Changes {
	b := array.NewRecordBuilder(memory.DefaultAllocator, format.ChangesSchema(goldenSchema()))
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues([]int64{1, 2, 3}, nil)
	b.Field(1).(*array.StringBuilder).AppendValues([]string{"Ada", "Zoë", ""}, []bool{true, true, false})
	b.Field(2).(*array.Decimal128Builder).AppendValues([]decimal128.Num{decimal128.FromI64(1250), decimal128.FromI64(-1), {}}, []bool{true, true, false})
	return format.Changes{Rows: b.NewRecordBatch(), Ops: []uint8{format.OpUpsert, format.OpUpsert, format.OpDelete}}
}

func goldenHeader() format.DeltaHeader {
	h := header()
	h.SchemaID = 0
	h.Requests = []lake.Request{{Place: 1, Rows: 2}, {Place: 2, Rows: 1, Key: "retry-me", Hash: "0123456789abcdef0123456789abcdef"}}
	return h
}

func TestGoldenDelta(t *testing.T) {
	b := golden(t, "testdata/delta-1.parquet", func() ([]byte, error) {
		return format.EncodeDelta(goldenHeader(), goldenSchema(), []format.Changes{goldenChanges()})
	})
	h, got, err := format.DecodeDelta("golden", b, goldenSchema())
	if err != nil {
		t.Fatal(err)
	}
	want := goldenHeader()
	want.Sum, want.FormatVersion, want.Features, want.Rows = h.Sum, 1, []string{}, 3
	if !reflect.DeepEqual(h, want) {
		t.Errorf("%+v\nwant %+v", h, want)
	}
	sameChanges(t, goldenSchema(), []format.Changes{goldenChanges()}, got)
}

// goldenTransaction is of a transaction over two datasets, of which the golden delta is
// the second one's.
func goldenTransaction() *lake.Transaction {
	return &lake.Transaction{
		UUID: "0193a6d4-9a2c-7d4f-b3e6-2f1a0c9d8e7f",
		Deltas: []lake.TransactionDelta{
			{TableUUID: "0f8a7b6c-5d4e-4f3a-8b2c-1d0e9f8a7b6c", Sequence: 31}, {TableUUID: "6f1e3a52-58b7-4d0c-9c0a-3f5a0e6b7c11", Sequence: 7},
		},
		Statements: []lake.TransactionStatement{
			{Statement: "update", TableUUID: "0f8a7b6c-5d4e-4f3a-8b2c-1d0e9f8a7b6c", Rows: 1}, {Statement: "merge", TableUUID: "6f1e3a52-58b7-4d0c-9c0a-3f5a0e6b7c11", Rows: 3},
		},
	}
}

func TestGoldenTransaction(t *testing.T) {
	in := goldenHeader()
	in.Requests = []lake.Request{{Place: 1, Rows: 3}}
	in.Transaction = goldenTransaction()
	b := golden(t, "testdata/delta-transaction-1.parquet", func() ([]byte, error) {
		return format.EncodeDelta(in, goldenSchema(), []format.Changes{goldenChanges()})
	})
	h, got, err := format.DecodeDelta("golden", b, goldenSchema())
	if err != nil {
		t.Fatal(err)
	}
	want := in
	want.Sum, want.FormatVersion, want.Features, want.Rows = h.Sum, 1, []string{"transaction"}, 3
	if !reflect.DeepEqual(h, want) {
		t.Errorf("%+v\nwant %+v", h, want)
	}
	sameChanges(t, goldenSchema(), []format.Changes{goldenChanges()}, got)
	if d := h.Lake("key", 1); !reflect.DeepEqual(d.Transaction, goldenTransaction()) || d.Void {
		t.Errorf("it is %+v", d)
	}
}

func TestGoldenVersionTransactions(t *testing.T) {
	in := version()
	in.Transactions = []string{"0193a6d4-9a2c-7d4f-b3e6-2f1a0c9d8e7f"}
	b := golden(t, "testdata/catalog-version-transactions-1.json", func() ([]byte, error) { return format.EncodeVersion(in) })
	got, err := format.DecodeVersion("golden", b)
	if err != nil || !reflect.DeepEqual(got.Transactions, in.Transactions) {
		t.Errorf("%v, %v", got.Transactions, err)
	}
	clone := in.Clone()
	if clone.Transactions[0] = "x"; in.Transactions[0] == "x" {
		t.Error("a clone shares the list")
	}
}
